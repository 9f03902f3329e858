//! `tollgate standalone`: everything has a default, a file may say otherwise, and the command line has the last word.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tollgate_balance_sync::ExposureTerms;
use tollgate_gateway::config::{Limits, Proxy};
use tollgate_gateway::sync_client::SyncSettings;
use tollgate_metering::Units;
use tollgate_metering::node::need::Bounds;

use super::billing::BillingSection;
use super::file::{Checked, Problem};
use super::gateway::{WalletsSection, check_proxies};
use super::sections::{JwtSection, LogSection, jwt_settings};
use crate::cli::StandaloneArgs;
use crate::telemetry::TelemetryConfig;

/// Gateways in one process at most.
const GATEWAY_COUNT_MAX: usize = 16;

/// The name of the demo's proxy, which no other may have while there is a demo.
pub(crate) const DEMO_PROXY: &str = crate::demo::PROXY;

/// What a file may say of a process that runs everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StandaloneFile {
    /// Where things are.
    pub(crate) standalone: StandaloneSection,
    /// How gateways keep wallets.
    pub(crate) wallets: WalletsSection,
    /// What each gateway takes at most.
    pub(crate) limits: Limits,
    /// Proxies beside the demo's.
    pub(crate) proxy: Vec<Proxy>,
    /// Whose JWTs the management API takes beside the admin token.
    pub(crate) jwt: Option<JwtSection>,
    /// Whether and how organizations bill with Stripe.
    pub(crate) billing: Option<BillingSection>,
    /// Where traces and metrics are sent.
    pub(crate) telemetry: TelemetryConfig,
    /// How log lines look.
    pub(crate) log: LogSection,
}

/// `[standalone]`: what the command line can say as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StandaloneSection {
    /// Where the ledger, the spend files and the admin token are.
    pub(crate) data_dir: PathBuf,
    /// Where callers connect.
    pub(crate) gateway_listen: SocketAddr,
    /// Where the management API is.
    pub(crate) management_listen: SocketAddr,
    /// Where balance-sync and balances over gRPC are.
    pub(crate) sync_listen: SocketAddr,
    /// Where metrics and health are.
    pub(crate) metrics_listen: SocketAddr,
    /// How many gateways run.
    pub(crate) gateways: usize,
    /// Whether there is a demo to call.
    pub(crate) demo: bool,
    /// What the ledger file may grow to, in pages of 4096 bytes; absent: the disk.
    pub(crate) ledger_pages_max: Option<u32>,
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

// === impl StandaloneSection ===

impl Default for StandaloneSection {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./tollgate-data"),
            gateway_listen: local(8080),
            management_listen: local(8081),
            sync_listen: local(8082),
            metrics_listen: local(9464),
            gateways: 1,
            demo: true,
            ledger_pages_max: None,
        }
    }
}

impl StandaloneSection {
    /// Where each gateway listens: the given port and the next ones that no other part of this process was given. Port 0
    /// stays 0: each takes a free one.
    pub(crate) fn gateway_addresses(&self) -> Vec<SocketAddr> {
        let others = [self.management_listen, self.sync_listen, self.metrics_listen];
        let first = self.gateway_listen;
        if first.port() == 0 {
            return vec![first; self.gateways];
        }
        (first.port()..=u16::MAX)
            .filter(|port| {
                *port == first.port() || !others.iter().any(|other| other.port() == *port)
            })
            .take(self.gateways)
            .map(|port| SocketAddr::new(first.ip(), port))
            .collect()
    }
}

// === impl StandaloneFile ===

impl StandaloneFile {
    /// Takes over what the command line says.
    pub(crate) fn overlay(&mut self, args: &StandaloneArgs) {
        let values = &mut self.standalone;
        if let Some(dir) = &args.data_dir {
            values.data_dir.clone_from(dir);
        }
        let addresses = [
            (&mut values.gateway_listen, args.gateway_listen),
            (&mut values.management_listen, args.management_listen),
            (&mut values.sync_listen, args.sync_listen),
            (&mut values.metrics_listen, args.metrics_listen),
        ];
        for (value, said) in addresses {
            *value = said.unwrap_or(*value);
        }
        values.gateways = args.gateways.unwrap_or(values.gateways);
        values.demo &= !args.no_demo;
    }

