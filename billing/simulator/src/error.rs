//! Refusals in Stripe's shape, and whether an idempotency key keeps them.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// What an endpoint answers: an object, or a refusal.
pub(crate) type Answer = Result<Value, ApiError>;

/// A refusal: a status and the fields of `error` in its body.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) fields: Map<String, Value>,
    /// Whether the endpoint had begun its work, so that an idempotency key replays this answer.
    pub(crate) is_stored: bool,
}

// === impl ApiError ===

impl ApiError {
    /// A refusal of the given `error.type`.
    pub(crate) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> ApiError {
        let mut fields = Map::new();
        fields.insert("message".to_owned(), Value::String(message.into()));
        fields.insert("type".to_owned(), Value::String(kind.to_owned()));
        ApiError { status, fields, is_stored: false }
    }

    /// 400: a parameter is not what it should be. No idempotency key keeps this.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
            .with("param", param)
    }

    /// 400: a parameter is needed and was not sent.
    pub(crate) fn missing_param(param: &str) -> ApiError {
        ApiError::invalid(param, format!("Missing required param: {param}."))
            .with("code", "parameter_missing")
    }

    /// 400: the object is in no state for this.
    pub(crate) fn state(code: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
            .with("code", code)
            .stored()
    }

    /// 404 for an object named in the path, 400 for one named in a parameter.
    pub(crate) fn no_such(kind: &str, id: &str, param: &str) -> ApiError {
        let status = if param == "id" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        let noun = kind.replace('_', "");
        let noun = if kind == "payment_method" { "PaymentMethod" } else { &noun };
        ApiError::new(status, "invalid_request_error", format!("No such {noun}: '{id}'"))
            .with("code", "resource_missing")
            .with("param", param)
    }

    /// 402: the bank says no.
    pub(crate) fn card(code: &str, message: &str) -> ApiError {
        ApiError::new(StatusCode::PAYMENT_REQUIRED, "card_error", message)
            .with("code", code)
            .stored()
    }

    /// 500: as when something breaks at Stripe.
    pub(crate) fn internal() -> ApiError {
        let message = "An unknown error occurred. (This failure was asked of the simulator.)";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", message).stored()
    }

    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> ApiError {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Marks the refusal as one that came after the endpoint had begun.
    #[must_use]
    pub(crate) fn stored(mut self) -> ApiError {
        self.is_stored = true;
        self
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Value {
        json!({ "error": self.fields })
    }
}
