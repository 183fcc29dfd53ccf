//! Sets of tags: how they are read and shown, and the difference between two of them.

use std::collections::BTreeMap;

use aws_sdk_ssm::types::Tag;
use serde_json::Value;

use crate::engine::op::{Op, Verb};

/// Tags by key, in order.
pub(crate) type Tags = BTreeMap<String, String>;

/// The goal's tags that are missing or have another value.
pub(crate) fn missing(observed: &Tags, goal: &Tags) -> Tags {
    let missing = goal.iter().filter(|(key, value)| observed.get(*key) != Some(value));
    missing.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The op that sets tags; none if there is none to set.
pub(crate) fn set_op(action: &str, observed: &Tags, missing: &Tags) -> Option<Op> {
    let set = |op: Op, (key, value): (&String, &String)| {
        op.with(&format!("tags.{key}"), observed.get(key).cloned().map(Value::from), Some(value.as_str().into()))
    };
    (!missing.is_empty()).then(|| missing.iter().fold(Op::new(Verb::Update, action), set))
}

/// The op that removes tags; none if there is none to remove.
pub(crate) fn remove_op(action: &str, removed: &Tags) -> Option<Op> {
    let remove =
        |op: Op, (key, value): (&String, &String)| op.with(&format!("tags.{key}"), Some(value.as_str().into()), None);
    (!removed.is_empty()).then(|| removed.iter().fold(Op::new(Verb::Update, action), remove))
}

/// The tags as Systems Manager takes them, for a document or a parameter.
pub(crate) fn of_systems_manager(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

/// The tags as an object, for a create op.
pub(crate) fn shown(tags: &Tags) -> Value {
    Value::from_iter(tags.clone())
}

/// The tags as text: `team=platform, stage=prod`.
pub(crate) fn pairs(tags: &Tags) -> String {
    tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// Reads a service's list of tags.
pub(crate) fn read<T>(tags: Option<Vec<T>>, pair: impl Fn(T) -> (Option<String>, Option<String>)) -> Tags {
    let tag = |tag| {
        let (key, value) = pair(tag);
        Some((key?, value.unwrap_or_default()))
    };
    tags.unwrap_or_default().into_iter().filter_map(tag).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_tags() -> impl Strategy<Value = Tags> {
        prop::collection::btree_map("[a-d]", "[x-z]?", 0..4)
    }

    proptest! {
        #[test]
        fn what_is_missing_leads_to_the_goal_and_leaves_every_other_tag(observed in some_tags(), goal in some_tags()) {
            let mut reached = observed.clone();
            reached.extend(missing(&observed, &goal));
            prop_assert_eq!(missing(&reached, &goal), Tags::new());
            for (key, value) in observed.iter().filter(|(key, _)| !goal.contains_key(*key)) {
                prop_assert_eq!(reached.get(key), Some(value));
            }
        }
    }
}
