//! An organization whose developers pay later: what they use, and what became of it at Stripe.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tollgate_billing::invoices::{Collection, Invoice, InvoiceKey, Invoicing};
use tollgate_billing::{Billing, stripe};
use tollgate_ledger_store::catalogue::records::{
    Developer, PlanState, PlanTerms, PriceBand, PricingType, Product, ProductTerms,
};
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::charges::Charges;
use tollgate_ledger_store::fees::Fees;
use tollgate_ledger_store::{Ledger, LedgerMetrics, RegisterCell, RegisterWrite, SqliteLedger};
use tollgate_metering::booking::Booking;
use tollgate_metering::lines::Day;
use tollgate_metering::{
    BillingType, Currency, EntryKind, Incarnation, Meter, Money, Period, Units, UnixMillis,
};
use uuid::Uuid;

use crate::harness::{ORGANIZATION, Site, add_developer};

const HOUR: Duration = Duration::from_secs(3_600);

/// A site in the middle of a November, with a product in each of two currencies.
pub(super) struct World {
    pub(super) site: Site,
    pub(super) november: Period,
    products: Vec<(Currency, Product)>,
}

pub(super) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(super) fn currency(text: &str) -> Currency {
    text.parse().unwrap()
}

fn plan(code: &str, price: &str) -> PlanTerms {
    PlanTerms {
        display_name: "standard".to_owned(),
        is_monthly: true,
        currency: Some(currency(code)),
        pricing: Some(PricingType::FixedPerUnit),
        bands: vec![PriceBand { start: None, end: None, fee: money(price) }],
        state: PlanState::Published,
        start: Some(UnixMillis(0)),
        ..PlanTerms::default()
    }
}

// === impl World ===

impl World {
    pub(super) async fn start() -> World {
        let site = Site::start().await;
        let billing = site.billing();
        let catalogue = &billing.parts().catalogue;
        // The next November but the one that may be now: a year ends on the way.
        let mut november = Period::of(site.now()).later(1);
        while !november.to_string().ends_with("-11") {
            november = november.later(1);
        }
        site.advance(november.start().since(site.now()) + HOUR * 240);
        let (now, mut products) = (site.now(), Vec::new());
        for (name, code) in [("weather", "EUR"), ("news", "USD")] {
            let terms = ProductTerms::default();
            catalogue.create_product(ORGANIZATION, name, &terms, now).await.unwrap();
            let first = plan(code, "0.333333333");
            let first = catalogue.create_plan(ORGANIZATION, name, &first, now).await.unwrap();
            let (id, second) = (first.id.to_string(), plan(code, "0.25"));
            catalogue.update_plan(ORGANIZATION, name, &id, &second, now).await.unwrap();
            let product = catalogue.product(ORGANIZATION, name).await.unwrap();
            assert_eq!(product.plans[0].revision, 2);
            products.push((currency(code), product));
        }
        let world = World { site, november, products };
        billing.set_invoicing(ORGANIZATION, &world.invoicing()).await.unwrap();
        world
    }

    pub(super) fn invoicing(&self) -> Invoicing {
        Invoicing {
            billing: self.site.integration.name.clone(),
            first_month: self.november,
            days_until_due: 14,
            is_on: true,
        }
    }

    pub(super) async fn developer(&self, name: &str, billed: BillingType) -> Developer {
        let billing = self.site.billing();
        let (catalogue, now) = (&billing.parts().catalogue, self.site.now());
        let developer = add_developer(catalogue, &format!("{name}@example.com"), now).await;
        let id = developer.id.to_string();
        catalogue.set_billing(ORGANIZATION, &id, billed, now).await.unwrap()
    }

    /// A developer who pays later, by this card.
    pub(super) async fn payer(&self, name: &str, card: &str) -> Developer {
        let developer = self.developer(name, BillingType::Postpaid).await;
        self.save_card(&developer, card).await;
        developer
    }

    pub(super) async fn save_card(&self, developer: &Developer, card: &str) {
        let (billing, integration) = (self.site.billing(), &self.site.integration);
        let customer = billing.customer(integration, developer).await.unwrap();
        let client = billing.client_of(integration).unwrap();
        let post = async |path: String, form: stripe::Form| {
            client.post(&path, &form, &Uuid::new_v4().to_string()).await.unwrap()
        };
        let form = stripe::Form::new().with("customer", &customer.id);
        let saved = post(format!("/payment_methods/{card}/attach"), form).await;
        let saved = saved["id"].as_str().unwrap();
        let form = stripe::Form::new().with("invoice_settings[default_payment_method]", saved);
        post(format!("/customers/{}", customer.id), form).await;
        billing.note_payment_method(integration, developer.id, Some(saved)).await.unwrap();
    }

    /// Units that a gateway counted.
    pub(super) async fn used(
        &self,
        developer: &Developer,
        code: &str,
        (billed, month, revision): (BillingType, Period, u32),
        units: &str,
    ) {
        let (billing, now) = (self.site.billing(), self.site.now());
        let currency = currency(code);
        let catalogue = &billing.parts().catalogue;
        let opened = catalogue.open_wallet(ORGANIZATION, developer.id, currency, now).await;
        let (_, product) = self.products.iter().find(|(one, _)| *one == currency).unwrap();
        let meter = Meter {
            wallet: opened.unwrap(),
            product: product.id,
            plan: product.plans[0].id,
            billing: billed,
            period: month,
            revision,
        };
        let incarnation = Incarnation { born: now, id: Uuid::new_v4() };
        let (cell, units): (_, Units) = (RegisterCell::Live, units.parse().unwrap());
        let write = RegisterWrite { meter, incarnation, cell, units, seq: now.0 * 1_000 };
        for answer in self.site.sqlite.write_registers(&[write]).await {
            answer.unwrap();
        }
    }

