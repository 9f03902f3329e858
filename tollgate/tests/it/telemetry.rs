//! What can be watched: metrics over both ways out, traces through to the upstream, health.

use std::collections::BTreeSet;

use hyper::StatusCode;

use crate::support::api::get;
use crate::support::collector::Collector;
use crate::support::eventually;
use crate::support::process::standalone;
use crate::support::upstream::Upstream;

/// Families of a scrape.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_gets_the_families_of_the_metrics_port_and_the_spans_of_calls() {
    let collector = Collector::start().await;
    let mut upstream = Upstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tollgate.toml");
    let text = format!(
        "[telemetry]\notlp_endpoint = {:?}\ntrace_ratio = 1.0\nmetrics_interval_ms = 200\n\
         [[proxy]]\nname = \"open\"\nbase_path = \"/open\"\ntarget = {:?}\nmetering = \"none\"\n",
        collector.url, upstream.url
    );
    std::fs::write(&file, text).unwrap();
    let process = standalone(dir.path(), &["--config", file.to_str().unwrap()]);
    let key = process.text(&["demo", "key"]);
    assert_eq!(
        get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await.status,
        StatusCode::OK
    );
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let open = format!("{}/open/1", process.text(&["gateway"]));
    assert_eq!(get(&open, &[("traceparent", &parent)]).await.status, StatusCode::OK);

    let head = upstream.next_head().await;
    let seen = head["traceparent"].to_str().unwrap();
    assert!(seen.contains(trace), "the trace goes on: {seen}");
    eventually("the gateway's span of the call arrives", || async {
        let spans = collector.spans();
        let id: Vec<u8> =
            (0..16).map(|at| u8::from_str_radix(&trace[2 * at..2 * at + 2], 16).unwrap()).collect();
        let is_there = spans.iter().any(|span| span.trace_id == id);
        if is_there { Ok(()) } else { Err(format!("{} spans, none of this trace", spans.len())) }
    })
    .await;

    let scrape = format!("{}/metrics", process.text(&["metrics"]));
    eventually("both ways out have the same families", || async {
        let scraped = families(&get(&scrape, &[]).await.body);
        let exported: BTreeSet<String> = collector.metric_names().into_iter().collect();
        if scraped == exported && !scraped.is_empty() {
            return Ok(());
        }
        Err(format!("{:?}", scraped.symmetric_difference(&exported).collect::<Vec<_>>()))
    })
    .await;
    eventually("both calls are counted", || async {
        let seen = collector.counter("tollgate_calls_total");
        if seen == Some(2.0) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_promised_can_be_watched() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let key = process.text(&["demo", "key"]);
    for _ in 0..102 {
        get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await;
    }
    let scrape = format!("{}/metrics", process.text(&["metrics"]));
    let wanted = [
        "tollgate_calls_total",
        "tollgate_refusals_total",
        "tollgate_admission_duration_seconds",
        "tollgate_upstream_duration_seconds",
        "tollgate_holds_open",
        "tollgate_staleness_seconds",
        "tollgate_sync_round_trip_seconds",
        "tollgate_spend_not_durable",
        "tollgate_overdraft_wallets",
        "tollgate_ledger_operation_duration_seconds",
    ];
    let text = get(&scrape, &[]).await.body;
    let families = families(&text);
    for name in wanted {
        assert!(families.contains(name), "{name} is not among {families:?}");
    }
    let health = format!("{}/healthz", process.text(&["metrics"]));
    assert_eq!(get(&health, &[]).await.status, StatusCode::OK);
    let ready = format!("{}/readyz", process.text(&["metrics"]));
    assert_eq!(get(&ready, &[]).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_where_asked_and_never_hold_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &["--log-format", "json", "--no-demo"]);
    let gateway = process.text(&["gateway"]).to_owned();
    get(&gateway, &[("x-api-key", "a-key-that-nobody-may-see")]).await;
    process.signal(rustix::process::Signal::INT);
    let said = process.stderr();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    assert!(!lines.is_empty(), "{said}");
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert!(!said.contains("a-key-that-nobody-may-see"));
    assert!(process.wait().success());
}
