//! Who pays in and who asks for balances, from a machine of their own.
//!
//! Every payment is booked twice at once under one id, and repeated until its outcome is known: what a portal does whose answer
//! was lost. Balances are asked for all the time, of every node, with what each gateway believes.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tollgate_gateway::network::Dial;
use tollgate_ledger_store::ledger::Registration;
use tollgate_ledger_store::{Book, Catalogue, Clock, Ledger};
use tollgate_metering::account::Overspend;
use tollgate_metering::booking::Booking;
use tollgate_metering::{Money, Units};
use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tonic::transport::{Channel, Endpoint};

use crate::fleet::{NODE_PORT, node_name};
use crate::ground::{self, ACME, ADA, Ground, catalogue, eur};
use crate::network::SimDial;
use crate::schedule::NODES;
use crate::trace::Trace;

/// Between two looks at balances, and at what is to be booked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often at once one payment is booked.
const RIVALS: usize = 2;

/// What a gateway believes of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Belief {
    pub(crate) balance: Money,
    pub(crate) held: Money,
    pub(crate) not_durable: Units,
}

/// What a node tells of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) balance: Money,
    /// By gateway, of those that answered it.
    pub(crate) beliefs: BTreeMap<String, Belief>,
}

/// What people do beside paying.
#[derive(Debug, Clone)]
enum Deed {
    /// Decide on the overspend policy.
    Decide(Overspend),
    /// Retire an incarnation, as `tollgate ledger retire` does.
    Retire(Registration),
}

/// What people do and see.
pub(crate) struct People {
    ground: Rc<Ground>,
    trace: Rc<Trace>,
    queue: RefCell<VecDeque<(String, Money)>>,
    deeds: RefCell<VecDeque<Deed>>,
    /// Payments whose booking was answered, by id.
    pub(crate) booked: RefCell<BTreeMap<String, Money>>,
    /// Payments that were asked for.
    pub(crate) asked: RefCell<BTreeMap<String, Money>>,
    /// What each node told last, in answer to a question of which the answer came.
    pub(crate) seen: RefCell<BTreeMap<u64, Seen>>,
}

// === impl People ===

