//! Names one call by what the ledger has of it: the register that it moved, and where it moved it to.
//!
//! A receipt needs no row of its own. Registers only grow, so the ledger has counted the call exactly when the register that
//! the receipt names is at least where the receipt says; the usage row of that incarnation and minute shows it.
//! Text: `incarnation.minute.meter.units`, the incarnation's id without dashes, the others in hexadecimal.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::meter::Meter;
use crate::units::Units;

/// The receipt of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The incarnation that counted it.
    pub incarnation: Uuid,
    /// When it was counted, in minutes since 1970 by the service's time; the report may come in the next.
    pub minute: u32,
    /// Which of the incarnation's registers, see [`Receipt::mark_of`].
    pub meter: u64,
    /// Where the register stood after it.
    pub units: Units,
}

/// Text that is not a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt")]
pub struct ReceiptError;

// === impl Receipt ===

impl Receipt {
    /// A mark of a meter: tells the meters of one incarnation apart, and is no secret (FNV-1a of its fields).
    #[must_use]
    pub fn mark_of(meter: &Meter) -> u64 {
        let Meter { wallet, product, plan, billing, period, revision } = meter;
        let ids = [wallet.0, product.0, plan.0];
        let numbers = [u32::from(billing.code()), period.number(), *revision];
        let bytes = ids.iter().flat_map(Uuid::as_bytes).copied();
        let bytes = bytes.chain(numbers.into_iter().flat_map(u32::to_be_bytes));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Whether the call was counted on this meter.
    #[must_use]
    pub fn is_on(&self, meter: &Meter) -> bool {
        self.meter == Self::mark_of(meter)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { incarnation, minute, meter, units } = self;
        write!(f, "{}.{minute:x}.{meter:016x}.{:x}", incarnation.simple(), units.nanos())
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Receipt, ReceiptError> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(ReceiptError);
        let (incarnation, minute, meter, units) = (next()?, next()?, next()?, next()?);
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| ReceiptError);
        let receipt = Receipt {
            incarnation: Uuid::try_parse(incarnation).map_err(|_| ReceiptError)?,
            minute: u32::try_from(number(minute)?).map_err(|_| ReceiptError)?,
            meter: number(meter)?,
            units: Units::from_register(number(units)?),
        };
        // One text a receipt: no dashes, no capitals, no signs, nothing after it.
        if receipt.to_string() == text { Ok(receipt) } else { Err(ReceiptError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PlanId, ProductId, WalletId};
    use crate::meter::BillingType;
    use crate::time::{Period, UnixMillis};

    #[test]
    fn a_receipt_reads_back_and_knows_its_meter() {
        let meter = Meter {
            wallet: WalletId(Uuid::from_u128(1)),
            product: ProductId(Uuid::from_u128(2)),
            plan: PlanId(Uuid::from_u128(3)),
            billing: BillingType::Prepaid,
            period: Period::of(UnixMillis(1_764_000_000_000)),
            revision: 1,
        };
        let receipt = Receipt {
            incarnation: Uuid::from_u128(9),
            minute: 29_400_000,
            meter: Receipt::mark_of(&meter),
            units: "2.5".parse().unwrap(),
        };
        let text = receipt.to_string();
        assert_eq!(text.parse(), Ok(receipt), "{text}");
        let others = [
            Meter { revision: 2, ..meter },
            Meter { billing: BillingType::Postpaid, ..meter },
            Meter { wallet: WalletId(Uuid::from_u128(4)), ..meter },
        ];
        assert!(receipt.is_on(&meter));
        assert!(others.iter().all(|other| !receipt.is_on(other)));
        for wrong in ["", "a.b.c.d", &format!("{text}."), &text.to_uppercase(), &text[1..]] {
            assert_eq!(wrong.parse::<Receipt>(), Err(ReceiptError), "{wrong}");
        }
    }
}
