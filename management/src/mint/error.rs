//! Errors in Edge's shape, `{"code","message","contexts"}`: what the paths under `/v1/mint` turn
//! every refusal into.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::catalogue::error::What;

use crate::error::ApiError;
use crate::respond;

/// What only Edge's paths refuse.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MintError {
    /// The developer's keys do not work.
    #[error("developer {0} is inactive: activate the developer, or add force=true to the query")]
    Inactive(String),
    /// The developer does not hold a plan in force for the product.
    #[error("developer {developer} has accepted no rate plan that is in force for {product}")]
    NoPlan {
        /// The developer's address.
        developer: String,
        /// The product's name.
        product: String,
    },
    /// The plan is not in force.
    #[error("rate plan {0} is not published")]
    NotPublished(String),
    /// The plan's last band has ended.
    #[error("the units go beyond the last band of the rate plan, which ends at {0}")]
    BandExceeded(String),
    /// A time that does not fit the plan's.
    #[error("{message}")]
    Window {
        /// Edge's code.
        code: &'static str,
        /// Why.
        message: String,
    },
    /// An acceptance that has begun cannot be deleted.
    #[error("rate plan of developer has begun: only one that begins later can be deleted, end it")]
    HasBegun,
}

/// An error as Edge's clients are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    code: &'static str,
    message: String,
    contexts: Vec<(&'static str, String)>,
}

// === impl MintError ===

impl MintError {
    /// HTTP status and Edge's code.
    pub(crate) fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            MintError::Inactive(_) => (StatusCode::FORBIDDEN, "mint.developerInactive"),
            MintError::NoPlan { .. } => {
                (StatusCode::BAD_REQUEST, "mint.noCurrentPublishableEntity")
            }
            MintError::NotPublished(_) => (StatusCode::BAD_REQUEST, "mint.ratePlanNotPublished"),
            MintError::BandExceeded(_) => {
                (StatusCode::BAD_REQUEST, "mint.ratePlanRateBandExceeded")
            }
            MintError::Window { code, .. } => (StatusCode::BAD_REQUEST, code),
            MintError::HasBegun => {
                (StatusCode::BAD_REQUEST, "mint.onlyFutureDeveloperRatePlanCanBeDeleted")
            }
        }
    }
}

/// Edge's code and contexts of an error.
pub(crate) fn told(error: &ApiError) -> Told {
    let message = error.public_message();
    let (code, message, contexts) = match error {
        ApiError::Mint(refused) => (refused.kind().1, message, Vec::new()),
        ApiError::BalanceTooSmall { needed, .. } => {
            // Edge's clients read the amount from the brackets.
            let message = format!("{message} [{needed}]");
            ("mint.insufficientFunds", message, vec![("Total Rate Plan", needed.clone())])
        }
        ApiError::NoWallet { .. } => ("mint.prepaidDeveloperHasNoBalance", message, Vec::new()),
        ApiError::Reserved { .. } => ("mint.insufficientFunds", message, Vec::new()),
        ApiError::Duplicate { id, .. } => {
            ("mint.resourceAlreadyExists", message, vec![("id", id.clone())])
        }
        ApiError::Catalogue(CatalogueError::Missing { what, name, .. }) => {
            let code = match what {
                What::Organization => "mint.organizationDoesNotExist",
                What::Developer => "developer.service.DeveloperIdDoesNotExist",
                What::App
                | What::Key
                | What::Product
                | What::RatePlan
                | What::Package
                | What::Attribute
                | What::Token
                | What::Subscription
                | What::AppGroup => "mint.resourceDoesNotExist",
            };
            (code, message, vec![("id", name.clone())])
        }
        ApiError::Catalogue(CatalogueError::Exists { what, name, .. }) => {
            let code = match what {
                What::Subscription => "mint.developerAlreadyAcceptedRatePlanForProduct",
                What::Organization
                | What::Developer
                | What::App
                | What::Key
                | What::Product
                | What::RatePlan
                | What::Attribute
                | What::Token
                | What::Package
                | What::AppGroup => "mint.resourceAlreadyExists",
            };
            (code, message, vec![("id", name.clone())])
        }
        ApiError::Invalid { field, .. } => {
            ("mint.genericMessage", message, vec![("field", field.clone())])
        }
        ApiError::Query { name, .. } => {
            ("mint.genericMessage", message, vec![("parameter", name.clone())])
        }
        ApiError::Forbidden { permission, .. }
        | ApiError::Unauthenticated { permission: Some(permission), .. } => {
            ("mint.notAuthorized", message, vec![("permission", permission.as_str().to_owned())])
        }
        ApiError::Unauthenticated { permission: None, .. } => {
            ("mint.notAuthorized", message, Vec::new())
        }
        ApiError::Unknown { .. } => ("mint.outcomeUnknown", message, Vec::new()),
        ApiError::NoSuchPath
        | ApiError::Method
        | ApiError::TooLarge { .. }
        | ApiError::Body(_)
        | ApiError::Sealed
        | ApiError::OutOfRange { .. }
        | ApiError::AboveCap { .. }
        | ApiError::SwitchOpen { .. }
        | ApiError::ModeChanging
        | ApiError::Booking(_)
        | ApiError::Standing(_)
        | ApiError::Timeout
        | ApiError::TooMuch { .. }
        | ApiError::Unaudited(_)
        | ApiError::BillingOff
        | ApiError::Billing(_)
        | ApiError::Catalogue(
            CatalogueError::Invalid { .. }
            | CatalogueError::Precondition(_)
            | CatalogueError::Contended { .. }
            | CatalogueError::Ledger(_),
        ) => ("mint.genericMessage", message, Vec::new()),
    };
    Told { code, message, contexts }
}

/// Puts every refusal of the paths behind it into Edge's shape; status and headers stay.
pub(crate) async fn reshape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(Told { code, message, contexts }) = response.extensions().get::<Told>().cloned()
    else {
        return response;
    };
    let contexts: Vec<Value> =
        contexts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let body = json!({ "code": code, "message": message, "contexts": contexts });
    let mut reshaped = respond::json_response(response.status(), &body);
    for (name, value) in response.headers() {
        if !reshaped.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
            reshaped.headers_mut().append(name, value.clone());
        }
    }
    reshaped
}
