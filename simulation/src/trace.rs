//! What happened, in order: a hash of all of it, and the lines where they are asked for.

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    sum: Sum,
    lines: Option<Vec<String>>,
}

/// A hash that is the same on every machine and in every version.
#[derive(Clone, Copy, Debug, Default)]
struct Sum(u64);

/// Notes what happened: the text and each value go into the hash; a line is made where lines are kept.
macro_rules! note {
    ($world:expr, $text:literal $(, $value:expr)* $(,)?) => {{
        let now = $world.now;
        $world.trace.begin(now, $text);
        $( $world.trace.add(&$value); )*
        if $world.trace.has_lines() {
            $world.trace.line(now, format_args!($text $(, $value)*));
        }
    }};
}
pub(crate) use note;

// === impl Trace ===

impl Trace {
    pub(crate) fn with_lines() -> Trace {
        Trace { sum: Sum::default(), lines: Some(Vec::new()) }
    }

    pub(crate) fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn begin(&mut self, now: Duration, text: &str) {
        self.sum.write_u64(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        self.sum.write(text.as_bytes());
    }

    pub(crate) fn add(&mut self, value: &impl Hash) {
        value.hash(&mut self.sum);
    }

    pub(crate) fn line(&mut self, now: Duration, text: std::fmt::Arguments<'_>) {
        let Some(lines) = &mut self.lines else { return };
        let mut line = String::new();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        // Writing into a string does not fail.
        let _ = write!(line, "{seconds:>8}.{micros:06}  {text}");
        lines.push(line);
    }

    /// The hash of all that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.sum.finish()
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

// === impl Sum ===

impl Hasher for Sum {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 31)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}
