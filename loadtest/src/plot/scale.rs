//! From a value to a pixel, and which values an axis names.

/// Values that an axis names at most.
const TICKS_MAX: f64 = 6.0;

/// A linear or logarithmic way from values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    from: (f64, f64),
    to: (f64, f64),
    is_log: bool,
}

// === impl Scale ===

impl Scale {
    /// Values `from` lie at pixels `to`, evenly.
    #[must_use]
    pub fn linear(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to, is_log: false }
    }

    /// The same by orders of magnitude; values are above zero.
    #[must_use]
    pub fn log(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from: (from.0.log10(), from.1.log10()), to, is_log: true }
    }

    /// The pixel of a value.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let span = self.from.1 - self.from.0;
        let share = if span == 0.0 { 0.0 } else { (value - self.from.0) / span };
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// The pixel of a value, or of the end that it is beyond.
    #[must_use]
    pub fn clamped(&self, value: f64) -> f64 {
        let (low, high) = (self.to.0.min(self.to.1), self.to.0.max(self.to.1));
        self.at(value).clamp(low, high)
    }

    /// The pixels that it goes over.
    #[must_use]
    pub fn pixels(&self) -> (f64, f64) {
        self.to
    }

    /// Values to name, with their names.
    #[must_use]
    pub fn ticks(&self) -> Vec<(f64, String)> {
        if self.is_log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let (low, high) = self.from;
        let step = step(high - low);
        if step <= 0.0 {
            return Vec::new();
        }
        let places = (-step.log10().floor()).max(0.0);
        let mut ticks = Vec::new();
        let mut number = (low / step).ceil();
        while number * step <= high + step * 1e-9 {
            // Negative zero is written with its sign.
            let value = number * step + 0.0;
            let name = format!("{value:.*}", places as usize);
            ticks.push((value, name.replace('-', "\u{2212}")));
            number += 1.0;
        }
        ticks
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let mut ticks = Vec::new();
        let mut power = self.from.0.floor();
        while power <= self.from.1 {
            for digit in [1.0, 2.0, 5.0] {
                let value = digit * 10_f64.powf(power);
                if (self.from.0..=self.from.1).contains(&value.log10()) {
                    ticks.push((value, format!("{value}")));
                }
            }
            power += 1.0;
        }
        ticks
    }
}

/// 1, 2 or 5 of a power of ten, so that a span has at most [`TICKS_MAX`] of it.
fn step(span: f64) -> f64 {
    if span <= 0.0 {
        return 0.0;
    }
    let power = 10_f64.powf((span / TICKS_MAX).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    steps.into_iter().find(|step| span / step <= TICKS_MAX).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let names = |scale: Scale| -> Vec<String> {
            scale.ticks().into_iter().map(|(_, name)| name).collect()
        };
        let rows = [
            ((0.0, 16.0), vec!["0", "5", "10", "15"]),
            ((-0.75, 0.75), vec!["−0.5", "0.0", "0.5"]),
            ((0.0, 20.0), vec!["0", "5", "10", "15", "20"]),
            ((-0.06, 0.06), vec!["−0.06", "−0.04", "−0.02", "0.00", "0.02", "0.04", "0.06"]),
            ((0.0, 0.0), vec![]),
        ];
        for (from, want) in rows {
            assert_eq!(names(Scale::linear(from, (0.0, 100.0))), want, "{from:?}");
        }
        assert_eq!(names(Scale::log((1.0, 60.0), (0.0, 1.0))), ["1", "2", "5", "10", "20", "50"]);
    }

    #[test]
    fn values_find_their_pixels() {
        let scale = Scale::linear((0.0, 10.0), (100.0, 0.0));
        assert_eq!([scale.at(0.0), scale.at(2.5), scale.clamped(99.0)], [100.0, 75.0, 0.0]);
        let log = Scale::log((1.0, 100.0), (0.0, 2.0));
        assert!((log.at(10.0) - 1.0).abs() < 1e-9);
    }
}
