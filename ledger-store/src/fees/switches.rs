//! Balances that leave their wallets when their developer begins to pay later.
//!
//! Whoever does it may hold a developer that is not true any more: the switch may be closed, the
//! billing type back at prepaid and money paid in for calls. So the developer is read again after
//! each account, and its balance is moved only while the account has still the version that was read
//! before: what was paid in since then stays.
//! Bounds: [`MOVES_MAX`] attempts a wallet; somebody else goes on later.

use std::time::Duration;

use tollgate_metering::booking::{Booking, BookingError};
use tollgate_metering::{DeveloperId, UnixMillis, WalletId};

use super::{BY, Fees, FeesError, PAGE, Tended};
use crate::book::BookError;
use crate::catalogue::CatalogueError;
use crate::catalogue::records::Developer;

/// How long after a switch another node's clock may still say that it is before it.
const CLOCK_OFFSET_MAX: Duration = Duration::from_secs(60);

/// How often the balance of one wallet is looked at again that is booked on meanwhile.
const MOVES_MAX: u32 = 16;

/// What became of the wallets of a switch.
#[derive(Debug, Default)]
pub struct Moved {
    /// Those whose balance is moved, also where another's is not.
    pub wallets: Vec<WalletId>,
    /// Why the first of the others waits; the switch is open as long as one does.
    pub failed: Option<FeesError>,
}

/// How one wallet ended.
enum Step {
    Moved,
    /// It belongs to a developer who was deleted.
    Sealed,
    /// Somebody else finished the switch.
    Closed,
}

// === impl Fees ===

impl Fees {
    /// Finishes the open switches of one page of developers.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub async fn tend_switches(
        &self,
        start: Option<DeveloperId>,
        now: UnixMillis,
    ) -> Result<(Option<DeveloperId>, Tended), FeesError> {
        let mut tended = Tended::default();
        let name = start.map(|id| id.to_string());
        let page = self.catalogue.switches(name.as_deref(), PAGE).await?;
        let last = page.last().map(|switch| switch.developer);
        let next = last.filter(|last| page.len() == PAGE && Some(*last) != start);
        for switch in page {
            let id = switch.developer;
            let is_over = match self.catalogue.developer_by_id(&switch.organization, id).await {
                Ok(found) if found.is_switch_open => {
                    let moved =
                        self.finish_switch(&switch.organization, &found, BY, false, now).await;
                    tended.changed.extend(moved.wallets);
                    tended.failed.extend(moved.failed.map(|error| (id, error)));
                    false
                }
                Ok(_) | Err(CatalogueError::Missing { .. }) => true,
                Err(error) => {
                    tended.failed.push((id, error.into()));
                    false
                }
            };
            if is_over && let Err(error) = self.catalogue.forget_switch(&switch, now).await {
                tended.failed.push((id, error.into()));
            }
        }
        Ok((next, tended))
    }

    /// Moves what was left in a developer's wallets when the billing type became postpaid, if that
    /// is not done yet. What gateways of a strict wallet may spend is not moved before they gave it
    /// back, unless it is forced.
    pub async fn finish_switch(
        &self,
        organization: &str,
        developer: &Developer,
        by: &str,
        is_forced: bool,
        now: UnixMillis,
    ) -> Moved {
        let mut moved = Moved::default();
        if !developer.is_switch_open {
            return moved;
        }
        let headers = match self.ledger.wallets_of(developer.id).await {
            Ok(headers) => headers,
            Err(error) => return Moved { failed: Some(error.into()), ..moved },
        };
        let switched_at = developer.switched_at.unwrap_or(now);
        for header in headers {
            // One that was opened later held nothing then.
            if header.is_sealed || header.opened_at > switched_at.plus(CLOCK_OFFSET_MAX) {
                continue;
            }
            let booking = Booking {
                id: format!("{}/{}", developer.switches, header.currency),
                at: now,
                by: by.to_owned(),
                reason: "balance left at the change to POSTPAID".to_owned(),
                is_forced,
            };
            match self.move_balance(organization, developer, header.wallet, &booking).await {
                Ok(Step::Moved) => moved.wallets.push(header.wallet),
                Ok(Step::Sealed) => {}
                Ok(Step::Closed) => return moved,
                Err(error) => moved.failed = moved.failed.or(Some(error)),
            }
        }
        if moved.failed.is_none() {
            let (id, number) = (developer.id, developer.switches);
            let closed = self.catalogue.close_switch(organization, id, number, now).await;
            moved.failed = closed.err().map(FeesError::from);
        }
        moved
    }

    /// Moves the balance of one wallet, as long as the switch is open.
    async fn move_balance(
        &self,
        organization: &str,
        developer: &Developer,
        wallet: WalletId,
        booking: &Booking,
    ) -> Result<Step, FeesError> {
        for _ in 0..MOVES_MAX {
            let Some(read) = self.ledger.read(wallet).await? else { return Ok(Step::Sealed) };
            let known = self.catalogue.developer_by_id(organization, developer.id).await?;
            if !known.is_switch_open || known.switches != developer.switches {
                return Ok(Step::Closed);
            }
            match self.book.transfer(wallet, read.account.header.version, booking).await {
                Ok(Some(_)) => return Ok(Step::Moved),
                Ok(None) => {}
                Err(BookError::Refused(BookingError::Sealed)) => return Ok(Step::Sealed),
                Err(error) => return Err(error.into()),
            }
        }
        Err(BookError::Contended(wallet).into())
    }
}
