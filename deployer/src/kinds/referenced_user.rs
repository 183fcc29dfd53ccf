//! An IAM user that the configuration declares existing. It gets one tag of ours: the secret that it serves. Its keys stay
//! when the deployment is destroyed.

use std::fmt;

use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use contract::{TAG_SECRET, Text};
use serde::Serialize;

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _},
    kinds::iam,
    read_once,
};

pub(crate) struct ReferencedUser {
    pub(crate) name: String,
    /// The tag's value: `<region>/<secret name>`.
    pub(crate) serves: String,
    /// Whether the deployment goes: then the user need not be there.
    pub(crate) going: bool,
    /// Whether the user may be an administrator.
    pub(crate) allow_privileged: bool,
}

pub(crate) struct Observed {
    pub(super) tags: Tags,
    /// Nothing if the deployment goes.
    pub(super) powers: Powers,
}

/// What gives the user its permissions, which whoever has the credential has too.
#[derive(Default)]
pub(crate) struct Powers {
    pub(super) inline_policies: Vec<String>,
    /// ARNs.
    pub(super) managed_policies: Vec<String>,
    pub(super) groups: Vec<String>,
    /// Whether the user may give itself any permission; none if the caller may not find out.
    pub(super) is_administrator: Option<bool>,
}

/// With either, a user can give itself every permission.
const OF_ADMINISTRATORS: [&str; 2] = ["iam:AttachUserPolicy", "iam:PutUserPolicy"];

pub(crate) enum Call {
    Claim,
    Release,
}

/// The tag that the user should have follows from the kind.
#[derive(Serialize)]
pub(crate) struct Goal {
    /// Names of secrets that this deployment rotated before, as its record says: their tag is replaced.
    #[serde(skip)]
    pub(crate) former_secrets: Vec<String>,
}

impl Kind for ReferencedUser {
    type Goal = Goal;
    /// None if there is no user.
    type Observed = Option<Observed>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;
    const STAKE: Stake = Stake::Mark;

    fn address(&self) -> Address {
        Address::new(ResourceKind::User, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let user = read_once::user(aws, &self.name).await?;
        if user.is_none()
            && !self.going
            && let Some(spelled) = iam::user_in_other_letters(aws, &self.name).await
        {
            return Err(iam::in_other_letters(&self.address().to_string(), &spelled, "iam_user.name"));
        }
        let Some(user) = user else { return Ok(None) };
        let powers = if self.going { Powers::default() } else { Box::pin(self.read_powers(aws, &user.arn)).await? };
        Ok(Some(Observed { tags: iam::read_tags(user.tags), powers }))
    }

    fn decide(&self, aim: Aim<'_, Goal>, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        match (aim, observed) {
            (Aim::Present(_), None) => {
                Err(Error::new(format!("user {} is declared existing but does not exist", self.name))
                    .hint("correct iam_user.name, or remove existing: true so that apply creates the user"))
            }
            (Aim::Absent(_), None) => Ok(Vec::new()),
            (Aim::Present(_), Some(user)) if user.powers.is_administrator == Some(true) && !self.allow_privileged => {
                Err(self.is_an_administrator(&user.powers))
            }
            (Aim::Present(goal), Some(user)) => self.claim(&user.tags, &goal.former_secrets),
            (Aim::Absent(going), Some(user)) => Ok(self.release(&user.tags, &going.former.secrets)),
        }
    }

    fn note(&self, _: Option<&Goal>, observed: &Option<Observed>) -> Option<Text> {
        let powers = &observed.as_ref()?.powers;
        let unknown = powers
            .is_administrator
            .is_none()
            .then_some(". Whether it is an administrator is not known: you may not call iam:SimulatePrincipalPolicy");
        let note = format!("whoever has the credential may do all that user {} may, by {powers}", self.name);
        Some((note + unknown.unwrap_or_default()).into())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.name);
        match call {
            Call::Claim => {
                let tags = Tags::from([(TAG_SECRET.to_owned(), self.serves.clone())]);
                let request = client.tag_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("tag user {name}")).map(drop)
            }
            Call::Release => {
                let request = client.untag_user().user_name(name).tag_keys(TAG_SECRET);
                request.send().await.failed_to(|| format!("untag user {name}")).map(drop)
            }
        }
    }
}

