//! The simulator finds what is broken, and nothing where nothing is.

mod faults;
mod fleet;
mod seeds;
