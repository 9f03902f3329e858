//! The page in headless Chromium: no script error, the plots are there, and every number is the JSON file's.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tollgate_loadtest::accounting::Verdict;
use tollgate_loadtest::bound::Source;
use tollgate_loadtest::nanos::Nanos;
use tollgate_loadtest::report::rates::{Curve, Throughput, Trial};
use tollgate_loadtest::report::{Balances, Calls, Latency, Report, Run, Summary};
use tollgate_loadtest::scenario::Overspend;
use tollgate_loadtest::steps::{Event, Kind};

/// `make test` installs it.
const BROWSER: &str = "chromium";

fn money(text: &str) -> Nanos {
    text.parse().unwrap()
}

fn latency() -> Latency {
    Latency { p50_us: 1_201, p90_us: 2_302, p99_us: 4_403, p999_us: 9_504, max_us: 60_605 }
}

fn event(at_ms: u64, kind: Kind, part: &str, text: &str) -> Event {
    Event { at_ms, kind, part: part.to_owned(), text: text.to_owned() }
}

fn summary(overspent: &str, bound: &str) -> Summary {
    Summary {
        due: 211,
        admitted: 106,
        refused: 94,
        failed: 2,
        not_sent: 8,
        in_flight: 1,
        statuses: BTreeMap::from([(503, 2)]),
        credited: money("1"),
        admitted_worth: money("1.06"),
        charged: money("1.07"),
        difference: money("0.01"),
        overspent: money(overspent),
        bound: money(bound),
        bound_source: Source::Service,
        bound_before: Some(money("0.08")),
        bound_by_formula: money("0.11"),
        bound_told: Some(money(bound)),
        is_beyond_told: false,
        is_within: true,
        is_promised: true,
        reserved_most: Nanos::ZERO,
        knowledge_age_ms: 345,
        verdict: Verdict::Kept,
        is_agreed: true,
        is_kept: true,
    }
}

