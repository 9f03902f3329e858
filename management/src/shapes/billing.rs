//! Bodies of billing's paths, by topic.

pub(crate) mod topups;
