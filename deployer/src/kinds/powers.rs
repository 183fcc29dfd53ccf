//! What gives a user its permissions, beside the deployment's policy: whoever has the credential has them too.

use std::{collections::BTreeSet, fmt};

use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use contract::Command;
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::policy,
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    read_once,
};

/// The policies and groups of a user.
#[derive(Default)]
pub(crate) struct Attached {
    pub(super) inline_policies: Vec<String>,
    /// ARNs.
    pub(super) managed_policies: Vec<String>,
    pub(super) groups: Vec<String>,
}

/// What the keys of a user may be used for that the deployment did not make.
#[derive(Default)]
pub(crate) struct Powers {
    pub(super) attached: Attached,
    /// Whether the user may give itself any permission; none if the caller may not find out.
    pub(super) is_administrator: Option<bool>,
}

/// With either, a user can give itself every permission.
const OF_ADMINISTRATORS: [&str; 2] = ["iam:AttachUserPolicy", "iam:PutUserPolicy"];

impl Attached {
    /// What of it the file does not name.
    pub(super) fn without(&self, known: &BTreeSet<String>) -> Self {
        let [inline_policies, managed_policies, groups] = [&self.inline_policies, &self.managed_policies, &self.groups]
            .map(|names| names.iter().filter(|name| !known.contains(*name)).cloned().collect());
        Self { inline_policies, managed_policies, groups }
    }

    /// `policy arn:aws:iam::aws:policy/AdministratorAccess, group admins`; none if there is nothing.
    pub(super) fn named(&self) -> Option<String> {
        let all =
            [("inline policy", &self.inline_policies), ("policy", &self.managed_policies), ("group", &self.groups)];
        let names = all.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")));
        Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    }

    /// The AWS CLI's commands that take all of it away from the user.
    pub(super) fn removals(&self, user: &str) -> Vec<Command> {
        let all = [
            ("delete-user-policy", "--policy-name", &self.inline_policies),
            ("detach-user-policy", "--policy-arn", &self.managed_policies),
            ("remove-user-from-group", "--group-name", &self.groups),
        ];
        let commands = all.iter().flat_map(|(command, option, names)| {
            names.iter().map(move |name| Command::aws(&["iam", command, "--user-name", user, option, name]))
        });
        commands.collect()
    }
}

impl fmt::Display for Powers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attached.named().unwrap_or_else(|| "no policy and no group".to_owned()))
    }
}

/// What somebody should know of the user.
pub(super) fn told(name: &str, powers: &Powers) -> String {
    let unknown = powers
        .is_administrator
        .is_none()
        .then_some(". Whether it is an administrator is not known: you may not call iam:SimulatePrincipalPolicy");
    let note = format!("whoever has the credential may do all that user {name} may, by {powers}");
    note + unknown.unwrap_or_default()
}

/// A credential that lies on hosts is no place for such permissions.
pub(super) fn is_an_administrator(name: &str, powers: &Powers) -> Error {
    Error::new(format!("user {name} is an administrator"))
        .cause(format!("it may give itself every permission, by {powers}, and so may whoever has the credential"))
}

pub(super) async fn read(aws: &Aws, name: &str, arn: &str) -> Result<Powers, Error> {
    let simulate = aws.iam.simulate_principal_policy().policy_source_arn(arn);
    let simulate = simulate.set_action_names(Some(OF_ADMINISTRATORS.map(str::to_owned).to_vec()));
    let (attached, simulated) = tokio::join!(read_attached(aws, name), simulate.send());
    let is_administrator = match simulated.failed_to(|| format!("simulate the policies of user {name}")) {
        Err(error) if error.kind() == ErrorKind::Denied => None,
        simulated => {
            let decisions = simulated?.evaluation_results.unwrap_or_default();
            Some(decisions.iter().any(|one| one.eval_decision == PolicyEvaluationDecisionType::Allowed))
        }
    };
    Ok(Powers { attached: attached?, is_administrator })
}

/// Reads an inline policy of a user; none if there is none of that name.
pub(super) async fn read_policy(aws: &Aws, name: &str, policy: &str) -> Result<Option<Value>, Error> {
    let answer = aws.iam.get_user_policy().user_name(name).policy_name(policy).send().await;
    let answer = answer.failed_to(|| format!("read the policy of user {name}"));
    Ok(absent_is_none(answer, &["NoSuchEntity"])?.map(|answer| policy::parse(&answer.policy_document)))
}

pub(super) async fn read_attached(aws: &Aws, name: &str) -> Result<Attached, Error> {
    let client = &aws.iam;
    let inline = client.list_user_policies().user_name(name).into_paginator().items().send();
    let groups = client.list_groups_for_user().user_name(name).into_paginator().items().send();
    let (inline, managed, groups) = tokio::join!(
        inline.collect::<Result<Vec<_>, _>>(),
        read_once::attached_user_policies(aws, name),
        groups.collect::<Result<Vec<_>, _>>()
    );
    let groups = groups.failed_to(|| format!("list the groups of user {name}"))?;
    Ok(Attached {
        inline_policies: inline.failed_to(|| format!("list the policies of user {name}"))?,
        managed_policies: managed?,
        groups: groups.into_iter().map(|group| group.group_name).collect(),
    })
}
