//! What is stored of invoices: the invoice itself, written once, and how far it is paid beside it.
//!
//! The invoices of a developer and currency are a chain, numbered from 1: each takes up entries of
//! the journal that none before it has, and begins with what the one before left over. Its number
//! is its name in the store, so of two nodes that compute the same one, one writes it.
//! Not here: what stands in one (`compose`), what happens at Stripe (`collect`).

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::DocumentKey;
use tollgate_ledger_store::catalogue::text;
use tollgate_metering::{
    Currency, DeveloperId, Money, Period, PlanId, ProductId, Units, UnixMillis,
};
use uuid::Uuid;

use crate::attempts::Attempt;
use crate::records::key;

/// Kind of [`Invoicing`].
pub(super) const INVOICING: &str = "billing.invoicing";
/// Kind of [`Invoice`].
pub(super) const INVOICE: &str = "billing.invoice";
/// Kind of [`Collection`].
pub(super) const COLLECTION: &str = "billing.invoice-collection";
/// Kind of [`Due`].
pub(super) const DUE: &str = "billing.invoice-due";
/// Kind of [`Through`].
pub(super) const THROUGH: &str = "billing.invoiced";
/// The one name in a scope that has one record.
pub(super) const ONLY: &str = "only";

/// Most days that a developer without a card has to pay.
pub const DAYS_UNTIL_DUE_MAX: u32 = 365;

/// How an organization invoices its developers; without this record it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoicing {
    /// The name of the integration through which they pay.
    pub billing: String,
    /// The first month that is invoiced: what was booked before is nobody's business here.
    #[serde(with = "text::plain")]
    pub first_month: Period,
    /// Days that a developer without a card has to pay; 1 to [`DAYS_UNTIL_DUE_MAX`].
    pub days_until_due: u32,
    /// Whether invoices are made now.
    pub is_on: bool,
}

/// Names an invoice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvoiceKey {
    /// The organization.
    pub organization: String,
    /// Who pays.
    pub developer: DeveloperId,
    /// In what.
    pub currency: Currency,
    /// Its number in the chain, from 1.
    pub number: u32,
}

/// An invoice. Never changed once it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Its number in the chain, from 1.
    pub number: u32,
    /// The last month whose entries it takes up.
    #[serde(with = "text::plain")]
    pub month: Period,
    /// When it was written.
    #[serde(with = "text::millis")]
    pub made_at: UnixMillis,
    /// What the invoice before left over: negative for a credit.
    #[serde(with = "text::plain")]
    pub brought: Money,
    /// What is taken up.
    pub lines: Vec<Line>,
    /// What is to be paid: whole steps of Stripe, zero where nothing is asked for.
    #[serde(with = "text::plain")]
    pub total: Money,
    /// What is left for the next one: `brought + Σ lines − total`.
    #[serde(with = "text::plain")]
    pub carried: Money,
    /// What it says at Stripe; adds up to the total, and is empty where that is zero.
    pub items: Vec<Item>,
    /// Whether the next one goes on with the same month: it did not fit into one.
    pub is_continued: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LineKind {
    /// Units of a month that were there when it was closed.
    Usage,
    /// Units of an earlier month that came later, or what they changed of it; may be negative.
    Late,
    /// A fee of a plan, or one that is given back.
    Fee,
    /// What was left of a prepaid balance when the developer became postpaid: a credit.
    Transfer,
}

/// A part of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// Ids of the journal's entries that it takes up; never empty.
    pub entries: Vec<String>,
    /// What was used, where it is usage.
    pub usage: Option<Usage>,
    /// When a fee or a transfer was booked.
    #[serde(with = "text::millis_option")]
    pub booked_at: Option<UnixMillis>,
    /// What a fee is for.
    pub reason: String,
    /// The sum of the entries, exactly; a credit is negative.
    #[serde(with = "text::plain")]
    pub amount: Money,
}

/// The usage of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The API product.
    #[serde(with = "text::plain")]
    pub product: ProductId,
    /// What people call it, as it was then.
    pub product_name: String,
    /// The rate plan.
    #[serde(with = "text::plain")]
    pub plan: PlanId,
    /// What people call it, as it was then.
    pub plan_name: String,
    /// The revision of its prices.
    pub revision: u32,
    /// The month that the units were counted on.
    #[serde(with = "text::plain")]
    pub period: Period,
    /// How many.
    #[serde(with = "text::plain")]
    pub units: Units,
    /// How they are priced; with the rounding they add up to the line's amount.
    pub bands: Vec<Band>,
    /// What rounding to nanos added.
    pub rounding: String,
}

/// Units in one band, or what else a charge is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// `free`, `band 1`, `step 1`, `tier 1`, `discounted in tier 2`, `charged before`; what a closed
    /// month was charged otherwise is `closed otherwise`.
    pub part: String,
    /// How many.
    #[serde(with = "text::plain")]
    pub units: Units,
    /// Of one unit or, of a step, of all.
    #[serde(with = "text::plain")]
    pub price: Money,
    /// Exact, before it is rounded.
    pub amount: String,
}

/// What Stripe is told of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// For whoever pays.
    pub description: String,
    /// In smallest parts of the currency; not zero.
    pub minor: i64,
}

