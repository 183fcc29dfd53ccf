//! What the deployer asks the function beside the steps of a rotation: how everything stands, and to delete a key after it has
//! judged that key itself. No question and no answer holds a secret.

use std::time::Duration;

use aws_sdk_lambda::{
    config::{Builder, timeout::TimeoutConfig},
    error::SdkError,
    operation::invoke::InvokeError,
    primitives::Blob,
    types::ThrottleReason,
};
use contract::{
    AWSCURRENT, Answer, Command, DEPLOYING, Denial, Event, KeyReport, KeyVerdict, Next, Refusal, RefusalKind, Report,
    Retired, TOLD, Text, VersionReport, text,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    aws::Aws,
    changes,
    deployment::{Deployment, names::Names},
    engine::{
        events::Progress,
        eventually::{CONSISTENT_WITHIN, eventually},
    },
    error::{Error, ErrorKind, FailedTo as _},
    rotation::retirement,
};

/// How everything stands, and what a rotation would do now. With `logins`, also what SES says to every labelled
/// credential; that takes seconds.
pub(crate) async fn report(aws: &Aws, deployment: &Deployment, logins: bool) -> Result<Report, Error> {
    invoke(aws, deployment, &Event::Report { logins }).await
}

/// What the function's report tells a person.
#[derive(Default)]
pub(crate) struct Notes {
    /// The report itself; none if there is none.
    pub(crate) report: Option<Report>,
    /// What has to be attended to.
    pub(crate) standing: Vec<Text>,
    /// Which keys go soon.
    pub(crate) retirements: Vec<Text>,
    /// Why the function could not be asked, if it is there.
    pub(crate) unread: Option<Error>,
}

impl Notes {
    /// What has to be attended to, or a note that this is not known.
    pub(crate) fn standing_or_unknown(&self) -> Vec<Text> {
        let unknown = |error: &Error| {
            let why = error.in_one_line();
            let unknown = format!("how the secret's fields stand, and which access keys go soon, is not known: {why}");
            // What else is in the way, the function's own resource tells.
            let ways = if error.code() == Some(NO_GRANT) { error.hints.clone() } else { Vec::new() };
            Text::join([unknown.into()].into_iter().chain(ways), ". ")
        };
        self.standing.iter().cloned().chain(self.unread.iter().map(unknown)).collect()
    }

    /// Why no rotation can run, whatever the resources are: Lambda does not start the function.
    pub(crate) fn does_not_start(&self) -> Option<Error> {
        let unread = self.unread.as_ref().filter(|error| error.code().is_some_and(|code| NO_START.contains(&code)))?;
        let error = Error::new("no rotation can run: Lambda does not start the function").cause(unread.in_one_line());
        Some(unread.hints.iter().cloned().fold(error, Error::hint))
    }
}

/// What the function's report tells a person. Nothing if the function is not there yet.
pub(crate) async fn notes(aws: &Aws, deployment: &Deployment) -> Notes {
    match report(aws, deployment, false).await {
        Ok(report) => Notes {
            retirements: retirement::coming(
                &report,
                report.keep_inactive().unwrap_or(deployment.config.rotation.keep_inactive),
            ),
            standing: report.notes.clone(),
            report: Some(report),
            unread: None,
        },
        Err(error) if error.code() == Some("ResourceNotFoundException") => Notes::default(),
        Err(error) => Notes { unread: Some(error.of_kind(ErrorKind::Unread)), ..Notes::default() },
    }
}

/// Nobody can ask the function: somebody deleted it, or the file gives it another name than the last apply (`before`).
pub(crate) fn is_not_there(function: &str, before: Option<&str>) -> Error {
    match before.filter(|before| *before != function) {
        Some(before) => Error::new(format!("failed to ask function {function}: it is not made yet"))
            .of_kind(ErrorKind::Unread)
            .cause(format!("the last apply made function {before}, which still rotates the credential"))
            .hint(text![Command::deployer("apply"), format!(" makes it, and deletes {before}")])
            .hint("or give it its name of before, under names.function"),
        None => Error::new(format!("failed to ask function {function}: it was deleted"))
            .of_kind(ErrorKind::Unread)
            .hint(text!["run ", Command::deployer("apply"), ", which makes the function again"]),
    }
}

