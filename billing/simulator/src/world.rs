//! Everything the simulator knows, behind one lock: accounts, keys, time, faults, and deliveries that wait.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::clock::Clock;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::keys::{AccountKeys, Key, KeyRing, Mode, Power};
use crate::object::{flag, int, text};
use crate::resources;
use crate::settings::Settings;
use crate::space::{Origin, Space};
use crate::webhooks::{Delivery, Letter, WebhookFaults, secrets_of, sign};

/// Longest way that the clock is moved at once, in milliseconds: ten years.
const ADVANCE_MAX_MS: i64 = 10 * 366 * 24 * 3_600_000;

/// Money that one customer paid in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Sum of what was received.
    pub received: i64,
    /// Sum of what was given back by refunds.
    pub refunded: i64,
    /// Sum of what disputes hold or have taken.
    pub disputed: i64,
}

/// Why the simulator cannot do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such account, key or object.
    #[error("there is no {0}")]
    Missing(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
}

#[derive(Debug)]
struct Account {
    test: Space,
    live: Space,
    connected: BTreeSet<String>,
}

/// All there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) keys: KeyRing,
    pub(crate) faults: Faults,
    pub(crate) webhook_faults: WebhookFaults,
    pub(crate) rng: fastrand::Rng,
    /// How many requests came, by method and path as they were sent.
    pub(crate) received: BTreeMap<String, u64>,
    clock: Clock,
    accounts: BTreeMap<String, Account>,
    deliveries: Vec<Delivery>,
    base_url: String,
}

// === impl Taken ===

impl Taken {
    /// What is left with the merchant.
    #[must_use]
    pub fn net(&self) -> i64 {
        self.received - self.refunded - self.disputed
    }
}

// === impl World ===

