//! What the types of a scenario do not say: ranges, names, and an order that can happen.

use std::collections::BTreeSet;

use super::{
    Act, CONNECTIONS_MAX, DEVELOPERS_MAX, FleetSection, GATEWAYS_MAX, LoadSection, NODES_MAX,
    Problem, RATE_MAX, SPAN_MAX, STEPS_MAX, Scenario, Step, TargetSection, WalletsSection,
};
use crate::nanos::Nanos;

/// Keys of a step that say what happens.
const ACTS: &str = "kill, restart, cut, heal, top_up";

fn wrong(key: impl Into<String>, text: impl Into<String>) -> Problem {
    Problem { key: key.into(), text: text.into() }
}

fn within(key: &str, value: u64, most: u64) -> Result<(), Problem> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(wrong(key, format!("{value} is not between 1 and {most}")))
}

fn count_within(key: &str, value: usize, most: usize) -> Result<(), Problem> {
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    within(key, wide(value), wide(most))
}

// === impl Scenario ===

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Problem> {
        match (&self.fleet, &self.target) {
            (Some(fleet), None) => fleet.check()?,
            (None, Some(target)) => target.check()?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(wrong("fleet", "needs either [fleet] or [target]"));
            }
        }
        self.wallets.check()?;
        self.load.check()?;
        if self.steps.len() > STEPS_MAX {
            return Err(wrong("step", format!("more than {STEPS_MAX}")));
        }
        let mut state = State::default();
        let mut before = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let key = |name: &str| format!("step[{index}].{name}");
            if step.at_ms < before {
                return Err(wrong(key("at_ms"), "is before the step above it"));
            }
            if step.at_ms >= self.load.span_ms {
                return Err(wrong(key("at_ms"), "is not before load.span_ms"));
            }
            before = step.at_ms;
            self.check_step(step, &key, &mut state)?;
        }
        match state.down.first() {
            Some(part) => Err(wrong("step", format!("{part} is killed and never restarted"))),
            None => Ok(()),
        }
    }

    fn check_step(
        &self,
        step: &Step,
        key: &dyn Fn(&str) -> String,
        state: &mut State,
    ) -> Result<(), Problem> {
        if step.count() != 1 {
            return Err(wrong(key("at_ms"), format!("needs exactly one of {ACTS}")));
        }
        if step.way.is_some() && step.cut.is_none() {
            return Err(wrong(key("way"), "belongs to a cut"));
        }
        let Some(act) = step.act() else {
            let name = if step.cut.is_some() { "cut" } else { "heal" };
            return Err(wrong(key(name), "needs a gateway and a node, as \"gateway-1 node-1\""));
        };
        let known = |name: &str, part: &str| {
            if self.parts().any(|known| known == part) {
                return Ok(());
            }
            Err(wrong(key(name), format!("{part:?} is no part of the fleet")))
        };
        match act {
            Act::Kill(part) => {
                known("kill", part)?;
                if !state.down.insert(part.to_owned()) {
                    return Err(wrong(key("kill"), format!("{part} is down already")));
                }
            }
            Act::Restart(part) => {
                known("restart", part)?;
                if !state.down.remove(part) {
                    return Err(wrong(key("restart"), format!("{part} was not killed")));
                }
            }
            Act::Cut(gateway, node, _) => {
                known("cut", gateway)?;
                known("cut", node)?;
                if !gateway.starts_with("gateway-") || !node.starts_with("node-") {
                    return Err(wrong(key("cut"), "names the gateway first, then the node"));
                }
            }
            Act::Heal(gateway, node) => {
                known("heal", gateway)?;
                known("heal", node)?;
            }
            Act::TopUp(amount) if amount <= Nanos::ZERO => {
                return Err(wrong(key("top_up"), "must be above 0"));
            }
            Act::TopUp(_) => {}
        }
        Ok(())
    }

    /// Names of the parts that steps may speak of.
    fn parts(&self) -> impl Iterator<Item = String> {
        let (gateways, nodes) = self.fleet.map_or((0, 0), |fleet| (fleet.gateways, fleet.nodes));
        let gateways = (1..=gateways).map(|number| format!("gateway-{number}"));
        gateways.chain((1..=nodes).map(|number| format!("node-{number}")))
    }
}

/// Which parts are down after the steps so far.
#[derive(Default)]
struct State {
    down: BTreeSet<String>,
}

// === impl sections ===

impl FleetSection {
    fn check(&self) -> Result<(), Problem> {
        count_within("fleet.gateways", self.gateways, GATEWAYS_MAX)?;
        count_within("fleet.nodes", self.nodes, NODES_MAX)?;
        within("fleet.sync_interval_ms", self.sync_interval_ms, 10_000)?;
        within("fleet.staleness_limit_ms", self.staleness_limit_ms, 600_000)
    }
}

impl TargetSection {
    fn check(&self) -> Result<(), Problem> {
        count_within("target.gateways", self.gateways.len(), GATEWAYS_MAX)?;
        count_within("target.nodes", self.nodes.len(), NODES_MAX)?;
        let management = std::slice::from_ref(&self.management);
        let lists = [
            ("target.gateways", self.gateways.as_slice()),
            ("target.nodes", self.nodes.as_slice()),
            ("target.management", management),
        ];
        for (key, urls) in lists {
            if let Some(url) = urls.iter().find(|url| !url.starts_with("http://")) {
                return Err(wrong(key, format!("{url:?} is not http://host:port")));
            }
        }
        if !self.path.starts_with('/') || self.path.parse::<hyper::Uri>().is_err() {
            return Err(wrong("target.path", "is not a path"));
        }
        Ok(())
    }
}

impl WalletsSection {
    fn check(&self) -> Result<(), Problem> {
        count_within("wallets.developers", self.developers, DEVELOPERS_MAX)?;
        count_within("wallets.overspend", self.overspend.len(), 2)?;
        if self.price <= Nanos::ZERO {
            return Err(wrong("wallets.price", "must be above 0"));
        }
        if self.credit <= Nanos::ZERO {
            return Err(wrong("wallets.credit", "must be above 0"));
        }
        let is_code =
            self.currency.len() == 3 && self.currency.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code {
            return Err(wrong("wallets.currency", "is not three capital letters"));
        }
        Ok(())
    }
}

impl LoadSection {
    fn check(&self) -> Result<(), Problem> {
        within("load.calls_per_second", self.calls_per_second, RATE_MAX)?;
        let longest = u64::try_from(SPAN_MAX.as_millis()).unwrap_or(u64::MAX);
        within("load.span_ms", self.span_ms, longest)?;
        count_within("load.connections", self.connections, CONNECTIONS_MAX)
    }
}
