//! The function's log group. It is made before the function: the role cannot create groups, and a group that Lambda makes by
//! itself keeps everything for ever.

use std::time::Duration;

use contract::{Command, Text, text};
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    engine::{
        eventually::eventually,
        kind::{Context, Going},
        op::{Address, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _},
};

pub(crate) struct LogGroup {
    pub(crate) name: String,
    pub(crate) arn: String,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    pub(crate) retention_days: u32,
}

pub(crate) struct Observed {
    /// Days; none keeps everything.
    pub(super) retention: Option<i32>,
    /// Somebody protects it from deletion: CloudWatch Logs refuses DeleteLogGroup (user guide, "Protecting log groups from deletion").
    pub(super) is_protected: bool,
}

pub(crate) enum Call {
    Create(Tags),
    SetRetention(i32),
    Delete,
}

impl Goal {
    /// The configuration is checked against the values that CloudWatch Logs accepts.
    fn days(&self) -> i32 {
        i32::try_from(self.retention_days).unwrap_or(i32::MAX)
    }
}

impl Tagged for LogGroup {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["logs:TagResource", "logs:UntagResource"];
    const CONFLICTS: &'static [&'static str] =
        &["OperationAbortedException", "ResourceAlreadyExistsException", "ResourceNotFoundException"];
    const NAME_KEY: &'static str = "names.function";

    fn address(&self) -> Address {
        Address::new(ResourceKind::LogGroup, &self.name)
    }

    fn hint_if_not_ours(&self) -> Text {
        text![
            "if nothing else writes there, delete it (",
            Command::aws_on(&self.arn, &["logs", "delete-log-group", "--log-group-name", &self.name]),
            "); else change names.function in the configuration"
        ]
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let name = &self.name;
        let answer = aws.logs.describe_log_groups().log_group_name_prefix(name).send().await;
        let groups = answer.failed_to(|| format!("read log group {name}"))?.log_groups.unwrap_or_default();
        let Some(group) = groups.into_iter().find(|group| group.log_group_name.as_ref() == Some(name)) else {
            return Ok(None);
        };
        let answer = aws.logs.list_tags_for_resource().resource_arn(&self.arn).send().await;
        let tags = answer.failed_to(|| format!("read the tags of log group {name}"))?.tags;
        let tags = tags.unwrap_or_default().into_iter().collect();
        let is_protected = group.deletion_protection_enabled == Some(true);
        Ok(Some(Found { tags, observed: Observed { retention: group.retention_in_days, is_protected } }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let create = Op::new(Verb::Create, "logs:CreateLogGroup").sets("tags", tags::shown(&tags));
        vec![(create, Call::Create(tags)), set_retention(None, goal)]
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let now = found.observed.retention;
        Ok(if now == Some(goal.days()) { Vec::new() } else { vec![set_retention(now, goal)] })
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        if found.observed.is_protected {
            let words = ["logs", "put-log-group-deletion-protection", "--log-group-identifier", &self.name];
            let lift = Command::aws_on(&self.arn, &[&words[..], &["--no-deletion-protection-enabled"]].concat());
            return Err(Error::new(format!("log group {} is protected from deletion", self.name))
                .cause("somebody turned its deletion protection on, and AWS refuses to delete it")
                .hint(text!["if it may go, run ", lift]));
        }
        Ok(vec![(Op::new(Verb::Delete, "logs:DeleteLogGroup"), Call::Delete)])
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (logs, name) = (&context.aws.logs, &self.name);
        match call {
            Call::Create(tags) => {
                let request = logs.create_log_group().log_group_name(name).set_tags(Some(tags.into_iter().collect()));
                request.send().await.failed_to(|| format!("create log group {name}")).map(drop)
            }
            Call::SetRetention(days) => {
                let request = logs.put_retention_policy().log_group_name(name).retention_in_days(days);
                request.send().await.failed_to(|| format!("set the retention of log group {name}")).map(drop)
            }
            Call::Delete => {
                // Another operation on the group is under way.
                let aborted = |error: &Error| error.code() == Some("OperationAbortedException");
                eventually(&context.progress, Duration::from_mins(1), aborted, || async {
                    let request = logs.delete_log_group().log_group_name(name);
                    request.send().await.failed_to(|| format!("delete log group {name}")).map(drop)
                })
                .await
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.logs.tag_resource().resource_arn(&self.arn).set_tags(Some(tags.into_iter().collect()));
        request.send().await.failed_to(|| format!("tag log group {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.logs.untag_resource().resource_arn(&self.arn).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag log group {}", self.name)).map(drop)
    }
}

fn set_retention(from: Option<i32>, goal: &Goal) -> (Op, Call) {
    let op = Op::new(Verb::Update, "logs:PutRetentionPolicy");
    let op = op.with("retention_in_days", from.map(Value::from), Some(goal.days().into()));
    (op, Call::SetRetention(goal.days()))
}
