//! Records of rate plans and of the packages that they are sold in.
//!
//! Field names are the storage format: renaming one is a migration.

use serde::{Deserialize, Serialize};
use tollgate_metering::{Currency, DeveloperId, Money, PlanId, ProductId, Units, UnixMillis};

use super::super::flat::FlatPrice;
use super::super::text;

/// A rate plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Generated.
    #[serde(with = "text::plain")]
    pub id: PlanId,
    /// The id that the caller chose, as Edge's are (`mypackage_rateplan1`); unique in the
    /// organization. A plan of a package has the same id and name in each of its products.
    #[serde(default)]
    pub name: Option<String>,
    /// What may be changed.
    pub terms: PlanTerms,
    /// The price revision in force; 0 until it was published once.
    pub revision: u32,
    /// The price revision in force while a subscription is in its freemium time; 0 where the plan
    /// has no such time. Lower than `revision`: free units come first.
    #[serde(default)]
    pub freemium_revision: u32,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// Whether a plan is in force within its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PlanState {
    /// It is not.
    #[default]
    Draft,
    /// It is.
    Published,
}

/// How consumption is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PricingType {
    /// One price.
    FixedPerUnit,
    /// Marginal prices by bands.
    Banded,
    /// All units at the price of the band that their total has reached.
    Tiered,
    /// A fee for each band that is entered.
    Stairstep,
}

/// How a developer shares in the provider's revenue. Reported, never booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShareType {
    /// One percentage.
    Fixed,
    /// Percentages by bands.
    VolumeBanded,
}

/// A band of a revenue share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareBand {
    /// The first unit; 0, 1 or absent in the first band.
    pub start: Option<i64>,
    /// The last unit; 0 or absent in the last band.
    pub end: Option<i64>,
    /// Hundredths of a percent, at most 10000.
    pub hundredths: u32,
}

/// What a subscription to a plan has free at first; of both, whichever ends first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freemium {
    /// Units of each billing period; `None`: all.
    #[serde(default, with = "text::option")]
    pub units: Option<Units>,
    /// How long from the subscription's start; `None`: as long as it lasts.
    pub span: Option<Span>,
}

/// A span of calendar time, at least one of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: SpanUnit,
}

/// Units of calendar time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SpanUnit {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// To the same day of the next month, or its last.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

/// Who may accept a plan of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody (`STANDARD`).
    #[default]
    Everybody,
    /// One developer (`DEVELOPER`).
    Developer(#[serde(with = "text::plain")] DeveloperId),
    /// Developers of a category (`DEVELOPER_CATEGORY`): those whose attribute
    /// `MINT_DEVELOPER_CATEGORY` names it.
    Category(String),
}

/// What only plans of packages have: plans of Edge. They may be in force beside each other, and
/// apply to who accepted them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageTerms {
    /// Id of the package.
    pub package: String,
    /// Who may accept it.
    #[serde(default)]
    pub audience: Audience,
    /// Whether listings leave it out.
    #[serde(default)]
    pub is_private: bool,
    /// The custom attribute that multiplies units; `None`: each call or transaction is one.
    #[serde(default)]
    pub rating_attribute: Option<String>,
    /// Fields of Edge that have no effect here, as they were given.
    #[serde(default)]
    pub stored: serde_json::Map<String, serde_json::Value>,
}

/// The part of a rate plan that people write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTerms {
    /// For people; required.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Whether a billing period was named; the only one is the calendar month.
    pub is_monthly: bool,
    /// Deprecated by Apigee; stored only.
    pub payment_funding_model: Option<String>,
    /// The currency of every amount in the plan.
    #[serde(with = "text::option")]
    pub currency: Option<Currency>,
    /// Charged once at purchase.
    #[serde(with = "text::option")]
    pub setup_fee: Option<Money>,
    /// Charged in advance for each interval.
    #[serde(default, with = "text::option")]
    pub recurring_fee: Option<Money>,
    /// Months of such an interval; 0 stands for 1.
    #[serde(default)]
    pub fee_months: u32,
    /// How consumption is priced; absent: calls cost nothing.
    pub pricing: Option<PricingType>,
    /// Its bands.
    pub bands: Vec<PriceBand>,
    /// What is free at first.
    #[serde(default)]
    pub freemium: Option<Freemium>,
    /// How the developer shares in revenue.
    #[serde(default)]
    pub share: Option<ShareType>,
    /// Its bands.
    #[serde(default)]
    pub share_bands: Vec<ShareBand>,
    /// What a plan of a package has; `None`: a plan of its product alone.
    #[serde(default)]
    pub package: Option<PackageTerms>,
    /// A price that a payment provider collects; `None`: it has none.
    #[serde(default)]
    pub flat: Option<FlatPrice>,
    /// Whether it is in force within its window.
    pub state: PlanState,
    /// Whether it is in shadow mode: its calls and fees are counted, never refused and never paid.
    /// `None` says nothing: a new plan is not, one that is replaced stays what it was.
    #[serde(default)]
    pub shadow: Option<bool>,
    /// Beginning of its window.
    #[serde(with = "text::millis_option")]
    pub start: Option<UnixMillis>,
    /// End of its window, not included; `None` for never.
    #[serde(with = "text::millis_option")]
    pub end: Option<UnixMillis>,
}

/// A band as people write it: inclusive on both ends, in whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceBand {
    /// The first unit; 0, 1 or absent in the first band.
    pub start: Option<i64>,
    /// The last unit; 0 or absent where the last band has no end.
    pub end: Option<i64>,
    /// Price of one unit or, where bands are stairs, of the band.
    #[serde(with = "text::plain")]
    pub fee: Money,
}

/// API products that are sold together: a monetization package of Edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Unique in the organization, immutable.
    pub id: String,
    /// What may be changed.
    pub terms: PackageText,
    /// Its products, at most [`super::super::packages::PRODUCTS_MAX`], in the order they were put in.
    pub products: Vec<PackageProduct>,
    /// Its rate plans, at most [`super::super::plans::PLANS_MAX`], oldest first. What they say is in the
    /// products.
    pub plans: Vec<PackagePlan>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// The part of a package that people write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageText {
    /// For people.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Free; Edge says `CREATED`.
    pub status: String,
}

/// A product in a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageProduct {
    /// Its id: one created again under the same name is not in the package.
    #[serde(with = "text::plain")]
    pub id: ProductId,
    /// Its name.
    pub name: String,
}

/// A rate plan of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagePlan {
    /// Its id as people know it.
    pub name: String,
    /// Its id.
    #[serde(with = "text::plain")]
    pub id: PlanId,
}
