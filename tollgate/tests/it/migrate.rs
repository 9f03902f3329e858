//! `tollgate migrate`: an export of Edge in `edge_export`, moved, killed in the middle and moved again.

use std::path::Path;
use std::process::{Command, Stdio};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Portal, request};
use crate::support::process::{self, Tollgate, standalone, texts};

const X: &str = "/v1/organizations/moved";
const MINT: &str = "/v1/mint/organizations/moved";
const ADA: &str = "developers/ada@example.com";

/// A running process, and a file with its token.
struct Site {
    process: Tollgate,
    url: String,
    token: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_and_repeated_books_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path());
    let report = dir.path().join("report.json");

    // A dry run changes nothing.
    let dry = site.migrate(&["--report", report.to_str().unwrap()]).output().unwrap();
    assert!(dry.status.success(), "{:?}", texts(&dry));
    let told: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(told["isApplied"], false);
    assert_eq!(told["counts"]["transaction"], json!({"done": 301, "there": 0, "failed": 0}));
    assert_eq!(site.get(X).await.0, StatusCode::NOT_FOUND);

    // Killed as soon as some of the transactions are booked.
    let mut first = site.migrate(&["--apply"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::support::eventually("a transaction is booked", || async {
        let (_, balance) = site.get(&format!("{X}/{ADA}/balance")).await;
        let balance = &balance["wallets"][0]["balance"];
        // 550.875 is the credit, before any of it is taken back off.
        match balance["units"].as_str() {
            Some(units) if units != "550" || balance["nanos"] != 875_000_000 => Ok(()),
            _ => Err(format!("{balance}")),
        }
    })
    .await;
    first.kill().unwrap();
    first.wait().unwrap();
    let (_, balance) = site.get(&format!("{X}/{ADA}/balance")).await;
    assert_ne!(balance["wallets"][0]["balance"]["units"], "94", "killed too late: {balance}");

    for _ in 0..2 {
        let args = ["--apply", "--report", report.to_str().unwrap()];
        let done = site.migrate(&args).output().unwrap();
        let told: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert!(done.status.success(), "{:?} {told}", texts(&done));
        assert_eq!(told["failures"], json!([]));
        assert_eq!(told["balances"][0]["edge"], "94.375", "{told}");
        assert_eq!(told["balances"][0]["here"], "94.375", "{told}");
        assert_eq!(told["balances"][1]["here"], "-2.5", "{told}");
        let left: Vec<&str> = told["left"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["what"].as_str().unwrap())
            .collect();
        for what in ["report-definitions.json", "favouriteColour", "before 2026-11-01", "SUCCESS"] {
            assert!(left.iter().any(|left| left.contains(what)), "{what}: {left:?}");
        }
    }
    site.is_as_at_edge().await;
}

// === impl Site ===

impl Site {
    fn start(dir: &Path) -> Site {
        let process = standalone(dir, &[]);
        let Portal { url, token, .. } = Portal::of_demo(&process);
        Site { process, url, token }
    }

    fn migrate(&self, more: &[&str]) -> Command {
        let export = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/edge_export");
        let token = self.process.text(&["admin_token_file"]);
        let mut command = process::command(["migrate", "--from-edge", export]);
        command.args(["--organization", "moved", "--usage-from", "2026-11-01"]);
        command.args(["--management", &self.url, "--token-file", token]).args(more);
        command
    }

    /// Ids, keys and states of Edge, and what was used.
    async fn is_as_at_edge(&self) {
        let (_, app) = self.get(&format!("{X}/{ADA}/apps/weather-app")).await;
        assert_eq!(app["appId"], "6a9b1afc-2110-43d6-bae7-1b137aecb05b", "{app}");
        let keys = app["credentials"].as_array().unwrap();
        // The key that making an app makes is gone.
        assert_eq!(keys.len(), 2, "{app}");
        for (name, status) in [("EdgeKeyOfAda1", "approved"), ("EdgeKeyOfAda2", "revoked")] {
            let key = keys.iter().find(|key| key["consumerKey"] == name).unwrap();
            assert_eq!(key["status"], status, "{key}");
            assert_eq!(key["apiProducts"][0]["apiproduct"], "weather", "{key}");
        }
        let (_, bob) = self.get(&format!("{X}/developers/bob@example.com")).await;
        assert_eq!(bob["status"], "inactive", "{bob}");
        let (_, plan) = self.get(&format!("{MINT}/rate-plans/basic_per-call")).await;
        assert_eq!(plan["published"], true, "{plan}");
        let (_, held) = self.get(&format!("{MINT}/{ADA}/developer-accepted-rateplans")).await;
        assert_eq!(held["totalRecords"], 1, "{held}");
        assert_eq!(held["developerRatePlan"][0]["startDate"], "2020-02-01 00:00:00", "{held}");
        let (_, counters) = self.get(&format!("{MINT}/{ADA}/developer-balances")).await;
        let counters = &counters["developerBalance"][0];
        // 45,150 calls at 0.01 and the fee of 5.
        assert_eq!((&counters["amount"], &counters["usage"]), (&json!(550.875), &json!(456.5)));
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        let url = format!("{}{path}", self.url);
        let answer = request(Method::GET, &url, &headers, None).await.unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }
}
