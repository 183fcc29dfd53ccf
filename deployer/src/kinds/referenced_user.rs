//! An IAM user that the configuration declares existing. It gets one tag of ours: the secret that it serves. Its keys stay
//! when the deployment is destroyed.
//!
//! The deployment may have made the user before the file declared it existing. Then an apply takes its tags off. Its inline policy, which it
//! owns by its name, stays for as long as the user has an access key: hosts send by it.

use std::collections::BTreeSet;

use contract::{Command, TAG_SECRET, Text, text};
use serde::Serialize;

use crate::{
    aws::Aws,
    deployment::Owner,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind, Verb},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _},
    kinds::{
        iam,
        powers::{self, Powers},
        referenced,
    },
    read_once,
};

pub(crate) struct ReferencedUser {
    pub(crate) name: String,
    pub(crate) owner: Owner,
    /// Name of the inline policy that the user has if the deployment made it.
    pub(crate) policy_name: String,
    /// The tag's value: `<region>/<secret name>`.
    pub(crate) serves: String,
    /// Whether the deployment goes: then the user need not be there.
    pub(crate) going: bool,
    /// Whether the user may be an administrator.
    pub(crate) allow_privileged: bool,
    /// Policies and groups that the file names.
    pub(crate) known: BTreeSet<String>,
}

pub(crate) struct Observed {
    pub(super) tags: Tags,
    /// Nothing if the deployment goes.
    pub(super) powers: Powers,
    /// Whether it has the deployment's inline policy. False unless the deployment goes.
    pub(super) has_policy: bool,
    /// Its access keys, if it has that policy.
    pub(super) key_ids: Vec<String>,
}

pub(crate) enum Call {
    Claim,
    RemoveTags(Vec<String>),
    DeletePolicy,
}

/// The tag that the user should have follows from the kind.
#[derive(Serialize)]
pub(crate) struct Goal {
    /// Names of secrets that this deployment rotated before, as its record says: their tag is replaced.
    #[serde(skip)]
    pub(crate) former_secrets: Vec<String>,
    /// Keys of the tags of the file, as the record says.
    #[serde(skip)]
    pub(crate) recorded_tags: BTreeSet<String>,
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
        let powers =
            if self.going { Powers::default() } else { Box::pin(powers::read(aws, &self.name, &user.arn)).await? };
        let has_policy = self.going && powers::read_policy(aws, &self.name, &self.policy_name).await?.is_some();
        let keys =
            if has_policy { read_once::access_keys(aws, &self.name).await?.unwrap_or_default() } else { Vec::new() };
        let key_ids = keys.into_iter().filter_map(|key| key.access_key_id).collect();
        Ok(Some(Observed { tags: iam::read_tags(user.tags), powers, has_policy, key_ids }))
    }

    fn decide(&self, aim: Aim<'_, Goal>, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        match (aim, observed) {
            (Aim::Present(_), None) => {
                Err(Error::new(format!("user {} is declared existing but does not exist", self.name))
                    .hint("correct iam_user.name, or remove existing: true so that apply creates the user"))
            }
            (Aim::Absent(_), None) => Ok(Vec::new()),
            (Aim::Present(_), Some(user)) if user.powers.is_administrator == Some(true) && !self.allow_privileged => {
                let error = powers::is_an_administrator(&self.name, &user.powers);
                Err(error.hint("use a user that may only send, or write allow_privileged: true under iam_user"))
            }
            (Aim::Present(goal), Some(user)) => {
                let claim = self.claim(&user.tags, &goal.former_secrets)?;
                let ours = self.owner.own(&user.tags, &goal.recorded_tags);
                Ok(claim.into_iter().chain(remove_tags(&ours)).collect())
            }
            (Aim::Absent(going), Some(user)) => {
                let mut ours = self.owner.own(&user.tags, &going.recorded_tags());
                ours.extend(self.serves(&user.tags, &going.former.secrets));
                Ok(self.delete_policy(user).into_iter().chain(remove_tags(&ours)).collect())
            }
        }
    }

    fn note(&self, _: Option<&Goal>, observed: &Option<Observed>) -> Option<Text> {
        let powers = &observed.as_ref()?.powers;
        let is_meant = powers.attached.named().is_some() && powers.attached.without(&self.known).named().is_none();
        let is_known = is_meant && powers.is_administrator == Some(false);
        (!is_known).then(|| powers::told(&self.name, powers).into())
    }

    fn mention(&self, observed: &Option<Observed>) -> Option<Text> {
        let was_ours = !self.owner.own(&observed.as_ref()?.tags, &BTreeSet::new()).is_empty();
        was_ours.then(|| {
            let policy = &self.policy_name;
            let stays = format!(". Its inline policy {policy} stays, because hosts send by it: ");
            let only_if = " deletes the policy only if the user has no access key";
            referenced::is_handed_over(&self.address()).then(text![stays, Command::deployer("destroy"), only_if])
        })
    }

    fn stays(&self, observed: &Option<Observed>) -> Option<Text> {
        let user = observed.as_ref().filter(|user| user.has_policy && !user.key_ids.is_empty())?;
        let (name, policy, keys) = (&self.name, &self.policy_name, user.key_ids.join(" and "));
        Some(text![
            format!(
                "user {name} stays with access key {keys}, and so does its inline policy {policy}, by which hosts send. Once none does, run "
            ),
            Command::aws(&["iam", "delete-user-policy", "--user-name", name, "--policy-name", policy])
        ])
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.name);
        match call {
            Call::Claim => {
                let tags = Tags::from([(TAG_SECRET.to_owned(), self.serves.clone())]);
                let request = client.tag_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("tag user {name}")).map(drop)
            }
            Call::RemoveTags(keys) => {
                let request = client.untag_user().user_name(name).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag user {name}")).map(drop)
            }
            Call::DeletePolicy => {
                let policy = &self.policy_name;
                let request = client.delete_user_policy().user_name(name).policy_name(policy);
                request.send().await.failed_to(|| format!("delete policy {policy} of user {name}")).map(drop)
            }
        }
    }
}

impl ReferencedUser {
    fn claim(&self, tags: &Tags, former_secrets: &[String]) -> Result<Vec<(Op, Call)>, Error> {
        match tags.get(TAG_SECRET) {
            Some(secret) if *secret == self.serves => Ok(Vec::new()),
            Some(secret) if !self.is_former(secret, former_secrets) => {
                let cause = format!("its tag {TAG_SECRET} is {secret}, not {}", self.serves);
                Err(iam::serves_another_secret(&self.name).cause(cause))
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

    /// The tag that names the secret, if that is this deployment's.
    fn serves(&self, tags: &Tags, former_secrets: &[String]) -> Tags {
        let is_ours = |value: &String| *value == self.serves || self.is_former(value, former_secrets);
        let ours = tags.iter().filter(|(key, value)| *key == TAG_SECRET && is_ours(value));
        ours.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn delete_policy(&self, user: &Observed) -> Option<(Op, Call)> {
        let op = Op::new(Verb::Update, "iam:DeleteUserPolicy");
        (user.has_policy && user.key_ids.is_empty())
            .then(|| (op.with("inline_policy", Some(self.policy_name.as_str().into()), None), Call::DeletePolicy))
    }
}

fn remove_tags(ours: &Tags) -> Option<(Op, Call)> {
    tags::remove_op("iam:UntagUser", ours).map(|op| (op, Call::RemoveTags(ours.keys().cloned().collect())))
}
