//! What a space has to do later: bank debits that clear, invoices that finalize themselves, subscriptions that renew.

use std::collections::BTreeMap;

/// A piece of work and the object that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A bank debit clears or bounces.
    SettleDebit(String),
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
