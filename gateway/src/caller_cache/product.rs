//! API products on a key: which calls they cover, and what they cost.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tollgate_metering::wallet::Tariff;
use tollgate_metering::{BillingType, Currency, Period, PlanId, ProductId, UnixMillis, WalletId};
use tollgate_proto::{PlanPrices, WireError, v1};

use super::credit::Credit;
use super::resource::{Closeness, Resource};
use crate::tariffs::{InPeriod, Tariffs};

/// An API product on the key, granted in this gateway's environment.
#[derive(Debug)]
pub(crate) struct ProductAccess {
    /// Names of proxies; none: every proxy.
    proxies: Box<[String]>,
    /// None: every path and method.
    operations: Box<[Operation]>,
    plans: Box<[PlanOffer]>,
    subscriptions: Box<[Window]>,
}

#[derive(Debug)]
struct Operation {
    resource: Resource,
    closeness: Closeness,
    /// None: every method.
    methods: Box<[String]>,
}

/// A published rate plan, with the wallet that would pay.
#[derive(Debug)]
pub(crate) struct PlanOffer {
    window: Window,
    /// The developer's wallet in the plan's currency.
    pub(crate) wallet: Option<WalletId>,
    pub(crate) currency: Currency,
    /// What the developer may owe, where there is a limit.
    pub(crate) credit: Option<Credit>,
    pub(super) product: ProductId,
    revision: (PlanId, u32),
    /// Who pays its calls outside shadow mode, and when.
    pub(crate) billing: BillingType,
    /// Whether it is in shadow mode.
    pub(crate) is_shadow: bool,
    /// Of the period that a call came in last.
    current: ArcSwapOption<InPeriod>,
    /// The same of calls in shadow mode.
    shadow: ArcSwapOption<InPeriod>,
}

/// From the start, included, to the end, not included.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: UnixMillis,
    end: Option<UnixMillis>,
}

/// What a caller brings to each of its products.
pub(super) struct Payer<'a> {
    pub(super) billing: BillingType,
    pub(super) wallets: &'a [PayerWallet],
    pub(super) tariffs: &'a Tariffs,
}

/// A wallet of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayerWallet {
    pub(super) id: WalletId,
    pub(super) currency: Currency,
    pub(super) credit: Option<Credit>,
}

// === impl ProductAccess ===

impl ProductAccess {
    pub(super) fn read(wire: &v1::ProductAccess, payer: &Payer<'_>) -> Result<Self, WireError> {
        let product = ProductId(tollgate_proto::uuid("product", &wire.product)?);
        let operations = wire.operations.iter().map(|operation| {
            let resource = Resource::new(&operation.resource);
            let closeness = resource.closeness();
            Operation { resource, closeness, methods: operation.methods.clone().into() }
        });
        let plans = wire.plans.iter().map(|plan| PlanOffer::read(plan, product, payer));
        Ok(Self {
            proxies: wire.proxies.clone().into(),
            operations: operations.collect(),
            plans: plans.collect::<Result<_, _>>()?,
            subscriptions: wire.subscriptions.iter().map(Window::read).collect(),
        })
    }

    /// How closely it covers the call; `None` where it does not.
    pub(super) fn closeness(
        &self,
        proxy: &str,
        method: &http::Method,
        path: &str,
    ) -> Option<Closeness> {
        if !self.proxies.is_empty() && !self.proxies.iter().any(|name| name == proxy) {
            return None;
        }
        if self.operations.is_empty() {
            return Some(Closeness::NONE);
        }
        let covers = |operation: &&Operation| {
            let methods = &operation.methods;
            let is_method = methods.is_empty()
                || methods.iter().any(|name| name.eq_ignore_ascii_case(method.as_str()));
            is_method && operation.resource.matches(path)
        };
        self.operations.iter().filter(covers).map(|operation| operation.closeness).max()
    }

