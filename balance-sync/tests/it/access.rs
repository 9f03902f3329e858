//! Who may call what: tokens, certificates, and what is open to all.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tollgate_balance_sync::{Access, Role, Settings, Tls};
use tollgate_ledger_store::Clock;
use tollgate_ledger_store::catalogue::tokens::TokenTerms;
use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tollgate_proto::v1::resolve_client::ResolveClient;
use tollgate_proto::v1::sync_client::SyncClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status, Streaming};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use uuid::Uuid;

use crate::gateway::{bearer, channel};
use crate::ground::{
    ACME, ADA, ADMIN_TOKEN, GATEWAY_TOKEN, Ground, READ_TOKEN, TestNode, settings,
};

fn with_token<T>(token: Option<&str>, message: T) -> Request<T> {
    let request = Request::new(message);
    match token {
        Some(token) => bearer(token, request),
        None => request,
    }
}

async fn register(channel: Channel, token: Option<&str>) -> Result<(), Status> {
    let message = v1::RegisterRequest {
        incarnation_id: Uuid::new_v4().as_bytes().to_vec(),
        gateway: "gateway".to_owned(),
    };
    SyncClient::new(channel).register(with_token(token, message)).await.map(|_| ())
}

async fn ask(channel: Channel, token: Option<&str>) -> Result<(), Status> {
    let message = v1::GetBalanceRequest {
        organization: ACME.to_owned(),
        developer: ADA.to_owned(),
        ..v1::GetBalanceRequest::default()
    };
    BalancesClient::new(channel).get_balance(with_token(token, message)).await.map(|_| ())
}

fn code(answer: Result<(), Status>) -> Code {
    answer.map_or_else(|status| status.code(), |()| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_may_do() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let rows = [
        (None, Code::Unauthenticated, Code::Unauthenticated),
        (Some("wrong"), Code::Unauthenticated, Code::Unauthenticated),
        (Some(GATEWAY_TOKEN), Code::Ok, Code::PermissionDenied),
        (Some(READ_TOKEN), Code::PermissionDenied, Code::Ok),
        (Some(ADMIN_TOKEN), Code::Ok, Code::Ok),
    ];
    for (token, for_gateways, for_people) in rows {
        assert_eq!(code(register(channel(&node).await, token).await), for_gateways, "{token:?}");
        assert_eq!(code(ask(channel(&node).await, token).await), for_people, "{token:?}");
    }
    // The other doors of gateways ask as well.
    let message = v1::ResolveKeyRequest { key_sha256: vec![0; 32] };
    let resolve = ResolveClient::new(channel(&node).await).resolve_key(message).await;
    assert_eq!(resolve.unwrap_err().code(), Code::Unauthenticated);
    let nothing = tokio_stream::empty::<v1::GatewayMessage>();
    let stream = SyncClient::new(channel(&node).await).stream(nothing).await;
    assert_eq!(stream.unwrap_err().code(), Code::Unauthenticated);
}

/// A stream that the token opened.
async fn open_stream(node: &TestNode, token: &str) -> Streaming<v1::NodeMessage> {
    let (outgoing, messages) = tokio::sync::mpsc::channel(1);
    let id = Uuid::new_v4().as_bytes().to_vec();
    let register = v1::RegisterRequest { incarnation_id: id, gateway: "gateway".to_owned() };
    let mut client = SyncClient::new(channel(node).await);
    let registered = client.register(with_token(Some(token), register)).await.unwrap();
    let incarnation = registered.into_inner().incarnation;
    let own =
        v1::OwnIncarnations { number: 1, incarnations: incarnation.iter().cloned().collect() };
    let hello = v1::Hello {
        incarnation,
        gateway: "gateway".to_owned(),
        own: Some(own),
        staleness_limit_ms: 0,
    };
    let hello = v1::gateway_message::Message::Hello(hello);
    outgoing.send(v1::GatewayMessage { message: Some(hello) }).await.unwrap();
    // The client's side stays open.
    let messages = ReceiverStream::new(messages).chain(tokio_stream::pending());
    let opened = client.stream(with_token(Some(token), messages)).await.unwrap();
    opened.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_catalogue_works_until_it_is_revoked_also_on_open_streams() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let make = async |name: &str, role, organization: Option<&str>| {
        let organization = organization.map(str::to_owned);
        let terms = TokenTerms {
            name: name.to_owned(),
            role,
            organization,
            permissions: Vec::new(),
            expires_at: None,
        };
        ground.catalogue.create_token(&terms, "test", ground.clock.now()).await.unwrap().token
    };
    let viewer = make("viewer", Role::Viewer, Some(ACME)).await;
    assert_eq!(code(ask(channel(&node).await, Some(&viewer)).await), Code::Ok);
    assert_eq!(code(register(channel(&node).await, Some(&viewer)).await), Code::PermissionDenied);

    let gateway = make("gateway-7", Role::Gateway, None).await;
    assert_eq!(code(ask(channel(&node).await, Some(&gateway)).await), Code::PermissionDenied);
    let mut stream = open_stream(&node, &gateway).await;
    assert!(stream.message().await.unwrap().is_some(), "the node welcomes it");
    ground.catalogue.revoke_token("gateway-7", ground.clock.now()).await.unwrap();
    let end = async {
        loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "the stream ended without a word"),
                Err(status) => return status,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(10), end).await.unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(code(register(channel(&node).await, Some(&gateway)).await), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_the_services() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut client = ServerReflectionClient::new(channel(&node).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("services are listed")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["tollgate.v1.Sync", "tollgate.v1.Resolve", "tollgate.v1.Balances"] {
        assert!(names.iter().any(|each| each == name), "{names:?}");
    }
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

// === impl Authority ===

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key of a name.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

async fn tls_channel(
    node: &TestNode,
    authority: &Authority,
    identity: Option<(String, String)>,
) -> Result<Channel, tonic::transport::Error> {
    let ca = Certificate::from_pem(authority.pem());
    let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let address = format!("https://{}", node.address);
    Channel::from_shared(address).unwrap().tls_config(tls)?.connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_stands_for_its_role() {
    let ground = Ground::with_ten().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let tls = Tls {
        certificate: certificate.into_bytes(),
        key: key.into_bytes(),
        client_ca: Some(authority.pem().into_bytes()),
    };
    let access = Access { certificate_role: Some(Role::Gateway), ..settings().access };
    let node = ground.node_with(Settings { access, tls: Some(tls), ..settings() }).await;

    let known = Some(authority.issue("gateway"));
    let channel = tls_channel(&node, &authority, known).await.unwrap();
    assert_eq!(code(register(channel.clone(), None).await), Code::Ok);
    assert_eq!(code(ask(channel.clone(), None).await), Code::PermissionDenied);
    assert_eq!(code(ask(channel, Some(READ_TOKEN)).await), Code::Ok);

    let without = tls_channel(&node, &authority, None).await.unwrap();
    assert_eq!(code(register(without.clone(), None).await), Code::Unauthenticated);
    assert_eq!(code(register(without, Some(GATEWAY_TOKEN)).await), Code::Ok);

    // A certificate that somebody else signed does not even connect.
    let refused = match tls_channel(&node, &authority, Some(stranger.issue("gateway"))).await {
        Ok(channel) => register(channel, None).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    let plain = Channel::from_shared(format!("http://{}", node.address)).unwrap().connect().await;
    let is_refused = match plain {
        Ok(channel) => register(channel, Some(GATEWAY_TOKEN)).await.is_err(),
        Err(_) => true,
    };
    assert!(is_refused);
}
