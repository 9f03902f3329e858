//! Groups of operations of an API product, and what they grant.
//!
//! The plain group names paths and methods. The others name more than a gateway looks at: they are
//! stored as they came, and grant what can be told from a path: a gRPC method is one, a language
//! model's resource is one, and a GraphQL or payload operation is its whole proxy.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_ledger_store::catalogue::Operation;
use tollgate_ledger_store::catalogue::records::{OperationConfig, Quota};

use super::{AttributeShape, attribute_shapes, attributes};
use crate::error::ApiError;
use crate::json;

/// Grants every path of a proxy.
const EVERY_PATH: &str = "/**";

/// Operations by proxy, both ways.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct OperationGroup {
    #[serde(deserialize_with = "json::list")]
    operation_configs: Vec<OperationConfigShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["proxy", "remoteservice", null]))]
    operation_config_type: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OperationConfigShape {
    api_source: String,
    #[serde(deserialize_with = "json::list")]
    operations: Vec<OperationShape>,
    #[serde(deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaShape>,
    #[serde(deserialize_with = "json::objects", skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeShape>>,
}

/// A quota, stored only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct QuotaShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unit: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OperationShape {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
}

/// A group of another kind, both ways: what is common to all.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", bound = "C: GroupConfig")]
#[schemars(bound = "C: GroupConfig", rename = "OperationGroupOf{C}")]
pub(crate) struct OtherGroup<C> {
    #[serde(default, deserialize_with = "json::list")]
    operation_configs: Vec<C>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation_config_type: Option<String>,
}

/// One entry of a group of another kind.
pub(crate) trait GroupConfig:
    Clone + Serialize + for<'de> Deserialize<'de> + schemars::JsonSchema
{
    /// Whether the kind says of which services its operations are.
    const HAS_TYPE: bool;

    /// The proxy, and the paths and methods that can be told of it.
    fn grants(&self) -> (&str, Vec<Operation>);
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct GraphqlConfig {
    api_source: String,
    #[serde(deserialize_with = "json::list")]
    operations: Vec<GraphqlOperation>,
    #[serde(deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaShape>,
    #[serde(deserialize_with = "json::objects", skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeShape>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct GraphqlOperation {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    operation_types: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct GrpcConfig {
    api_source: String,
    service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaShape>,
    #[serde(deserialize_with = "json::objects", skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeShape>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct LlmConfig {
    api_source: String,
    #[serde(deserialize_with = "json::list")]
    llm_operations: Vec<LlmOperation>,
    #[serde(deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    llm_token_quota: Option<QuotaShape>,
    #[serde(deserialize_with = "json::objects", skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeShape>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct LlmOperation {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    model: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct PayloadConfig {
    api_source: String,
    #[serde(deserialize_with = "json::list")]
    operations: Vec<PayloadOperation>,
    #[serde(deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaShape>,
    #[serde(deserialize_with = "json::objects", skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<AttributeShape>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct PayloadOperation {
    operation: String,
}

// === impl OperationGroup ===

impl OperationGroup {
    /// Whether the operations are said to be of remote services.
    pub(crate) fn is_remote_service(&self) -> Result<bool, ApiError> {
        is_remote(self.operation_config_type.as_deref(), "operationGroup")
    }

    pub(crate) fn configs(self) -> Vec<OperationConfig> {
        let config = |config: OperationConfigShape| OperationConfig {
            proxy: config.api_source,
            operations: config.operations.into_iter().map(OperationShape::operation).collect(),
            attributes: attributes(config.attributes),
            quota: config.quota.map(QuotaShape::quota).filter(|quota| *quota != Quota::default()),
        };
        self.operation_configs.into_iter().map(config).collect()
    }

    pub(crate) fn of(configs: &[OperationConfig], is_remote: bool) -> Option<OperationGroup> {
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
            quota: config.quota.as_ref().map(QuotaShape::of),
            attributes: Some(attribute_shapes(&config.attributes)).filter(|list| !list.is_empty()),
        };
        let word = if is_remote { "remoteservice" } else { "proxy" };
        Some(OperationGroup {
            operation_configs: configs.iter().map(config).collect(),
            operation_config_type: Some(word.to_owned()),
        })
    }
}

fn is_remote(word: Option<&str>, group: &str) -> Result<bool, ApiError> {
    match word {
        None | Some("proxy") => Ok(false),
        Some("remoteservice") => Ok(true),
        Some(other) => {
            let reason = format!("{other:?} is neither proxy nor remoteservice");
            Err(ApiError::invalid(format!("{group}.operationConfigType"), reason))
        }
    }
}

// === impl OperationShape ===

impl OperationShape {
    fn operation(self) -> Operation {
        Operation { resource: self.resource, methods: self.methods }
    }
}

// === impl QuotaShape ===

impl QuotaShape {
    fn quota(self) -> Quota {
        Quota {
            limit: self.limit.unwrap_or_default(),
            interval: self.interval.unwrap_or_default(),
            time_unit: self.time_unit.unwrap_or_default(),
        }
    }

    fn of(quota: &Quota) -> QuotaShape {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        QuotaShape {
            limit: given(&quota.limit),
            interval: given(&quota.interval),
            time_unit: given(&quota.time_unit),
        }
    }
}

// === impl OtherGroup ===

impl<C: GroupConfig> OtherGroup<C> {
    /// The group to store, and what it grants is added to `granted`.
    pub(crate) fn store(
        self,
        field: &str,
        granted: &mut Vec<OperationConfig>,
    ) -> Result<Value, ApiError> {
        if !C::HAS_TYPE && self.operation_config_type.is_some() {
            return Err(ApiError::Body("unknown field `operationConfigType`".to_owned()));
        }
        is_remote(self.operation_config_type.as_deref(), field)?;
        for config in &self.operation_configs {
            let (proxy, operations) = config.grants();
            if operations.is_empty() {
                let reason = "needs at least one operation in each operationConfig";
                return Err(ApiError::invalid(format!("{field}.operationConfigs"), reason));
            }
            let proxy = proxy.to_owned();
            granted.push(OperationConfig { proxy, operations, ..OperationConfig::default() });
        }
        Ok(serde_json::to_value(&self).expect("shapes have string keys and no NaN"))
    }
}

fn every_path() -> Operation {
    Operation { resource: EVERY_PATH.to_owned(), methods: Vec::new() }
}

impl GroupConfig for GraphqlConfig {
    const HAS_TYPE: bool = true;

    fn grants(&self) -> (&str, Vec<Operation>) {
        (&self.api_source, self.operations.iter().map(|_| every_path()).collect())
    }
}

impl GroupConfig for GrpcConfig {
    const HAS_TYPE: bool = false;

    fn grants(&self) -> (&str, Vec<Operation>) {
        let path = |method: &str| Operation {
            resource: format!("/{}/{method}", self.service),
            methods: Vec::new(),
        };
        let methods = match self.methods.is_empty() {
            true => vec![path("*")],
            false => self.methods.iter().map(|method| path(method)).collect(),
        };
        (&self.api_source, methods)
    }
}

impl GroupConfig for LlmConfig {
    const HAS_TYPE: bool = false;

    fn grants(&self) -> (&str, Vec<Operation>) {
        let path = |on: &LlmOperation| Operation {
            resource: on.resource.clone(),
            methods: on.methods.clone(),
        };
        (&self.api_source, self.llm_operations.iter().map(path).collect())
    }
}

impl GroupConfig for PayloadConfig {
    const HAS_TYPE: bool = false;

    fn grants(&self) -> (&str, Vec<Operation>) {
        (&self.api_source, self.operations.iter().map(|_| every_path()).collect())
    }
}
