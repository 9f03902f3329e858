//! Plans what strict wallets need beside grants: changes of the overspend policy, and retirements.
//!
//! A change of the policy has two steps. The first says that the mode is changing, and from then
//! on gateways that hear of it admit nothing. The second says that it has changed; it is planned
//! by the wallet's owner once every incarnation of the registry has acknowledged the new mode, has
//! ended or was retired, never by time. So no call of the older mode can be open, or unknown to
//! the ledger, when the first call of the new mode is admitted.

use super::{BookingError, CHANGE_ROWS_MAX};
use crate::account::{Account, Ceiling, Change, Overspend};
use crate::id::Incarnation;
use crate::meter::Registers;

/// Begins a change of the overspend policy; `None` where it is in force, or on its way, already.
///
/// # Errors
/// [`BookingError::Sealed`].
pub fn overspend(account: &Account, policy: Overspend) -> Result<Option<Change>, BookingError> {
    let mut change = super::unsealed(account)?;
    let mode = &mut change.header.mode;
    mode.overspend = policy;
    mode.counter += 1;
    mode.is_changing = true;
    Ok((policy != account.header.mode.overspend).then_some(change))
}

/// Goes on with a change of the policy that nobody has to acknowledge any more: ceilings of older
/// modes go, `retired` incarnations are cut, and with the last of them the mode is in force. At
/// most [`CHANGE_ROWS_MAX`] rows at a time; `None` where no change is under way.
#[must_use]
pub fn settle_mode(
    account: &Account,
    registers: &Registers,
    retired: &[Incarnation],
) -> Option<Change> {
    if !account.header.mode.is_changing {
        return None;
    }
    let uncut = |incarnation: &&Incarnation| {
        account.header.counts_incarnation(**incarnation)
            && account.ceilings.get(*incarnation).is_none_or(|ceiling| !ceiling.is_retired)
    };
    if let Some(incarnation) = retired.iter().find(uncut) {
        return Some(cut(account, registers, *incarnation));
    }
    let mut change = account.change();
    let mode = account.header.mode.counter;
    let is_old = |ceiling: &Ceiling| !ceiling.is_retired && ceiling.stamp.mode < mode;
    let old = account.ceilings.iter().filter(|(_, ceiling)| is_old(ceiling));
    change.ceilings =
        old.map(|(incarnation, _)| (*incarnation, None)).take(CHANGE_ROWS_MAX).collect();
    change.header.mode.is_changing = change.ceilings.len() == CHANGE_ROWS_MAX;
    Some(change)
}

/// Retires an incarnation that will not come back: what its registers show now counts, the rest
/// is suspense, and its grant is free again. `None` where the wallet has nothing to fear from it:
/// no grant of it, and no change of the policy that waits for it. At most [`CHANGE_ROWS_MAX`]
/// registers at a time: plan again until there is nothing left.
#[must_use]
pub fn retire(
    account: &Account,
    registers: &Registers,
    incarnation: Incarnation,
) -> Option<Change> {
    let is_feared = match account.ceilings.get(&incarnation) {
        Some(ceiling) => !ceiling.is_retired,
        None => account.header.mode.is_changing && account.header.counts_incarnation(incarnation),
    };
    is_feared.then(|| cut(account, registers, incarnation))
}

/// Cuts registers of an incarnation at what they show; the last slice retires it.
fn cut(account: &Account, registers: &Registers, incarnation: Incarnation) -> Change {
    let mut change = account.change();
    for ((meter, other), register) in registers {
        if *other != incarnation || account.cut(meter, incarnation).is_some() {
            continue;
        }
        if change.cells.len() == CHANGE_ROWS_MAX {
            return change;
        }
        let mut cell = account.cells.get(&(*meter, incarnation)).copied().unwrap_or_default();
        cell.cut = Some(register.units().max(cell.folded));
        change.cells.insert((*meter, incarnation), cell);
    }
    change.ceilings.insert(incarnation, Some(Ceiling::RETIRED));
    change.header.retirements += 1;
    change
}
