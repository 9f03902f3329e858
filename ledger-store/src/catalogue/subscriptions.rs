//! Purchases of API products. All of a developer's are one document, so that two at the same
//! time see each other and a double click does not pay a setup fee twice.
//!
//! A purchase with fees is written as pending, then the fees are booked under ids made of the
//! subscription's, then the subscription is activated. After a crash or an unknown outcome in
//! between, the next purchase of the same product takes the pending one up again, with the same
//! entry ids: the fees are booked at most once. Housekeeping activates what is paid for, and takes
//! back what is not an hour later: money is never taken for nothing for good.

use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::caller::Window;
use super::error::{CatalogueError, What};
use super::records::{Developer, Subscription, Subscriptions};
use super::store::subscriptions_key;

/// Most subscriptions of a developer, ended ones included.
pub const SUBSCRIPTIONS_MAX: usize = 2000;

// === impl Catalogue ===

impl Catalogue {
    /// Begins a purchase: a subscription that is pending where fees are to be booked first, else in
    /// force. A pending one of the same product is taken up again.
    ///
    /// # Errors
    /// `Missing` (product), `Invalid`, `Precondition` (no plan to buy, too many), `Exists` (an
    /// overlapping subscription), or the store's.
    pub async fn begin_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        product: &str,
        window: Window,
        now: UnixMillis,
    ) -> Result<Subscription, CatalogueError> {
        if window.end.is_some_and(|end| end <= window.start) {
            return Err(CatalogueError::invalid("endTime", "must lie after startTime"));
        }
        let product = self.product(organization, product).await?;
        let offer = product.offer_at(window.start.max(now), None)?;
        let subscription = Subscription {
            id: Uuid::new_v4(),
            product: product.id,
            product_name: product.name.clone(),
            plan: None,
            acceptance: None,
            is_feeless: false,
            is_suspended: false,
            window,
            setup_fee: offer.setup_fee,
            currency: Some(offer.currency),
            first_fee: offer.first_fee,
            first_period: Some(offer.first.number()),
            next_period: Some(offer.next.number()),
            is_shadow: offer.is_shadow,
            is_pending: offer.setup_fee.is_some() || offer.first_fee.is_some(),
            is_fee_back_due: false,
            created_at: now,
            modified_at: now,
        };
        let key = subscriptions_key(organization, developer.id);
        self.insert(&key, &Subscriptions::default(), now).await?;
        let (_, begun) = self
            .edit(&key, now, |all: &mut Subscriptions| all.begin(&subscription, developer))
            .await?
            .ok_or(CatalogueError::Contended { what: "subscriptions" })?;
        Ok(begun)
    }

    /// Puts a subscription in force whose fees are booked, also where somebody else who was
    /// refused the fee took the pending one back in between.
    ///
    /// # Errors
    /// The store's.
    pub async fn activate_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        begun: &Subscription,
        now: UnixMillis,
    ) -> Result<Subscription, CatalogueError> {
        let paid = Subscription { is_pending: false, modified_at: now, ..begun.clone() };
        let key = subscriptions_key(organization, developer.id);
        self.edit(&key, now, |all: &mut Subscriptions| {
            match all.subscriptions.iter_mut().find(|other| other.id == paid.id) {
                Some(found) => found.is_pending = false,
                None => all.subscriptions.push(paid.clone()),
            }
            Ok(())
        })
        .await?
        .ok_or_else(|| missing(developer, paid.id))?;
        Ok(paid)
    }

    /// Takes a pending subscription back, and with it all of its acceptance: its fees were certainly
    /// not booked.
    ///
    /// # Errors
    /// The store's.
    pub async fn abandon_subscription(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = subscriptions_key(organization, developer);
        self.edit(&key, now, |all: &mut Subscriptions| {
            if let Some(one) = all.subscriptions.iter().find(|other| other.id == id).cloned() {
                all.subscriptions.retain(|other| !other.is_pending || !one.is_bought_with(other));
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// A subscription in force, ended or not yet begun.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn subscription(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
    ) -> Result<Subscription, CatalogueError> {
        let all = self.subscriptions(organization, developer.id).await?;
        all.into_iter()
            .find(|subscription| subscription.id.to_string() == id)
            .ok_or_else(|| missing(developer, id))
    }

    /// All subscriptions of a developer but pending ones, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn subscriptions(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let key = subscriptions_key(organization, developer);
        let found = self.load::<Subscriptions>(&key).await?;
        let all = found.map(|stored| stored.record.subscriptions).unwrap_or_default();
        Ok(all.into_iter().filter(|subscription| !subscription.is_pending).collect())
    }

    /// Ends a subscription now, and with it all of its acceptance; what has ended stays as it is, and
    /// what has not begun is taken back. Returns all of them, the named one first.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn expire_subscription(
        &self,
        organization: &str,
        developer: &Developer,
        id: &str,
        now: UnixMillis,
    ) -> Result<Vec<Subscription>, CatalogueError> {
        let key = subscriptions_key(organization, developer.id);
        let edited = self
            .edit(&key, now, |all: &mut Subscriptions| {
                let is_it = |held: &Subscription| held.id.to_string() == id;
                let mut ended = all.bought_with(is_it);
                ended.iter_mut().for_each(|held| held.end_now(now));
                ended.sort_by_key(|held| !is_it(held));
                let ended: Vec<Subscription> = ended.into_iter().map(|held| held.clone()).collect();
                if ended.is_empty() { Err(missing(developer, id)) } else { Ok(ended) }
            })
            .await?;
        edited.map(|(_, ended)| ended).ok_or_else(|| missing(developer, id))
    }

    /// Notes that what was paid for a subscription is given back.
    ///
    /// # Errors
    /// The store's.
    pub async fn note_fees_returned(
        &self,
        organization: &str,
        developer: DeveloperId,
        id: Uuid,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = subscriptions_key(organization, developer);
        let note = |all: &mut Subscriptions| {
            if let Some(held) = all.subscriptions.iter_mut().find(|held| held.id == id) {
                held.is_fee_back_due = false;
            }
            Ok(())
        };
        self.edit(&key, now, note).await.map(drop)
    }
}