/// As [`wait_until_allowed`]. A value that only a person can correct is refused: the deployer does not read it, and a rotation would only
/// fail. Whatever else is in the way of a rotation, the rotation itself tells.
pub(crate) async fn wait_until_ready(aws: &Aws, deployment: &Deployment, progress: &Progress) -> Result<(), Error> {
    let report = wait_until_allowed(aws, deployment, progress).await?;
    match report.as_ref().and_then(unusable_value) {
        Some(refusal) => Err(is_not_enabled(&deployment.names.secret, refusal)),
        None => Ok(()),
    }
}

/// Asks the function how everything stands until IAM no longer denies it anything: a policy that was just written may not be in force yet.
/// None if it cannot say.
pub(crate) async fn wait_until_allowed(
    aws: &Aws,
    deployment: &Deployment,
    progress: &Progress,
) -> Result<Option<Report>, Error> {
    let is_denied = |error: &Error| error.kind() == ErrorKind::Refused;
    eventually(progress, CONSISTENT_WITHIN, is_denied, || async {
        match report(aws, deployment, false).await {
            Ok(report) => match denials(&report).into_iter().next() {
                Some(denied) => Err(is_not_allowed(deployment, &denied)),
                None => Ok(Some(report)),
            },
            // The report itself failed: then the function has only AWS's words, which begin with AWS's code.
            Err(error) if error.kind() == ErrorKind::Refused && is_denial(&error.in_one_line()) => {
                Err(is_not_allowed(deployment, &error.in_one_line()))
            }
            // Who may not invoke the function may not enable the rotation either.
            Err(error) if error.kind() == ErrorKind::Denied => Err(error),
            Err(_) => Ok(None),
        }
    })
    .await
}

/// Why the secret's value cannot be rotated: its shape, or the user that it names.
fn unusable_value(report: &Report) -> Option<&Refusal> {
    match &report.next {
        Next::Fail { refusal }
            if matches!(refusal.kind, RefusalKind::MalformedSecret | RefusalKind::SecretOfAnotherUser) =>
        {
            Some(refusal)
        }
        _ => None,
    }
}

fn is_not_enabled(secret: &str, refusal: &Refusal) -> Error {
    let error = Error::new(format!("the rotation of secret {secret} was not enabled: its value cannot be rotated"));
    let error = error.of_kind(ErrorKind::RotationFailed).cause(refusal.finding());
    refusal.next.iter().fold(error, |error, next| error.hint(next.clone()))
}

/// What IAM denied the function while it made the report.
fn denials(report: &Report) -> Vec<String> {
    match &report.denied {
        Some(denied) => denied.iter().map(|Denial { action, cause }| format!("{action} failed: {cause}")).collect(),
        None => denials_in_words(report).collect(),
    }
}

/// An older function has the denials only in its sentences, with AWS's code in them.
fn denials_in_words(report: &Report) -> impl Iterator<Item = String> {
    let next = match &report.next {
        Next::Fail { refusal } => Some(refusal.finding()),
        _ => None,
    };
    let versions = report.versions.iter().filter_map(|version| version.problem.clone());
    let keys = report.keys.iter().filter_map(|key| match &key.verdict {
        KeyVerdict::MustStay { reason, .. } => Some(reason.clone()),
        KeyVerdict::MayGo(_) => None,
    });
    let hosts = report.hosts.iter().map(|host| host.status.clone());
    let notes = report.notes.iter().map(ToString::to_string);
    next.into_iter().chain(versions).chain(keys).chain(hosts).chain(notes).filter(|text| is_denial(text))
}

/// IAM's code, and that of the services that speak JSON.
fn is_denial(text: &str) -> bool {
    text.contains("AccessDenied")
}

fn is_not_allowed(deployment: &Deployment, denied: &str) -> Error {
    let error = Error::new(format!("function {} may not do what a rotation needs", deployment.names.function));
    let error = error.of_kind(ErrorKind::Refused).cause(denied);
    match &deployment.config.function.role {
        Some(role) => error.hint(role_is_yours(role)),
        None => error.hint(text![
            "find out what denies it (a permissions boundary, a service control policy, or the key's policy), then run ",
            Command::deployer("apply"),
            " again"
        ]),
    }
}

/// No apply changes a role that the file names.
fn role_is_yours(role: &str) -> Text {
    text![
        format!("the file names role {role}, which no apply changes: give it the policy that "),
        Command::deployer("policy --for function"),
        " prints, and find out whether anything denies it"
    ]
}

