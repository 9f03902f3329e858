//! The network: streams that keep their order, and links that delay, cut and break them.
//!
//! A message that meets a cut is lost, and the stream with it: nothing after it arrives, until
//! both ends have noticed, each in its own time, and begin another. So messages are repeated and
//! reordered as in production: by streams that follow each other, and by several nodes.

use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::protocol::{OwnIncarnations, Report, Snapshot};
use tollgate_metering::{Incarnation, UnixMillis};

use super::{Event, World};
use crate::dice::Dice;
use crate::schedule::Way;
use crate::trace::note;

/// From a gateway to a node.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Hello(Arc<OwnIncarnations>),
    Own(Arc<OwnIncarnations>),
    Report(Report),
    Subscribe(Vec<usize>),
    Unsubscribe(Vec<usize>),
    End,
}

/// From a node to a gateway, with the service's time.
#[derive(Clone, Debug)]
pub(crate) struct Down {
    pub(crate) service_time: Option<UnixMillis>,
    pub(crate) said: Said,
}

/// What a node says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Welcome { generation: u32, own_list: u64 },
    Durable { incarnation: Incarnation, seq: i64 },
    Refused { incarnation: Incarnation, seq: i64, reason: Reason },
    Snapshot(Box<Snapshot>),
    Fresh { answered_seq: i64, wallets: Vec<usize> },
    Mode { w: usize, mode: u64 },
    End,
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Fenced,
    Unregistered,
    Ahead,
    Retired,
    NotServing,
}

/// Between a gateway and a node.
#[derive(Debug)]
pub(crate) struct Link {
    cut_up_until: Duration,
    cut_down_until: Duration,
    slow_by: Duration,
    slow_until: Duration,
    dice: Dice,
}

/// A stream; each end closes it for itself.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) g: usize,
    pub(crate) n: usize,
    /// The processes at its ends.
    pub(crate) processes: (u32, u32),
    /// Since when a message is lost: nothing passes any more.
    dead_since: Option<Duration>,
    last: (Duration, Duration),
    is_open: (bool, bool),
}

// === impl Link ===

impl Link {
    pub(crate) fn new(dice: Dice) -> Link {
        let zero = Duration::ZERO;
        Link { cut_up_until: zero, cut_down_until: zero, slow_by: zero, slow_until: zero, dice }
    }

    pub(crate) fn cut(&mut self, way: Way, until: Duration) {
        if way != Way::Down {
            self.cut_up_until = self.cut_up_until.max(until);
        }
        if way != Way::Up {
            self.cut_down_until = self.cut_down_until.max(until);
        }
    }

    pub(crate) fn slow(&mut self, by: Duration, until: Duration) {
        (self.slow_by, self.slow_until) = (by, until);
    }

    /// Everything passes again.
    pub(crate) fn mend(&mut self, now: Duration) {
        self.cut_up_until = self.cut_up_until.min(now);
        self.cut_down_until = self.cut_down_until.min(now);
        self.slow_until = self.slow_until.min(now);
    }
}

// === impl World ===

impl World {
    fn link(&mut self, g: usize, n: usize) -> &mut Link {
        let place = g * self.nodes.len() + n;
        &mut self.links[place]
    }

    pub(super) fn cut(&mut self, g: usize, n: usize, way: Way, until: Duration) {
        self.link(g, n).cut(way, until);
    }

    pub(super) fn slow(&mut self, g: usize, n: usize, by: Duration, until: Duration) {
        self.link(g, n).slow(by, until);
    }

    pub(super) fn mend_links(&mut self) {
        let now = self.now;
        self.links.iter_mut().for_each(|link| link.mend(now));
    }

    /// How long a message is on its way.
    pub(super) fn delay(&mut self, g: usize, n: usize) -> Duration {
        let (now, range) = (self.now, self.setup.delay);
        let link = self.link(g, n);
        let slow = if now < link.slow_until { link.slow_by } else { Duration::ZERO };
        link.dice.span(range) + slow
    }

    /// Whether a message of this way is lost now.
    pub(super) fn is_cut(&mut self, g: usize, n: usize, is_up: bool) -> bool {
        let now = self.now;
        let link = self.link(g, n);
        now < if is_up { link.cut_up_until } else { link.cut_down_until }
    }

    /// A gateway opens a stream to a node.
    pub(super) fn open_stream(&mut self, g: usize, n: usize) -> u64 {
        self.next_stream += 1;
        let stream = Stream {
            g,
            n,
            processes: (self.gateways[g].process, self.nodes[n].process),
            dead_since: None,
            last: (self.now, self.now),
            is_open: (true, false),
        };
        self.streams.insert(self.next_stream, stream);
        self.next_stream
    }

    pub(super) fn send_up(&mut self, stream: u64, message: Up) {
        let Some(each) = self.streams.get(&stream) else { return };
        let (g, n) = (each.g, each.n);
        let delay = self.delay(g, n);
        self.costs.up += 1;
        let Some(each) = self.streams.get_mut(&stream) else { return };
        each.last.0 = (self.now + delay).max(each.last.0 + Duration::from_micros(1));
        let at = each.last.0;
        self.at(at, Event::Up { stream, message: Box::new(message) });
    }

