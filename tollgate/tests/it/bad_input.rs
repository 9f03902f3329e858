//! Bad input of every kind gets a clear error and changes nothing.

use std::path::Path;

use hyper::{Method, StatusCode};

use crate::support::api::{Portal, get, nanos};
use crate::support::eventually;
use crate::support::parts::Site;
use crate::support::process::{self, Tollgate, command, standalone, standalone_command};
use crate::support::upstream::Upstream;

/// Starts what must not start, and answers what it said.
fn refused(start: std::process::Command) -> String {
    match Tollgate::try_start(start) {
        Ok(process) => panic!("it started: {}", process.ready),
        Err((status, said)) => {
            assert!(!status.success());
            assert_eq!(
                status.code().map(|code| code < 100),
                Some(true),
                "it was no crash: {status}: {said}"
            );
            said
        }
    }
}

#[test]
fn a_typo_in_a_configuration_names_file_line_and_key_and_binds_no_port() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tollgate.toml");
    let rows = [
        ("[standalone]\ngatways = 2\n", ":2: ", "gatways"),
        ("[standalone]\ngateways = 99\n", ":2: ", "standalone.gateways"),
        ("[[proxy]]\nname = \"a\"\ntarget = \"ftp://x\"\n", ":3: ", "target"),
        ("[telemetry]\notlp_endpoint = \"collector\"\n", ":2: ", "otlp_endpoint"),
        ("[wallets]\nsync_interval_min_ms = 5\n", ":2: ", "wallets.sync_interval_min_ms"),
        ("[wallets]\nsync_interval_max_ms = 15\n", ":2: ", "wallets.sync_interval_max_ms"),
        (
            "[wallets]\nsync_interval_ms = 100\nsync_interval_max_ms = 900\n",
            ":2: ",
            "wallets.sync_interval_ms",
        ),
        ("[log]\nformat = \"xml\"\n", ":2: ", "format"),
        ("[log\n", ":1: ", ""),
    ];
    for (text, line, key) in rows {
        std::fs::write(&file, text).unwrap();
        let mut start = standalone_command(&dir.path().join("data"), &[]);
        start.arg("--config").arg(&file);
        let said = refused(start);
        let place = format!("{}{line}", file.display());
        assert!(said.contains(&place) && said.contains(key), "{text}: {said}");
        assert!(!dir.path().join("data").exists(), "{text}: it left something behind");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    for part in ["gateway", "balance-sync"] {
        let said = refused(command([part, "--config", "/nowhere/tollgate.toml"]));
        assert!(said.contains("/nowhere/tollgate.toml"), "{said}");
    }
}

