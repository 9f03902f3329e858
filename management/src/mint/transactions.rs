//! `POST …/transactions`: usage and fees that are moved here from elsewhere.
//!
//! A `CHARGE` counts `batchSize` × custom attribute units on the meter of the app's developer,
//! product, plan and period, once, beside those of the gateways. `SETUPFEES` and `RECURRINGFEES`
//! book `rate`; the plan's own schedule of fees goes on as if there were none. An `Idempotency-Key`
//! names a transaction, so that it can be repeated.

use std::collections::BTreeMap;

use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::catalogue::{self, CallerPlan};
use tollgate_metering::booking::{Booking, Fee, entry_id};
use tollgate_metering::{BillingType, Currency, Entry, EntryKind, Meter, Money, Period, Units};

use super::accepted::{self, Held};
use super::decimal::{self, Decimal, Number};
use super::developers;
use super::error::MintError;
use super::query::Terms;
use super::shapes::{CurrencyShape, DeveloperShape, Named, Reference, TransactionShape};
use super::usage::{self, Use};
use crate::auth::Identity;
use crate::error::ApiError;
use crate::extract::{At, Json};
use crate::permission::may;
use crate::router::{Api, ok};
use crate::routes::booking::Asked;
use crate::routes::{Answer, balances, developer};

/// How the reason of what was forced ends.
const FORCED: &str = " (force=true)";

/// A transaction in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct TransactionInput {
    #[serde(rename = "type")]
    kind: Option<Kind>,
    application: Option<Reference>,
    product: Option<Reference>,
    batch_size: Option<Decimal>,
    cust_att1: Option<Decimal>,
    cust_att2: Option<Decimal>,
    cust_att3: Option<Decimal>,
    cust_att4: Option<Decimal>,
    cust_att5: Option<Decimal>,
    cust_att6: Option<Decimal>,
    cust_att7: Option<Decimal>,
    cust_att8: Option<Decimal>,
    cust_att9: Option<Decimal>,
    cust_att10: Option<Decimal>,
    developer: Option<Reference>,
    currency: Option<Reference>,
    rate_plan: Option<Reference>,
    rate: Option<Decimal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
enum Kind {
    #[serde(rename = "CHARGE")]
    Charge,
    #[serde(rename = "SETUPFEES")]
    SetupFees,
    #[serde(rename = "RECURRINGFEES")]
    RecurringFees,
}

/// Who asks, when, under which id, and whether checks are skipped.
struct Request<'a> {
    api: &'a Api,
    organization: &'a str,
    id: String,
    by: &'a Identity,
    is_forced: bool,
}

pub(crate) async fn create(
    State(api): State<Api>,
    may::UsageWrite(by): may::UsageWrite,
    At(organization): At<String>,
    query: Terms,
    headers: HeaderMap,
    Json(input): Json<TransactionInput>,
) -> Answer {
    query.only(&["force"])?;
    let request = Request {
        api: &api,
        organization: &organization,
        id: format!("transaction/{}", balances::idempotency_key(&headers)?),
        by: &by,
        is_forced: query.flag("force")?,
    };
    let shape = match input.kind.unwrap_or(Kind::Charge) {
        Kind::Charge => request.charge(input).await?,
        kind @ (Kind::SetupFees | Kind::RecurringFees) => request.fee(kind, input).await?,
    };
    Ok(ok(&shape))
}

// === impl Request ===

