//! `loadtest overspend`: drives wallets through all gateways until they are dry and beyond, while parts die, and compares.
//!
//! The promise is checked when everything is quiet again: every node and every gateway must say the same balance, and what was
//! charged must be what was answered, to the nano, but for calls that were open when a part was killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::accounting::{Account, Verdict};
use crate::bound::{Measured, dry_moments, most_calls};
use crate::clock::{Clock, unix_ms};
use crate::drive::{Pace, drive};
use crate::live::{Live, Moment};
use crate::nanos::Nanos;
use crate::portal::{Developer, PortalError};
use crate::report::{Balances, Calls, Latency, Report, Run, Summary};
use crate::scenario::{Overspend, Scenario};
use crate::site::{Site, SiteError};
use crate::steps::{Event, Kind, Stage, StepError};
use crate::tally::{Counts, Tally};
use crate::told::{Held, History};
use crate::watcher::{LOOK_INTERVAL, Sample, Watcher};

/// How long everybody may take to agree once the load is over.
const QUIET_TIMEOUT: Duration = Duration::from_secs(20);
/// Ages of knowledge matter so shortly before a wallet runs dry.
const NEAR: Duration = Duration::from_millis(300);
/// Between two looks at whether they do.
const QUIET_INTERVAL: Duration = Duration::from_millis(200);
/// Looks in a row that must find the same, so that nothing comes after the end.
const QUIET_LOOKS: u32 = 3;

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// The `tollgate` binary.
    pub binary: PathBuf,
    /// Where fleets keep their files; each run has a folder in it.
    pub folder: PathBuf,
}

/// Why a run ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder of a run cannot be made.
    #[error("cannot make {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to talk to.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Developers and wallets cannot be made.
    #[error("cannot make developers")]
    Portal(#[from] PortalError),
    /// A step cannot be done.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Runs a scenario once for each policy that it names.
///
/// # Errors
/// [`RunError`]; a broken promise is none, the report says it.
pub async fn run(scenario: &Scenario, place: &Place, live: &mut Live) -> Result<Report, RunError> {
    let mut report =
        Report { title: scenario.title.clone(), started_at_ms: unix_ms(), runs: Vec::new() };
    for (number, overspend) in scenario.wallets.overspend.iter().enumerate() {
        let folder = place.folder.join(format!("run-{}", number + 1));
        std::fs::create_dir_all(&folder)
            .map_err(|source| RunError::Folder { folder: folder.clone(), source })?;
        let site = Site::start(scenario, &place.binary, &folder).await?;
        let organization = format!("load-{}-{}", report.started_at_ms, number + 1);
        let portal = site.portal(&organization);
        let developers = portal.make(&scenario.wallets, *overspend, &site.proxy).await?;
        let stand = Stand::new(scenario, *overspend, &site, &organization, developers.into());
        report.runs.push(stand.run(live).await?);
        live.end();
    }
    Ok(report)
}

/// The `tollgate` binary beside this program, where both were built.
#[must_use]
pub fn binary_beside(program: &Path) -> PathBuf {
    program.with_file_name("tollgate")
}

/// One run.
struct Stand<'a> {
    scenario: &'a Scenario,
    overspend: Overspend,
    site: &'a Site,
    organization: &'a str,
    developers: Arc<[Developer]>,
    gateways: Vec<String>,
    accounts: Arc<Mutex<Vec<Account>>>,
    tally: Arc<Tally>,
    events: Arc<Mutex<Vec<Event>>>,
    samples: Arc<Mutex<Vec<Sample>>>,
    told: Arc<Mutex<Vec<History>>>,
}

/// What everybody says in the end.
struct Quiet {
    verdict: Verdict,
    is_agreed: bool,
    charged: Nanos,
}

// === impl Stand ===

impl<'a> Stand<'a> {
    fn new(
        scenario: &'a Scenario,
        overspend: Overspend,
        site: &'a Site,
        organization: &'a str,
        developers: Arc<[Developer]>,
    ) -> Self {
        let wallets = &scenario.wallets;
        let account = Account::new(wallets.price, wallets.credit);
        let told = vec![History::default(); developers.len()];
        Self {
            scenario,
            overspend,
            site,
            organization,
            gateways: site.gateways.iter().map(|(name, _)| name.clone()).collect(),
            accounts: Arc::new(Mutex::new(vec![account; developers.len()])),
            tally: Arc::new(Tally::new(site.gateways.len(), developers.len())),
            developers,
            events: Arc::default(),
            samples: Arc::default(),
            told: Arc::new(Mutex::new(told)),
        }
    }

