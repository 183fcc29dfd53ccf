//! The alarms that notice, from outside, a function that fails or does not run: such a function can tell nobody itself.
//!
//! SNS's default access policy lets an alarm of the topic's own account publish, and the topic has no other. SNS encrypts nothing
//! with a customer's key, which CloudWatch would have to be allowed to use.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricAlarm, Statistic, Tag};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    engine::{
        kind::{Context, Going},
        op::{Address, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    read_once,
};

pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// The alarms that one call reads together with it, and itself.
    pub(crate) together: Vec<String>,
    /// Whether it is to be deleted: which composite alarms depend on it is read only then.
    pub(crate) going: bool,
}

pub(crate) struct Observed {
    pub(super) alarm: MetricAlarm,
    /// Names of the composite alarms whose rules name this one. Empty unless it is to be deleted.
    pub(super) parents: Vec<String>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Goal {
    /// The function that it watches.
    pub(crate) function: String,
    /// The topic that it tells.
    pub(crate) topic_arn: String,
    pub(crate) watches: Watches,
}

/// What an alarm tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Watches {
    /// The function failed.
    Errors,
    /// Lambda gave an event of the upkeep rule up: the function failed, or it is stopped.
    Dropped,
    /// No event of the upkeep rule reached the function for longer than a day.
    Silence,
}

impl Watches {
    /// In the order of the names of a deployment's alarms.
    pub(crate) const ALL: [Self; 3] = [Self::Errors, Self::Dropped, Self::Silence];
}

pub(crate) enum Call {
    /// With tags only for a new alarm: PutMetricAlarm ignores them on one that exists.
    Put(Box<MetricAlarm>, Option<Tags>),
    Delete,
}

/// The default of TreatMissingData.
const MISSING: &str = "missing";
const PUT: &str = "cloudwatch:PutMetricAlarm";

impl Goal {
    /// The alarm as PutMetricAlarm makes it.
    pub(super) fn alarm(&self) -> MetricAlarm {
        let function = Dimension::builder().name("FunctionName").value(&self.function).build();
        let alarm = MetricAlarm::builder().namespace("AWS/Lambda").dimensions(function).statistic(Statistic::Sum);
        let alarm = alarm.actions_enabled(true).alarm_actions(&self.topic_arn);
        let any_within_minutes = alarm
            .clone()
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .threshold(0.0)
            .period(300)
            .evaluation_periods(1)
            .datapoints_to_alarm(1)
            .treat_missing_data("notBreaching");
        match self.watches {
            Watches::Errors => any_within_minutes
                .metric_name("Errors")
                .alarm_description("The function that rotates an SMTP credential failed: its log says why.")
                .build(),
            Watches::Dropped => any_within_minutes
                .metric_name("AsyncEventsDropped")
                .alarm_description(
                    "Lambda gave the daily event of an SMTP credential up: the function failed or is stopped.",
                )
                .build(),
            // Only the upkeep rule invokes the function asynchronously, so nobody's `status` hides that the rule is silent. With missing
            // data as a breach, the first apply would raise the alarm. A new alarm has no data, and tells of that only once it had
            // some (API reference of PutMetricAlarm: InsufficientDataActions). From a period of an hour on, all periods together
            // may be seven days, and a day below that (the same, Period).
            Watches::Silence => alarm
                .metric_name("AsyncEventsReceived")
                .comparison_operator(ComparisonOperator::LessThanThreshold)
                .threshold(1.0)
                .period(3600)
                .evaluation_periods(26)
                .datapoints_to_alarm(26)
                .treat_missing_data(MISSING)
                .insufficient_data_actions(&self.topic_arn)
                .alarm_description(
                    "No daily event of an SMTP credential for 26 hours: see whether its rule is enabled.",
                )
                .build(),
        }
    }
}

/// What decides when the alarm tells whom, as a reviewer reads it.
fn fields(alarm: &MetricAlarm) -> BTreeMap<&'static str, Value> {
    let dimension = |it: &Dimension| format!(" {}={}", it.name().unwrap_or_default(), it.value().unwrap_or_default());
    let metric = [alarm.namespace(), alarm.metric_name()].map(Option::unwrap_or_default).join(" ");
    let dimensions: String = alarm.dimensions().iter().map(dimension).collect();
    let periods = alarm.evaluation_periods().unwrap_or_default();
    let condition = format!(
        "{} {} {} in {} of {periods} periods of {} s",
        alarm.statistic().map_or("another statistic", Statistic::as_str),
        alarm.comparison_operator().map_or("?", ComparisonOperator::as_str),
        alarm.threshold().unwrap_or_default(),
        // Without it, as many as there are periods.
        alarm.datapoints_to_alarm().unwrap_or(periods),
        alarm.period().unwrap_or_default(),
    );
    let is_told = |actions: &[String]| (!actions.is_empty()).then(|| json!(actions.join(", ")));
    let missing_data = alarm.treat_missing_data().filter(|treatment| *treatment != MISSING);
    let fields = [
        ("actions_enabled", (alarm.actions_enabled() != Some(true)).then(|| json!(alarm.actions_enabled()))),
        ("alarm_actions", is_told(alarm.alarm_actions())),
        ("condition", Some(json!(condition))),
        ("insufficient_data_actions", is_told(alarm.insufficient_data_actions())),
        ("metric", Some(json!(metric + &dimensions))),
        ("treat_missing_data", missing_data.map(|treatment| json!(treatment))),
    ];
    fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// Adds the fields that differ. Of those that are left out, CloudWatch has the defaults.
