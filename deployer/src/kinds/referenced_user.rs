//! An IAM user that the configuration declares existing. It gets one tag of ours: the secret that it serves. Its keys stay
//! when the deployment is destroyed.

use contract::{TAG_SECRET, Text};
use serde::Serialize;

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _},
    kinds::{
        iam,
        powers::{self, Powers},
    },
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
        let powers =
            if self.going { Powers::default() } else { Box::pin(powers::read(aws, &self.name, &user.arn)).await? };
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
                let error = powers::is_an_administrator(&self.name, &user.powers);
                Err(error.hint("use a user that may only send, or write allow_privileged: true under iam_user"))
            }
            (Aim::Present(goal), Some(user)) => self.claim(&user.tags, &goal.former_secrets),
            (Aim::Absent(going), Some(user)) => Ok(self.release(&user.tags, &going.former.secrets)),
        }
    }

    fn note(&self, _: Option<&Goal>, observed: &Option<Observed>) -> Option<Text> {
        Some(powers::told(&self.name, &observed.as_ref()?.powers).into())
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

impl ReferencedUser {
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
