//! What happens while the load runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::link::Way;
use crate::nanos::Nanos;

/// One step: a time and exactly one thing that happens then.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, in milliseconds from the beginning of the load.
    pub at_ms: u64,
    /// A part that is killed with SIGKILL.
    pub kill: Option<String>,
    /// A part that is started again.
    pub restart: Option<String>,
    /// A gateway and a node that hear each other no more: `"gateway-1 node-1"`.
    pub cut: Option<String>,
    /// A gateway and a node that hear each other again.
    pub heal: Option<String>,
    /// Which way is cut.
    pub way: Option<Way>,
    /// What is paid into every wallet.
    pub top_up: Option<Nanos>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'a> {
    /// Kills a part.
    Kill(&'a str),
    /// Starts a part again.
    Restart(&'a str),
    /// Cuts a gateway and a node off each other.
    Cut(&'a str, &'a str, Way),
    /// Lets them hear each other.
    Heal(&'a str, &'a str),
    /// Pays into every wallet.
    TopUp(Nanos),
}

// === impl Step ===

impl Step {
    /// When it happens, from the beginning of the load.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }

    /// What it does; none where that is not exactly one thing.
    #[must_use]
    pub fn act(&self) -> Option<Act<'_>> {
        let way = self.way.unwrap_or_default();
        let mut acts = Vec::new();
        acts.extend(self.kill.as_deref().map(Act::Kill));
        acts.extend(self.restart.as_deref().map(Act::Restart));
        acts.extend(self.cut.as_deref().and_then(split).map(|(g, n)| Act::Cut(g, n, way)));
        acts.extend(self.heal.as_deref().and_then(split).map(|(g, n)| Act::Heal(g, n)));
        acts.extend(self.top_up.map(Act::TopUp));
        match acts.as_slice() {
            [act] if self.count() == 1 => Some(*act),
            _ => None,
        }
    }

    /// The names of the things that it says happen.
    pub(super) fn count(&self) -> usize {
        let parts = [&self.kill, &self.restart, &self.cut, &self.heal];
        parts.iter().filter(|part| part.is_some()).count() + usize::from(self.top_up.is_some())
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once(' ')
}
