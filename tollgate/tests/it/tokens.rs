//! `tollgate token` beside a process that runs.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use crate::support::api::get;
use crate::support::process::{self, standalone};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_command_line_works_at_once_and_no_longer_than_a_second_once_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    // A sub-folder of the process's: where its ledger is.
    let file = std::path::Path::new(process.text(&["admin_token_file"])).to_owned();
    let data = file.parent().unwrap().to_str().unwrap();
    let token = |words: &[&str]| {
        let rest = ["--data-dir", data];
        let output = process::run(["token"].iter().chain(words).chain(rest.iter()));
        (output.status.success(), process::texts(&output))
    };
    let (is_done, (made, _)) =
        token(&["create", "eve", "--role", "viewer", "--organization", "demo", "--days", "7"]);
    assert!(is_done && made.starts_with("tgt.eve."), "{made}");
    let (is_done, (_, told)) = token(&["create", "eve", "--role", "viewer"]);
    assert!(!is_done && told.contains("token eve already exists"), "{told}");
    let (is_done, (_, told)) = token(&["create", "acme", "--role", "provider"]);
    assert!(!is_done && told.contains("provider needs an organization"), "{told}");
    let (_, (listed, _)) = token(&["list"]);
    let shown: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&shown["name"], &shown["organization"]), (&"eve".into(), &"demo".into()));
    assert!(!listed.contains(made.trim().rsplit('.').next().unwrap()), "{listed}");

    let url = format!("{}/v1/organizations/demo/developers", process.text(&["management"]));
    let bearer = format!("Bearer {}", made.trim());
    let ask = async || get(&url, &[("authorization", &bearer)]).await.status;
    assert_eq!(ask().await, StatusCode::OK);
    let (is_done, (revoked, _)) = token(&["revoke", "eve"]);
    assert!(is_done, "{revoked}");
    let began = crate::support::now();
    while ask().await == StatusCode::OK {
        let took = crate::support::now() - began;
        assert!(took < Duration::from_secs(1), "still taken after {took:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
}
