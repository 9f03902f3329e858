//! The one machine-readable line on stdout: that the process serves, and where.

use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

/// What serves where. Parts that do not run are left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ready {
    /// The first gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<String>,
    /// All gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<String>,
    /// The management API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) management: Option<String>,
    /// Balance-sync, and balances over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sync: Option<String>,
    /// Metrics and health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<String>,
    /// Where the admin token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// What a newcomer can call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demo: Option<ReadyDemo>,
}

/// A demo that is there to be called.
#[derive(Debug, Serialize)]
pub(crate) struct ReadyDemo {
    /// The organization.
    pub(crate) organization: String,
    /// The developer's e-mail address.
    pub(crate) developer: String,
    /// The consumer key.
    pub(crate) key: String,
    /// A URL that costs money to call.
    pub(crate) url: String,
    /// What one call costs.
    pub(crate) price: String,
    /// In which currency.
    pub(crate) currency: String,
}

// === impl Ready ===

impl Ready {
    /// Prints the line. Nobody listening on stdout is no reason to stop serving.
    pub(crate) fn print(&self) {
        let line = serde_json::to_string(self).expect("strings and lists have a JSON form");
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "ready {line}").and_then(|()| stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_run_are_left_out() {
        let ready = Ready { sync: Some("http://127.0.0.1:1".to_owned()), ..Ready::default() };
        assert_eq!(serde_json::to_string(&ready).unwrap(), r#"{"sync":"http://127.0.0.1:1"}"#);
    }
}
