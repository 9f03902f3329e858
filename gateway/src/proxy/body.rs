//! Bodies on their way through: they stream, are counted against their limits, and end with what they hold.
//!
//! A response's body carries its call with it: the connection that it comes over goes back to the pool at its end, and the
//! call is counted when it is dropped, whoever drops it. A timer exists only while a body makes somebody wait.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::call::Call;
use super::headers;
use crate::server::Stall;
use crate::upstream::Lease;

/// How a request's body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyState {
    /// More is to come.
    Open,
    /// It went through.
    Done,
    /// It grew beyond its limit.
    TooLarge,
    /// The client did not send on in time.
    TooSlow,
    /// The client broke it off.
    Broken,
}

/// What the call knows of its request's body while that is on its way.
#[derive(Debug)]
pub(crate) struct BodyWatch {
    pub(crate) state: Cell<BodyState>,
    pub(crate) progress: Cell<Instant>,
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct RequestBody {
    body: Incoming,
    /// None: there is no body.
    watch: Option<Rc<BodyWatch>>,
    left: u64,
    idle: Idle,
}

/// A response's body.
#[derive(Debug)]
pub(crate) struct ResponseBody(Form);

#[derive(Debug)]
enum Form {
    Whole(Option<Bytes>),
    Stream(Stream),
}

#[derive(Debug)]
struct Stream {
    body: Incoming,
    lease: Option<Lease>,
    idle: Idle,
    deadline: Option<Instant>,
    /// What is told after it, beside the upstream's own trailers.
    trailers: Option<Box<HeaderMap>>,
    /// The HTTP/2 stream that it goes out on.
    stall: Option<Rc<Stall>>,
    /// Counted when it is dropped.
    _call: Call,
}

/// A limit on waiting, armed only while somebody waits.
#[derive(Debug)]
struct Idle {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body ended early. The peer sees a broken connection or stream; nobody is told in words.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The gateway ended it: the limit that was reached.
    Limit(&'static str),
    /// The other side ended it.
    Broken(hyper::Error),
}

// === impl RequestBody ===

impl RequestBody {
    /// A body of at most `left` bytes, which may pause for `idle`.
    pub(crate) fn new(body: Incoming, left: u64, idle: Duration) -> Self {
        let watch = (!body.is_end_stream()).then(|| {
            Rc::new(BodyWatch {
                state: Cell::new(BodyState::Open),
                progress: Cell::new(Instant::now()),
            })
        });
        Self { body, watch, left, idle: Idle::new(idle) }
    }

    /// What to look at while it is on its way; none where there is no body.
    pub(crate) fn watch(&self) -> Option<Rc<BodyWatch>> {
        self.watch.clone()
    }

    fn note(&self, state: BodyState) {
        if let Some(watch) = &self.watch {
            watch.state.set(state);
            watch.progress.set(Instant::now());
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.disarm();
                if let Some(data) = frame.data_ref() {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    if length > this.left {
                        this.note(BodyState::TooLarge);
                        return Poll::Ready(Some(Err(BodyError::Limit("body_bytes_max"))));
                    }
                    this.left -= length;
                }
                let is_end = this.body.is_end_stream();
                this.note(if is_end { BodyState::Done } else { BodyState::Open });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.note(BodyState::Broken);
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                this.note(BodyState::Done);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.idle.is_over(cx, None) {
                    this.note(BodyState::TooSlow);
                    return Poll::Ready(Some(Err(BodyError::Limit("client_idle_timeout_ms"))));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self(Form::Whole(None))
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Form::Whole(Some(bytes)))
    }

    /// An upstream's body, with the connection that it comes over and the call that it ends.
    pub(crate) fn stream(
        body: Incoming,
        lease: Lease,
        idle: Duration,
        deadline: Option<Instant>,
        trailers: Option<Box<HeaderMap>>,
        call: Call,
    ) -> Self {
        let mut stream = Stream {
            body,
            lease: Some(lease),
            idle: Idle::new(idle),
            deadline,
            trailers,
            stall: Stall::current(),
            _call: call,
        };
        if stream.body.is_end_stream() {
            stream.give_back();
        }
        Self(Form::Stream(stream))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Form::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Form::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Form::Whole(bytes) => bytes.is_none(),
            Form::Stream(stream) => stream.trailers.is_none() && stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Form::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Form::Stream(stream) => stream.body.size_hint(),
        }
    }
}

// === impl Stream ===

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(stall) = &self.stall {
            stall.asked();
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.disarm();
                if let Some(stall) = &self.stall {
                    stall.handed_out();
                }
                if self.body.is_end_stream() {
                    self.give_back();
                } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    self.lease = None;
                    return Poll::Ready(Some(Err(BodyError::Limit("total_timeout_ms"))));
                }
                Poll::Ready(Some(Ok(self.with_trailers(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                self.give_back();
                let trailers = self.trailers.take();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(*trailers))))
            }
            Poll::Pending => {
                if self.idle.is_over(cx, self.deadline) {
                    self.lease = None;
                    return Poll::Ready(Some(Err(BodyError::Limit("idle_timeout_ms"))));
                }
                Poll::Pending
            }
        }
    }

    /// An upstream's trailers with what is told beside them, and nothing of the upstream's in its place;
    /// its data as it is.
    fn with_trailers(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if !frame.is_trailers() {
            return frame;
        }
        match frame.into_trailers() {
            Ok(mut theirs) => {
                headers::strip_own(&mut theirs);
                theirs.extend(self.trailers.take().map(|ours| *ours).unwrap_or_default());
                Frame::trailers(theirs)
            }
            Err(data) => data,
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

// === impl Idle ===

impl Idle {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    fn disarm(&mut self) {
        self.timer = None;
    }

    /// Whether the wait that began with the first call since `disarm` is over, or the deadline passed.
    fn is_over(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let timer = self.timer.get_or_insert_with(|| {
            let end = Instant::now() + self.limit;
            Box::pin(tokio::time::sleep_until(deadline.map_or(end, |deadline| deadline.min(end))))
        });
        timer.as_mut().poll(cx).is_ready()
    }
}

// === impl BodyError ===

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "the body reached {limit}"),
            Self::Broken(_) => f.write_str("the body broke off"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Limit(_) => None,
            Self::Broken(error) => Some(error),
        }
    }
}
