//! The overspend policy of a wallet: the narrowest of those that people set.
//!
//! A wallet may have a policy of its own, in a document beside its developer's others, so that it
//! can be set before the wallet is opened. Organizations, developers and API products say theirs in
//! the attribute [`OVERSPEND_ATTRIBUTE`]. What a wallet goes by stands in its account, where
//! gateways hear of it; that is a copy, brought in line by [`Catalogue::apply_overspend`] after
//! each request that may have moved it, and by a pass over all wallets for what moves many at once
//! or moves by time alone (an organization's policy, a key that expires).
//!
//! Invariants: the copy is compared again after it was written, so that of two writers at once the
//! last one leaves what holds; doing it again changes nothing.
//! Not here: how gateways take up a change (`metering::node`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tollgate_metering::account::Overspend;
use tollgate_metering::{Currency, DeveloperId, Header, ProductId, UnixMillis, WalletId, booking};

use super::Catalogue;
use super::error::CatalogueError;
use super::records::{
    App, Approval, Attribute, Credential, Developer, Organization, Product, WalletPolicies,
    WalletPolicy,
};
use super::store::{PRODUCT, developer_key, organization_key, wallet_policies_key};
use crate::documents::Put;
use crate::ledger::Commit;

/// Attribute of an organization, a developer or an API product that says its policy.
pub const OVERSPEND_ATTRIBUTE: &str = "tollgate.overspend";

/// How often a policy is compared with an account and written again when somebody else was faster.
const ATTEMPTS: usize = 16;

/// What each of those has said who may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The wallet's own.
    pub wallet: Option<Overspend>,
    /// Its developer's.
    pub developer: Option<Overspend>,
    /// The strictest of the API products that the developer can use or has bought.
    pub products: Option<Overspend>,
    /// The organization's.
    pub organization: Option<Overspend>,
}

/// Policies of organizations and products, read once for a pass over many wallets. What is found
/// with them is a suspicion: [`Catalogue::apply_overspend`] reads again.
#[derive(Debug, Default)]
pub struct SeenPolicies {
    organizations: HashMap<String, Option<Overspend>>,
    products: HashMap<String, BTreeMap<ProductId, Overspend>>,
}

// === impl Policies ===

impl Policies {
    /// The policy that holds: the narrowest, and optimistic where nobody has said anything.
    #[must_use]
    pub fn effective(&self) -> Overspend {
        let narrowest = self.wallet.or(self.developer).or(self.products).or(self.organization);
        narrowest.unwrap_or_default()
    }
}

/// Of several products the strictest counts; those that say nothing do not.
#[must_use]
pub fn strictest(policies: impl IntoIterator<Item = Option<Overspend>>) -> Option<Overspend> {
    policies.into_iter().flatten().fold(None, |strictest, policy| match (strictest, policy) {
        (Some(Overspend::Strict), _) | (_, Overspend::Strict) => Some(Overspend::Strict),
        (None | Some(Overspend::Optimistic), Overspend::Optimistic) => Some(Overspend::Optimistic),
    })
}

/// The policy that attributes say. It was checked when they were written; where something older
/// says something else under this name, it says nothing.
pub(super) fn said(attributes: &[Attribute]) -> Option<Overspend> {
    let found = attributes.iter().find(|attribute| attribute.name == OVERSPEND_ATTRIBUTE);
    found.and_then(|attribute| attribute.value.parse().ok())
}

