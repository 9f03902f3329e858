//! Spend files as they survive: all of them after `kill -9`, something in between after a power cut.

use std::collections::BTreeMap;

use tollgate_metering::{Incarnation, Meter, UnixMillis};

use crate::dice::Dice;

/// One incarnation's units.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) incarnation: Incarnation,
    pub(crate) generation: u32,
    pub(crate) slots: Vec<Slot>,
    /// What is on the disk for certain.
    synced: Vec<Slot>,
    pub(crate) settled_at: Option<UnixMillis>,
}

/// One meter's cumulative nano-units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) meter: Meter,
    pub(crate) spend: Spend,
    pub(crate) acknowledged: Spend,
}

/// Totals of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) units: u64,
    pub(crate) excess: u64,
}

// === impl File ===

impl File {
    pub(crate) fn new(incarnation: Incarnation, generation: u32) -> File {
        File { incarnation, generation, slots: Vec::new(), synced: Vec::new(), settled_at: None }
    }

    /// The slot of a meter, a new one where there is none.
    pub(crate) fn allocate(&mut self, meter: Meter) -> u32 {
        let place = self.slots.iter().position(|slot| slot.meter == meter);
        let place = place.unwrap_or_else(|| {
            let (spend, acknowledged) = (Spend::default(), Spend::default());
            self.slots.push(Slot { meter, spend, acknowledged });
            self.slots.len() - 1
        });
        u32::try_from(place).expect("a run has few meters")
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(crate) fn acknowledge(&mut self, slot: u32, spend: Spend) {
        // After a power cut slots may be fewer than a report had.
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        slot.acknowledged.units = slot.acknowledged.units.max(spend.units);
        slot.acknowledged.excess = slot.acknowledged.excess.max(spend.excess);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.slots.iter().all(Slot::is_acknowledged)
    }

    /// Forgets all acknowledgements: the ledger is another one.
    pub(crate) fn restart(&mut self, generation: u32) {
        self.slots.iter_mut().for_each(|slot| slot.acknowledged = Spend::default());
        self.generation = generation;
        self.settled_at = None;
        // Whoever writes the header waits for the disk, and for all of the file.
        self.sync();
    }

    /// Notes the birth that a restored ledger gave.
    pub(crate) fn set_born(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.sync();
    }

    pub(crate) fn mark_settled(&mut self, at: UnixMillis) {
        self.settled_at = Some(at);
        self.sync();
    }

    pub(crate) fn sync(&mut self) {
        self.synced.clone_from(&self.slots);
    }

    /// What a power cut leaves: each slot is as old as its last write-back.
    pub(crate) fn cut_power(&mut self, dice: &mut Dice) {
        let synced = std::mem::take(&mut self.synced);
        let mut torn = Vec::new();
        for (place, slot) in self.slots.iter().enumerate() {
            let Some(old) = synced.get(place) else {
                // Written after the last sync: slots behind a lost one are lost.
                if dice.happens(500) {
                    break;
                }
                torn.push(*slot);
                continue;
            };
            let mut left = if dice.happens(500) { *old } else { *slot };
            if dice.happens(300) {
                left.spend.units = dice.number(old.spend.units, slot.spend.units);
            }
            torn.push(left);
        }
        self.slots = torn;
        self.synced.clone_from(&self.slots);
    }

    /// Counts again what a lost report said, as nothing may.
    pub(crate) fn count_again(&mut self, slot: u32, spend: Spend) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.spend.units += spend.units.saturating_sub(slot.acknowledged.units);
        }
    }

    pub(crate) fn units(&self) -> BTreeMap<Meter, u64> {
        self.slots.iter().map(|slot| (slot.meter, slot.spend.units)).collect()
    }
}

// === impl Slot ===

impl Slot {
    /// Whether the ledger lacks nothing of it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged.units >= self.spend.units && self.acknowledged.excess >= self.spend.excess
    }
}
