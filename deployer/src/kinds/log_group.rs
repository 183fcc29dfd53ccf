//! The function's log group. Made before the function: the role cannot create groups, and a group
//! that Lambda makes by itself keeps everything for ever.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::eventually,
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _},
};

pub(crate) struct LogGroup(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    /// Days; none keeps everything.
    retention: Option<i32>,
    tags: Tags,
}

pub(crate) enum Call {
    Create(Tags),
    SetRetention(i32),
    Tags(TagCall),
    Delete,
}

impl Kind for LogGroup {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "log group", name: self.0.names.log_group.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.log_group;
        let answer = aws.logs.describe_log_groups().log_group_name_prefix(name).send().await;
        let groups = answer.failed_to(|| format!("read log group {name}"))?.log_groups.unwrap_or_default();
        let Some(group) = groups.into_iter().find(|group| group.log_group_name.as_ref() == Some(name)) else {
            return Ok(None);
        };
        let answer = aws.logs.list_tags_for_resource().resource_arn(self.0.names.log_group_arn()).send().await;
        let tags = answer.failed_to(|| format!("read the tags of log group {name}"))?.tags;
        Ok(Some(Observed { retention: group.retention_in_days, tags: tags.unwrap_or_default().into_iter().collect() }))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Deployment { config, names } = &*self.0;
        let days = i32::try_from(config.function.log_retention_days).unwrap_or(i32::MAX);
        let goal = tags::owned(config, names);
        let retention = |from: Option<i32>| {
            let op = Op::new(Verb::Update, "logs:PutRetentionPolicy");
            (op.with("retention_in_days", from.map(Value::from), Some(days.into())), Call::SetRetention(days))
        };
        match (toward, observed) {
            (Toward::Absent { .. }, None) => Ok(Vec::new()),
            (Toward::Present, None) => {
                let create = Op::new(Verb::Create, "logs:CreateLogGroup").sets("tags", tags::shown(&goal));
                Ok(vec![(create, Call::Create(goal)), retention(None)])
            }
            (_, Some(observed)) => {
                let way_out = format!(
                    "if nothing else writes there, delete it (aws logs delete-log-group --log-group-name {}); \
                     else choose another deployment name",
                    names.log_group
                );
                tags::check_owner(&self.address(), &observed.tags, names, &way_out)?;
                if toward != Toward::Present {
                    return Ok(vec![(Op::new(Verb::Delete, "logs:DeleteLogGroup"), Call::Delete)]);
                }
                let mut ops = Vec::new();
                if observed.retention != Some(days) {
                    ops.push(retention(observed.retention));
                }
                let calls = tags::ops("logs:TagResource", "logs:UntagResource", &observed.tags, &goal);
                ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
                Ok(ops)
            }
        }
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (logs, name) = (&context.aws.logs, &self.0.names.log_group);
        let arn = self.0.names.log_group_arn();
        match call {
            Call::Create(tags) => {
                let request = logs.create_log_group().log_group_name(name).set_tags(Some(tags.into_iter().collect()));
                request.send().await.failed_to(|| format!("create log group {name}")).map(drop)
            }
            Call::SetRetention(days) => {
                let request = logs.put_retention_policy().log_group_name(name).retention_in_days(days);
                request.send().await.failed_to(|| format!("set the retention of log group {name}")).map(drop)
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = logs.tag_resource().resource_arn(arn).set_tags(Some(tags.into_iter().collect()));
                request.send().await.failed_to(|| format!("tag log group {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = logs.untag_resource().resource_arn(arn).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag log group {name}")).map(drop)
            }
            Call::Delete => {
                // Another operation on the group is under way.
                let aborted = |error: &Error| error.code() == Some("OperationAbortedException");
                eventually(&context.progress, std::time::Duration::from_mins(1), aborted, || async {
                    let request = logs.delete_log_group().log_group_name(name);
                    request.send().await.failed_to(|| format!("delete log group {name}")).map(drop)
                })
                .await
            }
        }
    }
}
