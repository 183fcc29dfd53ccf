//! Sets of tags: how they are read and shown, and the difference between two of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::op::{Op, Verb};

/// Tags by key, in order.
pub(crate) type Tags = BTreeMap<String, String>;

/// What leads from one set of tags to another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Tags to set.
    pub(crate) missing: Tags,
    /// Tags to remove, with their values.
    pub(crate) foreign: Tags,
}

/// The difference between the observed tags and the goal. AWS's own tags are left alone.
pub(crate) fn difference(observed: &Tags, goal: &Tags) -> Difference {
    let cloned = |(key, value): (&String, &String)| (key.clone(), value.clone());
    let is_foreign = |key: &String| !goal.contains_key(key) && !key.starts_with("aws:");
    Difference {
        missing: goal.iter().filter(|(key, value)| observed.get(*key) != Some(value)).map(cloned).collect(),
        foreign: observed.iter().filter(|(key, _)| is_foreign(key)).map(cloned).collect(),
    }
}

/// The op that sets tags; none if there is none to set.
pub(crate) fn set_op(action: &str, observed: &Tags, missing: &Tags) -> Option<Op> {
    let set = |op: Op, (key, value): (&String, &String)| {
        op.with(&format!("tags.{key}"), observed.get(key).cloned().map(Value::from), Some(value.as_str().into()))
    };
    (!missing.is_empty()).then(|| missing.iter().fold(Op::new(Verb::Update, action), set))
}

/// The op that removes tags; none if there is none to remove.
pub(crate) fn remove_op(action: &str, foreign: &Tags) -> Option<Op> {
    let remove =
        |op: Op, (key, value): (&String, &String)| op.with(&format!("tags.{key}"), Some(value.as_str().into()), None);
    (!foreign.is_empty()).then(|| foreign.iter().fold(Op::new(Verb::Update, action), remove))
}

/// The tags as an object, for a create op.
pub(crate) fn shown(tags: &Tags) -> Value {
    Value::from_iter(tags.clone())
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

    fn apply(mut tags: Tags, difference: Difference) -> Tags {
        tags.extend(difference.missing);
        difference.foreign.keys().for_each(|key| drop(tags.remove(key)));
        tags
    }

    fn some_tags() -> impl Strategy<Value = Tags> {
        prop::collection::btree_map("[a-d]", "[x-z]?", 0..4)
    }

    proptest! {
        #[test]
        fn the_difference_leads_to_the_goal_and_then_there_is_none(observed in some_tags(), goal in some_tags()) {
            let reached = apply(observed.clone(), difference(&observed, &goal));
            prop_assert_eq!(&reached, &goal);
            prop_assert_eq!(difference(&reached, &goal), Difference { missing: Tags::new(), foreign: Tags::new() });
        }

        #[test]
        fn tags_of_aws_are_left_alone(mut observed in some_tags(), goal in some_tags()) {
            observed.insert("aws:cloudformation:stack-name".into(), "x".into());
            let reached = apply(observed.clone(), difference(&observed, &goal));
            prop_assert_eq!(reached.get("aws:cloudformation:stack-name").map(String::as_str), Some("x"));
        }
    }
}
