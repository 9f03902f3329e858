//! An owner's answers as JSON. Amounts and units are exact decimals in quotes, times are RFC 3339.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tollgate_metering::{Money, Period, Units, UnixMillis};
use tollgate_proto::v1;
use uuid::Uuid;

use crate::admission::OwnQuestion;

const DAY_MS: i64 = 86_400_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BalanceAnswer<'a> {
    organization: &'a str,
    developer: String,
    billing_type: &'static str,
    balances: Vec<Balance<'a>>,
    plans: Vec<Plan<'a>>,
    age_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Balance<'a> {
    wallet: String,
    currency: &'a str,
    balance: String,
    held: String,
    overdraft_limit: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan<'a> {
    product: &'a str,
    product_id: String,
    rate_plan_id: String,
    revision: u32,
    currency: &'a str,
    is_subscribed: bool,
    /// Calls under it are counted and not paid.
    is_shadow: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageAnswer<'a> {
    organization: &'a str,
    developer: String,
    billing_type: &'static str,
    period: PeriodJson,
    usage: Vec<Usage<'a>>,
    age_ms: u64,
}

#[derive(Serialize)]
struct PeriodJson {
    start: String,
    end: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage<'a> {
    day: String,
    product: &'a str,
    product_id: String,
    currency: &'a str,
    billing_type: &'static str,
    units: String,
}

/// The answer; `None` where a node said what cannot be read.
pub(super) fn answer(
    question: OwnQuestion,
    own: &v1::GetOwnResponse,
    age: Duration,
) -> Option<Bytes> {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let developer = id(&own.developer)?;
    let billing_type = billing(own.billing_type());
    let organization = &own.organization;
    let body = match question {
        OwnQuestion::Balance => {
            let balances = own.balances.iter().map(balance).collect::<Option<_>>()?;
            let plans = own.plans.iter().map(plan).collect::<Option<_>>()?;
            serde_json::to_vec(&BalanceAnswer {
                organization,
                developer,
                billing_type,
                balances,
                plans,
                age_ms,
            })
        }
        OwnQuestion::Usage => {
            let usage = own.usage.iter().map(usage).collect::<Option<_>>()?;
            let period =
                PeriodJson { start: start(own.period_start_ms), end: start(own.period_end_ms) };
            serde_json::to_vec(&UsageAnswer {
                organization,
                developer,
                billing_type,
                period,
                usage,
                age_ms,
            })
        }
    };
    body.ok().map(Bytes::from)
}

fn balance(wire: &v1::OwnBalance) -> Option<Balance<'_>> {
    Some(Balance {
        wallet: id(&wire.wallet)?,
        currency: &wire.currency,
        balance: money(wire.balance.as_ref())?,
        held: money(wire.held.as_ref())?,
        overdraft_limit: money(wire.overdraft_limit.as_ref())?,
    })
}

fn plan(wire: &v1::OwnPlan) -> Option<Plan<'_>> {
    Some(Plan {
        product: &wire.product_name,
        product_id: id(&wire.product)?,
        rate_plan_id: id(&wire.plan)?,
        revision: wire.revision,
        currency: &wire.currency,
        is_subscribed: wire.is_subscribed,
        is_shadow: wire.is_shadow,
    })
}

fn usage(wire: &v1::OwnUsage) -> Option<Usage<'_>> {
    Some(Usage {
        day: date(wire.day),
        product: &wire.product_name,
        product_id: id(&wire.product)?,
        currency: &wire.currency,
        billing_type: billing(wire.billing_type()),
        units: Units::try_from(wire.units.as_ref()?).ok()?.to_string(),
    })
}

fn id(bytes: &[u8]) -> Option<String> {
    Uuid::from_slice(bytes).ok().map(|id| id.to_string())
}

fn money(wire: Option<&v1::Money>) -> Option<String> {
    Money::try_from(wire?).ok().map(|money| money.to_string())
}

const fn billing(wire: v1::BillingType) -> &'static str {
    match wire {
        v1::BillingType::Prepaid => "PREPAID",
        v1::BillingType::Postpaid => "POSTPAID",
        v1::BillingType::Shadow => "SHADOW",
        v1::BillingType::ShadowRefused => "SHADOW_REFUSED",
        v1::BillingType::Unspecified => "BILLING_TYPE_UNSPECIFIED",
    }
}

/// The start of a billing period.
fn start(ms: i64) -> String {
    format!("{}-01T00:00:00Z", Period::of(UnixMillis(ms)))
}

/// A day counted from 1970.
fn date(day: i64) -> String {
    let at = UnixMillis(day.saturating_mul(DAY_MS));
    let period = Period::of(at);
    let of_month = at.0.saturating_sub(period.start().0) / DAY_MS + 1;
    format!("{period}-{of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        let rows = [(0, "1970-01-01"), (20_451, "2025-12-29"), (20_783, "2026-11-26")];
        for (day, want) in rows {
            assert_eq!(date(day), want, "{day}");
        }
    }
}
