//! One simulation: things go wrong while calls are made, everything is mended, it becomes quiet; the money is right throughout.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tollgate_ledger_store::book::Standing;
use tollgate_metering::account::Overspend;
use tollgate_metering::{Money, Period, UnixMillis};

use crate::callers::{CALLERS, Calls};
use crate::fleet::{Fleet, STALENESS_LIMIT};
use crate::ground::{Ground, price};
use crate::modes::Modes;
use crate::people::{Belief, People, Seen};
use crate::randomness::{self, Rng};
use crate::retirement::Retired;
use crate::schedule::{Event, Schedule};
use crate::trace::Trace;

/// Between two looks at the ledger.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Once all is mended every gateway answers calls again by then.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(20);
/// So many answers are a recovery.
const RECOVERED: u64 = 10;
/// Once nobody calls, everything agrees by then. A gateway forgets an idle wallet after ten seconds.
const QUIET_MAX: Duration = Duration::from_secs(9);
/// A strict wallet is spent to the last cent by then.
pub(crate) const DRY_MAX: Duration = Duration::from_secs(60);
/// A caller's calls a second at most: it pauses and messages travel.
const CALLS_A_SECOND_MAX: i128 = 40;
/// The age of knowledge beside the staleness limit, in seconds, rounded up.
const KNOWLEDGE_AGE_S: i128 = 2;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) gateways: u64,
    pub(crate) policy: Overspend,
    /// What is paid in once all is mended.
    pub(crate) last_cents: u64,
}

/// A simulation under way.
pub(crate) struct Scenario {
    pub(crate) terms: Terms,
    pub(crate) ground: Rc<Ground>,
    pub(crate) fleet: Fleet,
    pub(crate) calls: Rc<Calls>,
    pub(crate) people: Rc<People>,
    pub(crate) trace: Rc<Trace>,
    pub(crate) modes: Modes,
    pub(crate) retired: Vec<Retired>,
    /// The most that was spent beyond what was credited, in nanos.
    overspent: i128,
    /// Since when the ledger has no money for another call, and what was credited then.
    pub(crate) dry: Option<(Duration, Money)>,
}

/// Runs a seed on an optimistic wallet: what it saw, or what was wrong.
pub(crate) fn optimistic(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 3, policy: Overspend::Optimistic, last_cents: 10_000 };
    run(seed, terms, &Schedule::of(seed, terms.gateways), Scenario::recover)
}

/// Runs a seed on a strict wallet, whose last cents are spent in the end.
pub(crate) fn strict(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 4, policy: Overspend::Strict, last_cents: 3_000 };
    run(seed, terms, &Schedule::of(seed, terms.gateways), |all| {
        all.recover()?;
        all.run_dry()
    })
}

/// Runs a seed in which the policy changes, twice while things go wrong and twice while all is well.
pub(crate) fn switching(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 3, policy: Overspend::Optimistic, last_cents: 1_500 };
    run(seed, terms, &Schedule::switching(seed, terms.gateways), |all| {
        all.recover()?;
        all.switch(Overspend::Strict)?;
        all.people.pay(500);
        all.run_dry()?;
        all.switch(Overspend::Optimistic)?;
        all.recover()
    })
}

/// Runs a schedule, and `then` once it is over, before it becomes quiet.
pub(crate) fn run(
    seed: u64,
    terms: Terms,
    schedule: &Schedule,
    then: impl FnOnce(&mut Scenario) -> Result<(), String>,
) -> Result<String, String> {
    randomness::seed(seed);
    let began = began(seed);
    let ground = Rc::new(Ground::new(seed, began, terms.policy));
    crate::seeds::log(&ground.time);
    let trace = Rc::new(Trace::new(&ground.time));
    let mut scenario = Scenario::new(terms, &ground, &trace);
    let ended = scenario.play(schedule, then);
    let digest = trace.digest();
    if std::env::var_os("SHOW_TRACE").is_some() || ended.is_err() {
        eprintln!("schedule: {:#?}", schedule.events);
        eprintln!("trace:\n{}", trace.show(ended.is_ok()));
    }
    ended.map(|seen| format!("{seen}, trace {digest:016x}"))
}

/// The time when the simulation begins: a third of them see a month end.
fn began(seed: u64) -> UnixMillis {
    let end = Period::of(UnixMillis(1_795_348_800_000)).end();
    let mut rng = Rng::new(seed, 5);
    let before_s = if rng.percent(33) { rng.within(2..20) } else { rng.within(3_600..900_000) };
    end.minus(Duration::from_secs(before_s))
}

// === impl Scenario ===

