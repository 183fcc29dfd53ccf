//! The rule that invokes the function every day: it retires keys that are past their grace, and tells of a rotation that is
//! overdue or was never attempted, which nothing else in AWS does.

use aws_sdk_eventbridge::types::{RuleState, Tag, Target as SdkTarget};
use contract::Text;
use serde::Serialize;
use serde_json::Value;

use crate::{
    aws::Aws,
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Context, Going},
        op::{Address, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Upkeep {
    pub(crate) name: String,
    pub(crate) arn: String,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    pub(crate) function_arn: String,
}

pub(crate) struct Observed {
    pub(super) rule: Rule,
    pub(super) targets: Vec<Target>,
}

/// What PutRule sets.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rule {
    schedule: Option<String>,
    state: Option<String>,
    event_pattern: Option<String>,
}

/// What PutTargets sets, as far as it decides what is invoked with what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    id: String,
    arn: String,
    /// None if the target's input is made from the event.
    input: Option<String>,
    /// How often EventBridge tries again, and the queue that gets what it gave up, if somebody set one of the two.
    delivery: Option<String>,
}

pub(crate) enum Call {
    /// Tags only for a new rule: on an existing one PutRule ignores them.
    PutRule(Option<Tags>),
    PutTarget(Target),
    RemoveTargets(Vec<String>),
    Delete,
}

const SCHEDULE: &str = "rate(1 day)";
const TARGET: &str = "function";

