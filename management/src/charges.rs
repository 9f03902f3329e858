//! A wallet's charges as the API tells them: in a span, and with the names of things.
//!
//! Bounds: [`NAMES_MAX`] names an answer. Not here: lines and their sums (`ledger_store::charges`).

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::charges::{Charges, ChargesError};
use tollgate_metering::booking::BookingError;
use tollgate_metering::{AppId, DeveloperId, ProductId, WalletId};

use crate::error::ApiError;
use crate::router::Api;
use crate::span::Span;

/// Wallets that the ledger is asked for at a time, and whose accounts are read at a time.
const WALLETS_PAGE: usize = 500;
const READS_AT_ONCE: usize = 16;
/// Wallets, others' included, that one page looks at.
const WALLETS_MAX: usize = 200_000;
/// Apps whose names are looked up for one developer; those of further ones stay ids.
const APPS_MAX: usize = 1_000;
/// Products and developers whose names one answer remembers.
const NAMES_MAX: usize = 10_000;

/// What people call things; the id where nothing has it any more.
#[derive(Default)]
pub(crate) struct Names {
    products: HashMap<ProductId, String>,
    developers: HashMap<DeveloperId, String>,
    apps: HashMap<AppId, String>,
    asked: BTreeSet<DeveloperId>,
}

/// Reads a wallet for a span; `None` where there is none.
pub(crate) async fn of(
    api: &Api,
    wallet: WalletId,
    span: Span,
) -> Result<Option<Charges>, ApiError> {
    let now = api.clock.now();
    let read = Charges::of(&api.catalogue, &*api.ledger, wallet, span.from, now).await;
    read.map_err(|error| match error {
        ChargesError::TooMuch { what, most } => ApiError::TooMuch { what, most },
        ChargesError::Contended => {
            ApiError::Catalogue(CatalogueError::Contended { what: "wallet" })
        }
        ChargesError::Rating(error) => ApiError::Booking(BookingError::Rating(error)),
        ChargesError::Catalogue(error) => error.into(),
        ChargesError::Ledger(error) => error.into(),
    })
}

/// Wallets of an organization from after one on, at most `count`, and after which further ones may
/// stand. Wallets of others are looked at, since the ledger lists all, and never named.
pub(crate) async fn wallets_of(
    api: &Api,
    organization: &str,
    mut after: Option<WalletId>,
    count: usize,
) -> Result<(Vec<WalletId>, Option<WalletId>), ApiError> {
    let (mut own, mut seen) = (Vec::new(), 0);
    loop {
        let page = api.ledger.list(after, WALLETS_PAGE).await?;
        seen += page.len();
        if seen > WALLETS_MAX {
            return Err(ApiError::TooMuch { what: "wallets", most: WALLETS_MAX });
        }
        let is_last = page.len() < WALLETS_PAGE;
        after = page.last().copied().or(after);
        // Whose it is costs less to read than its journal.
        let read = async |wallet| Ok::<_, ApiError>((wallet, api.ledger.read(wallet).await?));
        let mut reads = stream::iter(page).map(read).buffered(READS_AT_ONCE);
        while let Some((wallet, read)) = reads.try_next().await? {
            if read.is_some_and(|read| read.account.header.organization == organization) {
                own.push(wallet);
                if own.len() == count {
                    return Ok((own, Some(wallet)));
                }
            }
        }
        if is_last {
            return Ok((own, None));
        }
    }
}

// === impl Names ===

impl Names {
    /// The address of a developer.
    pub(crate) async fn developer(
        &mut self,
        api: &Api,
        organization: &str,
        id: DeveloperId,
    ) -> Result<String, ApiError> {
        if let Some(known) = self.developers.get(&id) {
            return Ok(known.clone());
        }
        let name = match api.catalogue.developer_by_id(organization, id).await {
            Ok(developer) => developer.email,
            Err(CatalogueError::Missing { .. }) => id.to_string(),
            Err(error) => return Err(error.into()),
        };
        if self.developers.len() < NAMES_MAX {
            self.developers.insert(id, name.clone());
        }
        Ok(name)
    }

    /// The name of a product.
    pub(crate) async fn product(
        &mut self,
        api: &Api,
        organization: &str,
        id: ProductId,
    ) -> Result<String, ApiError> {
        if let Some(known) = self.products.get(&id) {
            return Ok(known.clone());
        }
        let found = api.catalogue.product_by_id(organization, id).await?;
        let name = found.map_or_else(|| id.to_string(), |product| product.name);
        if self.products.len() < NAMES_MAX {
            self.products.insert(id, name.clone());
        }
        Ok(name)
    }

    /// The name of a developer's app.
    pub(crate) async fn app(
        &mut self,
        api: &Api,
        organization: &str,
        owner: DeveloperId,
        id: AppId,
    ) -> Result<String, ApiError> {
        if self.asked.insert(owner) {
            if self.apps.len() + APPS_MAX > NAMES_MAX {
                self.apps.clear();
            }
            let apps = api.catalogue.apps(organization, owner, None, APPS_MAX).await?;
            self.apps.extend(apps.into_iter().map(|app| (AppId(app.id), app.name)));
        }
        Ok(self.apps.get(&id).cloned().unwrap_or_else(|| id.to_string()))
    }
}
