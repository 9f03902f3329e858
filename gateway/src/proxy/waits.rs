//! Limits on waiting that nearly always end before their time.
//!
//! A timer of the runtime is put into its wheel and taken out again with every call. Here a wait is a place in a list that the
//! worker looks through a few times a second, so limits are kept to within one look.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

/// A worker's waits.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    places: RefCell<Places>,
}

#[derive(Debug, Default)]
struct Places {
    all: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    deadline: Instant,
    /// None: the place is free, or its wait is over.
    waker: Option<Waker>,
}

/// One wait; dropping it leaves the list.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    waits: &'a Waits,
    place: Option<usize>,
    deadline: Instant,
}

// === impl Waits ===

impl Waits {
    /// A wait that is over at this time.
    pub(crate) fn until(&self, deadline: Instant) -> Wait<'_> {
        Wait { waits: self, place: None, deadline }
    }

    /// Wakes those whose time is over now.
    pub(crate) fn look(&self, now: Instant) {
        for place in &mut self.places.borrow_mut().all {
            if place.deadline <= now
                && let Some(waker) = place.waker.take()
            {
                waker.wake();
            }
        }
    }
}

// === impl Wait ===

impl Wait<'_> {
    /// Ready once the worker has looked after the deadline.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut places = self.waits.places.borrow_mut();
        match self.place {
            None => {
                let place = Place { deadline: self.deadline, waker: Some(cx.waker().clone()) };
                self.place = Some(places.take(place));
                Poll::Pending
            }
            Some(index) => match &mut places.all[index].waker {
                None => Poll::Ready(()),
                Some(known) => {
                    if !known.will_wake(cx.waker()) {
                        known.clone_from(cx.waker());
                    }
                    Poll::Pending
                }
            },
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.place {
            let mut places = self.waits.places.borrow_mut();
            places.all[index].waker = None;
            places.free.push(index);
        }
    }
}

// === impl Places ===

impl Places {
    fn take(&mut self, place: Place) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.all[index] = place;
                index
            }
            None => {
                self.all.push(place);
                self.all.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_over_at_the_look_after_its_deadline_and_places_are_used_again() {
        let waits = Waits::default();
        let begin = Instant::now();
        let end = begin + Duration::from_secs(1);
        for _ in 0..3 {
            let mut wait = waits.until(end);
            let mut is_over = || wait.poll(&mut Context::from_waker(Waker::noop())).is_ready();
            assert!(!is_over());
            waits.look(begin);
            assert!(!is_over());
            waits.look(end);
            assert!(is_over());
        }
        assert_eq!(waits.places.borrow().all.len(), 1);
    }
}
