//! What a function is, as Lambda tells it, and how that differs from the goal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_lambda::types::{FunctionConfiguration, LastUpdateStatus, Runtime, State, VpcConfigResponse};
use contract::{
    Command, Consumer, Fields as SecretFields, Instances, Text, text,
    variable::{CONSUMER, KEEP_INACTIVE_SECONDS, KEEP_PREVIOUS_SECONDS, SECRET_ARN_PREFIX, SECRET_FIELDS},
};
use serde_json::{Value, json};

use super::{
    extras::Extras,
    goal::{Fields, Goal, Vpc},
    left_at_default::{FIELDS, LAYERS},
};
use crate::config;

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

    /// What an apply of the goal changes for those who have a credential now.
    pub(super) fn notes_of_change(&self, goal: &Goal) -> Vec<Text> {
        let Some(now) = self.configuration.get("environment").filter(|now| now[SECRET_ARN_PREFIX].is_string()) else {
            // Nothing follows from what somebody took away.
            return Vec::new();
        };
        let planned = &json!(goal.environment);
        let notes = [no_longer_tells(now, planned), no_longer_writes(now, planned)];
        let of_there = [does_not_tell_yet(now, planned), shortens_the_grace(now, planned)];
        notes.into_iter().chain(of_there.into_iter().filter(|_| goal.secret_is_there)).flatten().collect()
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

/// Which instances get no further credential. The key that they use is retired all the same.
fn no_longer_tells(now: &Value, goal: &Value) -> Option<Text> {
    let gone: Vec<_> = hosts(now).difference(&hosts(goal)).cloned().collect();
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

/// Which instances have not confirmed the credential in use, since they were not asked, or by another script. No key is retired before they
/// have.
fn does_not_tell_yet(now: &Value, goal: &Value) -> Option<Text> {
    let of = |environment: &Value| instances(environment).map(|it| it.script);
    let is_another_script = of(now).is_some_and(|script| of(goal).is_some_and(|other| other != script));
    let told = if is_another_script { BTreeSet::new() } else { hosts(now) };
    let added: Vec<_> = hosts(goal).difference(&told).cloned().collect();
    let (hosts, have, them) = match added.as_slice() {
        [] => return None,
        [host] => (format!("host {host}"), "has", "it"),
        hosts => (format!("hosts {}", hosts.join(", ")), "have", "them"),
    };
    let by = if is_another_script { " with the script that the file names" } else { "" };
    Some(text![
        format!(
            "{hosts} {have} not confirmed the credential in use{by}. After the apply, the daily upkeep gives {them} that credential, or "
        ),
        Command::deployer("rotate"),
        " does at once; until then no access key is retired"
    ])
}

/// Which fields of the secret's value no rotation writes any more: they keep the credential of the last one.
fn no_longer_writes(now: &Value, goal: &Value) -> Option<Text> {
    let fields = |environment: &Value| -> SecretFields {
        let json = environment[SECRET_FIELDS].as_str();
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    };
    let (before, after) = (fields(now), fields(goal));
    let gone: Vec<_> = before.of_credential().filter(|name| !after.has(name)).collect();
    (!gone.is_empty()).then(|| {
        format!(
            "the file no longer maps {} under secret.fields: a program that reads it has an old credential after the next rotation, and \
             cannot send once the grace of its key is over",
            gone.join(", ")
        )
        .into()
    })
}

/// A grace counts from when a key was superseded, so a shorter one may be over already.
fn shortens_the_grace(now: &Value, goal: &Value) -> Option<Text> {
    let shorter = [
        ("keep_previous", KEEP_PREVIOUS_SECONDS, "make it Inactive"),
        ("keep_inactive", KEEP_INACTIVE_SECONDS, "delete it"),
    ];
    let notes = shorter.into_iter().filter_map(|(key, variable, what)| {
        let of = |environment: &Value| environment[variable].as_str()?.parse().ok().map(Duration::from_secs);
        let (before, after) = (of(now)?, of(goal)?);
        (after < before).then(|| {
            Text::from(format!(
                "rotation.{key} gets shorter ({} instead of {}), for a key that is superseded already too: once that is over, the daily \
                 upkeep may {what}",
                config::spell(after),
                config::spell(before)
            ))
        })
    });
    let notes: Vec<_> = notes.collect();
    (!notes.is_empty()).then(|| Text::join(notes, "; "))
}

/// Whom a function with this environment tells of a new credential.
fn instances(environment: &Value) -> Option<Instances> {
    let Consumer::Instances(instances) = environment[CONSUMER].as_str().and_then(|json| json.parse().ok())?;
    Some(instances)
}

fn hosts(environment: &Value) -> BTreeSet<String> {
    instances(environment).into_iter().flat_map(|instances| instances.ids).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(changes: &[(&str, Value)]) -> Value {
        let consumer = json!({"instances": {"ids": ["i-1"], "document": "d", "script": "/a", "timeout_seconds": 60, "content_sha256": null}});
        let mut environment = json!({
            SECRET_ARN_PREFIX: "arn", CONSUMER: consumer.to_string(), KEEP_PREVIOUS_SECONDS: "86400", KEEP_INACTIVE_SECONDS: "3600",
        });
        environment
            .as_object_mut()
            .unwrap()
            .extend(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        environment
    }

    #[test]
    fn a_field_that_no_rotation_writes_any_more_is_told() {
        let mapped = |fields: &str| environment(&[(SECRET_FIELDS, fields.into())]);
        let two = mapped(r#"{"SMTP_USER":"access_key_id","mailpw":"smtp_password"}"#);
        let told = no_longer_writes(&two, &mapped(r#"{"mailpw":"smtp_password"}"#)).unwrap().to_string();
        assert!(told.contains("no longer maps SMTP_USER under secret.fields"), "{told}");
        assert!(no_longer_writes(&two, &environment(&[])).unwrap().to_string().contains("SMTP_USER, mailpw"));
        assert_eq!(no_longer_writes(&environment(&[]), &two), None);
    }

    #[test]
    fn a_grace_that_gets_shorter_is_told_and_one_that_gets_longer_is_not() {
        let shorter = environment(&[(KEEP_PREVIOUS_SECONDS, "3600".into())]);
        let told = shortens_the_grace(&environment(&[]), &shorter).unwrap().to_string();
        assert!(told.contains("rotation.keep_previous gets shorter (1h instead of 24h)"), "{told}");
        assert!(!told.contains("keep_inactive"), "{told}");
        assert_eq!(shortens_the_grace(&shorter, &environment(&[])), None);
    }

    #[test]
    fn a_host_that_was_not_asked_by_this_script_has_not_confirmed() {
        let with = |ids: Value, script: &str| {
            let consumer = json!({"instances": {"ids": ids, "document": "d", "script": script, "timeout_seconds": 60, "content_sha256": null}});
            environment(&[(CONSUMER, consumer.to_string().into())])
        };
        let told = |then: &Value| does_not_tell_yet(&environment(&[]), then).map(|text| text.to_string());
        assert!(told(&with(json!(["i-1", "i-2"]), "/a")).unwrap().starts_with("host i-2 has not confirmed"));
        let script = told(&with(json!(["i-1"]), "/b")).unwrap();
        assert!(
            script.contains("host i-1 has not confirmed the credential in use with the script that the file names"),
            "{script}"
        );
        assert_eq!(told(&environment(&[])), None);
    }
}
