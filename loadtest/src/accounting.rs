//! The promise, in whole nanos: answered ≤ charged ≤ answered + in flight, and overspend within its bound.

use serde::Serialize;

use crate::nanos::Nanos;

/// One wallet from the caller's side and from the ledger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    price: Nanos,
    credited: Nanos,
    /// The furthest that answered calls ever were beyond what was paid in.
    beyond: Nanos,
    /// The lowest balance that the ledger ever showed.
    lowest: Nanos,
}

/// How charged money compares with answered calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every answered call is charged, and nothing but calls that were made.
    Kept,
    /// Answered calls are missing from the ledger.
    Lost,
    /// The ledger charged more than was answered or in flight.
    Overcharged,
    /// What was charged is not a whole number of calls.
    Torn,
}

// === impl Account ===

impl Account {
    /// A wallet that was paid `credited` into.
    #[must_use]
    pub fn new(price: Nanos, credited: Nanos) -> Self {
        Self { price, credited, beyond: Nanos::ZERO, lowest: credited }
    }

    /// What was paid in.
    #[must_use]
    pub fn credited(&self) -> Nanos {
        self.credited
    }

    /// Notes how many calls were answered so far.
    pub fn note_answered(&mut self, answered: u64) {
        let spent = self.price.times(answered);
        self.beyond = self.beyond.max(spent - self.credited);
    }

    /// Notes a payment, before it is made: no call is answered on its account earlier.
    pub fn note_payment(&mut self, answered: u64, amount: Nanos) {
        self.note_answered(answered);
        self.credited = self.credited + amount;
    }

    /// Notes what the ledger says.
    pub fn note_ledger(&mut self, balance: Nanos) {
        self.lowest = self.lowest.min(balance);
    }

    /// The furthest that the wallet ever was beyond its money, as callers or the ledger saw it.
    #[must_use]
    pub fn overspent(&self) -> Nanos {
        self.beyond.max(-self.lowest).positive()
    }

    /// How far the wallet is below zero, by so many answered calls or by the ledger, whichever is deeper; negative: above.
    #[must_use]
    pub fn depth(&self, answered: u64, balance: Nanos) -> Nanos {
        (self.price.times(answered) - self.credited).max(-balance)
    }

    /// What the ledger charged, by its balance.
    #[must_use]
    pub fn charged(&self, balance: Nanos) -> Nanos {
        self.credited - balance
    }

    /// Whether that is what the callers' side says.
    #[must_use]
    pub fn verdict(&self, balance: Nanos, answered: u64, in_flight: u64) -> Verdict {
        let charged = self.charged(balance);
        if charged.0 % self.price.0 != 0 {
            Verdict::Torn
        } else if charged < self.price.times(answered) {
            Verdict::Lost
        } else if charged > self.price.times(answered + in_flight) {
            Verdict::Overcharged
        } else {
            Verdict::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Nanos {
        text.parse().unwrap()
    }

    #[test]
    fn charged_money_is_compared_with_answered_calls_to_the_nano() {
        let account = Account::new(money("0.01"), money("1"));
        let rows = [
            ("0.90", 10, 0, Verdict::Kept),
            ("0.91", 10, 0, Verdict::Lost),
            ("0.89", 10, 0, Verdict::Overcharged),
            ("0.89", 10, 1, Verdict::Kept),
            ("0.90", 10, 5, Verdict::Kept),
            ("0.84", 10, 5, Verdict::Overcharged),
            ("0.899999999", 10, 1, Verdict::Torn),
            ("-0.05", 105, 0, Verdict::Kept),
        ];
        for (balance, answered, in_flight, want) in rows {
            let got = account.verdict(money(balance), answered, in_flight);
            assert_eq!(got, want, "{balance} after {answered} + {in_flight}");
        }
    }

    #[test]
    fn a_payment_does_not_hide_what_was_overspent_before_it() {
        let mut account = Account::new(money("0.01"), money("1"));
        account.note_answered(90);
        assert_eq!(account.overspent(), Nanos::ZERO);
        account.note_payment(107, money("1"));
        account.note_answered(150);
        assert_eq!(account.overspent(), money("0.07"));
        assert_eq!(account.depth(203, money("-0.01")), money("0.03"));
        assert_eq!(account.depth(150, money("0.52")), money("-0.50"));
        account.note_ledger(money("-0.09"));
        account.note_ledger(money("0.50"));
        assert_eq!(account.overspent(), money("0.09"));
        assert_eq!(account.charged(money("0.5")), money("1.5"));
    }
}
