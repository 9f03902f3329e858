//! `tollgate doctor`: finds what is broken on purpose, and takes nobody else's money.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::api::Portal;
use crate::support::parts::Site;
use crate::support::process::{self, command, texts};
use crate::support::upstream::Upstream;

/// What the doctor said, as JSON.
struct Findings(Value, bool);

/// Runs the doctor in a thread of its own, since the servers of a test run in this one's runtime.
async fn doctor(config: &Path, more: &[&str]) -> Findings {
    let mut doctor = command(["doctor", "--json", "--config"]);
    doctor.arg(config).args(more);
    let output = tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap();
    let (stdout, stderr) = texts(&output);
    let found = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    Findings(found, output.status.success())
}

// === impl Findings ===

impl Findings {
    /// That a check about `subject` ended as `outcome` and found `text`.
    fn must(&self, check: &str, subject: &str, outcome: &str, text: &str) {
        let has = |entry: &Value, key: &str, text: &str| {
            entry[key].as_str().is_some_and(|found| found.contains(text))
        };
        let is_said = self.0["checks"].as_array().unwrap().iter().any(|entry| {
            entry["check"] == check
                && entry["outcome"] == outcome
                && has(entry, "subject", subject)
                && has(entry, "found", text)
        });
        assert!(is_said, "no {check} of {subject} that is {outcome}, {text}, in {:#}", self.0);
        if outcome == "fail" {
            assert!(!self.1, "a failed check is an exit code above 0");
        }
    }

