//! The wire between gateways and one balance-sync node, which can be cut.
//!
//! A gateway chooses the node of a wallet by the node's address, so all gateways must know a node by the same one: there is
//! one wire a node, and whose connection it carries is found by the process that owns its other end. A cut holds bytes back
//! and does not close anything, as a network that loses them does; each way can be cut alone. A node that comes back on
//! another port keeps its address on this side.
//!
//! Bounds: a way that is cut holds back what the system's socket buffers and one buffer take.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::peer;

/// Bytes carried at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Which way a cut holds back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Nothing passes.
    #[default]
    Both,
    /// What the gateway says does not reach the node.
    ToNode,
    /// What the node says does not reach the gateway.
    ToGateway,
}

/// Which ways are cut now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cut {
    to_node: bool,
    to_gateway: bool,
}

/// The processes of gateways by name; a gateway that was restarted has another.
pub type Owners = Arc<Mutex<HashMap<String, u32>>>;

/// The wire to one node; it ends when it is dropped.
#[derive(Debug)]
pub struct Link {
    /// Where gateways connect: `http://host:port`, for as long as the link is there.
    pub url: String,
    node: Arc<watch::Sender<Option<SocketAddr>>>,
    cuts: Arc<HashMap<String, watch::Sender<Cut>>>,
    _serving: AbortOnDropHandle<()>,
}

// === impl Link ===

impl Link {
    /// A wire that `gateways` may use; it leads nowhere yet.
    ///
    /// # Errors
    /// The system's, where no port can be had.
    pub async fn start(gateways: &[String], owners: Owners) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let cuts = gateways.iter().map(|name| (name.clone(), watch::Sender::new(Cut::default())));
        let cuts = Arc::new(cuts.collect::<HashMap<_, _>>());
        let node = Arc::new(watch::Sender::new(None));
        let serving = tokio::spawn(serve(listener, Arc::clone(&node), Arc::clone(&cuts), owners));
        Ok(Self { url, node, cuts, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Leads to a node from now on, or nowhere.
    pub fn lead_to(&self, node: Option<SocketAddr>) {
        self.node.send_replace(node);
    }

    /// Cuts a gateway off, or lets it through again, one way or both.
    pub fn set_cut(&self, gateway: &str, way: Way, is_cut: bool) {
        if let Some(cut) = self.cuts.get(gateway) {
            cut.send_modify(|cut| match way {
                Way::Both => *cut = Cut { to_node: is_cut, to_gateway: is_cut },
                Way::ToNode => cut.to_node = is_cut,
                Way::ToGateway => cut.to_gateway = is_cut,
            });
        }
    }
}

async fn serve(
    listener: TcpListener,
    node: Arc<watch::Sender<Option<SocketAddr>>>,
    cuts: Arc<HashMap<String, watch::Sender<Cut>>>,
    owners: Owners,
) {
    while let Ok((gateway, from)) = listener.accept().await {
        let (Some(to), Ok(here)) = (*node.borrow(), gateway.local_addr()) else { continue };
        let (cuts, owners) = (Arc::clone(&cuts), Arc::clone(&owners));
        // Ends with either of its ends.
        tokio::spawn(async move {
            let owners = owners.lock().clone();
            let owner = tokio::task::spawn_blocking(move || peer::owner(from, here, &owners)).await;
            // Who is no gateway is never cut off.
            let cut = match owner.ok().flatten().and_then(|name| cuts.get(&name)) {
                Some(cut) => cut.subscribe(),
                None => watch::Sender::new(Cut::default()).subscribe(),
            };
            carry(gateway, to, cut).await;
        });
    }
}

async fn carry(gateway: TcpStream, to: SocketAddr, cut: watch::Receiver<Cut>) {
    let Ok(node) = TcpStream::connect(to).await else { return };
    // A stream that is gone says so when it is used.
    let _ = (gateway.set_nodelay(true), node.set_nodelay(true));
    let ((gateway_says, to_gateway), (node_says, to_node)) =
        (gateway.into_split(), node.into_split());
    let (up, down) = (cut.clone(), cut);
    tokio::select! {
        () = pass(gateway_says, to_node, up, |cut| cut.to_node) => {}
        () = pass(node_says, to_gateway, down, |cut| cut.to_gateway) => {}
    }
}

/// Passes bytes one way until an end closes; holds them back while the way is cut.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cut: watch::Receiver<Cut>,
    is_cut: impl Fn(&Cut) -> bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        // Without a sender nobody can cut any more.
        let _ = cut.wait_for(|cut| !is_cut(cut)).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
