//! The one error of the deployer: what failed, why, and what to type next.

use std::{error::Error as StdError, fmt};

use aws_smithy_runtime_api::client::{
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What failed, why, and the next step. `Display` is one sentence; the screen renders the rest.
#[derive(Debug)]
pub(crate) struct Error {
    /// A sentence without a full stop that names the thing: "failed to create role mail-prod".
    pub(crate) what: String,
    /// The reason, once: AWS's code, message and request id, or the operating system's words.
    pub(crate) cause: Option<Cause>,
    /// The next command to type or line to change.
    pub(crate) hint: Option<String>,
}

/// Why something failed.
#[derive(Debug)]
pub(crate) enum Cause {
    /// AWS answered with an error.
    Aws {
        /// AWS's error code, as on the wire.
        code: String,
        /// AWS's message.
        message: String,
        /// AWS's request id, for its support.
        request_id: Option<String>,
    },
    /// No answer came, or none that can be read: whether the call took effect is unknown.
    NoAnswer(String),
    /// Anything else.
    Other(String),
}

impl Error {
    /// An error that is only its sentence.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None }
    }

    /// Adds a reason that does not come from AWS.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(Cause::Other(cause.to_string()));
        self
    }

    /// Adds the next step.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// AWS's error code, where AWS answered.
    #[must_use]
    pub(crate) fn code(&self) -> Option<&str> {
        match &self.cause {
            Some(Cause::Aws { code, .. }) => Some(code),
            _ => None,
        }
    }

    /// Whether AWS answered with this code and a message that contains `part`.
    #[must_use]
    pub(crate) fn is(&self, wanted: &str, part: &str) -> bool {
        matches!(&self.cause, Some(Cause::Aws { code, message, .. }) if code == wanted && message.contains(part))
    }

    /// Whether the same call may well succeed a moment later: no answer came, or AWS throttles.
    #[must_use]
    pub(crate) fn is_passing(&self) -> bool {
        const THROTTLED: [&str; 4] =
            ["Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"];
        self.is_ambiguous() || self.code().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// The sentence and its reason, where the error is only worth a note.
    #[must_use]
    pub(crate) fn in_one_line(&self) -> String {
        self.cause.as_ref().map_or_else(|| self.what.clone(), |cause| format!("{}: {cause}", self.what))
    }

    /// Whether it is unknown if the call took effect.
    #[must_use]
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self.cause, Some(Cause::NoAnswer(_)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws { code, message, request_id } => {
                write!(f, "{code}: {message}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Self::NoAnswer(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// Turns an SDK's result into ours.
pub(crate) trait FailedTo<T> {
    /// `what` completes "failed to …".
    fn failed_to(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E> FailedTo<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn failed_to(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| {
            let cause = cause_of(&error);
            let hint = hint_for(&cause);
            Error { what: format!("failed to {}", what()), cause: Some(cause), hint }
        })
    }
}

/// Looks a thing up: `Ok(None)` where AWS answers one of `absent`. Every other refusal, a denied
/// read above all, stays an error: it is never taken for "absent".
pub(crate) fn absent_is_none<T>(result: Result<T, Error>, absent: &[&str]) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code().is_some_and(|code| absent.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn cause_of<E>(error: &SdkError<E, HttpResponse>) -> Cause
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) if service.err().code().is_some() => Cause::Aws {
            code: service.err().code().unwrap_or_default().to_owned(),
            message: service.err().message().unwrap_or("(no message)").to_owned(),
            request_id: service
                .raw()
                .headers()
                .get("x-amzn-requestid")
                .or_else(|| service.raw().headers().get("x-amzn-request-id"))
                .map(str::to_owned),
        },
        SdkError::ServiceError(service) => not_aws(service.raw()),
        SdkError::ResponseError(response) => not_aws(response.raw()),
        SdkError::DispatchFailure(failure) => {
            let text = failure.as_connector_error().map_or_else(|| innermost(error), connector_text);
            Cause::NoAnswer(text)
        }
        SdkError::TimeoutError(_) => Cause::NoAnswer("no answer in time".to_owned()),
        _ => Cause::Other(innermost(error)),
    }
}

fn not_aws(response: &HttpResponse) -> Cause {
    Cause::NoAnswer(format!("the endpoint's answer is not one that AWS gives (HTTP {})", response.status().as_u16()))
}

fn connector_text(error: &ConnectorError) -> String {
    if error.is_timeout() { "no connection in time".to_owned() } else { innermost(error) }
}

/// The innermost source says what happened; the layers above only say "dispatch failure".
pub(crate) fn innermost(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn hint_for(cause: &Cause) -> Option<String> {
    match cause {
        Cause::Aws { code, message, .. } => match code.as_str() {
            "AccessDenied" | "AccessDeniedException" | "AuthorizationError"
                if message.contains("not authorized to perform") =>
            {
                Some("allow the action named above for these credentials, then run the command again")
            }
            "ExpiredToken" | "ExpiredTokenException" => {
                Some("the credentials have expired; sign in again (aws sso login)")
            }
            "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
                Some("the credentials are not valid here; check AWS_PROFILE and `aws sts get-caller-identity`")
            }
            _ => None,
        }
        .map(str::to_owned),
        Cause::NoAnswer(_) => {
            Some("check the network, the region's name and AWS_ENDPOINT_URL, then run the command again".to_owned())
        }
        Cause::Other(_) => None,
    }
}
