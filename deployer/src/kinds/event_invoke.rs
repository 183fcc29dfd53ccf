//! How Lambda retries the function if EventBridge's invocation fails: never. Lambda's default is two retries, and each would tell
//! of the same overdue rotation again.
//!
//! It carries no tags: it is ours as a part of our function, and Lambda deletes it with the function.

use serde_json::Value;

use crate::{
    aws::Aws,
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Aim, Context, Kind},
        op::{Address, Op, ResourceKind, Toward, Verb},
        plan::{Plan, Planned},
    },
    error::{Error, FailedTo as _, absent_is_none},
    read_once,
};

pub(crate) struct EventInvoke {
    pub(crate) function: String,
}

/// What PutFunctionEventInvokeConfig sets; what it is not given becomes Lambda's default.
#[derive(Debug, PartialEq)]
pub(crate) struct Observed {
    pub(super) retries: Option<i32>,
    /// ARNs that Lambda sends a record of the invocation to.
    pub(super) destinations: Vec<String>,
}

pub(crate) struct Put;

const RETRIES: i32 = 0;

/// What `destroy` does not count, although `apply` counted it.
pub(crate) fn goes_with_its_function(plan: &Plan) -> Option<&'static str> {
    let deletes = |it: &Planned| it.address.kind == ResourceKind::Function && it.verb() == Some(Verb::Delete);
    let goes = matches!(plan.toward, Toward::Absent { .. }) && plan.resources.iter().any(deletes);
    goes.then_some("Lambda deletes the event invoke config with the function")
}

impl Kind for EventInvoke {
    type Goal = ();
    /// None if the function has no configuration, and so Lambda's defaults.
    type Observed = Option<Observed>;
    type Call = Put;

    const CONFLICTS: &'static [&'static str] = &["ResourceConflictException", "ResourceNotFoundException"];

    fn address(&self) -> Address {
        Address::new(ResourceKind::EventInvoke, &self.function)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let function = &self.function;
        if read_once::lacks_function(aws, function).await? {
            return Ok(None);
        }
        let answer = aws.lambda.get_function_event_invoke_config().function_name(function).send().await;
        let answer = answer.failed_to(|| format!("read the event invoke config of function {function}"));
        Ok(absent_is_none(answer, &["ResourceNotFoundException"])?.map(|config| {
            let destinations = config.destination_config.map(|config| {
                let success = config.on_success.and_then(|it| it.destination);
                success.into_iter().chain(config.on_failure.and_then(|it| it.destination)).collect()
            });
            Observed { retries: config.maximum_retry_attempts, destinations: destinations.unwrap_or_default() }
        }))
    }

    /// Nobody else has a use for the configuration of our function.
    fn absent(&self) -> Option<Self::Observed> {
        Some(None)
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Option<Observed>) -> Result<Vec<(Op, Put)>, Error> {
        let goal = Observed { retries: Some(RETRIES), destinations: Vec::new() };
        if matches!(aim, Aim::Absent(_)) || *observed == Some(goal) {
            return Ok(Vec::new());
        }
        let verb = if observed.is_none() { Verb::Create } else { Verb::Update };
        let retries = observed.as_ref().and_then(|config| config.retries).map(Value::from);
        let op = Op::new(verb, "lambda:PutFunctionEventInvokeConfig");
        let op = op.with("maximum_retry_attempts", retries, Some(RETRIES.into()));
        let destinations = observed.iter().flat_map(|config| &config.destinations);
        let op = destinations.fold(op, |op, arn| op.with("destination", Some(arn.as_str().into()), None));
        Ok(vec![(op, Put)])
    }

    async fn run(&self, context: &Context, Put: Put) -> Result<(), Error> {
        let (lambda, function) = (&context.aws.lambda, &self.function);
        let not_there_yet = |error: &Error| error.code() == Some("ResourceNotFoundException");
        eventually(&context.progress, CONSISTENT_WITHIN, not_there_yet, || async {
            let request = lambda.put_function_event_invoke_config().function_name(function);
            let answer = request.maximum_retry_attempts(RETRIES).send().await;
            answer.failed_to(|| format!("put the event invoke config of function {function}")).map(drop)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deployment::facts::Former, engine::kind::Going};

    #[test]
    fn retries_and_destinations_that_somebody_set_are_taken_back() {
        let kind = EventInvoke { function: "f".into() };
        let ops = |observed: Option<Observed>| kind.decide(Aim::Present(&()), &observed).unwrap();
        let config = |retries, destinations: &[&str]| {
            Some(Observed { retries: Some(retries), destinations: destinations.iter().map(|&it| it.into()).collect() })
        };
        assert_eq!(ops(None)[0].0.verb, Verb::Create);
        assert_eq!(ops(config(2, &[]))[0].0.verb, Verb::Update);
        assert_eq!(ops(config(0, &["arn"]))[0].0.changes[0].from, Some("arn".into()));
        assert!(ops(config(0, &[])).is_empty());
        let going = Going { stop_mail: false, former: &Former::default(), record: None };
        assert!(kind.decide(Aim::Absent(going), &config(2, &[])).unwrap().is_empty());
    }
}
