//! What a space has to do later: bank debits that clear, invoices that finalize themselves, subscriptions that renew.

use std::collections::BTreeMap;

/// A piece of work and the object that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A bank debit clears or bounces.
    SettleDebit(String),
    /// A refund turns out to have failed.
    FailRefund(String),
    /// A draft that advances by itself becomes final.
    FinalizeInvoice(String),
    /// An invoice is charged, or charged again.
    CollectInvoice(String),
    /// A subscription's period ends.
    RenewSubscription(String),
    /// A trial ends in three days.
    WarnOfTrialEnd(String),
    /// A subscription whose first invoice was not paid is given up.
    ExpireSubscription(String),
    /// A subscription ends at a time that was set.
    CancelSubscription(String),
    /// A subscription's invoices are collected again.
    ResumeCollection(String),
    /// A quote can be accepted no longer.
    ExpireQuote(String),
}

/// Work by the time it is due, in unix seconds; what is due at once happens in the order it was noted.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(i64, u64), Due>,
    noted_count: u64,
}

// === impl Agenda ===

impl Agenda {
    pub(crate) fn note(&mut self, at_s: i64, due: Due) {
        self.noted_count += 1;
        self.entries.insert((at_s, self.noted_count), due);
    }

    /// Takes the earliest work that is due, with its time.
    pub(crate) fn take(&mut self, now_s: i64) -> Option<(i64, Due)> {
        let (&key, _) = self.entries.first_key_value()?;
        if key.0 > now_s {
            return None;
        }
        self.entries.remove(&key).map(|due| (key.0, due))
    }
}