/// Has the function delete a key that a crashed createSecret left behind.
pub(crate) async fn delete_orphan(aws: &Aws, deployment: &Deployment, key: &str) -> Result<(), Error> {
    changes::begin();
    let retired = invoke(aws, deployment, &Event::Retire { orphan: Some(key.to_owned()) }).await?;
    was_deleted(&retired, key)
}

/// Has the function delete a key that leaked.
pub(crate) async fn delete_leaked(aws: &Aws, deployment: &Deployment, key: &str) -> Result<(), Error> {
    changes::begin();
    let retired = invoke(aws, deployment, &Event::Leaked { key: key.to_owned() }).await?;
    was_deleted(&retired, key)
}

/// The report on one of the user's keys.
pub(crate) fn find_key<'a>(report: &'a Report, id: &str) -> Result<&'a KeyReport, Error> {
    report.keys.iter().find(|key| key.key == id).ok_or_else(|| {
        naming(report, id).map_or_else(|| is_of_another_user(report, id), |version| was_deleted_before(version, id))
    })
}

fn is_of_another_user(report: &Report, id: &str) -> Error {
    let keys: Vec<_> = report.keys.iter().map(|key| key.key.as_str()).collect();
    let has = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
    Error::new(format!("the IAM user {} has no access key {id}", report.user))
        .of_kind(ErrorKind::Refused)
        .cause(format!("its access keys: {has}"))
        .hint("it may be deleted already, or be another user's")
        .hint(text![
            "if it is of this account, its user is in the answer of ",
            Command::aws(&["iam", "get-access-key-last-used", "--access-key-id", id])
        ])
}

/// The labelled version that names a key; AWSCURRENT's, if that one does.
fn naming<'a>(report: &'a Report, key: &str) -> Option<&'a VersionReport> {
    let names = |version: &&VersionReport| version.key.as_deref() == Some(key);
    report.labelled(AWSCURRENT).filter(names).or_else(|| report.versions.iter().find(names))
}

/// Somebody deleted a key that the secret still names.
fn was_deleted_before(VersionReport { version, labels, .. }: &VersionReport, id: &str) -> Error {
    let error = Error::new(format!("access key {id} is deleted already")).of_kind(ErrorKind::Refused);
    let may_be_in_use = [AWSCURRENT, DEPLOYING, TOLD].iter().any(|label| labels.iter().any(|it| it == label));
    let named = format!("version {version} of the secret names it ({})", labels.join(", "));
    if may_be_in_use {
        error.cause(format!("{named}: a host that uses it cannot send")).hint(text![
            Command::deployer("recover"),
            " shows what the hosts may have, and offers to give them a new access key"
        ])
    } else {
        error.cause(format!("{named}, and hosts use another one")).hint("nothing is left to do")
    }
}

fn was_deleted(retired: &Retired, key: &str) -> Result<(), Error> {
    if retired.deleted.iter().any(|deleted| deleted == key) {
        return Ok(());
    }
    let error = Error::new(format!("access key {key} was not deleted"))
        .of_kind(ErrorKind::Refused)
        .hint(text![Command::deployer("recover"), " shows why"]);
    Err(if retired.kept.is_empty() { error } else { error.cause(retired.kept.join(" ")) })
}

/// Beside the function's own limit, for the network.
const MARGIN: Duration = Duration::from_secs(10);

