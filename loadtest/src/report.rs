//! What a run found, as numbers; the page, the plots and the JSON file all show this and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::Serialize;

pub mod figure;
pub mod page;
pub mod rates;

use crate::accounting::Verdict;
use crate::bound::Source;
use crate::nanos::Nanos;
use crate::scenario::Overspend;
use crate::steps::Event;
use crate::tally::{Counts, SLOT};

/// The resolution of calls over time.
const CALLS_SLOT_MS: u64 = 250;

/// All runs of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What the scenario is called.
    pub title: String,
    /// When the first run began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// One for each policy.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// What wallets let through beyond their balance.
    pub overspend: Overspend,
    /// Names of the gateways.
    pub gateways: Vec<String>,
    /// Names of the balance-sync nodes.
    pub nodes: Vec<String>,
    /// How many wallets.
    pub developers: usize,
    /// What a call costs.
    pub price: Nanos,
    /// In which currency.
    pub currency: String,
    /// How hard it was driven.
    pub calls_per_second: u64,
    /// For how long.
    pub span_ms: u64,
    /// What matters.
    pub summary: Summary,
    /// Latencies of all calls that were sent, from when they were due.
    pub latency: Latency,
    /// Balances over time, all wallets added up.
    pub balances: Vec<Balances>,
    /// Calls over time.
    pub calls: Calls,
    /// What happened.
    pub events: Vec<Event>,
}

/// What matters of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Calls that were due.
    pub due: u64,
    /// Answered with success.
    pub admitted: u64,
    /// Refused for want of money.
    pub refused: u64,
    /// Refused or failed with another status.
    pub failed: u64,
    /// Never sent.
    pub not_sent: u64,
    /// Sent and not answered: may be charged.
    pub in_flight: u64,
    /// Other statuses than success and 402, and how often.
    pub statuses: BTreeMap<u16, u64>,
    /// Paid in.
    pub credited: Nanos,
    /// What answered calls cost.
    pub admitted_worth: Nanos,
    /// What the ledger charged.
    pub charged: Nanos,
    /// Charged beyond answered calls: of calls that were in flight when a part was killed.
    pub difference: Nanos,
    /// How far wallets were below zero at the worst.
    pub overspent: Nanos,
    /// What it must not exceed.
    pub bound: Nanos,
    /// Where the bound comes from.
    pub bound_source: Source,
    /// The bound that the service told before any wallet was below zero, if it had measured by then.
    pub bound_before: Option<Nanos>,
    /// The bound by the formula, from what was measured at the callers.
    pub bound_by_formula: Nanos,
    /// The bound that the service told until wallets were at their deepest, if it had measured by then.
    pub bound_told: Option<Nanos>,
    /// Whether a wallet went beyond what the service had told of it, measured and not promised: then the formula decides.
    pub is_beyond_told: bool,
    /// Whether all of it is within the bound.
    pub is_within: bool,
    /// Whether the service promised a bound of zero for strict wallets all the time.
    pub is_promised: bool,
    /// The most that was reserved under grants.
    pub reserved_most: Nanos,
    /// W of the bound by the formula, in milliseconds.
    pub knowledge_age_ms: u64,
    /// How money and calls compare.
    pub verdict: Verdict,
    /// Whether every node and every gateway said the same in the end.
    pub is_agreed: bool,
    /// Whether everything that is promised held.
    pub is_kept: bool,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half are at most this.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Balances at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Balances {
    /// In milliseconds from the beginning of the load.
    pub at_ms: u64,
    /// What the ledger has.
    pub ledger: Nanos,
    /// Of it, what is reserved under grants.
    pub reserved: Nanos,
    /// What each gateway believes; none where it is away.
    pub gateways: Vec<Option<Nanos>>,
}

/// Calls over time, slot by slot.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// How long a slot is.
    pub slot_ms: u64,
    /// Answered with success.
    pub admitted: Vec<u64>,
    /// Refused for want of money.
    pub refused: Vec<u64>,
    /// Everything else that was due.
    pub failed: Vec<u64>,
}

