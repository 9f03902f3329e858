//! Looks at every wallet all the time: what the ledger has, and what each gateway believes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::accounting::Account;
use crate::balances::{AskError, Node, Seen};
use crate::clock::Clock;
use crate::fleet::Place;
use crate::nanos::Nanos;
use crate::portal::Developer;
use crate::tally::Tally;
use crate::told::{History, Told};

/// Between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Looks that wait for an answer at a time; beyond it there are fewer.
const LOOKS_MAX: usize = 32;

/// All wallets at one moment, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When they were asked for.
    pub at: Duration,
    /// What the ledger has.
    pub ledger: Nanos,
    /// Of it, what gateways may spend, or may have spent, under grants.
    pub reserved: Nanos,
    /// What each gateway believes, in the order of their names in the run; none where it uses not every wallet or is away.
    pub gateways: Vec<Option<Nanos>>,
    /// The greatest age of what a gateway knows.
    pub staleness: Duration,
}

/// Whom to ask, about whom.
#[derive(Debug)]
pub struct Watcher {
    /// Where the nodes are.
    pub nodes: Vec<watch::Receiver<Place>>,
    /// The bearer token.
    pub token: String,
    /// Whose developers.
    pub organization: String,
    /// In which currency.
    pub currency: String,
    /// Who has wallets.
    pub developers: Arc<[Developer]>,
    /// Names of the gateways, in order.
    pub gateways: Vec<String>,
    /// The wallets' accounts, which hear of every balance.
    pub accounts: Arc<Mutex<Vec<Account>>>,
    /// Counts of the callers' side.
    pub tally: Arc<Tally>,
    /// What was told of each wallet's bound.
    pub told: Arc<Mutex<Vec<History>>>,
}

// === impl Watcher ===

impl Watcher {
    /// Looks until it is dropped, and hands over what it sees; a node that is away is passed over.
    ///
    /// A node waits up to a second for a gateway that does not answer, and then says what the others said at once: looks do
    /// not wait for each other, and are of when they were begun.
    pub async fn run(&self, clock: Clock, see: impl Fn(Sample)) {
        let nodes = Mutex::new(vec![None; self.nodes.len()]);
        let mut looks = FuturesUnordered::new();
        let mut due = Duration::ZERO;
        loop {
            tokio::select! {
                () = clock.until(due), if looks.len() < LOOKS_MAX => {
                    let at = clock.now();
                    due = (due + LOOK_INTERVAL).max(at);
                    let nodes = &nodes;
                    looks.push(async move { (at, self.look(nodes, clock).await) });
                }
                Some((at, seen)) = looks.next() => {
                    if let Some(seen) = seen {
                        see(self.sample(at, &seen));
                    }
                }
            }
        }
    }

    /// What every node says now, each of them; for the end of a run, when all must agree.
    ///
    /// # Errors
    /// The first that does not answer.
    pub async fn ask_all(&self, clock: Clock) -> Result<Vec<Vec<Seen>>, AskError> {
        let mut all = Vec::with_capacity(self.nodes.len());
        for place in &self.nodes {
            let url = place.borrow().url.clone();
            let node = Node::connect(&url, &self.token).await?;
            all.push(self.ask(&node, clock).await?);
        }
        Ok(all)
    }

    /// Asks the first node that answers.
    async fn look(
        &self,
        nodes: &Mutex<Vec<Option<(String, Node)>>>,
        clock: Clock,
    ) -> Option<Vec<Seen>> {
        for (index, place) in self.nodes.iter().enumerate() {
            let url = place.borrow().url.clone();
            if url.is_empty() {
                continue;
            }
            let known = nodes.lock()[index].clone().filter(|(of, _)| *of == url);
            let node = match known {
                Some((_, node)) => node,
                None => {
                    let Ok(node) = Node::connect(&url, &self.token).await else { continue };
                    nodes.lock()[index] = Some((url, node.clone()));
                    node
                }
            };
            match self.ask(&node, clock).await {
                Ok(seen) => return Some(seen),
                Err(_) => nodes.lock()[index] = None,
            }
        }
        None
    }

    async fn ask(&self, node: &Node, clock: Clock) -> Result<Vec<Seen>, AskError> {
        let asking = self.developers.iter().map(|developer| {
            let mut node = node.clone();
            async move { node.ask(&self.organization, &developer.email, &self.currency).await }
        });
        let seen = futures_util::future::try_join_all(asking).await?;
        let (at, mut accounts, mut told) = (clock.now(), self.accounts.lock(), self.told.lock());
        let wallets = accounts.iter_mut().zip(told.iter_mut()).zip(&seen);
        for (developer, ((account, history), seen)) in wallets.enumerate() {
            account.note_ledger(seen.ledger);
            history.note(Told {
                at,
                depth: account.depth(self.tally.answered(developer), seen.ledger),
                bound: seen.bound,
                is_promised: seen.is_bound_promised,
            });
        }
        Ok(seen)
    }

    fn sample(&self, at: Duration, seen: &[Seen]) -> Sample {
        let view = |name: &String| -> Option<Nanos> {
            let of = |seen: &Seen| {
                seen.gateways.iter().find(|view| view.gateway == *name).map(|view| view.balance)
            };
            seen.iter().map(of).sum::<Option<Nanos>>()
        };
        let ages = seen.iter().flat_map(|seen| seen.gateways.iter().map(|view| view.staleness));
        Sample {
            at,
            ledger: seen.iter().map(|seen| seen.ledger).sum(),
            reserved: seen.iter().map(|seen| seen.reserved).sum(),
            gateways: self.gateways.iter().map(view).collect(),
            staleness: ages.max().unwrap_or_default(),
        }
    }
}
