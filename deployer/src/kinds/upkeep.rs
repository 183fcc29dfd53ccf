//! The rule that invokes the function every day: it retires keys that are past their grace, and tells of a rotation that
//! is overdue or was never attempted, which nothing else in AWS does.

use std::sync::Arc;

use aws_sdk_eventbridge::types::{RuleState, Tag, Target as SdkTarget};
use serde_json::Value;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::{CONSISTENT_WITHIN, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Upkeep(pub(crate) Arc<Deployment>);

pub(crate) struct Observed {
    rule: Rule,
    targets: Vec<Target>,
    tags: Tags,
}

/// What PutRule sets.
#[derive(Debug, PartialEq)]
struct Rule {
    schedule: Option<String>,
    state: Option<String>,
    event_pattern: Option<String>,
}

/// What PutTargets sets, as far as it decides what is invoked with what.
#[derive(Debug, PartialEq)]
struct Target {
    id: String,
    arn: String,
    /// None where it is made from the event instead.
    input: Option<String>,
}

pub(crate) enum Call {
    /// Tags only for a new rule: on an existing one PutRule ignores them.
    PutRule(Option<Tags>),
    PutTarget,
    RemoveTargets(Vec<String>),
    Tags(TagCall),
    Delete,
}

const SCHEDULE: &str = "rate(1 day)";
const TARGET: &str = "function";

impl Kind for Upkeep {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "upkeep", name: self.0.names.upkeep.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let (events, name) = (&aws.events, &self.0.names.upkeep);
        let answer = events.describe_rule().name(name).send().await.failed_to(|| format!("read rule {name}"));
        let Some(rule) = absent_is_none(answer, &["ResourceNotFoundException"])? else { return Ok(None) };
        // A rule has at most five targets, which is one page.
        let (targets, tags) = tokio::join!(
            events.list_targets_by_rule().rule(name).send(),
            events.list_tags_for_resource().resource_arn(self.0.names.upkeep_arn()).send()
        );
        let targets = targets.failed_to(|| format!("list the targets of rule {name}"))?.targets;
        let tags = tags.failed_to(|| format!("read the tags of rule {name}"))?.tags;
        Ok(Some(Observed {
            rule: Rule {
                schedule: rule.schedule_expression,
                state: rule.state.map(|state| state.as_str().to_owned()),
                event_pattern: rule.event_pattern,
            },
            targets: targets.unwrap_or_default().into_iter().map(read_target).collect(),
            tags: tags::read(tags, |tag| (Some(tag.key), Some(tag.value))),
        }))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Some(observed) = observed else {
            return Ok(match toward {
                Toward::Absent { .. } => Vec::new(),
                Toward::Present => self.create(),
            });
        };
        let way_out = "choose another deployment name, or delete the rule first if nothing uses it";
        tags::check_owner(&self.address(), &observed.tags, &self.0.names, way_out)?;
        if toward == Toward::Present {
            return Ok(self.update(observed));
        }
        let targets = remove_targets(&observed.targets.iter().collect::<Vec<_>>());
        let rule = (Op::new(Verb::Delete, "events:DeleteRule"), Call::Delete);
        Ok(targets.into_iter().chain([rule]).collect())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (events, name) = (&context.aws.events, &self.0.names.upkeep);
        let arn = self.0.names.upkeep_arn();
        match call {
            Call::PutRule(tags) => {
                let request = events.put_rule().name(name).schedule_expression(SCHEDULE).state(RuleState::Enabled);
                let request = request.set_tags(tags.as_ref().map(events_tags));
                request.send().await.failed_to(|| format!("put rule {name}")).map(drop)
            }
            Call::PutTarget => self.put_target(context).await,
            Call::RemoveTargets(ids) => {
                let request = events.remove_targets().rule(name).set_ids(Some(ids));
                let answer = request.send().await.failed_to(|| format!("remove targets of rule {name}"))?;
                let failed = answer.failed_entries.unwrap_or_default().into_iter().next();
                failed.map_or(Ok(()), |entry| {
                    Err(refused(&format!("remove targets of rule {name}"), entry.error_code, entry.error_message))
                })
            }
            Call::Tags(TagCall::Set(tags)) => {
                let request = events.tag_resource().resource_arn(arn).set_tags(Some(events_tags(&tags)));
                request.send().await.failed_to(|| format!("tag rule {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = events.untag_resource().resource_arn(arn).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag rule {name}")).map(drop)
            }
            Call::Delete => {
                // The removal of its targets is seen with a delay.
                let has_targets = |error: &Error| error.is("ValidationException", "since it has targets");
                eventually(&context.progress, CONSISTENT_WITHIN, has_targets, || async {
                    events.delete_rule().name(name).send().await.failed_to(|| format!("delete rule {name}")).map(drop)
                })
                .await
            }
        }
    }
}

