//! A secret that the configuration declares existing. It must be there; only its rotation is ours.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use contract::{AWSCURRENT, Command, SecretValue, Text, text};

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
    },
    error::Error,
    kinds::secret_policy::{self, SecretPolicy},
    read_once,
};

pub(crate) struct ReferencedSecret {
    pub(crate) name: String,
    /// Name of the user, which a value has to name.
    pub(crate) user: String,
}

pub(crate) struct Observed {
    pub(super) standing: Standing,
    pub(super) policy: SecretPolicy,
}

/// Whether the secret can be rotated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    Missing,
    ScheduledForDeletion,
    /// A replica of a secret in this region: only that secret can be rotated.
    ReplicaOf(String),
    /// No version is AWSCURRENT, so there is nothing to rotate.
    WithoutCurrent,
    There,
}

impl From<DescribeSecretOutput> for Standing {
    fn from(secret: DescribeSecretOutput) -> Self {
        // arn:PARTITION:secretsmanager:REGION:…
        let region = secret.arn().and_then(|arn| arn.split(':').nth(3));
        if secret.deleted_date.is_some() {
            return Self::ScheduledForDeletion;
        }
        if let Some(primary) = secret.primary_region().filter(|primary| region != Some(*primary)) {
            return Self::ReplicaOf(primary.to_owned());
        }
        let mut labels = secret.version_ids_to_stages.iter().flatten().flat_map(|(_, labels)| labels);
        if labels.any(|label| label == AWSCURRENT) { Self::There } else { Self::WithoutCurrent }
    }
}

/// There is nothing to call: the secret is only ever read.
pub(crate) enum Call {}

impl Kind for ReferencedSecret {
    type Goal = ();
    type Observed = Observed;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &[];
    const STAKE: Stake = Stake::Nothing;

    fn address(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        Ok(match read_once::secret(aws, &self.name).await? {
            None => Observed { standing: Standing::Missing, policy: SecretPolicy::None },
            Some(secret) => Observed { standing: secret.into(), policy: secret_policy::read(aws, &self.name).await? },
        })
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Observed) -> Result<Vec<(Op, Call)>, Error> {
        if matches!(aim, Aim::Absent(_)) {
            return Ok(Vec::new());
        }
        let unusable = "correct secret.name, restore the secret, or remove existing: true so that apply creates it";
        let (problem, hint): (String, Text) = match &observed.standing {
            Standing::There => return Ok(Vec::new()),
            Standing::Missing => ("does not exist".into(), unusable.into()),
            Standing::ScheduledForDeletion => ("is scheduled for deletion".into(), unusable.into()),
            Standing::ReplicaOf(primary) => (
                format!("is a replica of the secret in {primary}, which alone can be rotated"),
                format!("set region to {primary}, or name another secret").into(),
            ),
            Standing::WithoutCurrent => (
                format!("has no version that is {AWSCURRENT}"),
                text![
                    "store the credential that is in use; if there is none, a placeholder is enough: ",
                    self.put_placeholder()
                ],
            ),
        };
        Err(Error::new(format!("secret {} is declared existing but {problem}", self.name)).hint(hint))
    }

    fn mention(&self, observed: &Observed) -> Option<Text> {
        observed.policy.mention(&self.name)
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}

impl ReferencedSecret {
    fn put_placeholder(&self) -> Command {
        let value = SecretValue::placeholder(&self.user).to_json();
        Command::aws(&["secretsmanager", "put-secret-value", "--secret-id", &self.name, "--secret-string", &value])
    }
}
