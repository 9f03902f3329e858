//! The open loop against a gateway that stalls: every call is made and counted, and the stall shows in all that were due in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tollgate_loadtest::clock::Clock;
use tollgate_loadtest::drive::{Pace, drive};
use tollgate_loadtest::portal::Developer;
use tollgate_loadtest::scenario::Scenario;
use tollgate_loadtest::site::Site;
use tollgate_loadtest::tally::{Counts, Tally};

const STALL: Duration = Duration::from_millis(600);

/// A gateway that answers the first call of each connection after a stall and all others at once.
async fn stalling_gateway() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut is_first = true;
                while let Ok(1..) = stream.read(&mut [0; 1024]).await {
                    if std::mem::take(&mut is_first) {
                        tokio::time::sleep(STALL).await;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

async fn site(gateway: &str, folder: &std::path::Path) -> Site {
    let token = folder.join("token");
    std::fs::write(&token, "t").unwrap();
    let text = format!(
        "title = \"t\"\n[target]\ngateways = [{gateway:?}]\nnodes = [\"http://127.0.0.1:1\"]\n\
         management = \"http://127.0.0.1:1\"\ntoken_file = {token:?}\nproxy = \"p\"\npath = \"/p\"\n\
         [wallets]\noverspend = [\"optimistic\"]\nprice = \"1\"\ncurrency = \"EUR\"\ncredit = \"1\"\n\
         [load]\ncalls_per_second = 1\nspan_ms = 1\n"
    );
    let scenario = Scenario::parse("s.toml", &text).unwrap();
    Site::start(&scenario, folder, folder).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shows_in_every_call_that_was_due_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(&stalling_gateway().await, folder.path()).await;
    let developer = |n| Developer { email: format!("{n}@example.com"), key: format!("key-{n}") };
    let developers: Arc<[Developer]> = (0..3).map(developer).collect();
    let tally = Arc::new(Tally::new(1, 3));
    let pace = Pace {
        calls_per_second: 100,
        start: Duration::ZERO,
        span: Duration::from_secs(1),
        connections: 1,
    };
    drive(&site, &developers, pace, Clock::start(), &tally).await;

    assert_eq!(tally.total(), Counts { answered: 100, ..Counts::default() });
    assert_eq!([0, 1, 2].map(|n| tally.answered(n)), [34, 33, 33], "developers take turns");
    let latency = tally.latency();
    // Due every 10 ms: one that was due 100 ms before the stall's end waited for that long, though its server took no time.
    let waited = |ms: u64| latency.len() - latency.count_between(0, ms * 1_000);
    assert!(waited(100) >= 40, "{} calls waited", waited(100));
    assert!(waited(500) >= 5, "{} calls waited", waited(500));
}
