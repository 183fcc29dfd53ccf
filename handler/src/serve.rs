use contract::{Answer, LOG_MESSAGE_FINISHED, Settings, SettingsError};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use tracing::{Instrument as _, Span, error, info, info_span};

use crate::{
    error::Error,
    event::{self, Payload, Request},
    events,
    invocation::{Invocation, Rotation},
    services::{aws::Clients, topic},
    steps,
    time::{Clock, TimeLimit},
};

/// Text of the last log line of an event that went well.
const ANSWERED: &str = "event answered";

/// What one process keeps between invocations.
#[derive(Debug)]
pub struct Handler {
    clients: Clients,
    /// A wrong environment is every invocation's error: one at start-up would reach nobody as text.
    settings: Result<Settings, SettingsError>,
    clock: Clock,
}

impl Handler {
    /// Reads the environment and makes the clients.
    pub async fn from_environment() -> Self {
        let settings = Settings::from_env(|name| std::env::var(name).ok());
        Self::new(Clients::from_environment().await, settings, Clock::System)
    }

    /// A handler with these clients.
    pub(crate) fn new(clients: Clients, settings: Result<Settings, SettingsError>, clock: Clock) -> Self {
        Self { clients, settings, clock }
    }

    /// Handles one invocation. A step returns null, an event what it asks for.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
        let (payload, context) = event.into_parts();
        let time = TimeLimit::start(self.clock, context.deadline());
        let payload = Payload::parse(&payload);
        let span = span_of(payload.as_ref().ok(), &context.request_id);
        let ending = Ending::of(payload.as_ref().ok());
        // On the heap: as a part of main's future its layout is too deep for the compiler.
        end(Box::pin(self.answer(payload, time)), ending).instrument(span).await
    }

    async fn answer(&self, payload: Result<Payload, Error>, time: TimeLimit) -> Result<Value, Error> {
        let payload = payload?;
        let settings = self.settings.as_ref().map_err(|error| Error::Settings(error.clone()))?;
        let invocation = Invocation { clients: &self.clients, settings, time };
        match payload {
            Payload::Step(request) => take_step(Rotation { invocation, request: &request }).await,
            // On the heap, as a step is.
            Payload::Event(event) => time.bound(Box::pin(events::run(&invocation, event))).await,
        }
    }
}

async fn take_step(rotation: Rotation<'_>) -> Result<Value, Error> {
    // On the heap, all of them: as a part of main's future its layout is too deep for the compiler.
    let time = &rotation.invocation.time;
    let Some(secret) = time.bound(Box::pin(steps::admit(&rotation))).await? else { return Ok(Value::Null) };
    let step = time.bound(Box::pin(steps::take(&rotation, &secret))).await;
    if let Err(error) = &step {
        Box::pin(topic::step_failed(&rotation, error)).await;
    }
    step.map(|()| Value::Null)
}

/// The fields of every line of the invocation, named as in [`contract`].
fn span_of(payload: Option<&Payload>, request_id: &str) -> Span {
    match payload {
        Some(Payload::Step(Request { token, step, .. })) => {
            info_span!("step", rotation_id = token, step = step.name(), request_id)
        }
        Some(Payload::Event(event)) => info_span!("event", event = event::name_of(event), request_id),
        None => info_span!("event", request_id),
    }
}

/// How an invocation ends.
#[derive(Clone, Copy, Debug)]
struct Ending {
    /// Text of the last line if all went well.
    finished: &'static str,
    /// Whether the invocation returns a refusal as its answer, instead of failing.
    answers_refusals: bool,
}

impl Ending {
    fn of(payload: Option<&Payload>) -> Self {
        let finished = if matches!(payload, Some(Payload::Event(_))) { ANSWERED } else { LOG_MESSAGE_FINISHED };
        Self { finished, answers_refusals: payload.is_some_and(event::is_asked) }
    }
}

