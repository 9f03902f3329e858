//! Stands in for the domain's units until this crate uses `tollgate_metering::Units`.

/// Exact units, in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units(pub i128);

impl Units {
    /// No units.
    pub const ZERO: Self = Self(0);
    /// One unit.
    pub const ONE: Self = Self(1_000_000_000);
}