/// Refuses attributes that say a policy there is none of.
pub(super) fn check(attributes: &[Attribute]) -> Result<(), CatalogueError> {
    let found = attributes.iter().find(|attribute| attribute.name == OVERSPEND_ATTRIBUTE);
    match found.map(|attribute| (attribute.value.parse::<Overspend>(), &attribute.value)) {
        None | Some((Ok(_), _)) => Ok(()),
        Some((Err(error), value)) => {
            let reason = format!("{OVERSPEND_ATTRIBUTE} {value:?} is {error}");
            Err(CatalogueError::invalid("attributes", reason))
        }
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Sets the policy of a wallet, opened or not; `None`: it goes by its developer's and so on.
    /// The account follows by [`Catalogue::apply_overspend`].
    ///
    /// # Errors
    /// The store's.
    pub async fn set_wallet_overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        policy: Option<Overspend>,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = wallet_policies_key(organization, developer);
        // Whoever inserts it first, it is edited below.
        let _: Put = self.insert(&key, &WalletPolicies::default(), now).await?;
        self.edit(&key, now, |all: &mut WalletPolicies| {
            all.wallets.retain(|own| own.currency != currency);
            all.wallets.extend(policy.map(|overspend| WalletPolicy { currency, overspend }));
            Ok(())
        })
        .await?
        .ok_or(CatalogueError::Contended { what: "wallet policies" })?;
        Ok(())
    }

    /// Who has said what of a wallet, opened or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn policies(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        now: UnixMillis,
    ) -> Result<Policies, CatalogueError> {
        let mut products = Vec::new();
        for product in self.covered_products(organization, developer, now).await? {
            let found = self.product_by_id(organization, product).await?;
            products.push(found.and_then(|product| product.overspend()));
        }
        let found = self.load::<Organization>(&organization_key(organization)).await?;
        Ok(Policies {
            wallet: self.wallet_overspend(organization, developer, currency).await?,
            developer: self.developer_overspend(organization, developer).await?,
            products: strictest(products),
            organization: found.and_then(|stored| stored.record.overspend()),
        })
    }

    /// The policy that a wallet has to go by, opened or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        now: UnixMillis,
    ) -> Result<Overspend, CatalogueError> {
        Ok(self.policies(organization, developer, currency, now).await?.effective())
    }

    /// Brings a wallet's account in line with the policies: begins a change of its mode, unless it
    /// goes by that policy or is on its way to it. True where it began one. May be repeated.
    ///
    /// # Errors
    /// `Contended`, or the stores'.
    pub async fn apply_overspend(
        &self,
        wallet: WalletId,
        now: UnixMillis,
    ) -> Result<bool, CatalogueError> {
        let mut has_begun = false;
        for _ in 0..ATTEMPTS {
            let Some(read) = self.ledger.read(wallet).await? else { return Ok(has_begun) };
            let header = &read.account.header;
            if header.is_sealed {
                return Ok(has_begun);
            }
            let policy =
                self.overspend(&header.organization, header.developer, header.currency, now);
            let Ok(Some(change)) = booking::overspend(&read.account, policy.await?) else {
                return Ok(has_begun);
            };
            // Also after it applied: a policy that was set meanwhile, and whose writer looked at
            // the account before, is seen here.
            has_begun |= self.ledger.commit(&change).await? == Commit::Applied;
        }
        Err(CatalogueError::Contended { what: "wallet" })
    }

    /// The same for every wallet of a developer; true where one changes.
    ///
    /// # Errors
    /// As [`Catalogue::apply_overspend`].
    pub async fn apply_overspend_of(
        &self,
        developer: DeveloperId,
        now: UnixMillis,
    ) -> Result<bool, CatalogueError> {
        let mut has_begun = false;
        for header in self.ledger.wallets_of(developer).await? {
            has_begun |= self.apply_overspend(header.wallet, now).await?;
        }
        Ok(has_begun)
    }

    /// Whether a wallet's account seems to go by another policy than it has to. Cheap where many
    /// wallets are looked at one after the other: see [`SeenPolicies`].
    ///
    /// # Errors
    /// The store's.
    pub async fn seems_off(
        &self,
        header: &Header,
        seen: &mut SeenPolicies,
        now: UnixMillis,
    ) -> Result<bool, CatalogueError> {
        if header.is_sealed {
            return Ok(false);
        }
        let (organization, developer) = (header.organization.as_str(), header.developer);
        let mut policy = self.wallet_overspend(organization, developer, header.currency).await?;
        if policy.is_none() {
            policy = self.developer_overspend(organization, developer).await?;
        }
        if policy.is_none() {
            policy = self.products_overspend(organization, developer, seen, now).await?;
        }
        if policy.is_none() {
            policy = self.organization_overspend(organization, seen).await?;
        }
        Ok(policy.unwrap_or_default() != header.mode.overspend)
    }

    /// The policy of a wallet's own.
    ///
    /// # Errors
    /// The store's.
    pub async fn wallet_overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<Option<Overspend>, CatalogueError> {
        let key = wallet_policies_key(organization, developer);
        let found = self.load::<WalletPolicies>(&key).await?;
        let wallets = found.map(|stored| stored.record.wallets).unwrap_or_default();
        Ok(wallets.iter().find(|own| own.currency == currency).map(|own| own.overspend))
    }

    async fn developer_overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<Option<Overspend>, CatalogueError> {
        let found = self.load::<Developer>(&developer_key(organization, developer)).await?;
        Ok(found.and_then(|stored| stored.record.overspend()))
    }

    async fn products_overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
        seen: &mut SeenPolicies,
        now: UnixMillis,
    ) -> Result<Option<Overspend>, CatalogueError> {
        if !seen.products.contains_key(organization) {
            let all = self.all::<Product>(PRODUCT, organization).await?;
            let said =
                all.iter().filter_map(|(_, product)| Some((product.id, product.overspend()?)));
            seen.products.insert(organization.to_owned(), said.collect());
        }
        let said = &seen.products[organization];
        // Most organizations have no such product: nobody's keys need to be read.
        if said.is_empty() {
            return Ok(None);
        }
        let covered = self.covered_products(organization, developer, now).await?;
        Ok(strictest(covered.iter().map(|product| said.get(product).copied())))
    }

    async fn organization_overspend(
        &self,
        organization: &str,
        seen: &mut SeenPolicies,
    ) -> Result<Option<Overspend>, CatalogueError> {
        if let Some(policy) = seen.organizations.get(organization) {
            return Ok(*policy);
        }
        let found = self.load::<Organization>(&organization_key(organization)).await?;
        let policy = found.and_then(|stored| stored.record.overspend());
        seen.organizations.insert(organization.to_owned(), policy);
        Ok(policy)
    }

    /// The API products that a developer can use by a key or has bought.
    async fn covered_products(
        &self,
        organization: &str,
        developer: DeveloperId,
        now: UnixMillis,
    ) -> Result<BTreeSet<ProductId>, CatalogueError> {
        let apps = self.apps_of(organization, developer).await?;
        let keys = apps.iter().filter(|app| app.status == Approval::Approved).flat_map(App::keys);
        let on_keys = keys.filter(|key| key.works_at(now)).flat_map(Credential::granted);
        let mut covered: BTreeSet<ProductId> = on_keys.collect();
        let bought = self.subscriptions(organization, developer).await?;
        covered.extend(bought.iter().filter(|one| one.window.contains(now)).map(|one| one.product));
        Ok(covered)
    }
}

