//! What the catalogue stores, record by record.
//!
//! Field names are the storage format: renaming one is a migration. Every field that was added
//! after the first release has a default. Rate plans and packages are in `plans`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_metering::account::Overspend;
use tollgate_metering::{BillingType, Currency, DeveloperId, Money, PlanId, ProductId, UnixMillis};
use uuid::Uuid;

use super::caller::Window;
use super::secrets::ConsumerSecret;
use super::text;

mod plans;

pub use self::plans::{
    Audience, Freemium, Package, PackagePlan, PackageProduct, PackageTerms, PackageText, Plan,
    PlanState, PlanTerms, PriceBand, PricingType, ShareBand, ShareType, Span, SpanUnit,
};

/// A free pair of name and value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its name, unique and immutable.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Whether the monetization add-on is on. Portals read it; calls are metered either way.
    pub is_monetized: bool,
    /// Whether an adjustment may not raise a balance above what it was after the last credit.
    pub is_adjustment_capped: bool,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// A developer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Developer {
    /// Generated; a developer created again under the same address has another.
    #[serde(with = "text::plain")]
    pub id: DeveloperId,
    /// In lower case; unique in the organization. Of an AppGroup: its name, which has no `@`.
    pub email: String,
    /// What makes it an AppGroup, which owns apps, wallets and subscriptions as a developer does.
    #[serde(default)]
    pub group: Option<AppGroup>,
    /// For people.
    pub first_name: String,
    /// For people.
    pub last_name: String,
    /// For people.
    pub user_name: String,
    /// Whether the keys of the developer work.
    pub is_active: bool,
    /// Who pays when; survives updates of the rest.
    #[serde(with = "text::billing")]
    pub billing: BillingType,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Stored only.
    #[serde(default)]
    pub access_type: String,
    /// Stored only.
    #[serde(default)]
    pub app_family: String,
    /// Stored only.
    #[serde(default)]
    pub companies: Vec<String>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
    /// Whether it is being deleted: to everybody but the deletion it is gone.
    pub is_deleted: bool,
    /// How often the billing type changed from prepaid to postpaid: names what was moved then.
    #[serde(default)]
    pub switches: u32,
    /// When it did so last.
    #[serde(default, with = "text::millis_option")]
    pub switched_at: Option<UnixMillis>,
    /// Whether what was left in the wallets then may still wait to be moved.
    #[serde(default)]
    pub is_switch_open: bool,
}

/// What an AppGroup has and a developer has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppGroup {
    /// For people.
    pub display_name: String,
    /// Who keeps the group; listings may ask for it.
    pub channel_id: String,
    /// The storefront; listings may ask for it.
    pub channel_uri: String,
    /// For people.
    pub contact: String,
}

/// Whether something may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// It may.
    Approved,
    /// It was taken back.
    Revoked,
    /// Somebody has to approve it first.
    Pending,
}

/// An app of a developer, with its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Generated.
    pub id: Uuid,
    /// Unique for the developer, immutable.
    pub name: String,
    /// Whose app it is.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// Whether its keys work.
    pub status: Approval,
    /// For OAuth flows of others; stored only.
    pub callback_url: String,
    /// For OAuth flows of others; stored only.
    pub scopes: Vec<String>,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Stored only.
    #[serde(default)]
    pub app_family: String,
    /// How long the key that was made with the app works, in milliseconds; `None` for ever.
    #[serde(default)]
    pub key_lifetime_ms: Option<i64>,
    /// Its keys, at most [`super::apps::KEYS_MAX`].
    pub credentials: Vec<Credential>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// A consumer key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The key as clients send it.
    pub consumer_key: String,
    /// For OAuth flows of others; shown once and stored as a hash only.
    pub consumer_secret: ConsumerSecret,
    /// Whether it works.
    pub status: Approval,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub issued_at: UnixMillis,
    /// From when on it does not work; `None` for never.
    #[serde(with = "text::millis_option")]
    pub expires_at: Option<UnixMillis>,
    /// What it gives access to.
    pub products: Vec<KeyProduct>,
    /// For OAuth flows of others; stored only.
    pub scopes: Vec<String>,
    /// Free.
    pub attributes: Vec<Attribute>,
}

