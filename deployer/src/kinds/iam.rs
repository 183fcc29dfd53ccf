//! What the kinds that live in IAM share.

use aws_sdk_iam::types::Tag;
use contract::{Command, Text, text};
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::policy,
    engine::{
        op::{Address, Op, Verb},
        tags::Tags,
    },
    error::{Error, ErrorKind},
};

/// How the user is spelled that IAM takes for this one. IAM ignores case when it makes users and roles, and not when it reads
/// them: a name in other letters is absent, and still cannot be made. None too if these credentials may not list users:
/// then only IAM's refusal tells.
pub(super) async fn user_in_other_letters(aws: &Aws, name: &str) -> Option<String> {
    let mut users = aws.iam.list_users().into_paginator().page_size(MOST_PER_PAGE).items().send();
    while let Some(Ok(user)) = users.next().await {
        if user.user_name.eq_ignore_ascii_case(name) && user.user_name != name {
            return Some(user.user_name);
        }
    }
    None
}

/// As [`user_in_other_letters`], for roles.
pub(super) async fn role_in_other_letters(aws: &Aws, name: &str) -> Option<String> {
    let mut roles = aws.iam.list_roles().into_paginator().page_size(MOST_PER_PAGE).items().send();
    while let Some(Ok(role)) = roles.next().await {
        if role.role_name.eq_ignore_ascii_case(name) && role.role_name != name {
            return Some(role.role_name);
        }
    }
    None
}

/// IAM's limit on `MaxItems`.
const MOST_PER_PAGE: i32 = 1000;

/// The error of a name that exists in other letters. `key`: the configuration's key that decides the name.
pub(super) fn in_other_letters(address: &str, spelled: &str, key: &str) -> Error {
    Error::new(format!("{address} exists in other letters: {spelled}"))
        .cause("IAM ignores case when it makes a name, and has only one of the two")
        .hint(format!("change {key} in the configuration: write the name as it is, or another one"))
}

/// IAM's codes for "it is not as you saw it". They have no "Exception".
pub(super) const CONFLICTS: &[&str] = &["ConcurrentModification", "EntityAlreadyExists", "NoSuchEntity"];

/// The op that puts an inline policy; none if the observed one means the same.
pub(super) fn put_policy(call: &str, observed: Option<&Value>, goal: &Value) -> Option<(Op, Value)> {
    let normalized = policy::normalized(goal);
    (observed != Some(&normalized))
        .then(|| (Op::new(Verb::Update, call).with("policy", observed.cloned(), Some(normalized)), goal.clone()))
}

/// Where a user or a role is, and the managed policy that limits what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Placement {
    /// `/`, or `/mail/`.
    pub(crate) path: String,
    /// ARN. As a goal, none means: as it is, since an organisation may set one by itself.
    pub(crate) boundary: Option<String>,
}

impl Placement {
    /// Adds the fields to a create op. What is IAM's own default is left out.
    pub(super) fn sets(&self, op: Op) -> Op {
        let path = Some(self.path.as_str()).filter(|path| *path != "/");
        op.with("path", None, path.map(Value::from)).with(
            "permissions_boundary",
            None,
            self.boundary.clone().map(Value::from),
        )
    }

    /// The op that sets the boundary, and its ARN; none if it is set, or if the file names none.
    ///
    /// # Errors
    /// The path differs.
    pub(super) fn set_boundary(
        &self,
        address: &Address,
        call: &str,
        now: &Self,
    ) -> Result<Option<(Op, String)>, Error> {
        if now.path != self.path {
            return Err(Error::new(format!(
                "{address} has the path {}, but the file declares {}",
                now.path, self.path
            ))
            .cause("IAM cannot move a role, and a user's ARN would change while a rotation uses it")
            .hint("write the path that it has, or destroy the deployment first"));
        }
        let Some(arn) = self.boundary.clone().filter(|arn| now.boundary.as_ref() != Some(arn)) else { return Ok(None) };
        let from = now.boundary.clone().map(Value::from);
        let op = Op::new(Verb::Update, call).with("permissions_boundary", from, Some(arn.as_str().into()));
        Ok(Some((op, arn)))
    }
}

/// The tag of a user names another secret than the deployment's.
pub(super) fn serves_another_secret(user: &str) -> Error {
    Error::new(format!("user {user} serves another secret"))
        .of_kind(ErrorKind::NotOurs)
        .hint("use one user per secret: the rotations of two secrets would delete each other's keys")
}

/// What a boundary that the file does not name means. `key`: the configuration's key that would name it. `removal`: the AWS CLI's command
/// that removes it, and the option that names the user or the role.
pub(super) fn foreign_boundary(
    address: &Address,
    goal: &Placement,
    now: &Placement,
    key: &str,
    removal: [&str; 2],
) -> Option<Text> {
    let arn = now.boundary.as_ref().filter(|_| goal.boundary.is_none())?;
    let [command, option] = removal;
    Some(text![
        format!(
            "{address} has the permissions boundary {arn}, which the file does not name: whatever the boundary does not allow is denied. \
             Name it under {key} if it is to stay, or take it away: "
        ),
        Command::aws(&["iam", command, option, &address.name])
    ])
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