/// Why a report is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {file}")]
pub struct WriteError {
    file: String,
    #[source]
    source: std::io::Error,
}

/// Writes a file of a report.
///
/// # Errors
/// [`WriteError`].
pub fn write(folder: &Path, name: &str, text: &str) -> Result<(), WriteError> {
    let file = folder.join(name);
    let failed = |source| WriteError { file: file.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(&file, text).map_err(failed)
}

// === impl Report ===

impl Report {
    /// The JSON file.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings have a JSON form")
    }

    /// Whether every run kept every promise.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.runs.iter().all(|run| run.summary.is_kept)
    }

    /// Writes `report.html`, `report.json` and `overspend.svg` into a folder.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        write(folder, "report.html", &page::of_overspend(self))?;
        write(folder, "report.json", &self.json())?;
        write(folder, "overspend.svg", &figure::standalone(self))
    }
}

// === impl Run ===

impl Run {
    /// The line that matters.
    #[must_use]
    pub fn line(&self) -> String {
        let (it, currency) = (&self.summary, &self.currency);
        format!(
            "{}: admitted {} calls worth {} {currency}, charged {} {currency}, overspent {} \
             {currency} (bound {} {currency}{}), difference between calls answered and money charged \
             {} {currency}{}: {}",
            self.overspend.as_str(),
            it.admitted,
            it.admitted_worth,
            it.charged,
            it.overspent,
            it.bound,
            self.beside_bound(),
            it.difference,
            if it.in_flight == 0 {
                String::new()
            } else {
                format!(" (calls that a killed part left without an answer: {})", it.in_flight)
            },
            self.verdict(),
        )
    }

    /// What must be said beside the bound: that it was less before anything was overspent, or that the service told less.
    #[must_use]
    pub fn beside_bound(&self) -> String {
        let (it, currency) = (&self.summary, &self.currency);
        match (it.bound_told, it.bound_before) {
            (Some(told), _) if it.is_beyond_told => {
                format!(" by formula; BEYOND what the service measured, {told} {currency} in all")
            }
            (Some(told), Some(before)) if before < told => {
                format!("; {before} {currency} before it was below zero")
            }
            (Some(_) | None, _) => String::new(),
        }
    }

    /// The verdict in words.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let it = &self.summary;
        match it.verdict {
            Verdict::Lost => "BROKEN, answered calls were not charged",
            Verdict::Overcharged => "BROKEN, calls were charged that nobody made",
            Verdict::Torn => "BROKEN, a part of a call was charged",
            Verdict::Kept if !it.is_within => "BROKEN, overspent beyond the bound",
            Verdict::Kept if !it.is_promised => "BROKEN, a strict wallet's bound is not promised",
            Verdict::Kept if !it.is_agreed => "BROKEN, gateways and ledger do not agree",
            Verdict::Kept => "kept",
        }
    }
}

// === impl Latency ===

impl Latency {
    /// Percentiles of a histogram in microseconds.
    #[must_use]
    pub fn of(all: &Histogram<u64>) -> Self {
        let at = |quantile| all.value_at_quantile(quantile);
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: all.max(),
        }
    }
}

// === impl Calls ===

impl Calls {
    /// Counts of all gateways, made coarser.
    #[must_use]
    pub fn of(gateways: &[Vec<Counts>]) -> Self {
        let slot_ms = u64::try_from(SLOT.as_millis()).unwrap_or(1);
        let width = usize::try_from(CALLS_SLOT_MS / slot_ms).unwrap_or(1);
        let length = gateways.iter().map(Vec::len).max().unwrap_or(0).div_ceil(width);
        let mut calls = Self { slot_ms: CALLS_SLOT_MS, ..Self::default() };
        for index in 0..length {
            let mut sum = Counts::default();
            for lane in gateways {
                let slots = lane.iter().skip(index * width).take(width);
                sum = slots.fold(sum, |sum, slot| sum.plus(slot));
            }
            calls.admitted.push(sum.answered);
            calls.refused.push(sum.dry);
            calls.failed.push(sum.failed());
        }
        calls
    }
}
