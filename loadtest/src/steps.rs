//! Does what a scenario says when it is due, and remembers when it was really done.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::accounting::Account;
use crate::clock::Clock;
use crate::link::Way;
use crate::nanos::Nanos;
use crate::portal::{Developer, PortalError};
use crate::process::ProcessError;
use crate::scenario::{Act, Scenario};
use crate::site::Site;
use crate::tally::Tally;

/// How long a payment is tried again under its id.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAYMENT_AGAIN: Duration = Duration::from_millis(100);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, in milliseconds from the beginning of the load.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    /// To which part, or between which two; whose money for a payment.
    pub part: String,
    /// For people.
    pub text: String,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A part was killed.
    Killed,
    /// It serves again.
    Back,
    /// A wire was cut.
    Cut,
    /// It carries again.
    Healed,
    /// Every wallet was paid into.
    Paid,
}

/// Why a step could not be done: the run ends.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A part does not come back.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A payment is not taken.
    #[error("cannot pay in")]
    Payment(#[from] PortalError),
}

/// What steps act on.
pub struct Stage<'a> {
    /// Where.
    pub site: &'a Site,
    /// The organization.
    pub organization: &'a str,
    /// Who is paid for.
    pub developers: &'a [Developer],
    /// In which currency.
    pub currency: &'a str,
    /// The wallets' accounts, which hear of every payment first.
    pub accounts: &'a Mutex<Vec<Account>>,
    /// What was answered so far.
    pub tally: &'a Tally,
    /// Since when.
    pub clock: Clock,
    /// Where what happened is written down.
    pub events: &'a Arc<Mutex<Vec<Event>>>,
}

// === impl Stage ===

impl Stage<'_> {
    /// Does every step when it is due; one that takes long delays no other.
    ///
    /// # Errors
    /// The first step that could not be done.
    pub async fn act(&self, scenario: &Scenario) -> Result<(), StepError> {
        let steps = scenario.steps.iter().enumerate().map(|(number, step)| async move {
            let Some(act) = step.act() else { return Ok(()) };
            self.clock.until(step.at()).await;
            self.do_one(number, act).await
        });
        futures_util::future::try_join_all(steps).await.map(|_| ())
    }

    async fn do_one(&self, number: usize, act: Act<'_>) -> Result<(), StepError> {
        match act {
            Act::Kill(part) => {
                self.note(Kind::Killed, part, format!("{part} killed"));
                if let Some(fleet) = &self.site.fleet {
                    fleet.kill(part).await;
                }
            }
            Act::Restart(part) => {
                if let Some(fleet) = &self.site.fleet {
                    fleet.restart(part).await?;
                }
                self.note(Kind::Back, part, format!("{part} back"));
            }
            Act::Cut(gateway, node, way) => {
                self.set_cut(gateway, node, way, true);
                let way = match way {
                    Way::Both => "cut off",
                    Way::ToNode => "not heard by",
                    Way::ToGateway => "does not hear",
                };
                self.note(
                    Kind::Cut,
                    &format!("{gateway} {node}"),
                    format!("{gateway} {way} {node}"),
                );
            }
            Act::Heal(gateway, node) => {
                self.set_cut(gateway, node, Way::Both, false);
                let text = format!("{gateway} hears {node} again");
                self.note(Kind::Healed, &format!("{gateway} {node}"), text);
            }
            Act::TopUp(amount) => {
                self.note(Kind::Paid, "", format!("top-up of {amount} {}", self.currency));
                for developer in 0..self.developers.len() {
                    self.pay(number, developer, amount).await?;
                }
            }
        }
        Ok(())
    }

    async fn pay(&self, step: usize, developer: usize, amount: Nanos) -> Result<(), PortalError> {
        let answered = self.tally.answered(developer);
        self.accounts.lock()[developer].note_payment(answered, amount);
        let (id, until) = (format!("step-{step}"), self.clock.now() + PAYMENT_TIMEOUT);
        let email = &self.developers[developer].email;
        loop {
            let portal = self.site.portal(self.organization);
            match portal.credit(email, self.currency, amount, &id).await {
                Ok(()) => return Ok(()),
                Err(error) if self.clock.now() >= until => return Err(error),
                // The id is the same, so it counts once however often it is tried.
                Err(_) => tokio::time::sleep(PAYMENT_AGAIN).await,
            }
        }
    }

    fn set_cut(&self, gateway: &str, node: &str, way: Way, is_cut: bool) {
        if let Some(fleet) = &self.site.fleet {
            fleet.set_cut(gateway, node, way, is_cut);
        }
    }

    fn note(&self, kind: Kind, part: &str, text: String) {
        let at_ms = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        self.events.lock().push(Event { at_ms, kind, part: part.to_owned(), text });
    }
}
