use contract::{LOG_MESSAGE_FINISHED, Settings, SettingsError};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use tracing::{Instrument as _, Span, error, info, info_span};

use crate::{
    aws::Clients,
    error::Error,
    event::Request,
    rotation::{self, Rotation},
    time::TimeLimit,
};

/// What one process keeps between invocations.
#[derive(Debug)]
pub struct Handler {
    clients: Clients,
    /// A wrong environment is every invocation's error: one at start-up would reach nobody as text.
    settings: Result<Settings, SettingsError>,
}

impl Handler {
    /// Reads the environment and makes the clients.
    pub async fn from_environment() -> Self {
        Self {
            clients: Clients::from_environment().await,
            settings: Settings::from_env(|name| std::env::var(name).ok()),
        }
    }

    /// Answers one invocation.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<(), Diagnostic> {
        let (payload, context) = event.into_parts();
        let time = TimeLimit::start(context.deadline());
        let request = Request::parse(&payload);
        let span = span_of(request.as_ref().ok(), &context.request_id);
        report(self.take_step(request, time)).instrument(span).await
    }

    async fn take_step(&self, request: Result<Request, Error>, time: TimeLimit) -> Result<(), Error> {
        let request = request?;
        let settings = self.settings.as_ref().map_err(|error| Error::Settings(error.clone()))?;
        let rotation = Rotation { clients: &self.clients, settings, request: &request, time };
        // On the heap: as a part of main's future its layout is too deep for the compiler.
        time.bound(Box::pin(rotation::run(rotation))).await
    }
}

/// The fields of every line of the invocation, named as in [`contract`].
fn span_of(request: Option<&Request>, request_id: &str) -> Span {
    let Some(request) = request else { return info_span!("event", request_id) };
    info_span!("step", rotation_id = request.token, step = request.step.name(), request_id)
}

/// Ends an invocation with its one line.
async fn report(step: impl Future<Output = Result<(), Error>>) -> Result<(), Diagnostic> {
    match step.await {
        Ok(()) => {
            info!("{LOG_MESSAGE_FINISHED}");
            Ok(())
        }
        Err(error) => {
            error!(error = error.kind(), "{error}");
            Err(Diagnostic { error_type: error.kind().to_owned(), error_message: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{LOG_FIELD_ERROR, LOG_FIELD_LEVEL, LOG_FIELD_MESSAGE, LOG_FIELD_ROTATION, LOG_FIELD_STEP};
    use serde_json::json;

    use super::*;
    use crate::{event::Step, log::tests::lines};

    /// The lines of a step that ends so, and what Lambda is told.
    fn end(result: Result<(), Error>) -> (Vec<Value>, Result<(), Diagnostic>) {
        let request = Request { step: Step::Set, secret_arn: "arn".into(), token: "r-1".into(), rotation_token: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut answer = Ok(());
        let lines = lines(None, || {
            let span = span_of(Some(&request), "q-1");
            answer = runtime.block_on(report(async { result }).instrument(span));
        });
        (lines, answer)
    }

    #[test]
    fn a_finished_step_ends_with_the_line_that_the_deployer_looks_for() {
        let (lines, answer) = end(Ok(()));
        let expected = json!({
            LOG_FIELD_LEVEL: "INFO", LOG_FIELD_MESSAGE: LOG_MESSAGE_FINISHED, LOG_FIELD_ROTATION: "r-1",
            LOG_FIELD_STEP: "setSecret", "request_id": "q-1",
        });
        assert_eq!((lines, answer), (vec![expected], Ok(())));
    }

    #[test]
    fn a_failed_step_ends_with_one_line_that_says_what_lambda_is_told() {
        let (lines, answer) = end(Err(Error::DeadlineReached));
        let expected = json!({
            LOG_FIELD_LEVEL: "ERROR", LOG_FIELD_MESSAGE: Error::DeadlineReached.to_string(), LOG_FIELD_ERROR: "DeadlineReached",
            LOG_FIELD_ROTATION: "r-1", LOG_FIELD_STEP: "setSecret", "request_id": "q-1",
        });
        let told =
            Diagnostic { error_type: "DeadlineReached".into(), error_message: Error::DeadlineReached.to_string() };
        assert_eq!((lines, answer), (vec![expected], Err(told)));
    }
}
