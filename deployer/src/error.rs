//! The one error of the deployer: what failed, why, and what to type next.

use std::{env, error::Error as StdError, fmt};

use aws_smithy_runtime_api::client::{
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::{Command, DENIED, Refusal, RefusalKind, THROTTLED, Text, text};
use schemars::JsonSchema;
use serde::Serialize;

/// What failed, why, and what to do next. `Display` is one sentence; the screen renders the rest.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    /// A sentence without a full stop that names the resource: "failed to create role mail-prod".
    pub(crate) what: String,
    /// The reason, once: AWS's code, message and request id, the function's own finding, or the operating system's words.
    pub(crate) cause: Option<Box<Cause>>,
    /// What to do next: the command to type, or the line to change.
    pub(crate) hints: Vec<Text>,
    /// The sort of error, if the cause does not tell it: [`Error::kind`] returns the one that counts.
    pub(crate) declared: ErrorKind,
}

/// The sorts of errors, for programs that read the output of `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    /// AWS, the file or the function changed since the plan: what is needed now was not approved.
    ChangedSincePlan,
    /// A mistake in the command line.
    CommandLine,
    /// The credentials are missing, expired, or of another account.
    Credentials,
    /// A person did not approve.
    Declined,
    /// AWS does not allow the call.
    Denied,
    /// Anything else.
    Failed,
    /// Ctrl-C, SIGTERM or SIGHUP ended the run where no call was under way.
    Interrupted,
    /// Another run holds the lease.
    LeaseHeld,
    /// No answer came, or none that can be read: whether the call took effect is unknown.
    NoAnswer,
    /// A resource of this name exists, and something else owns it.
    NotOurs,
    /// Something was changed, and then something failed.
    Partial,
    /// The deployment is protected from deletion.
    Protected,
    /// The function refused.
    Refused,
    /// A rotation failed, did not end, or would fail.
    RotationFailed,
    /// An open rotation is in the way.
    RotationOpen,
    /// Something could not be read, for another reason than a denial or a lost answer.
    Unread,
}

/// Why something failed.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// AWS returned an error.
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
    /// The function refused. Its next steps are among the error's hints.
    Function(RefusalKind, String),
    /// Anything else.
    Other(String),
}

impl Error {
    /// An error that is only its sentence.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hints: Vec::new(), declared: ErrorKind::Failed }
    }

    /// Sets the sort of error, if the cause does not tell it.
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.declared = kind;
        self
    }

    /// Adds AWS's reason, which did not come as an error of the SDK.
    #[must_use]
    pub(crate) fn aws(mut self, code: Option<String>, message: Option<String>) -> Self {
        let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
        self.cause = Some(Box::new(Cause::Aws { code, message, request_id: None }));
        self
    }

    /// Adds a reason that does not come from AWS.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(Box::new(Cause::Other(cause.to_string())));
        self
    }

    /// Adds the function's reason, and its next steps as hints.
    #[must_use]
    pub(crate) fn refused(mut self, refusal: &Refusal) -> Self {
        self.cause = Some(Box::new(Cause::Function(refusal.kind, refusal.finding())));
        self.hints.extend(refusal.next.iter().cloned());
        self
    }

    /// Adds a next step.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Text>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the error, unless another one of the same sentence is there: several resources may have met it.
    pub(crate) fn push_new(self, errors: &mut Vec<Self>) {
        if errors.iter().all(|other| other.what != self.what) {
            errors.push(self);
        }
    }

    /// Whether a call failed, and not what the deployer made of its answer.
    pub(crate) fn cause_is_aws(&self) -> bool {
        matches!(self.cause.as_deref(), Some(Cause::Aws { .. } | Cause::NoAnswer(_)))
    }

    /// The sort of error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self.cause.as_deref() {
            Some(Cause::NoAnswer(_)) => ErrorKind::NoAnswer,
            Some(Cause::Aws { code, .. }) if DENIED.contains(&code.as_str()) => ErrorKind::Denied,
            Some(Cause::Aws { code, .. }) if EXPIRED.contains(&code.as_str()) || INVALID.contains(&code.as_str()) => {
                ErrorKind::Credentials
            }
            Some(Cause::Function(..)) if self.declared == ErrorKind::Failed => ErrorKind::Refused,
            _ => self.declared,
        }
    }

    /// AWS's error code, or the name of the function's refusal.
    #[must_use]
    pub(crate) fn code(&self) -> Option<&str> {
        match self.cause.as_deref() {
            Some(Cause::Aws { code, .. }) => Some(code),
            Some(Cause::Function(kind, _)) => Some(kind.name()),
            _ => None,
        }
    }

    /// Whether AWS returned this code and a message that contains `part`.
    #[must_use]
    pub(crate) fn is(&self, wanted: &str, part: &str) -> bool {
        matches!(self.cause.as_deref(), Some(Cause::Aws { code, message, .. }) if code == wanted && message.contains(part))
    }

    /// Whether the same call may succeed a moment later: no answer came, or AWS throttles.
    #[must_use]
    pub(crate) fn is_passing(&self) -> bool {
        self.is_ambiguous() || self.code().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// The sentence and its reason, for an error that is only worth a note.
    #[must_use]
    pub(crate) fn in_one_line(&self) -> String {
        self.cause.as_ref().map_or_else(|| self.what.clone(), |cause| format!("{}: {cause}", self.what))
    }

    /// Whether it is unknown if the call took effect.
    #[must_use]
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self.cause.as_deref(), Some(Cause::NoAnswer(_)))
    }
}