/// A run that spends a euro in two seconds and ends six cents below zero.
fn run(overspend: Overspend, overspent: &str, bound: &str) -> Run {
    let balance = |at_ms: u64| money("1") - money("0.0005").times(at_ms.min(2_120));
    let reserved = |at_ms: u64| match overspend {
        Overspend::Optimistic => Nanos::ZERO,
        Overspend::Strict => balance(at_ms).positive().min(money("0.25")),
    };
    let balances = (0..40).map(|step| step * 100).map(|at_ms| Balances {
        at_ms,
        ledger: balance(at_ms),
        reserved: reserved(at_ms),
        gateways: vec![Some(balance(at_ms + 50)), (at_ms != 700).then(|| balance(at_ms))],
    });
    Run {
        overspend,
        gateways: vec!["gateway-1".to_owned(), "gateway-2".to_owned()],
        nodes: vec!["node-1".to_owned()],
        developers: 1,
        price: money("0.01"),
        currency: "EUR".to_owned(),
        calls_per_second: 50,
        span_ms: 4_000,
        summary: Summary { reserved_most: reserved(0), ..summary(overspent, bound) },
        latency: latency(),
        balances: balances.collect(),
        calls: Calls {
            slot_ms: 250,
            admitted: vec![13; 10],
            refused: vec![0, 0, 0, 0, 0, 0, 0, 0, 12, 12],
            failed: vec![0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
        },
        events: vec![
            event(700, Kind::Killed, "gateway-2", "gateway-2 killed"),
            event(1_100, Kind::Back, "gateway-2", "gateway-2 back & <well>"),
            event(1_500, Kind::Cut, "gateway-1 node-1", "gateway-1 cut off node-1"),
            event(1_900, Kind::Healed, "gateway-1 node-1", "gateway-1 hears node-1 again"),
            event(3_900, Kind::Paid, "", "top-up of 1.00 EUR"),
        ],
    }
}

fn report() -> Report {
    let runs =
        vec![run(Overspend::Optimistic, "0.06", "0.09"), run(Overspend::Strict, "0.00", "0.00")];
    let title = "A </script> of & \"two\" runs".to_owned();
    Report { title, started_at_ms: 1_795_348_800_000, runs }
}

fn browse(page: &Path, more: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(BROWSER)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap_or_else(|error| panic!("`make test` installs {BROWSER}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The value at a path of names and places that dots divide.
fn at<'a>(json: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(json, |value, step| match step.parse::<usize>() {
        Ok(place) => &value[place],
        Err(_) => &value[step],
    })
}

/// Compares every number of a page with the JSON file, and says how many there are.
fn numbers_agree(dom: &str, json: &Value) -> usize {
    let mut count = 0;
    for piece in dom.split("data-number=\"").skip(1) {
        let (path, rest) = piece.split_once("\">").unwrap();
        let (shown, _) = rest.split_once('<').unwrap();
        let wanted = at(json, path);
        let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        assert_eq!(shown, wanted, "{path}");
        count += 1;
    }
    count
}

fn needs_nothing_else(page: &str) {
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(word), "the page asks for something else: {word}");
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_page_opens_without_an_error_and_shows_the_numbers_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    report().write(folder.path()).unwrap();
    let page = folder.path().join("report.html");
    needs_nothing_else(&std::fs::read_to_string(&page).unwrap());
    let dom = browse(&page, &["--dump-dom"]);
    assert!(dom.contains("data-script=\"done\"") && !dom.contains("data-error="), "{dom}");
    assert_eq!(dom.matches("data-read=\"yes\"").count(), 2, "a figure cannot read its values");
    assert!(numbers_agree(&dom, &json(&folder.path().join("report.json"))) > 40);
    for run in ["Optimistic", "Strict"] {
        assert!(dom.contains(&format!("{run}: 2 gateways")), "{run}");
    }
    // Of every line: in the balance, the close-up and the moment that the money was gone, in both runs.
    for class in ["line ledger", "line g0", "line g1"] {
        assert_eq!(dom.matches(&format!("\" class=\"{class}\"")).count(), 6, "{class}");
    }
    let reserved = dom.matches("\" class=\"reserved\"").count();
    assert_eq!(reserved, 1, "what a strict wallet has reserved is shown, and only there");
    assert!(dom.contains("by the service; 0.08 EUR before it was below zero"), "{dom}");
    assert_eq!(dom.matches("class=\"dead-bar\"").count(), 2, "each run shows its killed gateway");
    assert!(!dom.contains("d=\"\""), "a line is empty");

    let picture = folder.path().join("page.png");
    let shot = format!("--screenshot={}", picture.display());
    browse(&page, &[&shot, "--window-size=1100,2400"]);
    let picture = std::fs::read(picture).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 50_000, "{} bytes", picture.len());
}

#[test]
fn the_picture_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    report().write(folder.path()).unwrap();
    let picture = folder.path().join("overspend.svg");
    needs_nothing_else(&std::fs::read_to_string(&picture).unwrap());
    // A browser shows the error of an SVG file that is not XML in its place.
    let dom = browse(&picture, &["--dump-dom"]);
    assert!(dom.contains("line ledger") && !dom.contains("parsererror"), "{dom}");
}

#[test]
fn the_page_of_a_search_shows_every_rate() {
    let trial = |calls_per_second, is_sustained| Trial {
        calls_per_second,
        due: calls_per_second * 3,
        failed: 1,
        latency: latency(),
        is_sustained,
    };
    let found = Throughput {
        title: "A search".to_owned(),
        started_at_ms: 1_795_348_800_000,
        p99_limit_ms: 50,
        failures_limit_per_mille: 1,
        gateways: 2,
        curves: vec![
            Curve {
                overspend: Overspend::Optimistic,
                sustained: 1_500,
                trials: vec![trial(1_000, true), trial(1_500, true), trial(2_000, false)],
            },
            Curve {
                overspend: Overspend::Strict,
                sustained: 1_000,
                trials: vec![trial(1_000, true), trial(1_250, false)],
            },
        ],
    };
    let folder = tempfile::tempdir().unwrap();
    found.write(folder.path()).unwrap();
    let dom = browse(&folder.path().join("throughput.html"), &["--dump-dom"]);
    assert!(dom.contains("data-script=\"done\"") && !dom.contains("data-error="), "{dom}");
    assert!(numbers_agree(&dom, &json(&folder.path().join("throughput.json"))) > 30);
    assert_eq!(dom.matches("class=\"dot bad\"").count(), 2);
    assert!(dom.contains("1500 calls a second (optimistic) and 1000 calls a second (strict)"));
}
