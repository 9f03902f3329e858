//! Deals the free money of a strict wallet out, row by row.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Drawn, Terms};
use crate::account::{Ceiling, Stamp};
use crate::id::Incarnation;
use crate::money::{Money, MoneyError};
use crate::protocol::ReportedDraw;

/// A grant lasts for so many times what is spent while knowledge travels.
const ALPHA: i128 = 4;

/// A recall that was not echoed for this long is not waited for.
const RECALL_MAX: Duration = Duration::from_secs(1);

/// An incarnation that drew nothing for this long gives back what it has left.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// One incarnation in a plan.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) incarnation: Incarnation,
    pub(super) before: Option<Ceiling>,
    /// The ceiling in the account, and the one that is planned.
    draw: Money,
    most: Money,
    settled: Money,
    drawn: Money,
    wanted: Money,
    wanted_since: Option<Duration>,
    /// Its pace over the time that knowledge takes.
    burn: Money,
    /// Twice what it was given last.
    more: Money,
    is_live: bool,
    is_idle: bool,
    is_recall_lost: bool,
}

// === impl Row ===

impl Row {
    pub(super) fn of(
        incarnation: Incarnation,
        before: Option<Ceiling>,
        drawn: Option<&Drawn>,
        mode: u64,
        terms: Terms<'_>,
    ) -> Result<Row, MoneyError> {
        let read = drawn.and_then(|drawn| drawn.read).map(|(_, draw)| draw);
        let read = read.filter(|draw| draw.mode == mode);
        let noted = before.unwrap_or(Ceiling { is_retired: false, ..Ceiling::RETIRED });
        let settled = noted.settled.max(read.map_or(Money::ZERO, |draw| draw.settled));
        let sum = |draw: ReportedDraw| draw.settled.plus(draw.held);
        let drawn_by_now = read.map(sum).transpose()?;
        let most = match read {
            Some(draw) if draw.stamp >= noted.stamp => draw.limit.max(sum(draw)?),
            Some(_) | None => noted.most,
        };
        let burn = drawn.map_or(0, |drawn| drawn.nanos_per_second);
        let knowledge_ms = i128::try_from(terms.knowledge.as_millis()).unwrap_or(i128::MAX);
        let burn = burn.saturating_mul(knowledge_ms) / 1000;
        let is_live = drawn.is_some_and(|drawn| drawn.heard.is_some()) && read.is_some();
        let recalled = drawn.and_then(|drawn| drawn.recalled_at);
        Ok(Row {
            incarnation,
            before,
            draw: noted.draw,
            most: if before.is_none() { most } else { most.min(noted.most) },
            settled,
            drawn: drawn_by_now.unwrap_or(noted.most),
            wanted: read.filter(|_| is_live).map_or(Money::ZERO, |draw| draw.wanted),
            wanted_since: drawn.and_then(|drawn| drawn.wanted_since),
            more: drawn.map_or(Ok(Money::ZERO), |drawn| drawn.granted.plus(drawn.granted))?,
            burn: Money::from_nanos(burn.saturating_mul(ALPHA)).unwrap_or(Money::MAX),
            is_live,
            is_idle: drawn
                .is_some_and(|each| terms.now.saturating_sub(each.moved_at) >= IDLE_AFTER),
            is_recall_lost: recalled
                .is_some_and(|(_, at)| terms.now.saturating_sub(at) >= RECALL_MAX),
        })
    }

    pub(super) fn reserved(&self) -> Result<Money, MoneyError> {
        Ok(self.most.minus(self.settled)?.max(Money::ZERO))
    }

    /// What is left under the ceiling in the account.
    fn headroom(&self) -> Money {
        self.draw.minus(self.drawn).unwrap_or(Money::ZERO).max(Money::ZERO)
    }

    /// What a recall would free.
    fn spare(&self) -> Money {
        self.most.minus(self.drawn).unwrap_or(Money::ZERO).max(Money::ZERO)
    }

    /// Whether a gateway that is heard here has more than it needs, or the account says so.
    pub(super) fn holds_too_much(&self) -> bool {
        let is_outdated = self
            .before
            .is_some_and(|before| before.most > self.most || before.settled < self.settled);
        self.is_live && (is_outdated || !self.spare().is_zero())
    }

    pub(super) fn is_unmet(&self) -> bool {
        self.is_live && !self.wanted.is_zero() && self.headroom() < self.wanted
    }

    pub(super) fn is_moved(&self) -> bool {
        self.draw != self.before.map_or(Money::ZERO, |before| before.draw)
    }

    pub(super) fn is_noted(&self) -> bool {
        self.before.is_some_and(|before| (before.most, before.settled) != (self.most, self.settled))
    }

