//! Tells a caller that asked what its call cost and what is left: headers, and trailers after a streamed body.
//!
//! Units are counted at the response head, so all of it is known there and stands in the head. A body whose length the head does
//! not say is followed by the same as trailers, where the client takes them (HTTP/2 always, HTTP/1.1 after `TE: trailers`), so
//! that who reads a stream to its end need not have kept its head; an upstream's own trailers, gRPC's status too, stay.
//! What is told is an estimate of this gateway at that moment: the ledger charges totals, whichever gateway counted them.
//! Invariants: a proxy that tells nobody looks for no header and allocates nothing.

use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};
use http::{Request, Version};

use super::headers::{self, Scan};
use super::route::Route;
use crate::admission::CallReport;
use crate::config::CallHeaders;
use crate::refusal::budget::{AVAILABLE, BALANCE, BALANCE_AGE_MS, CURRENCY};

static REPORT: HeaderName = HeaderName::from_static("tollgate-report");
static COST: HeaderName = HeaderName::from_static("tollgate-cost");
static UNITS: HeaderName = HeaderName::from_static("tollgate-units");
static RECEIPT: HeaderName = HeaderName::from_static("tollgate-receipt");

/// What a call's client wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) wants_headers: bool,
    takes_trailers: bool,
}

// === impl Wish ===

impl Wish {
    /// Nothing is told.
    pub(super) const NONE: Self = Self { wants_headers: false, takes_trailers: false };

    /// What this request wants of this proxy.
    pub(super) fn of<B>(route: &Route, request: &Request<B>, scan: Scan) -> Self {
        let wants_headers = match route.config.call_headers {
            CallHeaders::Never => false,
            CallHeaders::Always => true,
            CallHeaders::OnRequest => {
                let mut values = request.headers().get_all(&REPORT).iter();
                values.any(|value| headers::has_token(value, "cost"))
            }
        };
        let takes_trailers = wants_headers
            && match request.version() {
                Version::HTTP_2 => true,
                Version::HTTP_11 => headers::takes_trailers(request.headers(), scan),
                _ => false,
            };
        Self { wants_headers, takes_trailers }
    }

    /// Puts the report into the head, and answers the trailers that follow the body, if any.
    pub(super) fn tell(
        self,
        report: Option<&CallReport>,
        is_streamed: bool,
        head: &mut HeaderMap,
    ) -> Option<Box<HeaderMap>> {
        if !self.wants_headers {
            return None;
        }
        let mut facts = HeaderMap::new();
        each_fact(report, |name, value| {
            let value = HeaderValue::from_str(value).expect("facts are printable ASCII");
            facts.insert(name, value);
        });
        if is_streamed && self.takes_trailers {
            for name in facts.keys() {
                head.append(TRAILER, HeaderValue::from_name(name.clone()));
            }
        }
        for (name, value) in &facts {
            head.insert(name, value.clone());
        }
        (is_streamed && self.takes_trailers).then(|| Box::new(facts))
    }
}

/// A call that was not charged has no report: it cost nothing.
fn each_fact(report: Option<&CallReport>, mut tell: impl FnMut(&'static HeaderName, &str)) {
    let Some(report) = report else {
        tell(&COST, "0");
        tell(&UNITS, "0");
        return;
    };
    if let Some(cost) = report.cost {
        tell(&COST, &cost.to_string());
    }
    tell(&CURRENCY, report.currency.as_str());
    tell(&UNITS, &report.units.to_string());
    tell(&RECEIPT, &report.receipt.to_string());
    if let Some(known) = report.known {
        tell(&BALANCE, &known.balance.to_string());
        tell(&AVAILABLE, &known.available.to_string());
        if let Some(age) = known.age {
            tell(&BALANCE_AGE_MS, &age.as_millis().to_string());
        }
    }
}
