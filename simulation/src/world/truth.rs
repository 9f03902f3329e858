//! What really happened, and what must therefore hold.
//!
//! The truth is written where a call is answered, by nobody else, and with arithmetic of its own:
//! charges are added up here from bands and integers, not by the code that is tested.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tollgate_metering::{BillingType, EntryKind, Meter, Money, WalletId};
use uuid::Uuid;

use crate::schedule::Setup;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Duration,
    /// The rule.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
}

/// What really happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Nano-units that were answered, by incarnation.
    pub(crate) units: BTreeMap<(Uuid, Meter), u64>,
    /// Nano-units beyond the proxy's maximum.
    pub(crate) excess: BTreeMap<(Uuid, Meter), u64>,
    /// Sum of `units`.
    pub(crate) totals: BTreeMap<Meter, u128>,
    /// Nano-units that a person charged of multipliers' suspense.
    pub(crate) charged: BTreeMap<Meter, u128>,
    /// Nano-units that a person charged of what came too late; `totals` has them.
    pub(crate) late_charged: BTreeMap<Meter, u128>,
    /// First births.
    pub(crate) births: BTreeMap<Uuid, tollgate_metering::UnixMillis>,
    /// Nano-units that are known to be durable in this generation.
    pub(crate) durable: BTreeMap<(Uuid, Meter), u64>,
    /// Sum of `durable`.
    pub(crate) durable_totals: BTreeMap<Meter, u128>,
    /// Incarnations of which something may be lost, with what must be left of each meter.
    pub(crate) lossy: BTreeMap<Uuid, BTreeMap<Meter, u64>>,
    /// What the ledger ever showed of each register in this generation.
    pub(crate) shown: BTreeMap<(Uuid, Meter), u64>,
    /// What counts at most of retired incarnations; nothing of meters without one.
    pub(crate) retired: BTreeMap<(Uuid, WalletId), BTreeMap<Meter, u64>>,
    /// What was reported of found files.
    pub(crate) found: BTreeMap<(Uuid, Meter), u64>,
    /// Which gateway an incarnation was of.
    pub(crate) gateway_of: BTreeMap<Uuid, usize>,
    /// By wallet.
    pub(crate) wallets: Vec<WalletTruth>,
    /// Money that was to be booked, by id.
    pub(crate) payments: BTreeMap<String, Payment>,
    /// Ids that were given.
    ids: u64,
    /// Bands by revision: ends in nano-units, prices in nanos.
    bands: Vec<Vec<(Option<u128>, i128)>>,
}

/// One wallet.
#[derive(Clone, Debug, Default)]
pub(crate) struct WalletTruth {
    /// Charges of all prepaid meters.
    pub(crate) spent: i128,
    /// Charges that the ledger shows, and since when, rising.
    pub(crate) persisted: Vec<(Duration, i128)>,
    /// Credits less debits by generation and version.
    pub(crate) given: BTreeMap<(u32, u64), i128>,
    /// Lowest that the balance went below its floor by calls.
    pub(crate) overspent: i128,
    /// How far a strict wallet may be below its floor, once it is known.
    pub(crate) strict: Option<i128>,
    /// What a person or a backup did makes that unknown.
    pub(crate) is_void: bool,
    /// Whether money was taken by others than calls.
    pub(crate) has_debits: bool,
    /// The dearest settle, and the least hold.
    pub(crate) settle_max: i128,
    pub(crate) hold_min: i128,
    /// The most holds that were open at once.
    pub(crate) open_max: usize,
    /// What is held, and when it was taken.
    pub(crate) holds: BTreeMap<(usize, u64), (Duration, i128)>,
    /// Admissions within the age of knowledge, oldest first: when, and by which gateway.
    pub(crate) recent: VecDeque<(Duration, usize)>,
    /// The most admissions that one gateway had within it.
    pub(crate) admitted_max: usize,
}

/// Money that was to be booked.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) w: usize,
    /// What it adds to the balance.
    pub(crate) amount: i128,
    pub(crate) kind: EntryKind,
}

// === impl Truth ===

impl Truth {
    pub(crate) fn new(setup: &Setup) -> Truth {
        let nano = |units: &u64| u128::from(*units) * 1_000_000_000;
        let bands = setup.prices.iter().map(|bands| {
            let bands = bands.iter();
            bands.map(|(end, price)| (end.as_ref().map(nano), price.nanos())).collect()
        });
        let wallet = WalletTruth { hold_min: i128::MAX, ..WalletTruth::default() };
        Truth {
            wallets: vec![wallet; setup.wallets.len()],
            bands: bands.collect(),
            ..Truth::default()
        }
    }

