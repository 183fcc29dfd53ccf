//! The function's code: when it is uploaded, which tags say where it came from, and which code is kept as a version.
//!
//! Two tags make code comparable without building it: the digest of the sources, and the hash of
//! the zip that was uploaded. Unchanged sources never rebuild and never upload again; live code
//! that is not what was uploaded is drift. Whoever may give the function another role or a layer may set these two tags too, so
//! then they are not believed.

use std::time::Duration;

use aws_sdk_lambda::types::Architecture as SdkArchitecture;
use aws_smithy_types::timeout::TimeoutConfig;
use contract::TAG_DEPLOYMENT;
use serde_json::Value;

use super::{call::Call, goal::Goal, observed::Observed};
use crate::{
    config::Architecture,
    engine::{
        kind::Context,
        op::{Effect, Op, Verb},
        owned::Found,
        tags::Tags,
    },
    error::Error,
    package::code_sha256,
};

pub(crate) const TAG_SOURCE: &str = "deployer:source";
pub(crate) const TAG_CODE: &str = "deployer:code-sha256";

/// The op that keeps the live code; none if it is not what a deployer uploaded.
pub(super) fn keep_code(goal: &Goal, found: &Found<Observed>) -> Option<(Op, Call)> {
    let Found { tags, observed } = found;
    let source = tags.get(TAG_SOURCE).filter(|_| is_as_uploaded(goal, found))?;
    let op = Op::new(Verb::Update, "lambda:PublishVersion").sets("kept_for_rollback", format!("handler {source}"));
    Some((op, Call::KeepCode { source: source.clone(), code_sha256: observed.code_sha256.clone() }))
}

/// Whether the live code is what the tags say.
fn is_as_uploaded(goal: &Goal, Found { tags, observed }: &Found<Observed>) -> bool {
    // Whoever made a function that is taken over could set these tags too.
    let is_ours = tags.contains_key(TAG_DEPLOYMENT);
    let is_believed = is_ours && observed.doubts(goal).next().is_none();
    is_believed && tags.get(TAG_CODE) == Some(&observed.code_sha256)
}

/// The op that uploads the code, and the one that marks it as uploaded; none if the live code is the goal's.
pub(super) fn update_code(goal: &Goal, found: &Found<Observed>) -> Option<((Op, Call), (Op, Call))> {
    let Found { tags, observed } = found;
    let marked = |tag: &str| tags.get(tag).cloned().map(Value::from);
    let architecture = goal.architecture.to_string();
    let is_as_uploaded = is_as_uploaded(goal, found);
    let is_from_source = tags.get(TAG_SOURCE) == Some(&goal.source);
    if is_as_uploaded && is_from_source && observed.architecture.as_ref() == Some(&architecture) {
        return None;
    }
    let from = if is_as_uploaded {
        marked(TAG_SOURCE)
    } else {
        Some(format!("changed outside: {}", observed.code_sha256).into())
    };
    let update = Op::new(Verb::Update, "lambda:UpdateFunctionCode")
        .effect(Effect::UploadsCode)
        .with("code", from, Some(format!("handler {}", goal.source).into()))
        .with("architecture", observed.architecture.clone().map(Value::from), Some(architecture.into()));
    let mark = Op::new(Verb::Update, "lambda:TagResource")
        .with(&format!("tags.{TAG_SOURCE}"), marked(TAG_SOURCE), Some(goal.source.as_str().into()))
        .with(&format!("tags.{TAG_CODE}"), marked(TAG_CODE), Some("(hash of the uploaded zip)".into()));
    Some(((update, Call::UpdateCode(goal.architecture)), (mark, Call::MarkCode { source: goal.source.clone() })))
}

pub(in crate::kinds) fn code_tags(source: String, zip: &[u8]) -> Tags {
    Tags::from([(TAG_SOURCE.to_owned(), source), (TAG_CODE.to_owned(), code_sha256(zip))])
}

pub(super) fn sdk(architecture: Architecture) -> SdkArchitecture {
    architecture.to_string().as_str().into()
}

/// Fifty megabytes, the most that Lambda accepts, need minutes on a slow line.
pub(super) fn upload() -> aws_sdk_lambda::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_mins(10)).build();
    aws_sdk_lambda::config::Builder::new().timeout_config(timeouts)
}

pub(super) fn zip(context: &Context) -> Result<&[u8], Error> {
    let missing =
        || Error::new("the function's zip was not built").hint("run apply again: the code changed since the plan");
    context.package.as_deref().map(Vec::as_slice).ok_or_else(missing)
}