impl fmt::Display for Powers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            [("inline policy", &self.inline_policies), ("policy", &self.managed_policies), ("group", &self.groups)];
        let names = all.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")));
        let names = names.collect::<Vec<_>>().join(", ");
        f.write_str(if names.is_empty() { "no policy and no group" } else { &names })
    }
}

impl ReferencedUser {
    async fn read_powers(&self, aws: &Aws, arn: &str) -> Result<Powers, Error> {
        let (client, name) = (&aws.iam, &self.name);
        let inline = client.list_user_policies().user_name(name).into_paginator().items().send();
        let managed = client.list_attached_user_policies().user_name(name).into_paginator().items().send();
        let groups = client.list_groups_for_user().user_name(name).into_paginator().items().send();
        let simulate = client.simulate_principal_policy().policy_source_arn(arn);
        let simulate = simulate.set_action_names(Some(OF_ADMINISTRATORS.map(str::to_owned).to_vec()));
        let (inline, managed, groups, simulated) = tokio::join!(
            inline.collect::<Result<Vec<_>, _>>(),
            managed.collect::<Result<Vec<_>, _>>(),
            groups.collect::<Result<Vec<_>, _>>(),
            simulate.send()
        );
        let managed = managed.failed_to(|| format!("list the policies attached to user {name}"))?;
        let groups = groups.failed_to(|| format!("list the groups of user {name}"))?;
        let is_administrator = match simulated.failed_to(|| format!("simulate the policies of user {name}")) {
            Err(error) if error.kind() == ErrorKind::Denied => None,
            simulated => {
                let decisions = simulated?.evaluation_results.unwrap_or_default();
                Some(decisions.iter().any(|one| one.eval_decision == PolicyEvaluationDecisionType::Allowed))
            }
        };
        Ok(Powers {
            inline_policies: inline.failed_to(|| format!("list the policies of user {name}"))?,
            managed_policies: managed.into_iter().filter_map(|policy| policy.policy_arn).collect(),
            groups: groups.into_iter().map(|group| group.group_name).collect(),
            is_administrator,
        })
    }

    /// A credential that lies on hosts is no place for such permissions.
    fn is_an_administrator(&self, powers: &Powers) -> Error {
        Error::new(format!("user {} is an administrator", self.name))
            .cause(format!("it may give itself every permission, by {powers}, and so may whoever has the credential"))
            .hint("use a user that may only send, or write allow_privileged: true under iam_user")
    }

    fn claim(&self, tags: &Tags, former_secrets: &[String]) -> Result<Vec<(Op, Call)>, Error> {
        match tags.get(TAG_SECRET) {
            Some(secret) if *secret == self.serves => Ok(Vec::new()),
            Some(secret) if !self.is_former(secret, former_secrets) => {
                Err(Error::new(format!("user {} serves another secret", self.name))
                    .cause(format!("its tag {TAG_SECRET} is {secret}, not {}", self.serves))
                    .hint("use one user per secret: the rotations of two secrets would delete each other's keys"))
            }
            _ => {
                let missing = Tags::from([(TAG_SECRET.to_owned(), self.serves.clone())]);
                Ok(tags::set_op("iam:TagUser", tags, &missing).map(|op| (op, Call::Claim)).into_iter().collect())
            }
        }
    }

    /// Whether this value of its tag names a secret that the deployment rotated before.
    fn is_former(&self, serves: &str, former_secrets: &[String]) -> bool {
        let region = self.serves.split_once('/').map_or("", |(region, _)| region);
        former_secrets.iter().any(|name| serves == format!("{region}/{name}"))
    }

    fn release(&self, tags: &Tags, former_secrets: &[String]) -> Vec<(Op, Call)> {
        let is_ours = |value: &String| *value == self.serves || self.is_former(value, former_secrets);
        let ours = tags.iter().filter(|(key, value)| *key == TAG_SECRET && is_ours(value));
        let ours = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        tags::remove_op("iam:UntagUser", &ours).map(|op| (op, Call::Release)).into_iter().collect()
    }
}