    /// A number for an id.
    pub(crate) fn number(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Notes an answered call; the wallet's new charges.
    pub(crate) fn settle(
        &mut self,
        w: usize,
        id: Uuid,
        meter: Meter,
        nanos: u64,
        excess: u64,
    ) -> i128 {
        *self.units.entry((id, meter)).or_default() += nanos;
        if excess > 0 {
            *self.excess.entry((id, meter)).or_default() += excess;
        }
        *self.totals.entry(meter).or_default() += u128::from(nanos);
        let before = self.wallets[w].spent;
        if meter.billing == BillingType::Prepaid {
            self.wallets[w].spent = self.spent(meter.wallet, &self.totals);
        }
        self.wallets[w].spent - before
    }

    /// Charges of all prepaid meters of a wallet with these totals in nano-units.
    pub(crate) fn spent(&self, wallet: WalletId, totals: &BTreeMap<Meter, u128>) -> i128 {
        let mut sum = 0;
        let mut before: Option<(Meter, u128)> = None;
        let of_wallet = totals.iter().filter(|(meter, _)| meter.wallet == wallet);
        for (meter, units) in of_wallet {
            let units = units + self.charged.get(meter).copied().unwrap_or_default();
            let below = match before {
                Some((other, below)) if Meter { revision: meter.revision, ..other } == *meter => {
                    below
                }
                _ => 0,
            };
            if meter.billing == BillingType::Prepaid {
                let revision = meter.revision;
                sum += self.charge(revision, below + units) - self.charge(revision, below);
            }
            before = Some((*meter, below + units));
        }
        sum
    }

    /// What so many nano-units cost under a revision, rounded half to even.
    fn charge(&self, revision: u32, total: u128) -> i128 {
        let bands = &self.bands[revision as usize - 1];
        let (mut exact, mut below) = (0_i128, 0_u128);
        for (end, price) in bands {
            let end = end.map_or(total, |end| end.min(total));
            exact += (end - below) as i128 * price;
            below = end;
            if below == total {
                break;
            }
        }
        let (whole, rest) = (exact / 1_000_000_000, exact % 1_000_000_000);
        let is_up = rest > 500_000_000 || (rest == 500_000_000 && whole % 2 == 1);
        whole + i128::from(is_up)
    }

    /// Notes that units of an incarnation are durable.
    pub(crate) fn note_durable(&mut self, id: Uuid, meter: Meter, nanos: u64) {
        let known = self.durable.entry((id, meter)).or_default();
        if nanos > *known {
            *self.durable_totals.entry(meter).or_default() += u128::from(nanos - *known);
            *known = nanos;
        }
    }

    /// What of so many units of an incarnation counts.
    pub(crate) fn cut(&self, id: Uuid, meter: &Meter, nanos: u64) -> u64 {
        let cut =
            self.retired.get(&(id, meter.wallet)).map(|cuts| cuts.get(meter).copied().unwrap_or(0));
        cut.map_or(nanos, |cut| cut.min(nanos))
    }

    /// An incarnation of a wallet counts no more than this.
    pub(crate) fn retire(&mut self, id: Uuid, wallet: WalletId, cuts: &BTreeMap<Meter, u64>) {
        self.retired.entry((id, wallet)).or_default().extend(cuts);
        let known: Vec<Meter> =
            self.durable.keys().filter(|(by, _)| *by == id).map(|(_, meter)| *meter).collect();
        for meter in known.into_iter().filter(|meter| meter.wallet == wallet) {
            let left = self.cut(id, &meter, self.durable[&(id, meter)]);
            let before = self.durable.insert((id, meter), left).unwrap_or(0);
            *self.durable_totals.entry(meter).or_default() -= u128::from(before - left);
        }
    }

    /// Something of an incarnation may be lost, but not what a file, or else the ledger, has.
    pub(crate) fn lose(&mut self, id: Uuid, kept: &BTreeMap<Meter, u64>) {
        let mut least = kept.clone();
        for ((_, meter), nanos) in self.durable.iter().filter(|((by, _), _)| *by == id) {
            let left = least.entry(*meter).or_default();
            *left = (*left).max(*nanos);
        }
        // Lost twice, the lesser is left.
        let before = self.lossy.entry(id).or_insert_with(|| least.clone());
        before.retain(|meter, _| least.contains_key(meter));
        for (meter, nanos) in before.iter_mut() {
            *nanos = (*nanos).min(least[meter]);
        }
    }
}

// === impl WalletTruth ===

impl WalletTruth {
    /// Charges that the ledger showed at a time.
    pub(crate) fn persisted_at(&self, at: Duration) -> i128 {
        let after = self.persisted.partition_point(|(since, _)| *since <= at);
        after.checked_sub(1).map_or(0, |place| self.persisted[place].1)
    }

    pub(crate) fn persist(&mut self, now: Duration, spent: i128) {
        if self.persisted.last().is_none_or(|(_, before)| *before != spent) {
            self.persisted.push((now, spent));
        }
    }
}

/// The amount of a sum.
pub(crate) fn money(nanos: i128) -> Money {
    Money::from_nanos(nanos).expect("amounts of a run are small")
}
