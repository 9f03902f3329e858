//! From the SHA-256 of a consumer key to everything a gateway decides from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use tollgate_metering::{BillingType, Currency, UnixMillis, WalletId};

use super::Catalogue;
use super::caller::{Caller, CallerPlan, CallerProduct, Operation, Window};
use super::claims::{Claim, Owner};
use super::error::CatalogueError;
use super::keys::{hex, key_hash};
use super::records::{
    App, Credential, Developer, KeyProduct, Plan, Product, ProductTerms, Subscription,
};
use super::store::{app_key, consumer_key_key, developer_key};

/// How long windows that have ended are still told, for gateways whose clock is behind.
const ENDED_KEPT: Duration = Duration::from_secs(3600);

// === impl Catalogue ===

impl Catalogue {
    /// Who the key with this SHA-256 belongs to and what it may call; `None` for no such key.
    ///
    /// A revoked key or app, an inactive developer and an ended window are told as such, not as
    /// `None`. For a developer who pays later, wallets in the currencies of the plans are opened
    /// on the way: their meters need one.
    ///
    /// # Errors
    /// The store's.
    pub async fn resolve(
        &self,
        key_sha256: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<Caller>, CatalogueError> {
        let hash = hex(key_sha256);
        let Some(claim) = self.load::<Claim>(&consumer_key_key(&hash)).await? else {
            return Ok(None);
        };
        let Owner::App { organization, developer, app } = claim.record.owner else {
            return Ok(None);
        };
        let Some(app) = self.load::<App>(&app_key(&organization, developer, &app)).await? else {
            return Ok(None);
        };
        let app = app.record;
        let on_key = |key: &&Credential| key_hash(&key.consumer_key) == hash;
        let Some(key) = app.credentials.iter().find(on_key) else { return Ok(None) };
        let found = self.load::<Developer>(&developer_key(&organization, developer)).await?;
        let found = found.map(|stored| stored.record).filter(|developer| !developer.is_deleted);
        let Some(developer) = found else { return Ok(None) };

        let subscriptions = self.subscriptions(&organization, developer.id).await?;
        let mut products = Vec::new();
        for on in &key.products {
            if let Some(product) = self.product_by_id(&organization, on.product).await? {
                products.extend(self.caller_products(on, &product, &subscriptions, now).await?);
            }
        }
        let wallets = self.caller_wallets(&organization, &developer, &products, now).await?;
        let credits = self.credits(&organization, &developer, now).await?;
        Ok(Some(Caller {
            organization,
            developer: developer.id,
            developer_email: developer.email,
            is_developer_active: developer.is_active,
            app: app.id,
            app_name: app.name,
            app_status: app.status,
            key_status: key.status,
            key_expires_at: key.expires_at,
            billing: developer.billing,
            products,
            wallets,
            credits,
        }))
    }

    /// A product as callers see it: once, or once for each proxy of its operation group.
    async fn caller_products(
        &self,
        on: &KeyProduct,
        product: &Product,
        subscriptions: &[Subscription],
        now: UnixMillis,
    ) -> Result<Vec<CallerProduct>, CatalogueError> {
        let oldest = now.minus(ENDED_KEPT);
        let held: Vec<_> = subscriptions
            .iter()
            .filter(|held| held.product == product.id && !held.is_suspended)
            .filter(|held| held.window.end.is_none_or(|end| end > oldest))
            .collect();
        let plans = self.caller_plans(product, &held, oldest).await?;
        let subscriptions: Vec<_> = held.iter().map(|held| held.window).collect();
        let access = |proxies: Vec<String>, operations: Vec<Operation>| CallerProduct {
            product: product.id,
            name: product.name.clone(),
            approval: on.status,
            proxies,
            environments: product.terms.environments.clone(),
            operations,
            plans: plans.clone(),
            subscriptions: subscriptions.clone(),
        };
        let ProductTerms { proxies, api_resources, operations, other_operations, .. } =
            &product.terms;
        if operations.is_empty() && other_operations.is_empty() {
            let every_method =
                |resource: &String| Operation { resource: resource.clone(), methods: Vec::new() };
            let operations = api_resources.iter().map(every_method).collect();
            return Ok(vec![access(proxies.clone(), operations)]);
        }
        let mut by_proxy: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
        for config in operations.iter().chain(other_operations) {
            by_proxy.entry(&config.proxy).or_default().extend(config.operations.iter().cloned());
        }
        let by_proxy = by_proxy.into_iter();
        Ok(by_proxy.map(|(proxy, on)| access(vec![proxy.to_owned()], on)).collect())
    }

    /// The plans that the developer's calls are charged under, and when: the accepted plan of a
    /// package as long as its subscription lasts, else the product's own active plan.
    ///
    /// Where there is neither, nor any subscription, plans of packages stand in: the product has a
    /// price, so that the call is refused for want of a subscription, not let through for want of a
    /// price.
    pub(super) async fn caller_plans(
        &self,
        product: &Product,
        held: &[&Subscription],
        oldest: UnixMillis,
    ) -> Result<Vec<CallerPlan>, CatalogueError> {
        let accepted: Vec<Window> =
            held.iter().filter(|held| held.plan.is_some()).map(|held| held.window).collect();
        let mut taken: Vec<Window> = held.iter().map(|held| held.window).collect();
        let mut plans = Vec::new();
        let mut standing_in = Vec::new();
        for plan in &product.plans {
            let Some(published) = plan.terms.check()? else { continue };
            let window = published.window;
            if window.end.is_some_and(|end| end <= oldest) {
                continue;
            }
            let mut add = async |window: Window, revision: u32| -> Result<(), CatalogueError> {
                let rates = self.rates_of(plan.id, revision).await?;
                let (id, currency) = (plan.id, published.currency);
                let is_shadow = plan.terms.is_shadow();
                plans.push(CallerPlan { plan: id, revision, currency, window, rates, is_shadow });
                Ok(())
            };
            if !plan.terms.is_accepted() {
                for window in window.outside(&accepted) {
                    add(window, plan.revision).await?;
                }
                taken.push(window);
                continue;
            }
            for held in held.iter().filter(|held| held.plan == Some(plan.id)) {
                for (window, revision) in in_force(plan, held.window, window) {
                    add(window, revision).await?;
                }
            }
            standing_in.push((plan, published.currency, window));
        }
        for (plan, currency, window) in standing_in {
            for window in window.outside(&taken) {
                let (id, revision) = (plan.id, plan.revision);
                let rates = self.rates_of(id, revision).await?;
                let is_shadow = plan.terms.is_shadow();
                plans.push(CallerPlan { plan: id, revision, currency, window, rates, is_shadow });
            }
            taken.push(window);
        }
        Ok(plans)
    }

    async fn caller_wallets(
        &self,
        organization: &str,
        developer: &Developer,
        products: &[CallerProduct],
        now: UnixMillis,
    ) -> Result<BTreeMap<Currency, WalletId>, CatalogueError> {
        let headers = self.ledger.wallets_of(developer.id).await?;
        let mut wallets: BTreeMap<Currency, WalletId> =
            headers.iter().map(|header| (header.currency, header.wallet)).collect();
        // What nobody pays in advance is counted in a wallet all the same.
        let is_later = developer.billing == BillingType::Postpaid;
        let plans = products.iter().flat_map(|product| &product.plans);
        for plan in plans.filter(|plan| is_later || plan.is_shadow) {
            if let Entry::Vacant(none) = wallets.entry(plan.currency) {
                let currency = plan.currency;
                none.insert(self.open_wallet(organization, developer.id, currency, now).await?);
            }
        }
        Ok(wallets)
    }
}

/// When an accepted plan is in force, and under which price revision: its freemium time runs from
/// the subscription's start.
fn in_force(plan: &Plan, held: Window, published: Window) -> Vec<(Window, u32)> {
    let Some(window) = held.within(&published) else { return Vec::new() };
    let span = plan.terms.freemium.and_then(|freemium| freemium.span);
    let Some(span) = span.filter(|_| plan.freemium_revision > 0) else {
        return vec![(window, plan.revision)];
    };
    let free = Window { start: held.start, end: Some(span.after(held.start)) };
    let in_it = window.within(&free).map(|window| (window, plan.freemium_revision));
    let after = window.outside(&[free]).into_iter().map(|window| (window, plan.revision));
    in_it.into_iter().chain(after).collect()
}
