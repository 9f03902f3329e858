//! What gateways forward to: answers soon or late, fails now and then, and sometimes hangs up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::network::listen;
use crate::randomness::Rng;

/// Serves for ever; `served` counts successes.
pub(crate) async fn run(seed: u64, served: Rc<Cell<u64>>) -> turmoil::Result {
    let rng = Rc::new(RefCell::new(Rng::new(seed, 4)));
    let mut clients = Box::pin(listen(80).await?);
    while let Some(client) = clients.next().await {
        let (stream, _) = client?;
        let (rng, served) = (Rc::clone(&rng), Rc::clone(&served));
        let service =
            service_fn(move |request| answer(Rc::clone(&rng), Rc::clone(&served), request));
        tokio::task::spawn_local(async move {
            // A gateway may go in the middle of a call.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
    Ok(())
}

async fn answer(
    rng: Rc<RefCell<Rng>>,
    served: Rc<Cell<u64>>,
    _: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (chance, wait_ms) = {
        let mut rng = rng.borrow_mut();
        let chance = rng.within(0..100);
        let wait_ms = if chance < 2 { rng.within(500..2_000) } else { rng.within(0..30) };
        (chance, wait_ms)
    };
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    match chance {
        90..95 => {
            let mut failed = Response::new(Full::new(Bytes::from_static(b"no weather today")));
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(failed)
        }
        95..97 => Err("hangs up"),
        _ => {
            served.set(served.get() + 1);
            Ok(Response::new(Full::new(Bytes::from_static(b"sunny"))))
        }
    }
}
