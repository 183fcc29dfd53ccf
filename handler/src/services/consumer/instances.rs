//! EC2 instances: whether Systems Manager reaches them, and the script that it runs on each.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use aws_sdk_ssm::{
    operation::get_command_invocation::GetCommandInvocationOutput,
    types::{CommandInvocationStatus, DocumentHashType, InstanceInformationStringFilter, PingStatus},
};
use contract::{
    COMMAND_DELIVERY_SECONDS, DOCUMENT_PARAMETER, HostReport, Instances, RUN_SHELL_SCRIPT, VERSION_ID, VERSION_STAGE,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tracing::info;

use crate::{
    error::{Cause, Error, HostResult},
    invocation::Invocation,
    sensitive::without_secret_like,
    services::{aws::Clients, consumer::news::News},
    time::pause,
};

const POLL: Duration = Duration::from_secs(2);

/// Longest piece of a script's output that an error quotes, in characters; the end says why it failed.
const LONGEST_OUTPUT: usize = 400;

/// Systems Manager keeps the first so many characters of a standard output (API reference of GetCommandInvocation).
const KEPT_OUTPUT: usize = 24_000;

/// Refuses to begin while Systems Manager does not reach an instance, or if the document is not what the deployer wrote.
pub(crate) async fn check(clients: &Clients, instances: &Instances) -> Result<(), Error> {
    pin(clients, instances).await?;
    let standing = standing(clients, instances).await?;
    let offline = standing.iter().filter(|host| !host.online);
    let offline: Vec<_> = offline.map(|HostReport { instance, status, .. }| format!("{instance}: {status}")).collect();
    if offline.is_empty() { Ok(()) } else { Err(Error::HostsOffline { hosts: offline }) }
}

/// A version of the document that is what the deployer wrote, and AWS's hash of it.
struct Pinned {
    version: String,
    hash: String,
    hash_type: DocumentHashType,
}

/// Finds the version that SendCommand is to run. The document runs as root, so whoever may only update documents must not decide
/// what it does: its content has to have the digest that the function's environment names. SendCommand then gets AWS's hash of
/// that version, and so runs no other, whatever the document becomes meanwhile. How AWS computes its hash is not documented, so
/// it is read. None for a document that the deployer did not write.
async fn pin(clients: &Clients, instances: &Instances) -> Result<Option<Pinned>, Error> {
    const DESCRIBE: &str = "ssm:DescribeDocument";
    let Some(digest) = &instances.content_sha256 else { return Ok(None) };
    let name = &instances.document;
    let described = clients.ssm.describe_document().name(name).send().await;
    let described = described.map_err(|error| Error::aws(DESCRIBE, error))?.document;
    let pinned = described.and_then(|document| {
        Some(Pinned { version: document.document_version?, hash: document.hash?, hash_type: document.hash_type? })
    });
    let pinned = pinned.ok_or_else(|| Error::aws_answer(DESCRIBE, "the answer holds no version with a hash"))?;
    let document = clients.ssm.get_document().name(name).document_version(&pinned.version).send().await;
    let content = document.map_err(|error| Error::aws("ssm:GetDocument", error))?.content.unwrap_or_default();
    // Whatever its white space is.
    let canonical = serde_json::from_str::<Value>(&content).map(|content| content.to_string());
    if canonical.is_ok_and(|content| hex(&Sha256::digest(content)) == *digest) {
        return Ok(Some(pinned));
    }
    Err(Error::DocumentChanged { document: name.clone(), version: pinned.version })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every instance, in the order of the configuration, if it cannot be read how they stand.
pub(crate) fn unknown(instances: &Instances, reason: &str) -> Vec<HostReport> {
    let unknown = |instance: &String| HostReport {
        instance: instance.clone(),
        status: format!("unknown: {reason}"),
        online: false,
    };
    instances.ids.iter().map(unknown).collect()
}

/// How every instance stands with Systems Manager, in the order of the configuration.
pub(crate) async fn standing(clients: &Clients, instances: &Instances) -> Result<Vec<HostReport>, Error> {
    let filter = InstanceInformationStringFilter::builder()
        .key("InstanceIds")
        .set_values(Some(instances.ids.clone()))
        .build()
        .map_err(|error| Error::aws_answer("ssm:DescribeInstanceInformation", &error.to_string()))?;
    let mut found = BTreeMap::new();
    let mut pages = clients.ssm.describe_instance_information().filters(filter).max_results(50).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Error::aws("ssm:DescribeInstanceInformation", error))?;
        for instance in page.instance_information_list.unwrap_or_default() {
            found.insert(instance.instance_id.unwrap_or_default(), instance.ping_status);
        }
    }
    let standing = |id: &String| {
        let status = found.get(id).and_then(Option::as_ref);
        HostReport {
            instance: id.clone(),
            status: status.map_or("not known to Systems Manager", PingStatus::as_str).to_owned(),
            online: status == Some(&PingStatus::Online),
        }
    };
    Ok(instances.ids.iter().map(standing).collect())
}

