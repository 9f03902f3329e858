//! The figure of a run: balances as everybody believed them, overspend against its bound, calls, and which parts lived.

#![allow(clippy::float_arithmetic, reason = "pixels are not money")]

use std::fmt::Write as _;

use super::{Balances, Report, Run};
use crate::nanos::Nanos;
use crate::plot::canvas::{Canvas, LEFT, Panel, STYLE, WIDTH};
use crate::steps::{Event, Kind};

/// Colours of gateways; further ones begin again.
const COLOURS: usize = 8;
/// Height of a part's row and of the bar in it.
const PART_ROW: (f64, f64) = (17.0, 9.0);
/// How much of the bound is shown beyond it, and above zero.
const CLOSE_UP: f64 = 1.25;
/// How much of the time before and after is shown of a moment.
const MOMENT_S: f64 = 0.6;
/// With fewer looks there is nothing to see of a moment.
const MOMENT_SAMPLES_MIN: usize = 6;
/// Without a bound, a close-up shows this many calls.
const CLOSE_UP_CALLS: u64 = 40;

/// Which panels a figure has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// All.
    Whole,
    /// Balances, overspend and lives: for a picture in a text.
    Main,
}

/// The position of an amount on an axis: the only place where an amount becomes a float.
fn position(amount: Nanos) -> f64 {
    amount.0 as f64 / 1e9
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// The figure of one run, for the page.
#[must_use]
pub fn of_run(run: &Run) -> String {
    let mut canvas = Canvas::new((0.0, seconds(run.span_ms)));
    draw(&mut canvas, run, Parts::Whole);
    let label =
        format!("Balances, overspend, calls and parts of the {} run", run.overspend.as_str());
    canvas.finish(&label)
}

/// The first moment that the money was gone, from close by: who believed what; nothing where it never was.
#[must_use]
pub fn moment(run: &Run) -> String {
    let Some(gone) = run.balances.iter().position(|it| it.ledger < run.price) else {
        return String::new();
    };
    let at = seconds(run.balances[gone].at_ms);
    let (from, to) = ((at - MOMENT_S).max(0.0), at + MOMENT_S);
    let near: Vec<Balances> = run
        .balances
        .iter()
        .filter(|it| (from..=to).contains(&seconds(it.at_ms)))
        .cloned()
        .collect();
    if near.len() < MOMENT_SAMPLES_MIN {
        return String::new();
    }
    let high = near.iter().map(|it| it.ledger).max().unwrap_or_default().max(run.price.times(5));
    let lowest = near.iter().flat_map(|it| it.gateways.iter().flatten().chain([&it.ledger])).min();
    let low = lowest.copied().unwrap_or_default().min(-run.price.times(CLOSE_UP_CALLS / 8));
    let mut canvas = Canvas::new((from, to));
    canvas.heading("The moment it ran dry", "each gateway hears of the others a little late");
    let values = (position(low) * 1.25, position(high) * 1.05);
    let panel = canvas.panel(220.0, values, &run.currency);
    believed(&mut canvas, &panel, &near, run.gateways.len());
    canvas.x_axis("seconds since the load began");
    canvas.finish("Balances at the moment the wallet ran dry")
}

/// The main plots of all runs below each other, as a file that stands alone.
#[must_use]
pub fn standalone(report: &Report) -> String {
    let mut all = String::new();
    let mut below = 0.0;
    for run in &report.runs {
        let mut canvas = Canvas::new((0.0, seconds(run.span_ms)));
        canvas.skip(34.0);
        canvas.text((LEFT, canvas.below()), "title", &super::page::title_of(run));
        canvas.skip(20.0);
        canvas.text((LEFT, canvas.below()), "lead", &super::page::short_of(run));
        canvas.skip(6.0);
        draw(&mut canvas, run, Parts::Main);
        canvas.skip(12.0);
        let _ = write!(all, r#"<g transform="translate(0 {below:.1})">{}</g>"#, canvas.body());
        below += canvas.below();
    }
    let height = below.ceil();
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="Overspend against its bound"><style>{STYLE}</style><rect width="{WIDTH}" height="{height}" class="paper"/>{all}</svg>
"#
    )
}

fn draw(canvas: &mut Canvas, run: &Run, parts: Parts) {
    let marks: Vec<(f64, &str, &str)> = run
        .events
        .iter()
        .map(|event| (seconds(event.at_ms), class_of(event.kind), event.text.as_str()))
        .collect();
    legend(canvas, run);
    canvas.skip(4.0);
    canvas.marks(&marks);
    let top = canvas.below();
    balances(canvas, run);
    close_up(canvas, run);
    if parts == Parts::Whole {
        calls(canvas, run);
    }
    lives(canvas, run);
    let bottom = canvas.below();
    for (at, class, _) in &marks {
        canvas.rule(*at, class, (top, bottom));
    }
    canvas.x_axis("seconds since the load began");
}

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Killed | Kind::Cut => "dead",
        Kind::Back | Kind::Healed => "back",
        Kind::Paid => "paid",
    }
}

