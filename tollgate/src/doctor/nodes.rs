//! What is reached over the network: the ledger, balance-sync nodes, upstreams; and what their clocks say.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tollgate_gateway::config::{Proxy, UpstreamHttp};
use tollgate_gateway::sync_client::SyncTls;
use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::sqlite::{newest_generation, path_of};
use tollgate_metering::UnixMillis;
use tollgate_proto::v1;
use tollgate_proto::v1::resolve_client::ResolveClient;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::http::{self, Ask, WAIT};
use super::report::Report;
use crate::cli::LedgerArgs;
use crate::config::secret::SecretPlace;
use crate::ledger::open::{Access, OpenError, Store};

/// A clock that is off by more does not serve (rule 7 of the ledger), by more than the second should be looked at.
const OFF_MS_MAX: u64 = 60_000;
const OFF_MS_GOOD: u64 = 5_000;
/// How long a cluster may take to answer.
const LEDGER_WAIT: Duration = Duration::from_secs(20);

/// Checks the ledger without changing it.
pub(super) async fn ledger(
    report: &mut Report,
    args: &LedgerArgs,
    folder: Option<&Path>,
    now: UnixMillis,
) {
    const CHECK: &str = "ledger";
    let subject = folder.map_or("cluster".to_owned(), |folder| folder.display().to_string());
    if let Some(folder) = folder
        && newest_generation(folder).map_or(true, |newest| !path_of(folder, newest).exists())
    {
        return report.skipped(CHECK, subject, "there is none yet: the first start makes it");
    }
    let opened = tokio::time::timeout(LEDGER_WAIT, Store::of_args(args, Access::Read)).await;
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => {
            let mend = match &error {
                OpenError::Ledger { source: LedgerError::NotOurs { .. }, .. } => {
                    "a newer schema needs the newer tollgate that made it; an older one is brought up by a start"
                }
                OpenError::Ledger { .. } => {
                    "see that the database runs and can be reached from here"
                }
                OpenError::Config(_) | OpenError::Password(_) | OpenError::Metrics(_) => {
                    "mend the configuration"
                }
            };
            return report.fail(CHECK, subject, crate::chain(&error), mend);
        }
        Err(_) => {
            let mend = "see that the database runs and can be reached from here";
            return report.fail(CHECK, subject, format!("no answer within {LEDGER_WAIT:?}"), mend);
        }
    };
    match store.ledger.generation().await {
        Ok(generation) => report.ok(CHECK, &subject, format!("answers, generation {generation}")),
        Err(error) => {
            let mend =
                "compare `generation` of the configuration with the newest that was restored";
            return report.fail(CHECK, subject, crate::chain(&error), mend);
        }
    }
    match store.ledger.clock().await {
        Ok(theirs) => clock(report, &format!("ledger {subject}"), theirs, now, 0),
        Err(error) => {
            report.fail("clock", subject, crate::chain(&error), "see that the database runs");
        }
    }
}

/// Compares another's clock with this machine's; `grain_ms` is what it is rounded down to.
fn clock(report: &mut Report, subject: &str, theirs: UnixMillis, now: UnixMillis, grain_ms: u64) {
    const CHECK: &str = "clock";
    let off = now.0.abs_diff(theirs.0);
    let found = format!("{off} ms apart from this machine's");
    let mend = "run an NTP client (chrony, systemd-timesyncd) on both machines";
    match off.saturating_sub(grain_ms) {
        apart if apart > OFF_MS_MAX => report.fail(CHECK, subject, found, mend),
        apart if apart > OFF_MS_GOOD => report.warn(CHECK, subject, found, mend),
        _ => report.ok(CHECK, subject, found),
    }
}

/// Compares the `Date` that a server put on an answer.
pub(super) fn date(report: &mut Report, subject: &str, date: Option<&str>, now: UnixMillis) {
    let read = date.and_then(|text| httpdate::parse_http_date(text).ok());
    let since = read.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    match since.and_then(|since| i64::try_from(since.as_millis()).ok()) {
        Some(theirs) => clock(report, subject, UnixMillis(theirs), now, 1000),
        None => report.skipped("clock", subject, "it does not tell its time"),
    }
}

