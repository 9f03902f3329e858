//! The handle of a running simulator, for tests in the same process.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::events::DeliverySummary;
use crate::faults::Fault;
use crate::keys::{AccountKeys, Mode, Power};
use crate::params::Params;
use crate::resources;
use crate::server::{self, Shared};
use crate::settings::Settings;
use crate::space::Space;
use crate::webhooks::{self, WebhookFaults};
use crate::world::{ControlError, Taken, World};

/// A running simulator; it ends when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    url: String,
    keys: AccountKeys,
    tasks: Vec<JoinHandle<()>>,
}

/// One account in one mode of a running simulator.
#[derive(Clone, Debug)]
pub struct SpaceHandle {
    shared: Arc<Shared>,
    account: String,
    mode: Mode,
}

// === impl Simulator ===

impl Simulator {
    /// Listens and serves on the current tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(settings: Settings) -> io::Result<Simulator> {
        let listener = TcpListener::bind(settings.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut world = World::new(settings, url.clone());
        let account = world.settings.account.clone();
        let keys = world.open_account(&account);
        let shared = Arc::new(Shared { world: Mutex::new(world) });
        let serving = Arc::clone(&shared);
        let tasks = vec![
            tokio::spawn(async move {
                server::run(listener, serving).await;
            }),
            tokio::spawn(webhooks::run(Arc::clone(&shared))),
        ];
        Ok(Simulator { shared, url, keys, tasks })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The keys of the account that exists from the start.
    #[must_use]
    pub fn keys(&self) -> &AccountKeys {
        &self.keys
    }

    /// The first account in test mode.
    #[must_use]
    pub fn test(&self) -> SpaceHandle {
        self.space(&self.keys.account, Mode::Test)
    }

    /// The first account in live mode.
    #[must_use]
    pub fn live(&self) -> SpaceHandle {
        self.space(&self.keys.account, Mode::Live)
    }

    /// Any account in a mode.
    #[must_use]
    pub fn space(&self, account: &str, mode: Mode) -> SpaceHandle {
        SpaceHandle { shared: Arc::clone(&self.shared), account: account.to_owned(), mode }
    }

    /// Opens another account.
    #[must_use]
    pub fn open_account(&self, id: &str) -> AccountKeys {
        self.shared.world.lock().open_account(id)
    }

    /// Lets `platform` act for `connected` by `Stripe-Account`.
    ///
    /// # Errors
    /// There is no account `platform`.
    pub fn connect(&self, platform: &str, connected: &str) -> Result<(), ControlError> {
        self.shared.world.lock().connect(platform, connected)
    }

    /// Expires a key at once and gives another of the same account, mode and powers.
    ///
    /// # Errors
    /// There is no such key.
    pub fn roll_key(&self, key: &str) -> Result<String, ControlError> {
        self.shared.world.lock().roll_key(key)
    }

    /// Makes requests fail.
    pub fn fault(&self, fault: Fault) {
        self.shared.world.lock().faults.add(fault);
    }

    /// Ends all faults of requests and webhooks.
    pub fn clear_faults(&self) {
        let mut world = self.shared.world.lock();
        world.faults.clear();
        world.webhook_faults = WebhookFaults::default();
    }

    /// Disorders webhooks from now on.
    pub fn webhook_faults(&self, faults: WebhookFaults) {
        self.shared.world.lock().webhook_faults = faults;
    }

    /// Makes every delivery that waits now, due or not, and says how many were taken.
    pub async fn deliver_webhooks(&self) -> DeliverySummary {
        webhooks::drain(&self.shared).await
    }

    /// The simulator's time in unix seconds.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        self.shared.world.lock().now_s()
    }

    /// Moves the clock on; what falls due on the way has happened when this returns.
    ///
    /// # Errors
    /// More than ten years at once.
    pub fn advance(&self, by: Duration) -> Result<(), ControlError> {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.shared.world.lock().advance_ms(by_ms)
    }

    /// Stops the clock at a time in unix seconds.
    pub fn freeze(&self, at_s: i64) {
        self.shared.world.lock().freeze(at_s);
    }