fn legend(canvas: &mut Canvas, run: &Run) {
    let classes: Vec<String> = (0..run.gateways.len()).map(colour).collect();
    let mut entries = vec![("ledger", "the ledger")];
    let believed: Vec<String> =
        run.gateways.iter().map(|name| format!("{name} believes")).collect();
    entries
        .extend(classes.iter().zip(&believed).map(|(class, name)| (class.as_str(), name.as_str())));
    if run.summary.reserved_most > Nanos::ZERO {
        entries.push(("reserved", "reserved"));
    }
    canvas.legend(&entries);
}

fn colour(gateway: usize) -> String {
    format!("g{}", gateway % COLOURS)
}

fn balances(canvas: &mut Canvas, run: &Run) {
    canvas.heading("Balance", "what is left of the money, all wallets together");
    let all = run.balances.iter().map(|it| it.ledger);
    let high = all.clone().max().unwrap_or_default().max(run.price);
    let low = all.min().unwrap_or_default().min(-run.summary.overspent);
    let panel = canvas.panel(210.0, (position(low) * 1.1, position(high) * 1.04), &run.currency);
    if run.summary.reserved_most > Nanos::ZERO {
        let points = run.balances.iter().map(|it| (seconds(it.at_ms), position(it.reserved)));
        canvas.area(&panel, &points.collect::<Vec<_>>(), "reserved");
    }
    believed(canvas, &panel, &run.balances, run.gateways.len());
}

/// The lines of the ledger and of every gateway.
fn believed(canvas: &mut Canvas, panel: &Panel, balances: &[Balances], gateways: usize) {
    let debt: Vec<(f64, f64)> = balances
        .iter()
        .map(|it| (seconds(it.at_ms), position(it.ledger.min(Nanos::ZERO))))
        .collect();
    canvas.area(panel, &debt, "debt");
    for gateway in 0..gateways {
        let points: Vec<(f64, Option<f64>)> = balances
            .iter()
            .map(|it| {
                let balance = it.gateways.get(gateway).copied().flatten();
                (seconds(it.at_ms), balance.map(position))
            })
            .collect();
        canvas.line(panel, &points, &format!("line {}", colour(gateway)), true);
    }
    let ledger: Vec<(f64, Option<f64>)> =
        balances.iter().map(|it| (seconds(it.at_ms), Some(position(it.ledger)))).collect();
    canvas.line(panel, &ledger, "line ledger", true);
}

