//! The server: four services, health, reflection, TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_proto::v1::balances_server::BalancesServer;
use tollgate_proto::v1::own_server::OwnServer;
use tollgate_proto::v1::resolve_server::ResolveServer;
use tollgate_proto::v1::sync_server::SyncServer;
use tonic::transport::server::Connected;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::RunError;
use crate::node::Node;
use crate::service::Services;
use crate::settings::{MESSAGE_BYTES_MAX, Tls};
use crate::standing::Standing;

/// A connection that says nothing is asked whether it lives, and closed where it does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls open at once on one connection.
const CALLS_MAX: u32 = 1_024;

/// Serves until `ended`, then lets open calls finish.
pub(crate) async fn serve<C>(
    connections: impl Stream<Item = io::Result<C>>,
    node: Arc<Node>,
    ended: CancellationToken,
) -> Result<(), RunError>
where
    C: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
{
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(CALLS_MAX);
    if let Some(tls) = &node.settings.tls {
        server =
            server.tls_config(tls_config(tls, node.settings.access.certificate_role.is_some()))?;
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    // Said once before the first connection is taken.
    report_health(&reporter, node.standing.now()).await;
    let mut reporting = JoinSet::new();
    reporting.spawn(follow_standing(reporter, Arc::clone(&node)));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tollgate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let services = Services(node);
    let sync = SyncServer::new(services.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let served = server
        .add_service(health)
        .add_service(reflection)
        .add_service(sync)
        .add_service(ResolveServer::new(services.clone()))
        .add_service(BalancesServer::new(services.clone()))
        .add_service(OwnServer::new(services))
        .serve_with_incoming_shutdown(connections, ended.cancelled_owned())
        .await;
    drop(reporting);
    Ok(served?)
}

/// A client without certificate may still come with a token, unless certificates are the only way.
fn tls_config(tls: &Tls, has_role: bool) -> ServerTlsConfig {
    let identity = Identity::from_pem(&tls.certificate, &tls.key);
    let config = ServerTlsConfig::new().identity(identity);
    match &tls.client_ca {
        Some(ca) => config.client_ca_root(Certificate::from_pem(ca)).client_auth_optional(has_role),
        None => config,
    }
}

async fn follow_standing(reporter: HealthReporter, node: Arc<Node>) {
    let mut standing = node.standing.subscribe();
    standing.mark_changed();
    while standing.changed().await.is_ok() {
        let now = *standing.borrow_and_update();
        report_health(&reporter, now).await;
    }
}

async fn report_health(reporter: &HealthReporter, standing: Standing) {
    let status = match standing {
        Standing::Serving { .. } => ServingStatus::Serving,
        Standing::Starting | Standing::ClockOff { .. } | Standing::Draining => {
            ServingStatus::NotServing
        }
    };
    let services =
        ["", "tollgate.v1.Sync", "tollgate.v1.Resolve", "tollgate.v1.Balances", "tollgate.v1.Own"];
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}
