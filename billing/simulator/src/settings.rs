//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};

/// What becomes of a subscription whose invoice could not be collected to the last attempt; Stripe's dashboard sets it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailures {
    /// It ends.
    Cancel,
    /// It is `unpaid`: its invoices stay drafts.
    Unpaid,
    /// It stays `past_due`.
    PastDue,
}

/// Settings of a simulator; the default is what a test wants: loopback, any free port, real time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Id of the account that exists from the start.
    pub account: String,
    /// Seeds ids, faults and disorder of webhooks: the same requests give the same ids.
    pub seed: u64,
    /// Unix time in seconds at which the clock stands until it is moved; `None` follows the machine's clock.
    pub frozen_at_s: Option<i64>,
    /// API version of requests that name none, and of webhooks.
    pub api_version: String,
    /// How long a bank debit is `processing`, in seconds of the simulator's clock.
    pub bank_debit_s: i64,
    /// What becomes of a subscription that is not paid.
    pub after_failures: AfterFailures,
    /// How long search does not see a new object, in seconds of the simulator's clock; a minute or more at Stripe.
    pub search_lag_s: i64,
    /// Longest time that a hanging answer keeps its connection, in milliseconds of real time.
    pub hang_max_ms: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account: "acct_1TollgateSimulator".to_owned(),
            seed: 1,
            frozen_at_s: None,
            api_version: "2026-10-28.endive".to_owned(),
            bank_debit_s: 4 * 24 * 3600,
            after_failures: AfterFailures::Cancel,
            search_lag_s: 0,
            hang_max_ms: 60_000,
        }
    }
}