impl World {
    pub(crate) fn new(settings: Settings, base_url: String) -> World {
        World {
            keys: KeyRing::default(),
            faults: Faults::default(),
            webhook_faults: WebhookFaults::default(),
            rng: fastrand::Rng::with_seed(settings.seed),
            received: BTreeMap::new(),
            clock: Clock::new(settings.frozen_at_s),
            accounts: BTreeMap::new(),
            deliveries: Vec::new(),
            settings,
            base_url,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.clock.now_ms().div_euclid(1000)
    }

    /// Opens an account with a pair of keys in each mode.
    pub(crate) fn open_account(&mut self, id: &str) -> AccountKeys {
        let (test, live) = (self.new_space(id, Mode::Test), self.new_space(id, Mode::Live));
        self.accounts.insert(id.to_owned(), Account { test, live, connected: BTreeSet::new() });
        let mut key = |mode, power| self.new_key(id, mode, power);
        AccountKeys {
            secret_test: key(Mode::Test, Power::Secret),
            publishable_test: key(Mode::Test, Power::Publishable),
            secret_live: key(Mode::Live, Power::Secret),
            publishable_live: key(Mode::Live, Power::Publishable),
            account: id.to_owned(),
        }
    }

    /// Makes another key.
    pub(crate) fn new_key(&mut self, account: &str, mode: Mode, power: Power) -> String {
        let random: String = (0..24).map(|_| self.rng.alphanumeric()).collect();
        let key = Key { account: account.to_owned(), mode, power, is_expired: false };
        self.keys.add(key, &random)
    }

    /// Expires a key and makes another of the same powers.
    pub(crate) fn roll_key(&mut self, value: &str) -> Result<String, ControlError> {
        let key =
            self.keys.expire(value).ok_or_else(|| ControlError::Missing("such key".to_owned()))?;
        Ok(self.new_key(&key.account, key.mode, key.power))
    }

    /// Lets one account act for another by `Stripe-Account`.
    pub(crate) fn connect(&mut self, platform: &str, connected: &str) -> Result<(), ControlError> {
        let missing = || ControlError::Missing(format!("account {platform}"));
        self.accounts.get_mut(platform).ok_or_else(missing)?.connected.insert(connected.to_owned());
        Ok(())
    }

    /// Whether an account may act for another.
    pub(crate) fn acts_for(&self, platform: &str, account: &str) -> bool {
        let is_connected = |own: &Account| own.connected.contains(account);
        platform == account
            || self.accounts.contains_key(account)
                && self.accounts.get(platform).is_some_and(is_connected)
    }

    pub(crate) fn space(&mut self, account: &str, mode: Mode) -> Option<&mut Space> {
        let account = self.accounts.get_mut(account)?;
        Some(match mode {
            Mode::Test => &mut account.test,
            Mode::Live => &mut account.live,
        })
    }

    /// Works on a space at the present time, and queues the webhooks that it causes.
    pub(crate) fn work<T>(
        &mut self,
        account: &str,
        mode: Mode,
        origin: Origin,
        work: impl FnOnce(&mut Space) -> T,
    ) -> Result<T, ControlError> {
        let now = self.now_s();
        let missing = || ControlError::Missing(format!("account {account}"));
        let space = self.space(account, mode).ok_or_else(missing)?;
        space.now = now;
        space.origin = origin;
        let done = work(space);
        self.queue(account, mode);
        Ok(done)
    }

    /// Where a change comes from that no request caused.
    pub(crate) fn own_origin(&self) -> Origin {
        Origin { version: self.settings.api_version.clone(), ..Origin::default() }
    }

    /// Does all work of agendas that is due, each at its time.
    pub(crate) fn tick(&mut self) {
        let now_s = self.now_s();
        let accounts: Vec<String> = self.accounts.keys().cloned().collect();
        for account in accounts {
            for mode in [Mode::Test, Mode::Live] {
                while let Some((at_s, due)) =
                    self.space(&account, mode).and_then(|space| space.agenda.take(now_s))
                {
                    let origin = self.own_origin();
                    let Some(space) = self.space(&account, mode) else { break };
                    space.now = at_s;
                    space.origin = origin;
                    resources::happen(space, due);
                    self.queue(&account, mode);
                }
            }
        }
    }

    /// Moves the clock on and does what falls due on the way.
    pub(crate) fn advance_ms(&mut self, by_ms: i64) -> Result<(), ControlError> {
        if !(0..=ADVANCE_MAX_MS).contains(&by_ms) {
            return Err(ControlError::Invalid(format!(
                "the clock moves from 0 to {ADVANCE_MAX_MS} ms at once, not {by_ms}"
            )));
        }
        self.clock.advance_ms(by_ms);
        self.tick();
        Ok(())
    }

    /// Stops the clock at a time.
    pub(crate) fn freeze(&mut self, at_s: i64) {
        self.clock.freeze_ms(at_s.saturating_mul(1000));
        self.tick();
    }

    /// Takes the deliveries that are due, or all, in the order they fell due.
    pub(crate) fn take_deliveries(&mut self, all: bool) -> Vec<Delivery> {
        if self.webhook_faults.is_held && !all {
            return Vec::new();
        }
        let now_ms = self.now_ms();
        let (mut taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.deliveries)
            .into_iter()
            .partition(|delivery| all || delivery.due_ms <= now_ms);
        self.deliveries = left;
        taken.sort_by_key(|delivery| delivery.due_ms);
        if self.webhook_faults.is_shuffled {
            self.rng.shuffle(&mut taken);
        }
        taken
    }

    /// What a delivery sends now; `None` where its endpoint is gone or disabled.
    pub(crate) fn letter(&mut self, delivery: &Delivery) -> Option<Letter> {
        let now_s = self.now_s();
        let origin = self.own_origin();
        let space = self.space(&delivery.account, delivery.mode)?;
        let endpoint = space.store.get("webhook_endpoint", &delivery.outgoing.endpoint)?;
        if text(endpoint, "status") != "enabled" {
            return None;
        }
        let event = space.store.get("event", &delivery.outgoing.event)?.clone();
        let version = text(endpoint, "api_version");
        let version = if version.is_empty() { origin.version.as_str() } else { version };
        let body = Bytes::from(crate::shape::event(event, version).to_string());
        let signature = sign(&secrets_of(endpoint), now_s, &body);
        Some(Letter { url: text(endpoint, "url").to_owned(), signature, body })
    }

    /// Whether the next attempt gets lost.
    pub(crate) fn loses_delivery(&mut self) -> bool {
        self.rng.u16(..1000) < self.webhook_faults.lose_permille
    }

    /// Notes what became of an attempt.
    pub(crate) fn note_delivery(&mut self, delivery: &Delivery, is_taken: bool) {
        if is_taken {
            if let Some(space) = self.space(&delivery.account, delivery.mode) {
                space.delivered(&delivery.outgoing);
            }
        } else if let Some(again) = delivery.retry(self.now_ms()) {
            self.deliveries.push(again);
        }
    }

    /// Queues an event once more for all endpoints that hear it.
    pub(crate) fn redeliver(
        &mut self,
        account: &str,
        mode: Mode,
        event: &str,
    ) -> Result<(), ControlError> {
        let space =
            self.space(account, mode).ok_or_else(|| ControlError::Missing(account.to_owned()))?;
        if !space.has("event", event) {
            return Err(ControlError::Missing(format!("event {event}")));
        }
        let endpoints: Vec<String> = space
            .store
            .newest_first("webhook_endpoint")
            .map(|one| text(one, "id").to_owned())
            .collect();
        for endpoint in endpoints {
            space.outbox.push(crate::events::Outgoing { endpoint, event: event.to_owned() });
        }
        self.queue(account, mode);
        Ok(())
    }

    /// What customers paid, by customer (empty for none) and currency.
    pub(crate) fn taken(&mut self, account: &str, mode: Mode) -> BTreeMap<(String, String), Taken> {
        let mut sums: BTreeMap<(String, String), Taken> = BTreeMap::new();
        let Some(space) = self.space(account, mode) else { return sums };
        for charge in space.store.newest_first("charge") {
            let key = (text(charge, "customer").to_owned(), text(charge, "currency").to_owned());
            let sum = sums.entry(key).or_default();
            if flag(charge, "captured") {
                sum.received += int(charge, "amount_captured");
                sum.refunded += int(charge, "amount_refunded");
                sum.disputed += int(charge, "_disputed");
            }
        }
        sums
    }

    fn new_space(&mut self, account: &str, mode: Mode) -> Space {
        let mut space = Space {
            account: account.to_owned(),
            mode,
            now: self.now_s(),
            origin: self.own_origin(),
            store: crate::store::Store::default(),
            idempotency: crate::idempotency::Idempotency::default(),
            agenda: crate::agenda::Agenda::default(),
            outbox: Vec::new(),
            executed: BTreeMap::new(),
            bank_debit_s: self.settings.bank_debit_s,
            after_failures: self.settings.after_failures,
            search_lag_s: self.settings.search_lag_s,
            base_url: self.base_url.clone(),
            rng: self.rng.fork(),
        };
        let account: Value = resources::accounts::of(&space);
        space.store.put(account);
        space
    }

    fn queue(&mut self, account: &str, mode: Mode) {
        let now_ms = self.now_ms();
        let Some(space) = self.space(account, mode) else { return };
        for outgoing in std::mem::take(&mut space.outbox) {
            let copies =
                if self.rng.u16(..1000) < self.webhook_faults.duplicate_permille { 2 } else { 1 };
            for _ in 0..copies {
                let wait_ms = self.rng.u64(..=self.webhook_faults.delay_max_ms);
                self.deliveries.push(Delivery {
                    account: account.to_owned(),
                    mode,
                    outgoing: outgoing.clone(),
                    attempts: 0,
                    due_ms: now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX)),
                });
            }
        }
    }
}

impl From<ApiError> for ControlError {
    fn from(refusal: ApiError) -> ControlError {
        let message = refusal.fields.get("message").and_then(Value::as_str).unwrap_or_default();
        ControlError::Invalid(message.to_owned())
    }
}