impl Request<'_> {
    async fn charge(&self, input: TransactionInput) -> Result<TransactionShape, ApiError> {
        input.refuse_fields_of_fees()?;
        let custom = input.custom()?;
        let batch_size = match &input.batch_size {
            Some(size) => size.positive_whole("batchSize")?,
            None => 1,
        };
        let app = required(input.application, "application")?;
        let product = required(input.product, "product")?;
        let catalogue = &self.api.catalogue;
        let (app, owner) = catalogue.app_by_id(self.organization, &app).await?;
        let product = catalogue.product(self.organization, &product).await?;
        let used = Use { app: &app, owner: &owner, product: &product, batch_size, custom };
        if let Some((currency, first)) = self.repeated(&used).await? {
            return Ok(self.told(&used, currency, first));
        }
        let now = self.api.clock.now();
        let plan = catalogue.plan_in_force(self.organization, &owner, &product, now).await?;
        let plan = plan.ok_or_else(|| no_plan(&owner, &product.name))?;
        let units = used.units(product.rating_attribute(plan.plan))?;
        if !self.is_forced {
            used.check(self.organization)?;
            self.check_bands(&used, &plan, units).await?;
        }
        self.record(&used, &plan, units).await
    }

    /// The entry of an earlier request with this key and content. Its outcome stands, whatever
    /// month, revision or billing type it would be counted under today.
    async fn repeated(&self, used: &Use<'_>) -> Result<Option<(Currency, Entry)>, ApiError> {
        let id = entry_id(EntryKind::Usage, &self.id);
        let Some(found) = self.api.ledger.entry(used.owner.id, &id).await? else {
            return Ok(None);
        };
        let reason = without_force(&found.reason);
        let is_of_product = found.meter.is_some_and(|meter| meter.product == used.product.id);
        if found.kind != EntryKind::Usage || !is_of_product || reason != used.reason(found.units) {
            return Ok(None);
        }
        let wallets = self.api.ledger.wallets_of(used.owner.id).await?;
        let wallet = wallets.iter().find(|header| header.wallet == found.wallet);
        Ok(wallet.map(|header| (header.currency, found)))
    }

    /// Refuses units beyond a last band that has an end. Gateways that count meanwhile may take the
    /// total there as well: their own calls are refused then.
    async fn check_bands(
        &self,
        used: &Use<'_>,
        plan: &CallerPlan,
        units: Units,
    ) -> Result<(), ApiError> {
        let Some(most) = plan.rates.units_max().filter(|_| !plan.is_shadow) else { return Ok(()) };
        let standing = match developers::standing(self.api, used.owner, plan.currency).await {
            Ok(standing) => standing,
            Err(ApiError::NoWallet { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = self.api.clock.now();
        let counted = usage::counted(&standing, used.product.id, plan.plan, now)?;
        let total = counted.plus(units).map_err(|error| usage::out_of_range(error.into()))?;
        if total > most { Err(MintError::BandExceeded(most.to_string()).into()) } else { Ok(()) }
    }

    /// Counts the units.
    async fn record(
        &self,
        used: &Use<'_>,
        plan: &CallerPlan,
        units: Units,
    ) -> Result<TransactionShape, ApiError> {
        let Use { owner, product, .. } = used;
        let (api, now, currency) = (self.api, self.api.clock.now(), plan.currency);
        let wallet = catalogue::wallet_id(owner.id, currency);
        let billing = if plan.is_shadow { BillingType::Shadow } else { owner.billing };
        if billing != BillingType::Prepaid || self.is_forced {
            api.catalogue.open_wallet(self.organization, owner.id, currency, now).await?;
        }
        let meter = Meter {
            wallet,
            product: product.id,
            plan: plan.plan,
            billing,
            period: Period::of(now),
            revision: plan.revision,
        };
        let asked = self.asked(owner, currency, Money::ZERO, used.reason(units), "batchSize");
        let booked = api.book.usage(meter, &asked.booking, units);
        let booked = asked.outcome(api, booked).await?;
        self.check_same(&booked.entry, &asked.booking.reason)?;
        Ok(self.told(used, currency, booked.entry))
    }

    /// The ledger compares meters, units and amounts; whose app it was, or which fee of which plan,
    /// stands in the reason.
    fn check_same(&self, booked: &Entry, reason: &str) -> Result<(), ApiError> {
        if without_force(&booked.reason) == without_force(reason) {
            return Ok(());
        }
        Err(ApiError::Duplicate {
            what: balances::IDEMPOTENCY_KEY_NAME,
            id: self.id.trim_start_matches("transaction/").to_owned(),
            before: booked.reason.clone(),
        })
    }

    fn told(&self, used: &Use<'_>, currency: Currency, entry: Entry) -> TransactionShape {
        let notes = match entry.is_forced {
            true => format!("{}: forced, the balance does not cover it", entry.reason),
            false => entry.reason,
        };
        let custom = used
            .custom
            .iter()
            .map(|(number, value)| (format!("custAtt{number}"), Number::from(*value)));
        TransactionShape {
            batch_size: Some(used.batch_size.into()),
            rated_volume: Some(entry.units.into()),
            custom: custom.collect(),
            application: Some(Named::of(used.app.id, &used.app.name)),
            product: Some(Named::of(&used.product.name, &used.product.name)),
            ..self.shape("CHARGE", used.owner, currency, entry.at, notes)
        }
    }

    async fn fee(&self, kind: Kind, input: TransactionInput) -> Result<TransactionShape, ApiError> {
        input.refuse_fields_of_usage()?;
        let (word, what) = match kind {
            Kind::RecurringFees => ("RECURRINGFEES", "recurring fee"),
            Kind::Charge | Kind::SetupFees => ("SETUPFEES", "setup fee"),
        };
        let api = self.api;
        let rate = input.rate.ok_or_else(|| ApiError::invalid("rate", "is required"))?;
        let rate = rate.money("rate")?;
        let currency = decimal::currency("currency", &required(input.currency, "currency")?)?;
        let name = required(input.developer, "developer")?;
        let owner = developer(api, self.organization, &name).await?;
        let plan = required(input.rate_plan, "ratePlan")?;
        let plan = api.catalogue.plan_named(self.organization, &plan).await?[0].1.public_id();
        let reason = format!("{what} of {plan}");
        if let Some(first) = self.repeated_fee(&owner, currency, rate, &reason).await? {
            return Ok(self.told_fee(word, &owner, currency, plan, first));
        }
        let Held { name: plan, currency: of_plan } =
            accepted::held(api, self.organization, &owner, &plan).await?;
        if currency != of_plan {
            let reason = format!("is {currency}, rate plan {plan} is in {of_plan}");
            return Err(ApiError::invalid("currency", reason));
        }
        if !self.is_forced && !owner.is_active {
            return Err(MintError::Inactive(owner.email).into());
        }
        if owner.billing == BillingType::Postpaid || self.is_forced {
            let now = api.clock.now();
            api.catalogue.open_wallet(self.organization, owner.id, currency, now).await?;
        }
        let asked = self.asked(&owner, currency, rate, reason, "rate");
        let wallet = catalogue::wallet_id(owner.id, currency);
        let fee = Fee { id: self.id.clone(), amount: rate, reason: asked.booking.reason.clone() };
        let booked = match self.is_forced {
            true => {
                let booked = api.book.fee_billed(wallet, &asked.booking, rate, owner.billing);
                asked.outcome(api, booked).await?
            }
            false => {
                let fees = std::slice::from_ref(&fee);
                let booked = api.book.purchase(wallet, &asked.booking, fees, owner.billing);
                asked.outcome(api, booked).await?
            }
        };
        if owner.billing == BillingType::Postpaid {
            // It counts against a credit limit. The fee is booked: gateways hear of it later if this fails.
            let noted = api.catalogue.note_wallet(self.organization, owner.id, api.clock.now());
            if let Err(error) = noted.await {
                tracing::warn!(%error, "cannot tell gateways about a fee");
            }
        }
        self.check_same(&booked.entry, &asked.booking.reason)?;
        Ok(self.told_fee(word, &owner, currency, plan, booked.entry))
    }

    /// The entry of an earlier request with this key and content, which stands although the plan may
    /// not be held any more.
    async fn repeated_fee(
        &self,
        owner: &Developer,
        currency: Currency,
        rate: Money,
        reason: &str,
    ) -> Result<Option<Entry>, ApiError> {
        let id = entry_id(EntryKind::Fee, &self.id);
        let found = self.api.ledger.entry(owner.id, &id).await?;
        Ok(found.filter(|found| {
            found.wallet == catalogue::wallet_id(owner.id, currency)
                && found.amount == rate
                && without_force(&found.reason) == reason
        }))
    }

    fn told_fee(
        &self,
        word: &'static str,
        owner: &Developer,
        currency: Currency,
        plan: String,
        entry: Entry,
    ) -> TransactionShape {
        TransactionShape {
            rate: Some(entry.amount.into()),
            rate_plan: Some(Named::id(plan)),
            ..self.shape(word, owner, currency, entry.at, entry.reason)
        }
    }

    fn asked<'b>(
        &self,
        owner: &'b Developer,
        currency: Currency,
        amount: Money,
        reason: String,
        amount_field: &'static str,
    ) -> Asked<'b> {
        let reason = if self.is_forced { format!("{reason}{FORCED}") } else { reason };
        Asked {
            amount_field,
            id_field: balances::IDEMPOTENCY_KEY_NAME,
            owner,
            currency,
            amount,
            booking: Booking {
                id: self.id.clone(),
                at: self.api.clock.now(),
                by: self.by.name.clone(),
                reason,
                is_forced: self.is_forced,
            },
        }
    }

    fn shape(
        &self,
        kind: &'static str,
        owner: &Developer,
        currency: Currency,
        at: tollgate_metering::UnixMillis,
        notes: String,
    ) -> TransactionShape {
        let time = super::date::write(at);
        TransactionShape {
            id: self.id.trim_start_matches("transaction/").to_owned(),
            kind,
            status: "SUCCESS",
            batch_size: None,
            rated_volume: None,
            rate: None,
            custom: BTreeMap::new(),
            currency: CurrencyShape::of(currency),
            application: None,
            developer: DeveloperShape::of(owner),
            product: None,
            rate_plan: None,
            is_virtual_currency: false,
            start_time: time.clone(),
            end_time: time.clone(),
            utc_start_time: time.clone(),
            utc_end_time: time,
            notes,
        }
    }
}

