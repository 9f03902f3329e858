//! `tollgate ledger` on ledgers that were lived in: what it shows, what it finds, what it books.

use std::ffi::OsStr;
use std::path::Path;

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tollgate_ledger_store::{Commit, Ledger, LedgerMetrics, SqliteLedger};
use tollgate_metering::account::{Ceiling, Mode, Overspend, Stamp};
use tollgate_metering::{Account, DeveloperId, Incarnation, Money, WalletId};

use crate::support::api::{Portal, get, nanos};
use crate::support::parts::{Node, Site};
use crate::support::process::{self, Tollgate, standalone};

/// Runs `tollgate ledger` on a place and answers whether it succeeded, its stdout and its stderr.
fn ledger(command: &[&str], place: (&str, &Path)) -> (bool, String, String) {
    let words = ["ledger"].iter().chain(command).map(OsStr::new);
    let place = [OsStr::new(place.0), place.1.as_os_str()];
    let output = process::run(words.chain(place));
    let (said, told) = process::texts(&output);
    (output.status.success(), said, told)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An upstream that says of each call that it took as many units as the caller wants.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer =
        |headers: HeaderMap| async move { [("x-units", headers["x-wanted-units"].clone())] };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    url
}

/// A call that wants `units` where two are the most that a call may take, until all of it is in the ledger.
async fn call_beyond_the_maximum(site: &Site, node: Node, upstream: &str, key: &str, units: &str) {
    let proxy = format!(
        "[[proxy]]\nname = \"bulk\"\nbase_path = \"/bulk\"\ntarget = {upstream:?}\n\
         multiplier_header = \"x-units\"\nmax_multiplier = 2\n"
    );
    let gateway = site.gateway("gateway", &[&node], upstream, &proxy);
    let url = format!("{}/bulk", gateway.process.text(&["gateway"]));
    let answer = get(&url, &[("x-api-key", key), ("x-wanted-units", units)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    // The end of each reports, and persists, all that is left.
    assert!(gateway.process.stop().success());
    assert!(node.process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn suspense_is_listed_and_charged_or_written_off_once() {
    let upstream = upstream().await;
    let site = Site::on_sqlite();
    let node = site.node("node");
    let developer = site.developer(&node, 10).await;
    let product = json!({
        "name": "orders", "displayName": "Orders", "approvalType": "auto", "proxies": ["orders", "bulk"],
    });
    developer.portal.must(Method::PUT, "/apiproducts/orders", &product).await;
    call_beyond_the_maximum(&site, node, &upstream, &developer.key, "5").await;

    let config = site.path().join("node.toml");
    let of_node = ("--config", config.as_path());
    let listed = || {
        let (is_done, said, told) = ledger(&["suspense", "list"], of_node);
        assert!(is_done, "{told}");
        lines(&said)
    };
    let found = listed();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["open_units"], "3", "two of five were charged: {found:?}");
    let id = found[0]["id"].as_str().unwrap();
    let because = ["--reason", "agreed by telephone", "--id", id, "--transaction-id", "talk-1"];
    for _ in 0..2 {
        let (is_done, said, told) =
            ledger(&[&["suspense", "charge"], &because[..]].concat(), of_node);
        assert!(is_done, "{told}");
        assert_eq!(said, "3 units are decided; the balance is 9.95\n", "once, however often");
    }
    assert!(listed().is_empty());

    // What comes later is another register, for another decision.
    let node = site.node("node");
    call_beyond_the_maximum(&site, node, &upstream, &developer.key, "4").await;
    let found = listed();
    assert_eq!((found.len(), &found[0]["open_units"]), (1, &json!("2")), "{found:?}");
    let id = found[0]["id"].as_str().unwrap();
    let because = ["suspense", "write-off", "--reason", "our mistake", "--id", id];
    let (is_done, said, told) = ledger(&because, of_node);
    assert!(is_done, "{told}");
    assert_eq!(said, "2 units are decided; the balance is 9.93\n", "the two that were charged");
    assert!(listed().is_empty());

    let (is_done, _, told) =
        ledger(&["suspense", "charge", "--reason", "x", "--id", "x/y"], of_node);
    assert!(!is_done && told.contains("there is no suspense x/y"), "{told}");
    let (is_done, said, told) = ledger(&["verify"], of_node);
    assert!(is_done, "{said}{told}");

    // A slip in the name of the file makes no file.
    let slip = site.path().join("leger.sqlite");
    let (is_done, _, told) =
        ledger(&["suspense", "charge", "--reason", "x", "--id", id], ("--file", &slip));
    assert!(!is_done && told.contains("leger.sqlite"), "{told}");
    assert!(!slip.exists());
}

/// A demo with one call behind it, in `dir`.
async fn called_once(dir: &Path) {
    let process = standalone(dir, &[]);
    call(&process).await;
    assert!(process.stop().success());
}

async fn call(process: &Tollgate) {
    let key = process.text(&["demo", "key"]);
    let answer = get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_shown_and_a_wrong_sum_is_found() {
    let dir = tempfile::tempdir().unwrap();
    called_once(dir.path()).await;
    let here = ("--data-dir", dir.path());

    let (is_done, said, told) = ledger(&["export"], here);
    assert!(is_done, "{told}");
    let rows = lines(&said);
    for kind in ["ledger", "incarnation", "wallet", "register", "entry"] {
        assert!(rows.iter().any(|row| row["row"] == kind), "no {kind} in {said}");
    }
    let wallet = rows.iter().find(|row| row["row"] == "entry").unwrap()["wallet"].as_str().unwrap();
    let (is_done, said, told) = ledger(&["inspect"], here);
    assert!(is_done && said.contains(wallet) && said.contains("0.99"), "{said}{told}");
    let (is_done, said, told) = ledger(&["inspect", "--wallet", wallet], here);
    assert!(is_done && said.contains("demo-first-credit"), "{said}{told}");
    let nobody = uuid::Uuid::new_v4().to_string();
    let (is_done, _, told) = ledger(&["inspect", "--wallet", &nobody], here);
    assert!(!is_done && told.contains(&format!("there is no wallet {nobody}")), "{told}");

    let (is_done, said, told) = ledger(&["verify"], here);
    assert!(is_done && said.contains("balances in EUR sum to 0.99"), "{said}{told}");
    let file = dir.path().join("ledger-1.sqlite");
    let row = "UPDATE wallet SET credited = '2'";
    assert_eq!(rusqlite::Connection::open(&file).unwrap().execute(row, []).unwrap(), 1);
    let (is_done, said, _) = ledger(&["verify"], here);
    assert!(!is_done, "{said}");
    assert!(said.contains(&format!("{wallet}: ")) && said.contains("1 findings"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_hears_of_every_call_and_each_payment_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup.sqlite");
    let data = dir.path().join("data");
    let process = standalone(&data, &[]);
    let portal = Portal::of_demo(&process);
    call(&process).await;
    assert!(portal.credit(5, "before").await.unwrap().status.is_success());
    portal.balance_becomes(nanos("5.99")).await;
    let file = data.join("ledger-1.sqlite");
    let copy = "VACUUM INTO ?1";
    let path = backup.to_str().unwrap();
    rusqlite::Connection::open(&file).unwrap().execute(copy, [path]).unwrap();
    assert!(portal.credit(3, "after").await.unwrap().status.is_success());
    call(&process).await;
    assert!(process.stop().success());
    // An incarnation that the backup has never heard of.
    called_once(&data).await;

    let output = process::run(
        ["ledger", "restore", "--from", path, "--data-dir", data.to_str().unwrap()].map(OsStr::new),
    );
    let (said, told) = process::texts(&output);
    assert!(output.status.success() && said.contains("ledger-2.sqlite"), "{said}{told}");
    let process = standalone(&data, &[]);
    let portal = Portal::of_demo(&process);
    portal.balance_becomes(nanos("6") - 3 * nanos("0.01")).await;
    for id in ["before", "after"] {
        let units = if id == "before" { 5 } else { 3 };
        assert!(portal.credit(units, id).await.unwrap().status.is_success());
    }
    portal.balance_becomes(nanos("9") - 3 * nanos("0.01")).await;
    call(&process).await;
    portal.balance_becomes(nanos("9") - 4 * nanos("0.01")).await;
    assert!(process.stop().success());
    let (is_done, said, told) = ledger(&["verify"], ("--data-dir", &data));
    assert!(is_done && said.contains("balances in EUR sum to 8.96"), "{said}{told}");

    let (is_done, _, told) =
        ledger(&["restore", "--from", "/nowhere.sqlite"], ("--data-dir", &data));
    assert!(!is_done && told.contains("/nowhere.sqlite"), "{told}");
    assert!(!data.join("ledger-3.sqlite").exists());
}

/// A ledger file with a strict wallet of which a gateway that is gone may have spent 4.
async fn with_a_lost_grant(file: &Path) -> (SqliteLedger, Incarnation, WalletId) {
    let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
    let ledger = SqliteLedger::open(file, metrics).unwrap();
    let now = ledger.clock().await.unwrap();
    let lost = uuid::Uuid::new_v4();
    let lost = ledger.register_incarnation(lost, "gateway-7", now).await.unwrap();
    let wallet = WalletId(uuid::Uuid::new_v4());
    let developer = DeveloperId(uuid::Uuid::new_v4());
    let eur = "EUR".parse().unwrap();
    let mut account = Account::unopened(wallet, "acme", developer, eur, 1, now);
    account.header.mode = Mode::opened(Overspend::Strict);
    let change = account.change();
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    let mut change = account.change();
    let (draw, settled) = ("4".parse().unwrap(), Money::ZERO);
    let stamp = Stamp { mode: 1, epoch: 1, counter: 1 };
    let grant = Ceiling { stamp, draw, most: draw, settled, is_retired: false };
    change.ceilings.insert(lost, Some(grant));
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    (ledger, lost, wallet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_gateways_grant_is_given_back_by_an_operators_word() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger-1.sqlite");
    let (store, lost, wallet) = with_a_lost_grant(&file).await;
    let reserved = async || {
        let account = store.read(wallet).await.unwrap().unwrap().account;
        account.reserved().unwrap().to_string()
    };
    let here = ("--file", file.as_path());
    let (is_done, said, told) = ledger(&["inspect"], here);
    assert!(is_done && said.lines().nth(1).unwrap().contains(" 4 "), "{said}{told}");

    let id = lost.id.to_string();
    let because = ["retire", &id, "--by", "ann", "--reason", "its disk is lost"];
    let (is_done, said, told) = ledger(&[&because[..], &["--dry-run"]].concat(), here);
    assert!(is_done, "{told}");
    assert!(said.contains(&format!("{wallet}: 4 EUR reserved")), "{said}");
    assert!(said.ends_with(&format!("{id} of gateway-7: 1 wallets would be freed\n")), "{said}");
    assert_eq!(reserved().await, "4", "nothing has changed");
    assert_eq!(store.registrations().await.unwrap()[0].retired_at, None);

    let (is_done, said, told) = ledger(&because, here);
    assert!(is_done && said.contains("1 wallets were retired"), "{said}{told}");
    assert_eq!(reserved().await, "0");
    let retired_at = store.registrations().await.unwrap()[0].retired_at;
    assert!(retired_at.is_some());
    // Said again, by somebody else, it stays the first one's word.
    let again = ["retire", &id, "--by", "bob", "--reason", "me too"];
    let (is_done, said, told) = ledger(&again, here);
    assert!(is_done && said.contains("0 wallets were retired"), "{said}{told}");
    assert!(told.contains("it was retired by ann before: its disk is lost"), "{told}");
    assert_eq!(store.registrations().await.unwrap()[0].retired_at, retired_at);
    let (is_done, said, told) = ledger(&["inspect"], here);
    let line = format!("incarnation {id} of gateway-7 was retired at");
    assert!(
        is_done && said.contains(&line) && said.contains("by ann: its disk is lost"),
        "{said}{told}"
    );

    let nobody = uuid::Uuid::new_v4().to_string();
    let unknown = ["retire", &nobody, "--by", "ann", "--reason", "x"];
    let (is_done, _, told) = ledger(&unknown, here);
    assert!(!is_done && told.contains(&format!("no incarnation {nobody}")), "{told}");
}
