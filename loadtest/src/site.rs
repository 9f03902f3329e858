//! Where a run takes place: a fleet of its own, or processes that run somewhere already.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::fleet::{ADMIN_TOKEN, Fleet, FleetError, PATH, PROXY, Place};
use crate::portal::Portal;
use crate::scenario::{Scenario, TargetSection};
use crate::upstream::Upstream;

/// Gateways and nodes to talk to.
#[derive(Debug)]
pub struct Site {
    /// Every gateway by name, and where it is.
    pub gateways: Vec<(String, watch::Receiver<Place>)>,
    /// Every balance-sync node, and where it is.
    pub nodes: Vec<watch::Receiver<Place>>,
    /// The path that is called.
    pub path: String,
    /// What gateways call the proxy that it is below.
    pub proxy: String,
    /// A token that may manage and read balances.
    pub token: String,
    /// The processes, where they are the run's own.
    pub fleet: Option<Fleet>,
    _upstream: Option<Upstream>,
}

/// Why there is nothing to talk to.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The fleet does not serve.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The upstream has no port.
    #[error("cannot start an upstream")]
    Upstream(#[source] std::io::Error),
    /// The token of a target cannot be read.
    #[error("cannot read target.token_file {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

// === impl Site ===

impl Site {
    /// Starts what the scenario says, with its files in `folder`; or looks up what runs.
    ///
    /// # Errors
    /// [`SiteError`]; nothing is left running.
    pub async fn start(
        scenario: &Scenario,
        binary: &Path,
        folder: &Path,
    ) -> Result<Self, SiteError> {
        let (Some(section), _) = (&scenario.fleet, &scenario.target) else {
            let target = scenario.target.as_ref().expect("a checked scenario has one of the two");
            return Self::of_target(target);
        };
        let upstream = Upstream::start().await.map_err(SiteError::Upstream)?;
        let fleet = Fleet::start(section, binary, folder, &upstream.url).await?;
        Ok(Self {
            gateways: fleet.gateways(),
            nodes: fleet.nodes(),
            path: PATH.to_owned(),
            proxy: PROXY.to_owned(),
            token: ADMIN_TOKEN.to_owned(),
            fleet: Some(fleet),
            _upstream: Some(upstream),
        })
    }

    fn of_target(target: &TargetSection) -> Result<Self, SiteError> {
        let token = std::fs::read_to_string(&target.token_file)
            .map_err(|source| SiteError::Token { path: target.token_file.clone(), source })?;
        let place = |url: &String| {
            let place = Place { url: url.clone(), management: target.management.clone() };
            watch::Sender::new(place).subscribe()
        };
        let gateways = target.gateways.iter().enumerate();
        Ok(Self {
            gateways: gateways.map(|(n, url)| (format!("gateway-{}", n + 1), place(url))).collect(),
            nodes: target.nodes.iter().map(place).collect(),
            path: target.path.clone(),
            proxy: target.proxy.clone(),
            token: token.trim().to_owned(),
            fleet: None,
            _upstream: None,
        })
    }

    /// The management API of the first node that is up.
    #[must_use]
    pub fn portal(&self, organization: &str) -> Portal {
        let places = self.nodes.iter().map(|node| node.borrow().management.clone());
        Portal {
            url: places.into_iter().find(|url| !url.is_empty()).unwrap_or_default(),
            token: self.token.clone(),
            organization: organization.to_owned(),
        }
    }
}