    /// How many requests came whose method and path fit, `POST` and `/v1/payment_intents*`.
    #[must_use]
    pub fn received(&self, method: &str, path: &str) -> u64 {
        let world = self.shared.world.lock();
        let pattern = format!("{method} {path}");
        let fitting =
            world.received.iter().filter(|(name, _)| crate::faults::is_like(name, &pattern));
        fitting.map(|(_, count)| count).sum()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

// === impl SpaceHandle ===

impl SpaceHandle {
    pub(crate) fn new(shared: &Arc<Shared>, account: &str, mode: Mode) -> SpaceHandle {
        SpaceHandle { shared: Arc::clone(shared), account: account.to_owned(), mode }
    }

    /// Makes a key that works only for paths that begin with one of these: `customers`, `payment_intents`.
    #[must_use]
    pub fn restricted_key(&self, paths: &[&str]) -> String {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.shared.world.lock().new_key(&self.account, self.mode, Power::Restricted(paths))
    }

    /// Makes another secret key; the ones before it go on working.
    #[must_use]
    pub fn secret_key(&self) -> String {
        self.shared.world.lock().new_key(&self.account, self.mode, Power::Secret)
    }

    /// Makes another publishable key.
    #[must_use]
    pub fn publishable_key(&self) -> String {
        self.shared.world.lock().new_key(&self.account, self.mode, Power::Publishable)
    }

    /// Registers a webhook endpoint and gives its signing secret.
    ///
    /// # Errors
    /// The URL is none that can be delivered to.
    pub fn add_webhook(&self, url: &str, events: &[&str]) -> Result<String, ControlError> {
        let params = Params::of(serde_json::json!({ "url": url, "enabled_events": events }));
        let endpoint =
            self.work(|space| resources::webhook_endpoints::create_with(space, &params))??;
        Ok(crate::object::text(&endpoint, "secret").to_owned())
    }

    /// Gives a webhook endpoint another secret; deliveries carry a signature for each.
    ///
    /// # Errors
    /// There is no such endpoint.
    pub fn roll_webhook_secret(&self, endpoint: &str) -> Result<String, ControlError> {
        Ok(self.work(|space| resources::webhook_endpoints::roll_secret(space, endpoint))??)
    }

    /// Sends an event to all endpoints again.
    ///
    /// # Errors
    /// There is no such event.
    pub fn redeliver(&self, event: &str) -> Result<(), ControlError> {
        self.shared.world.lock().redeliver(&self.account, self.mode, event)
    }

    /// All objects of a kind (`payment_intent`), the newest first.
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.read(|space| space.store.newest_first(kind).cloned().collect()).unwrap_or_default()
    }

    /// An object.
    #[must_use]
    pub fn object(&self, kind: &str, id: &str) -> Option<Value> {
        self.read(|space| space.store.get(kind, id).cloned()).flatten()
    }

    /// How often an endpoint did its work: `POST` and `/v1/payment_intents/{id}/confirm`. Replays do not count.
    #[must_use]
    pub fn executed(&self, method: &str, route: &str) -> u64 {
        let name = format!("{method} {route}");
        self.read(|space| space.executed.get(&name).copied()).flatten().unwrap_or_default()
    }

    /// How often each endpoint did its work, by `POST /v1/customers`.
    #[must_use]
    pub fn all_executed(&self) -> BTreeMap<String, u64> {
        self.read(|space| space.executed.clone()).unwrap_or_default()
    }

    /// What a customer paid in a currency; an empty customer is everybody who was none.
    #[must_use]
    pub fn taken(&self, customer: &str, currency: &str) -> Taken {
        let key = (customer.to_owned(), currency.to_owned());
        self.all_taken().get(&key).copied().unwrap_or_default()
    }

    /// What customers paid, by customer and currency.
    #[must_use]
    pub fn all_taken(&self) -> BTreeMap<(String, String), Taken> {
        self.shared.world.lock().taken(&self.account, self.mode)
    }

    /// Ends the authentication (3DS) that a PaymentIntent or SetupIntent waits for.
    ///
    /// # Errors
    /// There is no such intent, or it waits for nothing.
    pub fn authenticate(&self, intent: &str, is_passed: bool) -> Result<Value, ControlError> {
        Ok(self.work(|space| {
            if intent.starts_with("seti_") {
                resources::setup_intents::authenticate(space, intent, is_passed)
            } else {
                resources::payment_intents::authenticate(space, intent, is_passed)
            }
        })??)
    }

    /// Lets the bank answer now for a payment that is `processing`.
    ///
    /// # Errors
    /// There is no such payment, or it does not wait for a bank.
    pub fn settle_debit(&self, intent: &str, is_paid: bool) -> Result<Value, ControlError> {
        Ok(self.work(|space| resources::payment_intents::settle_as(space, intent, is_paid))??)
    }

    /// Works on the space as the clock does, not a request.
    pub(crate) fn work<T>(&self, work: impl FnOnce(&mut Space) -> T) -> Result<T, ControlError> {
        let mut world = self.shared.world.lock();
        let origin = world.own_origin();
        world.work(&self.account, self.mode, origin, work)
    }

    fn read<T>(&self, read: impl FnOnce(&Space) -> T) -> Option<T> {
        self.shared.world.lock().space(&self.account, self.mode).map(|space| read(space))
    }
}
