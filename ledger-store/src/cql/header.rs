//! Headers of accounts as rows.

use scylla::value::{CqlDecimal, CqlTimestamp};
use tollgate_metering::account::{Mode, Owner};
use tollgate_metering::{Account, DeveloperId, Header, WalletId};
use uuid::Uuid;

use super::values::{
    bigint, corrupt, count, int, money, money_column, required, small_count, time, timestamp,
};
use crate::error::LedgerError;

/// What errors call a header.
const WHAT: &str = "a wallet's header";

/// The columns of a header as they are read.
#[derive(Debug, scylla::DeserializeRow)]
pub(super) struct HeaderRow {
    pub(super) developer: Uuid,
    pub(super) scope: Uuid,
    pub(super) version: Option<i64>,
    pub(super) generation: Option<i32>,
    pub(super) organization: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) opened_at: Option<CqlTimestamp>,
    pub(super) credited: Option<CqlDecimal>,
    pub(super) settled: Option<CqlDecimal>,
    pub(super) horizon: Option<CqlTimestamp>,
    pub(super) last_credit_at: Option<CqlTimestamp>,
    pub(super) balance_at_last_credit: Option<CqlDecimal>,
    pub(super) overdraft_limit: Option<CqlDecimal>,
    pub(super) overspend: Option<String>,
    pub(super) mode: Option<i64>,
    pub(super) owner_epoch: Option<i64>,
    pub(super) owner_node: Option<Uuid>,
    pub(super) retirements: Option<i64>,
    pub(super) is_sealed: Option<bool>,
    pub(super) is_mode_changing: Option<bool>,
}

/// The columns of a header as they are written.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct HeaderValues {
    developer: Uuid,
    wallet: Uuid,
    key: String,
    version: i64,
    generation: i32,
    organization: String,
    currency: String,
    opened_at: CqlTimestamp,
    credited: CqlDecimal,
    settled: CqlDecimal,
    horizon: CqlTimestamp,
    last_credit_at: Option<CqlTimestamp>,
    balance_at_last_credit: CqlDecimal,
    overdraft_limit: CqlDecimal,
    overspend: &'static str,
    mode: i64,
    owner_epoch: i64,
    owner_node: Option<Uuid>,
    retirements: i64,
    is_sealed: bool,
    is_mode_changing: bool,
}

/// A header with the version and generation that it replaces.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct HeaderUpdate {
    #[scylla(flatten)]
    values: HeaderValues,
    expected_version: i64,
    expected_generation: i32,
}

/// The condition that a header is still of a version and generation.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct HeaderTouch {
    developer: Uuid,
    wallet: Uuid,
    key: String,
    generation: i32,
    expected_version: i64,
    expected_generation: i32,
}

/// A header that moves to a newer generation.
#[derive(Debug, scylla::SerializeRow)]
pub(super) struct HeaderAdopt {
    #[scylla(flatten)]
    touch: HeaderTouch,
    mode: i64,
    is_mode_changing: bool,
}

// === impl HeaderRow ===

impl HeaderRow {
    /// The header.
    pub(super) fn header(self) -> Result<Header, LedgerError> {
        let need = |column, value| required(WHAT, column, value);
        let need_count = |column, value: Option<i64>| count(WHAT, required(WHAT, column, value)?);
        let need_money =
            |column, value: Option<CqlDecimal>| money(WHAT, &required(WHAT, column, value)?);
        let word = required(WHAT, "overspend", self.overspend)?;
        let overspend =
            word.parse().map_err(|_| corrupt(WHAT, format!("overspend policy {word:?}")))?;
        let currency = required(WHAT, "currency", self.currency)?;
        Ok(Header {
            wallet: WalletId(self.scope),
            version: need_count("version", self.version)?,
            generation: small_count(WHAT, required(WHAT, "generation", self.generation)?)?,
            organization: required(WHAT, "organization", self.organization)?,
            developer: DeveloperId(self.developer),
            currency: currency
                .parse()
                .map_err(|_| corrupt(WHAT, format!("currency {currency:?}")))?,
            opened_at: time(need("opened_at", self.opened_at)?),
            credited: need_money("credited", self.credited)?,
            settled: need_money("settled", self.settled)?,
            horizon: time(need("horizon", self.horizon)?),
            last_credit_at: self.last_credit_at.map(time),
            balance_at_last_credit: need_money(
                "balance_at_last_credit",
                self.balance_at_last_credit,
            )?,
            overdraft_limit: need_money("overdraft_limit", self.overdraft_limit)?,
            mode: Mode {
                overspend,
                counter: need_count("mode", self.mode)?,
                is_changing: self.is_mode_changing.unwrap_or_default(),
            },
            owner: Owner {
                epoch: need_count("owner_epoch", self.owner_epoch)?,
                node: self.owner_node,
            },
            retirements: need_count("retirements", self.retirements)?,
            is_sealed: required(WHAT, "is_sealed", self.is_sealed)?,
        })
    }
}

// === impl HeaderValues ===

impl HeaderValues {
    /// The columns of a header.
    pub(super) fn of(header: &Header) -> Result<HeaderValues, LedgerError> {
        Ok(HeaderValues {
            developer: header.developer.0,
            wallet: header.wallet.0,
            key: header.currency.to_string(),
            version: bigint(WHAT, header.version)?,
            generation: int(WHAT, header.generation)?,
            organization: header.organization.clone(),
            currency: header.currency.to_string(),
            opened_at: timestamp(header.opened_at),
            credited: money_column(header.credited),
            settled: money_column(header.settled),
            horizon: timestamp(header.horizon),
            last_credit_at: header.last_credit_at.map(timestamp),
            balance_at_last_credit: money_column(header.balance_at_last_credit),
            overdraft_limit: money_column(header.overdraft_limit),
            overspend: header.mode.overspend.as_str(),
            mode: bigint(WHAT, header.mode.counter)?,
            owner_epoch: bigint(WHAT, header.owner.epoch)?,
            owner_node: header.owner.node,
            retirements: bigint(WHAT, header.retirements)?,
            is_sealed: header.is_sealed,
            is_mode_changing: header.mode.is_changing,
        })
    }

    /// The same, to replace the version before it in the same generation.
    pub(super) fn replacing(self) -> HeaderUpdate {
        let expected_version = self.version.saturating_sub(1);
        let expected_generation = self.generation;
        HeaderUpdate { values: self, expected_version, expected_generation }
    }
}

// === impl HeaderAdopt ===

impl HeaderAdopt {
    /// The account's header in `generation`.
    pub(super) fn of(account: &Account, generation: u32) -> Result<HeaderAdopt, LedgerError> {
        let mode = account.restored_mode();
        Ok(HeaderAdopt {
            touch: HeaderTouch::of(&account.header, generation)?,
            mode: bigint(WHAT, mode.counter)?,
            is_mode_changing: mode.is_changing,
        })
    }
}

// === impl HeaderTouch ===

impl HeaderTouch {
    /// The condition that `header` is the newest; `generation` is the one written.
    pub(super) fn of(header: &Header, generation: u32) -> Result<HeaderTouch, LedgerError> {
        Ok(HeaderTouch {
            developer: header.developer.0,
            wallet: header.wallet.0,
            key: header.currency.to_string(),
            generation: int(WHAT, generation)?,
            expected_version: bigint(WHAT, header.version)?,
            expected_generation: int(WHAT, header.generation)?,
        })
    }
}
