//! The end: open calls finish, the last spend is in the ledger, and whoever is in a hurry is obeyed.

use hyper::StatusCode;
use rustix::process::Signal;

use crate::support::api::{Portal, get, nanos};
use crate::support::eventually;
use crate::support::process::{Tollgate, standalone};

/// A call that the demo's upstream takes `delay_ms` for, once it is open.
async fn open_call(process: &Tollgate, delay_ms: u64) -> tokio::task::JoinHandle<StatusCode> {
    let url = format!("{}?delay_ms={delay_ms}", process.text(&["demo", "url"]));
    let key = process.text(&["demo", "key"]).to_owned();
    let call = tokio::spawn(async move { get(&url, &[("x-api-key", &key)]).await.status });
    let scrape = format!("{}/metrics", process.text(&["metrics"]));
    eventually("the call is open", || async {
        let text = get(&scrape, &[]).await.body;
        let open = text.lines().find(|line| line.starts_with("tollgate_calls_open"));
        if open.is_some_and(|line| line.ends_with(" 1")) {
            Ok(())
        } else {
            Err(format!("{open:?}"))
        }
    })
    .await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_open_at_the_end_is_answered_and_charged() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let call = open_call(&process, 1_500).await;
    process.signal(Signal::INT);
    assert_eq!(call.await.unwrap(), StatusCode::OK);
    let status = process.wait();
    assert!(status.success(), "{status}");
    let process = standalone(dir.path(), &[]);
    assert_eq!(Portal::of_demo(&process).try_balance().await.unwrap(), nanos("0.99"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let call = open_call(&process, 10_000).await;
    process.signal(Signal::INT);
    eventually("the end has begun", || async {
        let said = process.stderr();
        if said.contains("stopping") { Ok(()) } else { Err(said) }
    })
    .await;
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(130));
    call.abort();
}
