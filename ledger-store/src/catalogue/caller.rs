//! Who a consumer key belongs to and what it may call: all that a gateway decides from.
//!
//! Windows of time instead of verdicts, so that a gateway that cannot ask again still decides
//! rightly when a plan begins or a subscription ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tollgate_metering::{
    BillingType, Currency, DeveloperId, Money, Period, PlanId, ProductId, Rates, UnixMillis,
    WalletId,
};
use uuid::Uuid;

use super::records::Approval;
use super::text;

/// A span of time: from `start`, included, to `end`, not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first millisecond.
    #[serde(with = "text::millis")]
    pub start: UnixMillis,
    /// The first millisecond after it; `None` for never.
    #[serde(with = "text::millis_option")]
    pub end: Option<UnixMillis>,
}

/// What a consumer key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the organization.
    pub organization: String,
    /// The developer.
    pub developer: DeveloperId,
    /// The developer's address.
    pub developer_email: String,
    /// Whether the developer's keys work.
    pub is_developer_active: bool,
    /// Id of the app.
    pub app: Uuid,
    /// Name of the app.
    pub app_name: String,
    /// Whether the app's keys work.
    pub app_status: Approval,
    /// Whether this key works.
    pub key_status: Approval,
    /// From when on the key does not work; `None` for never.
    pub key_expires_at: Option<UnixMillis>,
    /// Who pays when.
    pub billing: BillingType,
    /// What is on the key. A product with operations on several proxies stands here once a proxy.
    pub products: Vec<CallerProduct>,
    /// The developer's wallets.
    pub wallets: BTreeMap<Currency, WalletId>,
    /// Of a developer who pays later, what he may owe; no limit where there is none.
    pub credits: BTreeMap<Currency, Credit>,
}

/// What a developer who pays later may owe in one billing period, calls and fees together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// How much.
    pub limit: Money,
    /// Fees of `period` without credits for its invoice; negative where those are more.
    pub owed: Money,
    /// The period that `owed` is of. In another one nothing is owed yet.
    pub period: Period,
}

/// An API product on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerProduct {
    /// The product.
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// Whether the key may use it.
    pub approval: Approval,
    /// Proxies that it grants; none: every proxy.
    pub proxies: Vec<String>,
    /// Environments that it grants; none: every environment.
    pub environments: Vec<String>,
    /// Paths and methods that it grants; none: every path and method.
    pub operations: Vec<Operation>,
    /// The developer's rate plans that have not ended: those that were accepted, else the
    /// product's own; no two windows overlap.
    pub plans: Vec<CallerPlan>,
    /// When the developer holds a subscription to it.
    pub subscriptions: Vec<Window>,
}

/// A path pattern below the proxy's base path, and its methods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `/`, `/orders/*`, `/**`: `*` is one segment, `**` any number of them.
    pub resource: String,
    /// None: every method.
    pub methods: Vec<String>,
}

/// A published rate plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerPlan {
    /// The plan.
    pub plan: PlanId,
    /// Its price revision in force.
    pub revision: u32,
    /// The currency of its prices: which wallet pays.
    pub currency: Currency,
    /// When it is the plan that calls are charged under.
    pub window: Window,
    /// Its prices.
    pub rates: Arc<Rates>,
    /// Whether calls under it are in shadow mode: counted, never refused, never paid.
    pub is_shadow: bool,
}

// === impl Window ===

impl Window {
    /// Whether `time` lies in it.
    #[must_use]
    pub fn contains(&self, time: UnixMillis) -> bool {
        self.start <= time && self.end.is_none_or(|end| time < end)
    }

    /// Whether some time lies in both. An empty window (its end at its start) overlaps none.
    #[must_use]
    pub fn overlaps(&self, other: &Window) -> bool {
        let start = self.start.max(other.start);
        self.end.is_none_or(|end| start < end) && other.end.is_none_or(|end| start < end)
    }

    /// The time that lies in both.
    #[must_use]
    pub fn within(&self, other: &Window) -> Option<Window> {
        let end = match (self.end, other.end) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.overlaps(other).then(|| Window { start: self.start.max(other.start), end })
    }

    /// The times that lie in it and in none of `others`.
    #[must_use]
    pub fn outside(self, others: &[Window]) -> Vec<Window> {
        let mut left = vec![self];
        for other in others {
            let cut = |window: Window| {
                if !window.overlaps(other) {
                    return vec![window];
                }
                let before = (window.start < other.start)
                    .then_some(Window { start: window.start, end: Some(other.start) });
                let after = other.end.filter(|end| window.end.is_none_or(|last| *end < last));
                let after = after.map(|start| Window { start, end: window.end });
                before.into_iter().chain(after).collect()
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_touch_do_not_overlap() {
        let window =
            |start, end: Option<i64>| Window { start: UnixMillis(start), end: end.map(UnixMillis) };
        let check = |rows: &[(Window, Window, bool)]| {
            for (one, other, want) in rows {
                assert_eq!(one.overlaps(other), *want, "{one:?} {other:?}");
                assert_eq!(other.overlaps(one), *want, "{other:?} {one:?}");
            }
        };
        check(&[
            (window(0, Some(10)), window(10, Some(20)), false),
            (window(0, Some(11)), window(10, Some(20)), true),
            (window(0, None), window(10, Some(20)), true),
            (window(0, None), window(10, None), true),
            (window(20, None), window(10, Some(20)), false),
            (window(10, Some(10)), window(0, None), false),
        ]);
    }

    #[test]
    fn windows_are_cut_without_a_gap() {
        let window =
            |start, end: Option<i64>| Window { start: UnixMillis(start), end: end.map(UnixMillis) };
        let check = |rows: &[(Window, &[Window], &[Window])]| {
            for (one, others, want) in rows {
                assert_eq!(one.outside(others), *want, "{one:?} {others:?}");
            }
        };
        check(&[
            (window(0, None), &[], &[window(0, None)]),
            (window(0, None), &[window(5, Some(7))], &[window(0, Some(5)), window(7, None)]),
            (window(0, Some(9)), &[window(5, None)], &[window(0, Some(5))]),
            (window(6, Some(9)), &[window(5, None)], &[]),
            (window(6, Some(9)), &[window(0, Some(6)), window(9, None)], &[window(6, Some(9))]),
            (
                window(0, Some(9)),
                &[window(1, Some(2)), window(4, Some(5))],
                &[window(0, Some(1)), window(2, Some(4)), window(5, Some(9))],
            ),
        ]);
        assert_eq!(window(0, Some(9)).within(&window(5, None)), Some(window(5, Some(9))));
        assert_eq!(window(0, None).within(&window(5, None)), Some(window(5, None)));
        assert_eq!(window(0, Some(5)).within(&window(5, None)), None);
    }
}
