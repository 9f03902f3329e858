//! The ledger: a model with the semantics of Cassandra.
//!
//! Registers are cells of which the last write timestamp wins, in two columns. Accounts and
//! entries change by conditional batches alone. A purge leaves a tombstone with a timestamp, which
//! hides later writes with older ones. When it answers, and whether it does, is not here
//! (`storage`).

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_metering::node::{DirtyHold, DirtyRegister, DirtySuspense, ReadHold};
use tollgate_metering::{
    Account, Change, Entry, Incarnation, Meter, Money, RateBook, Register, Registers, SuspenseKey,
    Units, UnixMillis,
};
use uuid::Uuid;

/// The ledger's content; a clone is a backup.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) generation: u32,
    pub(crate) wallets: Vec<Stored>,
    /// Births, and whether the end was noted.
    pub(crate) registry: BTreeMap<Uuid, Registered>,
}

/// An incarnation in the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub(crate) born: UnixMillis,
    pub(crate) has_ended: bool,
    /// A person said that it will not come back.
    pub(crate) is_retired: bool,
}

/// One wallet.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) account: Account,
    pub(crate) registers: Registers,
    stamps: BTreeMap<(Meter, Incarnation), Stamps>,
    pub(crate) holds: BTreeMap<Incarnation, ReadHold>,
    /// Units, and what of them was counted when they came.
    pub(crate) suspense: BTreeMap<SuspenseKey, (Units, Units)>,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Births below this are hidden where they were written no later than this.
    purged: (UnixMillis, i64),
}

/// Write timestamps of a register's cells, and when it was raised to what.
#[derive(Clone, Debug, Default)]
struct Stamps {
    live: i64,
    recovered: i64,
    raised: Vec<(Duration, Units)>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(accounts: impl Iterator<Item = Account>) -> Ledger {
        let stored = |account| Stored {
            account,
            registers: Registers::new(),
            stamps: BTreeMap::new(),
            holds: BTreeMap::new(),
            suspense: BTreeMap::new(),
            entries: BTreeMap::new(),
            purged: (UnixMillis(0), 0),
        };
        Ledger { generation: 1, wallets: accounts.map(stored).collect(), registry: BTreeMap::new() }
    }

    /// Enters an incarnation; one that is there keeps its birth.
    pub(crate) fn register(&mut self, id: Uuid, born: UnixMillis) -> Incarnation {
        let new = Registered { born, has_ended: false, is_retired: false };
        let born = self.registry.entry(id).or_insert(new).born;
        Incarnation { born, id }
    }

    /// Makes a restored backup the next ledger.
    pub(crate) fn adopt(&mut self, generation: u32) {
        self.generation = generation;
        for stored in &mut self.wallets {
            stored.account.header.generation = generation;
        }
    }
}

// === impl Stored ===

impl Stored {
    /// Writes a cell; the register's units before and after.
    pub(crate) fn write(
        &mut self,
        row: &DirtyRegister,
        timestamp: i64,
        now: Duration,
    ) -> (Units, Units) {
        let key = (row.meter, row.incarnation);
        if row.incarnation.born < self.purged.0 && timestamp <= self.purged.1 {
            return (Units::ZERO, Units::ZERO);
        }
        let register = self.registers.entry(key).or_default();
        let stamps = self.stamps.entry(key).or_default();
        let before = register.units();
        let (cell, stamp) = if row.is_recovered {
            (&mut register.recovered, &mut stamps.recovered)
        } else {
            (&mut register.live, &mut stamps.live)
        };
        if timestamp > *stamp || (timestamp == *stamp && row.units > *cell) {
            (*cell, *stamp) = (row.units, timestamp);
        }
        let after = register.units();
        if after > before {
            stamps.raised.push((now, after));
        }
        (before, after)
    }

    /// Writes open holds: the highest `seq` wins.
    pub(crate) fn write_hold(&mut self, row: &DirtyHold) {
        if row.incarnation.born < self.purged.0 && row.seq <= self.purged.1 {
            return;
        }
        let new = ReadHold { amount: row.amount, seq: row.seq };
        let held = self.holds.entry(row.incarnation).or_insert(new);
        if new.seq > held.seq {
            *held = new;
        }
    }

    /// Raises suspense; what was counted first stays.
    pub(crate) fn write_suspense(&mut self, row: &DirtySuspense) {
        let known = self.suspense.entry(row.key).or_insert((row.units, row.counted));
        known.0 = known.0.max(row.units);
    }

    /// Registers that an account with this horizon counts.
    pub(crate) fn read_registers(&self, horizon: UnixMillis) -> Registers {
        let inside = self.registers.iter().filter(|((_, by), _)| by.born >= horizon);
        inside.map(|(key, register)| (*key, *register)).collect()
    }

    pub(crate) fn read_holds(&self, horizon: UnixMillis) -> BTreeMap<Incarnation, ReadHold> {
        let inside = self.holds.iter().filter(|(by, _)| by.born >= horizon);
        inside.map(|(by, held)| (*by, *held)).collect()
    }

    /// Whether a register had so many units at a time.
    pub(crate) fn had(
        &self,
        meter: Meter,
        incarnation: Incarnation,
        units: Units,
        at: Duration,
    ) -> bool {
        let raised = self.stamps.get(&(meter, incarnation)).map(|stamps| &stamps.raised);
        raised.is_some_and(|raised| raised.iter().any(|(since, had)| *since <= at && *had >= units))
    }

    /// Units that the ledger shows of a register, folded or not.
    pub(crate) fn counted(&self, meter: Meter, incarnation: Incarnation) -> Units {
        let key = (meter, incarnation);
        let register = self.registers.get(&key).copied().unwrap_or_default();
        let cell = self.account.cells.get(&key).copied().unwrap_or_default();
        register.units().max(cell.folded)
    }

    pub(crate) fn balance(&self, rates: &RateBook) -> Money {
        let balance = self.account.balance(&self.registers, rates);
        balance.expect("prices are known and amounts are small")
    }

    /// Writes a change whatever the version, as nothing may.
    pub(crate) fn overwrite(&mut self, change: &Change) {
        let version = self.account.header.version + 1;
        let mut change = change.clone();
        let owner = change.header.owner;
        change.header = self.account.header.clone();
        (change.header.version, change.header.owner) = (version, owner);
        self.account.apply(&change);
    }

    /// Applies a change if the account has the version and generation that it was planned from and
    /// none of its entries is there.
    pub(crate) fn commit(&mut self, change: &Change) -> bool {
        let header = &self.account.header;
        let is_next = change.header.version == header.version + 1
            && change.header.generation == header.generation;
        let is_new = change.entries.iter().all(|entry| !self.entries.contains_key(&entry.id));
        if !is_next || !is_new {
            return false;
        }
        self.account.apply(change);
        for entry in &change.entries {
            self.entries.insert(entry.id.clone(), entry.clone());
        }
        true
    }

    /// Removes what was born below.
    pub(crate) fn purge(&mut self, below: UnixMillis, timestamp: i64) {
        self.registers.retain(|(_, by), _| by.born >= below);
        self.stamps.retain(|(_, by), _| by.born >= below);
        self.holds.retain(|by, _| by.born >= below);
        self.account.cells.retain(|(_, by), _| by.born >= below);
        self.purged = (self.purged.0.max(below), self.purged.1.max(timestamp));
    }

    /// Removes one register, as nothing may.
    pub(crate) fn remove(&mut self, key: &(Meter, Incarnation)) -> Option<Register> {
        self.stamps.remove(key);
        self.registers.remove(key)
    }
}
