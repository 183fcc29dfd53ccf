//! What the function is asked for beside the steps of a rotation: how everything stands, and to delete a key after a look
//! of its own. What is asked and answered holds no secret.

use std::time::Duration;

use aws_sdk_lambda::{
    config::{Builder, timeout::TimeoutConfig},
    primitives::Blob,
};
use contract::{Answer, Event, Refusal, Report, Retired};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    aws::Aws,
    deployment::Deployment,
    error::{Error, FailedTo as _},
};

/// How everything stands, and what a rotation would do now. With `logins`, also what SES says to every labelled
/// credential; that takes seconds.
pub(crate) async fn read(aws: &Aws, deployment: &Deployment, logins: bool) -> Result<Report, Error> {
    invoke(aws, deployment, &Event::Report { logins }).await
}

/// Has a key deleted that a crashed createSecret left behind.
pub(crate) async fn delete_orphan(aws: &Aws, deployment: &Deployment, key: &str) -> Result<(), Error> {
    let retired = invoke(aws, deployment, &Event::Retire { orphan: Some(key.to_owned()) }).await?;
    was_deleted(&retired, key)
}

/// Has the previous key deleted before its grace is over.
pub(crate) async fn end_grace(aws: &Aws, deployment: &Deployment, key: &str) -> Result<(), Error> {
    let retired = invoke(aws, deployment, &Event::EndGrace { key: key.to_owned() }).await?;
    was_deleted(&retired, key)
}

fn was_deleted(retired: &Retired, key: &str) -> Result<(), Error> {
    if retired.deleted.iter().any(|deleted| deleted == key) {
        return Ok(());
    }
    let error = Error::new(format!("access key {key} was not deleted")).hint("look at it with `deployer recover`");
    Err(if retired.kept.is_empty() { error } else { error.cause(retired.kept.join(" ")) })
}

/// Beside the function's own limit, for the network.
const MARGIN: Duration = Duration::from_secs(10);

/// An answer that was lost is asked for again by the SDK; every event may be repeated.
async fn invoke<T: DeserializeOwned>(aws: &Aws, deployment: &Deployment, event: &Event) -> Result<T, Error> {
    let name = &deployment.names.function;
    let limit = TimeoutConfig::builder().operation_attempt_timeout(deployment.config.function.timeout + MARGIN).build();
    let payload = serde_json::to_vec(event).map_err(|error| unreadable(name, &error))?;
    let request = aws.lambda.invoke().function_name(name).payload(Blob::new(payload)).customize();
    let answer = request.config_override(Builder::new().timeout_config(limit)).send().await;
    let answer = answer.failed_to(|| format!("invoke function {name}")).map_err(|error| match error.code() {
        Some("ResourceNotFoundException") => error.hint("run `deployer apply` first"),
        _ => error,
    })?;
    let payload = answer.payload.unwrap_or_else(|| Blob::new([]));
    if answer.function_error.is_some() {
        return Err(failure(name, payload.as_ref()));
    }
    match serde_json::from_slice(payload.as_ref()).map_err(|error| unreadable(name, &error))? {
        Answer::Done(answer) => Ok(answer),
        Answer::Refused(refusal) => Err(refused(name, &refusal)),
    }
}

fn refused(function: &str, refusal: &Refusal) -> Error {
    Error::new(format!("function {function} refused")).cause(format!("{}: {refusal}", refusal.kind))
}

/// Lambda's JSON for an invocation that failed.
#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

fn failure(function: &str, payload: &[u8]) -> Error {
    let error = Error::new(format!("function {function} failed"));
    match serde_json::from_slice(payload) {
        // What a function of before these events makes of one.
        Ok(Failure { kind, message }) if kind == "EventFieldMissing" => {
            error.cause(format!("{kind}: {message}")).hint("its code is older than this program: run `deployer apply`")
        }
        Ok(Failure { kind, message }) => error.cause(format!("{kind}: {message}")),
        Err(_) => error.cause("its answer has no errorType").hint("look at the function's log"),
    }
}

fn unreadable(function: &str, problem: &serde_json::Error) -> Error {
    Error::new(format!("the answer of function {function} is not one that this program knows"))
        .cause(problem)
        .hint("run `deployer apply`, so that both are of one version")
}

#[cfg(test)]
mod tests {
    use contract::RefusalKind;

    use super::*;

    #[test]
    fn a_failed_invocation_is_told_in_the_functions_own_words() {
        let error = failure("f", br#"{"errorType":"EventMalformed","errorMessage":"no such event"}"#);
        assert_eq!(error.in_one_line(), "function f failed: EventMalformed: no such event");
        let old = failure("f", br#"{"errorType":"EventFieldMissing","errorMessage":"no Step"}"#);
        assert!(old.hint.unwrap().contains("deployer apply"));
        assert!(failure("f", b"<html>").in_one_line().contains("no errorType"));
    }

    #[test]
    fn a_refusal_is_an_answer_in_the_functions_own_words() {
        let (kind, found, not_done) =
            (RefusalKind::KeptByMore, "a label protects K".into(), "K was not deleted".into());
        let refusal = Refusal { kind, found, not_done, next: Vec::new(), until: None };
        let expected = "function f refused: KeptByMore: a label protects K; K was not deleted";
        assert_eq!(refused("f", &refusal).in_one_line(), expected);
    }

    #[test]
    fn a_key_that_was_kept_is_an_error_with_the_reason() {
        let retired = Retired { deleted: vec!["A".into()], kept: vec!["B stays.".into()] };
        assert!(was_deleted(&retired, "A").is_ok());
        assert_eq!(was_deleted(&retired, "B").unwrap_err().in_one_line(), "access key B was not deleted: B stays.");
        assert_eq!(was_deleted(&Retired::default(), "B").unwrap_err().in_one_line(), "access key B was not deleted");
    }
}
