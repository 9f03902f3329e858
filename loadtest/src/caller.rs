//! One connection to a gateway, and what became of each call on it.
//!
//! What matters is what may be charged: a call that was never sent cannot be, one that was answered must be, and one whose
//! connection broke after it was sent may be. The client says which of them it was, and is in doubt only where it must be.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a call is waited for; after it, the call counts as sent and not answered.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A successful head came: it is charged.
    Answered,
    /// The wallet has not enough money: it is not charged.
    Dry,
    /// Refused or failed with another status: it is not charged.
    Refused(StatusCode),
    /// It was never sent: nobody listens, or the connection was gone before it.
    NotSent,
    /// It was sent and no head came: it may be charged.
    Unanswered,
}

/// A connection that is made when it is needed.
#[derive(Debug, Default)]
pub struct Connection {
    sender: Option<(String, SendRequest<Empty<Bytes>>)>,
}

// === impl Connection ===

impl Connection {
    /// Calls `path` at `address` (`host:port`) with a consumer key.
    pub async fn call(&mut self, address: &str, path: &str, key: &str) -> Outcome {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.try_call(address, path, key)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Where the time went before the call was sent, this errs on the safe side.
                self.sender = None;
                Outcome::Unanswered
            }
        }
    }

    async fn try_call(&mut self, address: &str, path: &str, key: &str) -> Outcome {
        let mut sender = match self.sender.take() {
            Some((of, sender)) if of == address && !sender.is_closed() => sender,
            Some(_) | None => match connect(address).await {
                Some(sender) => sender,
                None => return Outcome::NotSent,
            },
        };
        if sender.ready().await.is_err() {
            return Outcome::NotSent;
        }
        let request = Request::get(path)
            .header(header::HOST, address)
            .header("x-api-key", key)
            .body(Empty::new())
            .expect("a path and a key that were checked make a request");
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                return match failed.take_message() {
                    Some(_) => Outcome::NotSent,
                    None => Outcome::Unanswered,
                };
            }
        };
        let status = response.status();
        if response.into_body().collect().await.is_ok() {
            self.sender = Some((address.to_owned(), sender));
        }
        match status {
            StatusCode::PAYMENT_REQUIRED => Outcome::Dry,
            status if status.is_success() => Outcome::Answered,
            status => Outcome::Refused(status),
        }
    }
}

async fn connect(address: &str) -> Option<SendRequest<Empty<Bytes>>> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = connecting.await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // Ends with the sender or the stream, whichever is first.
    tokio::spawn(connection);
    Some(sender)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that reads a head and then says `answer` and hangs up.
    async fn says(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn an_outcome_says_what_may_be_charged() {
        let rows = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Outcome::Answered),
            // The head was there: what happens to the body changes nothing.
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Outcome::Answered),
            ("HTTP/1.1 402 Payment Required\r\ncontent-length: 0\r\n\r\n", Outcome::Dry),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
                Outcome::Refused(StatusCode::SERVICE_UNAVAILABLE),
            ),
            ("", Outcome::Unanswered),
            ("HTTP/1.1 20", Outcome::Unanswered),
        ];
        for (answer, want) in rows {
            let address = says(answer).await;
            let got = Connection::default().call(&address, "/", "key").await;
            assert_eq!(got, want, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_takes_no_call() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert_eq!(Connection::default().call(&address, "/", "key").await, Outcome::NotSent);
    }
}
