//! A figure of several panels over one horizontal axis.
//!
//! Colours are classes, so that the page and a file that stands alone look the same by day and by night.

use std::fmt::Write as _;

use super::scale::Scale;

/// Width of every figure.
pub const WIDTH: f64 = 960.0;
/// Room for the names of values.
pub const LEFT: f64 = 92.0;
/// Room beside the plots.
pub const RIGHT: f64 = 24.0;
/// How wide a character of a label is taken to be.
const CHARACTER: f64 = 6.3;
/// Rows for labels of marks.
const MARK_ROWS: usize = 4;
/// Height of such a row.
const MARK_ROW: f64 = 16.0;

/// Colours and lines, for light and dark.
pub const STYLE: &str = include_str!("style.css");

/// A figure that grows downwards.
#[derive(Debug)]
pub struct Canvas {
    x: Scale,
    below: f64,
    body: String,
}

/// One plot of a figure.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// From values to pixels.
    pub y: Scale,
    top: f64,
    bottom: f64,
}

/// Text as XML has it.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

// === impl Canvas ===

impl Canvas {
    /// An empty figure over these values.
    #[must_use]
    pub fn new(values: (f64, f64)) -> Self {
        Self::with_x(Scale::linear(values, (LEFT, WIDTH - RIGHT)))
    }

    /// An empty figure over this axis.
    #[must_use]
    pub fn with_x(x: Scale) -> Self {
        Self { x, below: 0.0, body: String::new() }
    }

    /// The horizontal axis.
    #[must_use]
    pub fn x(&self) -> Scale {
        self.x
    }

    /// Where the next thing begins.
    #[must_use]
    pub fn below(&self) -> f64 {
        self.below
    }

    /// Leaves room.
    pub fn skip(&mut self, pixels: f64) {
        self.below += pixels;
    }

    /// Adds what was drawn elsewhere.
    pub fn draw(&mut self, svg: &str) {
        self.body.push_str(svg);
    }

    /// A text whose left end is at `x`.
    pub fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escaped(text);
        let _ = write!(self.body, r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#);
    }

