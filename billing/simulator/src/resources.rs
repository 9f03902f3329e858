//! One module for each kind of object: its endpoints, and what happens to it.

use crate::agenda::Due;
use crate::space::Space;

pub(crate) mod accounts;
pub(crate) mod charges;
pub(crate) mod customers;
pub(crate) mod disputes;
pub(crate) mod events;
pub(crate) mod invoiceitems;
pub(crate) mod invoices;
pub(crate) mod payment_intents;
pub(crate) mod payment_methods;
pub(crate) mod prices;
pub(crate) mod products;
pub(crate) mod quotes;
pub(crate) mod refunds;
pub(crate) mod search;
pub(crate) mod setup_intents;
pub(crate) mod subscriptions;
pub(crate) mod webhook_endpoints;

/// Does what an agenda said was to happen at this time.
pub(crate) fn happen(space: &mut Space, due: Due) {
    match due {
        Due::SettleDebit(id) => payment_intents::settle(space, &id),
        Due::FailRefund(id) => refunds::fail(space, &id),
        Due::FinalizeInvoice(id) => invoices::collection::finalize_due(space, &id),
        Due::CollectInvoice(id) => invoices::collection::collect_due(space, &id),
        Due::RenewSubscription(id) => subscriptions::cycle::renew(space, &id),
        Due::WarnOfTrialEnd(id) => subscriptions::cycle::warn_of_trial_end(space, &id),
        Due::ExpireSubscription(id) => subscriptions::cycle::expire(space, &id),
        Due::CancelSubscription(id) => subscriptions::cycle::cancel_due(space, &id),
        Due::ResumeCollection(id) => subscriptions::cycle::resume_collection(space, &id),
        Due::ExpireQuote(id) => quotes::expire(space, &id),
    }
}