/// The same lines around zero, with the bound.
fn close_up(canvas: &mut Canvas, run: &Run) {
    let (bound, worst) = (run.summary.bound, run.summary.overspent);
    let shown = bound.max(worst).max(run.price.times(CLOSE_UP_CALLS));
    let reach = position(shown) * CLOSE_UP;
    canvas.heading("Close to zero", "overspend against its bound; what is beyond the edges is cut");
    let panel = canvas.panel(170.0, (-reach, reach), &run.currency);
    believed(canvas, &panel, &run.balances, run.gateways.len());
    let at = -position(bound);
    let points = [(0.0, Some(at)), (seconds(run.span_ms), Some(at))];
    canvas.line(&panel, &points, "bound", false);
    let name = if bound == Nanos::ZERO {
        "bound 0.00: never below zero".to_owned()
    } else {
        format!("bound −{bound}")
    };
    let y = panel.y.at(at) + if bound == Nanos::ZERO { 15.0 } else { -6.0 };
    let is_tight = panel.y.at(at) - panel.y.at(-position(worst)) < 30.0 && worst > Nanos::ZERO;
    let y = if is_tight { panel.y.at(at) + 14.0 } else { y };
    canvas.text((LEFT + 6.0, y), "bound-name", &name);
}

fn calls(canvas: &mut Canvas, run: &Run) {
    canvas.heading("Calls", "each second, over all gateways");
    canvas.legend(&[
        ("admitted", "admitted"),
        ("refused", "refused: no money"),
        ("failed", "failed or not sent"),
    ]);
    let calls = &run.calls;
    let slot = seconds(calls.slot_ms);
    let sums: Vec<[u64; 3]> = calls
        .admitted
        .iter()
        .zip(&calls.refused)
        .zip(&calls.failed)
        .map(|((admitted, refused), failed)| {
            [*failed, failed + refused, failed + refused + admitted]
        })
        .collect();
    let most = sums.iter().map(|sum| sum[2]).max().unwrap_or(1).max(1);
    let panel = canvas.panel(96.0, (0.0, most as f64 / slot * 1.05), "calls/s");
    for (layer, class) in [(2, "admitted"), (1, "refused"), (0, "failed")] {
        let points: Vec<(f64, f64)> = sums
            .iter()
            .enumerate()
            .map(|(index, sum)| ((index as f64 + 1.0) * slot, sum[layer] as f64 / slot))
            .collect();
        // A slot's count holds from its beginning.
        let stepped: Vec<(f64, f64)> =
            points.iter().flat_map(|(end, value)| [(end - slot, *value), (*end, *value)]).collect();
        canvas.area(&panel, &stepped, class);
    }
}

/// A row for each part: when it ran, when it was dead, when it was cut off.
fn lives(canvas: &mut Canvas, run: &Run) {
    canvas.heading("Parts", "red: killed; amber: cut off");
    let end = seconds(run.span_ms);
    for part in run.gateways.iter().chain(&run.nodes) {
        // A wire is cut for one gateway; the node serves the others.
        let is_gateway = run.gateways.contains(part);
        let top = canvas.below();
        let bar = (top + (PART_ROW.0 - PART_ROW.1) / 2.0, PART_ROW.1);
        canvas.text((LEFT - 8.0, top + PART_ROW.0 - 4.5), "tick end", part);
        canvas.bar((0.0, end), bar, "alive");
        let cuts = spans(&run.events, part, Kind::Cut, Kind::Healed, end);
        for (from, to) in cuts.into_iter().filter(|_| is_gateway) {
            canvas.bar((from, to), bar, "cut-bar");
        }
        for (from, to) in spans(&run.events, part, Kind::Killed, Kind::Back, end) {
            canvas.bar((from, to), bar, "dead-bar");
        }
        canvas.skip(PART_ROW.0);
    }
}

/// When something was so with a part: from one kind of event to the other.
fn spans(events: &[Event], part: &str, begin: Kind, end: Kind, last: f64) -> Vec<(f64, f64)> {
    let of_part = |event: &&Event| event.part.split(' ').any(|name| name == part);
    let mut spans = Vec::new();
    let mut since = None;
    for event in events.iter().filter(of_part) {
        if event.kind == begin {
            since = since.or(Some(seconds(event.at_ms)));
        } else if event.kind == end
            && let Some(from) = since.take()
        {
            spans.push((from, seconds(event.at_ms)));
        }
    }
    spans.extend(since.map(|from| (from, last)));
    spans
}
