//! What entries of the journal book, and in which sum their amounts stand.

/// What an entry of the journal books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Money paid in.
    Credit,
    /// A correction by a person: positive lowers the balance, negative raises it.
    Adjustment,
    /// A fee of a plan.
    Fee,
    /// A checkpoint: a meter's charge moved to `settled`.
    Checkpoint,
    /// A postpaid meter's charge noted for its invoice; the balance is not touched.
    PostpaidCheckpoint,
    /// A new overdraft limit, as its amount; no money moved.
    Limit,
    /// Suspense that a person charged: units went to the meter. Past the horizon the checkpoints
    /// of the same change move their charge.
    SuspenseCharge,
    /// Suspense that a person wrote off; no money moved.
    SuspenseWriteOff,
    /// Units that somebody recorded in place of a gateway: they went to the meter. Past the horizon
    /// the checkpoints of the same change move their charge.
    Usage,
    /// A fee of a plan, of a developer who pays later: for an invoice; the balance is not touched.
    /// Negative, like [`EntryKind::Fee`], where one is given back.
    PostpaidFee,
    /// A meter's charge in shadow mode, noted for reports: nobody pays it.
    ShadowCheckpoint,
    /// A fee of a plan in shadow mode, noted for reports: nobody pays it. Negative where one is given
    /// back.
    ShadowFee,
    /// What was left of a prepaid balance when its developer began to pay later: it leaves the
    /// balance and is a credit that invoices net. Zero where nothing was left.
    Transfer,
}

// === impl EntryKind ===

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 13] = [
        EntryKind::Credit,
        EntryKind::Adjustment,
        EntryKind::Fee,
        EntryKind::Checkpoint,
        EntryKind::PostpaidCheckpoint,
        EntryKind::Limit,
        EntryKind::SuspenseCharge,
        EntryKind::SuspenseWriteOff,
        EntryKind::Usage,
        EntryKind::PostpaidFee,
        EntryKind::ShadowCheckpoint,
        EntryKind::ShadowFee,
        EntryKind::Transfer,
    ];

    /// The word that stands for it in stored rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::Credit => "credit",
            EntryKind::Adjustment => "adjustment",
            EntryKind::Fee => "fee",
            EntryKind::Checkpoint => "checkpoint",
            EntryKind::PostpaidCheckpoint => "postpaid_checkpoint",
            EntryKind::Limit => "limit",
            EntryKind::SuspenseCharge => "suspense_charge",
            EntryKind::SuspenseWriteOff => "suspense_write_off",
            EntryKind::Usage => "usage",
            EntryKind::PostpaidFee => "postpaid_fee",
            EntryKind::ShadowCheckpoint => "shadow_checkpoint",
            EntryKind::ShadowFee => "shadow_fee",
            EntryKind::Transfer => "transfer",
        }
    }

    /// What ids of such entries begin with. Fees share it, whoever pays them when: one that is
    /// booked is booked once, also where the billing type changes in between.
    #[must_use]
    pub const fn id_word(self) -> &'static str {
        match self {
            EntryKind::PostpaidFee | EntryKind::ShadowFee => EntryKind::Fee.as_str(),
            EntryKind::Credit
            | EntryKind::Adjustment
            | EntryKind::Fee
            | EntryKind::Checkpoint
            | EntryKind::PostpaidCheckpoint
            | EntryKind::Limit
            | EntryKind::SuspenseCharge
            | EntryKind::SuspenseWriteOff
            | EntryKind::Usage
            | EntryKind::ShadowCheckpoint
            | EntryKind::Transfer => self.as_str(),
        }
    }

    /// The kind that [`EntryKind::as_str`] wrote.
    #[must_use]
    pub fn from_word(word: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether such an entry notes a meter's charge.
    #[must_use]
    pub const fn is_checkpoint(self) -> bool {
        match self {
            EntryKind::Checkpoint | EntryKind::PostpaidCheckpoint | EntryKind::ShadowCheckpoint => {
                true
            }
            EntryKind::Credit
            | EntryKind::Adjustment
            | EntryKind::Fee
            | EntryKind::Limit
            | EntryKind::SuspenseCharge
            | EntryKind::SuspenseWriteOff
            | EntryKind::Usage
            | EntryKind::PostpaidFee
            | EntryKind::ShadowFee
            | EntryKind::Transfer => false,
        }
    }

    /// Whether the amount of such an entry stands in `credited`.
    #[must_use]
    pub const fn is_credited(self) -> bool {
        matches!(self, EntryKind::Credit)
    }

    /// Whether the amount of such an entry stands in `settled`.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            EntryKind::Adjustment
            | EntryKind::Fee
            | EntryKind::Checkpoint
            | EntryKind::Transfer => true,
            EntryKind::Credit
            | EntryKind::PostpaidCheckpoint
            | EntryKind::Limit
            | EntryKind::SuspenseCharge
            | EntryKind::SuspenseWriteOff
            | EntryKind::Usage
            | EntryKind::PostpaidFee
            | EntryKind::ShadowCheckpoint
            | EntryKind::ShadowFee => false,
        }
    }
}
