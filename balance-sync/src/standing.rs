//! Whether this node serves, and which ledger it serves.

use std::time::Duration;

use tokio::sync::watch;

use crate::refusal::Refusal;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ledger was not reached yet.
    Starting,
    /// It serves the ledger of this generation.
    Serving {
        /// The generation.
        generation: u32,
    },
    /// Its clock is further off the ledger's than a clock may be.
    ClockOff {
        /// How far.
        offset: Duration,
    },
    /// It persists what it has and ends its streams.
    Draining,
}

/// Tells where a node stands; for readiness probes.
#[derive(Clone, Debug)]
pub struct StandingWatch(watch::Sender<Standing>);

// === impl Standing ===

impl Standing {
    /// The generation that is served.
    pub(crate) fn generation(self) -> Result<u32, Refusal> {
        match self {
            Standing::Serving { generation } => Ok(generation),
            Standing::Starting => Err(Refusal::Starting),
            Standing::ClockOff { offset } => Err(Refusal::Clock { offset }),
            Standing::Draining => Err(Refusal::Draining),
        }
    }
}

// === impl StandingWatch ===

impl Default for StandingWatch {
    fn default() -> StandingWatch {
        StandingWatch(watch::Sender::new(Standing::Starting))
    }
}

impl StandingWatch {
    /// Where the node stands now.
    #[must_use]
    pub fn now(&self) -> Standing {
        *self.0.borrow()
    }

    /// Whether the node serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self.now(), Standing::Serving { .. })
    }

    pub(crate) fn set(&self, standing: Standing) {
        self.0.send_if_modified(|now| {
            let is_new = *now != standing && *now != Standing::Draining;
            if is_new {
                *now = standing;
            }
            is_new
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }
}
