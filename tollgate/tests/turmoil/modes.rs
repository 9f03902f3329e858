//! The wallet's overspend policy as it changes: who may admit meanwhile, and what may be overspent under it.

use std::time::Duration;

use tollgate_metering::Money;
use tollgate_metering::account::{Mode, Overspend};

use crate::fleet::STALENESS_LIMIT;

/// The policy as the checks have seen it.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    /// The change under way, by its counter, and since when it was seen.
    changing: Option<(u64, Duration)>,
    /// The strict mode that was in force last, by its counter, and what the calls of older modes had overspent, in nanos.
    debt: Option<(u64, i128)>,
    /// How often the policy came into force otherwise than before.
    pub(crate) switches: u64,
    in_force: Option<Overspend>,
}

// === impl Modes ===

impl Modes {
    /// Looks at the policy and at the youngest call that was admitted.
    ///
    /// Who has heard of a change admits nothing until it is over; who has not goes by a snapshot from before it, which the
    /// staleness limit ends.
    pub(crate) fn look(
        &mut self,
        mode: Mode,
        balance: Money,
        youngest: Duration,
        now: Duration,
    ) -> Result<(), String> {
        if mode.is_changing {
            let (counter, since) = *self.changing.get_or_insert((mode.counter, now));
            if counter != mode.counter {
                // Another change took its place; it may have been in force in between.
                self.changing = Some((mode.counter, now));
            } else if youngest > since + STALENESS_LIMIT {
                return Err(format!(
                    "a call that began at {youngest:?} was admitted, the policy is changing since {since:?}"
                ));
            }
            return Ok(());
        }
        self.changing = None;
        if self.in_force != Some(mode.overspend) {
            self.switches += u64::from(self.in_force.is_some());
            self.in_force = Some(mode.overspend);
        }
        self.debt = match mode.overspend {
            Overspend::Optimistic => None,
            Overspend::Strict => {
                // Calls of older modes are in the ledger before the first strict one is admitted; and while it has no money
                // nothing is admitted that it does not know.
                let known = balance.nanos().min(0).saturating_neg();
                let before = self.debt.filter(|(counter, _)| *counter == mode.counter);
                Some((mode.counter, before.map_or(known, |(_, debt)| debt.min(known))))
            }
        };
        Ok(())
    }

    /// What may be overspent while the wallet is strict, in nanos: what was before. `None` where it is not strict.
    pub(crate) fn debt(&self) -> Option<i128> {
        self.debt.map(|(_, debt)| debt)
    }

    /// Whether this policy is in force.
    pub(crate) fn is(&self, policy: Overspend) -> Result<(), String> {
        match (self.changing, self.in_force) {
            (None, Some(in_force)) if in_force == policy => Ok(()),
            (changing, in_force) => Err(format!(
                "{in_force:?} was in force last, {policy:?} shall be, changing: {changing:?}"
            )),
        }
    }
}