/// An API product on a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProduct {
    /// The product's id when it was put on the key: one created again later is not on it.
    #[serde(with = "text::plain")]
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// Whether the key may use it.
    pub status: Approval,
}

/// An API product, with all its rate plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Generated; a product created again under the same name has another.
    #[serde(with = "text::plain")]
    pub id: ProductId,
    /// Unique in the organization, immutable.
    pub name: String,
    /// What may be changed.
    pub terms: ProductTerms,
    /// Its rate plans, at most [`super::plans::PLANS_MAX`], oldest first.
    pub plans: Vec<Plan>,
    /// What recurring fees its plans had since when, oldest first; see [`super::fees`].
    #[serde(default)]
    pub fee_log: Vec<FeeTerms>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// The part of a product that people write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductTerms {
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Whether keys wait for an approval by hand.
    pub is_manual_approval: bool,
    /// Path patterns that it grants; none: every path. Excludes `operations`.
    pub api_resources: Vec<String>,
    /// Operations that it grants. Excludes `api_resources`.
    pub operations: Vec<OperationConfig>,
    /// Whether the operations are said to be of remote services; stored only.
    #[serde(default)]
    pub is_remote_service: bool,
    /// Groups of operations of other kinds, as they were written.
    #[serde(default)]
    pub other_groups: OtherGroups,
    /// What those grant, as paths and methods. Excludes `api_resources`.
    #[serde(default)]
    pub other_operations: Vec<OperationConfig>,
    /// Environments that it grants; none: all.
    pub environments: Vec<String>,
    /// Proxies that it grants; none: all.
    pub proxies: Vec<String>,
    /// For OAuth flows of others; stored only.
    pub scopes: Vec<String>,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Stored only.
    pub quota: String,
    /// Stored only.
    pub quota_interval: String,
    /// Stored only.
    pub quota_time_unit: String,
    /// Stored only.
    #[serde(default)]
    pub quota_counter_scope: Option<String>,
    /// Stored only.
    #[serde(default)]
    pub llm_quota: Quota,
    /// Names the space that listings may ask for.
    #[serde(default)]
    pub space: String,
}

/// Operations of one proxy in a product's operation group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationConfig {
    /// The proxy.
    pub proxy: String,
    /// Its path patterns and methods; never empty.
    pub operations: Vec<super::caller::Operation>,
    /// Free; stored only.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    /// Stored only.
    #[serde(default)]
    pub quota: Option<Quota>,
}

/// A limit of calls or tokens in a span of time: stored only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// How many.
    pub limit: String,
    /// In how many of the time units.
    pub interval: String,
    /// `minute`, `hour`, `day` or `month`.
    pub time_unit: String,
}

/// Groups of operations that name more than a path: written back as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherGroups {
    /// Of GraphQL operations.
    pub graphql: Option<serde_json::Value>,
    /// Of gRPC methods.
    pub grpc: Option<serde_json::Value>,
    /// Of language models.
    pub llm: Option<serde_json::Value>,
    /// Of operations that a payload names.
    pub payload: Option<serde_json::Value>,
}

/// Where the app with an id is: what finds apps without their owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPlace {
    /// Whose app it is.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// Its name.
    pub app: String,
}