/// The SDK asks again if an answer is lost; every event may be repeated.
async fn invoke<T: DeserializeOwned>(aws: &Aws, deployment: &Deployment, event: &Event) -> Result<T, Error> {
    let name = &deployment.names.function;
    let limit = TimeoutConfig::builder().operation_attempt_timeout(deployment.config.function.timeout + MARGIN).build();
    let payload = serde_json::to_vec(event).map_err(|error| unreadable(name, &error))?;
    let request = aws.lambda.invoke().function_name(name).payload(Blob::new(payload)).customize();
    let answer = request.config_override(Builder::new().timeout_config(limit)).send().await;
    let is_stopped = answer.as_ref().is_err_and(is_stopped);
    let answer = answer.failed_to(|| format!("invoke function {name}")).map_err(|error| match error.code() {
        _ if is_stopped => {
            let arn = deployment.names.function_arn();
            // AWS's code is that of calls which are too many, and to wait helps none.
            Error { hints: Vec::new(), ..error }.of_kind(ErrorKind::RotationFailed).hint(
                Text::from("the function is stopped: its reserved concurrency is used up or 0. ")
                    .then(start_again(&arn)),
            )
        }
        Some("ResourceNotFoundException") => error.hint(text!["run ", Command::deployer("apply"), " first"]),
        Some(NO_GRANT) => error.of_kind(ErrorKind::RotationFailed).hint(lost_grant(&deployment.names)),
        Some(code) if NO_START.contains(&code) => error.of_kind(ErrorKind::RotationFailed),
        _ => error,
    })?;
    let payload = answer.payload.unwrap_or_else(|| Blob::new([]));
    if answer.function_error.is_some() {
        return Err(failure(name, payload.as_ref()));
    }
    let answer = read_answer(name, payload.as_ref());
    match &deployment.config.function.role {
        // The function does not know that its role is not the deployer's.
        Some(role) => answer.map_err(|error| {
            let is_denied = error.kind() == ErrorKind::Refused && is_denial(&error.in_one_line());
            if is_denied { Error { hints: vec![role_is_yours(role)], ..error } } else { error }
        }),
        None => answer,
    }
}

/// How to start a function whose reserved concurrency is 0.
pub(crate) fn start_again(arn: &str) -> Text {
    let (apply, start) = (Command::deployer("apply"), Command::start_function(arn));
    text!["If nobody stopped it on purpose, run ", apply, ", which starts it again, or ", start]
}

/// Lambda's code if it may not decrypt the environment.
const NO_GRANT: &str = "KMSAccessDeniedException";

/// Lambda's codes for a function that it cannot start until somebody changes what the function runs on (API reference of Invoke).
const NO_START: [&str; 11] = [
    NO_GRANT,
    "EC2AccessDeniedException",
    "ENILimitReachedException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "SubnetIPAddressLimitReachedException",
];

/// Lambda lets a role decrypt the environment by a grant for this role alone (Lambda guide, "Securing environment variables"). A role that is
/// deleted and made anew has another id, and no grant.
fn lost_grant(names: &Names) -> Text {
    let Names { role, function, .. } = names;
    let update = ["lambda", "update-function-configuration", "--function-name", function, "--role"];
    let give = |role| Command::aws_in(names.region(), &[&update[..], &[role]].concat());
    text![
        format!(
            "Lambda may not decrypt the environment of the function for role {role}. If somebody deleted the role and made it anew, Lambda \
             has to get a new grant: give the function another role that Lambda may assume (",
        ),
        give("ANOTHER-ROLE"),
        "), and then its own again (",
        give("ROLE"),
        "), with the roles' ARNs. Else allow kms:Decrypt on the function's key"
    ]
}

fn is_stopped(error: &SdkError<InvokeError>) -> bool {
    let Some(InvokeError::TooManyRequestsException(throttled)) = error.as_service_error() else { return false };
    throttled.reason() == Some(&ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded)
}

fn read_answer<T: DeserializeOwned>(function: &str, payload: &[u8]) -> Result<T, Error> {
    match serde_json::from_slice(payload).map_err(|error| unreadable(function, &error))? {
        Answer::Done(answer) => Ok(answer),
        Answer::Refused(refusal) => Err(Error::new(format!("function {function} refused")).refused(&refusal)),
    }
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
        Ok(Failure { kind, message }) => error.cause(format!("{kind}: {message}")).hint(text![
            "if its code is older than this program, run ",
            Command::deployer("apply --during-rotation"),
            "; else read the function's log"
        ]),
        Err(_) => error.cause("its answer has no errorType").hint("read the function's log"),
    }
}

