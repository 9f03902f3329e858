//! Service `Resolve`: who a consumer key belongs to.

use tollgate_ledger_store::catalogue::records::Approval;
use tollgate_ledger_store::catalogue::{Caller, CallerPlan, CallerProduct, Credit, Window};
use tollgate_proto::{PlanPrices, Problem, WireError, v1};
use tonic::{Request, Response, Status};

use super::Services;
use crate::access::Needed;
use crate::admission::admit;
use crate::refusal::Refusal;

#[tonic::async_trait]
impl v1::resolve_server::Resolve for Services {
    async fn resolve_key(
        &self,
        request: Request<v1::ResolveKeyRequest>,
    ) -> Result<Response<v1::Caller>, Status> {
        Ok(Response::new(self.resolved(request).await?))
    }
}

// === impl Services ===

impl Services {
    async fn resolved(
        &self,
        request: Request<v1::ResolveKeyRequest>,
    ) -> Result<v1::Caller, Refusal> {
        let node = &self.0;
        admit(node, &request, Needed::Exchange).await?;
        node.standing.now().generation()?;
        let sha256 = request.into_inner().key_sha256;
        let sha256: [u8; 32] = sha256.as_slice().try_into().map_err(|_| {
            Refusal::Unreadable(WireError::new("key_sha256", Problem::UnknownValue))
        })?;
        let caller = node.catalogue.resolve(&sha256, node.now()).await?;
        Ok(to_wire(&caller.ok_or(Refusal::Missing("consumer key"))?))
    }
}

fn to_wire(caller: &Caller) -> v1::Caller {
    let wallets = caller.wallets.iter().map(|(currency, wallet)| v1::Wallet {
        wallet: wallet.0.as_bytes().to_vec(),
        currency: currency.to_string(),
        credit_limit: caller.credits.get(currency).map(credit_to_wire),
    });
    v1::Caller {
        organization: caller.organization.clone(),
        developer: caller.developer.0.as_bytes().to_vec(),
        developer_email: caller.developer_email.clone(),
        is_developer_active: caller.is_developer_active,
        app: caller.app_name.clone(),
        app_id: caller.app.as_bytes().to_vec(),
        is_app_approved: caller.app_status == Approval::Approved,
        is_key_approved: caller.key_status == Approval::Approved,
        key_expires_at_ms: caller.key_expires_at.map_or(0, |at| at.0),
        billing_type: v1::BillingType::from(caller.billing).into(),
        products: caller.products.iter().map(product_to_wire).collect(),
        wallets: wallets.collect(),
    }
}

fn credit_to_wire(credit: &Credit) -> v1::CreditLimit {
    v1::CreditLimit {
        limit: Some(credit.limit.into()),
        owed: Some(credit.owed.into()),
        period: credit.period.number(),
    }
}

fn product_to_wire(product: &CallerProduct) -> v1::ProductAccess {
    let operations = product.operations.iter().map(|operation| v1::Operation {
        resource: operation.resource.clone(),
        methods: operation.methods.clone(),
    });
    v1::ProductAccess {
        product: product.product.0.as_bytes().to_vec(),
        name: product.name.clone(),
        is_approved: product.approval == Approval::Approved,
        proxies: product.proxies.clone(),
        operations: operations.collect(),
        plans: product.plans.iter().map(plan_to_wire).collect(),
        subscriptions: product.subscriptions.iter().map(window_to_wire).collect(),
        environments: product.environments.clone(),
    }
}

fn plan_to_wire(plan: &CallerPlan) -> v1::Plan {
    let prices = PlanPrices { plan: plan.plan, revision: plan.revision, rates: plan.rates.clone() };
    v1::Plan {
        revision: Some((&prices).into()),
        currency: plan.currency.to_string(),
        window: Some(window_to_wire(&plan.window)),
        is_shadow: plan.is_shadow,
    }
}

fn window_to_wire(window: &Window) -> v1::Window {
    v1::Window { start_ms: window.start.0, end_ms: window.end.map_or(0, |end| end.0) }
}
