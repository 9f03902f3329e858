//! The page of a report: one HTML file that needs nothing but itself.
//!
//! Every number that it shows carries the path of its value in the JSON file, so that a test compares them one by one. The
//! script only reads values out under the pointer; without it the page says the same.

use std::fmt::Write as _;

use serde_json::Value;

use super::figure;
use super::rates::{self, Throughput};
use super::{Latency, Report, Run};
use crate::bound::Source;
use crate::nanos::Nanos;
use crate::plot::canvas::escaped;
use crate::scenario::Overspend;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of an overspend report.
#[must_use]
pub fn of_overspend(report: &Report) -> String {
    let mut body = String::new();
    let _ = write!(
        body,
        "<header><h1>{}</h1><p class=\"say\">{}</p></header>",
        escaped(&report.title),
        escaped(&sentence(report))
    );
    for (index, run) in report.runs.iter().enumerate() {
        body.push_str(&section(run, index));
    }
    body.push_str(ABOUT);
    page(&report.title, &body, &serde_json::to_value(report).unwrap_or(Value::Null))
}

/// The page of a throughput report.
#[must_use]
pub fn of_throughput(found: &Throughput) -> String {
    let mut body = String::new();
    let _ = write!(
        body,
        "<header><h1>{}</h1><p class=\"say\">{}</p></header>",
        escaped(&found.title),
        escaped(&found.sentence()),
    );
    for (place, curve) in found.curves.iter().enumerate() {
        let (limit, sustained) = (found.p99_limit_ms, format!("curves.{place}.sustained"));
        let _ = write!(
            body,
            "<section><h2>Wallets: {}</h2>{}<div class=\"figure\">{}</div>{}</section>",
            curve.overspend.as_str(),
            tiles(&[
                ("highest sustained rate", curve.sustained.to_string(), &sustained, "calls/s"),
                ("p99 limit", limit.to_string(), "p99_limit_ms", "ms"),
            ]),
            rates::figure(found, curve),
            rates::table(curve, place),
        );
    }
    page(&found.title, &body, &serde_json::to_value(found).unwrap_or(Value::Null))
}

fn page(title: &str, body: &str, numbers: &Value) -> String {
    // Within a script element only this could end it.
    let numbers = numbers.to_string().replace("</", "<\\/");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body><main>{body}</main>\
         <script type=\"application/json\" id=\"numbers\">{numbers}</script>\
         <script>{SCRIPT}</script></body></html>\n",
        escaped(title)
    )
}

/// The heading of a run.
#[must_use]
pub fn title_of(run: &Run) -> String {
    let parts = format!("{} gateways, {} balance-sync nodes", run.gateways.len(), run.nodes.len());
    match run.overspend {
        Overspend::Optimistic => format!("Optimistic: {parts}"),
        Overspend::Strict => format!("Strict: {parts}"),
    }
}

/// What a run found, in a line.
#[must_use]
pub fn short_of(run: &Run) -> String {
    let (it, currency) = (&run.summary, &run.currency);
    format!(
        "{} calls admitted, {} {currency} charged, {} {currency} overspent (bound {} {currency}), \
         difference {} {currency}",
        it.admitted, it.charged, it.overspent, it.bound, it.difference
    )
}

