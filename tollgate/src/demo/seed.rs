//! Makes what the demo needs, where it is not there yet.

use std::sync::Arc;

use tollgate_ledger_store::book::{Book, BookError};
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::keys::NewKey;
use tollgate_ledger_store::catalogue::records::{
    PlanState, PlanTerms, PriceBand, PricingType, ProductTerms,
};
use tollgate_ledger_store::catalogue::{Catalogue, CatalogueError, Window};
use tollgate_ledger_store::{Clock, RateSource, SystemClock};
use tollgate_metering::booking::Booking;
use tollgate_metering::{BillingType, Currency, Money};

use super::{
    APP, CURRENCY, DEVELOPER, FIRST_CREDIT, FIRST_CREDIT_ID, KEY, ORGANIZATION, PRICE, PRODUCT,
    PROXY,
};
use crate::ledger::open::Store;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    /// The catalogue refuses.
    #[error("cannot make its developer, product and key")]
    Catalogue(#[from] CatalogueError),
    /// The first credit cannot be booked.
    #[error("cannot fill its wallet")]
    Book(#[from] BookError),
}

/// Makes all that the demo needs, and fills the wallet, once.
///
/// # Errors
/// [`SeedError`]; what was made until then stays, and the next call goes on from there.
pub(crate) async fn all(store: &Store, clock: &SystemClock) -> Result<(), SeedError> {
    catalogue(&store.catalogue, clock).await?;
    let developer = store.catalogue.developer(ORGANIZATION, DEVELOPER).await?;
    let rates = Arc::clone(&store.catalogue) as Arc<dyn RateSource>;
    let book = Book::new(Arc::clone(&store.ledger), rates, Arc::new(*clock));
    let booking = Booking {
        id: FIRST_CREDIT_ID.to_owned(),
        at: clock.now(),
        by: "demo".to_owned(),
        reason: "what the demo begins with".to_owned(),
        is_forced: false,
    };
    let (currency, amount) = (currency(), money(FIRST_CREDIT));
    let booked = book.credit(ORGANIZATION, developer.id, currency, &booking, amount).await?;
    if booked.has_opened {
        store.catalogue.note_wallet(ORGANIZATION, developer.id, clock.now()).await?;
    }
    Ok(())
}

/// Makes organization, product, rate plan, developer, app, key and subscription.
///
/// # Errors
/// The catalogue's; what was made until then stays, and the next call goes on from there.
async fn catalogue(catalogue: &Catalogue, clock: &dyn Clock) -> Result<(), CatalogueError> {
    let now = clock.now();
    let organization = catalogue
        .create_organization(ORGANIZATION, "Demo", "Made by the first start", Vec::new(), now)
        .await;
    made(organization)?;
    made(catalogue.create_product(ORGANIZATION, PRODUCT, &product_terms(), now).await)?;
    if catalogue.product(ORGANIZATION, PRODUCT).await?.plans.is_empty() {
        catalogue.create_plan(ORGANIZATION, PRODUCT, &plan_terms(now), now).await?;
    }
    made(catalogue.create_developer(ORGANIZATION, &developer_terms(), now).await)?;
    let developer = catalogue.developer(ORGANIZATION, DEVELOPER).await?;
    // The subscription is the last step: whoever has one was finished once, and is left as it is.
    if !catalogue.subscriptions(ORGANIZATION, developer.id).await?.is_empty() {
        return Ok(());
    }
    let prepaid = BillingType::Prepaid;
    let developer = catalogue.set_billing(ORGANIZATION, &developer.email, prepaid, now).await?;
    made(catalogue.create_app(ORGANIZATION, &developer, APP, &AppTerms::default(), now).await)?;
    let key = NewKey {
        consumer_key: KEY.to_owned(),
        consumer_secret: "demo-secret".to_owned(),
        expires_at: None,
    };
    let products = [PRODUCT.to_owned()];
    made(catalogue.create_key(ORGANIZATION, &developer, APP, key, &products, now).await)?;
    let window = Window { start: now, end: None };
    catalogue.begin_subscription(ORGANIZATION, &developer, PRODUCT, window, now).await?;
    Ok(())
}

/// What is there already was made by an earlier start.
fn made<T>(outcome: Result<T, CatalogueError>) -> Result<(), CatalogueError> {
    match outcome {
        Ok(_) | Err(CatalogueError::Exists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn developer_terms() -> DeveloperTerms {
    DeveloperTerms {
        email: DEVELOPER.to_owned(),
        first_name: "Demo".to_owned(),
        last_name: "Developer".to_owned(),
        user_name: "demo".to_owned(),
        ..DeveloperTerms::default()
    }
}

fn product_terms() -> ProductTerms {
    ProductTerms {
        display_name: "Demo product".to_owned(),
        proxies: vec![PROXY.to_owned()],
        ..ProductTerms::default()
    }
}

fn plan_terms(now: tollgate_metering::UnixMillis) -> PlanTerms {
    PlanTerms {
        display_name: format!("{PRICE} {CURRENCY} a call"),
        is_monthly: true,
        currency: Some(currency()),
        pricing: Some(PricingType::FixedPerUnit),
        bands: vec![PriceBand { start: None, end: None, fee: money(PRICE) }],
        state: PlanState::Published,
        start: Some(now),
        ..PlanTerms::default()
    }
}

/// The demo's currency.
fn currency() -> Currency {
    CURRENCY.parse().expect("the demo's currency is a currency")
}

/// An amount of the demo.
fn money(decimal: &str) -> Money {
    decimal.parse().expect("the demo's amounts are decimals")
}
