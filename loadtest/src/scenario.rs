//! A scenario file: who drives what, at which rate, and what goes wrong when.
//!
//! Unknown keys are errors, and everything is checked before a process is started. Amounts are decimals in quotes, times whole
//! milliseconds from the beginning of the load.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod check;
mod step;

pub use step::{Act, Step};

use crate::nanos::Nanos;

/// Gateways of a fleet at most.
pub const GATEWAYS_MAX: usize = 16;
/// Balance-sync nodes of a fleet at most.
pub const NODES_MAX: usize = 8;
/// Developers at most; each is looked at ten times a second.
pub const DEVELOPERS_MAX: usize = 64;
/// Connections to one gateway at most.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Calls a second at most.
pub const RATE_MAX: u64 = 1_000_000;
/// The longest load.
pub const SPAN_MAX: Duration = Duration::from_secs(3_600);
/// Steps of a scenario at most.
pub const STEPS_MAX: usize = 64;
/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a run does.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the report is called.
    pub title: String,
    /// Processes to start. Either this or `target`.
    pub fleet: Option<FleetSection>,
    /// Processes that run already. Either this or `fleet`.
    pub target: Option<TargetSection>,
    /// Who calls, and with how much money.
    pub wallets: WalletsSection,
    /// How hard.
    pub load: LoadSection,
    /// What happens meanwhile, in the order of `at_ms`.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// `[fleet]`: processes of this machine over one SQLite file.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSection {
    /// Gateway processes: `gateway-1` and so on.
    pub gateways: usize,
    /// Balance-sync processes: `node-1` and so on.
    pub nodes: usize,
    /// How often a gateway reports.
    #[serde(default = "sync_interval_ms")]
    pub sync_interval_ms: u64,
    /// The oldest balance that admits a call.
    #[serde(default = "staleness_limit_ms")]
    pub staleness_limit_ms: u64,
}

/// `[target]`: what runs somewhere already. Nothing of it can be killed or cut.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSection {
    /// `http://host:port` of every gateway.
    pub gateways: Vec<String>,
    /// `http://host:port` of balance-sync nodes; the first that answers is asked for balances.
    pub nodes: Vec<String>,
    /// `http://host:port` of the management API.
    pub management: String,
    /// File with a bearer token that may manage.
    pub token_file: PathBuf,
    /// The gateways' name of the proxy that is called.
    pub proxy: String,
    /// A path below that proxy.
    pub path: String,
    /// How often a gateway reports.
    #[serde(default = "sync_interval_ms")]
    pub sync_interval_ms: u64,
    /// The oldest balance that admits a call.
    #[serde(default = "staleness_limit_ms")]
    pub staleness_limit_ms: u64,
}

/// `[wallets]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WalletsSection {
    /// Developers, each with a wallet of its own, who take turns.
    #[serde(default = "one")]
    pub developers: usize,
    /// What happens beyond the balance; each entry is a run of its own.
    pub overspend: Vec<Overspend>,
    /// What a call costs.
    pub price: Nanos,
    /// In which currency.
    pub currency: String,
    /// What each wallet begins with.
    pub credit: Nanos,
}

/// What a wallet lets through beyond its balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overspend {
    /// What gateways do not know of each other yet.
    Optimistic,
    /// Nothing.
    Strict,
}

/// `[load]`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSection {
    /// Over all gateways and developers; open loop.
    pub calls_per_second: u64,
    /// How long.
    pub span_ms: u64,
    /// Connections to each gateway: calls that it may have open at a time.
    #[serde(default = "connections")]
    pub connections: usize,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be used as it is.
    #[error("{place}: {text}")]
    Wrong {
        /// The file, and the line where it is known.
        place: String,
        /// The key and what is wrong with it.
        text: String,
    },
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    key: String,
    text: String,
}

fn sync_interval_ms() -> u64 {
    100
}

fn staleness_limit_ms() -> u64 {
    10_000
}

fn one() -> usize {
    1
}

fn connections() -> usize {
    16
}

// === impl Scenario ===

impl Scenario {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ScenarioError`], which names the file and the key.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let read = |source| ScenarioError::Read { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if size > FILE_BYTES_MAX {
            let text = format!("{size} bytes are more than {FILE_BYTES_MAX}");
            return Err(ScenarioError::Wrong { place: path.display().to_string(), text });
        }
        Self::parse(&path.display().to_string(), &std::fs::read_to_string(path).map_err(read)?)
    }

    /// Parses and checks a text; `name` is its file's, for messages.
    ///
    /// # Errors
    /// [`ScenarioError::Wrong`], which names the file and the key.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let key = before.rsplit('\n').next().and_then(|line| line.split_once('='));
            let text = match key {
                Some((key, _)) => format!("{}: {}", key.trim(), error.message()),
                None => error.message().to_owned(),
            };
            ScenarioError::Wrong { place: format!("{name}:{line}"), text }
        })?;
        scenario.check().map_err(|problem| ScenarioError::Wrong {
            place: name.to_owned(),
            text: format!("{}: {}", problem.key, problem.text),
        })?;
        Ok(scenario)
    }

    /// How long the load lasts.
    #[must_use]
    pub fn span(&self) -> Duration {
        Duration::from_millis(self.load.span_ms)
    }

    /// How often a gateway reports.
    #[must_use]
    pub fn sync_interval(&self) -> Duration {
        let target = self.target.as_ref().map(|target| target.sync_interval_ms);
        let own = self.fleet.map(|fleet| fleet.sync_interval_ms);
        Duration::from_millis(own.or(target).unwrap_or_else(sync_interval_ms))
    }

    /// The oldest balance that admits a call.
    #[must_use]
    pub fn staleness_limit(&self) -> Duration {
        let target = self.target.as_ref().map(|target| target.staleness_limit_ms);
        let own = self.fleet.map(|fleet| fleet.staleness_limit_ms);
        Duration::from_millis(own.or(target).unwrap_or_else(staleness_limit_ms))
    }
}

// === impl Overspend ===

impl Overspend {
    /// As scenario files and reports write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Overspend::Optimistic => "optimistic",
            Overspend::Strict => "strict",
        }
    }
}
