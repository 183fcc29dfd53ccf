//! What the kinds that live in IAM share.

use aws_sdk_iam::types::Tag;
use serde_json::Value;

use crate::{
    deployment::policy,
    engine::kind::{Op, Verb},
    engine::tags::Tags,
    error::Error,
};

/// The op that puts an inline policy, where the one observed means something else.
pub(super) fn put_policy(call: &'static str, observed: Option<&Value>, goal: Value) -> Option<(Op, Value)> {
    let normalized = policy::normalized(&goal);
    (observed != Some(&normalized))
        .then(|| (Op::new(Verb::Update, call).with("policy", observed.cloned(), Some(normalized)), goal))
}

pub(super) fn tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

/// IAM does not find at once what was created.
pub(super) fn is_not_there_yet(error: &Error) -> bool {
    error.code() == Some("NoSuchEntity")
}