#[test]
fn a_ledger_file_that_is_not_ours_is_named_and_left_alone() {
    for content in [
        b"this is a letter to my aunt, and long enough to have a page header in it".to_vec(),
        foreign_database(),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger-1.sqlite");
        std::fs::write(&file, &content).unwrap();
        let said = refused(standalone_command(dir.path(), &[]));
        assert!(said.contains("ledger-1.sqlite"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
        let output = process::run([
            "ledger".as_ref(),
            "verify".as_ref(),
            "--data-dir".as_ref(),
            dir.path().as_os_str(),
        ]);
        assert!(!output.status.success());
        assert!(
            process::texts(&output).1.contains("ledger-1.sqlite"),
            "{:?}",
            process::texts(&output)
        );
    }
}

/// A sound database of another program.
fn foreign_database() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other.sqlite");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE letters (text TEXT); INSERT INTO letters VALUES ('dear aunt');",
        )
        .unwrap();
    drop(connection);
    std::fs::read(file).unwrap()
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut start = command(["standalone", "--data-dir"]);
    start.arg(dir.path()).args([
        "--gateway-listen",
        "127.0.0.1:0",
        "--management-listen",
        &address,
    ]);
    start.args(["--sync-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    let said = refused(start);
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = standalone(dir.path(), &[]);
    let said = refused(standalone_command(dir.path(), &[]));
    assert!(said.contains(&dir.path().display().to_string()), "{said}");
    assert!(first.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_to_the_management_api_changes_no_balance() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    let credit = |amount: &str, id: &str| {
        format!(r#"{{"transactionAmount":{amount},"transactionId":"{id}"}}"#)
    };
    let euros = |units: &str| format!(r#"{{"currencyCode":"EUR","units":"{units}"}}"#);
    let rows = [
        ("balance:credit", "{\"transactionAmount\"".to_owned()),
        ("balance:credit", credit(&euros("5"), "a").replace("transactionId", "transactionIdd")),
        ("balance:credit", credit(r#"{"currencyCode":"EURO","units":"5"}"#, "a")),
        ("balance:credit", credit(r#"{"currencyCode":"EUR","units":"5","nanos":1000000000}"#, "a")),
        ("balance:credit", credit(r#"{"currencyCode":"EUR","units":"5.0000000001"}"#, "a")),
        ("balance:credit", credit(&euros("9223372036854775808"), "a")),
        ("balance:credit", credit(&euros("9223372036854775807"), "a")),
        ("balance:credit", credit(&euros("-5"), "a")),
        ("balance:credit", credit(&euros("2"), "demo-first-credit")),
        ("balance:adjust", r#"{"adjustment":{"currencyCode":"XXX","units":"1"}}"#.to_owned()),
        (
            "balance:adjust",
            r#"{"adjustment":{"currencyCode":"EUR","units":"1","nanos":-5}}"#.to_owned(),
        ),
    ];
    for (verb, body) in rows {
        let path = format!("/developers/{}/{verb}", portal.developer);
        let answer = portal.send(Method::POST, &path, Some(&body)).await.unwrap();
        assert!(answer.status.is_client_error(), "{body}: {answer:?}");
        assert!(answer.body.contains("\"message\""), "{body}: {answer:?}");
        assert_eq!(portal.try_balance().await.unwrap(), nanos("1"), "{body}");
    }
    // The documents' own samples end with a comma, and are taken.
    let sample = r#"{"adjustment":{"currencyCode":"EUR","units":"-50","nanos":"100000000",},}"#;
    let path = format!("/developers/{}/balance:adjust", portal.developer);
    let answer = portal.send(Method::POST, &path, Some(sample)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(portal.try_balance().await.unwrap(), nanos("51.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_credits_clearly_and_loses_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let pages = pages_of(&dir.path().join("ledger-1.sqlite"));
    assert!(process.stop().success());
    // As many pages as it has now: a disk that is full from here on.
    let file = dir.path().join("tollgate.toml");
    std::fs::write(&file, format!("[standalone]\nledger_pages_max = {pages}\n")).unwrap();
    let process = standalone(dir.path(), &["--config", file.to_str().unwrap()]);
    let portal = Portal::of_demo(&process);
    let before = portal.try_balance().await.unwrap();
    let mut credited = 0;
    let refused = eventually("a credit meets the full disk", || {
        credited += 1;
        let (portal, id) = (&portal, format!("credit-{credited}-{}", "x".repeat(80)));
        async move {
            let answer = portal.credit(1, &id).await?;
            if answer.status == StatusCode::OK {
                Err("it was taken".to_owned())
            } else {
                Ok(answer)
            }
        }
    })
    .await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    let taken = i128::from(credited) - 1;
    let key = process.text(&["demo", "key"]);
    let answer = get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await;
    assert_eq!(answer.status, StatusCode::OK, "calls go on from memory: {answer:?}");
    assert!(process.stop().code().is_some());

    let process = standalone(dir.path(), &[]);
    Portal::of_demo(&process).balance_becomes(before + nanos("1") * taken - nanos("0.01")).await;
}

fn pages_of(ledger: &Path) -> u32 {
    let connection = rusqlite::Connection::open(ledger).unwrap();
    connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_takes_no_writes_for_a_while_refuses_credits_and_loses_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    let call = async || {
        let key = process.text(&["demo", "key"]);
        get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await.status
    };
    assert_eq!(call().await, StatusCode::OK);
    // Another program that holds the file's one write lock.
    let other = rusqlite::Connection::open(dir.path().join("ledger-1.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(call().await, StatusCode::OK, "calls go on from memory");
    let refused = portal.credit(5, "meanwhile").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert_eq!(call().await, StatusCode::OK);
    other.execute_batch("ROLLBACK").unwrap();
    portal.balance_becomes(nanos("0.97")).await;
    assert_eq!(portal.credit(5, "meanwhile").await.unwrap().status, StatusCode::OK);
    portal.balance_becomes(nanos("5.97")).await;
    assert!(process.stop().success());
}

#[test]
fn a_ledger_that_is_down_at_the_start_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret-of-the-test").unwrap();
    let file = dir.path().join("node.toml");
    let text = format!(
        "[sync]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [[token]]\nname = \"gateways\"\nsecret = {{ file = {token:?} }}\nrole = \"gateway\"\n\
         [ledger.cassandra]\nnodes = [\"127.0.0.9:9\"]\nkeyspace_prefix = \"tollgate\"\nstart_timeout_ms = 500\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut start = command(["balance-sync", "--config"]);
    start.arg(&file);
    let said = refused(start);
    assert!(said.contains("127.0.0.9:9") && said.contains("ledger"), "{said}");
    assert!(!said.contains("secret-of-the-test"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_balance_sync_calls_pass_until_the_staleness_limit_and_again_after_its_return() {
    let upstream = Upstream::start().await;
    let site = Site::on_sqlite();
    let node = site.node("node");
    let developer = site.developer(&node, 100).await;
    let limit = "[wallets]\nstaleness_limit_ms = 1000\n";
    let gateway = site.gateway("gateway", &[&node], &upstream.url, limit);
    let ready = format!("{}/readyz", gateway.process.text(&["metrics"]));
    let call = async || get(&gateway.url(), &[("x-api-key", developer.key.as_str())]).await;
    assert_eq!(call().await.status, StatusCode::OK);
    assert_eq!(get(&ready, &[]).await.status, StatusCode::OK);

    let restart = site.kill_node(node);
    assert_eq!(call().await.status, StatusCode::OK, "what was known a moment ago still holds");
    let refused = eventually("calls are refused when the snapshot is too old", || async {
        let answer = call().await;
        if answer.status == StatusCode::OK { Err("it passed".to_owned()) } else { Ok(answer) }
    })
    .await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    eventually("the gateway is not ready", || async {
        let answer = get(&ready, &[]).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;

    let _node = restart();
    eventually("calls pass again without a restart of the gateway", || async {
        let answer = call().await;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    eventually("the gateway is ready again", || async {
        let answer = get(&ready, &[]).await;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let charged = i128::from(upstream.calls()) * nanos("0.01");
    developer.portal.balance_becomes(nanos("100") - charged).await;
}
