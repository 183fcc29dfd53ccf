//! What is refused while a new credential is proved and the hosts are told of it.

use contract::{Command, SmtpEndpoint, Text, text};

use super::parts::{Parts, list, parts, rotate, wait};
use crate::error::{Attempts, HostResult, SmtpRefusal};

const NO_KEY_CHANGED: &str = "AWSCURRENT was not moved, and this step deactivated or deleted no access key";

pub(super) fn login_refused(endpoint: &SmtpEndpoint, key: &str, in_a_row: u32, attempts: &Attempts) -> Parts {
    let next = [
        wait(),
        "on 535, check whether the key is Active".into(),
        text!["if SES never accepts the key, run ", Command::deployer("recover")],
    ];
    let found =
        format!("{endpoint} did not accept {in_a_row} logins in a row with access key {key}: {}", describe(attempts));
    parts(found, "AWSCURRENT was not moved, and every host keeps its credential", next)
}

pub(super) fn hosts_failed(command: &str, results: &[HostResult]) -> Parts {
    let slow = results
        .iter()
        .any(HostResult::ran_too_long)
        .then(|| text!["let the script end within instance.timeout, or raise it and run ", Command::deployer("apply")]);
    let away = results
        .iter()
        .any(HostResult::has_not_begun)
        .then(|| "check that the hosts run, and that their Systems Manager agents are online".into());
    // The words of AWS, as the AWS CLI prints them at the end of the script's output.
    let is_denied =
        |host: &HostResult| ["AccessDenied", "GetSecretValue"].iter().all(|word| host.output.contains(word));
    let denied = results.iter().any(|host| !host.succeeded() && is_denied(host)).then(|| {
        text![
            "let the hosts' role read the secret: if the file names no instance.role, name it and run ",
            Command::deployer("apply --during-rotation"),
            "; or give the role what ",
            Command::deployer("policy --for instance"),
            " prints"
        ]
    });
    let correct = format!("correct the script or the host (Run Command {command}); Secrets Manager tries again").into();
    let next: Vec<_> = slow.into_iter().chain(away).chain(denied).chain([correct]).collect();
    parts(format!("the script did not succeed on every host: {}", list(results)), NO_KEY_CHANGED, next)
}

pub(super) fn host_did_not_confirm(command: &str, key: &str, hosts: &[String], cut: &[String]) -> Parts {
    let cut_on = match cut {
        [] => String::new(),
        cut => format!(
            ". Systems Manager keeps the first 24000 characters of an output, and has cut that of {}",
            cut.join(", ")
        ),
    };
    let found = format!(
        "the script succeeded, but its output on {} does not name access key {key}, so the host may still use another (Run Command \
         {command}){cut_on}",
        hosts.join(", ")
    );
    let less = (!cut.is_empty()).then(|| {
        "let the script print less, or the id of the access key before everything else (docs/hosts.md)".into()
    });
    let print = "let the script print the id of the access key that the host now uses (docs/hosts.md)";
    parts(found, NO_KEY_CHANGED, [less.unwrap_or_else(|| print.into()), wait()])
}

pub(super) fn test_mail_malformed(address: &str, cause: &str) -> Parts {
    let found = format!("the address {address:?} cannot be used for the test mail ({cause})");
    parts(found, "no mail was sent", ["correct ses.sender and ses.recipient".into()])
}

pub(super) fn test_mail_refused(endpoint: &SmtpEndpoint, key: &str, attempts: &Attempts, hosts_told: bool) -> Parts {
    let forbidden = attempts.last.as_ref().filter(|refusal| refusal.is_not_allowed());
    let found = match forbidden {
        None => format!("{endpoint} did not take the test mail with access key {key}: {}", describe(attempts)),
        Some(_) => format!(
            "{endpoint} accepted the login with access key {key}, and refused its test mail: {}",
            describe(attempts)
        ),
    };
    let not_done = if hosts_told { NO_KEY_CHANGED.to_owned() } else { format!("no host was told, {NO_KEY_CHANGED}") };
    let next: Vec<_> = forbidden.map(why_not_allowed).into_iter().flatten().chain([wait()]).collect();
    parts(found, not_done, next)
}

/// SES says which of the two it is, in words that are not documented: text that says neither gets both.
fn why_not_allowed(refusal: &SmtpRefusal) -> Vec<Text> {
    let is_about = |words: [&str; 2]| words.iter().any(|word| refusal.text.contains(word));
    let (identity, policy) =
        (is_about(["not verified", "identities failed"]), is_about(["not authorized", "AccessDenied"]));
    let of_identity = "verify the identity of ses.sender in this region; in SES's sandbox, that of ses.recipient too";
    let of_policy = "let the policies of the IAM user allow ses:SendRawEmail to ses.sender (ses.from, for a user that the deployer \
                     makes); a condition on the address (aws:SourceIp) has to allow the function's address too, which is not that of the \
                     hosts";
    let lost = text![
        "if the deployment owns the user, run ",
        Command::deployer("apply"),
        ": it gives the user its policy again, if somebody changed or deleted it"
    ];
    let login = "if only the hosts' addresses may send, remove ses.sender and ses.recipient: the test is then a login, and does not show \
                 whether the credential may send";
    let policies = (policy || !identity).then_some([lost, of_policy.into(), login.into()]).into_iter().flatten();
    let identities = (identity || !policy).then_some(of_identity);
    identities.into_iter().map(Text::from).chain(policies).collect()
}

pub(super) fn label_elsewhere(label: &str, version: &str, expected: Option<&str>, found: Option<&str>) -> Parts {
    let next = [
        "find out who moved it".into(),
        text!["run ", rotate(), ": the new rotation continues with the credential that hosts were told of"],
    ];
    let found = format!("somebody moved {label} from {} to {} while the rotation ran", place(expected), place(found));
    parts(found, format!("{label} was not moved to {version}"), next)
}

fn place(version: Option<&str>) -> &str {
    version.unwrap_or("no version")
}

fn describe(Attempts { made, accepted, lasted, last }: &Attempts) -> String {
    let last = last.as_ref().map_or("none was answered", |SmtpRefusal { text, .. }| text);
    format!("{accepted} of {made} attempts in {} s were accepted, the last refusal: {last}", lasted.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_ran_too_long_and_a_host_that_is_away_are_told_what_helps() {
        let next = |status: &str| {
            let result = HostResult { status: status.into(), ..HostResult::waiting("i-0") };
            hosts_failed("c-0", &[result]).next.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(next("Execution Timed Out").contains("instance.timeout"));
        assert!(next("Delivery Timed Out").contains("agents are online"));
        assert_eq!(next("Failed"), "correct the script or the host (Run Command c-0); Secrets Manager tries again");
    }
}
