//! Keeps the stream to one balance-sync node: connects, says hello, passes messages both ways, connects again.
//!
//! Dropping the hub's end of the events ends the task. Waits between attempts double up to a cap, with jitter, and start over
//! after a stream that lasted.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tollgate_proto::v1;
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tollgate_proto::v1::node_message::Message as FromNode;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::nodes::NodeClient;

/// Messages that wait for the stream.
const OUTGOING_MAX: usize = 1_024;
/// From a request to Welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A stream that lasted this long starts the waits over.
const LASTED: Duration = Duration::from_secs(5);

/// What happens on a stream. `node` is the place among the configured nodes.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// A stream began.
    Up { node: usize, stream: Stream },
    /// The node said something.
    Said { node: usize, stream: Uuid, message: Box<v1::NodeMessage> },
    /// The stream ended.
    Down { node: usize, stream: Uuid },
}

/// The hub's end of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Tells it from earlier ones to the same node.
    pub(super) id: Uuid,
    pub(super) sender: mpsc::Sender<v1::GatewayMessage>,
    /// Ends it.
    pub(super) end: CancellationToken,
    pub(super) generation: u32,
    /// Number of the list of own incarnations that the hello had.
    pub(super) own_list: u64,
}

/// Keeps the stream until the hub is gone.
pub(super) async fn keep(
    node: usize,
    client: NodeClient,
    mut hello: watch::Receiver<Option<v1::Hello>>,
    events: mpsc::Sender<StreamEvent>,
) {
    let mut wait = WAIT_MIN;
    loop {
        // The hello names the first incarnation, which must be registered before.
        let Ok(greeting) = hello.wait_for(Option::is_some).await.map(|hello| hello.clone()) else {
            return;
        };
        let greeting = greeting.unwrap_or_default();
        let lasted = sleep(LASTED);
        tokio::pin!(lasted);
        let ended = tokio::select! {
            ended = run(node, &client, greeting, &events) => ended,
            () = events.closed() => return,
        };
        match ended {
            Ok(()) => info!(address = client.address(), "stream to balance-sync ended"),
            Err(status) => warn!(
                address = client.address(),
                code = ?status.code(),
                error = status.message(),
                "no stream to balance-sync"
            ),
        }
        if timeout(Duration::ZERO, lasted).await.is_ok() {
            wait = WAIT_MIN;
        }
        // Half of the wait is chance, so that gateways do not come back all at once.
        let chance = u32::from(Uuid::new_v4().as_bytes()[0]);
        sleep(wait / 2 + wait * chance / 512).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// One stream from hello to its end.
async fn run(
    node: usize,
    client: &NodeClient,
    hello: v1::Hello,
    events: &mpsc::Sender<StreamEvent>,
) -> Result<(), tonic::Status> {
    let own_list = hello.own.as_ref().map_or(0, |own| own.number);
    let (sender, outgoing) = mpsc::channel(OUTGOING_MAX);
    let hello = v1::GatewayMessage { message: Some(ToNode::Hello(hello)) };
    sender.try_send(hello).expect("an empty queue takes a message");
    let begin = async {
        let mut incoming = client.sync().stream(ReceiverStream::new(outgoing)).await?.into_inner();
        let first = incoming.message().await?;
        Ok::<_, tonic::Status>((incoming, first))
    };
    let (mut incoming, first) = timeout(WELCOME_TIMEOUT, begin)
        .await
        .map_err(|_| tonic::Status::deadline_exceeded("no welcome in time"))??;
    let Some(v1::NodeMessage { message: Some(FromNode::Welcome(welcome)), .. }) = first else {
        return Err(tonic::Status::failed_precondition("the first message is not a welcome"));
    };
    let id = Uuid::new_v4();
    let end = CancellationToken::new();
    let generation = welcome.generation;
    info!(address = client.address(), generation, "stream to balance-sync began");
    let stream = Stream { id, sender, end: end.clone(), generation, own_list };
    if events.send(StreamEvent::Up { node, stream }).await.is_err() {
        return Ok(());
    }
    let ended = loop {
        let said = tokio::select! {
            said = incoming.message() => said,
            () = end.cancelled() => break Ok(()),
        };
        match said {
            Ok(Some(message)) => {
                let message = Box::new(message);
                if events.send(StreamEvent::Said { node, stream: id, message }).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    // A hub that is gone needs no word of it.
    events.send(StreamEvent::Down { node, stream: id }).await.ok();
    debug!(address = client.address(), "stream to balance-sync was given back");
    ended
}
