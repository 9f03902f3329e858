//! The machine against a ledger of three lines, in any order of events.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::stream::StreamLog;
use super::*;
use crate::account::SuspenseReason;
use crate::id::{DeveloperId, PlanId, ProductId};
use crate::meter::{BillingType, Register};
use crate::protocol::Snapshot;
use crate::time::Period;

mod both_sides;
mod grants;
mod interleavings;
mod rules;
mod strict;

const NOW: UnixMillis = UnixMillis(1_795_348_800_000);
const HOLD_LIFE: Duration = Duration::from_secs(60);

fn wallet() -> WalletId {
    WalletId(Uuid::from_u128(1))
}

fn meter(product: u128) -> Meter {
    Meter {
        wallet: wallet(),
        product: ProductId(Uuid::from_u128(product)),
        plan: PlanId(Uuid::from_u128(product)),
        billing: BillingType::Prepaid,
        period: Period::of(NOW),
        revision: 1,
    }
}

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: NOW, id: Uuid::from_u128(number) }
}

fn units(whole: u64) -> Units {
    Units::from_register(whole)
}

fn register(meter: Meter, whole: u64) -> ReportedRegister {
    ReportedRegister { meter, units: units(whole), is_recovered: false, excess: Units::ZERO }
}

fn part(incarnation: Incarnation, seq: i64, registers: Vec<ReportedRegister>) -> Part {
    Part { incarnation, seq, registers, apps: Vec::new(), held: None, draw: None, is_fenced: false }
}

fn own(number: u64, incarnations: &[Incarnation]) -> Arc<OwnIncarnations> {
    Arc::new(OwnIncarnations { number, incarnations: incarnations.to_vec() })
}

fn account() -> Account {
    let developer = DeveloperId(Uuid::from_u128(2));
    let currency = "EUR".parse().unwrap();
    let mut account = Account::unopened(wallet(), "acme", developer, currency, 1, NOW);
    account.header.version = 1;
    account.header.credited = "100".parse().unwrap();
    account
}

/// What a ledger holds of one wallet: an account and registers that take the greater total.
#[derive(Clone, Debug)]
struct FakeLedger {
    account: Account,
    registers: Registers,
    holds: BTreeMap<Incarnation, ReadHold>,
    suspense: BTreeMap<SuspenseKey, (Units, Units)>,
}

// === impl FakeLedger ===

impl FakeLedger {
    fn new() -> FakeLedger {
        FakeLedger {
            account: account(),
            registers: Registers::new(),
            holds: BTreeMap::new(),
            suspense: BTreeMap::new(),
        }
    }

    fn read(&self) -> Option<Read> {
        let horizon = self.account.header.horizon;
        let mut registers = self.registers.clone();
        registers.retain(|(_, incarnation), _| incarnation.born >= horizon);
        Some(Read { account: self.account.clone(), registers, holds: self.holds.clone() })
    }

    fn write(&mut self, writes: &Writes) {
        for row in &writes.registers {
            let cell = self.registers.entry((row.meter, row.incarnation)).or_default();
            let (live, recovered) =
                if row.is_recovered { (units(0), row.units) } else { (row.units, units(0)) };
            cell.merge(Register { live, recovered });
        }
        for row in &writes.holds {
            let new = ReadHold { amount: row.amount, seq: row.seq };
            let held = self.holds.entry(row.incarnation).or_insert(new);
            if new.seq >= held.seq {
                *held = new;
            }
        }
        for row in &writes.suspense {
            let known = self.suspense.entry(row.key).or_insert((row.units, row.counted));
            known.0 = known.0.max(row.units);
        }
    }

    fn fold(&mut self, place: (Meter, Incarnation)) {
        let Some(register) = self.registers.get(&place).copied() else { return };
        let more = self.account.unfolded(&place.0, place.1, register);
        let cell = self.account.cells.entry(place).or_default();
        cell.folded = cell.folded.plus(more).unwrap();
        let totals = self.account.meters.entry(place.0).or_default();
        totals.settled_units = totals.settled_units.plus(more).unwrap();
        self.account.header.version += 1;
    }
}

/// Reads at once.
fn reread(node: &mut NodeWallet, ledger: &FakeLedger, latest: StreamMark) {
    let mark = node.begin_read(|_| latest, Duration::ZERO);
    node.reread(&mark, ledger.read(), Duration::ZERO, NOW).unwrap();
}

/// Writes at once.
fn persist(node: &mut NodeWallet, ledger: &mut FakeLedger, latest: StreamMark) -> Writes {
    let writes = node.begin_write(|_| latest, NOW);
    ledger.write(&writes);
    if !writes.is_empty() {
        node.end_write(&writes, true);
    }
    writes
}

fn snapshot(node: &mut NodeWallet, stream: StreamId) -> Option<Snapshot> {
    match node.news(stream, NOW, HOLD_LIFE).unwrap() {
        Some(News::Snapshot(snapshot)) => Some(*snapshot),
        Some(News::Fresh { .. }) | None => None,
    }
}