/// Whether a balance-sync node answers, in whatever way.
pub(super) async fn answers(url: &str) -> bool {
    let refused = ask(url, None, None).await;
    refused.is_ok_and(|status| {
        matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::NotFound)
    })
}

/// Checks that a node is reached and knows this gateway.
pub(super) async fn node(
    report: &mut Report,
    url: &str,
    token: Option<&SecretPlace>,
    tls: Option<&SyncTls>,
    now: impl Fn() -> UnixMillis,
) {
    const CHECK: &str = "sync node";
    let status = match ask(url, token, tls).await {
        Ok(status) => status,
        Err(reason) => {
            let mend = "see that the node runs, and that name, port and TLS are right";
            return report.fail(CHECK, url, reason, mend);
        }
    };
    let found = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        // Nobody has the key that was asked for: so the answer was looked for.
        Code::Ok | Code::NotFound => report.ok(CHECK, url, "answers and knows this gateway"),
        Code::Unauthenticated | Code::PermissionDenied => {
            let mend = "the node has no such token with the role gateway: compare sync.token with its [[token]]";
            report.fail(CHECK, url, found, mend);
        }
        Code::Unavailable => {
            report.fail(CHECK, url, found, "see the node's own doctor: its ledger is away");
        }
        _ => report.fail(CHECK, url, found, "see the node's log"),
    }
    let date_of = status.metadata().get("date").and_then(|value| value.to_str().ok());
    date(report, url, date_of, now());
}

/// Asks a node for a key that nobody has.
async fn ask(
    url: &str,
    token: Option<&SecretPlace>,
    tls: Option<&SyncTls>,
) -> Result<Status, String> {
    let words = |error: tonic::transport::Error| crate::chain(&error);
    let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(words)?;
    endpoint = endpoint.connect_timeout(WAIT).timeout(WAIT);
    if let Some(tls) = tls {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut config =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&tls.ca_file)?));
        if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        if let Some(name) = &tls.server_name {
            config = config.domain_name(name);
        }
        endpoint = endpoint.tls_config(config).map_err(words)?;
    }
    let channel = endpoint.connect().await.map_err(words)?;
    let mut request = Request::new(v1::ResolveKeyRequest { key_sha256: vec![0; 32] });
    if let Some(place) = token {
        let token = place.read().map_err(|error| crate::chain(&error))?;
        let bearer = format!("Bearer {}", token.expose()).parse();
        let bearer = bearer.map_err(|_| "the token is not printable ASCII".to_owned())?;
        request.metadata_mut().insert("authorization", bearer);
    }
    let mut client = ResolveClient::new(channel);
    let answered = tokio::time::timeout(WAIT, client.resolve_key(request)).await;
    let answered = answered.map_err(|_| format!("no answer within {WAIT:?}"))?;
    Ok(answered.map_or_else(|status| status, |_| Status::ok("a key of zeros is known")))
}

/// Checks that an upstream is reached and answers.
pub(super) async fn upstream(report: &mut Report, proxy: &Proxy) {
    const CHECK: &str = "upstream";
    let subject = format!("{} {}", proxy.name, proxy.target);
    let mend = "see that the upstream runs, and that target, port and TLS are right";
    if proxy.target.is_empty() {
        return report.skipped(CHECK, subject, "is in the process itself");
    }
    if proxy.upstream.http == UpstreamHttp::Http2 {
        let uri = proxy.target.parse::<hyper::Uri>().unwrap_or_default();
        let standard = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(standard);
        return match http::connect(uri.host().unwrap_or_default(), port).await {
            Ok(_) => report.ok(CHECK, subject, "takes connections; HTTP/2 is not asked"),
            Err(reason) => report.fail(CHECK, subject, reason, mend),
        };
    }
    let asked = http::send(Ask {
        url: &proxy.target,
        ca_file: proxy.upstream.ca_file.as_deref(),
        server_name: proxy.upstream.server_name.as_deref(),
        ..Ask::default()
    });
    match asked.await {
        Ok(answer) if answer.status.is_server_error() => {
            let found = format!("answers {}", answer.status);
            report.warn(CHECK, subject, found, "see the upstream's log: calls would fail");
        }
        Ok(answer) => report.ok(CHECK, subject, format!("answers {}", answer.status)),
        Err(reason) => report.fail(CHECK, subject, reason, mend),
    }
}
