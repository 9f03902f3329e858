//! Balances and transactions: what of the money goes where.
//!
//! At Edge `amount − usage` is left, and the usage of transactions is in `usage` already. So the wallet is credited with
//! `amount − usage` and with what the transactions cost that are moved; these take it back off when they are booked, at the
//! same price where plans are the same. What is left here is what was left there, which the comparison at the end shows.

use super::*;
use crate::migrate::money::{amount, currency, shape};

/// A transaction that is moved.
struct Moved {
    owner: String,
    currency: Currency,
    cost: Money,
    id: String,
    body: Fields,
}

impl Maker<'_> {
    /// Credits, then transactions, then the comparisons.
    pub(super) fn wallets(&mut self, export: &Export) {
        let mut moved = Vec::new();
        let mut seen = HashSet::new();
        for record in export.of(Kind::Transaction) {
            match self.transaction(record) {
                Ok(Some(one)) if seen.insert(one.id.clone()) => moved.push(one),
                Ok(Some(_)) => self.report.leave("transaction that is there twice", &record.file),
                Ok(None) => {}
                Err(reason) => {
                    let id = record.text("id").unwrap_or_else(|| record.file.clone());
                    self.report.fail("transaction", &id, reason);
                }
            }
        }
        let mut costs: BTreeMap<(String, Currency), Money> = BTreeMap::new();
        for one in &moved {
            let cost = costs.entry((one.owner.clone(), one.currency)).or_insert(Money::ZERO);
            match cost.plus(one.cost) {
                Ok(sum) => *cost = sum,
                Err(error) => self.report.fail("transaction", &one.id, error.to_string()),
            }
        }
        let mut comparisons = Vec::new();
        let mut credited = HashSet::new();
        for record in export.of(Kind::Balance) {
            let credit = self.balance(record, &costs, &mut credited);
            match credit {
                Ok(Some(step)) => comparisons.push(step),
                Ok(None) => {}
                Err(reason) => self.report.fail("balance", &record.file, reason),
            }
        }
        for one in moved {
            let path = format!("{}/transactions?force=true", self.mint);
            let body = serde_json::to_string(&one.body).expect("JSON has a JSON form");
            let idempotency_key = Some(format!("edge-{}", one.id));
            let call = Call { method: Method::POST, path, body, idempotency_key };
            self.push("transaction", &one.id, Action::Ensure { look: Look::Never, call });
        }
        self.steps.extend(comparisons);
    }

    /// A transaction as it is sent here; none if it is left.
    fn transaction(&mut self, record: &Record) -> Result<Option<Moved>, String> {
        let id = record.text("id").ok_or("has no id")?;
        let kind = record.text("type").unwrap_or_else(|| "CHARGE".to_owned());
        if record.text("status").is_some_and(|status| status != "SUCCESS") {
            self.report.leave("transaction that is not SUCCESS", &record.file);
            return Ok(None);
        }
        let time = record.text("utcStartTime").or_else(|| record.text("startTime"));
        if let Some(from) = self.usage_from {
            let day = time.as_deref().and_then(|time| time.get(..10)).unwrap_or_default();
            if day < from {
                let what = format!("transaction before {from}: its money is in the balance");
                self.report.leave(what, &record.file);
                return Ok(None);
            }
        }
        let currency_id = record.id_of("currency").or_else(|| record.text("currency"));
        let currency = currency(currency_id.as_deref())?;
        if !record.fields.contains_key("rate") {
            return Err("has no rate: what it cost is not known".to_owned());
        }
        let cost = amount(&record.fields, "rate")?;
        let mut body = record.copied();
        let owner = match kind.as_str() {
            "CHARGE" => {
                let app = record.id_of("application").ok_or("names no application")?;
                let product = record.id_of("product").ok_or("names no product")?;
                body.insert("application".to_owned(), raw(&json!({ "id": app })));
                body.insert("product".to_owned(), raw(&json!({ "id": product })));
                let owner = self.owners.get(&app).cloned();
                owner.ok_or_else(|| format!("app {app} is not in the export"))?
            }
            "SETUPFEES" | "RECURRINGFEES" => {
                let owner = self.owner(record, "developer")?;
                let plan = record.id_of("ratePlan").ok_or("names no ratePlan")?;
                body.clear();
                body.insert("type".to_owned(), raw(&kind));
                body.insert("developer".to_owned(), raw(&json!({ "id": owner })));
                body.insert("currency".to_owned(), raw(&json!({ "id": currency.to_string() })));
                body.insert("ratePlan".to_owned(), raw(&json!({ "id": plan })));
                body.insert("rate".to_owned(), record.fields["rate"].clone());
                owner
            }
            other => {
                let what = format!("transaction of type {other}: its money is in the balance");
                self.report.leave(what, &record.file);
                return Ok(None);
            }
        };
        Ok(Some(Moved { owner, currency, cost, id, body }))
    }

    /// Credits a balance; answers how it is compared at the end.
    fn balance(
        &mut self,
        record: &Record,
        costs: &BTreeMap<(String, Currency), Money>,
        credited: &mut HashSet<(String, Currency)>,
    ) -> Result<Option<Step>, String> {
        // A balance does not say whose it is: the file's name does.
        let owner = self.owner(record, "developer")?;
        let currency = currency(record.id_of("supportedCurrency").as_deref())?;
        if self.postpaid.contains(&owner) {
            let what = "amount of a POSTPAID developer: a credit limit, set it as overdraftLimit";
            self.report.leave(what, &record.file);
            return Ok(None);
        }
        if !credited.insert((owner.clone(), currency)) {
            return Err(format!("{owner} has another balance in {currency}"));
        }
        let paid = amount(&record.fields, "amount")?;
        let usage = amount(&record.fields, "usage")?;
        let out_of_range = |error: tollgate_metering::MoneyError| error.to_string();
        let left = paid.minus(usage).map_err(out_of_range)?;
        let moved = costs.get(&(owner.clone(), currency)).copied().unwrap_or(Money::ZERO);
        let whole = left.plus(moved).map_err(out_of_range)?;
        let id = record.text("id").unwrap_or_else(|| format!("{owner}-{currency}"));
        let id = format!("edge-balance-{id}");
        let one = format!("{}/developers/{}", self.x, segment(&owner));
        let what = format!("{owner} {currency}");
        // A debt needs a wallet before it: what was paid in makes it.
        let credit = if whole.is_negative() { paid } else { whole };
        let debt = credit.minus(whole).map_err(out_of_range)?;
        if !credit.is_zero() {
            let body = json!({
                "transactionAmount": shape(credit, currency), "transactionId": id,
                "reason": "balance moved from Apigee Edge",
            });
            self.ensure("balance", &what, Look::Never, &format!("{one}/balance:credit"), body);
        }
        if !debt.is_zero() {
            let body =
                json!({ "adjustment": shape(debt, currency), "reason": "usage at Apigee Edge" });
            let (method, path) = (Method::POST, format!("{one}/balance:adjust"));
            let (body, idempotency_key) = (body.to_string(), Some(format!("{id}-usage")));
            let call = Call { method, path, body, idempotency_key };
            self.push("balance", &what, Action::Ensure { look: Look::Never, call });
        }
        let path = format!("{one}/balance");
        let action = Action::Compare { path, developer: owner, currency, want: left };
        Ok(Some(Step { kind: "balance", id: what, action }))
    }
}
