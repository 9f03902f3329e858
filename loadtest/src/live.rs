//! The live view of a run: a few lines that are drawn again on a terminal, a line a second elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use crate::nanos::Nanos;
use crate::tally::Counts;
use crate::watcher::Sample;

/// Between two looks on a terminal.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Between two lines elsewhere.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// Characters of the bar.
const BAR_WIDTH: u128 = 32;

/// What is shown of a run at a moment.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    /// What runs.
    pub title: &'a str,
    /// Since its load began.
    pub at: Duration,
    /// How long the load lasts.
    pub span: Duration,
    /// Calls so far.
    pub counts: Counts,
    /// The newest balances.
    pub sample: Option<&'a Sample>,
    /// Names of the gateways.
    pub gateways: &'a [String],
    /// The currency of balances.
    pub currency: &'a str,
    /// What happened last.
    pub event: Option<&'a str>,
}

/// Where a run is shown.
#[derive(Debug)]
pub struct Live {
    is_terminal: bool,
    drawn_lines: usize,
}

// === impl Live ===

impl Live {
    /// On stderr.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), drawn_lines: 0 }
    }

    /// How long to wait between two moments.
    #[must_use]
    pub fn interval(&self) -> Duration {
        if self.is_terminal { DRAW_INTERVAL } else { LINE_INTERVAL }
    }

    /// Shows a moment.
    pub fn show(&mut self, moment: &Moment<'_>) {
        let text = if self.is_terminal {
            let lines = moment.lines();
            let up = match self.drawn_lines {
                0 => String::new(),
                lines => format!("\x1b[{lines}A"),
            };
            self.drawn_lines = lines.len();
            lines.iter().fold(up, |text, line| text + line + "\x1b[K\n")
        } else {
            moment.line() + "\n"
        };
        // Nobody who looks is no reason to end a run.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Leaves what was drawn last where it is.
    pub fn end(&mut self) {
        self.drawn_lines = 0;
    }
}

// === impl Moment ===

impl Moment<'_> {
    fn lines(&self) -> Vec<String> {
        let done = BAR_WIDTH * self.at.min(self.span).as_millis() / self.span.as_millis().max(1);
        let done = usize::try_from(done).unwrap_or_default();
        let rest = usize::try_from(BAR_WIDTH).unwrap_or_default().saturating_sub(done);
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(rest));
        let mut lines = vec![
            format!("{}  {bar}  {} of {} s", self.title, self.at.as_secs(), self.span.as_secs()),
            format!("  calls    {}", self.calls()),
        ];
        let balance = |amount: Option<Nanos>| {
            amount.map_or_else(|| "away".to_owned(), |amount| amount.to_string())
        };
        if let Some(sample) = self.sample {
            let mut ledger = format!("  ledger   {:>12} {}", sample.ledger, self.currency);
            if sample.reserved > Nanos::ZERO {
                let _ = write!(ledger, ", reserved {}", sample.reserved);
            }
            lines.push(ledger);
            let mut views = String::from("  believed");
            for (name, amount) in self.gateways.iter().zip(&sample.gateways) {
                let _ = write!(views, "  {name} {}", balance(*amount));
            }
            lines.push(views);
        }
        lines.push(format!("  {}", self.event.unwrap_or("")));
        lines
    }

    fn line(&self) -> String {
        let mut line = format!("{:>3} s  {}", self.at.as_secs(), self.calls());
        if let Some(sample) = self.sample {
            let _ = write!(line, "; ledger {} {}", sample.ledger, self.currency);
        }
        if let Some(event) = self.event {
            let _ = write!(line, "; {event}");
        }
        line
    }

    fn calls(&self) -> String {
        let Counts { answered, dry, .. } = self.counts;
        format!("admitted {answered}, refused {dry}, failed {}", self.counts.failed())
    }
}
