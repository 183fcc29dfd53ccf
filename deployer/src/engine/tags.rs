//! Ownership, and the difference between two sets of tags.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    config::Config,
    deployment::names::Names,
    engine::kind::{Address, Op, Verb},
    error::Error,
};

/// Tags by key, in order.
pub(crate) type Tags = BTreeMap<String, String>;

/// A call that changes tags. Every service has these two; only their names differ.
#[derive(Debug)]
pub(crate) enum TagCall {
    Set(Tags),
    Unset(Vec<String>),
}

/// The tags of what the deployment owns: those of the configuration and the ownership tag.
pub(crate) fn owned(config: &Config, names: &Names) -> Tags {
    let mut tags = config.tags.clone();
    tags.insert(contract::TAG_DEPLOYMENT.to_owned(), names.owner.clone());
    tags
}

/// Fails where something of this name exists that the deployment does not own.
///
/// `way_out` says what the user can do beside choosing another name.
pub(crate) fn check_owner(address: &Address, tags: &Tags, names: &Names, way_out: &str) -> Result<(), Error> {
    let owner = tags.get(contract::TAG_DEPLOYMENT).map(String::as_str);
    if owner == Some(names.owner.as_str()) {
        return Ok(());
    }
    let owner = match owner {
        Some(owner) => format!("deployment {owner} owns it"),
        None => format!("it carries no tag {}, so this tool did not make it", contract::TAG_DEPLOYMENT),
    };
    Err(Error::new(format!("{address} exists and is not ours")).cause(owner).hint(way_out))
}

/// The calls that lead from the observed tags of an owned thing to its goal. Tags of AWS's own are left alone.
pub(crate) fn ops(set: &'static str, unset: &'static str, observed: &Tags, goal: &Tags) -> Vec<(Op, TagCall)> {
    let mut ops = Vec::new();
    let missing: Tags = goal.iter().filter(|(key, value)| observed.get(*key) != Some(value)).map(cloned).collect();
    if !missing.is_empty() {
        let op = missing.iter().fold(Op::new(Verb::Update, set), |op, (key, value)| {
            op.with(
                &format!("tags.{key}"),
                observed.get(key).cloned().map(Value::from),
                Some(Value::from(value.as_str())),
            )
        });
        ops.push((op, TagCall::Set(missing)));
    }
    let foreign: Tags =
        observed.iter().filter(|(key, _)| !goal.contains_key(*key) && !key.starts_with("aws:")).map(cloned).collect();
    if !foreign.is_empty() {
        let op = foreign.iter().fold(Op::new(Verb::Update, unset), |op, (key, value)| {
            op.with(&format!("tags.{key}"), Some(Value::from(value.as_str())), None)
        });
        ops.push((op, TagCall::Unset(foreign.into_keys().collect())));
    }
    ops
}

/// The goal's tags as an object, for a create op.
pub(crate) fn shown(tags: &Tags) -> Value {
    Value::from_iter(tags.clone())
}

fn cloned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// Reads a service's list of tags.
pub(crate) fn read<T>(tags: Option<Vec<T>>, pair: impl Fn(T) -> (Option<String>, Option<String>)) -> Tags {
    tags.unwrap_or_default()
        .into_iter()
        .filter_map(|tag| {
            let (key, value) = pair(tag);
            Some((key?, value.unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(mut tags: Tags, ops: Vec<(Op, TagCall)>) -> Tags {
        for (_, call) in ops {
            match call {
                TagCall::Set(set) => tags.extend(set),
                TagCall::Unset(keys) => keys.iter().for_each(|key| {
                    tags.remove(key);
                }),
            }
        }
        tags
    }

    fn some_tags() -> impl Strategy<Value = Tags> {
        prop::collection::btree_map("[a-d]", "[x-z]?", 0..4)
    }

    proptest! {
        #[test]
        fn the_calls_lead_to_the_goal_and_then_there_are_none(observed in some_tags(), goal in some_tags()) {
            let reached = apply(observed.clone(), ops("Set", "Unset", &observed, &goal));
            prop_assert_eq!(&reached, &goal);
            prop_assert!(ops("Set", "Unset", &reached, &goal).is_empty());
        }

        #[test]
        fn tags_of_aws_are_left_alone(mut observed in some_tags(), goal in some_tags()) {
            observed.insert("aws:cloudformation:stack-name".into(), "x".into());
            let reached = apply(observed.clone(), ops("Set", "Unset", &observed, &goal));
            prop_assert_eq!(reached.get("aws:cloudformation:stack-name").map(String::as_str), Some("x"));
        }
    }
}
