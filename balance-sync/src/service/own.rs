//! Service `Own`: what the owner of a consumer key may know, asked by a gateway on its behalf.
//!
//! The key is the only question, and it must work: whoever lost a key must not be read by who found it. Balances are those of the
//! shard, usage that of the ledger's rows, which minutes enter once they are over.

use std::collections::BTreeMap;

use tollgate_ledger_store::catalogue::records::Approval;
use tollgate_ledger_store::catalogue::{Caller, CallerProduct, Window};
use tollgate_ledger_store::ledger::{DAY_MINUTES, UsageWrite};
use tollgate_metering::{BillingType, Currency, Period, ProductId, Units, UnixMillis, WalletId};
use tollgate_proto::{Problem, WireError, v1};
use tonic::{Request, Response, Status};

use super::Services;
use super::balances::worth;
use crate::access::Needed;
use crate::admission::admit;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::shard::Worth;

const DAY_MS: i64 = 86_400_000;

#[tonic::async_trait]
impl v1::own_server::Own for Services {
    async fn get_own(
        &self,
        request: Request<v1::GetOwnRequest>,
    ) -> Result<Response<v1::GetOwnResponse>, Status> {
        Ok(Response::new(self.own(request).await?))
    }
}

// === impl Services ===

impl Services {
    async fn own(
        &self,
        request: Request<v1::GetOwnRequest>,
    ) -> Result<v1::GetOwnResponse, Refusal> {
        let node = &self.0;
        admit(node, &request, Needed::Exchange).await?;
        node.standing.now().generation()?;
        let sha256 = request.into_inner().key_sha256;
        let sha256: [u8; 32] = sha256.as_slice().try_into().map_err(|_| {
            Refusal::Unreadable(WireError::new("key_sha256", Problem::UnknownValue))
        })?;
        let now = node.now();
        let caller = node.catalogue.resolve(&sha256, now).await?;
        let caller = caller
            .filter(|caller| works(caller, now))
            .ok_or(Refusal::Missing("consumer key that works"))?;
        let period = Period::of(now);
        let (mut balances, mut usage) = (Vec::new(), Vec::new());
        for (currency, wallet) in &caller.wallets {
            balances.push(balance_to_wire(worth(node, *wallet, false).await?));
            usage.extend(usage_of(node, &caller, *wallet, *currency, period).await?);
        }
        Ok(v1::GetOwnResponse {
            organization: caller.organization.clone(),
            developer: caller.developer.0.as_bytes().to_vec(),
            billing_type: v1::BillingType::from(caller.billing).into(),
            period_start_ms: period.start().0,
            period_end_ms: period.end().0,
            balances,
            plans: caller.products.iter().filter_map(|each| plan_to_wire(each, now)).collect(),
            usage,
        })
    }
}

fn works(caller: &Caller, now: UnixMillis) -> bool {
    caller.is_developer_active
        && caller.app_status == Approval::Approved
        && caller.key_status == Approval::Approved
        && caller.key_expires_at.is_none_or(|end| now < end)
}

fn balance_to_wire(worth: Worth) -> v1::OwnBalance {
    v1::OwnBalance {
        wallet: worth.header.wallet.0.as_bytes().to_vec(),
        currency: worth.header.currency.to_string(),
        balance: Some(worth.balance.into()),
        held: Some(worth.held.into()),
        overdraft_limit: Some(worth.header.overdraft_limit.into()),
        last_credit_at_ms: worth.header.last_credit_at.map_or(0, |at| at.0),
    }
}

fn plan_to_wire(product: &CallerProduct, now: UnixMillis) -> Option<v1::OwnPlan> {
    let has = |window: &Window| window.start <= now && window.end.is_none_or(|end| now < end);
    let plan = product.plans.iter().find(|plan| has(&plan.window))?;
    Some(v1::OwnPlan {
        product: product.product.0.as_bytes().to_vec(),
        product_name: product.name.clone(),
        plan: plan.plan.0.as_bytes().to_vec(),
        revision: plan.revision,
        currency: plan.currency.to_string(),
        is_subscribed: product.subscriptions.iter().any(has),
        is_shadow: plan.is_shadow,
    })
}

