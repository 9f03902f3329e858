//! Counts open calls by the billing type of their meters: what one waits for is no matter of others.

use crate::meter::BillingType;

/// Open calls by the billing type of their meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenCalls([u32; BillingType::ALL.len()]);

// === impl OpenCalls ===

impl OpenCalls {
    /// So many on prepaid meters.
    pub(super) fn prepaid(calls: u32) -> OpenCalls {
        let mut open = OpenCalls::default();
        open.0[usize::from(BillingType::Prepaid.code())] = calls;
        open
    }

    pub(super) fn of(self, billing: BillingType) -> u32 {
        self.0[usize::from(billing.code())]
    }

    pub(super) fn total(self) -> u32 {
        self.0.iter().sum()
    }

    pub(super) fn begin(&mut self, billing: BillingType) {
        self.0[usize::from(billing.code())] += 1;
    }

    pub(super) fn end(&mut self, billing: BillingType) {
        self.0[usize::from(billing.code())] -= 1;
    }
}