impl Scenario {
    fn new(terms: Terms, ground: &Rc<Ground>, trace: &Rc<Trace>) -> Self {
        let mut fleet = Fleet::new(ground, terms.gateways);
        let calls = Calls::new(terms.gateways, &ground.key, trace);
        let people = People::new(ground, trace);
        let (all, seed) = (Rc::clone(&calls), ground.seed);
        fleet.sim.host("callers", move || {
            let all = Rc::clone(&all);
            async move {
                for gateway in 0..terms.gateways {
                    for caller in 0..CALLERS {
                        tokio::task::spawn_local(Rc::clone(&all).call(gateway, caller, seed));
                    }
                }
                std::future::pending().await
            }
        });
        let working = Rc::clone(&people);
        fleet.sim.host("people", move || {
            let working = Rc::clone(&working);
            async move {
                working.work().await;
                Ok(())
            }
        });
        let (ground, trace) = (Rc::clone(ground), Rc::clone(trace));
        Self {
            terms,
            ground,
            fleet,
            calls,
            people,
            trace,
            modes: Modes::default(),
            retired: Vec::new(),
            overspent: i128::MIN,
            dry: None,
        }
    }

    fn play(
        &mut self,
        schedule: &Schedule,
        then: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<String, String> {
        for (at, event) in &schedule.events {
            self.go_on_until(*at)?;
            self.trace.note(|| format!("{event:?}"));
            self.happen(*event);
        }
        self.go_on_until(schedule.end)?;
        then(self)?;
        let charged = self.become_quiet()?;
        let (calls, paid) = (self.calls.sum(), self.people.paid());
        let (succeeded, unanswered, overspent) =
            (calls.succeeded(), calls.unanswered, self.overspent);
        let switches = self.modes.switches;
        let overspent = Money::from_nanos(overspent.max(0)).expect("it is within its bound");
        Ok(format!(
            "{succeeded} calls succeeded, {unanswered} unanswered, {charged} charged of {paid} paid in, at most {overspent} \
             overspent, {switches} changes of the policy, answers {:?}",
            calls.answered
        ))
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Cut { gateway, node, cut } => self.fleet.cut(gateway, node, cut),
            Event::Mend { gateway, node, cut } => self.fleet.mend(gateway, node, cut),
            Event::GatewayEnds { gateway, end } => self.fleet.end_gateway(gateway, end),
            Event::GatewayStarts { gateway } => self.fleet.start_gateway(gateway),
            Event::NodeEnds { node, end } => self.fleet.end_node(node, end),
            Event::NodeStarts { node } => self.fleet.start_node(node),
            Event::Weather { node: Some(node), weather } => {
                self.ground.road_of(node).set_weather(weather);
            }
            Event::Weather { node: None, weather } => {
                self.ground.roads.iter().for_each(|road| road.set_weather(weather));
            }
            Event::Credit { cents } => self.people.pay(cents),
            Event::Policy(policy) => self.people.decide(policy),
        }
    }

    /// Lets time pass, and looks at the money meanwhile.
    pub(crate) fn go_on_until(&mut self, until: Duration) -> Result<(), String> {
        let mut look_at = self.fleet.sim.elapsed() + LOOK_EVERY;
        while self.fleet.sim.elapsed() < until {
            self.fleet.sim.step().map_err(|error| format!("a machine failed: {error}"))?;
            self.ground.time.reach(self.fleet.sim.elapsed());
            if self.fleet.sim.elapsed() >= look_at {
                look_at += LOOK_EVERY;
                self.look()?;
            }
        }
        self.look()
    }

