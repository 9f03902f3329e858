//! Books what time and billing types ask of developers: recurring fees, purchases that were cut
//! short, balances that leave their wallets when their developer begins to pay later.
//!
//! Any node does it, also several at once, and none has to do it in time. A recurring fee has an
//! id made of subscription and period, a moved balance one made of the number of the switch, so
//! that of two who book it one finds it booked; how far a subscription's fees are booked is noted
//! after them, and what is not noted is only looked at again. A period that passed while nobody
//! was there is charged later, as its plan was at its start.
//!
//! A recurring fee is booked whatever the balance: what is missing is a debt, which stops paid
//! calls and is paid by the next top-up, as for calls. On a strict wallet it first waits for money
//! that gateways may spend, for at most [`FEE_PATIENCE`]; then it is forced, and recorded so.
//!
//! Times are passed in. Bounds: [`PAGE`] developers a page, `CATCH_UP_MAX` fees of a
//! subscription a pass. Not here: the loop and its pauses (`balance-sync`), purchases themselves
//! (`management`).

mod returns;
mod switches;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::booking::{Booking, BookingError, entry_id};
use tollgate_metering::{
    BillingType, DeveloperId, EntryKind, Period, ProductId, UnixMillis, WalletId,
};

use crate::book::{Book, BookError};
use crate::catalogue::fees::DueFee;
use crate::catalogue::records::{Developer, Product, Subscription};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::error::LedgerError;
use crate::ledger::Ledger;

pub use self::switches::Moved;

/// Developers of one page.
pub const PAGE: usize = 200;

/// How long a recurring fee waits for money of a strict wallet that gateways may spend.
pub const FEE_PATIENCE: Duration = Duration::from_secs(3_600);

/// How long a purchase may stand between its beginning and its end; far more than a request may
/// take.
pub const PURCHASE_PATIENCE: Duration = Duration::from_secs(3_600);

/// Recurring fees that one pass books of one subscription.
const CATCH_UP_MAX: usize = 120;

/// Who books.
const BY: &str = "housekeeping";

/// Why something was not booked now; a later pass does it.
#[derive(Debug, thiserror::Error)]
pub enum FeesError {
    /// The book.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Books fees and moves balances. Every method may be dropped at any time, as after a crash.
pub struct Fees {
    catalogue: Arc<Catalogue>,
    ledger: Arc<dyn Ledger>,
    book: Arc<Book>,
}

/// Where a pass goes on: an organization, and from which developer on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    organization: String,
    developer: Option<DeveloperId>,
}

/// What was done on one page.
#[derive(Debug, Default)]
pub struct Tended {
    /// Where to go on; `None` at the end.
    pub next: Option<Place>,
    /// Wallets that have another balance now.
    pub changed: Vec<WalletId>,
    /// What was not done, to be told and tried again.
    pub failed: Vec<(DeveloperId, FeesError)>,
}

/// API products of one page.
type Products = HashMap<ProductId, Option<Product>>;

// === impl Fees ===