// === impl TransactionInput ===

impl TransactionInput {
    /// Custom attributes by number.
    fn custom(&self) -> Result<BTreeMap<u8, Units>, ApiError> {
        let mut custom = BTreeMap::new();
        for (number, given) in (1u8..).zip(self.given()) {
            if let Some(given) = given {
                custom.insert(number, given.positive_units(&format!("custAtt{number}"))?);
            }
        }
        Ok(custom)
    }

    fn given(&self) -> [Option<&Decimal>; 10] {
        [
            self.cust_att1.as_ref(),
            self.cust_att2.as_ref(),
            self.cust_att3.as_ref(),
            self.cust_att4.as_ref(),
            self.cust_att5.as_ref(),
            self.cust_att6.as_ref(),
            self.cust_att7.as_ref(),
            self.cust_att8.as_ref(),
            self.cust_att9.as_ref(),
            self.cust_att10.as_ref(),
        ]
    }

    fn refuse_fields_of_fees(&self) -> Result<(), ApiError> {
        let given = [
            ("developer", self.developer.is_some()),
            ("currency", self.currency.is_some()),
            ("ratePlan", self.rate_plan.is_some()),
            ("rate", self.rate.is_some()),
        ];
        refuse(given, "is of SETUPFEES and RECURRINGFEES")
    }

