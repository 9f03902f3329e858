//! What was checked, and how it is shown: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and should not stay like this.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be checked, or there is nothing to check.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What kind of check: one word.
    pub(crate) check: &'static str,
    /// What was checked: a file, an address, a name.
    pub(crate) subject: String,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What was found.
    pub(crate) found: String,
    /// How to mend it, where something is wrong.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) mend: &'static str,
}

/// All checks, in the order in which they were made.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) checks: Vec<Check>,
}

// === impl Outcome ===

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
            Outcome::Skipped => "skipped",
        }
    }
}

// === impl Report ===

impl Report {
    /// Whether nothing failed.
    pub(crate) fn is_sound(&self) -> bool {
        self.checks.iter().all(|check| check.outcome != Outcome::Fail)
    }

    pub(crate) fn ok(&mut self, check: &'static str, subject: impl ToString, found: impl ToString) {
        self.add(check, subject, Outcome::Ok, found, "");
    }

    pub(crate) fn skipped(
        &mut self,
        check: &'static str,
        subject: impl ToString,
        found: impl ToString,
    ) {
        self.add(check, subject, Outcome::Skipped, found, "");
    }

    pub(crate) fn warn(
        &mut self,
        check: &'static str,
        subject: impl ToString,
        found: impl ToString,
        mend: &'static str,
    ) {
        self.add(check, subject, Outcome::Warn, found, mend);
    }

    pub(crate) fn fail(
        &mut self,
        check: &'static str,
        subject: impl ToString,
        found: impl ToString,
        mend: &'static str,
    ) {
        self.add(check, subject, Outcome::Fail, found, mend);
    }

    fn add(
        &mut self,
        check: &'static str,
        subject: impl ToString,
        outcome: Outcome,
        found: impl ToString,
        mend: &'static str,
    ) {
        let (subject, found) = (subject.to_string(), found.to_string());
        self.checks.push(Check { check, subject, outcome, found, mend });
    }

    /// The table, with how to mend a thing below its line.
    pub(crate) fn table(&self) -> String {
        let width = |of: fn(&Check) -> &str| {
            self.checks.iter().map(|check| of(check).chars().count()).max().unwrap_or(0)
        };
        let (checks, subjects) = (width(|check| check.check), width(|check| &check.subject));
        let mut text = String::new();
        for Check { check, subject, outcome, found, mend } in &self.checks {
            let word = outcome.word();
            let _ = writeln!(text, "{word:7}  {check:checks$}  {subject:subjects$}  {found}");
            if !mend.is_empty() {
                let _ = writeln!(text, "{:7}  {:checks$}  mend: {mend}", "", "");
            }
        }
        let count = |wanted| self.checks.iter().filter(|check| check.outcome == wanted).count();
        let (ok, warn) = (count(Outcome::Ok), count(Outcome::Warn));
        let (fail, skipped) = (count(Outcome::Fail), count(Outcome::Skipped));
        let _ = writeln!(text, "{ok} ok, {warn} to be looked at, {fail} failed, {skipped} skipped");
        text
    }
}
