//! What a developer who pays later may owe.

use tollgate_metering::{Money, Period};
use tollgate_proto::{Problem, WireError, v1};

/// A limit, with what the period's invoice shows beside calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credit {
    /// For one billing period.
    pub(crate) limit: Money,
    owed: Money,
    /// Of what is owed.
    period: Period,
}

// === impl Credit ===

impl Credit {
    pub(super) fn read(wire: &v1::CreditLimit) -> Result<Self, WireError> {
        let unknown = || WireError::new("wallets.credit_limit.period", Problem::UnknownValue);
        Ok(Self {
            limit: tollgate_proto::money("wallets.credit_limit.limit", &wire.limit)?,
            owed: tollgate_proto::money("wallets.credit_limit.owed", &wire.owed)?,
            period: Period::from_number(wire.period).ok_or_else(unknown)?,
        })
    }

    /// What calls of a period may cost.
    pub(crate) fn left(self, period: Period) -> Money {
        // Where the caller was resolved in another period, nothing was known to be owed in this one.
        let owed = if period == self.period { self.owed } else { Money::ZERO };
        // Out of range: nothing is admitted.
        self.limit.minus(owed).unwrap_or(Money::MIN)
    }
}