    fn is_sound(&self) {
        assert!(self.1, "{:#}", self.0);
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The configuration of a standalone process whose ports are known.
fn standalone_config(dir: &Path, ports: [u16; 4], upstream: &str) -> PathBuf {
    let mut text = format!("[standalone]\ndata_dir = {:?}\ndemo = false\n", dir.join("data"));
    let names = ["gateway_listen", "management_listen", "sync_listen", "metrics_listen"];
    for (name, port) in names.iter().zip(ports) {
        let _ = writeln!(text, "{name} = \"127.0.0.1:{port}\"");
    }
    let _ = write!(
        text,
        "[[proxy]]\nname = \"orders\"\nbase_path = \"/orders\"\ntarget = {upstream:?}\n"
    );
    write(dir, "standalone.toml", &text)
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 4] {
    let taken = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_process_is_sound_and_a_paid_call_costs_what_it_must() {
    let upstream = Upstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = standalone_config(dir.path(), free_ports(), &upstream.url);
    let before = doctor(&config, &[]).await;
    before.is_sound();
    before.must("port", "gateway", "ok", "is free");
    before.must("paid call", "standalone", "skipped", "does not run");

    let mut start = command(["standalone", "--config"]);
    start.arg(&config);
    let process = process::Tollgate::start(start);
    let file = process.text(&["admin_token_file"]);
    let portal = Portal {
        url: process.text(&["management"]).to_owned(),
        token: std::fs::read_to_string(file).unwrap().trim().to_owned(),
        organization: "acme".to_owned(),
        developer: "ann@example.com".to_owned(),
    };
    portal.create_organization().await;
    let ann = serde_json::json!({
        "email": "ann@example.com", "firstName": "Ann", "lastName": "A", "userName": "ann",
    });
    portal.must(hyper::Method::POST, "/developers", &ann).await;
    assert!(portal.credit(5, "first").await.unwrap().status.is_success());

    let found = doctor(&config, &["--organization", "acme"]).await;
    found.is_sound();
    for what in ["gateway", "management", "balance-sync", "metrics"] {
        found.must("port", what, "ok", "is served by tollgate");
    }
    found.must("data_dir", "data", "ok", "a running tollgate works in it");
    found.must("ledger", "data", "ok", "generation 1");
    found.must("clock", "ledger", "ok", "");
    found.must("upstream", "orders", "ok", "200");
    found.must("paid call", "orders", "ok", "balance 0.99 EUR");
    assert_eq!(portal.try_balance().await.unwrap(), 5_000_000_000);
    let left = portal.send(hyper::Method::GET, "/developers", None).await.unwrap().body;
    assert!(left.contains("ann@example.com") && !left.contains("tollgate-doctor"), "{left}");
    let left = portal.send(hyper::Method::GET, "/apiproducts", None).await.unwrap().body;
    assert!(!left.contains("tollgate-doctor"), "{left}");

    let failing = doctor(&config, &["--path", "/fail"]).await;
    failing.must("paid call", "orders", "warn", "costs nothing: balance 1 EUR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_its_node_does_not_know_is_told_so() {
    let site = Site::on_sqlite();
    let node = site.node("node");
    let upstream = Upstream::start().await;
    let url = node.process.text(&["sync"]).to_owned();
    let config = |upstream: &str, nodes: &[String]| {
        site.gateway_config("gateway", "127.0.0.1:0", nodes, upstream, "")
    };
    let right = config(&upstream.url, std::slice::from_ref(&url));
    let found = doctor(&right, &[]).await;
    found.is_sound();
    found.must("sync node", &url, "ok", "knows this gateway");
    found.must("clock", &url, "ok", "");

    let closed = format!("http://127.0.0.1:{}", free_ports()[0]);
    let found = doctor(&config(&closed, std::slice::from_ref(&closed)), &[]).await;
    found.must("sync node", &closed, "fail", "");
    found.must("upstream", "orders", "fail", "cannot connect");

    let wrong = config(&upstream.url, std::slice::from_ref(&url));
    write(site.path(), "gateway-token", "a-token-that-nobody-has-given-out-x");
    let found = doctor(&wrong, &[]).await;
    found.must("sync node", &url, "fail", "Unauthenticated");
    write(site.path(), "gateway-token", "short");
    doctor(&wrong, &[]).await.must("secret", "sync.token", "fail", "has 5 characters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_another_program_and_a_wrong_clock_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2015 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let [gateway, _, sync, metrics] = free_ports();
    let config =
        standalone_config(dir.path(), [gateway, taken, sync, metrics], "http://127.0.0.1:1");
    let found = doctor(&config, &[]).await;
    found.must("port", "management", "fail", "taken by another program");
    found.must("clock", &taken.to_string(), "fail", "ms apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_newer_schema_and_a_file_with_a_typo_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let config = standalone_config(dir.path(), free_ports(), "http://127.0.0.1:1");
    let mut start = command(["standalone", "--config"]);
    start.arg(&config);
    assert!(process::Tollgate::start(start).stop().success());
    let files = std::fs::read_dir(dir.path().join("data")).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "sqlite")).unwrap();
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute_batch("PRAGMA user_version = 4711").unwrap();
    drop(connection);
    doctor(&config, &["--no-call"]).await.must("ledger", "data", "fail", "has schema 4711");

    let text =
        std::fs::read_to_string(&config).unwrap().replace("gateway_listen", "gateway_lissen");
    write(dir.path(), "standalone.toml", &text);
    doctor(&config, &[]).await.must("config", "standalone.toml", "fail", "gateway_lissen");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_expired_or_have_another_key_are_found() {
    let site = Site::on_sqlite();
    let dir = site.path();
    let make = |name: &str, until: (i32, u8)| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
        write(dir, &format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        write(dir, &format!("{name}.key"), &key.serialize_pem());
    };
    make("old", (2020, 1));
    make("new", (2090, 1));
    let check = async |certificate: &str, key: &str, outcome: &str, text: &str| {
        let config = site.node_config("node", "127.0.0.1:0", "127.0.0.1:0");
        let plain = std::fs::read_to_string(&config).unwrap();
        let (pem, key) = (dir.join(format!("{certificate}.pem")), dir.join(format!("{key}.key")));
        let tls = format!("\n[sync.tls]\ncertificate_file = {pem:?}\nkey_file = {key:?}\n");
        std::fs::write(&config, plain + &tls).unwrap();
        doctor(&config, &[]).await.must("certificate", certificate, outcome, text);
    };
    check("new", "new", "ok", "is valid for").await;
    check("old", "old", "fail", "expired").await;
    check("new", "old", "fail", "does not fit its key").await;
}
