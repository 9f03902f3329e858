//! What a consumer key stands for.

use tollgate_metering::{AppId, BillingType, Currency, DeveloperId, ProductId, UnixMillis};
use tollgate_proto::{Problem, WireError, v1};

use super::credit::Credit;
use super::product::{Payer, PayerWallet, ProductAccess};
use crate::admission::CallHead;
use crate::refusal::Refusal;
use crate::tariffs::Tariffs;

/// The owner of a key and what it may call.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) developer: DeveloperId,
    /// Whose units they are; an older node does not say.
    pub(crate) app: Option<AppId>,
    is_developer_active: bool,
    /// Key and app.
    is_approved: bool,
    expires_at: Option<UnixMillis>,
    /// The approved ones that are granted in this environment, in the key's order.
    pub(super) products: Box<[ProductAccess]>,
    /// All on the key, for invalidation.
    named: Box<[ProductId]>,
}

// === impl Caller ===

impl Caller {
    /// Reads an answer; prices in it are added to `tariffs`.
    ///
    /// # Errors
    /// A [`WireError`] that names the field.
    pub(crate) fn read(
        wire: &v1::Caller,
        environment: &str,
        tariffs: &Tariffs,
    ) -> Result<Self, WireError> {
        let billing = BillingType::try_from(wire.billing_type())?;
        if billing.is_shadow() {
            return Err(WireError::new("billing_type", Problem::UnknownValue));
        }
        let wallets = wire.wallets.iter().map(|wallet| {
            let currency = wallet.currency.parse::<Currency>();
            let currency =
                currency.map_err(|_| WireError::new("wallets.currency", Problem::UnknownValue))?;
            let id = tollgate_proto::wallet("wallets.wallet", &wallet.wallet)?;
            let credit = wallet.credit_limit.as_ref().map(Credit::read).transpose()?;
            Ok(PayerWallet { id, currency, credit })
        });
        let wallets: Vec<_> = wallets.collect::<Result<_, WireError>>()?;
        let payer = Payer { billing, wallets: &wallets, tariffs };
        let granted = wire.products.iter().filter(|product| {
            let environments = &product.environments;
            let is_here = environments.is_empty() || environments.iter().any(|e| e == environment);
            product.is_approved && is_here
        });
        let products = granted.map(|product| ProductAccess::read(product, &payer));
        let named = wire.products.iter().map(|each| tollgate_proto::uuid("product", &each.product));
        let app = (!wire.app_id.is_empty()).then(|| tollgate_proto::uuid("app_id", &wire.app_id));
        Ok(Self {
            app: app.transpose()?.map(AppId),
            developer: DeveloperId(tollgate_proto::uuid("developer", &wire.developer)?),
            is_developer_active: wire.is_developer_active,
            is_approved: wire.is_app_approved && wire.is_key_approved,
            expires_at: (wire.key_expires_at_ms != 0).then_some(UnixMillis(wire.key_expires_at_ms)),
            products: products.collect::<Result<_, _>>()?,
            named: named.map(|product| product.map(ProductId)).collect::<Result<_, _>>()?,
        })
    }

    /// The product that a call is counted on: of the approved ones that cover it the one whose path names it most closely, of
    /// several such the first on the key.
    ///
    /// # Errors
    /// Why the key may not make the call.
    pub(crate) fn product(
        &self,
        head: &CallHead<'_>,
        now: UnixMillis,
    ) -> Result<&ProductAccess, Refusal> {
        self.check(now)?;
        let mut best = None;
        for product in &self.products {
            let closeness = product.closeness(&head.proxy.name, head.method, head.path);
            if let Some(closeness) = closeness
                && best.is_none_or(|(closest, _)| closeness > closest)
            {
                best = Some((closeness, product));
            }
        }
        best.map(|(_, product)| product).ok_or(Refusal::NoApiProduct)
    }

    /// Whether the key works.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn check(&self, now: UnixMillis) -> Result<(), Refusal> {
        if !self.is_approved || self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::KeyNotApproved);
        }
        if !self.is_developer_active {
            return Err(Refusal::DeveloperInactive);
        }
        Ok(())
    }

    /// Whether a change of one of these changes the caller.
    pub(super) fn is_of(&self, developers: &[DeveloperId], products: &[ProductId]) -> bool {
        developers.contains(&self.developer)
            || self.named.iter().any(|product| products.contains(product))
    }
}
