//! What the kinds that live in IAM share.

use aws_sdk_iam::types::Tag;
use serde_json::Value;

use crate::{
    deployment::policy,
    engine::{
        op::{Op, Verb},
        tags::Tags,
    },
    error::Error,
};

/// IAM's codes for "it is not as you saw it". They have no "Exception".
pub(super) const CONFLICTS: &[&str] = &["ConcurrentModification", "EntityAlreadyExists", "NoSuchEntity"];

/// The op that puts an inline policy; none if the observed one means the same.
pub(super) fn put_policy(call: &str, observed: Option<&Value>, goal: &Value) -> Option<(Op, Value)> {
    let normalized = policy::normalized(goal);
    (observed != Some(&normalized))
        .then(|| (Op::new(Verb::Update, call).with("policy", observed.cloned(), Some(normalized)), goal.clone()))
}

pub(super) fn tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

pub(super) fn read_tags(tags: Option<Vec<Tag>>) -> Tags {
    crate::engine::tags::read(tags, |tag| (Some(tag.key), Some(tag.value)))
}

/// IAM does not show at once what was created.
pub(super) fn is_not_there_yet(error: &Error) -> bool {
    error.code() == Some("NoSuchEntity")
}

/// What was removed from a user or role before its deletion is still seen for a moment.
pub(super) fn is_still_in_use(error: &Error) -> bool {
    error.code() == Some("DeleteConflict")
}