// === impl Organization ===

impl Organization {
    /// The policy that it says for all its wallets.
    #[must_use]
    pub fn overspend(&self) -> Option<Overspend> {
        said(&self.attributes)
    }
}

// === impl Developer ===

impl Developer {
    /// The policy that it says for its wallets.
    #[must_use]
    pub fn overspend(&self) -> Option<Overspend> {
        said(&self.attributes)
    }
}

// === impl Product ===

impl Product {
    /// The policy that it says for wallets of developers who use it.
    #[must_use]
    pub fn overspend(&self) -> Option<Overspend> {
        said(&self.terms.attributes)
    }
}

// === impl App ===

impl App {
    fn keys(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.iter()
    }
}

// === impl Credential ===

impl Credential {
    fn works_at(&self, now: UnixMillis) -> bool {
        self.status == Approval::Approved && self.expires_at.is_none_or(|end| now < end)
    }

    fn granted(&self) -> impl Iterator<Item = ProductId> {
        let on = self.products.iter().filter(|on| on.status == Approval::Approved);
        on.map(|on| on.product)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAID: [Option<Overspend>; 3] =
        [None, Some(Overspend::Optimistic), Some(Overspend::Strict)];

    fn any_policy() -> impl Strategy<Value = Option<Overspend>> {
        (0..SAID.len()).prop_map(|index| SAID[index])
    }

    #[test]
    fn the_narrowest_policy_holds() {
        let (no, lax, strict) = (SAID[0], SAID[1], SAID[2]);
        let rows = [
            // wallet, developer, products, organization
            ([no, no, no, no], Overspend::Optimistic),
            ([no, no, no, strict], Overspend::Strict),
            ([no, no, lax, strict], Overspend::Optimistic),
            ([no, no, strict, lax], Overspend::Strict),
            ([no, lax, strict, strict], Overspend::Optimistic),
            ([no, strict, lax, lax], Overspend::Strict),
            ([lax, strict, strict, strict], Overspend::Optimistic),
            ([strict, lax, lax, lax], Overspend::Strict),
        ];
        for ([wallet, developer, products, organization], want) in rows {
            let policies = Policies { wallet, developer, products, organization };
            assert_eq!(policies.effective(), want, "{policies:?}");
        }
    }

    proptest! {
        #[test]
        fn of_products_the_strictest_counts_whatever_their_order(
            mut products in proptest::collection::vec(any_policy(), 0..8),
            turn in 0_usize..8,
        ) {
            let found = strictest(products.clone());
            let length = products.len();
            products.rotate_left(turn.checked_rem(length).unwrap_or(0));
            prop_assert_eq!(strictest(products.clone()), found);
            let says = |policy| products.contains(&Some(policy));
            let want = match (says(Overspend::Strict), says(Overspend::Optimistic)) {
                (true, _) => Some(Overspend::Strict),
                (false, true) => Some(Overspend::Optimistic),
                (false, false) => None,
            };
            prop_assert_eq!(found, want);
        }

        /// What a wider one says is not heard where a narrower one says anything.
        #[test]
        fn what_is_wider_than_the_narrowest_changes_nothing(
            said in proptest::array::uniform4(any_policy()),
            other in proptest::array::uniform4(any_policy()),
        ) {
            let policies = |[wallet, developer, products, organization]: [Option<Overspend>; 4]| {
                Policies { wallet, developer, products, organization }
            };
            let narrowest = said.iter().position(Option::is_some);
            let mut changed = said;
            let from = narrowest.map_or(4, |narrowest| narrowest + 1);
            changed[from..].copy_from_slice(&other[from..]);
            prop_assert_eq!(policies(said).effective(), policies(changed).effective());
            let want = narrowest.and_then(|index| said[index]).unwrap_or_default();
            prop_assert_eq!(policies(said).effective(), want);
        }
    }
}
