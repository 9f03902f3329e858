//! What a search for the highest sustainable rate found: its curve, as a figure and as a table.

#![allow(clippy::float_arithmetic, reason = "pixels are not money")]

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::page::{self, number};
use super::{Latency, WriteError, write};
use crate::plot::canvas::{Canvas, LEFT, RIGHT, WIDTH};
use crate::plot::scale::Scale;
use crate::scenario::Overspend;

/// Pixels of the plot.
const HEIGHT: f64 = 260.0;

/// What a search found.
#[derive(Debug, Clone, Serialize)]
pub struct Throughput {
    /// What the scenario is called.
    pub title: String,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// What 99 of a hundred calls must keep to.
    pub p99_limit_ms: u64,
    /// Calls of a thousand that may go wrong.
    pub failures_limit_per_mille: u64,
    /// How many gateways carried it.
    pub gateways: usize,
    /// One for each policy; their trials took turns.
    pub curves: Vec<Curve>,
}

/// What wallets of one policy were carried at.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The policy.
    pub overspend: Overspend,
    /// The highest rate that kept both limits, in calls a second; 0 where none did.
    pub sustained: u64,
    /// Every rate that was tried, in rising order.
    pub trials: Vec<Trial>,
}

/// One rate that was tried.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Trial {
    /// Calls a second that were due.
    pub calls_per_second: u64,
    /// Calls that were due.
    pub due: u64,
    /// Of them, those that went wrong.
    pub failed: u64,
    /// Latencies from when calls were due.
    pub latency: Latency,
    /// Whether it kept both limits.
    pub is_sustained: bool,
}

// === impl Throughput ===

impl Throughput {
    /// What was found, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rate = |curve: &Curve| {
            format!("{} calls a second ({})", curve.sustained, curve.overspend.as_str())
        };
        let rates: Vec<String> = self.curves.iter().map(rate).collect();
        format!(
            "{} gateways carry {} with 99 % of them answered within {} ms of when they were due, \
             and at most {} of a thousand failing.",
            self.gateways,
            rates.join(" and "),
            self.p99_limit_ms,
            self.failures_limit_per_mille
        )
    }

    /// Writes `throughput.html` and `throughput.json` into a folder.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let json = serde_json::to_string_pretty(self).expect("numbers have a JSON form");
        write(folder, "throughput.html", &page::of_throughput(self))?;
        write(folder, "throughput.json", &json)
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Latency over rate; time is logarithmic.
#[must_use]
pub fn figure(found: &Throughput, curve: &Curve) -> String {
    let most = curve.trials.last().map_or(1, |trial| trial.calls_per_second);
    let x = Scale::linear((0.0, most as f64 * 1.05), (LEFT, WIDTH - RIGHT));
    let mut canvas = Canvas::with_x(x);
    canvas.legend(&[
        ("p50", "half of the calls"),
        ("p99", "99 %"),
        ("p999", "99.9 %"),
        ("bound", "the limit of 99 %"),
    ]);
    canvas.heading("Latency", "from when a call was due, by rate; red: a limit was broken");
    let micros = |of: fn(&Latency) -> u64| curve.trials.iter().map(move |trial| of(&trial.latency));
    let low = millis(micros(|it| it.p50_us).min().unwrap_or(1_000).max(10)) * 0.8;
    let high =
        millis(micros(|it| it.p999_us).max().unwrap_or(1_000)).max(found.p99_limit_ms as f64) * 1.3;
    let top = canvas.below();
    let panel = canvas.panel_with(Scale::log((low, high), (top + HEIGHT, top)), "ms");
    for class in ["p999", "p99", "p50"] {
        let of = |it: &Latency| match class {
            "p999" => it.p999_us,
            "p99" => it.p99_us,
            _ => it.p50_us,
        };
        let points: Vec<(f64, Option<f64>)> = curve
            .trials
            .iter()
            .map(|trial| (trial.calls_per_second as f64, Some(millis(of(&trial.latency)))))
            .collect();
        canvas.line(&panel, &points, &format!("line {class}"), false);
    }
    let limit = found.p99_limit_ms as f64;
    canvas.line(&panel, &[(0.0, Some(limit)), (most as f64 * 1.05, Some(limit))], "bound", false);
    for trial in &curve.trials {
        let (x, y) =
            (x.at(trial.calls_per_second as f64), panel.y.clamped(millis(trial.latency.p99_us)));
        let class = if trial.is_sustained { "dot" } else { "dot bad" };
        canvas.draw(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" class="{class}"/>"#));
    }
    if curve.sustained > 0 {
        canvas.rule(curve.sustained as f64, "back", panel.ends());
    }
    canvas.x_axis("calls a second");
    canvas.finish("Latency by rate")
}

/// Every rate that was tried.
#[must_use]
pub fn table(curve: &Curve, place: usize) -> String {
    let mut rows = String::from(
        "<tr><th>calls/s</th><td>50 %</td><td>90 %</td><td>99 %</td><td>99.9 %</td><td>failed</td><td></td></tr>",
    );
    for (index, trial) in curve.trials.iter().enumerate() {
        let cell = |value: u64, key: &str| {
            number(&value.to_string(), &format!("curves.{place}.trials.{index}.{key}"))
        };
        let wait = |value: u64, key: &str| cell(value, &format!("latency.{key}")) + " µs";
        let it = &trial.latency;
        let _ = write!(
            rows,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            cell(trial.calls_per_second, "calls_per_second"),
            wait(it.p50_us, "p50_us"),
            wait(it.p90_us, "p90_us"),
            wait(it.p99_us, "p99_us"),
            wait(it.p999_us, "p999_us"),
            cell(trial.failed, "failed"),
            if trial.is_sustained { "kept" } else { "too much" },
        );
    }
    format!(
        "<div class=\"tables\"><table><caption>Every rate that was tried</caption>{rows}</table></div>"
    )
}
