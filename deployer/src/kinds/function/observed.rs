//! What a function is, as Lambda tells it, and how that differs from the goal.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, Runtime, State, VpcConfigResponse};
use contract::{Command, Consumer, Text, text, variable::CONSUMER};
use serde_json::{Value, json};

use super::{
    extras::Extras,
    goal::{Fields, Goal, Vpc},
    left_at_default::{FIELDS, LAYERS},
};

pub(crate) struct Observed {
    pub(in crate::kinds) configuration: Fields,
    pub(in crate::kinds) architecture: Option<String>,
    pub(in crate::kinds) code_sha256: String,
    /// Why the last update did not take effect.
    pub(in crate::kinds) failed: Option<String>,
    /// The name of another secret that its environment names and whose rotation invokes it.
    pub(in crate::kinds) rotates_another: Option<String>,
    /// The name of the user whose keys it makes for the secret of the file, as its environment says.
    pub(in crate::kinds) user: Option<String>,
    pub(in crate::kinds) extras: Extras,
}

impl Observed {
    /// Whether the function is not configured as the goal says.
    pub(super) fn differs(&self, goal: &Goal) -> bool {
        goal.fields().iter().any(|(field, to)| self.configuration.get(field) != Some(to))
    }

    /// Which instances get no further credential. The key that they use is retired all the same.
    pub(super) fn no_longer_tells(&self, goal: &Goal) -> Option<Text> {
        let now = self.configuration.get("environment").map(hosts).unwrap_or_default();
        let gone: Vec<_> = now.difference(&hosts(&json!(goal.environment))).cloned().collect();
        let (hosts, them, they_have) = match gone.as_slice() {
            [] => return None,
            [host] => (format!("host {host}"), "it", "it has"),
            hosts => (format!("hosts {}", hosts.join(", ")), "them", "they have"),
        };
        Some(text![format!(
            "the file no longer names {hosts}: no rotation tells {them} of a new credential. The one that {they_have} stops working after \
             the next rotation, once its grace is over, so replace it by hand before"
        )])
    }

    /// Which instances have not confirmed the credential in use, since they were not asked. No key is retired before they have.
    pub(super) fn does_not_tell_yet(&self, goal: &Goal) -> Option<Text> {
        let now = self.configuration.get("environment").map(hosts).filter(|_| goal.secret_is_there)?;
        let added: Vec<_> = hosts(&json!(goal.environment)).difference(&now).cloned().collect();
        let (hosts, have, them) = match added.as_slice() {
            [] => return None,
            [host] => (format!("host {host}"), "has", "it"),
            hosts => (format!("hosts {}", hosts.join(", ")), "have", "them"),
        };
        Some(text![
            format!(
                "{hosts} {have} not confirmed the credential in use. After the apply, the daily upkeep gives {them} that credential, or "
            ),
            Command::deployer("rotate"),
            " does at once; until then no access key is retired"
        ])
    }

    /// What lets somebody else's code run in the function, or as somebody else: then its tags prove nothing about its code.
    pub(super) fn doubts(&self, goal: &Goal) -> impl Iterator<Item = String> {
        let now = |field| self.configuration.get(field);
        let is_former = |role: &str| goal.former.roles.iter().any(|former| role.rsplit('/').next() == Some(former));
        let role = now("role").and_then(Value::as_str).filter(|role| *role != goal.role_arn && !is_former(role));
        let layers = now(LAYERS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        role.map(|role| format!("the role {role}")).into_iter().chain(layers.map(|arn| format!("the layer {arn}")))
    }
}

pub(super) fn failure(configuration: &FunctionConfiguration) -> Option<String> {
    let failed = configuration.last_update_status() == Some(&LastUpdateStatus::Failed)
        || configuration.state() == Some(&State::Failed);
    let reason = configuration.last_update_status_reason().or(configuration.state_reason());
    failed.then(|| reason.unwrap_or("AWS gives no reason").to_owned())
}

/// The ids of the instances that a function with this environment tells of a new credential.
fn hosts(environment: &Value) -> BTreeSet<String> {
    let consumer = environment[CONSUMER].as_str().and_then(|json| json.parse().ok());
    consumer.into_iter().flat_map(|Consumer::Instances(instances)| instances.ids).collect()
}

pub(super) fn observed_fields(configuration: &FunctionConfiguration) -> Fields {
    let environment: BTreeMap<_, _> =
        configuration.environment().and_then(|environment| environment.variables()).into_iter().flatten().collect();
    let set = [
        ("environment", json!(environment)),
        ("handler", json!(configuration.handler())),
        ("memory_size", json!(configuration.memory_size())),
        ("role", json!(configuration.role())),
        ("runtime", json!(configuration.runtime().map(Runtime::as_str))),
        ("timeout", json!(configuration.timeout())),
        ("vpc", observed_vpc(configuration).shown()),
    ];
    set.into_iter().chain(FIELDS.iter().map(|field| (field.name, (field.observe)(configuration)))).collect()
}

fn observed_vpc(configuration: &FunctionConfiguration) -> Vpc {
    let vpc = configuration.vpc_config();
    let ids = |ids: Option<&[String]>| ids.unwrap_or_default().to_vec();
    Vpc::new(ids(vpc.map(VpcConfigResponse::subnet_ids)), ids(vpc.map(VpcConfigResponse::security_group_ids)))
}