const EXPIRED: [&str; 2] = ["ExpiredToken", "ExpiredTokenException"];
const TIMES: [&str; 2] = ["Signature expired", "Signature not yet current"];
const INVALID: [&str; 4] =
    ["InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException"];
/// A request that AWS got too long after, or before, the time that it bears.
const OUT_OF_TIME: [&str; 2] = ["RequestExpired", "RequestTimeTooSkewed"];

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
            Self::Function(kind, finding) => write!(f, "{kind}: {finding}"),
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
            let hints = hint_for(&cause).into_iter().collect();
            Error {
                what: format!("failed to {}", what()),
                cause: Some(Box::new(cause)),
                hints,
                declared: ErrorKind::Failed,
            }
        })
    }
}

/// The result of reading a resource: `Ok(None)` if AWS returns one of the codes in `absent`. Every other refusal stays an
/// error: a denied read is never "absent".
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
    Cause::NoAnswer(format!("the endpoint does not answer as AWS does (HTTP {})", response.status().as_u16()))
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

fn hint_for(cause: &Cause) -> Option<Text> {
    match cause {
        Cause::Aws { code, message, .. } => match code.as_str() {
            code if DENIED.contains(&code) && message.contains("service control policy") => Some(
                "a service control policy of your organisation denies it, and no permission in this account changes that: ask who \
                 administers the organisation"
                    .into(),
            ),
            code if DENIED.contains(&code) && message.contains("not authorized to perform") => {
                let action = message.split("to perform: ").nth(1).and_then(|rest| rest.split_whitespace().next());
                let action = action.unwrap_or("the action");
                Some(format!("allow {action} for these credentials, then run the command again").into())
            }
            code if EXPIRED.contains(&code) => Some(text![
                "the credentials have expired; sign in again, for example with ",
                Command::aws(&["sso", "login"])
            ]),
            code if OUT_OF_TIME.contains(&code)
                || INVALID.contains(&code) && TIMES.iter().any(|words| message.contains(words)) =>
            {
                Some("this machine's clock is wrong, and AWS takes no request of another time: set the clock".into())
            }
            code if INVALID.contains(&code) => Some(text![
                "the credentials are not valid here; check AWS_PROFILE and ",
                Command::aws(&["sts", "get-caller-identity"]),
                ". If they are valid in other regions, enable this region for the account"
            ]),
            "RegionDisabledException" => {
                Some("enable the region for the account (IAM, Account settings), or name another region".into())
            }
            code if THROTTLED.contains(&code) => {
                Some("AWS throttles the calls of this account: run the command again in a minute".into())
            }
            // "User policy size can't exceed 2,048 characters", all inline policies together, and no quota raises it (IAM guide, "IAM and AWS
            // STS quotas").
            code if is_quota(code) && message.contains("policy size") => Some(
                "IAM limits the inline policies of a user or a role together, and no quota raises that: make another inline policy of it \
                 shorter, or a managed policy that is attached, or let the file name fewer resources; then run the command again"
                    .into(),
            ),
            code if is_quota(code) && is_of_tags(code, message) => Some(
                "AWS limits the tags of a resource, and no quota raises that: take tags of the resource away that nobody needs, or write \
                 fewer under tags; then run the command again"
                    .into(),
            ),
            code if is_quota(code) => Some(
                "a quota of the account is used up: delete what nobody needs, or ask AWS for more (Service Quotas), then run the command again"
                    .into(),
            ),
            _ => None,
        },
        Cause::NoAnswer(text) if text.contains("UnknownIssuer") => Some(
            "something between here and AWS answers with a certificate of its own, such as a company's proxy: let AWS_CA_BUNDLE name the \
             file with the certificate of its authority. Or this machine has no certificates of authorities: install ca-certificates"
                .into(),
        ),
        Cause::NoAnswer(text) if NOT_VALID_NOW.iter().any(|words| text.contains(words)) => Some(
            "the certificate is not valid now: check this machine's clock, and what answers in the place of AWS, such as a proxy".into(),
        ),
        Cause::NoAnswer(_) => {
            let value_of = |name: &str| env::var(name).ok();
            let proxy = proxy_variable(value_of).map(|name| (name, value_of(name).unwrap_or_default()));
            Some(check_the_network(proxy.as_ref().map(|(name, value)| (*name, value.as_str()))).into())
        }
        Cause::Function(..) | Cause::Other(_) => None,
    }
}

