//! Looks at every wallet all the time: what the ledger has, and what each gateway believes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::accounting::Account;
use crate::balances::{AskError, Node, Seen};
use crate::clock::Clock;
use crate::fleet::Place;
use crate::nanos::Nanos;
use crate::portal::Developer;

/// Between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// All wallets at one moment, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When the answers were there.
    pub at: Duration,
    /// What the ledger has.
    pub ledger: Nanos,
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
}

// === impl Watcher ===

impl Watcher {
    /// Looks until it is dropped, and hands over what it sees; a node that is away is passed over.
    pub async fn run(&self, clock: Clock, mut see: impl FnMut(Sample)) {
        let mut nodes = vec![None; self.nodes.len()];
        let mut due = Duration::ZERO;
        loop {
            clock.until(due).await;
            if let Some(seen) = self.look(&mut nodes).await {
                see(self.sample(clock.now(), &seen));
            }
            due = (due + LOOK_INTERVAL).max(clock.now());
        }
    }

    /// What every node says now, each of them; for the end of a run, when all must agree.
    ///
    /// # Errors
    /// The first that does not answer.
    pub async fn ask_all(&self) -> Result<Vec<Vec<Seen>>, AskError> {
        let mut all = Vec::with_capacity(self.nodes.len());
        for place in &self.nodes {
            let url = place.borrow().url.clone();
            let node = Node::connect(&url, &self.token).await?;
            all.push(self.ask(&node).await?);
        }
        Ok(all)
    }

    /// Asks the first node that answers.
    async fn look(&self, nodes: &mut [Option<(String, Node)>]) -> Option<Vec<Seen>> {
        for (place, known) in self.nodes.iter().zip(nodes) {
            let url = place.borrow().url.clone();
            if url.is_empty() {
                *known = None;
                continue;
            }
            if known.as_ref().is_none_or(|(of, _)| *of != url) {
                *known = Node::connect(&url, &self.token).await.ok().map(|node| (url, node));
            }
            let Some((_, node)) = known else { continue };
            match self.ask(node).await {
                Ok(seen) => return Some(seen),
                Err(_) => *known = None,
            }
        }
        None
    }

    async fn ask(&self, node: &Node) -> Result<Vec<Seen>, AskError> {
        let asking = self.developers.iter().map(|developer| {
            let mut node = node.clone();
            async move { node.ask(&self.organization, &developer.email, &self.currency).await }
        });
        let seen = futures_util::future::try_join_all(asking).await?;
        for (account, seen) in self.accounts.lock().iter_mut().zip(&seen) {
            account.note_ledger(seen.ledger);
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
            gateways: self.gateways.iter().map(view).collect(),
            staleness: ages.max().unwrap_or_default(),
        }
    }
}