/// All of a report in a sentence.
fn sentence(report: &Report) -> String {
    let run = |run: &Run| {
        let (it, currency) = (&run.summary, &run.currency);
        let kind = run.overspend.as_str();
        let overspent = if it.overspent == Nanos::ZERO {
            format!("{kind} wallets never went below zero")
        } else {
            let within = if it.is_within { "within" } else { "BEYOND" };
            format!(
                "{kind} wallets went {} {currency} below zero, {within} their bound of {} {currency}",
                it.overspent, it.bound
            )
        };
        format!("{overspent}, and {}", money_of(run))
    };
    let runs: Vec<String> = report.runs.iter().map(run).collect();
    let all = runs.join("; ");
    let mut letters = all.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn money_of(run: &Run) -> String {
    let (it, currency) = (&run.summary, &run.currency);
    if it.verdict != crate::accounting::Verdict::Kept {
        format!(
            "{} {currency} were charged for {} answered calls: {}",
            it.charged,
            it.admitted,
            run.verdict()
        )
    } else if it.difference == Nanos::ZERO {
        format!("each of the {} answered calls was charged exactly once", it.admitted)
    } else {
        format!(
            "each of the {} answered calls was charged once, and {} {currency} for calls that were open when a part was killed",
            it.admitted, it.difference
        )
    }
}

fn section(run: &Run, index: usize) -> String {
    let it = &run.summary;
    let path = |name: &str| format!("runs.{index}.summary.{name}");
    let names = ["admitted", "charged", "overspent", "bound", "difference", "refused"].map(path);
    let currency = run.currency.as_str();
    let source = match it.bound_source {
        Source::Service => format!("its bound, by the service{}", run.beside_bound()),
        Source::Formula => {
            format!("its bound, at {} ms of not knowing{}", it.knowledge_age_ms, run.beside_bound())
        }
    };
    let tiles = tiles(&[
        ("calls admitted", it.admitted.to_string(), &names[0], ""),
        ("charged", it.charged.to_string(), &names[1], currency),
        ("overspent", it.overspent.to_string(), &names[2], currency),
        (&source, it.bound.to_string(), &names[3], currency),
        ("charged beyond answered calls", it.difference.to_string(), &names[4], currency),
        ("calls refused: no money", it.refused.to_string(), &names[5], ""),
    ]);
    let badge = if it.is_kept { "good" } else { "bad" };
    format!(
        "<section class=\"run\" data-run=\"{index}\"><h2>{}<span class=\"badge {badge}\">{}</span></h2>{tiles}\
         <div class=\"figure\">{}</div><div>{}</div>{}</section>",
        escaped(&title_of(run)),
        escaped(run.verdict()),
        figure::of_run(run),
        figure::moment(run),
        details(run, index),
    )
}

fn tiles(tiles: &[(&str, String, &str, &str)]) -> String {
    let tile = |all: String, (name, value, path, unit): &(&str, String, &str, &str)| {
        all + &format!(
            "<div class=\"tile\"><b>{} <small>{}</small></b><span>{}</span></div>",
            number(value, path),
            escaped(unit),
            escaped(name)
        )
    };
    format!("<div class=\"tiles\">{}</div>", tiles.iter().fold(String::new(), tile))
}

/// A number with the path of its value in the JSON file.
pub(super) fn number(value: &str, path: &str) -> String {
    format!("<span data-number=\"{}\">{}</span>", escaped(path), escaped(value))
}

fn details(run: &Run, index: usize) -> String {
    let it = &run.summary;
    let counts = [
        ("calls due", it.due, "due"),
        ("admitted", it.admitted, "admitted"),
        ("refused for want of money", it.refused, "refused"),
        ("refused or failed otherwise", it.failed, "failed"),
        ("never sent: down, or too late", it.not_sent, "not_sent"),
        ("sent and not answered", it.in_flight, "in_flight"),
    ];
    let mut rows = String::new();
    for (name, count, key) in counts {
        let value = number(&count.to_string(), &format!("runs.{index}.summary.{key}"));
        let _ = write!(rows, "<tr><th>{name}</th><td>{value}</td></tr>");
    }
    for (name, amount, key) in [
        ("paid in", it.credited, "credited"),
        ("answered calls are worth", it.admitted_worth, "admitted_worth"),
        ("charged", it.charged, "charged"),
        ("the bound by formula", it.bound_by_formula, "bound_by_formula"),
        ("reserved at the most", it.reserved_most, "reserved_most"),
    ] {
        let value = number(&amount.to_string(), &format!("runs.{index}.summary.{key}"));
        let _ = write!(rows, "<tr><th>{name}</th><td>{value} {}</td></tr>", run.currency);
    }
    let mut waits = String::new();
    let Latency { p50_us, p90_us, p99_us, p999_us, max_us } = run.latency;
    for (name, micros, key) in [
        ("half of the calls within", p50_us, "p50_us"),
        ("90 %", p90_us, "p90_us"),
        ("99 %", p99_us, "p99_us"),
        ("99.9 %", p999_us, "p999_us"),
        ("all", max_us, "max_us"),
    ] {
        let value = number(&micros.to_string(), &format!("runs.{index}.latency.{key}"));
        let _ = write!(waits, "<tr><th>{name}</th><td>{value} µs</td></tr>");
    }
    let mut events = String::new();
    for (place, event) in run.events.iter().enumerate() {
        let at = number(&event.at_ms.to_string(), &format!("runs.{index}.events.{place}.at_ms"));
        let _ = write!(events, "<tr><th>{}</th><td>{at} ms</td></tr>", escaped(&event.text));
    }
    format!(
        "<div class=\"tables\"><table><caption>Calls and money</caption>{rows}</table>\
         <table><caption>Answered after, from when it was due</caption>{waits}</table>\
         <table><caption>What happened when</caption>{events}</table></div>"
    )
}

const ABOUT: &str = "<footer><p><b>How to read it.</b> Every gateway admits calls from its own copy of the balance and hears of \
the others' spending a moment later; in that moment several gateways can spend the same money. Nothing of it is lost: the ledger \
charges every answered call, the balance goes below zero, and the next payment pays the debt first. The red area is that debt, \
the dashed line the furthest that it may go. Strict wallets give each gateway a share that only it may spend, so nothing is \
spent twice: the grey area is what is reserved for those shares.</p><p>Calls are sent when they are due, whatever became of those before them. Charged must lie between answered \
calls and answered calls plus those that were sent to a part that was killed before it answered.</p></footer>";