/// How rustls says that a certificate is of another time.
const NOT_VALID_NOW: [&str; 4] =
    ["certificate: Expired", "certificate: NotValidYet", "certificate expired", "certificate not valid yet"];

/// Whether the code says that the account may have no more of something. Each service has a code of its own.
fn is_quota(code: &str) -> bool {
    const OTHERS: [&str; 2] = ["CodeStorageExceededException", "ServiceQuotaExceededException"];
    let code_of_limit = code.strip_suffix("Exception").unwrap_or(code);
    code_of_limit.ends_with("LimitExceeded") || OTHERS.contains(&code)
}

/// IAM says it in words (`Cannot exceed quota for TagsPerUser: 50`), and SNS has a code of its own.
fn is_of_tags(code: &str, message: &str) -> bool {
    code.starts_with("TagLimitExceeded") || message.contains("TagsPer")
}

/// `proxy`: the variable that names it, and the variable's value, of which a password is not shown.
fn check_the_network(proxy: Option<(&str, &str)>) -> String {
    let places = match proxy {
        None => "the region's name and AWS_ENDPOINT_URL".to_owned(),
        Some((name, value)) => format!(
            "the region's name, AWS_ENDPOINT_URL, and the proxy {} of {name} (NO_PROXY lists the hosts that are reached without it)",
            value.rsplit('@').next().unwrap_or_default()
        ),
    };
    format!("check the network, {places}, then run the command again")
}

