//! One call in flight: it is open from its head to the end of its response, and ends in exactly one outcome.

use std::rc::Rc;

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::answer::Caller;
use super::body::ResponseBody;
use super::core::Core;
use crate::metrics::Outcome;
use crate::refusal::Refused;
use crate::server::Client;
use crate::spans::CallSpan;

/// Counts one call when it is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    core: Rc<Core>,
    client: Rc<Client>,
    pub(crate) begun: Instant,
    proxy: Option<usize>,
    outcome: Outcome,
    pub(crate) span: Option<CallSpan>,
}

// === impl Call ===

impl Call {
    /// Opens a call. Until it is told better, it ends as one whose client left.
    pub(crate) fn open(core: Rc<Core>, client: Rc<Client>, span: Option<CallSpan>) -> Self {
        core.metrics.call_opened();
        client.watch.call_opened();
        let begun = Instant::now();
        Self { core, client, begun, proxy: None, outcome: Outcome::Aborted, span }
    }

    /// The call is one of this proxy.
    pub(crate) fn is_for(&mut self, proxy: usize) {
        self.proxy = Some(proxy);
        if let Some(span) = &mut self.span {
            span.is_for(&self.core.routes.all[proxy].config.name);
        }
    }

    /// Admission has decided; the time that it is now.
    pub(crate) fn is_decided(&self) -> Instant {
        let now = Instant::now();
        if let Some(proxy) = self.proxy
            && self.core.routes.all[proxy].is_metered
        {
            self.core.metrics.decided(proxy, now.duration_since(self.begun));
        }
        now
    }

    /// The call ends like this.
    pub(crate) fn ends(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The upstream answered with this status.
    pub(crate) fn is_answered(&mut self, status: StatusCode) {
        if let Some(span) = &mut self.span {
            span.is_answered(status);
        }
    }

    /// The gateway answers an owner's question itself; no proxy carries it.
    pub(crate) fn answer_own(
        mut self,
        caller: Caller,
        answered: Result<Response<ResponseBody>, Refused>,
    ) -> Response<ResponseBody> {
        match answered {
            Ok(response) => {
                self.outcome = Outcome::Unmetered;
                response
            }
            Err(refused) => self.refuse(caller, refused, Outcome::Refused),
        }
    }

    /// The gateway answers the call itself.
    pub(crate) fn refuse(
        mut self,
        caller: Caller,
        refused: impl Into<Refused>,
        outcome: Outcome,
    ) -> Response<ResponseBody> {
        let refused = refused.into();
        self.outcome = outcome;
        self.core.metrics.refused(self.proxy, refused.kind);
        if let Some(span) = &mut self.span {
            span.is_refused(refused.kind);
        }
        caller.refuse(&refused, self.proxy.map(|index| &self.core.routes.all[index]))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.core.metrics.call_closed(self.proxy, self.outcome, self.begun);
        self.client.watch.call_closed();
    }
}
