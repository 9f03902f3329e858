//! The processes of a run on this machine: gateways and balance-sync nodes over one SQLite file, wired by links.
//!
//! Every part listens on port 0 and says where in its `ready` line; a part that is started again has new ports, which callers
//! and links are told. All that a run writes is in one folder. Dropped, the fleet kills what still runs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::sync::{Mutex, watch};

use crate::link::{Link, Owners, Way};
use crate::process::{Process, ProcessError};
use crate::scenario::FleetSection;

/// What gateways call the proxy that costs money.
pub const PROXY: &str = "calls";
/// A path below it.
pub const PATH: &str = "/calls/1";
/// What the fleet knows its operator by; it listens on this machine only.
pub const ADMIN_TOKEN: &str = "loadtest-admin";
const GATEWAY_TOKEN: &str = "loadtest-gateway";

/// Where a part is now; empty while it is down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `http://host:port` of a gateway's callers, or of a node's gRPC.
    pub url: String,
    /// `http://host:port` of a node's management API.
    pub management: String,
}

/// A gateway or a node.
#[derive(Debug)]
struct Part {
    name: String,
    process: Mutex<Option<Process>>,
    place: watch::Sender<Place>,
}

/// Everything that was started.
#[derive(Debug)]
pub struct Fleet {
    binary: PathBuf,
    folder: PathBuf,
    gateways: Vec<Part>,
    nodes: Vec<Part>,
    links: Vec<Link>,
    owners: Owners,
}

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A file or a port cannot be had.
    #[error("cannot prepare the fleet in {}", folder.display())]
    Prepare {
        /// Its folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A part does not serve.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

// === impl Fleet ===

impl Fleet {
    /// Starts nodes, all at once, then gateways, all at once, before one upstream.
    ///
    /// # Errors
    /// [`FleetError`]; nothing is left running.
    pub async fn start(
        section: &FleetSection,
        binary: &Path,
        folder: &Path,
        upstream: &str,
    ) -> Result<Self, FleetError> {
        let failed = |source| FleetError::Prepare { folder: folder.to_owned(), source };
        let names = |kind: &str, count| (1..=count).map(|n| format!("{kind}-{n}")).collect();
        let gateway_names: Vec<String> = names("gateway", section.gateways);
        let node_names: Vec<String> = names("node", section.nodes);
        let owners = Owners::default();
        let mut links = Vec::with_capacity(node_names.len());
        for _ in &node_names {
            let link = Link::start(&gateway_names, std::sync::Arc::clone(&owners)).await;
            links.push(link.map_err(failed)?);
        }
        let urls: Vec<String> = links.iter().map(|link| link.url.clone()).collect();
        write_files(folder, section, &gateway_names, &node_names, &urls, upstream)
            .map_err(failed)?;
        let part = |name: String| Part {
            name,
            process: Mutex::new(None),
            place: watch::Sender::new(Place::default()),
        };
        let fleet = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            gateways: gateway_names.into_iter().map(part).collect(),
            nodes: node_names.into_iter().map(part).collect(),
            links,
            owners,
        };
        for parts in [&fleet.nodes, &fleet.gateways] {
            let starting = parts.iter().map(|part| fleet.start_part(part));
            futures_util::future::try_join_all(starting).await?;
        }
        Ok(fleet)
    }

    /// Where each gateway is, in the order of their numbers, as that changes.
    #[must_use]
    pub fn gateways(&self) -> Vec<(String, watch::Receiver<Place>)> {
        self.gateways.iter().map(|part| (part.name.clone(), part.place.subscribe())).collect()
    }

    /// Where each node is, as that changes.
    #[must_use]
    pub fn nodes(&self) -> Vec<watch::Receiver<Place>> {
        self.nodes.iter().map(|part| part.place.subscribe()).collect()
    }

    /// Kills a part with SIGKILL. One that is down stays down.
    pub async fn kill(&self, name: &str) {
        let Some(part) = self.part(name) else { return };
        if let Some(process) = part.process.lock().await.take() {
            process.kill();
        }
        if let Some(link) = self.link(name) {
            link.lead_to(None);
        }
        part.place.send_replace(Place::default());
    }

    /// Starts a part again, with the data that it had, and waits until it serves.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub async fn restart(&self, name: &str) -> Result<(), ProcessError> {
        match self.part(name) {
            Some(part) => self.start_part(part).await,
            None => Ok(()),
        }
    }

    /// Cuts a gateway and a node off each other, or lets them hear each other again.
    pub fn set_cut(&self, gateway: &str, node: &str, way: Way, is_cut: bool) {
        if let Some(link) = self.link(node) {
            link.set_cut(gateway, way, is_cut);
        }
    }

    async fn start_part(&self, part: &Part) -> Result<(), ProcessError> {
        let mut process = part.process.lock().await;
        let file = |ending: &str| self.folder.join(format!("{}.{ending}", part.name));
        let is_node = self.link(&part.name).is_some();
        let command = if is_node { "balance-sync" } else { "gateway" };
        let (config, log) = (file("toml"), file("log"));
        let args = [command, "--config", &config.to_string_lossy()];
        let starting = Process::start(&self.binary, &args, &part.name, &log, |id| {
            if !is_node {
                self.owners.lock().insert(part.name.clone(), id);
            }
        });
        let started = starting.await?;
        let url = started.text(if is_node { "sync" } else { "gateway" }).to_owned();
        if let Some(link) = self.link(&part.name) {
            let address: Option<SocketAddr> = url.trim_start_matches("http://").parse().ok();
            link.lead_to(address);
        }
        part.place.send_replace(Place { url, management: started.text("management").to_owned() });
        *process = Some(started);
        Ok(())
    }

    fn part(&self, name: &str) -> Option<&Part> {
        self.gateways.iter().chain(&self.nodes).find(|part| part.name == name)
    }

    /// The wire to a node.
    fn link(&self, name: &str) -> Option<&Link> {
        let place = self.nodes.iter().position(|part| part.name == name)?;
        self.links.get(place)
    }
}

