//! What is to be done, in the order in which it depends on each other.

mod wallets;

use std::collections::{BTreeMap, HashMap, HashSet};

use hyper::Method;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tollgate_metering::{Currency, Money, UnixMillis};

use super::client::Call;
use super::export::{Export, Record};
use super::kinds::Kind;
use super::money::Fields;
use super::report::Report;
use crate::cli::MigrateArgs;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// As the report counts it.
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    /// Sends a call unless what it does is there.
    Ensure { look: Look, call: Call },
    /// Deletes keys of an app that are not these and open nothing.
    DropKeys { app: String, kept: HashSet<String> },
    /// Compares a balance with Edge's.
    Compare { path: String, developer: String, currency: Currency, want: Money },
}

/// How a step that was taken is known.
#[derive(Debug)]
pub(super) enum Look {
    /// It has an id of its own, under which it is booked once.
    Never,
    /// There is something.
    Found(String),
    /// A field has a value; one that has another is left alone if `unless` has wallets.
    Is { path: String, field: &'static str, want: &'static str, unless: Option<String> },
    /// A key opens these products.
    Holds { path: String, products: Vec<String> },
    /// A plan was accepted from a day on.
    Accepted { path: String, plan: String, day: String },
}

/// All steps.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) all: Vec<Step>,
}

/// What steps are made with.
struct Maker<'a> {
    /// `/v1/organizations/{organization}`.
    x: String,
    /// `/v1/mint/organizations/{organization}`.
    mint: String,
    /// E-mail addresses by Edge's ids of developers, and by themselves.
    emails: HashMap<String, String>,
    /// Apps' owners by Edge's ids of apps.
    owners: HashMap<String, String>,
    postpaid: HashSet<String>,
    usage_from: Option<&'a str>,
    now: UnixMillis,
    steps: Vec<Step>,
    report: &'a mut Report,
}

// === impl Steps ===

impl Steps {
    pub(super) fn of(
        export: &Export,
        args: &MigrateArgs,
        now: UnixMillis,
        report: &mut Report,
    ) -> Steps {
        let organization = segment(&args.organization);
        let mut maker = Maker {
            x: format!("/v1/organizations/{organization}"),
            mint: format!("/v1/mint/organizations/{organization}"),
            emails: HashMap::new(),
            owners: HashMap::new(),
            postpaid: HashSet::new(),
            usage_from: args.usage_from.as_deref(),
            now,
            steps: Vec::new(),
            report,
        };
        let body = json!({ "name": args.organization });
        let look = Look::Found(maker.x.clone());
        maker.ensure("organization", &args.organization, look, "/v1/organizations", body);
        maker.know(export);
        for kind in Kind::ALL {
            for record in export.of(kind) {
                if let Err(reason) = maker.make(record) {
                    maker.report.fail(kind.place(), &record.file, reason);
                }
            }
        }
        maker.wallets(export);
        Steps { all: maker.steps }
    }
}

// === impl Maker ===