    /// What this process's own gateways are told, for the bound on overspend.
    pub(crate) fn put_into(&self, terms: ExposureTerms) -> ExposureTerms {
        let gateways = self.wallets.put_into(SyncSettings::new("", PathBuf::new()));
        let multipliers = self.proxy.iter().filter_map(|proxy| proxy.max_multiplier);
        let Bounds { fastest, slowest } = gateways.bounds();
        ExposureTerms {
            sync_interval_min: fastest,
            sync_interval_max: slowest,
            staleness_limit: Duration::from_millis(gateways.staleness_limit_ms),
            multiplier_max: multipliers.fold(terms.multiplier_max, Units::max),
            ..terms
        }
    }
}

impl Checked for StandaloneFile {
    fn check(&self) -> Result<(), Problem> {
        let count = self.standalone.gateways;
        if !(1..=GATEWAY_COUNT_MAX).contains(&count) {
            let text = format!("{count} is not from 1 to {GATEWAY_COUNT_MAX}");
            return Err(Problem::at("standalone.gateways", text));
        }
        if self.standalone.gateway_addresses().len() < count {
            return Err(Problem::at(
                "standalone.gateway_listen",
                "leaves no ports for so many gateways",
            ));
        }
        check_proxies(&self.limits, &self.proxy)?;
        if self.standalone.demo && self.proxy.iter().any(|proxy| proxy.name == DEMO_PROXY) {
            return Err(Problem::in_entry(
                "proxy",
                DEMO_PROXY,
                "name",
                "is the demo's; say demo = false, or another name",
            ));
        }
        if !self.standalone.demo && self.proxy.is_empty() {
            // Not an error: somebody may want management and sync alone; calls get 404.
            tracing::warn!("no proxy is configured and there is no demo: every call gets 404");
        }
        jwt_settings(self.jwt.as_ref())?;
        self.billing.as_ref().map_or(Ok(()), BillingSection::check)?;
        self.wallets.check()?;
        self.telemetry.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(section: &StandaloneSection) -> Vec<u16> {
        section.gateway_addresses().iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn more_gateways_take_the_next_ports_that_are_not_given_to_others() {
        let section = StandaloneSection { gateways: 3, ..StandaloneSection::default() };
        assert_eq!(ports(&section), [8080, 8083, 8084]);
        assert_eq!(
            ports(&StandaloneSection { gateway_listen: local(7000), ..section.clone() }),
            [7000, 7001, 7002]
        );
        assert_eq!(
            ports(&StandaloneSection { gateway_listen: local(0), ..section.clone() }),
            [0, 0, 0]
        );
        assert_eq!(
            ports(&StandaloneSection { gateway_listen: local(65_535), ..section }),
            [65_535]
        );
    }

    #[test]
    fn the_bound_on_overspend_is_that_of_this_process_and_its_gateways() {
        let terms = |text: &str| {
            let file: StandaloneFile = toml::from_str(text).unwrap();
            let of = file.put_into(ExposureTerms::default());
            let ms = |time: Duration| time.as_millis();
            let intervals = (ms(of.sync_interval_min), ms(of.sync_interval_max));
            (intervals, ms(of.staleness_limit), of.multiplier_max.to_string())
        };
        assert_eq!(terms(""), ((20, 2_000), 10_000, "1".to_owned()));
        let proxy = |max: u32| {
            format!(
                "[[proxy]]\nname = \"p{max}\"\nbase_path = \"/{max}\"\ntarget = \"http://x\"\n\
                 multiplier_header = \"x-units\"\nmax_multiplier = \"{max}\"\n"
            )
        };
        let fixed = "[wallets]\nsync_interval_ms = 100\nstaleness_limit_ms = 3000\n";
        let text = format!("{fixed}{}{}", proxy(40), proxy(5));
        assert_eq!(terms(&text), ((100, 100), 3_000, "40".to_owned()));
    }
}