    async fn run(&self, live: &mut Live) -> Result<Run, RunError> {
        let clock = Clock::start();
        let watcher = self.watcher();
        let load = &self.scenario.load;
        let pace = Pace {
            calls_per_second: load.calls_per_second,
            start: Duration::ZERO,
            span: self.scenario.span(),
            connections: load.connections,
        };
        let stage = Stage {
            site: self.site,
            organization: self.organization,
            developers: &self.developers,
            currency: &self.scenario.wallets.currency,
            accounts: &self.accounts,
            tally: &self.tally,
            clock,
            events: &self.events,
        };
        let driven = async {
            let drive = drive(self.site, &self.developers, pace, clock, &self.tally);
            let ((), acted) = tokio::join!(drive, stage.act(self.scenario));
            acted
        };
        let watched = watcher.run(clock, |sample| self.samples.lock().push(sample));
        tokio::select! {
            acted = driven => acted?,
            () = watched => {}
            () = self.show(live, clock) => {}
        }
        self.show_once(live, clock);
        for (developer, account) in self.accounts.lock().iter_mut().enumerate() {
            account.note_answered(self.tally.answered(developer));
        }
        let quiet = self.quiet(&watcher, clock).await;
        Ok(self.result(&quiet))
    }

    fn watcher(&self) -> Watcher {
        Watcher {
            nodes: self.site.nodes.clone(),
            token: self.site.token.clone(),
            organization: self.organization.to_owned(),
            currency: self.scenario.wallets.currency.clone(),
            developers: Arc::clone(&self.developers),
            gateways: self.gateways.clone(),
            accounts: Arc::clone(&self.accounts),
            tally: Arc::clone(&self.tally),
            told: Arc::clone(&self.told),
        }
    }

    /// Shows the run until it is dropped.
    async fn show(&self, live: &mut Live, clock: Clock) {
        loop {
            self.show_once(live, clock);
            tokio::time::sleep(live.interval()).await;
        }
    }

    fn show_once(&self, live: &mut Live, clock: Clock) {
        let sample = self.samples.lock().last().cloned();
        let event = self.events.lock().last().map(|event| event.text.clone());
        live.show(&Moment {
            title: self.overspend.as_str(),
            at: clock.now(),
            span: self.scenario.span(),
            counts: self.tally.total(),
            sample: sample.as_ref(),
            gateways: &self.gateways,
            currency: &self.scenario.wallets.currency,
            event: event.as_deref(),
        });
    }

    /// Waits until every node and gateway says the same, and it is what was answered; or until it is too late for that.
    async fn quiet(&self, watcher: &Watcher, clock: Clock) -> Quiet {
        let until = clock.now() + QUIET_TIMEOUT;
        let mut looks = 0;
        let mut last = Quiet { verdict: Verdict::Lost, is_agreed: false, charged: Nanos::ZERO };
        while clock.now() < until {
            if let Some(seen) = self.look(watcher, clock).await {
                let is_same = seen.charged == last.charged;
                let is_good = seen.verdict == Verdict::Kept && seen.is_agreed;
                looks = if is_good && is_same { looks + 1 } else { 0 };
                last = seen;
                if looks >= QUIET_LOOKS {
                    break;
                }
            }
            tokio::time::sleep(QUIET_INTERVAL).await;
        }
        last
    }

    async fn look(&self, watcher: &Watcher, clock: Clock) -> Option<Quiet> {
        let nodes = watcher.ask_all(clock).await.ok()?;
        let accounts = self.accounts.lock();
        let mut quiet = Quiet { verdict: Verdict::Kept, is_agreed: true, charged: Nanos::ZERO };
        for (developer, account) in accounts.iter().enumerate() {
            let seen: Vec<_> = nodes.iter().filter_map(|wallets| wallets.get(developer)).collect();
            let balance = seen.first()?.ledger;
            let views = seen.iter().flat_map(|seen| seen.gateways.iter().map(|view| view.balance));
            let all = seen.iter().map(|seen| seen.ledger).chain(views);
            quiet.is_agreed &= all.into_iter().all(|said| said == balance);
            quiet.charged = quiet.charged + account.charged(balance);
            let (answered, open) =
                (self.tally.answered(developer), self.tally.unanswered(developer));
            let verdict = account.verdict(balance, answered, open);
            if verdict != Verdict::Kept {
                quiet.verdict = verdict;
            }
        }
        Some(quiet)
    }

    fn result(&self, quiet: &Quiet) -> Run {
        let wallets = &self.scenario.wallets;
        let mut samples: Vec<Sample> = {
            let span = self.scenario.span();
            let samples = self.samples.lock();
            samples.iter().filter(|sample| sample.at <= span).cloned().collect()
        };
        samples.sort_by_key(|sample| sample.at);
        let balances = samples.iter().map(|sample| Balances {
            at_ms: millis(sample.at),
            ledger: sample.ledger,
            reserved: sample.reserved,
            gateways: sample.gateways.clone(),
        });
        let nodes = self.site.nodes.len();
        let mut events = self.events.lock().clone();
        events.sort_by_key(|event| event.at_ms);
        Run {
            overspend: self.overspend,
            gateways: self.gateways.clone(),
            nodes: (1..=nodes).map(|number| format!("node-{number}")).collect(),
            developers: self.developers.len(),
            price: wallets.price,
            currency: wallets.currency.clone(),
            calls_per_second: self.scenario.load.calls_per_second,
            span_ms: self.scenario.load.span_ms,
            summary: self.summary(quiet, &samples, &events),
            latency: Latency::of(&self.tally.latency()),
            balances: balances.collect(),
            calls: Calls::of(&self.tally.slots()),
            events,
        }
    }

