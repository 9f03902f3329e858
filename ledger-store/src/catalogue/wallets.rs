//! Opens and seals wallets, as far as the catalogue has to.
//!
//! The id of a wallet is computed from the developer's generated id and the currency: whoever
//! opens it first and however many do at the same time, it is one wallet. A developer created
//! again has another id and therefore other wallets.

use sha2::{Digest, Sha256};
use tollgate_metering::account::Mode;
use tollgate_metering::{Account, Currency, DeveloperId, UnixMillis, WalletId, booking};
use uuid::Builder;

use super::Catalogue;
use super::error::CatalogueError;
use super::store::wallet_note_key;
use crate::documents::Put;
use crate::ledger::Commit;

/// How often a conditional change of an account is begun again when somebody else was faster.
const ATTEMPTS: usize = 16;

/// The id of the wallet of a developer in a currency.
#[must_use]
pub fn wallet_id(developer: DeveloperId, currency: Currency) -> WalletId {
    let mut hasher = Sha256::new();
    hasher.update(b"tollgate wallet\0");
    hasher.update(developer.0.as_bytes());
    hasher.update(currency.as_str().as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    WalletId(Builder::from_custom_bytes(bytes).into_uuid())
}

// === impl Catalogue ===

impl Catalogue {
    /// The wallet of a developer in a currency, opened with no money where there is none, under
    /// the overspend policy that holds for it.
    ///
    /// # Errors
    /// The stores'.
    pub async fn open_wallet(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        now: UnixMillis,
    ) -> Result<WalletId, CatalogueError> {
        let wallet = wallet_id(developer, currency);
        if self.ledger.read(wallet).await?.is_some() {
            return Ok(wallet);
        }
        let generation = self.ledger.generation().await?;
        let policy = self.overspend(organization, developer, currency, now).await?;
        let mut account =
            Account::unopened(wallet, organization, developer, currency, generation, now);
        account.header.mode = Mode::opened(policy);
        // A conflict means that somebody else opened it in between.
        if self.ledger.commit(&account.change()).await? == Commit::Applied {
            self.note_wallet(organization, developer, now).await?;
            // A policy that was set meanwhile, by somebody who saw no wallet to apply it to.
            self.apply_overspend(wallet, now).await?;
        }
        Ok(wallet)
    }

    /// Tells gateways that a developer has another wallet: accounts are not in the log of
    /// changes. After a crash before it, a gateway hears of the wallet when what it resolved is
    /// too old.
    ///
    /// # Errors
    /// The store's.
    pub async fn note_wallet(
        &self,
        organization: &str,
        developer: DeveloperId,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = wallet_note_key(organization, developer);
        if self.insert(&key, &0u64, now).await? == Put::Conflict {
            self.edit(&key, now, |count: &mut u64| {
                *count = count.wrapping_add(1);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Closes a developer's wallets for credits.
    pub(super) async fn seal_wallets(&self, developer: DeveloperId) -> Result<(), CatalogueError> {
        for header in self.ledger.wallets_of(developer).await? {
            self.seal_wallet(header.wallet).await?;
        }
        Ok(())
    }

    async fn seal_wallet(&self, wallet: WalletId) -> Result<(), CatalogueError> {
        for _ in 0..ATTEMPTS {
            let Some(read) = self.ledger.read(wallet).await? else { return Ok(()) };
            let Some(change) = booking::seal(&read.account) else { return Ok(()) };
            if self.ledger.commit(&change).await? == Commit::Applied {
                return Ok(());
            }
        }
        Err(CatalogueError::Contended { what: "wallet" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_belongs_to_one_developer_and_currency() {
        let developer = |byte| DeveloperId(uuid::Uuid::from_bytes([byte; 16]));
        let (eur, usd) = ("EUR".parse().unwrap(), "USD".parse().unwrap());
        assert_eq!(wallet_id(developer(1), eur), wallet_id(developer(1), eur));
        assert_ne!(wallet_id(developer(1), eur), wallet_id(developer(1), usd));
        assert_ne!(wallet_id(developer(1), eur), wallet_id(developer(2), eur));
        // Stored in every ledger: a change of the formula would lose wallets.
        let fixed = wallet_id(developer(7), eur).to_string();
        assert_eq!(fixed, "a8ebd0b5-c0b2-843e-9d87-53050e70a4f4");
    }
}
