//! What the scripted ledger tells the owner of its key.

use sha2::{Digest, Sha256};
use tollgate_metering::{Money, Units};
use tollgate_proto::v1;
use tollgate_proto::v1::own_server::Own;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{KEY, NodeInner, PLAN, PRODUCT, WALLET};

#[tonic::async_trait]
impl Own for NodeInner {
    async fn get_own(
        &self,
        request: Request<v1::GetOwnRequest>,
    ) -> Result<Response<v1::GetOwnResponse>, Status> {
        let base = self.ledger.with(|books| {
            books.owned += 1;
            books.base
        });
        let known: [u8; 32] = Sha256::digest(KEY).into();
        if request.get_ref().key_sha256 != known {
            return Err(Status::not_found("no such key"));
        }
        let money = |text: &str| Some(text.parse::<Money>().unwrap().into());
        let (product, currency) = (PRODUCT.as_bytes().to_vec(), "EUR".to_owned());
        let balance = v1::OwnBalance {
            wallet: WALLET.0.as_bytes().to_vec(),
            currency: currency.clone(),
            balance: Some(base.into()),
            held: money("0.000000001"),
            overdraft_limit: money("0"),
            last_credit_at_ms: 0,
        };
        let plan = v1::OwnPlan {
            product: product.clone(),
            product_name: "weather".to_owned(),
            plan: PLAN.as_bytes().to_vec(),
            revision: 1,
            currency: currency.clone(),
            is_subscribed: true,
            is_shadow: false,
        };
        let usage = v1::OwnUsage {
            day: 20_783,
            product,
            product_name: "weather".to_owned(),
            currency,
            billing_type: v1::BillingType::Prepaid.into(),
            units: Some("2.5".parse::<Units>().unwrap().into()),
        };
        Ok(Response::new(v1::GetOwnResponse {
            organization: "acme".to_owned(),
            developer: Uuid::from_u128(8).as_bytes().to_vec(),
            billing_type: v1::BillingType::Prepaid.into(),
            period_start_ms: 0,
            period_end_ms: 0,
            balances: vec![balance],
            plans: vec![plan],
            usage: vec![usage],
        }))
    }
}