    fn summary(&self, quiet: &Quiet, samples: &[Sample], events: &[Event]) -> Summary {
        let counts = self.tally.total();
        let accounts = self.accounts.lock();
        let overspent: Nanos = accounts.iter().map(Account::overspent).sum();
        let credited = accounts.iter().map(Account::credited).sum();
        let worth = self.scenario.wallets.price.times(counts.answered);
        let (by_formula, age) = self.by_formula(samples, events, credited);
        let price = self.scenario.wallets.price;
        let held = Held::against(self.overspend, &self.told.lock(), price, overspent, by_formula);
        let is_kept =
            quiet.verdict == Verdict::Kept && quiet.is_agreed && held.is_within && held.is_promised;
        Summary {
            due: counts.all(),
            admitted: counts.answered,
            refused: counts.dry,
            failed: counts.refused,
            not_sent: counts.not_sent,
            in_flight: counts.unanswered,
            statuses: self.tally.statuses(),
            credited,
            admitted_worth: worth,
            charged: quiet.charged,
            difference: quiet.charged - worth,
            overspent,
            bound: held.bound,
            bound_source: held.source,
            bound_before: held.before,
            bound_by_formula: by_formula,
            bound_told: held.told,
            is_beyond_told: held.is_beyond_told,
            is_within: held.is_within,
            is_promised: held.is_promised,
            reserved_most: samples.iter().map(|it| it.reserved).max().unwrap_or_default(),
            knowledge_age_ms: millis(age),
            verdict: quiet.verdict,
            is_agreed: quiet.is_agreed,
            is_kept,
        }
    }

    /// The bound by the formula, and W in it.
    fn by_formula(
        &self,
        samples: &[Sample],
        events: &[Event],
        credited: Nanos,
    ) -> (Nanos, Duration) {
        match self.overspend {
            Overspend::Strict => return (Nanos::ZERO, Duration::ZERO),
            Overspend::Optimistic => {}
        }
        let slots = self.tally.slots();
        let dry = dry_moments(&slots);
        // Not after it: a wallet that nobody spends is reported seldom.
        let is_near =
            |sample: &&Sample| dry.iter().any(|at| sample.at <= *at && sample.at + NEAR >= *at);
        let near = samples.iter().filter(is_near).map(|sample| sample.staleness);
        let seen = near.max().unwrap_or_default();
        let interval = self.scenario.sync_interval();
        // What is seen of an age may grow by a look and a report until it is seen again.
        let mut age = (2 * interval).max(seen.min(self.scenario.staleness_limit()))
            + interval
            + LOOK_INTERVAL;
        if is_out_of_touch_while_dry(&slots, events, age) {
            age += self.scenario.staleness_limit();
        }
        let ended = events
            .iter()
            .filter(|event| event.kind == Kind::Killed && event.part.starts_with("gateway"));
        let lives = self.gateways.len() + ended.count();
        let measured = Measured {
            lives: u64::try_from(lives).unwrap_or(u64::MAX),
            price: self.scenario.wallets.price,
            balance: credited,
            knowledge_age: age,
            calls: most_calls(&slots, age),
        };
        (measured.bound(), age)
    }
}

/// Whether a node was away or a wire was cut while a wallet was dry, or less than `aftermath`
/// before that: by then everybody has heard of everybody.
fn is_out_of_touch_while_dry(slots: &[Vec<Counts>], events: &[Event], aftermath: Duration) -> bool {
    let is_dry = |from_ms: u64, to_ms: u64| {
        let slot_ms = millis(crate::tally::SLOT).max(1);
        let index = |ms: u64| usize::try_from(ms / slot_ms).unwrap_or(usize::MAX);
        let (from, to) = (index(from_ms), index(to_ms));
        slots
            .iter()
            .any(|lane| lane.iter().take(to.saturating_add(1)).skip(from).any(|slot| slot.dry > 0))
    };
    events.iter().enumerate().any(|(place, begin)| {
        let (is_begin, ends_with) = match begin.kind {
            Kind::Killed => (begin.part.starts_with("node"), Kind::Back),
            Kind::Cut => (true, Kind::Healed),
            Kind::Back | Kind::Healed | Kind::Paid => (false, Kind::Paid),
        };
        let end = events[place..]
            .iter()
            .find(|event| event.kind == ends_with && event.part == begin.part)
            .map_or(u64::MAX, |event| event.at_ms.saturating_add(millis(aftermath)));
        is_begin && is_dry(begin.at_ms, end)
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
