//! Rotations as Secrets Manager runs them, and the function as anybody invokes it.

use std::time::{Duration, Instant};

use aws_sdk_lambda::primitives::Blob;
use contract::{Answer, Event};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    controls::{Retry, Rotations},
    deployed::{Deployed, GRACE},
    example::{FUNCTION, SECRET, USER},
    faults::Fault,
};

pub(crate) const CREATE: &str = "createSecret";
pub(crate) const SET: &str = "setSecret";
pub(crate) const TEST: &str = "testSecret";
pub(crate) const FINISH: &str = "finishSecret";

/// Longer than a whole window of a rotation whose every login has to wait.
const PATIENCE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(100);

/// A rotation with all its attempts, as Secrets Manager ran it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rotation {
    /// The version.
    pub(crate) token: String,
    pub(crate) status: Status,
    /// Oldest first.
    pub(crate) history: Vec<Entry>,
}

/// How far a rotation is, in the sandbox's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    /// It waits before a step, as the test wants it.
    Held,
    Complete,
    /// Rotation was enabled without rotating, and testSecret passed.
    Tested,
    /// It is open.
    Failed,
    /// It failed, and somebody had ended it.
    Abandoned,
}

/// A step that was taken.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) token: String,
    pub(crate) step: String,
    pub(crate) error_type: Option<String>,
    pub(crate) error: Option<String>,
}

/// The function's error.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Failure {
    /// The command in the error's text that contains this part.
    #[track_caller]
    pub(crate) fn command(&self, part: &str) -> String {
        let mut quoted = self.text.split('`').skip(1).step_by(2);
        quoted.find(|command| command.contains(part)).unwrap_or_else(|| panic!("no `{part}` in {self:?}")).to_owned()
    }

    /// The command in the error's text that deletes this key.
    #[track_caller]
    pub(crate) fn command_to_delete(&self, key: &str) -> String {
        self.command(&format!("delete-access-key --user-name {USER} --access-key-id {key}"))
    }

    /// Fails the test unless the text has all of these parts.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in {self:?}");
        }
    }
}

impl Rotation {
    /// Fails the test unless the rotation ended in this step with this error, and is open. Returns the error.
    #[track_caller]
    pub(crate) fn failed(&self, step: &str, kind: &str) -> Failure {
        assert_eq!(self.status, Status::Failed, "{self:#?}");
        self.ended_with(step, kind)
    }

    /// Fails the test unless the rotation ended in this step with this error. Returns the error.
    #[track_caller]
    pub(crate) fn ended_with(&self, step: &str, kind: &str) -> Failure {
        let last = self.history.last().unwrap();
        assert_eq!((&*last.step, last.error_type.as_deref()), (step, Some(kind)), "{self:#?}");
        self.last_error().unwrap()
    }

    /// The error of the last step.
    pub(crate) fn last_error(&self) -> Option<Failure> {
        let last = self.history.last()?;
        Some(Failure { kind: last.error_type.clone()?, text: last.error.clone()? })
    }

    /// Every step and the type of its error, in order.
    pub(crate) fn errors(&self) -> Vec<(&str, Option<&str>)> {
        self.history.iter().map(|entry| (&*entry.step, entry.error_type.as_deref())).collect()
    }
}

/// Rotations.
impl Deployed {
    /// Begins a rotation, once the grace of the rotation before is over. Returns the version.
    pub(crate) async fn begin(&self) -> String {
        // Dates count from whole seconds.
        tokio::time::sleep(GRACE + Duration::from_millis(200)).await;
        self.aws.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap().version_id.unwrap()
    }

    /// Begins a rotation, and waits for its end.
    pub(crate) async fn rotate(&self) -> Rotation {
        self.begin().await;
        self.ended().await
    }

    /// Has a rotation fail at a call of the function that AWS refuses.
    pub(crate) async fn rotation_fails_at(&self, action: &str) {
        self.sandbox.faults(&[Fault::refuse(action, "InvalidRequestException").by_the_function().times(9)]);
        let rotation = self.rotate().await;
        assert_eq!(rotation.status, Status::Failed, "{rotation:#?}");
        self.sandbox.end_faults();
    }

    /// Has a rotation fail after the host was told, before AWSCURRENT moves.
    pub(crate) async fn rotation_fails_after_the_host_was_told(&self) {
        self.rotation_fails_at("secretsmanager:UpdateSecretVersionStage").await;
    }

    /// Has Secrets Manager try the open rotation again, as in its next window.
    pub(crate) async fn try_again(&self) -> Rotation {
        self.sandbox.control(&Retry {});
        self.ended().await
    }

    /// Fails the test unless a rotation completes, and mail works afterwards.
    pub(crate) async fn completes(&self) -> Rotation {
        let rotation = self.rotate().await;
        self.has_completed(rotation).await
    }

