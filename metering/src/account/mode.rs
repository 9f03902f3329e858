//! What a wallet does when its balance may be stale, and how a change of that is counted.

use std::fmt;
use std::str::FromStr;

/// What a wallet does when its balance may be stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overspend {
    /// Calls pass on a stale balance; the wallet may go below its floor by a bounded amount.
    #[default]
    Optimistic,
    /// Calls pass only under a grant; the wallet never goes below its floor by calls.
    Strict,
}

/// Text that is not an overspend policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an overspend policy: optimistic or strict")]
pub struct OverspendError;

/// The overspend policy in force, counted so that a change of it is seen by every gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// The policy.
    pub overspend: Overspend,
    /// Changes of the policy so far.
    pub counter: u64,
    /// Whether some incarnation may still have calls of the mode before it open: until none has,
    /// nobody admits anything.
    pub is_changing: bool,
}

// === impl Overspend ===

impl Overspend {
    /// Every policy.
    pub const ALL: [Overspend; 2] = [Overspend::Optimistic, Overspend::Strict];

    /// The word that stands for it, stored and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Overspend::Optimistic => "optimistic",
            Overspend::Strict => "strict",
        }
    }
}

impl fmt::Display for Overspend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Overspend {
    type Err = OverspendError;

    fn from_str(word: &str) -> Result<Overspend, OverspendError> {
        let found = Overspend::ALL.into_iter().find(|policy| policy.as_str() == word);
        found.ok_or(OverspendError)
    }
}

// === impl Mode ===

impl Mode {
    /// Of a wallet that is opened with this policy. Wallets begin as optimistic ones, so another
    /// policy is a change of it, which nobody has to acknowledge: no gateway knows the wallet.
    #[must_use]
    pub const fn opened(overspend: Overspend) -> Mode {
        let counter = match overspend {
            Overspend::Optimistic => 0,
            Overspend::Strict => 1,
        };
        Mode { overspend, counter, is_changing: false }
    }
}