impl Tagged for Upkeep {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["events:TagResource", "events:UntagResource"];
    // PutRule replaces a rule.
    const IS_MADE_ONLY_IF_ABSENT: bool = false;
    // PutTargets and RemoveTargets name each target that failed.
    const IS_PROVEN_BY_ANSWERS: bool = true;
    const CONFLICTS: &'static [&'static str] = &["ConcurrentModificationException", "ResourceNotFoundException"];
    const NAME_KEY: &'static str = "names.rule";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Upkeep, &self.name)
    }

    fn hint_if_not_ours(&self) -> Text {
        "change names.rule in the configuration, or delete the rule first if nothing uses it".into()
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let (events, name) = (&aws.events, &self.name);
        let answer = events.describe_rule().name(name).send().await.failed_to(|| format!("read rule {name}"));
        let Some(rule) = absent_is_none(answer, &["ResourceNotFoundException"])? else { return Ok(None) };
        // A rule has at most five targets, which is one page.
        let (targets, tags) = tokio::join!(
            events.list_targets_by_rule().rule(name).send(),
            events.list_tags_for_resource().resource_arn(&self.arn).send()
        );
        let targets = targets.failed_to(|| format!("list the targets of rule {name}"))?.targets;
        let tags = tags.failed_to(|| format!("read the tags of rule {name}"))?.tags;
        let rule = Rule {
            schedule: rule.schedule_expression,
            state: rule.state.map(|state| state.as_str().to_owned()),
            event_pattern: rule.event_pattern,
        };
        let targets = targets.unwrap_or_default().into_iter().map(read_target).collect();
        let tags = tags::read(tags, |tag| (Some(tag.key), Some(tag.value)));
        Ok(Some(Found { tags, observed: Observed { rule, targets } }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let op = with_rule(Op::new(Verb::Create, "events:PutRule"), None).sets("tags", tags::shown(&tags));
        vec![(op, Call::PutRule(Some(tags))), put_target(goal, None)]
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { rule, targets } = &found.observed;
        let mut ops = Vec::new();
        if *rule != goal_rule() {
            ops.push((with_rule(Op::new(Verb::Update, "events:PutRule"), Some(rule)), Call::PutRule(None)));
        }
        let (ours, others): (Vec<_>, Vec<_>) = targets.iter().partition(|target| target.id == TARGET);
        if ours != [&goal.target()] {
            ops.push(put_target(goal, ours.first().copied()));
        }
        ops.extend(remove_targets(&others));
        Ok(ops)
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let targets = remove_targets(&found.observed.targets.iter().collect::<Vec<_>>());
        let rule = (Op::new(Verb::Delete, "events:DeleteRule"), Call::Delete);
        Ok(targets.into_iter().chain([rule]).collect())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (events, name) = (&context.aws.events, &self.name);
        match call {
            Call::PutRule(tags) => {
                let request = events.put_rule().name(name).schedule_expression(SCHEDULE).state(RuleState::Enabled);
                let request = request.set_tags(tags.as_ref().map(events_tags));
                request.send().await.failed_to(|| format!("put rule {name}")).map(drop)
            }
            Call::PutTarget(target) => self.run_put_target(context, target).await,
            Call::RemoveTargets(ids) => {
                let request = events.remove_targets().rule(name).set_ids(Some(ids));
                let answer = request.send().await.failed_to(|| format!("remove targets of rule {name}"))?;
                let failed = answer.failed_entries.unwrap_or_default().into_iter().next();
                failed.map_or(Ok(()), |entry| {
                    Err(Error::new(format!("failed to remove targets of rule {name}"))
                        .aws(entry.error_code, entry.error_message))
                })
            }
            Call::Delete => {
                // EventBridge sees the removal of its targets with a delay.
                let has_targets = |error: &Error| error.is("ValidationException", "since it has targets");
                eventually(&context.progress, CONSISTENT_WITHIN, has_targets, || async {
                    events.delete_rule().name(name).send().await.failed_to(|| format!("delete rule {name}")).map(drop)
                })
                .await
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.events.tag_resource().resource_arn(&self.arn).set_tags(Some(events_tags(&tags)));
        request.send().await.failed_to(|| format!("tag rule {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.events.untag_resource().resource_arn(&self.arn).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag rule {}", self.name)).map(drop)
    }
}

impl Goal {
    pub(super) fn target(&self) -> Target {
        let input = serde_json::json!(contract::Event::Upkeep).to_string();
        Target { id: TARGET.to_owned(), arn: self.function_arn.clone(), input: Some(input), delivery: None }
    }
}

impl Upkeep {
    /// PutTargets returns 200 with the entries that failed.
    async fn run_put_target(&self, context: &Context, Target { id, arn, input, .. }: Target) -> Result<(), Error> {
        let (events, name) = (&context.aws.events, &self.name);
        let what = || format!("set the target of rule {name}");
        let target = SdkTarget::builder().id(id).arn(arn).set_input(input);
        let target = target.build().map_err(|error| Error::new(format!("failed to {}", what())).cause(error))?;
        let answer = events.put_targets().rule(name).targets(target).send().await.failed_to(what)?;
        let failed = answer.failed_entries.unwrap_or_default().into_iter().next();
        failed.map_or(Ok(()), |entry| {
            Err(Error::new(format!("failed to {}", what())).aws(entry.error_code, entry.error_message))
        })
    }
}

fn put_target(goal: &Goal, observed: Option<&Target>) -> (Op, Call) {
    let target = goal.target();
    let op = Op::new(Verb::Update, "events:PutTargets")
        .with("target", observed.map(|target| target.arn.as_str().into()), Some(target.arn.as_str().into()))
        .with("input", observed.and_then(|target| value(target.input.as_ref())), value(target.input.as_ref()))
        .with("delivery", observed.and_then(|target| value(target.delivery.as_ref())), None);
    (op, Call::PutTarget(target))
}

pub(super) fn goal_rule() -> Rule {
    Rule {
        schedule: Some(SCHEDULE.to_owned()),
        state: Some(RuleState::Enabled.as_str().to_owned()),
        event_pattern: None,
    }
}

fn with_rule(op: Op, observed: Option<&Rule>) -> Op {
    let goal = goal_rule();
    let fields = |rule: &Rule| [&rule.schedule, &rule.state, &rule.event_pattern].map(|field| value(field.as_ref()));
    let from = observed.map_or([None, None, None], fields);
    let changes = ["schedule", "state", "event_pattern"].into_iter().zip(from).zip(fields(&goal));
    changes.fold(op, |op, ((name, from), to)| op.with(name, from, to))
}

/// The op that removes these targets; none if there is none to remove.
fn remove_targets(targets: &[&Target]) -> Option<(Op, Call)> {
    let op = targets.iter().fold(Op::new(Verb::Update, "events:RemoveTargets"), |op, target| {
        op.with(&format!("targets.{}", target.id), Some(target.arn.as_str().into()), None)
    });
    let ids: Vec<_> = targets.iter().map(|target| target.id.clone()).collect();
    (!ids.is_empty()).then_some((op, Call::RemoveTargets(ids)))
}

fn read_target(target: SdkTarget) -> Target {
    let retries = target.retry_policy.map(|it| {
        let (attempts, age) = (it.maximum_retry_attempts, it.maximum_event_age_in_seconds);
        let number = |value: Option<i32>| value.map_or_else(|| "by default".to_owned(), |value| value.to_string());
        format!("retries: {}, seconds: {}", number(attempts), number(age))
    });
    let queue = target.dead_letter_config.and_then(|it| it.arn).map(|arn| format!("dead-letter queue: {arn}"));
    let delivery: Vec<_> = retries.into_iter().chain(queue).collect();
    let delivery = (!delivery.is_empty()).then(|| delivery.join(", "));
    Target { id: target.id, arn: target.arn, input: target.input, delivery }
}

fn value(text: Option<&String>) -> Option<Value> {
    text.map(|text| text.as_str().into())
}

fn events_tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}