    /// Fails the test unless the open rotation completes when it is tried again, and mail works afterwards.
    pub(crate) async fn completes_when_tried_again(&self) -> Rotation {
        let rotation = self.try_again().await;
        self.has_completed(rotation).await
    }

    /// Waits for the end of the rotation that runs; fails the test unless it has completed, and mail works.
    pub(crate) async fn completes_by_itself(&self) -> Rotation {
        let rotation = self.ended().await;
        self.has_completed(rotation).await
    }

    /// Fails the test unless the rotation has completed, every host was told, and mail works.
    pub(crate) async fn has_completed(&self, rotation: Rotation) -> Rotation {
        assert_eq!(rotation.status, Status::Complete, "{rotation:#?}");
        assert_eq!(self.labelled("AWSCURRENT").await.as_ref(), Some(&rotation.token));
        let key = self.key_labelled("AWSCURRENT").await;
        for instance in self.instances().await {
            assert_eq!(self.key_on(&instance), Some(key.clone()), "{instance} was not told");
        }
        self.mail_works().await;
        rotation
    }

    /// Waits for the end of the last rotation.
    pub(crate) async fn ended(&self) -> Rotation {
        let goes_on = |rotation: &Rotation| matches!(rotation.status, Status::Running | Status::Held);
        self.wait_for("the rotation's end", || Some(self.last_rotation()).filter(|rotation| !goes_on(rotation))).await
    }

    /// Begins a rotation that waits before this step. Returns the version.
    pub(crate) async fn held_before(&self, step: &'static str) -> String {
        self.sandbox.control(&Rotations { hold_before: Some(step), ..Rotations::default() });
        let token = self.begin().await;
        self.wait_for("the held rotation", || {
            let rotation = self.last_rotation();
            assert!(matches!(rotation.status, Status::Running | Status::Held), "{rotation:#?}");
            (rotation.status == Status::Held).then_some(())
        })
        .await;
        token
    }

    /// Lets held rotations go on.
    pub(crate) fn release(&self) {
        self.sandbox.control(&Rotations { hold_before: Some(""), ..Rotations::default() });
    }

    pub(crate) fn last_rotation(&self) -> Rotation {
        self.sandbox.state().rotations.pop().unwrap()
    }

    /// Waits until a fault holds so many calls of an action.
    pub(crate) async fn held_calls(&self, action: &str, number: usize) {
        let held = || self.sandbox.state().held_calls.iter().filter(|call| *call == action).count();
        self.wait_for("the held calls", || (held() == number).then_some(())).await;
    }

    /// Waits until the deployer has read the log of a held rotation since, twice.
    pub(crate) async fn is_looked_at(&self, since: usize) {
        let looks =
            || self.sandbox.calls()[since..].iter().filter(|call| call.name() == "logs:FilterLogEvents").count();
        self.wait_for("the deployer's looks at the log", || (looks() > 1).then_some(())).await;
    }

    async fn wait_for<T>(&self, what: &str, condition: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// An event of Secrets Manager's for the function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StepEvent<'a> {
    pub(crate) step: &'a str,
    pub(crate) secret_id: &'a str,
    pub(crate) client_request_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rotation_token: Option<&'a str>,
}

/// The function's error, as Lambda returns it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LambdaError {
    error_type: String,
    error_message: String,
}

/// The function.
impl Deployed {
    /// Takes one step, beside Secrets Manager.
    pub(crate) async fn step(&self, step: &str, token: &str) -> Result<(), Failure> {
        let secret = self.arn().await;
        let event = StepEvent { step, secret_id: &secret, client_request_token: token, rotation_token: None };
        self.invoke(&event).await.map(drop)
    }

    /// What the function answers to a question: what was asked for, or its refusal.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, event: &Event) -> Result<T, Failure> {
        let returned = self.invoke(event).await?;
        match serde_json::from_value(returned).unwrap() {
            Answer::Done(answer) => Ok(answer),
            Answer::Refused(refusal) => {
                Err(Failure { kind: refusal.kind.name().to_owned(), text: refusal.to_string() })
            }
        }
    }

    pub(crate) async fn invoke(&self, event: &impl Serialize) -> Result<Value, Failure> {
        let payload = Blob::new(serde_json::to_vec(event).unwrap());
        let response = self.aws.lambda.invoke().function_name(FUNCTION).payload(payload).send().await.unwrap();
        let payload = response.payload.unwrap_or_else(|| Blob::new("null")).into_inner();
        if response.function_error.is_none() {
            return Ok(serde_json::from_slice(&payload).unwrap());
        }
        let error: LambdaError = serde_json::from_slice(&payload).unwrap();
        Err(Failure { kind: error.error_type, text: error.error_message })
    }
}
