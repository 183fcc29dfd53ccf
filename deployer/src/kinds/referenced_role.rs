//! A role that exists without the deployment, as which the function runs. It must be there; nothing of it is ours.

use aws_sdk_iam::types::Role;
use contract::TAG_DEPLOYMENT;

use crate::{
    aws::Aws,
    deployment::{Owner, policy},
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
    },
    error::Error,
    kinds::iam,
    read_once,
};

pub(crate) struct ReferencedRole {
    pub(crate) name: String,
    pub(crate) owner: Owner,
}

pub(crate) enum Observed {
    Missing,
    /// A deployment made it, and would delete it: the value of its tag.
    OfDeployment(String),
    /// Its trust policy does not name Lambda.
    NotForLambda,
    There,
}

impl From<Role> for Observed {
    fn from(role: Role) -> Self {
        let tags = iam::read_tags(role.tags);
        if let Some(deployment) = tags.get(TAG_DEPLOYMENT) {
            return Self::OfDeployment(deployment.clone());
        }
        let trust = policy::parse(&role.assume_role_policy_document.unwrap_or_default());
        if policy::trusts_lambda(&trust) { Self::There } else { Self::NotForLambda }
    }
}

/// There is nothing to call: the role is only ever read.
pub(crate) enum Call {}

impl Kind for ReferencedRole {
    type Goal = ();
    type Observed = Observed;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &[];
    /// The record has to know which role the function ran as.
    const STAKE: Stake = Stake::Mark;

    fn address(&self) -> Address {
        Address::new(ResourceKind::Role, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        Ok(read_once::role(aws, &self.name).await?.map_or(Observed::Missing, Observed::from))
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        let name = &self.name;
        let (what, hint) = match observed {
            Observed::OfDeployment(deployment) if self.owner.is(deployment) => (
                format!("this deployment made role {name}, and function.role names it"),
                "remove function.role: the deployment keeps its own role, and destroy deletes the role",
            ),
            _ if matches!(aim, Aim::Absent(_)) => return Ok(Vec::new()),
            Observed::There => return Ok(Vec::new()),
            Observed::Missing => (
                format!("role {name} does not exist, and function.role names it"),
                "correct function.role, or remove it so that apply creates a role",
            ),
            Observed::OfDeployment(deployment) => (
                format!("deployment {deployment} made role {name}, and would delete it"),
                "name a role in function.role that no deployment made",
            ),
            Observed::NotForLambda => (
                format!("Lambda may not assume role {name}"),
                "let lambda.amazonaws.com call sts:AssumeRole in the trust policy of the role",
            ),
        };
        Err(Error::new(what).hint(hint))
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}
