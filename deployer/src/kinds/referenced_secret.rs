//! A secret that the configuration declares existing. It must be there; only its rotation is ours.

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind},
        op::{Address, Op, ResourceKind},
    },
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct ReferencedSecret {
    pub(crate) name: String,
}

pub(crate) enum Observed {
    Missing,
    ScheduledForDeletion,
    There,
}

/// There is nothing to call: the secret is only ever read.
pub(crate) enum Call {}

impl Kind for ReferencedSecret {
    type Goal = ();
    type Observed = Observed;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &[];

    fn address(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        let answer = aws.secretsmanager.describe_secret().secret_id(&self.name).send().await;
        let answer = answer.failed_to(|| format!("read secret {}", self.name));
        Ok(match absent_is_none(answer, &["ResourceNotFoundException"])? {
            None => Observed::Missing,
            Some(secret) if secret.deleted_date.is_some() => Observed::ScheduledForDeletion,
            Some(_) => Observed::There,
        })
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        let problem = match (aim, observed) {
            (Aim::Absent { .. }, _) | (_, Observed::There) => return Ok(Vec::new()),
            (Aim::Present(()), Observed::Missing) => "does not exist",
            (Aim::Present(()), Observed::ScheduledForDeletion) => "is scheduled for deletion",
        };
        Err(Error::new(format!("secret {} is declared existing but {problem}", self.name))
            .hint("correct secret.name, restore the secret, or remove existing: true so that apply creates it"))
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}