/// Runs the script on every host and waits until it has ended on all of them. A host is told once its script has succeeded and
/// has named the key: a script that read an old value, or that did nothing, may succeed as well.
pub(crate) async fn tell(invocation: &Invocation<'_>, instances: &Instances, news: &News<'_>) -> Result<(), Error> {
    let command = send(invocation, instances, news).await?;
    info!(command, document = instances.document, hosts = instances.ids.join(","), "running the script on every host");
    let results = wait(invocation, instances, &command, news).await?;
    if !results.iter().all(HostResult::succeeded) {
        return Err(Error::HostsFailed { command, results });
    }
    let silent: Vec<_> = results.iter().filter(|result| !result.confirmed).collect();
    if !silent.is_empty() {
        let hosts = silent.iter().map(|it| it.instance.clone()).collect();
        let cut = silent.iter().filter(|it| it.cut).map(|it| it.instance.clone()).collect();
        return Err(Error::HostDidNotConfirm { command, key: news.credential.user.clone(), hosts, cut });
    }
    info!(command, hosts = results.len(), "every host has the new credential");
    Ok(())
}

/// Systems Manager may run the document twice if this answer is lost; the script takes a lock and
/// is safe to run again.
async fn send(invocation: &Invocation<'_>, instances: &Instances, news: &News<'_>) -> Result<String, Error> {
    const ACTION: &str = "ssm:SendCommand";
    let mut request = invocation.clients.ssm.send_command().document_name(&instances.document);
    if let Some(Pinned { version, hash, hash_type }) = pin(invocation.clients, instances).await? {
        request = request.document_version(version).document_hash(hash).document_hash_type(hash_type);
    }
    let answer = request
        .set_instance_ids(Some(instances.ids.clone()))
        .set_parameters(Some(parameters(instances, news).into_iter().collect()))
        .timeout_seconds(i32::try_from(COMMAND_DELIVERY_SECONDS).unwrap_or(i32::MAX))
        .comment(format!("version {}", news.version))
        .send()
        .await
        .map_err(|error| Error::aws(ACTION, error))?;
    let command = answer.command.and_then(|command| command.command_id);
    command.ok_or_else(|| Error::aws_answer(ACTION, "the answer holds no command id"))
}

/// Our own document has the script and the timeout built in.
fn parameters(instances: &Instances, news: &News<'_>) -> BTreeMap<String, Vec<String>> {
    let variables = [(VERSION_ID, news.version), (VERSION_STAGE, news.stage)];
    let parameters = if instances.document == RUN_SHELL_SCRIPT {
        let set = variables.map(|(it, value)| format!("{}={}", it.variable, shell_word(value))).join(" ");
        let command = format!("{set} {} {}", shell_word(&instances.script), shell_word(news.secret_arn));
        vec![("commands", command), ("executionTimeout", instances.timeout_seconds.to_string())]
    } else {
        let variables = variables.map(|(it, value)| (it.parameter, value.to_owned()));
        variables.into_iter().chain([(DOCUMENT_PARAMETER, news.secret_arn.to_owned())]).collect()
    };
    parameters.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect()
}

/// One word for a POSIX shell, whatever is in it.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Asks for the hosts that have not finished until all have, or until the time is over.
async fn wait(
    invocation: &Invocation<'_>,
    instances: &Instances,
    command: &str,
    news: &News<'_>,
) -> Result<Vec<HostResult>, Error> {
    let mut results: Vec<_> = instances.ids.iter().map(|id| HostResult::waiting(id)).collect();
    loop {
        for result in results.iter_mut().filter(|result| !result.finished) {
            let left = invocation.time.remaining().saturating_sub(POLL);
            // The last question is cut off, so that there is time to say how every host stands.
            let Ok(answer) = timeout(left, ask(invocation, command, &result.instance, news)).await else { break };
            if let Some(answer) = answer? {
                *result = answer;
            }
            if result.finished {
                info!(command, instance = result.instance, status = result.status, "the script has ended");
            }
        }
        let running = results.iter().filter(|result| !result.finished).count();
        if running == 0 || invocation.time.remaining() <= 2 * POLL {
            return Ok(results);
        }
        pause(POLL, &format!("the script has not ended on {running} of {} hosts", results.len())).await;
    }
}

