//! API products.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::catalogue::records::{
    OperationConfig, OtherGroups, Product, ProductTerms, Quota,
};

use super::operations::{
    GraphqlConfig, GrpcConfig, LlmConfig, OperationGroup, OtherGroup, PayloadConfig,
};
use super::{AttributeShape, ReadOnly, attribute_shapes, attributes, millis};
use crate::error::ApiError;
use crate::json;

/// A product in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct ProductInput {
    pub(crate) name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[schemars(extend("enum" = ["auto", "manual", "", null]))]
    approval_type: Option<String>,
    api_resources: Option<Vec<String>>,
    #[serde(deserialize_with = "json::object")]
    operation_group: Option<OperationGroup>,
    #[serde(deserialize_with = "json::object")]
    graphql_operation_group: Option<OtherGroup<GraphqlConfig>>,
    #[serde(deserialize_with = "json::object")]
    grpc_operation_group: Option<OtherGroup<GrpcConfig>>,
    #[serde(deserialize_with = "json::object")]
    llm_operation_group: Option<OtherGroup<LlmConfig>>,
    #[serde(deserialize_with = "json::object")]
    payload_operation_group: Option<OtherGroup<PayloadConfig>>,
    environments: Option<Vec<String>>,
    proxies: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    quota: Option<String>,
    quota_interval: Option<String>,
    quota_time_unit: Option<String>,
    #[schemars(extend("enum" = ["QUOTA_COUNTER_SCOPE_UNSPECIFIED", "PROXY", "OPERATION", "PRODUCT", null]))]
    quota_counter_scope: Option<String>,
    llm_quota: Option<String>,
    llm_quota_interval: Option<String>,
    llm_quota_time_unit: Option<String>,
    space: Option<String>,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// The body of `:move`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MoveInput {
    pub(crate) space: Option<String>,
}

/// A product in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductShape {
    name: String,
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[schemars(extend("enum" = ["auto", "manual"]))]
    approval_type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_resources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_group: Option<OperationGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    graphql_operation_group: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_operation_group: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm_operation_group: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_operation_group: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    proxies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShape>,
    #[serde(skip_serializing_if = "String::is_empty")]
    quota: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    quota_interval: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    quota_time_unit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_counter_scope: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    llm_quota: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    llm_quota_interval: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    llm_quota_time_unit: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    space: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// A product in a listing that is not expanded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ProductName {
    pub(crate) name: String,
}

/// `{"apiProduct":[…]}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductList<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) api_product: Vec<T>,
}

// === impl ProductInput ===

impl ProductInput {
    pub(crate) fn terms(mut self) -> Result<ProductTerms, ApiError> {
        let is_manual_approval = match self.approval_type.as_deref() {
            None | Some("" | "auto") => false,
            Some("manual") => true,
            Some(other) => {
                let reason = format!("{other:?} is neither auto nor manual");
                return Err(ApiError::invalid("approvalType", reason));
            }
        };
        let mut other_operations = Vec::new();
        let other_groups = self.other_groups(&mut other_operations)?;
        let quota_counter_scope = scope(self.quota_counter_scope)?;
        let group = self.operation_group.unwrap_or_default();
        Ok(ProductTerms {
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            is_manual_approval,
            api_resources: self.api_resources.unwrap_or_default(),
            is_remote_service: group.is_remote_service()?,
            operations: group.configs(),
            other_groups,
            other_operations,
            environments: self.environments.unwrap_or_default(),
            proxies: self.proxies.unwrap_or_default(),
            scopes: self.scopes.unwrap_or_default(),
            attributes: attributes(self.attributes),
            quota: self.quota.unwrap_or_default(),
            quota_interval: self.quota_interval.unwrap_or_default(),
            quota_time_unit: self.quota_time_unit.unwrap_or_default(),
            quota_counter_scope,
            llm_quota: Quota {
                limit: self.llm_quota.unwrap_or_default(),
                interval: self.llm_quota_interval.unwrap_or_default(),
                time_unit: self.llm_quota_time_unit.unwrap_or_default(),
            },
            space: self.space.unwrap_or_default(),
        })
    }

    /// The groups to store, and what they grant is added to `granted`.
    fn other_groups(
        &mut self,
        granted: &mut Vec<OperationConfig>,
    ) -> Result<OtherGroups, ApiError> {
        let graphql = self.graphql_operation_group.take();
        let grpc = self.grpc_operation_group.take();
        let llm = self.llm_operation_group.take();
        let payload = self.payload_operation_group.take();
        Ok(OtherGroups {
            graphql: graphql
                .map(|group| group.store("graphqlOperationGroup", granted))
                .transpose()?,
            grpc: grpc.map(|group| group.store("grpcOperationGroup", granted)).transpose()?,
            llm: llm.map(|group| group.store("llmOperationGroup", granted)).transpose()?,
            payload: payload
                .map(|group| group.store("payloadOperationGroup", granted))
                .transpose()?,
        })
    }
}

/// Checks the scope of a quota's counter.
fn scope(word: Option<String>) -> Result<Option<String>, ApiError> {
    match word.as_deref() {
        None | Some("QUOTA_COUNTER_SCOPE_UNSPECIFIED") => Ok(None),
        Some("PROXY" | "OPERATION" | "PRODUCT") => Ok(word),
        Some(other) => {
            let reason = format!("{other:?} is none of PROXY, OPERATION and PRODUCT");
            Err(ApiError::invalid("quotaCounterScope", reason))
        }
    }
}

// === impl ProductShape ===

impl ProductShape {
    pub(crate) fn of(product: &Product) -> ProductShape {
        let terms = product.terms.clone();
        ProductShape {
            name: product.name.clone(),
            display_name: terms.display_name,
            description: terms.description,
            approval_type: if terms.is_manual_approval { "manual" } else { "auto" },
            api_resources: terms.api_resources,
            operation_group: OperationGroup::of(&terms.operations, terms.is_remote_service),
            graphql_operation_group: terms.other_groups.graphql,
            grpc_operation_group: terms.other_groups.grpc,
            llm_operation_group: terms.other_groups.llm,
            payload_operation_group: terms.other_groups.payload,
            environments: terms.environments,
            proxies: terms.proxies,
            scopes: terms.scopes,
            attributes: attribute_shapes(&terms.attributes),
            quota: terms.quota,
            quota_interval: terms.quota_interval,
            quota_time_unit: terms.quota_time_unit,
            quota_counter_scope: terms.quota_counter_scope,
            llm_quota: terms.llm_quota.limit,
            llm_quota_interval: terms.llm_quota.interval,
            llm_quota_time_unit: terms.llm_quota.time_unit,
            space: terms.space,
            created_at: millis(product.created_at),
            last_modified_at: millis(product.modified_at),
        }
    }
}