fn write_files(
    folder: &Path,
    section: &FleetSection,
    gateways: &[String],
    nodes: &[String],
    urls: &[String],
    upstream: &str,
) -> std::io::Result<()> {
    let ledger = folder.join("ledger");
    std::fs::create_dir_all(&ledger)?;
    for (name, token) in [("admin-token", ADMIN_TOKEN), ("gateway-token", GATEWAY_TOKEN)] {
        std::fs::write(folder.join(name), token)?;
    }
    for name in nodes {
        std::fs::write(folder.join(format!("{name}.toml")), node_config(folder, &ledger, section))?;
    }
    for name in gateways {
        let text = gateway_config(folder, name, section, urls, upstream);
        std::fs::write(folder.join(format!("{name}.toml")), text)?;
    }
    Ok(())
}

fn node_config(folder: &Path, ledger: &Path, gateways: &FleetSection) -> String {
    let mut text = format!(
        "[ledger.sqlite]\nfolder = {ledger:?}\n\
         [exposure]\nsync_interval_min_ms = {sync}\nsync_interval_max_ms = {sync}\nstaleness_limit_ms = {staleness}\n",
        sync = gateways.sync_interval_ms,
        staleness = gateways.staleness_limit_ms,
    );
    for section in ["sync", "management", "metrics"] {
        let _ = write!(text, "[{section}]\nlisten = \"127.0.0.1:0\"\n");
    }
    for role in ["gateway", "admin"] {
        let file = folder.join(format!("{role}-token"));
        let _ = write!(
            text,
            "[[token]]\nname = {role:?}\nsecret = {{ file = {file:?} }}\nrole = {role:?}\n"
        );
    }
    text
}

fn gateway_config(
    folder: &Path,
    name: &str,
    section: &FleetSection,
    nodes: &[String],
    upstream: &str,
) -> String {
    format!(
        "[gateway]\nname = {name:?}\nlisten = \"127.0.0.1:0\"\ndata_dir = {data:?}\n\
         [sync]\nnodes = {nodes:?}\ntoken = {{ file = {token:?} }}\n\
         [wallets]\nsync_interval_ms = {sync}\nstaleness_limit_ms = {staleness}\n\
         [limits]\nworkers = 1\n\
         [metrics]\nlisten = \"127.0.0.1:0\"\n\
         [[proxy]]\nname = {PROXY:?}\nbase_path = \"/{PROXY}\"\ntarget = {upstream:?}\n",
        data = folder.join(name),
        token = folder.join("gateway-token"),
        sync = section.sync_interval_ms,
        staleness = section.staleness_limit_ms,
    )
}