    fn refuse_fields_of_usage(&self) -> Result<(), ApiError> {
        let given = [
            ("application", self.application.is_some()),
            ("product", self.product.is_some()),
            ("batchSize", self.batch_size.is_some()),
            ("custAtt1", self.given().iter().any(Option::is_some)),
        ];
        refuse(given, "is of CHARGE")
    }
}

/// Whether it was forced does not make a transaction another one.
fn without_force(reason: &str) -> &str {
    reason.strip_suffix(FORCED).unwrap_or(reason)
}

fn refuse(given: [(&str, bool); 4], reason: &str) -> Result<(), ApiError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((field, _)) => Err(ApiError::invalid(field, reason)),
        None => Ok(()),
    }
}

fn required(given: Option<Reference>, field: &str) -> Result<String, ApiError> {
    let given = given.map(|reference| reference.id).filter(|id| !id.is_empty());
    given.ok_or_else(|| ApiError::invalid(format!("{field}.id"), "is required"))
}

fn no_plan(owner: &Developer, product: &str) -> ApiError {
    MintError::NoPlan { developer: owner.email.clone(), product: product.to_owned() }.into()
}

/// What the description of the API says of this path.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    paths
        .post(
            "/v1/mint/organizations/{organization}/transactions",
            "Records usage or a fee that is moved here",
        )
        .flag("force", "Skip the checks of developer and balance.")
        .header(
            balances::IDEMPOTENCY_KEY_NAME,
            "Names the transaction, so that repeating it books it once.",
            serde_json::json!({ "type": "string", "pattern": "^[!-~]{1,180}$" }),
        )
        .takes::<TransactionInput>()
        .example(serde_json::json!({
            "application": { "id": "6a9b1afc-2110-43d6-bae7-1b137aecb05b" },
            "product": { "id": "weather" },
            "batchSize": 50,
        }))
        .answers::<TransactionShape>(200);
}