    pub(super) fn send_down(&mut self, stream: u64, said: Said) {
        let Some(each) = self.streams.get(&stream) else { return };
        let (g, n) = (each.g, each.n);
        let delay = self.delay(g, n);
        // An end is the word of a machine, not of a node that serves: it tells no time.
        let is_end = matches!(said, Said::End);
        let service_time = (!is_end).then(|| self.nodes[n].wall(self.now));
        self.costs.down += 1;
        let Some(each) = self.streams.get_mut(&stream) else { return };
        each.last.1 = (self.now + delay).max(each.last.1 + Duration::from_micros(1));
        let at = each.last.1;
        self.at(at, Event::Down { stream, message: Box::new(Down { service_time, said }) });
    }

    /// Whether the stream passes a message of this way; one that does not is dead from then on.
    fn passes(&mut self, stream: u64, is_up: bool) -> bool {
        let Some(each) = self.streams.get(&stream) else { return false };
        let is_cut = self.is_cut(each.g, each.n, is_up);
        let now = self.now;
        let Some(each) = self.streams.get_mut(&stream) else { return false };
        if is_cut {
            each.dead_since.get_or_insert(now);
        }
        each.dead_since.is_none()
    }

    pub(super) fn up_arrives(&mut self, stream: u64, message: Up) {
        if !self.passes(stream, true) {
            return;
        }
        let each = &self.streams[&stream];
        let (n, process) = (each.n, each.processes.1);
        if !self.nodes[n].is_up() || self.nodes[n].process != process {
            return self.reset(stream);
        }
        match message {
            Up::Hello(own) => self.welcome(stream, n, own),
            _ if !self.streams[&stream].is_open.1 => {}
            Up::Own(own) => self.hear_own(stream, n, own),
            Up::Report(report) => self.take_report(stream, n, report),
            Up::Subscribe(wallets) => self.subscribe(stream, n, &wallets),
            Up::Unsubscribe(wallets) => self.unsubscribe(stream, n, &wallets),
            Up::End => self.close_at_node(stream, false),
        }
    }

    pub(super) fn down_arrives(&mut self, stream: u64, message: Down) {
        if !self.passes(stream, false) {
            return;
        }
        let each = &self.streams[&stream];
        let (g, n, process) = (each.g, each.n, each.processes.0);
        let is_alive = self.gateways[g].is_up() && self.gateways[g].process == process;
        if is_alive && each.is_open.0 {
            self.hear(g, n, stream, message);
        }
    }

    pub(super) fn note_open_at_node(&mut self, stream: u64) {
        if let Some(each) = self.streams.get_mut(&stream) {
            each.is_open.1 = true;
        }
    }

    /// The gateway closes its end, and says so unless it died.
    pub(super) fn close_at_gateway(&mut self, stream: u64, is_said: bool) {
        let Some(each) = self.streams.get_mut(&stream) else { return };
        if std::mem::replace(&mut each.is_open.0, false) && is_said {
            self.send_up(stream, Up::End);
        }
        self.forget_closed(stream);
    }

    /// The node closes its end, and says so unless it died or the other end did.
    pub(super) fn close_at_node(&mut self, stream: u64, is_said: bool) {
        let Some(each) = self.streams.get_mut(&stream) else { return };
        let n = each.n;
        if std::mem::replace(&mut each.is_open.1, false) {
            if is_said {
                self.send_down(stream, Said::End);
            }
            self.end_at_node(stream, n);
        }
        self.forget_closed(stream);
    }

    /// A machine without the process that a message was for says so.
    fn reset(&mut self, stream: u64) {
        self.send_down(stream, Said::End);
    }

    fn forget_closed(&mut self, stream: u64) {
        if self
            .streams
            .get(&stream)
            .is_some_and(|each| each.is_open == (false, false) && each.dead_since.is_some())
        {
            self.streams.remove(&stream);
        }
    }

    /// A stream breaks: what is on its way is lost.
    pub(super) fn break_stream(&mut self, stream: u64) {
        let now = self.now;
        if let Some(each) = self.streams.get_mut(&stream) {
            each.dead_since.get_or_insert(now);
            note!(self, "stream {} breaks", stream);
        }
    }

    /// Whether a stream is a gateway's, and not dead for so long.
    pub(super) fn heard_from(&self, stream: u64, g: usize, silence: Duration) -> bool {
        let is_old = |since: Duration| since + silence <= self.now;
        self.streams
            .get(&stream)
            .is_some_and(|each| each.g == g && !each.dead_since.is_some_and(is_old))
    }

    /// Whether an end of the stream has missed signs of life for long enough to close it.
    pub(super) fn is_silent(&self, stream: u64, is_gateway: bool) -> bool {
        let Some(each) = self.streams.get(&stream) else { return true };
        let is_old = |since: Duration| since + self.setup.keepalive <= self.now;
        let peer = if is_gateway {
            let node = &self.nodes[each.n];
            (node.is_up() && node.process == each.processes.1).then_some(node.paused_since)
        } else {
            let gateway = &self.gateways[each.g];
            (gateway.is_up() && gateway.process == each.processes.0).then_some(gateway.paused_since)
        };
        let is_away = peer.is_none_or(|paused| paused.is_some_and(is_old));
        is_away || each.dead_since.is_some_and(is_old)
    }
}
