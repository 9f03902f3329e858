//! What goes wrong, and when: all of it follows from the seed.
//!
//! Faults of one link, one machine or one way to the ledger never overlap themselves; those of different ones do. Everything is mended by
//! the end of the schedule, so that what comes after it is quiet.

use std::collections::HashMap;
use std::time::Duration;

use tollgate_metering::account::Overspend;

use crate::ledger::Weather;
use crate::randomness::Rng;

/// Balance-sync nodes of the fleet.
pub(crate) const NODES: u64 = 2;

/// How a link is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing passes.
    Both,
    /// Nothing passes from the gateway to the node.
    ToNode,
    /// Nothing passes from the node to the gateway.
    ToGateway,
    /// Everything waits, and passes late.
    Hold,
    /// So many of a thousand messages are lost, and the connection with them.
    Loss(u64),
    /// Messages take up to so many milliseconds.
    Slow(u64),
}

/// How a machine goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its process is killed; its peers see their connections close.
    Kill,
    /// It vanishes from the network first: nobody hears of its end.
    Vanish,
    /// It is asked to stop, and has until it is started again to do so.
    Stop,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link between a gateway and a node breaks.
    Cut { gateway: u64, node: u64, cut: Cut },
    /// It is mended.
    Mend { gateway: u64, node: u64, cut: Cut },
    /// A gateway goes.
    GatewayEnds { gateway: u64, end: End },
    /// It starts again, on the spend files that it left.
    GatewayStarts { gateway: u64 },
    /// A node goes.
    NodeEnds { node: u64, end: End },
    /// It starts again.
    NodeStarts { node: u64 },
    /// The ledger behaves in another way to one node, or to everybody.
    Weather { node: Option<u64>, weather: Weather },
    /// Money comes in: cents.
    Credit { cents: u64 },
    /// People decide on the wallet's overspend policy.
    Policy(Overspend),
}

/// Events in the order of their times.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) end: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Link(u64, u64),
    Gateway(u64),
    Node(u64),
    Ledger(Option<u64>),
}

// === impl Schedule ===

impl Schedule {
    /// A schedule made by hand: events with their times in ms, in their order.
    pub(crate) fn made(events: &[(u64, Event)], end_ms: u64) -> Self {
        let events = events.iter().map(|(at_ms, event)| (Duration::from_millis(*at_ms), *event));
        Self { events: events.collect(), end: Duration::from_millis(end_ms) }
    }

    /// The schedule of a seed in which the policy changes in the middle of everything, to strict and back.
    pub(crate) fn switching(seed: u64, gateways: u64) -> Self {
        let mut schedule = Self::of(seed, gateways);
        let mut rng = Rng::new(seed, 6);
        let middle_ms = u64::try_from(schedule.end.as_millis()).expect("a schedule is short") / 2;
        let strict_ms = rng.within(3_000..middle_ms);
        let optimistic_ms = strict_ms + rng.within(500..middle_ms);
        for (at_ms, policy) in
            [(strict_ms, Overspend::Strict), (optimistic_ms, Overspend::Optimistic)]
        {
            schedule.events.push((Duration::from_millis(at_ms), Event::Policy(policy)));
        }
        schedule.events.sort_by_key(|(at, _)| *at);
        schedule
    }

    /// The schedule of a seed, for so many gateways.
    pub(crate) fn of(seed: u64, gateways: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let (begin, end) = (3_000, 3_000 + rng.within(15_000..25_000));
        let mut events = vec![(500, Event::Credit { cents: rng.within(100..900) })];
        // Wallets that are dry for long and wallets that are filled all the time.
        let credits = *rng.pick(&[3, 10, 25]);
        let mut busy: HashMap<Place, u64> = HashMap::new();
        let mut at = begin;
        while at < end {
            at += rng.within(50..1_200);
            let lasting = rng.within(100..10_000).min(rng.within(100..10_000));
            let until = (at + lasting).min(end);
            if at >= until {
                break;
            }
            if rng.percent(credits) {
                events.push((at, Event::Credit { cents: rng.within(1..400) }));
                continue;
            }
            let (place, begins, ends) = fault(&mut rng, gateways);
            if busy.get(&place).is_some_and(|busy| *busy >= at) {
                continue;
            }
            busy.insert(place, until);
            events.extend([(at, begins), (until, ends)]);
        }
        events.sort_by_key(|(at, _)| *at);
        let events =
            events.into_iter().map(|(at, event)| (Duration::from_millis(at), event)).collect();
        Self { events, end: Duration::from_millis(end) }
    }
}

/// A fault: where, its beginning, its end.
fn fault(rng: &mut Rng, gateways: u64) -> (Place, Event, Event) {
    let (gateway, node) = (rng.within(0..gateways), rng.within(0..NODES));
    let end = *rng.pick(&[End::Kill, End::Vanish, End::Stop]);
    match rng.within(0..10) {
        0..5 => {
            let loss = Cut::Loss(rng.within(5..200));
            let slow = Cut::Slow(rng.within(50..1_500));
            let cuts = [Cut::Both, Cut::ToNode, Cut::ToGateway, Cut::Hold, loss, slow];
            let cut = *rng.pick(&cuts);
            let place = Place::Link(gateway, node);
            (place, Event::Cut { gateway, node, cut }, Event::Mend { gateway, node, cut })
        }
        5..7 => {
            let starts = Event::GatewayStarts { gateway };
            (Place::Gateway(gateway), Event::GatewayEnds { gateway, end }, starts)
        }
        7 => (Place::Node(node), Event::NodeEnds { node, end }, Event::NodeStarts { node }),
        _ => {
            let slow = Weather::Slow(Duration::from_millis(rng.within(50..4_000)));
            let flaky = Weather::Flaky { refused: rng.within(5..50), lost: rng.within(5..45) };
            let weather = *rng.pick(&[slow, flaky, Weather::Away]);
            let node = rng.percent(60).then_some(node);
            let ends = Event::Weather { node, weather: Weather::Fair };
            (Place::Ledger(node), Event::Weather { node, weather }, ends)
        }
    }
}
