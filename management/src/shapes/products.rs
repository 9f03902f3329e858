//! API products.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::Operation;
use tollgate_ledger_store::catalogue::records::{OperationConfig, Product, ProductTerms};

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
    environments: Option<Vec<String>>,
    proxies: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
    quota: Option<String>,
    quota_interval: Option<String>,
    quota_time_unit: Option<String>,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// Operations by proxy, both ways.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OperationGroup {
    #[serde(deserialize_with = "json::list")]
    operation_configs: Vec<OperationConfigShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_config_type: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OperationConfigShape {
    api_source: String,
    #[serde(deserialize_with = "json::list")]
    operations: Vec<OperationShape>,
    #[serde(skip_serializing)]
    #[serde(deserialize_with = "json::object")]
    quota: Option<Quota>,
    #[serde(skip_serializing)]
    #[serde(deserialize_with = "json::objects")]
    attributes: Option<Vec<AttributeShape>>,
}

/// A quota of one operation: not supported, but samples send empty ones.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Quota {
    limit: Option<String>,
    interval: Option<String>,
    time_unit: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OperationShape {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
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
    pub(crate) fn terms(self) -> Result<ProductTerms, ApiError> {
        let is_manual_approval = match self.approval_type.as_deref() {
            None | Some("" | "auto") => false,
            Some("manual") => true,
            Some(other) => {
                let reason = format!("{other:?} is neither auto nor manual");
                return Err(ApiError::invalid("approvalType", reason));
            }
        };
        Ok(ProductTerms {
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            is_manual_approval,
            api_resources: self.api_resources.unwrap_or_default(),
            operations: self.operation_group.unwrap_or_default().configs()?,
            environments: self.environments.unwrap_or_default(),
            proxies: self.proxies.unwrap_or_default(),
            scopes: self.scopes.unwrap_or_default(),
            attributes: attributes(self.attributes),
            quota: self.quota.unwrap_or_default(),
            quota_interval: self.quota_interval.unwrap_or_default(),
            quota_time_unit: self.quota_time_unit.unwrap_or_default(),
        })
    }
}

// === impl OperationGroup ===

impl OperationGroup {
    fn configs(self) -> Result<Vec<OperationConfig>, ApiError> {
        match self.operation_config_type.as_deref() {
            None | Some("proxy") => {}
            Some(other) => {
                let reason = format!("{other:?} is not supported here, only proxy is");
                return Err(ApiError::invalid("operationGroup.operationConfigType", reason));
            }
        }
        let mut configs = Vec::with_capacity(self.operation_configs.len());
        for config in self.operation_configs {
            let has_quota = config.quota.is_some_and(|quota| {
                quota.limit.is_some() || quota.interval.is_some() || quota.time_unit.is_some()
            });
            if has_quota || config.attributes.is_some_and(|attributes| !attributes.is_empty()) {
                let reason = "quota and attributes of an operation are not supported here";
                return Err(ApiError::invalid("operationGroup.operationConfigs", reason));
            }
            let operations = config.operations.into_iter();
            configs.push(OperationConfig {
                proxy: config.api_source,
                operations: operations
                    .map(|operation| Operation {
                        resource: operation.resource,
                        methods: operation.methods,
                    })
                    .collect(),
            });
        }
        Ok(configs)
    }

    fn of(configs: &[OperationConfig]) -> Option<OperationGroup> {
        if configs.is_empty() {
            return None;
        }
        let operation = |operation: &Operation| OperationShape {
            resource: operation.resource.clone(),
            methods: operation.methods.clone(),
        };
        let config = |config: &OperationConfig| OperationConfigShape {
            api_source: config.proxy.clone(),
            operations: config.operations.iter().map(operation).collect(),
            quota: None,
            attributes: None,
        };
        Some(OperationGroup {
            operation_configs: configs.iter().map(config).collect(),
            operation_config_type: Some("proxy".to_owned()),
        })
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
            operation_group: OperationGroup::of(&terms.operations),
            environments: terms.environments,
            proxies: terms.proxies,
            scopes: terms.scopes,
            attributes: attribute_shapes(&terms.attributes),
            quota: terms.quota,
            quota_interval: terms.quota_interval,
            quota_time_unit: terms.quota_time_unit,
            created_at: millis(product.created_at),
            last_modified_at: millis(product.modified_at),
        }
    }
}
