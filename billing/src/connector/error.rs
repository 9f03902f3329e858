//! Why the connector did not do what was asked, where billing has no word for it.

/// Why the connector did not do what was asked: nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// The entity has no such operation.
    #[error("entity {entity} has no operation {operation}: it has {has}")]
    Operation {
        /// Of the table of entities.
        entity: &'static str,
        /// The one that was asked for.
        operation: &'static str,
        /// Those that it has.
        has: String,
    },
    /// The connection's transactions of this second are used up.
    #[error(
        "connection {connection} passes {per_second} transactions a second ({nodes} nodes, 6 each): \
         ask again in a second, or raise nodeConfig.minNodeCount"
    )]
    Throttled {
        /// Its name.
        connection: String,
        /// What passes in a second.
        per_second: u32,
        /// Nodes that run.
        nodes: u32,
    },
    /// A service that this needs is not enabled.
    #[error(
        "service {service} is not enabled in project {project}: enable it with POST \
         /v1/projects/{project}/services/{service}:enable"
    )]
    ServiceDisabled {
        /// E.g. `connectors.googleapis.com`.
        service: &'static str,
        /// The organization.
        project: String,
    },
    /// A service account lacks a role.
    #[error(
        "role {role} is missing: grant it to serviceAccount:{account} in project {project} with POST \
         /v1/projects/{project}:setIamPolicy"
    )]
    RoleMissing {
        /// E.g. `roles/secretmanager.secretAccessor`.
        role: &'static str,
        /// The service account.
        account: String,
        /// The organization.
        project: String,
    },
    /// A stored secret is told to nobody.
    #[error("secret version {0} is not shown: its value is used by connections and told to nobody")]
    SecretHidden(String),
    /// Of several changes under one condition some were made.
    #[error("{done} of {all} {entity} were changed, then {failed} was refused: {reason}")]
    Part {
        /// Changed.
        done: usize,
        /// That met the condition.
        all: usize,
        /// Of the table of entities.
        entity: &'static str,
        /// The id that was refused.
        failed: String,
        /// Why.
        reason: String,
    },
}
