//! Incarnations: begun, rotated, ended.
//!
//! A new one is registered and listed before it takes calls. The one before it takes no further calls, keeps its open ones, and
//! is reported as final once they have ended and everything of it is durable; only then it leaves the list, and its units are
//! others' from the first snapshot under the shorter list on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tollgate_metering::protocol::OwnIncarnations;
use tollgate_metering::{Incarnation, UnixMillis};
use tollgate_proto::v1;
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{Hub, kept, restart};
use crate::clock::Clock;
use crate::spend_file::{SpendFile, SpendFileError, SpendFolder};
use crate::sync_client::connection::Stream;
use crate::sync_client::hub::report::Lines;
use crate::sync_client::nodes::NodeClient;

/// How long an incarnation takes calls.
pub(super) const ROTATE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a node may take to register an incarnation.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two rounds of asking every node.
const REGISTER_AGAIN: Duration = Duration::from_millis(500);

/// What became of an incarnation that was being registered.
#[derive(Debug)]
pub(super) enum Born {
    /// It has a birth; its file is new.
    New { file: SpendFile, registered: Registered },
    /// One that was used already has this birth in the ledger that serves now.
    Again { registered: Registered },
    /// Its file could not be made.
    Failed(SpendFileError),
}

/// A node's answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registered {
    /// When the node was asked, by the monotonic clock.
    asked: Duration,
    incarnation: Incarnation,
    generation: u32,
    service_time: UnixMillis,
}

// === impl Hub ===

impl Hub {
    /// Makes a new incarnation, out of a file that is there or else a new one.
    pub(super) fn begin_life(&mut self, file: Option<SpendFile>) {
        if std::mem::replace(&mut self.is_rotating, true) {
            return;
        }
        let (clients, gateway) = (self.parts.clients.clone(), self.parts.gateway.clone());
        let (folder, lives) = (self.parts.folder.clone(), self.lives.clone());
        let (disk, clock) = (self.parts.disk, Arc::clone(&self.parts.clock));
        tokio::spawn(async move {
            let made = match file {
                Some(file) => Ok(file),
                None => match disk.run(move || unborn(&folder)).await {
                    Some(made) => made,
                    None => return,
                },
            };
            let born = match made {
                Ok(file) => {
                    let id = file.incarnation().id;
                    let registered = register(&clients, id, &gateway, &*clock).await;
                    Born::New { file, registered }
                }
                Err(failure) => Born::Failed(failure),
            };
            // A hub that is gone needs no incarnation.
            lives.send(born).await.ok();
        });
    }

    /// Asks the ledger for an incarnation's birth again: it was restored to a time before it.
    pub(super) fn register_again(&mut self, incarnation: Uuid) {
        if !self.reregistering.insert(incarnation) {
            return;
        }
        warn!(%incarnation, "the ledger does not know this incarnation; it is registered again");
        let (clients, gateway) = (self.parts.clients.clone(), self.parts.gateway.clone());
        let (lives, clock) = (self.lives.clone(), Arc::clone(&self.parts.clock));
        tokio::spawn(async move {
            let registered = register(&clients, incarnation, &gateway, &*clock).await;
            lives.send(Born::Again { registered }).await.ok();
        });
    }

    pub(super) fn born(&mut self, born: Born) {
        match born {
            Born::New { file, registered } => {
                self.is_rotating = false;
                if self.heard(registered) {
                    self.start_life(file, registered);
                } else {
                    self.begin_life(Some(file));
                }
            }
            Born::Again { registered } => {
                let incarnation = registered.incarnation;
                self.reregistering.remove(&incarnation.id);
                if self.heard(registered) {
                    self.reborn(incarnation);
                } else {
                    self.register_again(incarnation.id);
                }
            }
            Born::Failed(failure) => {
                self.is_rotating = false;
                let failure = &failure as &dyn std::error::Error;
                error!(error = failure, "no new incarnation: the current one goes on");
            }
        }
    }

    /// Takes the time and the generation out of an answer, unless it took so long that it has to be
    /// asked for again: then it says so with `false`.
    fn heard(&mut self, registered: Registered) -> bool {
        let Registered { asked, service_time, .. } = registered;
        let now = self.now();
        if !self.sequence.hear_answer(service_time, asked, now) {
            warn!(after = ?now.saturating_sub(asked), "registration was answered too late");
            return false;
        }
        self.tell_time(now);
        if self.generation.is_some_and(|known| known < registered.generation) {
            self.hear_generation(registered.generation);
            self.health_changed();
        } else if self.generation.is_none() {
            // The first word of the ledger: files that acknowledge another one's receipts are reported whole.
            for kept in &mut self.kept {
                kept.match_generation(registered.generation);
            }
            self.generation = Some(registered.generation);
            self.block_kept();
        }
        true
    }

    fn start_life(&mut self, file: SpendFile, registered: Registered) {
        if self.drain.is_some() {
            return;
        }
        restart(&file, self.generation.unwrap_or(registered.generation));
        if let Err(failure) = file.set_born(registered.incarnation.born) {
            let failure = &failure as &dyn std::error::Error;
            error!(error = failure, "no new incarnation: its file cannot be written");
            return;
        }
        let lives = &self.parts.wallets.books.lives;
        let Some(life) = lives.add(Arc::new(file)).map(|own| own.life) else {
            error!("no new incarnation: this process had too many");
            return;
        };
        self.own.listed.push(life);
        self.own.began = self.now();
        self.list_changed();
        info!(incarnation = %registered.incarnation, "incarnation takes calls");
        self.parts.wallets.books.lives.switch(Some(life));
    }