/// Ends an invocation with its one line.
async fn end(work: impl Future<Output = Result<Value, Error>>, ending: Ending) -> Result<Value, Diagnostic> {
    let error = match work.await {
        Ok(answer) => {
            info!("{}", ending.finished);
            return Ok(answer);
        }
        Err(error) => error,
    };
    let refusal = error.refusal();
    error!(error = refusal.kind.name(), refusal = json!(refusal).to_string(), "{refusal}");
    if ending.answers_refusals {
        Ok(json!(Answer::<()>::Refused(refusal)))
    } else {
        Err(Diagnostic { error_type: refusal.kind.name().to_owned(), error_message: refusal.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fake_aws::{FakeAws, Fault},
        log::tests::lines,
    };
    use contract::{
        AWSCURRENT, AWSPENDING, DEPLOYING, Event, LOG_FIELD_ERROR, LOG_FIELD_LEVEL, LOG_FIELD_MESSAGE,
        LOG_FIELD_REFUSAL, LOG_FIELD_ROTATION, LOG_FIELD_STEP, Refusal, Step, TOLD,
    };

    /// A step that is refused by its guard, or that fails after it.
    async fn notified_of(aws: &FakeAws, secret_arn: Option<&str>) -> usize {
        let taken = aws.take(Step::Finish, async |rotation, _| {
            let secret_arn = secret_arn.unwrap_or(&rotation.request.secret_arn).to_owned();
            let request = Request { secret_arn, ..rotation.request.clone() };
            take_step(Rotation { request: &request, ..*rotation }).await.map(drop)
        });
        taken.await.unwrap_err();
        aws.published().len()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_invokes_a_step_that_may_not_be_taken_can_make_it_send_no_mail() {
        let pending =
            |labels: &[&str]| FakeAws::new().version("old", &[AWSCURRENT], "OLD").version("new", labels, "NEW").topic();
        let foreign = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCd12";
        assert_eq!(notified_of(&pending(&[AWSPENDING, DEPLOYING, TOLD]), Some(foreign)).await, 0);
        assert_eq!(notified_of(&pending(&[]), None).await, 0);
        assert_eq!(notified_of(&pending(&[AWSPENDING, DEPLOYING]), None).await, 0);
        let refused =
            pending(&[AWSPENDING, DEPLOYING, TOLD]).fault("UpdateSecretVersionStage", Fault::RefusedAs("AccessDenied"));
        assert_eq!(notified_of(&refused, None).await, 1);
    }

    fn step() -> Payload {
        let (secret_arn, token) = ("arn".into(), "r-1".into());
        Payload::Step(Request { step: Step::Set, secret_arn, token, rotation_token: None })
    }

    /// The lines of an invocation that ends so, and what Lambda is told.
    fn end_of(payload: &Payload, result: Result<Value, Error>) -> (Vec<Value>, Result<Value, Diagnostic>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut answer = Ok(Value::Null);
        let lines = lines(None, || {
            let span = span_of(Some(payload), "q-1");
            answer = runtime.block_on(end(async { result }, Ending::of(Some(payload))).instrument(span));
        });
        (lines, answer)
    }

    fn refusal() -> Refusal {
        Error::DeadlineReached.refusal()
    }

    #[test]
    fn a_finished_step_ends_with_the_line_that_the_deployer_looks_for() {
        let (lines, answer) = end_of(&step(), Ok(Value::Null));
        let expected = json!({
            LOG_FIELD_LEVEL: "INFO", LOG_FIELD_MESSAGE: LOG_MESSAGE_FINISHED, LOG_FIELD_ROTATION: "r-1",
            LOG_FIELD_STEP: "setSecret", "request_id": "q-1",
        });
        assert_eq!((lines, answer), (vec![expected], Ok(Value::Null)));
    }

    #[test]
    fn a_failed_step_ends_with_one_line_that_says_what_lambda_is_told() {
        let (lines, answer) = end_of(&step(), Err(Error::DeadlineReached));
        let expected = json!({
            LOG_FIELD_LEVEL: "ERROR", LOG_FIELD_MESSAGE: refusal().to_string(), LOG_FIELD_ERROR: "DeadlineReached",
            LOG_FIELD_REFUSAL: refusal(), LOG_FIELD_ROTATION: "r-1", LOG_FIELD_STEP: "setSecret", "request_id": "q-1",
        });
        let told = Diagnostic { error_type: "DeadlineReached".into(), error_message: refusal().to_string() };
        assert_eq!((lines, answer), (vec![expected], Err(told)));
    }

    #[test]
    fn what_the_deployer_asks_is_answered_with_the_refusal_which_is_in_the_log_too() {
        let leaked = Payload::Event(Event::Leaked { key: "AKIA".into() });
        let (lines, answer) = end_of(&leaked, Err(Error::DeadlineReached));
        assert_eq!(answer.unwrap(), json!({"refused": refusal()}));
        assert_eq!((lines.len(), &lines[0][LOG_FIELD_ERROR]), (1, &json!("DeadlineReached")));
        assert_eq!((&lines[0][LOG_FIELD_LEVEL], &lines[0]["event"]), (&json!("ERROR"), &json!("leaked")));
    }

    #[test]
    fn an_events_lines_name_it_and_no_rotation() {
        let (lines, told) = end_of(&Payload::Event(Event::Upkeep), Err(Error::DeadlineReached));
        assert_eq!((lines[0]["event"].as_str(), lines[0]["request_id"].as_str()), (Some("upkeep"), Some("q-1")));
        assert_eq!((lines.len(), lines[0].get(LOG_FIELD_ROTATION)), (1, None));
        assert!(told.is_err(), "nobody reads an answer of the daily rule, so that a failure has to count as one");
    }
}