impl Upkeep {
    fn goal_target(&self) -> Target {
        Target {
            id: TARGET.to_owned(),
            arn: self.0.names.function_arn(),
            input: Some(serde_json::json!(contract::Event::Upkeep).to_string()),
        }
    }

    fn create(&self) -> Vec<(Op, Call)> {
        let tags = tags::owned(&self.0.config, &self.0.names);
        let op = with_rule(Op::new(Verb::Create, "events:PutRule"), None).sets("tags", tags::shown(&tags));
        vec![(op, Call::PutRule(Some(tags))), self.put_target_op(None)]
    }

    fn update(&self, observed: &Observed) -> Vec<(Op, Call)> {
        let mut ops = Vec::new();
        if observed.rule != goal_rule() {
            let op = with_rule(Op::new(Verb::Update, "events:PutRule"), Some(&observed.rule));
            ops.push((op, Call::PutRule(None)));
        }
        let (ours, others): (Vec<_>, Vec<_>) = observed.targets.iter().partition(|target| target.id == TARGET);
        if ours != [&self.goal_target()] {
            ops.push(self.put_target_op(ours.first().copied()));
        }
        ops.extend(remove_targets(&others));
        let goal = tags::owned(&self.0.config, &self.0.names);
        let calls = tags::ops("events:TagResource", "events:UntagResource", &observed.tags, &goal);
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        ops
    }

    fn put_target_op(&self, observed: Option<&Target>) -> (Op, Call) {
        let goal = self.goal_target();
        let op = Op::new(Verb::Update, "events:PutTargets")
            .with("target", observed.map(|target| target.arn.as_str().into()), Some(goal.arn.into()))
            .with("input", observed.and_then(|target| value(target.input.as_ref())), value(goal.input.as_ref()));
        (op, Call::PutTarget)
    }

    async fn put_target(&self, context: &Context) -> Result<(), Error> {
        let (events, name) = (&context.aws.events, &self.0.names.upkeep);
        let what = || format!("set the target of rule {name}");
        let Target { id, arn, input } = self.goal_target();
        let target = SdkTarget::builder().id(id).arn(arn).set_input(input);
        let target = target.build().map_err(|error| Error::new(format!("failed to {}", what())).cause(error))?;
        let answer = events.put_targets().rule(name).targets(target).send().await.failed_to(what)?;
        let failed = answer.failed_entries.unwrap_or_default().into_iter().next();
        failed.map_or(Ok(()), |entry| Err(refused(&what(), entry.error_code, entry.error_message)))
    }
}

fn goal_rule() -> Rule {
    Rule {
        schedule: Some(SCHEDULE.to_owned()),
        state: Some(RuleState::Enabled.as_str().to_owned()),
        event_pattern: None,
    }
}

fn with_rule(op: Op, observed: Option<&Rule>) -> Op {
    let goal = goal_rule();
    let field =
        |field: fn(&Rule) -> Option<&String>| (observed.and_then(|rule| value(field(rule))), value(field(&goal)));
    let (schedule, state) = (field(|rule| rule.schedule.as_ref()), field(|rule| rule.state.as_ref()));
    let pattern = field(|rule| rule.event_pattern.as_ref());
    op.with("schedule", schedule.0, schedule.1).with("state", state.0, state.1).with(
        "event_pattern",
        pattern.0,
        pattern.1,
    )
}

/// The op that removes these targets; none where there are none.
fn remove_targets(targets: &[&Target]) -> Option<(Op, Call)> {
    let op = targets.iter().fold(Op::new(Verb::Update, "events:RemoveTargets"), |op, target| {
        op.with(&format!("targets.{}", target.id), Some(target.arn.as_str().into()), None)
    });
    let ids: Vec<_> = targets.iter().map(|target| target.id.clone()).collect();
    (!ids.is_empty()).then_some((op, Call::RemoveTargets(ids)))
}

fn read_target(target: SdkTarget) -> Target {
    Target { id: target.id, arn: target.arn, input: target.input }
}

fn value(text: Option<&String>) -> Option<Value> {
    text.map(|text| text.as_str().into())
}

/// PutTargets and RemoveTargets answer 200 with the entries that failed.
fn refused(what: &str, code: Option<String>, message: Option<String>) -> Error {
    let cause = crate::error::Cause::Aws {
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        request_id: None,
    };
    Error { what: format!("failed to {what}"), cause: Some(cause), hint: None }
}

fn events_tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}