fn unreadable(function: &str, problem: &serde_json::Error) -> Error {
    Error::new(format!("this program does not know the answer of function {function}"))
        .cause(problem)
        .hint(text![
            "if the function is older than this program, run ",
            Command::deployer("apply"),
            ", so that both are of one version"
        ])
        .hint("if the function is newer, use the version of this program that applied last: `deployer list --region REGION` shows it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_invocation_is_told_in_the_functions_own_words() {
        let error = failure("f", br#"{"errorType":"EventFieldMissing","errorMessage":"no Step"}"#);
        assert_eq!(error.in_one_line(), "function f failed: EventFieldMissing: no Step");
        assert!(error.hints[0].to_string().contains("`deployer apply --during-rotation`"));
        assert!(failure("f", b"<html>").in_one_line().contains("no errorType"));
    }

    #[test]
    fn a_refusal_is_told_with_its_next_steps_as_hints() {
        let payload =
            br#"{"refused":{"kind":"RotationOpen","found":"a rotation is open","not_done":"no key was deleted",
            "next":[[{"words":"run "},{"command":{"deployer":["recover"]}}]]}}"#;
        let error = read_answer::<Retired>("f", payload).unwrap_err();
        assert_eq!(error.in_one_line(), "function f refused: RotationOpen: a rotation is open; no key was deleted");
        assert_eq!(error.hints[0].render(Some("prod.yaml")), "run `deployer recover prod.yaml`");
        assert_eq!((error.code(), error.kind()), (Some("RotationOpen"), ErrorKind::Refused));
    }

    #[test]
    fn an_answer_of_another_version_is_told_as_one() {
        let error = read_answer::<Retired>("f", br#"{"deleted":[],"kept":[]}"#).unwrap_err();
        assert!(error.hints[0].to_string().contains("both are of one version"));
    }

    #[test]
    fn a_report_with_what_only_a_newer_function_knows_is_told_as_one_of_another_version() {
        let report = include_str!("../../../contract/golden/0.1.0/report.json");
        assert!(read_answer::<Report>("f", report.as_bytes()).is_ok());
        for (known, newer) in [("NoSafeSlot", "SlotOnTheMoon"), ("may_go", "may_fly")] {
            let error = read_answer::<Report>("f", report.replace(known, newer).as_bytes()).unwrap_err();
            assert!(error.in_one_line().contains(newer), "{}", error.in_one_line());
            assert!(error.hints[0].to_string().contains("both are of one version"));
        }
    }

    #[test]
    fn what_iam_denies_is_taken_from_the_data_and_only_of_an_older_function_from_its_sentences() {
        let golden = include_str!("../../../contract/golden/0.1.0/report.json");
        let older = golden.replace("it is not JSON", "iam:GetUser failed: AccessDenied: no");
        let older = read_answer::<Report>("f", older.as_bytes()).unwrap();
        assert_eq!(denials(&older), ["iam:GetUser failed: AccessDenied: no"]);
        let denial = Denial { action: "iam:GetUser".into(), cause: "not authorized".into() };
        assert_eq!(denials(&Report { denied: Some(vec![]), ..older.clone() }), [""; 0]);
        assert_eq!(denials(&Report { denied: Some(vec![denial]), ..older }), ["iam:GetUser failed: not authorized"]);
    }

    #[test]
    fn a_key_that_was_kept_is_an_error_with_the_reason() {
        let retired = Retired { deleted: vec!["A".into()], deactivated: vec![], kept: vec!["B stays.".into()] };
        assert!(was_deleted(&retired, "A").is_ok());
        assert_eq!(was_deleted(&retired, "B").unwrap_err().in_one_line(), "access key B was not deleted: B stays.");
        assert_eq!(was_deleted(&Retired::default(), "B").unwrap_err().in_one_line(), "access key B was not deleted");
    }

    #[test]
    fn a_key_that_is_gone_is_told_with_what_the_secret_still_says_of_it() {
        let report = include_str!("../../../contract/golden/0.1.0/report.json");
        let mut report: Report = read_answer("f", report.as_bytes()).unwrap();
        report.keys.clear();
        let told = |key: &str| {
            let error = find_key(&report, key).unwrap_err();
            let hints: Vec<_> = error.hints.iter().map(ToString::to_string).collect();
            format!("{} | {}", error.in_one_line(), hints.join(" | "))
        };
        let current = told("AKIA1");
        assert!(
            current.contains("is deleted already") && current.contains("a host that uses it cannot send"),
            "{current}"
        );
        assert!(current.contains("`deployer recover`"), "{current}");
        let previous = told("AKIA3");
        assert!(previous.contains("(AWSPREVIOUS), and hosts use another one | nothing is left to do"), "{previous}");
        let unknown = told("AKIA9");
        assert!(
            unknown.contains("has no access key AKIA9: its access keys: none") && unknown.contains("be another user's"),
            "{unknown}"
        );
    }
}