    fn booking(&self, id: &str) -> Booking {
        let (id, by, reason) = (id.to_owned(), "test".to_owned(), "monthly fee".to_owned());
        Booking { id, at: self.site.now(), by, reason, is_forced: false }
    }

    pub(super) async fn fee(&self, developer: &Developer, code: &str, amount: &str) {
        let (billing, now) = (self.site.billing(), self.site.now());
        let (parts, currency) = (billing.parts(), currency(code));
        let opened =
            parts.catalogue.open_wallet(ORGANIZATION, developer.id, currency, now).await.unwrap();
        let asked = self.booking(&Uuid::new_v4().to_string());
        let billed = BillingType::Postpaid;
        parts.book.fee_billed(opened, &asked, money(amount), billed).await.unwrap();
    }

    pub(super) async fn credit(&self, developer: &Developer, code: &str, amount: &str) {
        let (billing, asked) = (self.site.billing(), self.booking(&Uuid::new_v4().to_string()));
        let (book, currency) = (&billing.parts().book, currency(code));
        book.credit(ORGANIZATION, developer.id, currency, &asked, money(amount)).await.unwrap();
    }

    /// Changes who pays when, and moves what was left.
    pub(super) async fn switch(&self, developer: &Developer, billed: BillingType) {
        let (billing, now) = (self.site.billing(), self.site.now());
        let parts = billing.parts();
        let id = developer.id.to_string();
        let changed = parts.catalogue.set_billing(ORGANIZATION, &id, billed, now).await.unwrap();
        let (catalogue, ledger, book) =
            (parts.catalogue.clone(), parts.ledger.clone(), parts.book.clone());
        let fees = Fees::new(catalogue, ledger, book);
        let moved = fees.finish_switch(ORGANIZATION, &changed, "test", false, now).await;
        assert!(moved.failed.is_none(), "{:?}", moved.failed);
    }

    /// Does what housekeeping does: closes all wallets' months up to this one.
    pub(super) async fn close(&self, through: Period) {
        let billing = self.site.billing();
        for wallet in self.site.sqlite.list(None, 10_000).await.unwrap() {
            billing.parts().book.close_period(wallet, through, "housekeeping").await.unwrap();
        }
    }

    /// Moves on to so many hours after the end of a month.
    pub(super) fn after(&self, month: Period, hours: u32) {
        self.site.advance(month.end().plus(HOUR * hours).since(self.site.now()));
    }

    /// Closes a month in time and moves on to when it may be invoiced.
    pub(super) async fn end(&self, month: Period) {
        self.after(month, 1);
        self.close(month).await;
        self.after(month, 25);
    }

    pub(super) fn key(&self, developer: &Developer, code: &str, number: u32) -> InvoiceKey {
        let organization = ORGANIZATION.to_owned();
        InvoiceKey { organization, developer: developer.id, currency: currency(code), number }
    }

    pub(super) async fn chain(&self, developer: &Developer, code: &str) -> Vec<Invoice> {
        let (billing, currency) = (self.site.billing(), currency(code));
        billing.invoice_chain(ORGANIZATION, developer.id, currency).await.unwrap()
    }

    pub(super) async fn collection(&self, key: &InvoiceKey) -> Collection {
        self.site.billing().collection(key).await.unwrap().expect("it was begun")
    }

    /// What the statement of a month says that this developer owes beside the balance.
    pub(super) async fn stated(&self, developer: &Developer, code: &str, month: Period) -> Money {
        let (billing, wallet) = (self.site.billing(), wallet_id(developer.id, currency(code)));
        let (parts, from) = (billing.parts(), Day::of(month.start()));
        let ledger = &*parts.ledger;
        let read = Charges::of(&parts.catalogue, ledger, wallet, from, self.site.now()).await;
        let charges = read.unwrap().expect("there is a wallet");
        let is_told = |at: UnixMillis| Period::of(at) == month;
        let mut sum = Money::ZERO;
        for line in &charges.lines {
            if line.meter.billing == BillingType::Postpaid && is_told(line.day.start()) {
                sum = sum.plus(line.charge).unwrap();
            }
        }
        for entry in charges.entries.iter().filter(|entry| is_told(entry.at)) {
            sum = match entry.kind {
                EntryKind::PostpaidFee => sum.plus(entry.amount).unwrap(),
                EntryKind::Transfer => sum.minus(entry.amount).unwrap(),
                _ => sum,
            };
        }
        sum
    }

    /// Invoices of Stripe with the mark of this one.
    pub(super) fn at_stripe(&self, key: &InvoiceKey) -> Vec<Value> {
        let all = self.site.simulator.test().objects("invoice");
        let is_it = |object: &Value| object["metadata"]["tollgate_invoice"] == key.mark().as_str();
        all.into_iter().filter(is_it).collect()
    }

    /// A process over a ledger that was restored from this file.
    pub(super) fn restored(&self, backup: &Path) -> Billing {
        let metrics = LedgerMetrics::register(&prometheus::Registry::new()).unwrap();
        self.site.over(&Arc::new(SqliteLedger::open(backup, metrics).unwrap()))
    }

    /// A pass of the worker that nothing disturbs.
    pub(super) async fn work(&self) {
        let billing: Billing = self.site.billing();
        billing.work_invoices().await.unwrap();
    }
}

/// Lines of an invoice, added up.
pub(super) fn sum(invoice: &Invoice) -> Money {
    let amounts = invoice.lines.iter().map(|line| line.amount);
    amounts.fold(Money::ZERO, |sum, amount| sum.plus(amount).unwrap())
}