/// How the script stands on one host; none if Systems Manager did not say this time.
async fn ask(
    invocation: &Invocation<'_>,
    command: &str,
    instance: &str,
    news: &News<'_>,
) -> Result<Option<HostResult>, Error> {
    let answer = invocation.clients.ssm.get_command_invocation().command_id(command).instance_id(instance).send().await;
    match answer.map_err(Cause::from) {
        Ok(answer) => Ok(Some(read(instance, &answer, news))),
        // Right after SendCommand the invocation may not be there yet.
        Err(cause) if cause.is("InvocationDoesNotExist") => Ok(None),
        // The script runs on, whatever became of the question.
        Err(cause) if cause.is_throttling() || !cause.refused => {
            info!(command, instance, "no answer on how the script stands: {cause}");
            Ok(None)
        }
        Err(cause) => Err(Error::Aws { action: "ssm:GetCommandInvocation", cause }),
    }
}

fn read(instance: &str, answer: &GetCommandInvocationOutput, news: &News<'_>) -> HostResult {
    use CommandInvocationStatus::{Cancelled, Failed, Success, TimedOut};
    let status = answer.status();
    let details = answer.status_details().filter(|details| !details.is_empty());
    let errors = answer.standard_error_content().unwrap_or_default().trim();
    let whole = answer.standard_output_content().unwrap_or_default();
    let printed = whole.trim();
    let output = if errors.is_empty() { printed } else { errors };
    HostResult {
        instance: instance.to_owned(),
        status: details.or(status.map(CommandInvocationStatus::as_str)).unwrap_or("Unknown").to_owned(),
        exit_code: Some(answer.response_code()).filter(|code| *code >= 0),
        output: end_of(&without_secret_like(&news.credential.password.redact(output))),
        confirmed: printed.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == news.credential.user),
        cut: whole.chars().count() >= KEPT_OUTPUT,
        // A status that this SDK does not know is waited out.
        finished: matches!(status, Some(Success | Cancelled | TimedOut | Failed)),
    }
}

fn end_of(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST_OUTPUT {
        return text.to_owned();
    }
    format!("…{}", text.chars().skip(length - LONGEST_OUTPUT).collect::<String>())
}

#[cfg(test)]
mod tests {
    use contract::{AWSPENDING, Consumer, RefusalKind, Step};

    use super::*;
    use crate::{
        fake_aws::{FakeAws, Fault},
        sensitive::Sensitive,
        services::smtp::Credential,
    };

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-AbCd12";

    fn instances(document: &str, script: &str) -> Instances {
        let ids = vec!["i-0123456789abcdef0".into()];
        Instances { ids, document: document.into(), script: script.into(), timeout_seconds: 120, content_sha256: None }
    }

    fn credential() -> Credential {
        Credential { user: "AKIANEW".into(), password: Sensitive::new("hunter2") }
    }