impl Fees {
    /// Fees of this catalogue, booked in this book over this ledger.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, ledger: Arc<dyn Ledger>, book: Arc<Book>) -> Fees {
        Fees { catalogue, ledger, book }
    }

    /// Does what is due for one page of developers with subscriptions; from the first where no
    /// place is given.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub async fn tend(&self, place: Option<Place>, now: UnixMillis) -> Result<Tended, FeesError> {
        let mut tended = Tended::default();
        let organizations = self.catalogue.organizations().await?;
        let mut names: Vec<String> = organizations.into_iter().map(|found| found.name).collect();
        names.sort_unstable();
        let place = place.or_else(|| Place::first(&names));
        let Some(Place { organization, developer: start }) = place else { return Ok(tended) };
        // A page begins with the developer that the one before it ended with.
        let mut page = self.catalogue.subscribers(&organization, start, PAGE).await?;
        let is_last = page.len() < PAGE;
        if start.is_some() && page.first().map(|(id, _)| *id) == start {
            page.remove(0);
        }
        tended.next = match page.last() {
            Some((last, _)) if !is_last => {
                Some(Place { organization: organization.clone(), developer: Some(*last) })
            }
            _ => names
                .into_iter()
                .find(|name| *name > organization)
                .map(|organization| Place { organization, developer: None }),
        };
        let mut products = Products::new();
        for (developer, subscriptions) in page {
            let done = self
                .tend_developer(
                    (&organization, developer, &subscriptions),
                    &mut products,
                    (now, &mut tended.changed),
                )
                .await;
            if let Err(error) = done {
                tended.failed.push((developer, error));
            }
        }
        Ok(tended)
    }

    /// Does what is due for one developer. What was booked before an error is in `changed` all the
    /// same.
    async fn tend_developer(
        &self,
        (organization, developer, subscriptions): (&str, DeveloperId, &[Subscription]),
        products: &mut Products,
        (now, changed): (UnixMillis, &mut Vec<WalletId>),
    ) -> Result<(), FeesError> {
        let mut booked = None;
        for subscription in subscriptions {
            let back = (now, &mut *changed);
            self.return_fees(organization, developer, subscription, BY, back).await?;
            if subscription.is_pending {
                self.finish_purchase(organization, developer, subscription, subscriptions, now)
                    .await?;
                continue;
            }
            let Some(product) = self.product(organization, subscription.product, products).await?
            else {
                continue;
            };
            if subscription.due(product, subscription.next_due(), now).is_err() {
                continue;
            }
            let booked = match &mut booked {
                Some(booked) => booked,
                none => none.insert(self.catalogue.fees_booked(organization, developer).await?),
            };
            let noted = booked.next_periods.get(&subscription.id).copied();
            let from = noted.and_then(Period::from_number).unwrap_or(subscription.next_due());
            let due = (subscription, product, from);
            self.catch_up(organization, developer, due, (now, &mut *changed)).await?;
        }
        Ok(())
    }

    /// Books the fees of a subscription that are due from a period on.
    async fn catch_up(
        &self,
        organization: &str,
        developer: DeveloperId,
        (subscription, product, mut from): (&Subscription, &Product, Period),
        (now, changed): (UnixMillis, &mut Vec<WalletId>),
    ) -> Result<(), FeesError> {
        let mut owner = None;
        for _ in 0..CATCH_UP_MAX {
            let Ok(due) = subscription.due(product, from, now) else { break };
            let owner = match &mut owner {
                Some(owner) => owner,
                none => match self.catalogue.developer_by_id(organization, developer).await {
                    Ok(found) => none.insert(found),
                    Err(CatalogueError::Missing { .. }) => break,
                    Err(error) => return Err(error.into()),
                },
            };
            changed.extend(self.charge(organization, owner, subscription, &due, now).await?);
            from = due.next;
            let id = subscription.id;
            self.catalogue.note_fees_booked(organization, developer, id, from, now).await?;
        }
        Ok(())
    }

    async fn charge(
        &self,
        organization: &str,
        owner: &Developer,
        subscription: &Subscription,
        due: &DueFee,
        now: UnixMillis,
    ) -> Result<Option<WalletId>, FeesError> {
        let wallet = self.catalogue.open_wallet(organization, owner.id, due.currency, now).await?;
        let mut booking = Booking {
            id: subscription.fee_id(due.period),
            at: now,
            by: BY.to_owned(),
            reason: subscription.fee_reason(due.period),
            is_forced: false,
        };
        let billing = if due.is_shadow { BillingType::Shadow } else { owner.billing };
        let mut booked = self.book.fee_billed(wallet, &booking, due.amount, billing).await;
        let is_late = now.since(due.period.start()) >= FEE_PATIENCE;
        if let (true, Err(BookError::Refused(refused))) = (is_late, &booked)
            && matches!(refused, BookingError::Reserved { .. } | BookingError::ModeChanging)
        {
            booking.is_forced = true;
            booked = self.book.fee_billed(wallet, &booking, due.amount, billing).await;
        }
        match booked {
            Ok(booked) => {
                let is_prepaid = booked.entry.kind == EntryKind::Fee;
                Ok((is_prepaid && !booked.is_repeated).then_some(wallet))
            }
            // Booked already, by somebody who knew another price: once is once.
            Err(BookError::Conflict { .. } | BookError::Refused(BookingError::Sealed)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a purchase in force whose fees are booked; takes one back whose fees are not, and that
    /// nobody works on any more. Of an acceptance one subscription carries the fees of `all`.
    async fn finish_purchase(
        &self,
        organization: &str,
        developer: DeveloperId,
        subscription: &Subscription,
        all: &[Subscription],
        now: UnixMillis,
    ) -> Result<(), FeesError> {
        if now.since(subscription.modified_at) < PURCHASE_PATIENCE {
            return Ok(());
        }
        let mut bought_together = all.iter().filter(|other| subscription.is_bought_with(other));
        let paid = match bought_together.find_map(|other| other.purchase_fees().into_iter().next())
        {
            Some(first) => {
                let id = entry_id(EntryKind::Fee, &first.id);
                self.ledger.entry(developer, &id).await?.is_some()
            }
            // Only one whose fees another carried is pending without: that one was taken back.
            None => false,
        };
        if !paid {
            let id = subscription.id;
            self.catalogue.abandon_subscription(organization, developer, id, now).await?;
            return Ok(());
        }
        match self.catalogue.developer_by_id(organization, developer).await {
            Ok(owner) => {
                let done =
                    self.catalogue.activate_subscription(organization, &owner, subscription, now);
                done.await.map(drop).map_err(FeesError::from)
            }
            Err(CatalogueError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn product<'a>(
        &self,
        organization: &str,
        id: ProductId,
        seen: &'a mut Products,
    ) -> Result<Option<&'a Product>, FeesError> {
        let found = match seen.entry(id) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(none) => {
                let found = self.catalogue.product_by_id(organization, id).await?;
                // Most have no recurring fees: nothing is to be known of them.
                none.insert(found.filter(|product| !product.fee_log.is_empty()))
            }
        };
        Ok(found.as_ref())
    }
}

// === impl Place ===

impl Place {
    fn first(names: &[String]) -> Option<Place> {
        let organization = names.first()?.clone();
        Some(Place { organization, developer: None })
    }
}