/// How far an invoice is paid, in the order in which that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// To be made at Stripe, or being made there.
    Pending,
    /// It waits for a person, for the reason beside it.
    Blocked,
    /// Stripe collects it.
    Open,
    /// Stripe has given up, or a person has. It may yet be paid.
    Uncollectible,
    /// Made void at Stripe: nobody pays it, unless it is issued again.
    Void,
    /// Paid.
    Paid,
}

/// What became of an invoice whose total is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// How far it is paid.
    pub state: State,
    /// Why it waits, or why Stripe could not collect it; empty where nothing is wrong.
    pub reason: String,
    /// The id of the integration, so that one of the same name made later is not asked about it.
    pub integration: Uuid,
    /// The customer that it was made for.
    pub customer: Option<String>,
    /// `in_…`, once it is known which one counts.
    pub stripe_id: Option<String>,
    /// The number that Stripe gave it.
    #[serde(default)]
    pub stripe_number: Option<String>,
    /// Where it can be seen and paid.
    #[serde(default)]
    pub hosted_url: Option<String>,
    /// What Stripe says was paid, in smallest parts.
    #[serde(default)]
    pub paid_minor: i64,
    /// Whether it was finalized, so that it cannot be made again.
    pub is_final: bool,
    /// Whether Stripe collects it by itself from here on.
    pub is_handed_over: bool,
    /// How often it was made again after it was void.
    #[serde(default)]
    pub reissues: u32,
    /// How it is asked of Stripe now.
    pub attempt: Attempt,
    /// When Stripe was last asked about it.
    #[serde(with = "text::millis")]
    pub asked_at: UnixMillis,
}

/// Says that an invoice may not be settled yet; written before it, removed after it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When it was written.
    #[serde(with = "text::millis")]
    pub at: UnixMillis,
}

/// Up to which month a wallet is invoiced. Only spares work: what it hides is taken up later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// The last month.
    #[serde(with = "text::plain")]
    pub month: Period,
}

// === impl InvoiceKey ===

impl InvoiceKey {
    /// Its name among the invoices of a developer: `EUR-000001`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{:06}", self.currency, self.number)
    }

    /// The key that [`InvoiceKey::id`] names.
    #[must_use]
    pub fn of_id(organization: &str, developer: DeveloperId, id: &str) -> Option<InvoiceKey> {
        let (currency, number) = id.split_once('-')?;
        let (currency, number) = (currency.parse().ok()?, number.parse().ok()?);
        let organization = organization.to_owned();
        let key = InvoiceKey { organization, developer, currency, number };
        (key.id() == id).then_some(key)
    }

    /// What its metadata at Stripe says: unique in an account.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{}/{}", self.developer, self.id())
    }

    /// The key of a mark.
    #[must_use]
    pub fn of_mark(organization: &str, mark: &str) -> Option<InvoiceKey> {
        let (developer, id) = mark.split_once('/')?;
        InvoiceKey::of_id(organization, developer.parse().ok()?, id)
    }

    fn name(&self) -> String {
        format!("{:06}", self.number)
    }

    /// Where the chain is.
    pub(super) fn scope(organization: &str, developer: DeveloperId, currency: Currency) -> String {
        format!("{organization}/{developer}/{currency}")
    }

    fn in_chain(&self, kind: &'static str) -> DocumentKey {
        key(kind, InvoiceKey::scope(&self.organization, self.developer, self.currency), self.name())
    }

    pub(super) fn invoice(&self) -> DocumentKey {
        self.in_chain(INVOICE)
    }

    pub(super) fn collection(&self) -> DocumentKey {
        self.in_chain(COLLECTION)
    }

    pub(super) fn due(&self) -> DocumentKey {
        key(DUE, &self.organization, self.mark())
    }
}

// === impl Invoice ===

impl Invoice {
    /// Whether somebody is asked to pay.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        !self.total.is_zero()
    }
}

// === impl State ===

impl State {
    /// As the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Open => "OPEN",
            State::Paid => "PAID",
            State::Void => "VOID",
            State::Uncollectible => "UNCOLLECTIBLE",
            State::Blocked => "BLOCKED",
        }
    }

    /// Whether nothing more happens to it. Stripe lets what is uncollectible be paid later.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            State::Paid | State::Void => true,
            State::Pending | State::Open | State::Uncollectible | State::Blocked => false,
        }
    }
}

// === impl Line ===

impl Line {
    /// What Stripe is told of it.
    #[must_use]
    pub fn description(&self) -> String {
        match (&self.usage, self.kind) {
            (Some(usage), LineKind::Late) => {
                format!("Late usage of {}: {}", usage.period, usage.told())
            }
            (Some(usage), _) => format!("{}: {}", usage.period, usage.told()),
            (None, LineKind::Transfer) => "Prepaid balance taken over".to_owned(),
            (None, _) if self.reason.is_empty() => "Fee".to_owned(),
            (None, _) => self.reason.clone(),
        }
    }
}

// === impl Usage ===

impl Usage {
    fn told(&self) -> String {
        let Usage { product_name, plan_name, units, .. } = self;
        format!("{product_name}, {plan_name}, {units} units")
    }
}
