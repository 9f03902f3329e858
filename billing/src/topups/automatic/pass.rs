//! One pass over the settings: begins what is due and follows what is under way.

use std::time::Duration;

use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::{BookError, CatalogueError, Put};
use tollgate_metering::{BillingType, Money, UnixMillis};

use super::{ALL, AUTOMATIC, AUTOMATIC_MAX, Automatic, AutomaticTerms, Current, day, month};
use crate::Billing;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::records::Stored;
use crate::topups::binding::new_id;
use crate::topups::{Failure, Origin, PATIENCE, State, TopUp, TopUpAsk};

/// The pause after the first decline; four times as long after each that follows.
const DECLINE_PAUSE: Duration = Duration::from_secs(3_600);
const DECLINE_PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The pause where there is no payment method to pay with.
const NO_METHOD_PAUSE: Duration = Duration::from_secs(600);

/// The pause before one that is under way is looked at again; it doubles up to the longest one.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How an automatic top-up ended.
enum End {
    Paid,
    /// Nothing was paid, and nothing will be.
    Unpaid(Failure),
    /// Paid, and not in the wallet: another would only be stranded as well.
    Stranded(Failure),
}

fn decline_pause(declines: u32) -> Duration {
    DECLINE_PAUSE
        .saturating_mul(4_u32.saturating_pow(declines.saturating_sub(1)))
        .min(DECLINE_PAUSE_MAX)
}

fn look_pause(looks: u32) -> Duration {
    LOOK_PAUSE.saturating_mul(1 << looks.min(16)).min(LOOK_PAUSE_MAX)
}

fn failure(code: &str, message: &str) -> Failure {
    Failure { code: code.to_owned(), message: message.to_owned() }
}

// === impl Billing ===

impl Billing {
    /// Begins automatic top-ups of wallets below their threshold, and follows those under way.
    ///
    /// # Errors
    /// The store's: the rest is done by the next pass.
    pub async fn top_up_automatically(&self) -> Result<(), BillingError> {
        let page = self.records().page::<Automatic>(AUTOMATIC, ALL, None, AUTOMATIC_MAX).await?;
        for (_, stored) in page {
            let name = stored.record.key().name;
            if let Err(error) = self.tend(stored).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(name, error, "automatic top-up is tried later");
            }
        }
        Ok(())
    }

    async fn tend(&self, stored: Stored<Automatic>) -> Result<(), BillingError> {
        let now = self.parts().clock.now();
        let record = &stored.record;
        let owner =
            self.parts().catalogue.developer_by_id(&record.organization, record.developer).await;
        let owner = match owner {
            Ok(owner) => owner,
            // Nobody's wallet: what is under way is looked at among the open ones.
            Err(CatalogueError::Missing { .. }) => {
                return self.records().remove(&record.key(), now).await;
            }
            Err(error) => return Err(error.into()),
        };
        match (&record.current, &record.terms) {
            (Some(current), _) if current.look_at > now => Ok(()),
            (Some(current), _) => self.follow(record, current, &owner).await,
            (None, Some(terms)) => {
                let terms = terms.clone();
                match self.take_place(stored, &terms, &owner).await? {
                    Some((record, current)) => self.follow(&record, &current, &owner).await,
                    None => Ok(()),
                }
            }
            (None, None) => Ok(()),
        }
    }

    /// Takes the place of a top-up that is due, or `None`.
    async fn take_place(
        &self,
        stored: Stored<Automatic>,
        terms: &AutomaticTerms,
        owner: &Developer,
    ) -> Result<Option<(Automatic, Current)>, BillingError> {
        let Stored { version, mut record } = stored;
        let now = self.parts().clock.now();
        let is_paused = record.not_before.is_some_and(|time| time > now) || record.is_suspended();
        if is_paused || !owner.is_active || owner.billing == BillingType::Postpaid {
            return Ok(None);
        }
        let balance = self.parts().book.standing(wallet_id(owner.id, record.currency)).await;
        let balance = match balance {
            Ok(standing) => standing.balance,
            Err(BookError::NoWallet(_)) => Money::ZERO,
            Err(error) => return Err(error.into()),
        };
        if balance >= terms.threshold {
            return Ok(None);
        }
        let integration =
            self.integration_for(&record.organization, terms.billing.as_deref()).await?;
        let method = match &terms.payment_method {
            Some(method) => Some(method.clone()),
            None => {
                let customer = self.known_customer(&integration, owner.id).await?;
                customer.and_then(|customer| customer.default_payment_method)
            }
        };
        let used = (
            record.day.in_number(day(now)).within(terms.amount, terms.cap_per_day),
            record.month.in_number(month(now)).within(terms.amount, terms.cap_per_month),
        );
        let Some(method) = method else {
            record.failure = Some(failure("no_payment_method", "developer has no saved card"));
            record.not_before = Some(now.plus(NO_METHOD_PAUSE));
            self.records().replace(&record.key(), version, &record, now).await?;
            return Ok(None);
        };
        let (Some(of_day), Some(of_month)) = used else {
            let reached = Some(failure("cap_reached", "cap of the day or month is reached"));
            if record.failure != reached {
                record.failure = reached;
                self.records().replace(&record.key(), version, &record, now).await?;
            }
            return Ok(None);
        };
        (record.day, record.month, record.failure) = (of_day, of_month, None);
        let current = Current {
            id: new_id(now),
            amount: terms.amount,
            payment_method: method,
            billing: integration.name,
            begun_at: now,
            look_at: now,
            looks: 0,
        };
        record.current = Some(current.clone());
        let put = self.records().replace(&record.key(), version, &record, now).await?;
        Ok((put == Put::Written).then_some((record, current)))
    }

    /// Takes the top-up that is under way further, and frees its place when it is over.
    async fn follow(
        &self,
        record: &Automatic,
        current: &Current,
        owner: &Developer,
    ) -> Result<(), BillingError> {
        let integration = self.integration(&record.organization, &current.billing).await?.record;
        let driven = self.drive_current(record, current, &integration, owner).await;
        let now = self.parts().clock.now();
        let is_mine = |record: &Automatic| {
            record.current.as_ref().is_some_and(|other| other.id == current.id)
        };
        let end = match &driven {
            Ok(top_up) => end_of(top_up),
            Err(_) => None,
        };
        let key = record.key();
        let edited = self.records().edit(&key, now, |record: &mut Automatic| {
            if is_mine(record) {
                match &end {
                    Some(end) => record.end(end, current, now),
                    None => record.wait(now),
                }
            }
            Ok(())
        });
        edited.await?;
        driven.map(drop)
    }

    async fn drive_current(
        &self,
        record: &Automatic,
        current: &Current,
        integration: &Integration,
        owner: &Developer,
    ) -> Result<TopUp, BillingError> {
        let top_up = match self.load_top_up(&record.organization, owner.id, current.id).await? {
            Some(stored) => stored.record,
            None => {
                let ask = TopUpAsk {
                    organization: &record.organization,
                    developer: owner,
                    currency: record.currency,
                    amount: current.amount,
                    transaction_id: None,
                    payment_method: Some(current.payment_method.clone()),
                    return_url: None,
                    billing: None,
                    by: &record.by,
                };
                let begun = self.begun(&ask, current.id, integration, Origin::Automatic);
                self.begin(begun).await?
            }
        };
        let top_up = self.drive(integration, top_up, owner).await?.top_up;
        // The payer is not there to do anything: what needs him must not be paid later.
        let is_hopeless = matches!(top_up.state, State::Declined | State::ActionRequired);
        let is_late = self.parts().clock.now().since(current.begun_at) >= PATIENCE
            && matches!(top_up.state, State::Begun | State::Waiting);
        if is_hopeless || is_late {
            return Ok(self.give_up(top_up).await?.top_up);
        }
        Ok(top_up)
    }
}

