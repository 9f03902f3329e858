//! Has an invoice paid: makes it at Stripe, compares, finalizes, and hands it over to be collected.
//!
//! Each pass begins with looking: for an invoice of this mark where none is known, else at the one
//! that is. What is found decides the next step, so it does not matter where an earlier pass died,
//! nor whether its answers were lost. A draft that is made twice asks nobody for money: only the
//! one that the record names is finalized, and only once its items come to the total; others are
//! discarded. It is finalized without being collected, compared once more, and then paid.
//!
//! Developers with a card pay by it; Stripe asks again by its own rules where that fails. Others
//! are sent the invoice, with some days to pay.
//! Not here: requests and what answers mean (`at_stripe`), when it is done (`work`).

use serde_json::Value;
use tollgate_ledger_store::{CatalogueError, Put};

use super::at_stripe::{self, Found};
use super::record::{Collection, Due, Invoice, InvoiceKey, Invoicing, State};
use crate::Billing;
use crate::attempts::{Attempt, is_kept};
use crate::customers::Customer;
use crate::error::BillingError;
use crate::integrations::Integration;
use crate::stripe::{Client, Form, StripeError};

/// How often items are compared and repaired in one pass.
const REPAIRS_MAX: usize = 3;

/// One invoice on its way.
struct Way<'a> {
    billing: &'a Billing,
    client: Client,
    integration: &'a Integration,
    invoicing: &'a Invoicing,
    key: &'a InvoiceKey,
    invoice: Invoice,
    collection: Collection,
}

// === impl Billing ===

impl Billing {
    /// What became of an invoice; `None` where nothing was begun.
    ///
    /// # Errors
    /// The store's.
    pub async fn collection(&self, key: &InvoiceKey) -> Result<Option<Collection>, BillingError> {
        Ok(self.records().load(&key.collection()).await?.map(|stored| stored.record))
    }

    /// Goes on with an invoice as far as it gets; returns what became of it, `None` where there is
    /// nothing to collect. May be dropped at any time.
    ///
    /// # Errors
    /// `Stripe`, `Vault`, `Contended`, the store's: a later pass goes on.
    pub async fn collect_invoice(
        &self,
        integration: &Integration,
        invoicing: &Invoicing,
        key: &InvoiceKey,
    ) -> Result<Option<Collection>, BillingError> {
        let stored = self.records().load::<Invoice>(&key.invoice()).await?;
        let Some(invoice) = stored.map(|stored| stored.record).filter(Invoice::is_asked_for) else {
            return Ok(None);
        };
        let collection = self.begun_collection(integration, key).await?;
        if collection.state.is_settled() || collection.state == State::Blocked {
            return Ok(Some(collection));
        }
        let client = self.client_of(integration)?;
        let way = Way { billing: self, client, integration, invoicing, key, invoice, collection };
        way.go().await.map(Some)
    }

