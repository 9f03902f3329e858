//! Service `Sync`: registers incarnations and opens streams.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tollgate_proto::v1::gateway_message::Message as Inbound;
use tollgate_proto::{uuid, v1};
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use crate::access::Needed;
use crate::admission::admit;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::settings::NAME_BYTES_MAX;

/// Messages between a session and its connection.
const OUTGOING_MAX: usize = 64;

#[tonic::async_trait]
impl v1::sync_server::Sync for Services {
    type StreamStream = ReceiverStream<Result<v1::NodeMessage, Status>>;

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        Ok(Response::new(self.registered(request).await?))
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::GatewayMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let node = &self.0;
        let admission = admit(node, &request, Needed::Exchange).await?;
        node.standing.now().generation()?;
        let mut incoming = request.into_inner();
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let node = Arc::clone(node);
        // The answer's head goes out before the first message is read: a client may wait for it.
        tokio::spawn(async move {
            let session = match first(&mut incoming).await {
                Ok(hello) => Session::open(node, hello, outgoing.clone()).await,
                Err(refusal) => Err(refusal),
            };
            match session {
                Ok(session) => session.run(incoming, &admission).await,
                Err(refusal) => {
                    // Who was refused may have gone away.
                    let _ = outgoing.send(Err(refusal.into())).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// The hello that a stream begins with.
async fn first(incoming: &mut Streaming<v1::GatewayMessage>) -> Result<v1::Hello, Refusal> {
    let message = incoming.message().await;
    let message = message.map_err(|_| Refusal::Protocol("the stream broke before its hello"))?;
    match message.and_then(|message| message.message) {
        Some(Inbound::Hello(hello)) => {
            check_name(&hello.gateway)?;
            Ok(hello)
        }
        Some(_) | None => Err(Refusal::Protocol("the first message must be hello")),
    }
}

fn check_name(gateway: &str) -> Result<(), Refusal> {
    if gateway.is_empty() || gateway.len() > NAME_BYTES_MAX {
        let problem = format!("must have 1 to {NAME_BYTES_MAX} bytes");
        return Err(Refusal::Invalid { field: "gateway", problem });
    }
    Ok(())
}

// === impl Services ===

impl Services {
    async fn registered(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<v1::RegisterResponse, Refusal> {
        let node = &self.0;
        admit(node, &request, Needed::Exchange).await?;
        let generation = node.standing.now().generation()?;
        let request = request.into_inner();
        let id = uuid("incarnation_id", &request.incarnation_id)?;
        check_name(&request.gateway)?;
        let (ledger, gateway) = (&node.ledger, &request.gateway);
        let incarnation = node.incarnations.register(ledger, id, gateway, node.now()).await?;
        Ok(v1::RegisterResponse {
            incarnation: Some(incarnation.into()),
            service_time_ms: node.now().0,
            generation,
        })
    }
}
