//! What the policy of a resource, such as a secret or a topic, certainly denies. IAM's simulator does not know it. Pure.

use serde_json::{Map, Value};

use crate::{
    deployment::policy::{any_covers, normalized, texts},
    sentences::{Home, sentences},
};

/// A statement that denies an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) action: &'static str,
    /// The statement as a sentence.
    pub(crate) statement: String,
    /// Whether the policy has no other statement.
    pub(crate) is_alone: bool,
}

/// What denies a role one of these actions on the resource, whatever other policies allow. `resource`: its ARN. `role`: the role's name; none
/// for any role of the account. A statement with a condition, or one that names who or what is left out, may not deny: nothing follows from
/// it.
pub(crate) fn denial(
    document: &Value,
    resource: &str,
    actions: &[&'static str],
    account: &str,
    role: Option<&str>,
) -> Option<Denial> {
    let statements = normalized(document)["Statement"].as_array().cloned().unwrap_or_default();
    let denies = |statement: &Value, action: &str| {
        statement["Effect"] == "Deny"
            && statement["Condition"].as_object().is_none_or(Map::is_empty)
            && names(&statement["Principal"], account, role)
            && any_covers(&statement["Resource"], resource)
            && match &statement["NotAction"] {
                Value::Null => any_covers(&statement["Action"], action),
                others => !any_covers(others, action),
            }
    };
    actions.iter().find_map(|&action| {
        let statement = statements.iter().find(|statement| denies(statement, action))?;
        let said = sentences(statement, Home::NOWHERE).unwrap_or_default().join("; ");
        let statement = if said.is_empty() { statement.to_string() } else { said };
        Some(Denial { action, statement, is_alone: statements.len() == 1 })
    })
}

/// Whether a statement's principals have the role among them. An account stands for everybody in it (IAM guide, "AWS JSON policy elements:
/// Principal").
fn names(principal: &Value, account: &str, role: Option<&str>) -> bool {
    let is_role = |resource: &str| {
        let named = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
        named.is_some_and(|named| Some(named) == role)
    };
    let is_it = |text: &str| match text.split(':').collect::<Vec<_>>().as_slice() {
        ["*"] => true,
        [id] => *id == account,
        ["arn", _, "iam", "", id, resource] => *id == account && (*resource == "root" || is_role(resource)),
        _ => false,
    };
    principal == "*" || texts(&principal["AWS"]).any(is_it)
}
