//! Money from outside: what the paths of billing do, by topic.

pub(crate) mod topups;
pub(crate) mod webhooks;
