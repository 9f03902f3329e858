//! Ends HTTP/2 streams whose client takes nothing.
//!
//! On HTTP/1 a client that does not read stalls its connection, which the watch list sees. On HTTP/2 it can keep one stream's
//! window closed while the connection lives, and with it a connection to an upstream. hyper then does not poll the response's
//! body, so the body cannot end it; the task around it can. Body and task find each other by a thread-local that is set while
//! the task runs, since hyper spawns tasks without telling which stream they are for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Stall>>> = const { RefCell::new(None) };
}

/// Whether one stream waits for its client.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// A frame was handed out and the next was not asked for.
    is_waiting: Cell<bool>,
    frames: Cell<u64>,
}

/// Runs a client connection's HTTP/2 tasks on their thread, and drops those that stall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamExecutor {
    pub(crate) idle: Duration,
}

/// A stream's task.
struct Guarded<F> {
    task: Pin<Box<F>>,
    stall: Rc<Stall>,
    idle: Duration,
    timer: Option<(u64, Pin<Box<Sleep>>)>,
}

// === impl Stall ===

impl Stall {
    /// That of the stream whose task is running; none outside of one.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The next frame is asked for.
    pub(crate) fn asked(&self) {
        self.is_waiting.set(false);
    }

    /// A frame was handed out, and more will follow.
    pub(crate) fn handed_out(&self) {
        self.is_waiting.set(true);
        self.frames.set(self.frames.get().wrapping_add(1));
    }
}

// === impl StreamExecutor ===

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        let stall = Rc::new(Stall::default());
        tokio::task::spawn_local(Guarded {
            task: Box::pin(task),
            stall,
            idle: self.idle,
            timer: None,
        });
    }
}

// === impl Guarded ===

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let before = CURRENT.replace(Some(Rc::clone(&this.stall)));
        let polled = this.task.as_mut().poll(cx);
        CURRENT.set(before);
        if polled.is_ready() {
            return Poll::Ready(());
        }
        if !this.stall.is_waiting.get() {
            this.timer = None;
            return Poll::Pending;
        }
        let frames = this.stall.frames.get();
        if this.timer.as_ref().is_none_or(|(armed, _)| *armed != frames) {
            this.timer = Some((frames, Box::pin(tokio::time::sleep(this.idle))));
        }
        match &mut this.timer {
            // Dropping the task resets the stream.
            Some((_, timer)) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
