//! What happened, line by line: shown where a seed fails, and compared where one is run again.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::time::SimTime;

/// Lines that are shown of a seed that failed.
const SHOWN: usize = 60;

/// The lines of one simulation.
#[derive(Debug)]
pub(crate) struct Trace {
    time: SimTime,
    lines: RefCell<Vec<(Duration, String)>>,
}

// === impl Trace ===

impl Trace {
    pub(crate) fn new(time: &SimTime) -> Self {
        Self { time: time.clone(), lines: RefCell::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.time.now()
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.lines.borrow_mut().push((self.time.now(), line()));
    }

    /// Equal for equal traces.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lines.borrow().hash(&mut hasher);
        hasher.finish()
    }

    /// All of it, or its end.
    pub(crate) fn show(&self, is_whole: bool) -> String {
        let lines = self.lines.borrow();
        let from = if is_whole { 0 } else { lines.len().saturating_sub(SHOWN) };
        let text = |(at, line): &(Duration, String)| format!("{:>9.3} {line}\n", at.as_secs_f64());
        lines[from..].iter().map(text).collect()
    }
}
