//! A secret that the configuration declares existing. It must be there; only its rotation is ours.
//!
//! The deployment may have made the secret before the file declared it existing. Then an apply takes its tags off.

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use contract::{AWSCURRENT, Command, SecretValue, Text, text};
use serde::Serialize;

use crate::{
    aws::Aws,
    deployment::{Owner, names::region_of},
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _},
    kinds::{
        referenced,
        secret_policy::{self, SecretPolicy},
    },
    read_once,
};

pub(crate) struct ReferencedSecret {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) owner: Owner,
    /// Name of the user, which a value has to name.
    pub(crate) user: String,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    /// Keys of the tags of the file, as the record says.
    #[serde(skip)]
    pub(crate) recorded_tags: BTreeSet<String>,
}

pub(crate) struct Observed {
    pub(super) tags: Tags,
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
        let region = secret.arn().map(region_of);
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

/// The tags that the deployment has set on a secret that it made.
pub(crate) struct RemoveTags(Vec<String>);

impl Kind for ReferencedSecret {
    type Goal = Goal;
    type Observed = Observed;
    type Call = RemoveTags;

    const CONFLICTS: &'static [&'static str] = &["ResourceNotFoundException"];
    const STAKE: Stake = Stake::Nothing;

    fn address(&self) -> Address {
        Address::new(ResourceKind::Secret, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Observed, Error> {
        Ok(match read_once::secret(aws, &self.name).await? {
            None => Observed { tags: Tags::new(), standing: Standing::Missing, policy: SecretPolicy::None },
            Some(secret) => Observed {
                tags: tags::read(secret.tags.clone(), |tag| (tag.key, tag.value)),
                standing: secret.into(),
                policy: secret_policy::read(aws, &self.name).await?,
            },
        })
    }

    fn decide(&self, aim: Aim<'_, Goal>, observed: &Observed) -> Result<Vec<(Op, RemoveTags)>, Error> {
        let goal = match aim {
            // Nothing of a secret that is scheduled for deletion can be changed.
            Aim::Absent(_) if observed.standing == Standing::ScheduledForDeletion => return Ok(Vec::new()),
            Aim::Absent(going) => return Ok(self.remove_tags(observed, &going.recorded_tags())),
            Aim::Present(goal) => goal,
        };
        let unusable = "correct secret.name, restore the secret, or remove existing: true so that apply creates it";
        let (problem, hint): (String, Text) = match &observed.standing {
            Standing::There => return Ok(self.remove_tags(observed, &goal.recorded_tags)),
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
        let was_ours = !self.owner.own(&observed.tags, &BTreeSet::new()).is_empty();
        let handed_over = was_ours.then(|| referenced::is_handed_over(&self.address()));
        let mentions: Vec<_> = handed_over.into_iter().chain(observed.policy.mention(&self.name)).collect();
        (!mentions.is_empty()).then(|| Text::join(mentions, "; "))
    }

    async fn run(&self, context: &Context, RemoveTags(keys): RemoveTags) -> Result<(), Error> {
        let request = context.aws.secretsmanager.untag_resource().secret_id(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag secret {}", self.name)).map(drop)
    }
}

impl ReferencedSecret {
    fn remove_tags(&self, observed: &Observed, recorded: &BTreeSet<String>) -> Vec<(Op, RemoveTags)> {
        let ours = self.owner.own(&observed.tags, recorded);
        let op = tags::remove_op("secretsmanager:UntagResource", &ours);
        op.map(|op| (op, RemoveTags(ours.into_keys().collect()))).into_iter().collect()
    }

    fn put_placeholder(&self) -> Command {
        let value = SecretValue::placeholder(&self.user).to_json();
        let words = ["secretsmanager", "put-secret-value", "--secret-id", &self.name, "--secret-string", &value];
        Command::aws_in(&self.region, &words)
    }
}