    pub(super) fn ceiling(&self, stamp: Stamp) -> Ceiling {
        let most = self.most.max(self.draw);
        Ceiling { stamp, draw: self.draw, most, settled: self.settled, is_retired: false }
    }
}

/// Deals free money out.
pub(super) struct Plan<'a> {
    free: Money,
    rows: &'a mut [Row],
    /// A row's share of what is free, at most.
    share: Money,
}

// === impl Plan ===

impl<'a> Plan<'a> {
    pub(super) fn new(free: Money, rows: &'a mut [Row]) -> Plan<'a> {
        let free = free.max(Money::ZERO);
        let live = rows.iter().filter(|row| row.is_live).count().max(1);
        let shares = i128::try_from(live).unwrap_or(i128::MAX).saturating_mul(2);
        let share = Money::from_nanos(free.nanos() / shares).unwrap_or(Money::ZERO);
        Plan { free, rows, share }
    }

    /// Plans every row; answers what was wanted and cannot be had.
    pub(super) fn run(mut self) -> Result<BTreeMap<Incarnation, Money>, MoneyError> {
        let mut denied = BTreeMap::new();
        let mut waiting: Vec<usize> =
            (0..self.rows.len()).filter(|place| self.rows[*place].is_unmet()).collect();
        waiting
            .sort_by_key(|place| (self.rows[*place].wanted_since, self.rows[*place].incarnation));
        let mut served: Vec<usize> = Vec::new();
        for place in waiting {
            if self.grant(place)? {
                served.push(place);
            } else if self.recall_for(place, &served)? {
                // What is free is kept for it until the recall is echoed.
                self.free = Money::ZERO;
                served.push(place);
            } else {
                denied.insert(self.rows[place].incarnation, self.rows[place].wanted);
            }
        }
        for place in 0..self.rows.len() {
            if !served.contains(&place) {
                self.tend(place)?;
            }
        }
        Ok(denied)
    }

    /// What a row that ran out should have left: its pace is held down by the grants themselves
    /// where they are slow, so each time it runs out it gets twice as much.
    fn target(&self, row: &Row) -> Money {
        row.wanted.max(row.burn.max(row.more).min(self.share))
    }

    /// Gives an unmet row what it wants, and more where there is plenty; false where there is not.
    fn grant(&mut self, place: usize) -> Result<bool, MoneyError> {
        let row = &self.rows[place];
        let (full, least) = (row.drawn.plus(self.target(row))?, row.drawn.plus(row.wanted)?);
        for goal in [full, least] {
            let more = goal.minus(row.most)?.max(Money::ZERO);
            if more <= self.free {
                self.raise(place, goal, more)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn raise(&mut self, place: usize, goal: Money, more: Money) -> Result<(), MoneyError> {
        let row = &mut self.rows[place];
        self.free = self.free.minus(more)?;
        row.draw = goal;
        row.most = row.most.max(goal);
        Ok(())
    }

    /// Takes back from others what a row lacks; false where they have not so much.
    fn recall_for(&mut self, place: usize, served: &[usize]) -> Result<bool, MoneyError> {
        let row = &self.rows[place];
        let lacks = row.drawn.plus(row.wanted)?.minus(row.most)?.minus(self.free)?;
        let can_give = |other: &usize| {
            let each = &self.rows[*other];
            *other != place && !served.contains(other) && each.is_live && !each.is_recall_lost
        };
        let givers: Vec<usize> = (0..self.rows.len()).filter(can_give).collect();
        let spare = givers
            .iter()
            .try_fold(Money::ZERO, |sum, other| sum.plus(self.rows[*other].spare()))?;
        if spare < lacks {
            return Ok(false);
        }
        let mut freed = Money::ZERO;
        for other in givers {
            if freed >= lacks {
                break;
            }
            let giver = &mut self.rows[other];
            freed = freed.plus(giver.spare())?;
            giver.draw = giver.draw.min(giver.drawn);
        }
        Ok(true)
    }

    /// Tops a busy row up before it runs out, and takes back what an idle one has left.
    fn tend(&mut self, place: usize) -> Result<(), MoneyError> {
        let row = &self.rows[place];
        if !row.is_live {
            return Ok(());
        }
        let (headroom, target) = (row.headroom(), row.burn.min(self.share));
        if row.is_idle && row.wanted.is_zero() && headroom > Money::ZERO {
            self.rows[place].draw = row.drawn;
            return Ok(());
        }
        if headroom.plus(headroom)? < target && !row.is_idle {
            let goal = row.drawn.plus(target)?;
            let more = goal.minus(row.most)?.max(Money::ZERO);
            if more <= self.free && goal > row.draw {
                self.raise(place, goal, more)?;
            }
        }
        Ok(())
    }
}