    /// Takes note of an invoice that an event of Stripe is about, as it is by now.
    pub(crate) async fn note_invoice_event(
        &self,
        integration: &Integration,
        object: &Value,
    ) -> Result<(), BillingError> {
        let told = Found::of(object);
        if told.mark.is_none() {
            return Ok(());
        }
        let client = self.client_of(integration)?;
        let now = client.get(&format!("/invoices/{}", told.id), &Form::new()).await;
        match now {
            Ok(now) => self.note_invoice(integration, &now).await,
            // A draft that was removed since.
            Err(StripeError::Missing(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes note of an invoice as Stripe has it now. One that is not ours, or not the one that
    /// counts, changes nothing.
    ///
    /// # Errors
    /// `Contended`, the store's.
    pub async fn note_invoice(
        &self,
        integration: &Integration,
        object: &Value,
    ) -> Result<(), BillingError> {
        let found = Found::of(object);
        let key = found.mark.as_deref();
        let key = key.and_then(|mark| InvoiceKey::of_mark(&integration.organization, mark));
        let Some(key) = key else { return Ok(()) };
        let Some(collection) = self.collection(&key).await? else { return Ok(()) };
        if collection.stripe_id.as_deref() == Some(found.id.as_str()) {
            self.note_found(&key, &found).await?;
        }
        Ok(())
    }

    /// Makes an invoice void: nobody pays it.
    ///
    /// # Errors
    /// `Precondition` where it is not at Stripe yet, or paid; `Missing`, `Stripe`, the store's.
    pub async fn void_invoice(
        &self,
        integration: &Integration,
        key: &InvoiceKey,
    ) -> Result<Collection, BillingError> {
        let collection = self.collection_there(key).await?;
        let (state, client) = (collection.state, self.client_of(integration)?);
        let is_voidable = collection.is_final && state != State::Paid;
        let Some(id) = collection.stripe_id.filter(|_| is_voidable) else {
            let what = format!("invoice {} is {}: it cannot be voided", key.id(), state.as_str());
            return Err(BillingError::Precondition(what));
        };
        let step = format!("tollgate/invoice/{}/{id}/void", key.mark());
        let number = collection.attempt.number;
        let mut found = at_stripe::get(&client, &id).await?;
        if !found.state.is_settled() {
            let path = format!("/invoices/{id}/void");
            let void = client.post(&path, &Form::new(), &format!("{step}/{number}")).await?;
            found = Found::of(&void);
        }
        self.note_found(key, &found).await
    }

    /// Has an invoice made anew at Stripe that is void there, or that waited for a person.
    ///
    /// # Errors
    /// `Precondition` where it does not wait, or what was made before is not void; `Missing`,
    /// `Stripe`, the store's.
    pub async fn reissue_invoice(
        &self,
        integration: &Integration,
        key: &InvoiceKey,
    ) -> Result<Collection, BillingError> {
        let known = self.collection_there(key).await?;
        let mut is_void = known.state == State::Void;
        if let (Some(id), false) = (&known.stripe_id, is_void) {
            let client = self.client_of(integration)?;
            is_void = known.is_final && at_stripe::get(&client, id).await?.state == State::Void;
        }
        if !is_void && (known.is_final || known.state != State::Blocked) {
            let (id, state) = (key.id(), known.state.as_str());
            let what = format!("invoice {id} is {state} and not void at Stripe");
            return Err(BillingError::Precondition(what));
        }
        let now = self.parts().clock.now();
        // One that is there already says the same.
        self.records().insert(&key.due(), &Due { at: now }, now).await?;
        self.edit_collection(key, |collection, now| {
            if (collection.state, collection.reissues) != (known.state, known.reissues) {
                return;
            }
            if is_void {
                (collection.stripe_id, collection.is_final) = (None, false);
                (collection.is_handed_over, collection.reissues) = (false, known.reissues + 1);
                collection.integration = integration.id;
            }
            collection.state = State::Pending;
            collection.reason.clear();
            collection.attempt = collection.attempt.next(now);
        })
        .await
    }

    async fn collection_there(&self, key: &InvoiceKey) -> Result<Collection, BillingError> {
        let missing = || BillingError::missing("invoice", key.id(), key.developer);
        self.collection(key).await?.ok_or_else(missing)
    }

    async fn begun_collection(
        &self,
        integration: &Integration,
        key: &InvoiceKey,
    ) -> Result<Collection, BillingError> {
        let (records, now) = (self.records(), self.parts().clock.now());
        let begun = Collection {
            state: State::Pending,
            reason: String::new(),
            integration: integration.id,
            customer: None,
            stripe_id: None,
            stripe_number: None,
            hosted_url: None,
            paid_minor: 0,
            is_final: false,
            is_handed_over: false,
            reissues: 0,
            attempt: Attempt::first(now),
            asked_at: now,
        };
        if let Some(found) = self.collection(key).await? {
            return Ok(found);
        }
        match records.insert(&key.collection(), &begun, now).await? {
            Put::Written => Ok(begun),
            Put::Conflict => Err(BillingError::Contended { what: "invoice" }),
        }
    }

    async fn note_found(
        &self,
        key: &InvoiceKey,
        found: &Found,
    ) -> Result<Collection, BillingError> {
        self.edit_collection(key, |collection, now| {
            collection.asked_at = now;
            collection.told(found);
        })
        .await
    }

    async fn edit_collection(
        &self,
        key: &InvoiceKey,
        mut change: impl FnMut(&mut Collection, tollgate_metering::UnixMillis),
    ) -> Result<Collection, BillingError> {
        let (key, now) = (key.collection(), self.parts().clock.now());
        let edited = self.records().edit(&key, now, |collection: &mut Collection| {
            change(collection, now);
            Ok(())
        });
        let edited = edited.await?.map(|(collection, ())| collection);
        edited.ok_or(BillingError::Contended { what: "invoice" })
    }
}

// === impl Collection ===

impl Collection {
    /// Takes note of what Stripe says; what was said before and arrives late changes nothing.
    fn told(&mut self, found: &Found) {
        let may_change = match self.state {
            State::Blocked => found.state.is_settled(),
            State::Paid | State::Void => false,
            State::Pending | State::Open | State::Uncollectible => found.state > self.state,
        };
        if may_change {
            self.state = found.state;
        }
        if self.state == State::Paid {
            self.reason.clear();
        }
        self.is_final |= found.state != State::Pending;
        self.paid_minor = self.paid_minor.max(found.paid_minor);
        self.stripe_number = found.number.clone().or(self.stripe_number.take());
        self.hosted_url = found.hosted_url.clone().or(self.hosted_url.take());
    }
}

// === impl Way ===

impl Way<'_> {
    async fn go(mut self) -> Result<Collection, BillingError> {
        if self.collection.integration != self.integration.id {
            let why = "it was begun through another integration of this name";
            return self.block(why).await;
        }
        let Some(id) = self.collection.stripe_id.clone() else {
            return match self.payer().await? {
                Some(payer) => self.begin(&payer).await,
                None => self.block("its developer was deleted and is no customer of Stripe").await,
            };
        };
        match at_stripe::get(&self.client, &id).await {
            Ok(found) => self.go_on(found).await,
            Err(StripeError::Missing(_)) if !self.collection.is_final => {
                // Somebody has deleted the draft.
                self.edit(|collection, now| {
                    collection.stripe_id = None;
                    collection.attempt = collection.attempt.next(now);
                })
                .await?;
                Ok(self.collection)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the draft, or finds it.
    async fn begin(mut self, payer: &Customer) -> Result<Collection, BillingError> {
        let since = self.invoice.month.start();
        let mark = self.key.mark();
        let mut found = at_stripe::find(&self.client, &payer.id, &mark, since).await?;
        if self.collection.reissues > 0 {
            found.retain(|found| found.state != State::Void);
        }
        if found.is_empty() {
            self.renew_attempt().await?;
            let form = at_stripe::draft(self.invoicing, self.key, &self.invoice, payer);
            let made = self.ask("/invoices", &form, "create").await?;
            found.push(Found::of(&made));
        }
        // One that was finalized goes before drafts, the oldest before others: lists begin with
        // the newest.
        found.reverse();
        found.sort_by_key(|found| std::cmp::Reverse(found.state));
        let first = found[0].clone();
        self.edit(|collection, _| {
            collection.customer.get_or_insert_with(|| payer.id.clone());
            collection.stripe_id.get_or_insert_with(|| first.id.clone());
        })
        .await?;
        let counts = self.collection.stripe_id.clone();
        let (mut kept, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| Some(&found.id) == counts.as_ref());
        for other in others {
            if other.state != State::Pending {
                let why = format!("Stripe has two of it: {} besides the one named here", other.id);
                return self.block(&why).await;
            }
            at_stripe::discard(&self.client, &other.id).await?;
        }
        match kept.pop() {
            Some(found) => self.go_on(found).await,
            // Another node's counts: the next pass asks about that one.
            None => Ok(self.collection),
        }
    }

    async fn go_on(mut self, mut found: Found) -> Result<Collection, BillingError> {
        if found.state == State::Pending {
            if self.collection.is_final {
                return self.block("Stripe shows a draft of what was final").await;
            }
            self.renew_attempt().await?;
            if let Some(why) = self.fill(&found).await? {
                return self.block(&why).await;
            }
            let path = format!("/invoices/{}/finalize", found.id);
            let form = Form::new().with("auto_advance", false);
            let step = format!("{}/finalize", found.id);
            found = Found::of(&self.ask(&path, &form, &step).await?);
        }
        self.collection = self.billing.note_found(self.key, &found).await?;
        let total = self.total()?;
        if found.total != total {
            let why = format!(
                "{} comes to {} at Stripe in place of {total}, in smallest parts: void it there",
                found.id, found.total
            );
            return self.block(&why).await;
        }
        if found.state == State::Open && !self.collection.is_handed_over {
            self.hand_over(&found).await?;
        }
        Ok(self.collection)
    }

    /// Brings the items of a draft to those of the invoice. Says why it cannot.
    async fn fill(&mut self, draft: &Found) -> Result<Option<String>, BillingError> {
        for _ in 0..REPAIRS_MAX {
            let repairs = at_stripe::repairs(&self.client, &draft.id, &self.invoice.items).await?;
            if repairs.is_empty() {
                let total = self.total()?;
                let now = at_stripe::get(&self.client, &draft.id).await?;
                let differs = || {
                    format!(
                        "draft {} comes to {} at Stripe in place of {total}, in smallest parts: \
                         somebody has changed it",
                        now.id, now.total
                    )
                };
                return Ok((now.total != total).then(differs));
            }
            for id in &repairs.extra {
                at_stripe::remove_item(&self.client, id).await?;
            }
            for index in repairs.missing {
                let form = at_stripe::item(&self.invoice, self.key, index, draft);
                let step = format!("{}/item/{index}", draft.id);
                self.ask("/invoiceitems", &form, &step).await?;
            }
        }
        let why = format!("items of draft {} do not stay as they are made", draft.id);
        Ok(Some(why))
    }

    /// Has Stripe collect what is open.
    async fn hand_over(&mut self, found: &Found) -> Result<(), BillingError> {
        self.renew_attempt().await?;
        let mut reason = String::new();
        if found.is_charged {
            let path = format!("/invoices/{}/pay", found.id);
            match self.ask(&path, &Form::new(), &format!("{}/pay", found.id)).await {
                Ok(_) => {}
                // What Stripe does next about it, it does by its own rules.
                Err(BillingError::Stripe(
                    error @ (StripeError::Declined(_) | StripeError::Invalid(_)),
                )) => reason = error.to_string(),
                Err(error) => return Err(error),
            }
        }
        let now = at_stripe::get(&self.client, &found.id).await?;
        if now.state == State::Open {
            let path = format!("/invoices/{}", found.id);
            let form = Form::new().with("auto_advance", true);
            self.ask(&path, &form, &format!("{}/advance", found.id)).await?;
        }
        self.edit(|collection, _| {
            collection.is_handed_over = true;
            collection.reason.clone_from(&reason);
            collection.told(&now);
        })
        .await
    }

    /// Who pays: a customer of Stripe; `None` where the developer is gone and never was one.
    async fn payer(&self) -> Result<Option<Customer>, BillingError> {
        let (billing, key) = (self.billing, self.key);
        if let Some(known) = billing.known_customer(self.integration, key.developer).await? {
            return Ok(Some(known));
        }
        let catalogue = &billing.parts().catalogue;
        match catalogue.developer_by_id(&key.organization, key.developer).await {
            Ok(developer) => billing.customer(self.integration, &developer).await.map(Some),
            Err(CatalogueError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks Stripe for a step, under the key of the attempt.
    async fn ask(&mut self, path: &str, form: &Form, step: &str) -> Result<Value, BillingError> {
        let attempt = self.collection.attempt;
        let key = attempt.key(&format!("tollgate/invoice/{}/{step}", self.key.mark()));
        match self.client.post(path, form, &key).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if is_kept(&error) {
                    self.edit(|collection, _| {
                        let is_same = collection.attempt.number == attempt.number;
                        collection.attempt.is_failed |= is_same;
                    })
                    .await?;
                }
                Err(error.into())
            }
        }
    }

    /// Another attempt where the one before is too old or failed: what it did was looked for.
    async fn renew_attempt(&mut self) -> Result<(), BillingError> {
        let (known, now) = (self.collection.attempt, self.billing.parts().clock.now());
        if !known.must_look(now) {
            return Ok(());
        }
        self.edit(|collection, now| {
            if collection.attempt == known {
                collection.attempt = known.next(now);
            }
        })
        .await
    }

    async fn block(mut self, why: &str) -> Result<Collection, BillingError> {
        let key = self.key;
        tracing::warn!(developer = %key.developer, invoice = key.id(), why, "invoice waits");
        self.edit(|collection, _| {
            if !collection.state.is_settled() {
                collection.state = State::Blocked;
                why.clone_into(&mut collection.reason);
            }
        })
        .await?;
        Ok(self.collection)
    }

    async fn edit(
        &mut self,
        change: impl FnMut(&mut Collection, tollgate_metering::UnixMillis),
    ) -> Result<(), BillingError> {
        self.collection = self.billing.edit_collection(self.key, change).await?;
        Ok(())
    }

    /// What is to be paid, in smallest parts.
    fn total(&self) -> Result<i64, BillingError> {
        Ok(crate::currency::to_minor(self.invoice.total, self.key.currency)?)
    }
}