/// How it ended, if it did.
fn end_of(top_up: &TopUp) -> Option<End> {
    let why = |code: &str| top_up.failure.clone().unwrap_or_else(|| failure(code, ""));
    match top_up.state {
        State::Credited => Some(End::Paid),
        State::Canceled => Some(End::Unpaid(why("canceled"))),
        State::Refused => Some(End::Unpaid(why("refused"))),
        State::Stranded => Some(End::Stranded(why("stranded"))),
        State::Begun
        | State::Waiting
        | State::ActionRequired
        | State::Processing
        | State::Declined => None,
    }
}

// === impl Automatic ===

impl Automatic {
    /// Frees the place.
    fn end(&mut self, end: &End, current: &Current, now: UnixMillis) {
        self.current = None;
        match end {
            End::Paid => (self.declines, self.not_before, self.failure) = (0, None, None),
            End::Unpaid(failure) => {
                let (amount, begun) = (current.amount, current.begun_at);
                self.day = self.day.given_back(amount, day(begun));
                self.month = self.month.given_back(amount, month(begun));
                self.declines = self.declines.saturating_add(1);
                self.not_before = Some(now.plus(decline_pause(self.declines)));
                self.failure = Some(failure.clone());
            }
            End::Stranded(failure) => {
                self.declines = super::DECLINES_MAX;
                self.failure = Some(failure.clone());
            }
        }
    }

    /// Looks again later.
    fn wait(&mut self, now: UnixMillis) {
        if let Some(current) = &mut self.current {
            current.look_at = now.plus(look_pause(current.looks));
            current.looks = current.looks.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DECLINE_PAUSE, DECLINE_PAUSE_MAX, decline_pause};

    #[test]
    fn pauses_after_declines_grow_to_a_day() {
        assert_eq!(decline_pause(1), DECLINE_PAUSE);
        assert_eq!(decline_pause(2), DECLINE_PAUSE * 4);
        assert_eq!(decline_pause(4), DECLINE_PAUSE_MAX);
        assert_eq!(decline_pause(u32::MAX), DECLINE_PAUSE_MAX);
    }
}
