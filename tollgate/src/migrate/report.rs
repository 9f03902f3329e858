//! What was done, what could not be, and what of the export has no place here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// Failures and notes that the text shows; the JSON has them all.
const SHOWN_MAX: usize = 50;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done now, or would be.
    Done,
    /// It was there before.
    There,
}

/// Everything that there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    is_applied: bool,
    counts: BTreeMap<&'static str, Counts>,
    failures: Vec<Failure>,
    left: Vec<Left>,
    balances: Vec<Compared>,
    #[serde(skip)]
    places: BTreeMap<String, usize>,
}

/// How many steps of a kind ended how.
#[derive(Debug, Default, Serialize)]
struct Counts {
    done: u64,
    there: u64,
    failed: u64,
}

/// Something that could not be done.
#[derive(Debug, Serialize)]
struct Failure {
    what: String,
    reason: String,
}

/// Something of the export that is not moved, how often, and the first place.
#[derive(Debug, Serialize)]
struct Left {
    what: String,
    count: u64,
    first: String,
}

/// A balance at Edge and here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    developer: String,
    currency: String,
    edge: String,
    here: String,
    agrees: bool,
}

// === impl Report ===

impl Report {
    pub(super) fn new(is_applied: bool) -> Report {
        Report {
            is_applied,
            counts: BTreeMap::new(),
            failures: Vec::new(),
            left: Vec::new(),
            balances: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, kind: &'static str, outcome: Outcome) {
        let counts = self.counts.entry(kind).or_default();
        match outcome {
            Outcome::Done => counts.done += 1,
            Outcome::There => counts.there += 1,
        }
    }

    /// Something that could not be done.
    pub(super) fn fail(&mut self, kind: &'static str, what: &str, reason: impl Into<String>) {
        self.counts.entry(kind).or_default().failed += 1;
        let what = format!("{kind} {what}");
        self.failures.push(Failure { what, reason: reason.into() });
    }

    /// Something of the export that has no place here.
    pub(super) fn leave(&mut self, what: impl Into<String>, at: &str) {
        let what = what.into();
        match self.places.get(&what) {
            Some(place) => self.left[*place].count += 1,
            None => {
                self.places.insert(what.clone(), self.left.len());
                self.left.push(Left { what, count: 1, first: at.to_owned() });
            }
        }
    }

    pub(super) fn compare(
        &mut self,
        developer: &str,
        currency: String,
        edge: String,
        here: String,
    ) {
        let agrees = edge == here;
        let developer = developer.to_owned();
        self.balances.push(Compared { developer, currency, edge, here, agrees });
    }

    /// Whether everything that has a place here is here, and the balances agree.
    pub(super) fn is_whole(&self) -> bool {
        self.failures.is_empty() && self.balances.iter().all(|balance| balance.agrees)
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let done = if self.is_applied { "done" } else { "to do" };
        // Writing into a string does not fail.
        for (kind, Counts { done: now, there, failed }) in &self.counts {
            let _ = writeln!(
                text,
                "{kind:<16} {now:>8} {done:<5} {there:>8} there before {failed:>8} failed"
            );
        }
        for Failure { what, reason } in self.failures.iter().take(SHOWN_MAX) {
            let _ = writeln!(text, "failed: {what}: {reason}");
        }
        for Left { what, count, first } in self.left.iter().take(SHOWN_MAX) {
            let _ = writeln!(text, "not moved: {what} ({count} times, first in {first})");
        }
        let hidden = self.failures.len().saturating_sub(SHOWN_MAX)
            + self.left.len().saturating_sub(SHOWN_MAX);
        if hidden > 0 {
            let _ = writeln!(text, "and {hidden} more: --report FILE has them all");
        }
        for Compared { developer, currency, edge, here, .. } in
            self.balances.iter().filter(|balance| !balance.agrees).take(SHOWN_MAX)
        {
            let _ = writeln!(
                text,
                "differs: balance of {developer}: {edge} {currency} at Edge, {here} here (calls since then count)"
            );
        }
        if self.is_applied {
            let agree = self.balances.iter().filter(|balance| balance.agrees).count();
            let _ = writeln!(text, "{agree} of {} balances agree", self.balances.len());
        } else {
            let _ = writeln!(text, "nothing was changed: --apply does it");
        }
        text
    }
}