    fn news(credential: &Credential) -> News<'_> {
        News { secret_arn: ARN, version: "v-1", stage: AWSPENDING, credential }
    }

    #[test]
    fn our_own_document_is_given_the_arn_the_version_and_its_label_and_nothing_else() {
        let parameters = parameters(&instances("mail-rotate-smtp", "/usr/local/bin/rotate.sh"), &news(&credential()));
        let expected = [("SecretArn", ARN), ("VersionId", "v-1"), ("VersionStage", AWSPENDING)];
        assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into());
    }

    #[test]
    fn the_shell_document_is_given_a_quoted_command_and_the_timeout() {
        let parameters = parameters(&instances(RUN_SHELL_SCRIPT, "/opt/it's here/rotate.sh"), &news(&credential()));
        let variables = "SECRET_VERSION_ID='v-1' SECRET_VERSION_STAGE='AWSPENDING'";
        assert_eq!(parameters["commands"], [format!(r"{variables} '/opt/it'\''s here/rotate.sh' '{ARN}'")]);
        assert_eq!(parameters["executionTimeout"], ["120"]);
    }

    fn result(status: CommandInvocationStatus, details: &str, code: i32, errors: &str) -> HostResult {
        let answer = GetCommandInvocationOutput::builder()
            .status(status)
            .status_details(details)
            .response_code(code)
            .standard_output_content("on its way")
            .standard_error_content(errors)
            .build();
        read("i-0", &answer, &news(&credential()))
    }

    #[test]
    fn only_a_finished_status_ends_the_wait_and_only_success_is_success() {
        use CommandInvocationStatus as Status;
        for status in [Status::Pending, Status::InProgress, Status::Delayed, Status::Cancelling] {
            assert!(!result(status, "", -1, "").finished);
        }
        for status in [Status::Failed, Status::TimedOut, Status::Cancelled] {
            let result = result(status, "", -1, "");
            assert!(result.finished && !result.succeeded());
        }
        let success = result(Status::Success, "Success", 0, "");
        assert!(success.finished && success.succeeded());
        assert_eq!(success.to_string(), "i-0: Success");
        for (code, text) in [(-1, "i-0: Success, but no exit code"), (3, "i-0: Success, exit code 3")] {
            let odd = result(Status::Success, "Success", code, "");
            assert!(odd.finished && !odd.succeeded());
            assert!(odd.to_string().starts_with(text), "{odd}");
        }
    }

    #[test]
    fn a_host_confirms_the_key_only_by_naming_it() {
        let confirmed = |printed: &str| {
            let answer = GetCommandInvocationOutput::builder().standard_output_content(printed).build();
            read("i-0", &answer, &news(&credential())).confirmed
        };
        for printed in ["installed: access key AKIANEW; sent\n", "AKIANEW", "key=AKIANEW."] {
            assert!(confirmed(printed), "{printed}");
        }
        for printed in ["", "unchanged: access key AKIAOLD", "AKIANEWER", "XAKIANEW"] {
            assert!(!confirmed(printed), "{printed}");
        }
    }

    #[tokio::test]
    async fn a_script_that_succeeds_without_naming_the_key_confirms_nothing() {
        let aws = FakeAws::new().host();
        let told = aws.take(Step::Set, async |rotation, _| {
            let Some(Consumer::Instances(instances)) = &rotation.invocation.settings.consumer else { panic!() };
            tell(&rotation.invocation, instances, &news(&credential())).await
        });
        let error = told.await.unwrap_err();
        assert_eq!(error.kind(), RefusalKind::HostDidNotConfirm);
        assert!(error.to_string().contains("on i-0 does not name access key AKIANEW"), "{error}");
    }

    #[test]
    fn an_output_that_systems_manager_has_cut_is_told() {
        let read = |printed: String| {
            let status = CommandInvocationStatus::Success;
            let answer = GetCommandInvocationOutput::builder().status(status).standard_output_content(printed).build();
            read("i-0", &answer, &news(&credential()))
        };
        assert!(read("-".repeat(KEPT_OUTPUT)).cut && !read("-".repeat(KEPT_OUTPUT - 1)).cut);
        let error = |cut: &[&str]| {
            let cut = cut.iter().map(|&it| it.to_owned()).collect();
            let error =
                Error::HostDidNotConfirm { command: "c".into(), key: "AKIA".into(), hosts: vec!["i-0".into()], cut };
            error.to_string()
        };
        assert!(error(&["i-0"]).contains("has cut that of i-0") && !error(&[]).contains("cut"));
    }

    #[test]
    fn a_failed_script_is_described_with_its_exit_code_and_the_end_of_its_output() {
        let failed = result(CommandInvocationStatus::Failed, "Failed", 1, "postmap: no\n");
        assert_eq!(failed.to_string(), "i-0: Failed, exit code 1, its output ends: postmap: no");
        let timed_out = result(CommandInvocationStatus::TimedOut, "Delivery Timed Out", -1, "");
        assert_eq!(timed_out.to_string(), "i-0: Delivery Timed Out, its output ends: on its way");
    }

    #[test]
    fn a_scripts_output_is_cut_and_cleared_of_secrets() {
        let errors = format!("{}+ echo hunter2 BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2", "é ".repeat(1000));
        let failed = result(CommandInvocationStatus::Failed, "Failed", 1, &errors);
        assert!(failed.output.ends_with("+ echo [redacted] [redacted]"), "{}", failed.output);
        assert_eq!(failed.output.chars().count(), LONGEST_OUTPUT + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_script_is_not_told_of_is_waited_for_to_the_end() {
        for fault in [Fault::RefusedAs("ThrottlingException"), Fault::Down, Fault::Hangs] {
            let aws = FakeAws::new().host().fault("GetCommandInvocation", fault);
            let told = aws.take(Step::Set, async |rotation, _| {
                let Some(Consumer::Instances(instances)) = &rotation.invocation.settings.consumer else { panic!() };
                let credential = credential();
                rotation.invocation.time.bound(tell(&rotation.invocation, instances, &news(&credential))).await
            });
            let error = told.await.unwrap_err();
            assert_eq!(error.kind(), RefusalKind::HostsFailed);
            assert!(error.refusal().found.ends_with(": i-0: Pending"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_aws_refuses_for_good_ends_the_wait() {
        let aws = FakeAws::new().host().fault("GetCommandInvocation", Fault::RefusedAs("AccessDenied"));
        let told = aws.take(Step::Set, async |rotation, _| {
            let Some(Consumer::Instances(instances)) = &rotation.invocation.settings.consumer else { panic!() };
            tell(&rotation.invocation, instances, &news(&credential())).await
        });
        assert_eq!(told.await.unwrap_err().kind(), RefusalKind::Aws);
        assert_eq!(aws.count("GetCommandInvocation"), 1);
    }
}