impl Maker<'_> {
    /// The steps of a record but for those that move money.
    fn make(&mut self, record: &Record) -> Result<(), String> {
        match record.kind {
            Kind::Product => self.product(record),
            Kind::Developer => self.developer(record),
            Kind::App => self.app(record),
            Kind::Package => self.package(record),
            Kind::RatePlan => self.plan(record),
            Kind::Acceptance => self.acceptance(record),
            Kind::Balance | Kind::Transaction => Ok(()),
        }
    }

    /// Who is who: before any step, since files are in no order.
    fn know(&mut self, export: &Export) {
        for record in export.of(Kind::Developer) {
            let Some(email) = record.text("email") else { continue };
            let email = email.to_lowercase();
            if let Some(id) = record.text("developerId") {
                self.emails.insert(id, email.clone());
            }
            self.emails.insert(email.clone(), email.clone());
            if billing(record) == Some("POSTPAID") {
                self.postpaid.insert(email);
            }
        }
        for record in export.of(Kind::App) {
            if let (Some(id), Ok(owner)) = (record.text("appId"), self.owner(record, "developerId"))
            {
                self.owners.insert(id, owner);
            }
        }
    }

    /// The e-mail address of a record's developer: by a field, or else by the file's name.
    fn owner(&self, record: &Record, field: &str) -> Result<String, String> {
        let named = record.text(field).or_else(|| record.id_of(field));
        let named = named.unwrap_or_else(|| record.stem.clone());
        let found = self.emails.get(&named).or_else(|| self.emails.get(&named.to_lowercase()));
        found.cloned().ok_or_else(|| format!("developer {named:?} is not in the export"))
    }

    fn product(&mut self, record: &Record) -> Result<(), String> {
        let name = record.text("name").ok_or("has no name")?;
        let all = format!("{}/apiproducts", self.x);
        let look = Look::Found(format!("{all}/{}", segment(&name)));
        self.ensure("API product", &name, look, &all, record.copied());
        Ok(())
    }

    fn developer(&mut self, record: &Record) -> Result<(), String> {
        let email = record.text("email").ok_or("has no email")?.to_lowercase();
        let all = format!("{}/developers", self.x);
        let one = format!("{all}/{}", segment(&email));
        let mut body = record.copied();
        body.insert("email".to_owned(), raw(&email));
        self.ensure("developer", &email, Look::Found(one.clone()), &all, body);
        match billing(record) {
            Some(want) => {
                let path = format!("{one}/monetizationConfig");
                let unless = Some(format!("{one}/balance"));
                let look = Look::Is { path: path.clone(), field: "billingType", want, unless };
                let body = json!({ "billingType": want }).to_string();
                let call = Call { method: Method::PUT, path, body, idempotency_key: None };
                self.push("billing type", &email, Action::Ensure { look, call });
            }
            None => {
                self.report.leave("developer without MINT_BILLING_TYPE: POSTPAID", &record.file)
            }
        }
        if record.text("status").as_deref() == Some("inactive") {
            let look = is(&one, "status", "inactive");
            self.act("developer status", &email, look, format!("{one}?action=inactive"));
        }
        Ok(())
    }

    fn app(&mut self, record: &Record) -> Result<(), String> {
        let name = record.text("name").ok_or("has no name")?;
        let owner = self.owner(record, "developerId")?;
        let all = format!("{}/developers/{}/apps", self.x, segment(&owner));
        let one = format!("{all}/{}", segment(&name));
        let id = record.text("appId");
        let query = id.map(|id| format!("?appId={}", segment(&id))).unwrap_or_default();
        let what = format!("{owner} {name}");
        let look = Look::Found(one.clone());
        self.ensure("app", &what, look, &format!("{all}{query}"), record.copied());
        if record.text("status").as_deref() == Some("revoked") {
            let look = is(&one, "status", "revoked");
            self.act("app status", &what, look, format!("{one}?action=revoke"));
        }
        let mut kept = HashSet::new();
        for key in record.value("credentials").as_array().into_iter().flatten() {
            let name = key["consumerKey"].as_str().unwrap_or_default();
            kept.insert(name.to_owned());
            if let Err(reason) = self.key(&one, key, &record.file) {
                self.report.fail("key", &what, reason);
            }
        }
        self.push("app", &what, Action::DropKeys { app: one, kept });
        Ok(())
    }

    fn key(&mut self, app: &str, key: &Value, file: &str) -> Result<(), String> {
        let text = |field: &str| key[field].as_str().map(str::to_owned);
        let name = text("consumerKey").ok_or("has no consumerKey")?;
        let secret = text("consumerSecret").ok_or("has no consumerSecret")?;
        let mut body = json!({ "consumerKey": name, "consumerSecret": secret });
        for field in ["scopes", "attributes"] {
            if !key[field].is_null() {
                body[field] = key[field].clone();
            }
        }
        let expires = &key["expiresAt"];
        let expires = expires.as_i64().or_else(|| expires.as_str()?.parse().ok()).unwrap_or(-1);
        if expires > 0 {
            let left = (expires - self.now.0) / 1_000;
            if left <= 0 {
                self.report.leave("key that has expired", file);
                return Ok(());
            }
            body["expiresInSeconds"] = left.to_string().into();
        }
        const KNOWN: [&str; 8] = [
            "consumerKey",
            "consumerSecret",
            "scopes",
            "attributes",
            "expiresAt",
            "issuedAt",
            "status",
            "apiProducts",
        ];
        for field in key.as_object().into_iter().flat_map(|key| key.keys()) {
            if !KNOWN.contains(&field.as_str()) {
                self.report.leave(format!("field {field} of keys"), file);
            }
        }
        let one = format!("{app}/keys/{}", segment(&name));
        // A key is no secret of the report: people look for it by the app.
        let what = app.rsplit_once("/developers/").map_or(app, |(_, what)| what).to_owned();
        let create = format!("{app}/keys/create");
        self.ensure("key", &what, Look::Found(one.clone()), &create, body);
        // Before it opens anything.
        if text("status").is_some_and(|status| status != "approved") {
            self.act(
                "key status",
                &what,
                is(&one, "status", "revoked"),
                format!("{one}?action=revoke"),
            );
        }
        let mut products = Vec::new();
        for on in key["apiProducts"].as_array().into_iter().flatten() {
            let product = on["apiproduct"].as_str().unwrap_or_default().to_owned();
            match on["status"].as_str() {
                None | Some("approved") => products.push(product),
                Some(status) => {
                    self.report.leave(format!("API product on a key that is {status}"), file);
                }
            }
        }
        if !products.is_empty() {
            let body = json!({ "apiProducts": products });
            let look = Look::Holds { path: one.clone(), products };
            self.ensure("products of key", &what, look, &one, body);
        }
        Ok(())
    }

    fn package(&mut self, record: &Record) -> Result<(), String> {
        let id = record.text("id").ok_or("has no id")?;
        let all = format!("{}/monetization-packages", self.mint);
        let products = record.value("product");
        let products = products.as_array().into_iter().flatten();
        let products: Vec<Value> = products.map(|product| json!({ "id": product["id"] })).collect();
        let mut body = record.copied();
        body.insert("product".to_owned(), raw(&products));
        let look = Look::Found(format!("{all}/{}", segment(&id)));
        self.ensure("package", &id, look, &all, body);
        Ok(())
    }

    fn plan(&mut self, record: &Record) -> Result<(), String> {
        let id = record.text("id").ok_or("has no id")?;
        let package = record.id_of("monetizationPackage").ok_or("names no monetizationPackage")?;
        let all = format!("{}/monetization-packages/{}/rate-plans", self.mint, segment(&package));
        let mut body = record.copied();
        if record.text("type").as_deref() == Some("DEVELOPER") {
            let owner = self.owner(record, "developer")?;
            body.insert("developer".to_owned(), raw(&json!({ "id": owner })));
        }
        self.tell_details(record);
        let look = Look::Found(format!("{all}/{}", segment(&id)));
        self.ensure("rate plan", &id, look, &all, body);
        Ok(())
    }

    /// Fields of details and rates without a place.
    fn tell_details(&mut self, record: &Record) {
        const DETAIL: [&str; 13] = [
            "id",
            "type",
            "meteringType",
            "ratingParameter",
            "product",
            "freemiumUnit",
            "freemiumDuration",
            "freemiumDurationType",
            "ratePlanRates",
            "organization",
            "currency",
            "duration",
            "durationType",
        ];
        const RATE: [&str; 6] = ["id", "type", "rate", "revshare", "startUnit", "endUnit"];
        let details = record.value("ratePlanDetails");
        for detail in details.as_array().into_iter().flatten() {
            self.tell_unknown(detail, &DETAIL, "ratePlanDetails", &record.file);
            for rate in detail["ratePlanRates"].as_array().into_iter().flatten() {
                self.tell_unknown(rate, &RATE, "ratePlanRates", &record.file);
            }
        }
    }

    fn tell_unknown(&mut self, object: &Value, known: &[&str], of: &str, file: &str) {
        for (field, value) in object.as_object().into_iter().flatten() {
            if !known.contains(&field.as_str()) && !value.is_null() {
                self.report.leave(format!("field {field} of {of}"), file);
            }
        }
    }

    fn acceptance(&mut self, record: &Record) -> Result<(), String> {
        let owner = self.owner(record, "developer")?;
        let plan = record.id_of("ratePlan").ok_or("names no ratePlan")?;
        let start = record.text("startDate").ok_or("has no startDate")?;
        let one = format!("{}/developers/{}", self.mint, segment(&owner));
        let day = start.get(..10).unwrap_or(&start).to_owned();
        let path = format!("{one}/developer-accepted-rateplans");
        let what = format!("{owner} {plan}");
        let mut body = record.copied();
        body.insert("ratePlan".to_owned(), raw(&json!({ "id": plan })));
        body.insert("developer".to_owned(), raw(&json!({ "id": owner })));
        let look = Look::Accepted { path, plan, day };
        // Edge has charged its fees; they are in the balance.
        let accept = format!("{one}/developer-rateplans?waivefees=true&keepStartDate=true");
        self.ensure("accepted plan", &what, look, &accept, body);
        Ok(())
    }

    fn ensure(
        &mut self,
        kind: &'static str,
        id: &str,
        look: Look,
        path: &str,
        body: impl serde::Serialize,
    ) {
        let body = serde_json::to_string(&body).expect("JSON has a JSON form");
        let call =
            Call { method: Method::POST, path: path.to_owned(), body, idempotency_key: None };
        self.push(kind, id, Action::Ensure { look, call });
    }

    fn act(&mut self, kind: &'static str, id: &str, look: Look, path: String) {
        let call = Call { method: Method::POST, path, body: String::new(), idempotency_key: None };
        self.push(kind, id, Action::Ensure { look, call });
    }

    fn push(&mut self, kind: &'static str, id: &str, action: Action) {
        self.steps.push(Step { kind, id: id.to_owned(), action });
    }
}

fn is(path: &str, field: &'static str, want: &'static str) -> Look {
    Look::Is { path: path.to_owned(), field, want, unless: None }
}

/// The billing type that a developer has at Edge, if the export says it.
fn billing(record: &Record) -> Option<&'static str> {
    let attributes = record.value("attributes");
    let mut attributes = attributes.as_array().into_iter().flatten();
    let attribute = attributes.find(|attribute| attribute["name"] == "MINT_BILLING_TYPE");
    let said = attribute.and_then(|attribute| attribute["value"].as_str().map(str::to_owned));
    match said.or_else(|| record.text("billingType"))?.to_ascii_uppercase().as_str() {
        "PREPAID" => Some("PREPAID"),
        "POSTPAID" => Some("POSTPAID"),
        _ => None,
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("JSON has a JSON form")
}

/// A text as a segment of a path, or a value of a query.
fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