    fn reborn(&mut self, incarnation: Incarnation) {
        let lives = self.parts.wallets.books.lives.all().map(|own| &own.file);
        let files: Vec<_> =
            lives.chain(self.kept.iter().map(|kept| &kept.file)).map(Arc::clone).collect();
        for file in files.iter().filter(|file| file.incarnation().id == incarnation.id) {
            if let Err(failure) = file.set_born(incarnation.born) {
                let failure = &failure as &dyn std::error::Error;
                error!(error = failure, "spend file keeps its old birth");
            }
        }
        self.list_changed();
    }

    /// Numbers the list anew and tells every node, before any report of a new incarnation on the same stream.
    fn list_changed(&mut self) {
        self.own.number += 1;
        self.own.since = self.now();
        let own = self.own_list();
        let newest = own.incarnations.last().copied();
        let hello = newest.map(|incarnation| v1::Hello {
            incarnation: Some(incarnation.into()),
            gateway: self.parts.gateway.clone(),
            own: Some((&own).into()),
            staleness_limit_ms: self.staleness_limit_ms(),
        });
        self.hello.send_replace(hello);
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_up() && !self.nodes[node].send(ToNode::Own((&own).into())) {
                // It must not miss the list: the next stream says it in its hello.
                self.end_stream(node);
            }
        }
    }

    /// Tells a stream whose hello had an older list.
    pub(super) fn tell_own(&self, stream: &Stream) {
        let own = ToNode::Own((&self.own_list()).into());
        if stream.sender.try_send(v1::GatewayMessage { message: Some(own) }).is_err() {
            stream.end.cancel();
        }
    }

    fn staleness_limit_ms(&self) -> u32 {
        let limit = self.parts.wallets.books.staleness_limit;
        u32::try_from(limit.as_millis()).unwrap_or(u32::MAX)
    }

    fn own_list(&self) -> OwnIncarnations {
        let lives = &self.parts.wallets.books.lives;
        let listed = self.own.listed.iter().map(|life| lives.get(*life).file.incarnation());
        OwnIncarnations { number: self.own.number, incarnations: listed.collect() }
    }

    /// Reports incarnations as final that take no calls, have none open, and are durable.
    pub(super) fn end_lives(&mut self) {
        let lives = &self.parts.wallets.books.lives;
        let current = lives.current().map(|own| own.life);
        let ended: Vec<_> = self
            .own
            .listed
            .iter()
            .filter(|life| Some(**life) != current && !self.finals.contains(life))
            .map(|life| lives.get(*life))
            .filter(|own| own.open_calls() == 0 && own.file.is_settled())
            .map(|own| (own.life, Arc::clone(&own.file)))
            .collect();
        for (life, file) in ended {
            let Some(node) = self.nodes.iter().position(|node| node.is_up()) else { return };
            self.finals.insert(life);
            self.send(node, &file, Lines::default(), true, self.now());
        }
    }

    /// An incarnation's final report is durable: its units are others' from now on.
    pub(super) fn ended(&mut self, file: &Arc<SpendFile>) {
        let unix = self.unix();
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.is_of(file)) {
            return kept.settle(unix);
        }
        let lives = &self.parts.wallets.books.lives;
        let Some(own) = lives.all().find(|own| Arc::ptr_eq(&own.file, file)) else { return };
        // A unit that came after the final report is reported yet: the file must be settled again.
        self.finals.remove(&own.life);
        if own.open_calls() > 0 || !file.is_settled() {
            return;
        }
        let life = own.life;
        self.own.listed.retain(|listed| *listed != life);
        let mut kept = kept::Kept::ended(Arc::clone(file));
        kept.settle(unix);
        self.kept.push(kept);
        info!(incarnation = %file.incarnation(), "incarnation ended; everything of it is durable");
        self.list_changed();
    }

    /// Whether somebody waits for everything to be durable, and it is: he is told.
    pub(super) fn is_drained(&mut self) -> bool {
        let is_done = self.drain.is_some()
            && self.own.listed.is_empty()
            && self.kept.iter().all(kept::Kept::is_settled);
        if let Some(done) = self.drain.take_if(|_| is_done) {
            // Who waits may have given up.
            done.send(()).ok();
        }
        is_done
    }
}

/// The file of an incarnation that has no birth yet.
pub(crate) fn unborn(folder: &SpendFolder) -> Result<SpendFile, SpendFileError> {
    folder.create(Incarnation { born: UnixMillis(0), id: Uuid::new_v4() }, 0)
}

/// Asks every node in turn until one registers the incarnation.
async fn register(
    clients: &[NodeClient],
    id: Uuid,
    gateway: &str,
    clock: &dyn Clock,
) -> Registered {
    loop {
        for client in clients {
            let request = v1::RegisterRequest {
                incarnation_id: id.as_bytes().to_vec(),
                gateway: gateway.to_owned(),
            };
            let asked = clock.monotonic();
            let answer = timeout(REGISTER_TIMEOUT, client.sync().register(request)).await;
            let failure = match answer.map(|answer| answer.map(tonic::Response::into_inner)) {
                Ok(Ok(answer)) => match read(&answer, asked) {
                    Ok(registered) => return registered,
                    Err(unreadable) => unreadable.to_line(),
                },
                Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
                Err(_) => "no answer in time".to_owned(),
            };
            warn!(address = client.address(), error = failure, "incarnation is not registered yet");
        }
        sleep(REGISTER_AGAIN).await;
    }
}

fn read(
    answer: &v1::RegisterResponse,
    asked: Duration,
) -> Result<Registered, tollgate_proto::WireError> {
    Ok(Registered {
        asked,
        incarnation: tollgate_proto::incarnation("incarnation", &answer.incarnation)?,
        generation: answer.generation,
        service_time: UnixMillis(answer.service_time_ms),
    })
}