/// Units of the period by day and product.
async fn usage_of(
    node: &Node,
    caller: &Caller,
    wallet: WalletId,
    currency: Currency,
    period: Period,
) -> Result<Vec<v1::OwnUsage>, Refusal> {
    let day = |time: UnixMillis| time.0.div_euclid(DAY_MS);
    // Minutes are removed before a month is over, their days are not. Clocks of gateways may be ahead.
    let (from, to) = (day(period.start()), day(node.now()) + 2);
    let rows = node.ledger.daily_usage(wallet, from, to).await?;
    let by_day = by_day(&rows, period)?;
    Ok(by_day
        .into_iter()
        .map(|((day, product, billing), units)| {
            let of_key = caller.products.iter().find(|each| each.product == product);
            v1::OwnUsage {
                day,
                product: product.0.as_bytes().to_vec(),
                product_name: of_key.map_or_else(String::new, |each| each.name.clone()),
                currency: currency.to_string(),
                billing_type: v1::BillingType::from(billing).into(),
                units: Some(units.into()),
            }
        })
        .collect())
}

type ByDay = BTreeMap<(i64, ProductId, BillingType), Units>;

/// Rows are totals of one incarnation on one meter, and a meter begins with its period: the use of a day is what the last row of
/// the day is above the last one before it.
fn by_day(rows: &[UsageWrite], period: Period) -> Result<ByDay, Refusal> {
    let mut totals: BTreeMap<_, Units> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.app.is_none() && row.meter.period == period) {
        let day = row.minute.div_euclid(DAY_MINUTES);
        let total = totals.entry((row.meter, row.incarnation, day)).or_default();
        *total = (*total).max(row.units);
    }
    let mut days = ByDay::new();
    let mut before = None;
    for ((meter, incarnation, day), total) in totals {
        let below = match before {
            Some((same_meter, same, below)) if (same_meter, same) == (meter, incarnation) => below,
            Some(_) | None => Units::ZERO,
        };
        let units = days.entry((day, meter.product, meter.billing)).or_default();
        *units = units
            .plus(total.beyond(below))
            .map_err(tollgate_metering::rating::RatingError::from)?;
        before = Some((meter, incarnation, total.max(below)));
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use tollgate_metering::{Incarnation, Meter, PlanId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_day_is_what_its_last_total_is_above_the_day_before() {
        let period = Period::of(UnixMillis(1_764_547_200_000));
        let meter = Meter {
            wallet: WalletId(Uuid::from_u128(1)),
            product: ProductId(Uuid::from_u128(2)),
            plan: PlanId(Uuid::from_u128(3)),
            billing: BillingType::Prepaid,
            period,
            revision: 1,
        };
        let next = Meter { revision: 2, ..meter };
        let earlier = Meter { period: Period::of(UnixMillis(0)), ..meter };
        let row = |meter: Meter, of: u128, day: i64, minute: i64, units: &str| UsageWrite {
            app: None,
            meter,
            incarnation: Incarnation { born: UnixMillis(1), id: Uuid::from_u128(of) },
            minute: day * DAY_MINUTES + minute,
            units: units.parse().unwrap(),
            seq: 1,
        };
        let rows = [
            row(meter, 1, 20_423, 1, "2"),
            row(meter, 1, 20_423, 9, "5"),
            row(meter, 1, 20_425, 0, "5.5"),
            row(meter, 2, 20_423, 3, "10"),
            row(next, 1, 20_425, 5, "1"),
            row(earlier, 1, 20_423, 1, "1000"),
        ];
        let days = by_day(&rows, period).unwrap();
        let got: Vec<_> = days.iter().map(|(key, units)| (key.0, units.to_string())).collect();
        assert_eq!(got, [(20_423, "15".to_owned()), (20_425, "1.5".to_owned())]);
    }
}