/// A purchase of an API product by a developer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Generated.
    pub id: Uuid,
    /// The product's id when it was bought.
    #[serde(with = "text::plain")]
    pub product: ProductId,
    /// Its name.
    pub product_name: String,
    /// The plan of a package that was accepted; `None`: the product's active plan, whichever it is.
    #[serde(default, with = "text::option")]
    pub plan: Option<PlanId>,
    /// Id of the acceptance, which the subscriptions to all products of a package share.
    #[serde(default)]
    pub acceptance: Option<Uuid>,
    /// Whether another subscription of its acceptance carries the fees of the plan.
    #[serde(default)]
    pub is_feeless: bool,
    /// Whether its payment has failed for too long: gateways refuse calls until it is paid.
    #[serde(default)]
    pub is_suspended: bool,
    /// When it holds.
    pub window: Window,
    /// What was charged at purchase, and in which currency.
    #[serde(with = "text::option")]
    pub setup_fee: Option<Money>,
    /// Currency of its fees.
    #[serde(with = "text::option")]
    pub currency: Option<Currency>,
    /// The share of the recurring fee that was charged at purchase.
    #[serde(default, with = "text::option")]
    pub first_fee: Option<Money>,
    /// The period that it was charged for, or would have been; as stored.
    #[serde(default)]
    pub first_period: Option<u32>,
    /// The period from whose start on recurring fees are due; as stored.
    #[serde(default)]
    pub next_period: Option<u32>,
    /// Whether its plan was in shadow mode when it was bought: those fees are noted and not paid.
    #[serde(default)]
    pub is_shadow: bool,
    /// Whether its fees are not booked yet: to everybody but the purchase it is not there.
    pub is_pending: bool,
    /// Whether it was taken back before it began, and what was paid for it is still to be given back.
    #[serde(default)]
    pub is_fee_back_due: bool,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// What recurring fee a plan had from some time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeTerms {
    /// The plan.
    #[serde(with = "text::plain")]
    pub plan: PlanId,
    /// From when on.
    #[serde(with = "text::millis")]
    pub since: UnixMillis,
    /// The fee; `None` for none, or where the plan is a draft or deleted.
    pub fee: Option<RecurringFee>,
    /// Whether it is a plan of a package: only who accepted it owes its fee.
    #[serde(default)]
    pub is_in_package: bool,
}

/// A recurring fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecurringFee {
    /// When its plan is active.
    pub window: Window,
    /// Its currency.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// How much; positive.
    #[serde(with = "text::plain")]
    pub amount: Money,
    /// Months of an interval; at least 1.
    pub months: u32,
    /// Whether the plan is in shadow mode: the fee is noted and not paid.
    #[serde(default)]
    pub is_shadow: bool,
}

/// How far the recurring fees of a developer's subscriptions are booked: one document, apart from
/// the subscriptions, so that gateways need not hear of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeesBooked {
    /// By subscription the next period to look at, as stored.
    pub next_periods: BTreeMap<Uuid, u32>,
}

/// A billing type that changed: says that balances may wait to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingSwitch {
    /// The organization of the developer.
    pub organization: String,
    /// Whose billing type it is.
    #[serde(with = "text::plain")]
    pub developer: DeveloperId,
    /// When somebody was about to change it.
    #[serde(with = "text::millis")]
    pub at: UnixMillis,
}

/// All subscriptions of a developer: one document, so that two purchases see each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    /// Oldest first, at most [`super::subscriptions::SUBSCRIPTIONS_MAX`].
    pub subscriptions: Vec<Subscription>,
}

/// The policies of a developer's wallets of their own: one document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletPolicies {
    /// At most one a currency.
    pub wallets: Vec<WalletPolicy>,
    /// What the developer may owe where he pays later; at most one a currency.
    #[serde(default)]
    pub credit_limits: Vec<CreditLimit>,
}

/// What a developer who pays later may owe in one billing period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditLimit {
    /// Of what is counted in it.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// How much; not negative.
    #[serde(with = "text::plain")]
    pub limit: Money,
}

/// The policy of one wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletPolicy {
    /// Names the wallet.
    #[serde(with = "text::plain")]
    pub currency: Currency,
    /// What it goes by, whatever developer, products and organization say.
    #[serde(with = "text::plain")]
    pub overspend: Overspend,
}

// === impl Credential ===

impl std::fmt::Debug for Credential {
    /// Without key and secret: a log must never show them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("status", &self.status)
            .field("products", &self.products)
            .finish_non_exhaustive()
    }
}
