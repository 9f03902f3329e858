//! What a configuration file means, whichever of the three kinds it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tollgate_gateway::config::Proxy;
use tollgate_gateway::sync_client::SyncTls;
use tollgate_ledger_store::Role;

use crate::cli::{DoctorArgs, LedgerArgs};
use crate::config::file::{self, FileError};
use crate::config::gateway::GatewayFile;
use crate::config::node::NodeFile;
use crate::config::secret::SecretPlace;
use crate::config::standalone::StandaloneFile;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Gateway,
    Management,
    Sync,
    Metrics,
}

/// A port that a process listens on.
pub(super) struct Port {
    pub(super) what: Use,
    pub(super) address: SocketAddr,
    pub(super) is_tls: bool,
}

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
}

/// Everything that can be checked.
#[derive(Default)]
pub(super) struct Site {
    /// `standalone`, `gateway` or `balance-sync`.
    pub(super) kind: &'static str,
    pub(super) ports: Vec<Port>,
    pub(super) secrets: Vec<(String, SecretPlace)>,
    pub(super) pairs: Vec<Pair>,
    pub(super) authorities: Vec<PathBuf>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) data_dirs: Vec<PathBuf>,
    /// Which ledger, and the folder of it if it is on this machine.
    pub(super) ledger: Option<(LedgerArgs, Option<PathBuf>)>,
    /// Balance-sync nodes, and how they know a gateway.
    pub(super) nodes: Vec<String>,
    pub(super) node_token: Option<SecretPlace>,
    pub(super) node_tls: Option<SyncTls>,
    /// Where a paid call goes, and who may prepare it.
    pub(super) gateway: Option<String>,
    pub(super) management: Option<String>,
    pub(super) admin: Option<SecretPlace>,
}

// === impl Use ===

impl Use {
    pub(super) fn word(self) -> &'static str {
        match self {
            Use::Gateway => "gateway",
            Use::Management => "management",
            Use::Sync => "balance-sync",
            Use::Metrics => "metrics",
        }
    }
}

// === impl Site ===

impl Site {
    /// Reads and checks the file whole.
    pub(super) fn read(args: &DoctorArgs) -> Result<Site, FileError> {
        let text = std::fs::read_to_string(&args.config).unwrap_or_default();
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        // A file that is none of the three, or cannot be read, gets its error from the reader of one.
        let mut site = if table.contains_key("gateway") {
            Site::of_gateway(&file::load(&args.config)?)
        } else if table.contains_key("sync") || table.contains_key("ledger") {
            Site::of_node(&file::load(&args.config)?, &args.config)
        } else {
            Site::of_standalone(file::load(&args.config)?, args)
        };
        if args.gateway.is_some() {
            site.gateway.clone_from(&args.gateway);
        }
        if args.management.is_some() {
            site.management.clone_from(&args.management);
        }
        if let Some(path) = &args.token_file {
            site.admin = Some(SecretPlace::File(path.clone()));
        }
        Ok(site)
    }

    fn of_gateway(file: &GatewayFile) -> Site {
        let mut site = Site {
            kind: "gateway",
            proxies: file.proxy.clone(),
            data_dirs: vec![file.gateway.data_dir.clone()],
            nodes: file.sync.nodes.clone(),
            node_token: file.sync.token.clone(),
            node_tls: file.sync.tls.clone(),
            gateway: url(file.gateway.listen, file.gateway.tls.is_some()),
            ..Site::default()
        };
        site.port(Use::Gateway, file.gateway.listen, file.gateway.tls.is_some());
        site.port(Use::Metrics, file.metrics.listen, false);
        site.secrets.extend(file.sync.token.clone().map(|place| ("sync.token".to_owned(), place)));
        if let Some(tls) = &file.gateway.tls {
            site.pair(&tls.certificate_file, &tls.key_file);
        }
        if let Some(tls) = &file.sync.tls {
            site.authorities.push(tls.ca_file.clone());
            if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) {
                site.pair(certificate, key);
            }
        }
        let authorities = file.proxy.iter().filter_map(|proxy| proxy.upstream.ca_file.clone());
        site.authorities.extend(authorities);
        site
    }

    fn of_node(file: &NodeFile, path: &Path) -> Site {
        let folder = file.ledger.sqlite.as_ref().map(|sqlite| sqlite.folder.clone());
        let ledger = LedgerArgs { data_dir: None, file: None, config: Some(path.to_owned()) };
        let secret_of = |role| {
            let mut tokens = file.token.iter().filter(|token| token.role == role);
            tokens.find_map(|token| token.secret.clone())
        };
        let mut site = Site {
            kind: "balance-sync",
            data_dirs: folder.iter().cloned().collect(),
            ledger: Some((ledger, folder)),
            management: file.management.and_then(|section| url(section.listen, false)),
            admin: secret_of(Role::Admin),
            ..Site::default()
        };
        site.port(Use::Sync, file.sync.listen, file.sync.tls.is_some());
        site.port(Use::Metrics, file.metrics.listen, false);
        if let Some(section) = file.management {
            site.port(Use::Management, section.listen, false);
        }
        for token in &file.token {
            let place =
                token.secret.clone().map(|place| (format!("token {:?}", token.name), place));
            site.secrets.extend(place);
        }
        let password = file.ledger.cassandra.as_ref().and_then(|section| section.password.clone());
        site.secrets.extend(password.map(|place| ("ledger password".to_owned(), place)));
        if let Some(tls) = &file.sync.tls {
            site.pair(&tls.certificate_file, &tls.key_file);
            site.authorities.extend(tls.client_ca_file.clone());
        }
        site
    }

    fn of_standalone(mut file: StandaloneFile, args: &DoctorArgs) -> Site {
        if let Some(dir) = &args.data_dir {
            file.standalone.data_dir.clone_from(dir);
        }
        let section = &file.standalone;
        let dir = section.data_dir.clone();
        let ledger = LedgerArgs { data_dir: Some(dir.clone()), file: None, config: None };
        let admin = SecretPlace::File(dir.join("admin-token"));
        let mut site = Site {
            kind: "standalone",
            proxies: file.proxy.clone(),
            data_dirs: vec![dir.clone()],
            ledger: Some((ledger, Some(dir))),
            gateway: url(section.gateway_listen, false),
            management: url(section.management_listen, false),
            secrets: vec![("admin token".to_owned(), admin.clone())],
            admin: Some(admin),
            ..Site::default()
        };
        for address in section.gateway_addresses() {
            site.port(Use::Gateway, address, false);
        }
        site.port(Use::Management, section.management_listen, false);
        site.port(Use::Sync, section.sync_listen, false);
        site.port(Use::Metrics, section.metrics_listen, false);
        if section.demo {
            // Its upstream is in the process itself, at a port that no file names.
            let base_path = crate::demo::BASE_PATH.to_owned();
            site.proxies.push(Proxy { base_path, ..Proxy::new(crate::demo::PROXY, "") });
        }
        site
    }

    fn port(&mut self, what: Use, address: SocketAddr, is_tls: bool) {
        self.ports.push(Port { what, address, is_tls });
    }

    fn pair(&mut self, certificate_file: &Path, key_file: &Path) {
        let (certificate_file, key_file) = (certificate_file.to_owned(), key_file.to_owned());
        self.pairs.push(Pair { certificate_file, key_file });
    }
}

/// How something on this machine reaches what listens at an address; nothing for a port that is chosen at the start.
pub(super) fn url(address: SocketAddr, is_tls: bool) -> Option<String> {
    if address.port() == 0 {
        return None;
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    Some(crate::listen::url(SocketAddr::new(ip, address.port()), is_tls))
}
