//! A wallet in the exchange with balance-sync: what it has to report, and what it is told.

use std::time::Duration;

use tollgate_metering::protocol::{ReportedDraw, Snapshot};
use tollgate_metering::rating::RatingError;
use tollgate_metering::wallet::{Life, OwnList, OwnRegister, Taken, Wallet};
use tollgate_metering::{Meter, Money};

use super::{Changed, Due, Merged, WalletEntry};

// === impl WalletEntry ===

impl WalletEntry {
    /// Reports the wallet at the next tick, whether it changed or not, and whatever is left in it.
    pub(crate) fn report_now(&self) {
        let is_newly_due = {
            let mut cell = self.cell.lock();
            // Who asks may have lost what was told.
            cell.apps.tell_again();
            cell.report_now()
        };
        if is_newly_due {
            self.books.change(self.id);
        }
    }

    /// Goes back to the queue of changes, out of which it was taken, since it could not be reported.
    pub(crate) fn requeue(&self) {
        self.cell.lock().is_due = true;
        self.books.change(self.id);
    }

    /// Whether it is to be reported, and what the next call may cost at most.
    pub(crate) fn due(&self) -> (Due, Money) {
        let cell = self.cell.lock();
        let due = match (cell.is_changed, cell.is_due) {
            (false, _) => Due::Never,
            (true, false) => Due::Later,
            (true, true) => Due::Now,
        };
        (due, cell.wallet.available())
    }

    /// With less than this available the wallet must be reported at once, which may be so already.
    pub(crate) fn report_below(&self, below: Money) {
        let is_newly_due = {
            let mut cell = self.cell.lock();
            let nearest = below.nanos().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            cell.report_below = i64::try_from(nearest).unwrap_or(i64::MAX);
            cell.is_changed && cell.fall_due()
        };
        if is_newly_due {
            self.books.change(self.id);
        }
    }

    /// What there is to report, and what the next call may cost at most.
    pub(crate) fn take_changes(&self, take: &mut impl FnMut(Changed)) -> Money {
        let cell = &mut *self.cell.lock();
        (cell.is_changed, cell.is_due) = (false, false);
        let mut told: Option<Life> = None;
        for (tariff, register) in cell.wallet.registers() {
            let own = self.books.lives.get(register.life);
            if !own.file.is_acknowledged(register.slot) {
                let (life, slot, meter) = (register.life, register.slot, tariff.meter(self.id));
                let spend = own.file.spend(slot);
                take(Changed::Register { life, slot, meter, spend });
                cell.apps.take_changed(life, slot, |app, units| {
                    take(Changed::App { life, meter, app, units });
                });
            }
            if told != Some(register.life) {
                told = Some(register.life);
                let amount = cell.wallet.held(register.life);
                take(Changed::Held { life: register.life, amount });
            }
        }
        for (life, draw) in cell.wallet.draws(self.id) {
            take(Changed::Drawn { life, draw });
        }
        cell.wallet.available()
    }

    /// Admits nothing from now on under a mode before this one.
    pub(crate) fn require_mode(&self, counter: u64) {
        self.cell.lock().wallet.require_mode(counter);
    }

    /// What is drawn of grants, where no call of an older mode is open and everything that was
    /// counted is durable; `None` where that is not so yet.
    pub(crate) fn acknowledged_draws(&self) -> Option<Vec<(Life, ReportedDraw)>> {
        let cell = self.cell.lock();
        let is_durable =
            |own: OwnRegister| self.books.lives.get(own.life).file.is_acknowledged(own.slot);
        let is_settled = cell.wallet.open_prepaid() == 0
            && !cell.is_blocked
            && cell.wallet.registers().all(|(_, register)| is_durable(register));
        is_settled.then(|| cell.wallet.draws(self.id))
    }

    /// Whether calls wait for a grant.
    pub(crate) fn wants(&self) -> bool {
        self.cell.lock().wallet.wants()
    }

    /// Merges a snapshot; see [`Wallet::snapshot`].
    pub(crate) fn snapshot(
        &self,
        snapshot: &Snapshot,
        as_of: Option<Duration>,
        own: OwnList<'_>,
    ) -> Result<Merged, RatingError> {
        let mut cell = self.cell.lock();
        let before = cell.wallet.available();
        let stamps = |wallet: &Wallet| -> Vec<_> {
            wallet.draws(self.id).iter().map(|(_, draw)| draw.stamp).collect()
        };
        let stamps_before = stamps(&cell.wallet);
        let tariffs = |meter: &Meter| self.books.tariffs.of_meter(meter);
        let taken = cell.wallet.snapshot(snapshot, as_of, own, &tariffs)?;
        cell.is_absent = false;
        if taken != Taken::Ignored && as_of.is_some() {
            cell.heard();
        }
        // A ceiling is echoed at once: a recall counts from then on.
        if stamps(&cell.wallet) != stamps_before && cell.report_now() {
            self.books.change(self.id);
        }
        Ok(Merged { taken, before, after: cell.wallet.available() })
    }

    /// What is known was confirmed; see [`Wallet::fresh`]. `true` where calls may wait for that.
    pub(crate) fn fresh(&self, as_of: Duration) -> bool {
        let mut cell = self.cell.lock();
        cell.wallet.fresh(as_of);
        cell.heard()
    }
}
