//! Clustering keys of account rows: texts that a person can read, one for each thing.
//!
//! A key is only ever compared for equality; what it names stands in columns beside it.

use tollgate_metering::{Incarnation, Meter, SuspenseKey};

pub(super) fn meter(meter: &Meter) -> String {
    let Meter { wallet: _, product, plan, billing, period, revision } = meter;
    format!("{product}/{plan}/{}/{period}/{revision}", billing.code())
}

pub(super) fn incarnation(incarnation: Incarnation) -> String {
    let Incarnation { born, id } = incarnation;
    format!("{born}/{id}")
}

pub(super) fn cell(of: &Meter, by: Incarnation) -> String {
    format!("{}/{}", incarnation(by), meter(of))
}

pub(super) fn suspense(key: &SuspenseKey) -> String {
    let SuspenseKey { meter, incarnation, reason } = key;
    format!("{}/{}", cell(meter, *incarnation), reason.as_str())
}
