//! One thread that carries calls.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connection::{self, Servers};
use super::watch_list::{Patience, Registry};
use super::{Dealt, Shared};
use crate::admission::Admission;
use crate::proxy::Core;
use crate::trace_context::Tracer;

/// How often a draining worker looks whether it is done.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// One thread's part of the gateway.
#[derive(Debug)]
pub(crate) struct Worker<A> {
    shared: Arc<Shared<A>>,
}

// === impl Worker ===

impl<A: Admission> Worker<A> {
    pub(crate) fn new(shared: Arc<Shared<A>>) -> Self {
        Self { shared }
    }

    /// Says whether it could start; then serves the clients that are dealt to it until it has drained, or nobody deals any
    /// more.
    pub(crate) fn run(
        self,
        clients: mpsc::UnboundedReceiver<Dealt>,
        draining: watch::Receiver<bool>,
        started: oneshot::Sender<io::Result<()>>,
    ) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (runtime, told) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Nobody hears it where the server was dropped meanwhile; then nobody deals either.
        let _ = started.send(told);
        if let Some(runtime) = runtime {
            let core = runtime.block_on(self.serve(clients, draining));
            // What is still open is cut with the runtime: its holds are released, and it is counted.
            drop(runtime);
            core.metrics.flush();
        }
    }

    pub(super) async fn serve(
        self,
        mut clients: mpsc::UnboundedReceiver<Dealt>,
        mut draining: watch::Receiver<bool>,
    ) -> Rc<Core> {
        let shared = &self.shared;
        let limits = &shared.limits;
        let core = Core::new(
            Arc::clone(&shared.routes),
            &shared.connectors,
            &shared.metrics,
            limits.clone(),
            Tracer::new(shared.spans.clone()),
            shared.workers,
        );
        let servers = Rc::new(Servers::new(limits));
        let registry = Rc::new(Registry::default());
        let patience = Patience::new(limits);
        let mut look = interval(patience.look_every(core.routes.shortest_limit()));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain_end = None;
        loop {
            if let Some(end) = drain_end
                && (core.metrics.open() == 0 && registry.is_empty() || Instant::now() >= end)
            {
                break;
            }
            tokio::select! {
                dealt = clients.recv() => match dealt {
                    Some(dealt) => {
                        let admission = Arc::clone(&shared.admission);
                        let serving = connection::serve(
                            Rc::clone(&core), admission, Rc::clone(&servers), Rc::clone(&registry), dealt,
                        );
                        tokio::task::spawn_local(serving);
                    }
                    // The server's future was dropped.
                    None => break,
                },
                _ = look.tick() => {
                    registry.look(patience);
                    core.sweep();
                }
                changed = draining.changed(), if drain_end.is_none() => {
                    if changed.is_err() {
                        break;
                    }
                    drain_end = Some(Instant::now() + Duration::from_millis(limits.drain_timeout_ms));
                    registry.drain();
                    look = interval(DRAIN_LOOK_EVERY);
                }
            }
        }
        core
    }
}
