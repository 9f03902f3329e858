//! Which apps a wallet's units were used by, beside the registers that count them.
//!
//! Kept in memory alone, under the wallet's lock that each settle takes anyway: money does not depend on it. What a killed
//! process had not reported, and apps beyond the cap, are attributed to nobody; reports say so.
//! Invariants: the apps of a register never sum up to more than it. Bounds: [`APPS_MAX`] apps a meter and incarnation, and
//! [`COUNTS_MAX`] a wallet.

use tollgate_metering::protocol::APPS_MAX;
use tollgate_metering::wallet::Life;
use tollgate_metering::{AppId, Units};

/// Apps over all meters and incarnations of one wallet.
const COUNTS_MAX: usize = 1_024;

/// The apps of a wallet. Those that call often move to the front, where they are found first.
#[derive(Debug, Default)]
pub(super) struct AppCounts(Vec<AppCount>);

#[derive(Debug)]
struct AppCount {
    life: Life,
    slot: u32,
    app: AppId,
    units: Units,
    /// What was reported of them.
    told: Units,
}

// === impl AppCounts ===

impl AppCounts {
    /// Counts what one call has taken.
    pub(super) fn count(&mut self, life: Life, slot: u32, app: AppId, units: Units) {
        let is_here =
            |count: &AppCount| count.life == life && count.slot == slot && count.app == app;
        match self.0.iter().position(is_here) {
            Some(place) => {
                let count = &mut self.0[place];
                count.units = count.units.plus(units).unwrap_or(count.units);
                self.0.swap(place, place.saturating_sub(1));
            }
            None if self.has_room(life, slot) => {
                self.0.push(AppCount { life, slot, app, units, told: Units::ZERO });
            }
            None => {}
        }
    }

    fn has_room(&self, life: Life, slot: u32) -> bool {
        let of_meter = self.0.iter().filter(|count| count.life == life && count.slot == slot);
        self.0.len() < COUNTS_MAX && of_meter.count() < APPS_MAX
    }

    /// Totals of a register's apps that changed since they were reported.
    pub(super) fn take_changed(
        &mut self,
        life: Life,
        slot: u32,
        mut take: impl FnMut(AppId, Units),
    ) {
        let of_slot = self.0.iter_mut().filter(|count| count.life == life && count.slot == slot);
        for count in of_slot.filter(|count| count.told != count.units) {
            count.told = count.units;
            take(count.app, count.units);
        }
    }

    /// Reports all of them again: what was told may be lost.
    pub(super) fn tell_again(&mut self) {
        self.0.iter_mut().for_each(|count| count.told = Units::ZERO);
    }

    /// Forgets incarnations that have left the list.
    pub(super) fn forget(&mut self, is_own: &dyn Fn(Life) -> bool) {
        self.0.retain(|count| is_own(count.life));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn app(number: usize) -> AppId {
        AppId(Uuid::from_u128(number as u128))
    }

    fn changed(counts: &mut AppCounts, life: u32, slot: u32) -> Vec<(AppId, Units)> {
        let mut changed = Vec::new();
        counts.take_changed(Life(life), slot, |app, units| changed.push((app, units)));
        changed.sort_unstable();
        changed
    }

    #[test]
    fn totals_are_told_when_they_changed_and_again_when_they_may_be_lost() {
        let two = Units::ONE.plus(Units::ONE).unwrap();
        let mut counts = AppCounts::default();
        for number in [1, 2, 2] {
            counts.count(Life(0), 7, app(number), Units::ONE);
        }
        counts.count(Life(1), 7, app(1), Units::ONE);
        assert_eq!(changed(&mut counts, 0, 7), [(app(1), Units::ONE), (app(2), two)]);
        assert_eq!(changed(&mut counts, 0, 7), []);
        counts.count(Life(0), 7, app(1), Units::ONE);
        assert_eq!(changed(&mut counts, 0, 7), [(app(1), two)]);
        counts.tell_again();
        assert_eq!(changed(&mut counts, 0, 7), [(app(1), two), (app(2), two)]);
        counts.forget(&|life| life == Life(1));
        assert_eq!(changed(&mut counts, 0, 7), []);
        assert_eq!(changed(&mut counts, 1, 7), [(app(1), Units::ONE)]);
    }

    #[test]
    fn what_finds_no_room_is_left_to_nobody() {
        let mut counts = AppCounts::default();
        (0..APPS_MAX + 9).for_each(|number| counts.count(Life(0), 1, app(number), Units::ONE));
        assert_eq!(changed(&mut counts, 0, 1).len(), APPS_MAX);
        for slot in 2..100 {
            (0..APPS_MAX).for_each(|number| counts.count(Life(0), slot, app(number), Units::ONE));
        }
        assert_eq!(counts.0.len(), COUNTS_MAX);
        counts.count(Life(0), 1, app(3), Units::ONE);
        assert_eq!(changed(&mut counts, 0, 1).len(), 1, "who has room keeps it");
    }
}