fn missing(developer: &Developer, id: impl ToString) -> CatalogueError {
    CatalogueError::missing(What::Subscription, id, &developer.email)
}

// === impl Subscription ===

impl Subscription {
    /// Whether the same fees put both in force: the same one, or one of the same acceptance.
    pub(crate) fn is_bought_with(&self, other: &Subscription) -> bool {
        self.id == other.id || (self.acceptance.is_some() && self.acceptance == other.acceptance)
    }

    /// Whether it was taken back before it began.
    #[must_use]
    pub fn is_taken_back(&self) -> bool {
        self.window.end == Some(self.window.start)
    }

    /// Makes one that has not begun one that never holds. It stays, so that whoever is late to put it
    /// in force finds that out, and what was paid for it comes back.
    pub(super) fn take_back(&mut self, now: UnixMillis) {
        self.window.end = Some(self.window.start);
        self.is_fee_back_due = !self.purchase_fees().is_empty();
        self.modified_at = now;
    }

    fn end_now(&mut self, now: UnixMillis) {
        if self.window.end.is_some_and(|end| end <= now.max(self.window.start)) {
            return;
        }
        if self.window.start > now {
            self.take_back(now);
        } else {
            (self.window.end, self.modified_at) = (Some(now), now);
        }
    }
}

// === impl Subscriptions ===

impl Subscriptions {
    /// Those that are paid for and were bought together with one that `is_it` finds, itself included.
    /// The fees of a package stand at one of them: they begin and end together.
    pub(super) fn bought_with(
        &mut self,
        is_it: impl Fn(&Subscription) -> bool,
    ) -> Vec<&mut Subscription> {
        let found = self.subscriptions.iter().find(|held| !held.is_pending && is_it(held)).cloned();
        let is_beside = |held: &&mut Subscription| {
            found.as_ref().is_some_and(|found| !held.is_pending && found.is_bought_with(held))
        };
        self.subscriptions.iter_mut().filter(is_beside).collect()
    }

    fn begin(
        &mut self,
        new: &Subscription,
        developer: &Developer,
    ) -> Result<Subscription, CatalogueError> {
        for other in &mut self.subscriptions {
            if other.product != new.product {
                continue;
            }
            if other.is_pending && other.plan == new.plan {
                // Its fees may be booked: it keeps id, amounts, periods, currency, and the start that
                // they were counted from.
                let (start, end) = (other.window.start, new.window.end);
                if end.is_some_and(|end| end <= start) {
                    let what = "an earlier purchase of the product is not finished".to_owned();
                    return Err(CatalogueError::Precondition(what));
                }
                other.window = Window { start, end };
                other.modified_at = new.modified_at;
                return Ok(other.clone());
            }
            if other.window.overlaps(&new.window) {
                return Err(CatalogueError::exists(
                    What::Subscription,
                    format!("{} to {}", other.id, other.product_name),
                    &developer.email,
                ));
            }
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let what = format!("{} has {SUBSCRIPTIONS_MAX} subscriptions already", developer.email);
            return Err(CatalogueError::Precondition(what));
        }
        self.subscriptions.push(new.clone());
        Ok(new.clone())
    }
}
