//! What AWS answered to a call that failed.

use std::{error::Error as StdError, fmt};

use aws_sdk_iam::operation::RequestId;
use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::SdkError},
    http::StatusCode,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::{DENIED, THROTTLED};

/// Longest text of AWS's that an error quotes, in characters.
const LONGEST_QUOTE: usize = 1000;

/// What AWS answered, or why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// AWS's error code, such as `AccessDeniedException`.
    pub(crate) code: Option<String>,
    /// AWS's message, or what went wrong on the way; in full, so that what it must not quote can be found in it.
    pub(crate) message: String,
    /// AWS's request id.
    pub(crate) request_id: Option<String>,
    /// AWS definitely refused the call: it had no effect. Otherwise it may have had one.
    pub(crate) refused: bool,
}

impl Cause {
    /// There is no answer, or none that can be used: the call may have had an effect.
    #[must_use]
    pub(crate) fn no_answer(problem: &str) -> Self {
        Self { code: None, message: problem.to_owned(), request_id: None, refused: false }
    }

    /// Whether AWS asks for fewer calls; it refused this one.
    #[must_use]
    pub(crate) fn is_throttling(&self) -> bool {
        self.refused && self.code.as_deref().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// Whether AWS says that the role may not do this.
    #[must_use]
    pub(crate) fn is_denied(&self) -> bool {
        self.code.as_deref().is_some_and(|code| DENIED.contains(&code))
    }

    /// Whether the code is this one.
    #[must_use]
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Cause
where
    E: StdError + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(HttpResponse::status);
        let refused = matches!(error, SdkError::ServiceError(_)) && status.is_some_and(StatusCode::is_client_error);
        let message = error.message().map_or_else(|| chain(&error), str::to_owned);
        Self {
            code: error.code().map(str::to_owned),
            message,
            request_id: error.as_service_error().and_then(RequestId::request_id).map(str::to_owned),
            refused,
        }
    }
}

/// What went wrong, from the outside in: the SDK's own `Display` shows the outermost part only.
fn chain(error: &dyn StdError) -> String {
    let inner = std::iter::successors(error.source(), |&error| error.source());
    inner.fold(error.to_string(), |text, error| {
        let part = error.to_string();
        if text.ends_with(&part) { text } else { format!("{text}: {part}") }
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        let quote: String = self.message.trim_end_matches('.').chars().take(LONGEST_QUOTE).collect();
        f.write_str(&quote)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}
