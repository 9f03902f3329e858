//! How the world changes its policy, and comes to rest.

use proptest::prelude::*;

use super::super::super::{NOW, meter};
use super::{GATEWAYS, NODES, Step, World};
use crate::account::{Mode, Stamp};
use crate::id::Incarnation;
use crate::money::Money;
use crate::node::{Part, StreamId};
use crate::protocol::ReportedDraw;
use crate::units::Units;

// === impl World ===

impl World {
    pub(super) fn ask(&mut self, place: usize, node: usize) {
        let gateway = &mut self.gateways[place];
        let known = self.nodes[node].machine.account();
        let mode = known.map_or(Mode::default(), |account| account.header.mode);
        if mode.is_changing {
            gateway.wallet.require_mode(mode.counter);
            gateway.asked[node] = Some(mode.counter);
        }
    }

    /// As a gateway does: once no call of an older mode is open and everything is durable.
    pub(super) fn answer(&mut self, place: usize, asker: usize) {
        let gateway = &mut self.gateways[place];
        let Some(mode) = gateway.asked[asker] else { return };
        let counted = self.truth.get(&gateway.incarnation).copied().unwrap_or(0);
        let durable = self.registers.get(&(meter(1), gateway.incarnation));
        let is_durable =
            durable.copied().unwrap_or_default().units() >= Units::from_register(counted);
        if gateway.wallet.open_prepaid() > 0 || !is_durable {
            return;
        }
        gateway.asked[asker] = None;
        self.seq += 1;
        let wallet = self.account.header.wallet;
        let known = gateway.wallet.draws(wallet).first().map(|(_, draw)| *draw);
        let (settled, held, limit, wanted) = (Money::ZERO, Money::ZERO, Money::ZERO, Money::ZERO);
        let stamp = Stamp::default();
        let nothing = ReportedDraw { wallet, mode, settled, held, stamp, limit, wanted };
        let part = Part {
            incarnation: gateway.incarnation,
            seq: self.seq,
            registers: Vec::new(),
            apps: Vec::new(),
            held: None,
            draw: Some(known.filter(|draw| draw.mode >= mode).unwrap_or(nothing)),
            is_fenced: false,
        };
        // A stream beside that of the wallet's reports.
        let stream = StreamId(1_000_000 + self.streams);
        self.streams += 1;
        self.nodes[asker].machine.report(stream, 1, &part, NOW);
    }

    /// As a node does, which reads the registry after the account.
    pub(super) fn end_mode(&mut self, node: usize) {
        let machine = &self.nodes[node].machine;
        if !machine.is_mode_changing() {
            return;
        }
        let alive = self.gateways.iter().map(|gateway| gateway.incarnation);
        let mut waits = alive.chain(self.dead.iter().copied());
        if waits.all(|incarnation| {
            self.retired.contains(&incarnation) || machine.has_acknowledged(incarnation)
        }) {
            let retired: Vec<Incarnation> = self.retired.iter().copied().collect();
            self.nodes[node].planned = machine.plan_mode(&retired);
            self.commit(node, true, true);
        }
    }

    /// Everything is delivered, persisted and read, until nothing moves any more.
    pub(in super::super) fn quiet(&mut self) -> Result<(), TestCaseError> {
        while !self.dead.is_empty() {
            self.run(Step::Found(0))?;
        }
        for place in 0..GATEWAYS {
            while !self.gateways[place].open.is_empty() {
                self.run(Step::Release(place))?;
            }
        }
        for node in 0..NODES {
            self.run(Step::EndWrite(node, false, false))?;
            self.run(Step::EndRead(node))?;
        }
        for _ in 0..12 {
            self.run(Step::Wait(5_000))?;
            for place in 0..GATEWAYS {
                for node in 0..NODES {
                    self.run(Step::Ask(place, node))?;
                    self.run(Step::Answer(place, node))?;
                }
                self.run(Step::Report(place))?;
                while !self.gateways[place].up.is_empty() {
                    self.run(Step::Deliver(place))?;
                }
            }
            for node in 0..NODES {
                self.run(Step::BeginWrite(node))?;
                self.run(Step::EndWrite(node, true, true))?;
                self.run(Step::BeginRead(node))?;
                self.run(Step::EndRead(node))?;
                self.run(Step::Settled(node))?;
                self.run(Step::Commit(node, true, true))?;
                self.run(Step::Tell(node))?;
            }
            for place in 0..GATEWAYS {
                while !self.gateways[place].down.is_empty() {
                    self.run(Step::Hear(place))?;
                }
            }
        }
        Ok(())
    }
}