impl People {
    pub(crate) fn new(ground: &Rc<Ground>, trace: &Rc<Trace>) -> Rc<Self> {
        Rc::new(Self {
            ground: Rc::clone(ground),
            trace: Rc::clone(trace),
            queue: RefCell::default(),
            deeds: RefCell::default(),
            booked: RefCell::default(),
            asked: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// Pays in.
    pub(crate) fn pay(&self, cents: u64) {
        let id = format!("payment-{}", self.asked.borrow().len());
        let amount: Money = format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap();
        self.asked.borrow_mut().insert(id.clone(), amount);
        self.queue.borrow_mut().push_back((id, amount));
    }

    /// Decides on the wallet's overspend policy; of several decisions the last one holds.
    pub(crate) fn decide(&self, policy: Overspend) {
        self.deeds.borrow_mut().push_back(Deed::Decide(policy));
    }

    /// Retires an incarnation.
    pub(crate) fn retire(&self, registration: &Registration) {
        self.deeds.borrow_mut().push_back(Deed::Retire(registration.clone()));
    }

    /// Whether everything that was asked for is known to be done, but for payments.
    pub(crate) fn has_done(&self) -> bool {
        self.deeds.borrow().is_empty()
    }

    /// What was paid in and is known to be booked.
    pub(crate) fn paid(&self) -> Money {
        let booked = self.booked.borrow();
        booked.values().fold(Money::ZERO, |sum, amount| sum.plus(*amount).unwrap())
    }

    /// What was to be paid in, booked or not.
    pub(crate) fn owed(&self) -> Money {
        let asked = self.asked.borrow();
        asked.values().fold(Money::ZERO, |sum, amount| sum.plus(*amount).unwrap())
    }

    /// Works for ever.
    pub(crate) async fn work(self: Rc<Self>) {
        for node in 0..NODES {
            tokio::task::spawn_local(Rc::clone(&self).watch(node));
        }
        tokio::task::spawn_local(Rc::clone(&self).do_all());
        let road = self.ground.road_of_people();
        let ledger = Arc::clone(road) as Arc<dyn Ledger>;
        let clock: Arc<dyn Clock> = Arc::new(self.ground.time.clock(self.ground.began, 0));
        // Two portals: each with a book of its own, so that nothing but the ledger stands between them.
        let books: Vec<_> = (0..RIVALS)
            .map(|_| {
                let rates = catalogue(road) as Arc<_>;
                Rc::new(Book::new(Arc::clone(&ledger), rates, Arc::clone(&clock)))
            })
            .collect();
        loop {
            while let Some((id, amount)) = self.next() {
                for book in &books {
                    let booking = Rc::clone(&self).book(Rc::clone(book), id.clone(), amount);
                    tokio::task::spawn_local(booking);
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn next(&self) -> Option<(String, Money)> {
        self.queue.borrow_mut().pop_front()
    }

    async fn book(self: Rc<Self>, book: Rc<Book>, id: String, amount: Money) {
        let at = Clock::now(&self.ground.time.clock(self.ground.began, 0));
        let (by, reason) = ("portal".to_owned(), String::new());
        let booking = Booking { id: id.clone(), at, by, reason, is_forced: false };
        let developer = self.ground.developer;
        loop {
            match book.credit(ACME, developer, eur(), &booking, amount).await {
                Ok(booked) => {
                    self.trace.note(|| format!("{id} booked, again: {}", booked.is_repeated));
                    self.booked.borrow_mut().insert(id, amount);
                    return;
                }
                Err(error) => self.trace.note(|| format!("{id} not booked yet: {error}")),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Does what was asked for, for ever, one after the other, each until its outcome is known.
    async fn do_all(self: Rc<Self>) {
        let road = self.ground.road_of_people();
        let catalogue = catalogue(road);
        let clock: Arc<dyn Clock> = Arc::new(self.ground.time.clock(self.ground.began, 0));
        let rates = Arc::clone(&catalogue) as Arc<_>;
        let book = Book::new(Arc::clone(road) as Arc<dyn Ledger>, rates, clock);
        loop {
            sleep(LOOK_EVERY).await;
            let Some(deed) = self.deeds.borrow().front().cloned() else { continue };
            match self.attempt(&deed, &catalogue, &book).await {
                Ok(()) => {
                    self.trace.note(|| format!("{deed:?} is done"));
                    self.deeds.borrow_mut().pop_front();
                }
                Err(why) => self.trace.note(|| format!("{deed:?} not done yet: {why}")),
            }
        }
    }

    async fn attempt(&self, deed: &Deed, catalogue: &Catalogue, book: &Book) -> Result<(), String> {
        let now = Clock::now(&self.ground.time.clock(self.ground.began, 0));
        let (developer, wallet) = (self.ground.developer, self.ground.wallet);
        match deed {
            Deed::Decide(policy) => {
                let deciding = ground::decide(catalogue, developer, wallet, *policy, now);
                deciding.await.map_err(|error| error.to_string())
            }
            Deed::Retire(registration) => {
                let retired = Registration { retired_at: Some(now), ..registration.clone() };
                let road = self.ground.road_of_people();
                road.end_incarnation(&retired).await.map_err(|error| error.to_string())?;
                let retiring = book.retire(wallet, registration.incarnation);
                retiring.await.map(drop).map_err(|error| error.to_string())
            }
        }
    }

    /// Asks one node again and again.
    async fn watch(self: Rc<Self>, node: u64) {
        let mut balances = BalancesClient::new(channel(node));
        loop {
            sleep(LOOK_EVERY).await;
            let request = v1::GetBalanceRequest {
                organization: ACME.to_owned(),
                developer: ADA.to_owned(),
                currency: "EUR".to_owned(),
                with_gateways: true,
            };
            let asking = balances.get_balance(request);
            let answer = timeout(Duration::from_secs(2), asking).await;
            let seen =
                answer.ok().and_then(Result::ok).and_then(|answer| read(&answer.into_inner()));
            match seen {
                Some(seen) => self.seen.borrow_mut().insert(node, seen),
                None => self.seen.borrow_mut().remove(&node),
            };
        }
    }
}

fn channel(node: u64) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}:{NODE_PORT}", node_name(node)));
    let endpoint = endpoint
        .unwrap()
        .connect_timeout(Duration::from_secs(1))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1));
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| async move {
        SimDial.dial(&node_name(node), NODE_PORT).await.map(TokioIo::new)
    }))
}

fn read(answer: &v1::GetBalanceResponse) -> Option<Seen> {
    let money = |wire: &Option<v1::Money>| tollgate_proto::money("money", wire).ok();
    let [balance] = answer.balances.as_slice() else { return None };
    let views = balance.gateways.iter().filter_map(|gateway| gateway.view.as_ref());
    let beliefs = views.filter_map(|view| {
        let (balance, held) = (money(&view.balance)?, money(&view.held)?);
        let not_durable = tollgate_proto::units("not_durable", &view.not_durable).ok()?;
        Some((view.gateway.clone(), Belief { balance, held, not_durable }))
    });
    Some(Seen { balance: money(&balance.balance)?, beliefs: beliefs.collect() })
}
