//! A gateway as far as the protocol goes: its wallet, its incarnations and their files.

use std::collections::VecDeque;

use super::*;
use crate::wallet::{Hold, Life, Wallet};

/// One incarnation's units, which a crash leaves in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct LifeUnits {
    pub(super) incarnation: Incarnation,
    pub(super) nanos: u64,
    pub(super) durable: u64,
}

pub(super) struct Gateway {
    pub(super) wallet: Wallet,
    pub(super) open: VecDeque<Hold>,
    pub(super) lives: Vec<LifeUnits>,
    pub(super) listed: Vec<Life>,
    pub(super) number: u64,
    pub(super) since: Duration,
    /// Units of earlier processes that are not known to be durable: nothing is admitted before.
    pub(super) found: Vec<LifeUnits>,
    pub(super) seq: i64,
}

// === impl Gateway ===

impl Gateway {
    pub(super) fn new() -> Gateway {
        Gateway {
            wallet: Wallet::default(),
            open: VecDeque::new(),
            lives: Vec::new(),
            listed: Vec::new(),
            number: 0,
            since: Duration::ZERO,
            found: Vec::new(),
            seq: 0,
        }
    }

    pub(super) fn own(&self) -> Arc<OwnIncarnations> {
        let incarnations = self.listed.iter().map(|life| self.life(*life).incarnation);
        Arc::new(OwnIncarnations { number: self.number, incarnations: incarnations.collect() })
    }

    pub(super) fn life(&self, life: Life) -> &LifeUnits {
        &self.lives[life.0 as usize]
    }

    pub(super) fn current(&self) -> Life {
        *self.listed.last().expect("a gateway has a current incarnation")
    }

    /// A total is durable; an ended incarnation that is leaves the list.
    pub(super) fn acknowledge(&mut self, incarnation: Incarnation, nanos: u64) {
        let known = self.lives.iter_mut().chain(&mut self.found);
        for life in known.filter(|life| life.incarnation == incarnation) {
            life.durable = life.durable.max(nanos);
        }
        self.found.retain(|life| life.durable < life.nanos);
    }

    pub(super) fn drop_ended(&mut self, now: Duration) -> bool {
        let (current, lives) = (self.current(), &self.lives);
        let before = self.listed.len();
        self.listed.retain(|life| {
            let units = &lives[life.0 as usize];
            let is_open = self.open.iter().any(|hold| hold.life == *life);
            *life == current || is_open || units.durable < units.nanos
        });
        let has_dropped = self.listed.len() < before;
        if has_dropped {
            self.number += 1;
            self.since = now;
        }
        has_dropped
    }
}