/// The variable that sends calls of AWS through a proxy, in the client's order. HTTP_PROXY is for an endpoint without TLS.
fn proxy_variable(value_of: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is_plain = value_of("AWS_ENDPOINT_URL").is_some_and(|url| url.starts_with("http://"));
    let own = if is_plain { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let names = own.into_iter().chain(["ALL_PROXY", "all_proxy"]);
    names.into_iter().find(|name| value_of(name).is_some_and(|value| !value.trim().is_empty()))
}

/// The result's value; keeps its error, once even if several reads failed with it.
pub(crate) fn value_or_keep<T>(result: Result<T, Error>, unread: &mut Vec<Error>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(error) => {
            error.push_new(unread);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_an_answer_names_the_variable_of_the_proxy_and_not_its_value() {
        let with =
            |set: &'static str| proxy_variable(move |name| (name == set).then(|| "http://me:secret@proxy".into()));
        assert_eq!(with("HTTPS_PROXY"), Some("HTTPS_PROXY"));
        assert_eq!(with("HTTP_PROXY"), None, "the calls of AWS use TLS");
        assert_eq!(proxy_variable(|_| Some(" ".into())), None);
        let hint = check_the_network(Some(("HTTPS_PROXY", "http://me:secret@proxy:3128")));
        assert!(hint.contains("the proxy proxy:3128 of HTTPS_PROXY") && !hint.contains("secret"), "{hint}");
        assert!(check_the_network(None).contains("AWS_ENDPOINT_URL, then run"));
    }

    #[test]
    fn a_clock_that_is_wrong_is_not_called_wrong_credentials() {
        let hint = |message: &str| {
            let (code, message) = ("SignatureDoesNotMatch".to_owned(), message.to_owned());
            hint_for(&Cause::Aws { code, message, request_id: None }).unwrap().to_string()
        };
        let expired = "Signature expired: 20261128T000000Z is now earlier than 20261128T060000Z";
        assert!(hint(expired).contains("set the clock"));
        assert!(hint("The request signature we calculated does not match").contains("AWS_PROFILE"));
        let of_code = |code: &str| {
            let cause = Cause::Aws { code: code.to_owned(), message: expired.to_owned(), request_id: None };
            hint_for(&cause).unwrap().to_string()
        };
        for code in ["InvalidSignatureException", "RequestExpired"] {
            assert!(of_code(code).contains("set the clock"), "{code}");
        }
    }

    #[test]
    fn a_throttled_call_a_quota_and_a_foreign_certificate_are_told_what_helps() {
        let throttled =
            Cause::Aws { code: "ThrottlingException".into(), message: "Rate exceeded".into(), request_id: None };
        assert!(hint_for(&throttled).unwrap().to_string().contains("again in a minute"));
        for code in
            ["LimitExceeded", "LimitExceededException", "ParameterLimitExceeded", "CodeStorageExceededException"]
        {
            let used_up = Cause::Aws { code: code.into(), message: String::new(), request_id: None };
            assert!(hint_for(&used_up).unwrap().to_string().contains("quota"), "{code}");
        }
        let foreign = Cause::NoAnswer("invalid peer certificate: UnknownIssuer".into());
        assert!(hint_for(&foreign).unwrap().to_string().contains("AWS_CA_BUNDLE"));
    }

    #[test]
    fn a_limit_that_no_quota_raises_is_told_with_what_else_helps() {
        let hint = |code: &str, message: &str| {
            let cause = Cause::Aws { code: code.into(), message: message.into(), request_id: None };
            hint_for(&cause).unwrap().to_string()
        };
        for message in [
            "Maximum policy size of 2048 bytes exceeded for user m",
            "Maximum policy size of 10240 bytes exceeded for role r",
        ] {
            let said = hint("LimitExceeded", message);
            assert!(said.contains("inline polic") && !said.contains("ask AWS"), "{said}");
        }
        for (code, message) in
            [("TagLimitExceededException", "too many"), ("LimitExceeded", "Cannot exceed quota for TagsPerUser: 50")]
        {
            let said = hint(code, message);
            assert!(said.contains("fewer under tags") && !said.contains("ask AWS"), "{said}");
        }
        assert!(hint("LimitExceeded", "Cannot exceed quota for UsersPerAccount: 5000").contains("Service Quotas"));
    }

    #[test]
    fn who_is_denied_by_a_service_control_policy_is_not_told_to_allow_the_action() {
        let denied = "User: arn:aws:iam::123456789012:user/a is not authorized to perform: iam:CreateRole on resource: r with an \
                      explicit deny";
        let hint = |message: String| {
            let cause = Cause::Aws { code: "AccessDenied".to_owned(), message, request_id: None };
            hint_for(&cause).unwrap().to_string()
        };
        assert!(hint(format!("{denied} in a service control policy")).contains("administers the organisation"));
        assert!(hint(format!("{denied} in an identity-based policy")).starts_with("allow iam:CreateRole for"));
    }

    #[test]
    fn an_error_that_several_reads_met_is_kept_once() {
        let mut unread = Vec::new();
        for what in ["failed to read role r", "failed to read role r", "failed to read user u"] {
            assert!(value_or_keep(Err::<(), _>(Error::new(what)), &mut unread).is_none());
        }
        assert_eq!(value_or_keep(Ok(1), &mut unread), Some(1));
        assert_eq!(unread.len(), 2);
    }
}
