//! Draws SVG: scales, axes, lines. Pixels and labels only; amounts come in as whole nanos and leave as positions.

#![allow(clippy::float_arithmetic, reason = "pixels are not money")]

pub mod canvas;
pub mod scale;
