//! The parts over TLS: a gateway that balance-sync knows by its certificate, people who check the node's.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::api::{get, nanos};
use crate::support::parts::Site;
use crate::support::process::{self, Tollgate, command};
use crate::support::upstream::Upstream;

/// An authority, and the files of what it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    ca_file: PathBuf,
}

// === impl Authority ===

impl Authority {
    fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca_file = dir.join("ca.pem");
        std::fs::write(&ca_file, issuer.pem()).unwrap();
        Self { issuer, ca_file }
    }

    /// `certificate_file` and `key_file` of a new certificate, as lines of TOML.
    fn sign(&self, dir: &Path, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_file, key_file) =
            (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        format!("certificate_file = {certificate_file:?}\nkey_file = {key_file:?}\n")
    }
}

fn start(part: &str, config: &Path) -> Tollgate {
    let mut start = command([part, "--config"]);
    start.arg(config);
    Tollgate::start(start)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_certificate_needs_no_token_and_a_stranger_sees_nothing() {
    let upstream = Upstream::start().await;
    let site = Site::on_sqlite();
    let dir = site.path();
    let authority = Authority::new(dir);
    let config = site.node_config("node", "127.0.0.1:0", "127.0.0.1:0");
    let text = std::fs::read_to_string(&config).unwrap();
    let certificate = authority.sign(dir, "node");
    let clients = format!("client_ca_file = {:?}\n", authority.ca_file);
    std::fs::write(&config, format!("{text}\n[sync.tls]\n{certificate}{clients}")).unwrap();
    let node = start("balance-sync", &config);
    let url = node.text(&["sync"]).replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let developer = site.developer_of(&node, 5).await;

    let config = site.gateway_config(
        "gateway",
        "127.0.0.1:0",
        std::slice::from_ref(&url),
        &upstream.url,
        "",
    );
    let text = std::fs::read_to_string(&config).unwrap();
    let without_token: Vec<&str> = text.lines().filter(|line| !line.starts_with("token")).collect();
    let tls = format!(
        "\n[sync.tls]\nca_file = {:?}\n{}",
        authority.ca_file,
        authority.sign(dir, "gateway")
    );
    std::fs::write(&config, without_token.join("\n") + &tls).unwrap();
    let gateway = start("gateway", &config);
    let call = format!("{}/orders/1", gateway.text(&["gateway"]));
    assert_eq!(get(&call, &[("x-api-key", &developer.key)]).await.status.as_u16(), 200);
    developer.portal.balance_becomes(nanos("4.99")).await;

    let ask = |ca_file: &Path| {
        let mut ask = command(["balance", "get", "--address", &url, "--organization", "acme"]);
        ask.args(["--developer", "ann@example.com"]).arg("--ca-file").arg(ca_file);
        process::texts(&ask.arg("--token-file").arg(dir.join("admin-token")).output().unwrap())
    };
    assert!(ask(&authority.ca_file).0.contains("4.99"), "{:?}", ask(&authority.ca_file));
    let stranger = tempfile::tempdir().unwrap();
    let (said, told) = ask(&Authority::new(stranger.path()).ca_file);
    assert!(said.is_empty() && told.contains("cannot reach"), "{said}{told}");
    assert!(gateway.stop().success());
    assert!(node.stop().success());
}
