//! Where what waits for a disk is done: apart from the tasks that must not wait.

use std::future::Future;

use futures_util::future::{Either, ready};
use tokio::runtime::Handle;

/// Who waits for the disk.
#[derive(Debug, Clone, Copy, Default)]
pub enum Disk {
    /// Threads of the current runtime that do nothing else.
    #[default]
    Apart,
    /// Whoever asks: for a simulation, whose time must stand still meanwhile and whose order must not hang on a thread's pace.
    AtOnce,
}

// === impl Disk ===

impl Disk {
    /// Does the work, whether the future is waited for or dropped. `None` where the runtime ended before it was done.
    pub(crate) fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send {
        match self {
            Self::Apart => {
                let work = Handle::current().spawn_blocking(work);
                Either::Left(async { work.await.ok() })
            }
            Self::AtOnce => Either::Right(ready(Some(work()))),
        }
    }
}