    /// A heading over the next panel, with what its values are.
    pub fn heading(&mut self, title: &str, about: &str) {
        self.below += 22.0;
        let (title, about, y) = (escaped(title), escaped(about), self.below);
        let x = LEFT;
        let _ = write!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" class="heading">{title}<tspan class="about" dx="8">{about}</tspan></text>"#
        );
        self.below += 10.0;
    }

    /// A plot of this height over these values, with names at its left.
    pub fn panel(&mut self, height: f64, values: (f64, f64), unit: &str) -> Panel {
        let (top, bottom) = (self.below, self.below + height);
        self.panel_with(Scale::linear(values, (bottom, top)), unit)
    }

    /// A plot over this axis, whose pixels begin at [`Canvas::below`].
    pub fn panel_with(&mut self, y: Scale, unit: &str) -> Panel {
        let (bottom, top) = y.pixels();
        let (left, right) = (LEFT, WIDTH - RIGHT);
        for (value, name) in y.ticks() {
            let at = y.at(value);
            let class = if value == 0.0 { "zero" } else { "grid" };
            let _ = write!(
                self.body,
                r#"<path d="M{left} {at:.1}H{right}" class="{class}"/><text x="{x:.1}" y="{text:.1}" class="tick end">{name}</text>"#,
                x = left - 8.0,
                text = at + 4.0,
            );
        }
        let (x, middle) = (LEFT - 56.0, f64::midpoint(top, bottom));
        let unit = escaped(unit);
        let _ = write!(
            self.body,
            r#"<text transform="translate({x} {middle:.1}) rotate(-90)" class="unit">{unit}</text>"#
        );
        self.below = bottom;
        Panel { y, top, bottom }
    }

    /// Names the values of the horizontal axis below everything so far.
    pub fn x_axis(&mut self, unit: &str) {
        self.below += 16.0;
        let y = self.below;
        for (value, name) in self.x.ticks() {
            let at = self.x.at(value);
            let _ = write!(
                self.body,
                r#"<text x="{at:.1}" y="{y:.1}" class="tick middle">{name}</text>"#
            );
        }
        self.below += 18.0;
        let (middle, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), self.below);
        let unit = escaped(unit);
        let _ = write!(self.body, r#"<text x="{middle:.1}" y="{y:.1}" class="unit">{unit}</text>"#);
        self.below += 8.0;
    }

    /// Labels of moments, in rows so that none hides another, at the height where the canvas is now.
    pub fn marks(&mut self, marks: &[(f64, &str, &str)]) {
        let mut free = [f64::MIN; MARK_ROWS];
        let top = self.below;
        for (value, class, label) in marks {
            let at = self.x.at(*value);
            let width = CHARACTER * label.chars().count() as f64 + 10.0;
            // At the right edge a label stands on the left of its moment.
            let is_left = at + width > WIDTH;
            let from = if is_left { at - width } else { at };
            let row = free.iter().position(|end| *end <= from).unwrap_or(MARK_ROWS - 1);
            free[row] = from + width;
            let y = top + MARK_ROW * (row as f64 + 1.0) - 4.0;
            let (x, anchor) = if is_left { (at - 4.0, "end") } else { (at + 4.0, "") };
            let label = escaped(label);
            let _ = write!(
                self.body,
                r#"<text x="{x:.1}" y="{y:.1}" class="mark {class} {anchor}">{label}</text>"#
            );
        }
        self.below += MARK_ROW * MARK_ROWS as f64;
    }

    /// A line down through all panels at a moment.
    pub fn rule(&mut self, value: f64, class: &str, (top, bottom): (f64, f64)) {
        let at = self.x.at(value);
        let _ =
            write!(self.body, r#"<path d="M{at:.1} {top:.1}V{bottom:.1}" class="rule {class}"/>"#);
    }

    /// A bar from one moment to another.
    pub fn bar(&mut self, (from, to): (f64, f64), (top, height): (f64, f64), class: &str) {
        let (left, right) = (self.x.clamped(from), self.x.clamped(to));
        let width = (right - left).max(0.0);
        let _ = write!(
            self.body,
            r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}" class="{class}"/>"#
        );
    }

    /// A line through points, where a gap ends it; stepped where a value holds until the next.
    pub fn line(
        &mut self,
        panel: &Panel,
        points: &[(f64, Option<f64>)],
        class: &str,
        is_stepped: bool,
    ) {
        let mut path = String::new();
        let mut before: Option<(f64, f64)> = None;
        let mut is_held = false;
        for (x, value) in points.iter().copied().chain([(f64::NAN, None)]) {
            let Some(value) = value else {
                if let Some((x, _)) = before.take().filter(|_| is_held) {
                    let _ = write!(path, "H{x:.1}");
                }
                is_held = false;
                continue;
            };
            let (x, y) = (self.x.clamped(x), panel.y.clamped(value));
            is_held = is_stepped && before.is_some_and(|(_, last)| last == y);
            let _ = match before {
                None => write!(path, "M{x:.1} {y:.1}"),
                // A value that holds is drawn once, when it changes.
                Some(_) if is_held => Ok(()),
                Some(_) if is_stepped => write!(path, "H{x:.1}V{y:.1}"),
                Some(_) => write!(path, "L{x:.1} {y:.1}"),
            };
            before = Some((x, y));
        }
        let _ = write!(self.body, r#"<path d="{path}" class="{class}"/>"#);
    }

    /// The area between zero and a line through points.
    pub fn area(&mut self, panel: &Panel, points: &[(f64, f64)], class: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let zero = panel.y.clamped(0.0);
        let mut path = format!("M{:.1} {zero:.1}", self.x.clamped(first.0));
        for (x, value) in points {
            let _ = write!(path, "H{:.1}V{:.1}", self.x.clamped(*x), panel.y.clamped(*value));
        }
        let _ = write!(path, "H{:.1}V{zero:.1}Z", self.x.clamped(last.0));
        let _ = write!(self.body, r#"<path d="{path}" class="{class}"/>"#);
    }

    /// Names of lines and areas in a row, with their colours.
    pub fn legend(&mut self, entries: &[(&str, &str)]) {
        self.below += 14.0;
        let (mut x, y) = (LEFT, self.below);
        for (class, name) in entries {
            let _ = write!(
                self.body,
                r#"<rect x="{x:.1}" y="{swatch:.1}" width="16" height="4" rx="2" class="swatch {class}"/>"#,
                swatch = y - 6.0,
            );
            self.text((x + 22.0, y), "name", name);
            x += 22.0 + CHARACTER * name.chars().count() as f64 + 18.0;
        }
        self.below += 8.0;
    }

    /// What was drawn so far.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The whole figure as an SVG element with its own style.
    #[must_use]
    pub fn finish(&self, label: &str) -> String {
        let (height, label) = (self.below.ceil(), escaped(label));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"><style>{STYLE}</style>{}</svg>"#,
            self.body
        )
    }
}

// === impl Panel ===

impl Panel {
    /// Its upper and lower end.
    #[must_use]
    pub fn ends(&self) -> (f64, f64) {
        (self.top, self.bottom)
    }
}