    /// The plan that is in force: of several, the first in a currency that the developer has a wallet in.
    pub(crate) fn plan(&self, now: UnixMillis) -> Option<&PlanOffer> {
        let mut active = self.plans.iter().filter(|plan| plan.window.has(now));
        active.clone().find(|plan| plan.wallet.is_some()).or_else(|| active.next())
    }

    /// Whether the developer is subscribed.
    pub(crate) fn is_subscribed(&self, now: UnixMillis) -> bool {
        self.subscriptions.iter().any(|window| window.has(now))
    }
}

// === impl PlanOffer ===

impl PlanOffer {
    fn read(wire: &v1::Plan, product: ProductId, payer: &Payer<'_>) -> Result<Self, WireError> {
        let missing = |field| WireError::new(field, tollgate_proto::Problem::Missing);
        let revision = wire.revision.as_ref().ok_or_else(|| missing("plans.revision"))?;
        let PlanPrices { plan, revision, rates } = PlanPrices::try_from(revision)?;
        payer.tariffs.add(plan, revision, rates);
        let window = wire.window.as_ref().ok_or_else(|| missing("plans.window"))?;
        let unknown = |_| WireError::new("plans.currency", tollgate_proto::Problem::UnknownValue);
        let currency = wire.currency.parse::<Currency>().map_err(unknown)?;
        let wallet = payer.wallets.iter().find(|wallet| wallet.currency == currency);
        Ok(Self {
            window: Window::read(window),
            wallet: wallet.map(|wallet| wallet.id),
            currency,
            credit: match payer.billing {
                BillingType::Postpaid => wallet.and_then(|wallet| wallet.credit),
                BillingType::Prepaid | BillingType::Shadow | BillingType::ShadowRefused => None,
            },
            product,
            revision: (plan, revision),
            billing: payer.billing,
            is_shadow: wire.is_shadow,
            current: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
        })
    }

    /// Calls `with` with the tariff of the period that `now` is in.
    pub(crate) fn with_tariff<T>(
        &self,
        now: UnixMillis,
        tariffs: &Tariffs,
        with: impl FnOnce(&Arc<Tariff>) -> T,
    ) -> Option<T> {
        self.kept_tariff(&self.current, self.billing, now, tariffs, with)
    }

    /// Calls `with` with the tariff that calls in shadow mode are counted under.
    pub(crate) fn with_shadow_tariff<T>(
        &self,
        now: UnixMillis,
        tariffs: &Tariffs,
        with: impl FnOnce(&Arc<Tariff>) -> T,
    ) -> Option<T> {
        self.kept_tariff(&self.shadow, BillingType::Shadow, now, tariffs, with)
    }

    /// The tariff that calls in shadow mode are counted under which would have been refused.
    pub(crate) fn refused_tariff(&self, now: UnixMillis, tariffs: &Tariffs) -> Option<Arc<Tariff>> {
        let (billing, period) = (BillingType::ShadowRefused, Period::of(now));
        let in_period = tariffs.of_plan(self.product, self.revision, billing, period)?;
        Some(Arc::clone(&in_period.tariff))
    }

    fn kept_tariff<T>(
        &self,
        kept: &ArcSwapOption<InPeriod>,
        billing: BillingType,
        now: UnixMillis,
        tariffs: &Tariffs,
        with: impl FnOnce(&Arc<Tariff>) -> T,
    ) -> Option<T> {
        let current = kept.load();
        if let Some(current) = &*current
            && current.has(now)
        {
            return Some(with(&current.tariff));
        }
        let in_period = tariffs.of_plan(self.product, self.revision, billing, Period::of(now))?;
        kept.store(Some(Arc::clone(&in_period)));
        Some(with(&in_period.tariff))
    }
}

// === impl Window ===

impl Window {
    fn read(wire: &v1::Window) -> Self {
        let end = (wire.end_ms != 0).then_some(UnixMillis(wire.end_ms));
        Self { start: UnixMillis(wire.start_ms), end }
    }

    fn has(self, now: UnixMillis) -> bool {
        self.start <= now && self.end.is_none_or(|end| now < end)
    }
}