fn with_fields(op: Op, from: &BTreeMap<&'static str, Value>, to: &BTreeMap<&'static str, Value>) -> Op {
    let names: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    names.into_iter().fold(op, |op, name| op.with(name, from.get(name).cloned(), to.get(name).cloned()))
}

impl Tagged for Alarm {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["cloudwatch:TagResource", "cloudwatch:UntagResource"];
    // PutMetricAlarm replaces an alarm, all of it.
    const IS_MADE_ONLY_IF_ABSENT: bool = false;
    const IS_PROVEN_BY_ANSWERS: bool = true;
    const CONFLICTS: &'static [&'static str] =
        &["ConcurrentModificationException", "ResourceNotFound", "ResourceNotFoundException"];
    const NAME_KEY: &'static str = "names.alarms";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Alarm, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let alarms = read_once::alarms(aws, &self.together).await?;
        let named = |alarm: &MetricAlarm| alarm.alarm_name() == Some(&*self.name);
        let Some(alarm) = alarms.into_iter().find(named) else { return Ok(None) };
        let tags = aws.cloudwatch.list_tags_for_resource().resource_arn(&self.arn).send().await;
        let tags = tags.failed_to(|| format!("read the tags of alarm {}", self.name))?.tags;
        let observed = Observed { alarm, parents: self.parents(aws).await? };
        Ok(Some(Found { tags: tags::read(tags, |tag| (tag.key, tag.value)), observed }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let alarm = goal.alarm();
        let op = with_fields(Op::new(Verb::Create, PUT), &BTreeMap::new(), &fields(&alarm));
        vec![(op.sets("tags", tags::shown(&tags)), Call::Put(Box::new(alarm), Some(tags)))]
    }

    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let alarm = goal.alarm();
        let op = with_fields(Op::new(Verb::Update, PUT), &fields(&found.observed.alarm), &fields(&alarm));
        Ok(if op.changes.is_empty() { Vec::new() } else { vec![(op, Call::Put(Box::new(alarm), None))] })
    }

    fn delete(&self, found: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { parents, .. } = &found.observed;
        if !parents.is_empty() {
            return Err(self.is_depended_on(parents));
        }
        Ok(vec![(Op::new(Verb::Delete, "cloudwatch:DeleteAlarms"), Call::Delete)])
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (cloudwatch, name) = (&context.aws.cloudwatch, &self.name);
        match call {
            Call::Put(alarm, tags) => {
                let request =
                    cloudwatch.put_metric_alarm().alarm_name(name).set_alarm_description(alarm.alarm_description);
                let request = request.set_namespace(alarm.namespace).set_metric_name(alarm.metric_name);
                let request = request.set_dimensions(alarm.dimensions).set_statistic(alarm.statistic);
                let request = request.set_comparison_operator(alarm.comparison_operator).set_threshold(alarm.threshold);
                let request = request.set_period(alarm.period).set_evaluation_periods(alarm.evaluation_periods);
                let request = request.set_datapoints_to_alarm(alarm.datapoints_to_alarm);
                let request = request.set_treat_missing_data(alarm.treat_missing_data);
                let request = request.set_actions_enabled(alarm.actions_enabled).set_alarm_actions(alarm.alarm_actions);
                let request = request.set_insufficient_data_actions(alarm.insufficient_data_actions);
                let request = request.set_tags(tags.as_ref().map(cloudwatch_tags));
                request.send().await.failed_to(|| format!("put alarm {name}")).map(drop)
            }
            Call::Delete => {
                let answer = cloudwatch.delete_alarms().alarm_names(name).send().await;
                let gone = ["ResourceNotFound", "ResourceNotFoundException"];
                absent_is_none(answer.failed_to(|| format!("delete alarm {name}")), &gone).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.cloudwatch.tag_resource().resource_arn(&self.arn).set_tags(Some(cloudwatch_tags(&tags)));
        request.send().await.failed_to(|| format!("tag alarm {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.cloudwatch.untag_resource().resource_arn(&self.arn).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag alarm {}", self.name)).map(drop)
    }
}

impl Alarm {
    /// Read for a plan alone: right before the deletion, CloudWatch's refusal proves as much.
    async fn parents(&self, aws: &Aws) -> Result<Vec<String>, Error> {
        if !self.going || aws.round.is_none() {
            return Ok(Vec::new());
        }
        // Beside this parameter, CloudWatch takes no other (API reference of DescribeAlarms).
        let request = aws.cloudwatch.describe_alarms().parents_of_alarm_name(&self.name).into_paginator().send();
        let pages = request.collect::<Result<Vec<_>, _>>().await;
        let pages = pages.failed_to(|| format!("read the composite alarms that depend on alarm {}", self.name))?;
        let alarms = pages.into_iter().flat_map(|page| page.composite_alarms.unwrap_or_default());
        Ok(alarms.filter_map(|alarm| alarm.alarm_name).collect())
    }

    fn is_depended_on(&self, parents: &[String]) -> Error {
        let (name, parents) = (&self.name, parents.join(" and "));
        Error::new(format!("the rule of composite alarm {parents} names alarm {name}"))
            .cause(
                "CloudWatch deletes no alarm that a composite alarm depends on, and the deployer did not make that one",
            )
            .hint(format!("take {name} out of the rule, or delete the composite alarm, then run this command again"))
    }
}

fn cloudwatch_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