    /// Goes on until it is so.
    ///
    /// # Errors
    /// Where it is not so in time: what `is_so` said last.
    pub(crate) fn go_on_till(
        &mut self,
        within: Duration,
        is_so: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = self.fleet.sim.elapsed() + within;
        while let Err(why) = is_so(self) {
            let now = self.fleet.sim.elapsed();
            if now >= deadline {
                return Err(format!("not within {within:?}: {why}"));
            }
            self.go_on_until(now + Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// What must be true at any time: the ledger never has more than happened, a payment counts once, and overspend stays within
    /// its bound.
    fn look(&mut self) -> Result<(), String> {
        let Standing { read, balance } = self.ground.standing();
        let (credited, mode) = (read.account.header.credited, read.account.header.mode);
        let charged = credited.nanos() - balance.nanos();
        let calls = self.calls.sum();
        let (succeeded, maybe) = (calls.succeeded(), calls.open() + calls.unanswered);
        let most = i128::from(succeeded + maybe) * price().nanos();
        if charged > most {
            return Err(format!("{charged} nanos charged for at most {most}"));
        }
        let served = i128::from(self.fleet.served.get()) * price().nanos();
        if charged > served {
            return Err(format!("{charged} nanos charged, the upstream served for {served}"));
        }
        let (owed, paid) = (self.people.owed(), self.people.paid());
        if credited > owed || credited < paid {
            return Err(format!(
                "{credited} credited of {owed} paid in, {paid} known to be booked"
            ));
        }
        let overspent = i128::from(succeeded) * price().nanos() - credited.nanos();
        self.overspent = self.overspent.max(overspent);
        self.look_at_dry(credited, balance, calls.youngest)?;
        self.modes.look(mode, balance, calls.youngest, self.fleet.sim.elapsed())?;
        let bound = self.overspend_max() + self.forgiven();
        if overspent > bound {
            return Err(format!("{overspent} nanos overspent, the bound is {bound}"));
        }
        Ok(())
    }

    /// Once the ledger has no money for another call, every snapshot that says otherwise is older than that; so when the
    /// staleness limit has passed, nobody admits a call.
    fn look_at_dry(
        &mut self,
        credited: Money,
        balance: Money,
        youngest: Duration,
    ) -> Result<(), String> {
        if balance >= price() {
            self.dry = None;
            return Ok(());
        }
        let now = self.fleet.sim.elapsed();
        let (since, _) = match self.dry {
            Some(dry) if dry.1 == credited => dry,
            Some(_) | None => *self.dry.insert((now, credited)),
        };
        if youngest > since + STALENESS_LIMIT {
            return Err(format!(
                "a call that began at {youngest:?} was admitted, the ledger has {balance} since {since:?}"
            ));
        }
        Ok(())
    }

    /// Every gateway answers calls again, though nobody touched it.
    pub(crate) fn recover(&mut self) -> Result<(), String> {
        self.trace.note(|| "all is mended".to_owned());
        self.people.pay(self.terms.last_cents);
        let before: Vec<_> =
            self.calls.tallies.borrow().iter().map(|tally| tally.succeeded()).collect();
        self.go_on_till(RECOVERY_MAX, |all| {
            let tallies = all.calls.tallies.borrow();
            let after = tallies.iter().map(|tally| tally.succeeded());
            let new: Vec<_> = after.zip(&before).map(|(after, before)| after - before).collect();
            if new.iter().all(|new| *new >= RECOVERED) {
                Ok(())
            } else {
                Err(format!("calls that succeed since all is mended, by gateway: {new:?}"))
            }
        })
    }

    /// The policy is in force in the end, though callers go on.
    fn switch(&mut self, policy: Overspend) -> Result<(), String> {
        self.trace.note(|| format!("{policy} from now on"));
        self.people.decide(policy);
        self.go_on_till(RECOVERY_MAX, |all| {
            if !all.people.has_done() {
                return Err("it is not decided yet".to_owned());
            }
            all.modes.is(policy)
        })
    }

    /// Everything that is left is spent, wherever it was set aside.
    pub(crate) fn run_dry(&mut self) -> Result<(), String> {
        self.trace.note(|| "the last cents are spent".to_owned());
        self.go_on_till(DRY_MAX, |all| {
            let (_, balance) = all.ground.balance();
            if balance.is_zero() { Ok(()) } else { Err(format!("{balance} is left")) }
        })
    }

    /// Ledger, nodes and gateways agree on what was answered.
    fn become_quiet(&mut self) -> Result<Money, String> {
        self.trace.note(|| "nobody calls any more".to_owned());
        self.calls.is_quiet.set(true);
        self.go_on_till(QUIET_MAX, |all| match all.calls.sum().open() {
            0 => all.agree(),
            open => Err(format!("{open} calls are open")),
        })?;
        self.people.seen.borrow_mut().clear();
        // They agreed for a moment; they still do once everybody was asked again.
        self.go_on_till(Duration::from_secs(2), Self::agree)?;
        let (credited, balance) = self.ground.balance();
        Ok(credited.minus(balance).expect("the ledger checks its sums"))
    }

    fn agree(&self) -> Result<(), String> {
        let (credited, balance) = self.ground.balance();
        let (owed, paid) = (self.people.owed(), self.people.paid());
        if credited != owed || paid != owed {
            return Err(format!(
                "{credited} credited of {owed} paid in, {paid} known to be booked"
            ));
        }
        let charged = credited.nanos() - balance.nanos();
        let calls = self.calls.sum();
        let least = i128::from(calls.succeeded()) * price().nanos();
        let (most, suspended) =
            (least + i128::from(calls.unanswered) * price().nanos(), self.ground.suspended(None));
        if charged + suspended < least || charged + suspended > most {
            return Err(format!(
                "{charged} nanos charged, {suspended} in suspense, {least} to {most} answered"
            ));
        }
        if self.retired.is_empty() && suspended != 0 {
            return Err(format!("{suspended} nanos in suspense, though nobody was retired"));
        }
        let seen = self.people.seen.borrow();
        let mut beliefs = BTreeMap::new();
        for (node, Seen { balance: told, beliefs: of_node }) in &*seen {
            if *told != balance {
                return Err(format!("node {node} tells {told}, the ledger has {balance}"));
            }
            beliefs.extend(of_node.clone());
        }
        let is_right = |belief: &Belief| {
            belief.balance == balance && belief.held.is_zero() && belief.not_durable.is_zero()
        };
        let count = usize::try_from(self.terms.gateways).expect("a fleet is small");
        if beliefs.len() < count || !beliefs.values().all(is_right) {
            return Err(format!("the ledger has {balance}, gateways believe {beliefs:?}"));
        }
        Ok(())
    }

    /// What may be admitted beyond the balance, in nanos. On a strict wallet nothing more than before; on an optimistic one what gateways admit
    /// before they know that the money is gone: each at its full rate for as long as it may trust an old balance.
    fn overspend_max(&self) -> i128 {
        let rate = i128::from(self.terms.gateways * CALLERS) * CALLS_A_SECOND_MAX;
        let age_s = i128::from(STALENESS_LIMIT.as_secs()) + KNOWLEDGE_AGE_S;
        self.modes.debt().unwrap_or(rate * age_s * price().nanos())
    }
}
