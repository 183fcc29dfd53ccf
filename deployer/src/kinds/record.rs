//! The record of the deployment, which is written last: it then says what was applied.
//!
//! Before the first resource is made, [`Record::add_entries`] adds every resource that this run may make, so that a run that is killed
//! forgets none.

use aws_sdk_ssm::types::{ParameterTier, ParameterType, ResourceTypeForTagging};
use contract::{Command, TAG_DEPLOYMENT, Text, text};
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::record::{self, Applied, Kept, MOST_BYTES, Record as Content},
    engine::{
        kind::{Context, Going},
        op::{Address, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _},
};

pub(crate) struct Record {
    /// Name of the parameter.
    pub(crate) name: String,
    /// Name of the lease that goes before it, so that a run that is killed leaves neither behind. None if this run may hold it.
    pub(crate) lease: Option<String>,
}

pub(crate) enum Call {
    Create(Content, Tags),
    Put(Content),
    DeleteLease(String),
    Delete,
}

impl From<Kept> for Found<Content> {
    fn from(Kept { record, tags }: Kept) -> Self {
        Self { tags, observed: record }
    }
}

impl Tagged for Record {
    type Goal = Content;
    type Observed = Content;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"];
    // What it says of another owner's resources is nothing to go by.
    const IS_ADOPTABLE: bool = false;
    // A run notes in the record what it may make, before it makes the first of it.
    const IS_MADE_ONLY_IF_ABSENT: bool = false;
    // PutParameter answers the version that it wrote.
    const IS_PROVEN_BY_ANSWERS: bool = true;
    const CONFLICTS: &'static [&'static str] = &["ParameterAlreadyExists", "ParameterNotFound", "TooManyUpdates"];
    const NAME_KEY: &'static str = "name";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Record, &self.name)
    }

    fn hint_if_not_ours(&self) -> Text {
        "change name in the configuration, or delete the parameter first if nothing uses it".into()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Content>>, Error> {
        Ok(record::read(aws, &self.name).await?.map(Found::from))
    }

    fn create(&self, goal: &Content, tags: Tags) -> Vec<(Op, Call)> {
        let op = with_content(Op::new(Verb::Create, PUT), None, goal).sets("tags", tags::shown(&tags));
        vec![(op, Call::Create(goal.clone(), tags))]
    }

    fn update(&self, goal: &Content, found: &Found<Content>) -> Result<Vec<(Op, Call)>, Error> {
        let op = with_content(Op::new(Verb::Update, PUT), Some(&found.observed), goal);
        Ok(if *goal == found.observed { Vec::new() } else { vec![(op, Call::Put(goal.clone()))] })
    }

    fn delete(&self, _: &Found<Content>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let op = || Op::new(Verb::Delete, "ssm:DeleteParameter");
        let lease = self.lease.iter().map(|lease| {
            let op = op().with("lease", Some(lease.as_str().into()), None);
            (op, Call::DeleteLease(lease.clone()))
        });
        Ok(lease.chain([(op(), Call::Delete)]).collect())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        match call {
            Call::Create(record, tags) => self.put(&context.aws, &record, Some(&tags)).await,
            Call::Put(record) => self.put(&context.aws, &record, None).await,
            Call::DeleteLease(lease) => record::delete_lease(&context.aws, &lease).await,
            Call::Delete => {
                let answer = context.aws.ssm.delete_parameter().name(&self.name).send().await;
                answer.failed_to(|| format!("delete the record {}", self.name)).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Parameter);
        let request = request.resource_id(&self.name).set_tags(Some(tags::of_systems_manager(&tags)));
        request.send().await.failed_to(|| format!("tag the record {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.ssm.remove_tags_from_resource().resource_type(ResourceTypeForTagging::Parameter);
        let request = request.resource_id(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag the record {}", self.name)).map(drop)
    }
}

const PUT: &str = "ssm:PutParameter";

/// Somebody else writes the record at the same moment: look again, so many times.
const MOST_ROUNDS: usize = 5;

impl Record {
    /// Without tags, the parameter exists already: PutParameter takes no tags for one that does.
    async fn put(&self, aws: &Aws, content: &Content, tags: Option<&Tags>) -> Result<(), Error> {
        let request = aws.ssm.put_parameter().name(&self.name).value(content.to_json());
        let request = request.r#type(ParameterType::String).tier(ParameterTier::Standard).overwrite(tags.is_none());
        let request = request.set_tags(tags.map(tags::of_systems_manager));
        let answer = request.send().await.failed_to(|| format!("write the record {}", self.name)).map(drop);
        if tags.is_none() { answer.map_err(record::takes_no_tags) } else { answer }
    }

    /// Notes every resource of `goal` beside those that are noted already. It is safe to run twice, and beside another run.
    pub(crate) async fn add_entries(
        &self,
        aws: &Aws,
        tags: &Tags,
        mut now: Option<Kept>,
        goal: &Content,
    ) -> Result<(), Error> {
        let mut failed = None;
        for _ in 0..MOST_ROUNDS {
            if now.as_ref().is_some_and(|kept| kept.tags.get(TAG_DEPLOYMENT) != tags.get(TAG_DEPLOYMENT)) {
                let what = format!("the record {} became another deployment's", self.name);
                return Err(Error::new(what).hint("run the command again and read the new plan"));
            }
            let before = now.as_ref().map(|kept| &kept.record);
            let between = Content::between(before, goal);
            if before == Some(&between) {
                return Ok(());
            }
            let put = self.put(aws, &between, now.is_none().then_some(tags)).await;
            match put {
                Ok(()) => return Ok(()),
                Err(error) if error.is_ambiguous() || error.code().is_some_and(|it| Self::CONFLICTS.contains(&it)) => {
                    failed = Some(error);
                    now = record::read(aws, &self.name).await?;
                }
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Refuses a record that does not fit into a parameter.
pub(crate) fn check_size(name: &str, content: &Content) -> Result<(), Error> {
    let bytes = content.to_json().len();
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    Err(Error::new(format!("the record {name} would be {bytes} bytes long"))
        .cause(format!("a standard parameter holds {MOST_BYTES}"))
        .hint(text![
            "name fewer or shorter tags; if earlier names are still to be deleted, run ",
            Command::deployer("apply"),
            " with the file from before first"
        ]))
}

/// What the record held says nothing to a reviewer: an interrupted run may have noted more. Who applies, and when, is not known
/// while a plan is reviewed.
fn with_content(op: Op, from: Option<&Content>, to: &Content) -> Op {
    let applied = |it: &Content| {
        let Applied { by, at, deployer, .. } = it.applied.as_ref()?;
        Some(Value::from(format!("{at} by {by}, deployer {deployer}")))
    };
    let is_new = to.applied != from.and_then(|it| it.applied.clone());
    let op = op.sets("content", to.digest());
    if is_new { op.with("applied", from.and_then(applied), Some("this run".into())) } else { op }
}
