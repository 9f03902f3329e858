//! What a node can be told: plain values.

use std::time::Duration;

use tollgate_metering::Units;

use crate::access::Access;

/// Most wallets that one stream subscribes to.
pub const SUBSCRIPTIONS_MAX: usize = 200_000;

/// Most streams at once.
pub const STREAMS_MAX: usize = 4_096;

/// Most wallets that one shard keeps in memory.
pub const WALLETS_MAX: usize = 1_000_000;

/// Commands that wait for one shard; senders wait beyond it.
pub const COMMANDS_MAX: usize = 4_096;

/// Messages that wait for one stream; snapshots wait in the shard beyond it.
pub const MESSAGES_MAX: usize = 1_024;

/// Reads of one shard under way at once.
pub const READS_MAX: usize = 64;

/// Reads of one shard in a second: what is subscribed beyond it is read less often.
pub const READ_PACE_MAX: u32 = 2_000;

/// Batches of one shard being written at once.
pub const BATCHES_MAX: usize = 4;

/// Rows of one batch.
pub const BATCH_ROWS_MAX: usize = 2_000;

/// Bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a stream may leave messages untaken.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long gateways are waited for when somebody asks what they believe.
pub const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a gateway's name.
pub const NAME_BYTES_MAX: usize = 128;

/// A node whose clock is further off the ledger's does not serve.
pub const CLOCK_OFFSET_MAX: Duration = Duration::from_secs(60);

/// What a node can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may call.
    pub access: Access,
    /// TLS of the listener; absent: none.
    pub tls: Option<Tls>,
    /// How often shards look at what is due, and push what changed.
    pub tick: Duration,
    /// How late dirty registers and holds of a rich wallet are written; one near its floor is
    /// written and told at each tick. Both at each tick where it is the same.
    pub persist_interval: Duration,
    /// How often a poor wallet is read again, at least: it waits for its top-up.
    pub read_interval: Duration,
    /// How late a rich wallet is read again, within its gateways' staleness limits.
    pub idle_read_interval: Duration,
    /// How often it is looked for minutes of usage history that are over.
    pub usage_interval: Duration,
    /// How long holds of a gateway that is gone count: the longest call + staleness limit + the
    /// age of knowledge.
    pub hold_life: Duration,
    /// How often the log of the catalogue's changes is read.
    pub catalogue_interval: Duration,
    /// How often clock and generation of the ledger are looked at.
    pub ledger_check_interval: Duration,
    /// How often housekeeping goes over the wallets.
    pub housekeeping_interval: Duration,
    /// How long a shutdown may take to persist.
    pub drain_timeout: Duration,
    /// Threads of wallets; 0: one a core.
    pub shards: usize,
    /// What bounds on overspend are computed from.
    pub exposure: ExposureTerms,
}

/// What bounds on overspend are computed from, beside what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureTerms {
    /// How long gateways wait at least before they report, however poor a wallet is.
    pub sync_interval_min: Duration,
    /// How long gateways wait at most before they report a rich wallet, and nodes before they tell.
    pub sync_interval_max: Duration,
    /// From gateway to node, or back.
    pub one_way: Duration,
    /// A write of the ledger.
    pub ledger_write: Duration,
    /// The staleness limit of the gateways.
    pub staleness_limit: Duration,
    /// The largest `max_multiplier` of the gateways' proxies; 1 where none reads a multiplier.
    pub multiplier_max: Units,
}

/// The listener's certificate, PEM.
#[derive(Clone)]
pub struct Tls {
    /// The chain, leaf first.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
    /// Who signs client certificates; absent: none are asked for.
    pub client_ca: Option<Vec<u8>>,
}

// === impl Settings ===

impl Settings {
    /// For a ledger in one file on this machine.
    #[must_use]
    pub fn for_file(access: Access) -> Settings {
        Settings {
            read_interval: Duration::from_millis(500),
            usage_interval: Duration::from_secs(1),
            exposure: ExposureTerms {
                one_way: Duration::from_millis(5),
                ledger_write: Duration::from_millis(50),
                ..ExposureTerms::default()
            },
            ..Settings::for_cluster(access)
        }
    }

    /// For a ledger on a cluster.
    #[must_use]
    pub fn for_cluster(access: Access) -> Settings {
        Settings {
            access,
            tls: None,
            tick: Duration::from_millis(20),
            persist_interval: Duration::from_secs(2),
            read_interval: Duration::from_secs(1),
            idle_read_interval: Duration::from_secs(4),
            usage_interval: Duration::from_secs(10),
            hold_life: Duration::from_secs(700),
            catalogue_interval: Duration::from_millis(250),
            ledger_check_interval: Duration::from_secs(2),
            housekeeping_interval: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(10),
            shards: 0,
            exposure: ExposureTerms::default(),
        }
    }
}

// === impl ExposureTerms ===

impl Default for ExposureTerms {
    /// Of machines in one region.
    fn default() -> ExposureTerms {
        ExposureTerms {
            sync_interval_min: Duration::from_millis(20),
            sync_interval_max: Duration::from_secs(2),
            one_way: Duration::from_millis(25),
            ledger_write: Duration::from_millis(100),
            staleness_limit: Duration::from_secs(10),
            multiplier_max: Units::ONE,
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has_client_ca = self.client_ca.is_some();
        f.debug_struct("Tls").field("has_client_ca", &has_client_ca).finish_non_exhaustive()
    }
}
