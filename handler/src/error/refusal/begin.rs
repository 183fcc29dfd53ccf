//! What is refused before the function looks at any key: its environment, its event, the rotation's state, and what a rotation
//! needs.

use contract::{
    Command, DEPLOYING, LONGEST_SECRET, MOST_LABELS, SettingsError, SmtpEndpoint, TAG_SECRET, TOLD, Text,
    is_access_key_id, text,
};

use super::parts::{Parts, clear_pending, list, parts, rotate, wait};

const NOTHING_DONE: &str = "nothing was done";
const STOPPED: &str = "nothing further was done";
const NO_KEY: &str = "no key was made";

pub(super) fn settings(error: &SettingsError) -> Parts {
    let apply = Command::deployer("apply --during-rotation");
    parts(error.to_string(), NOTHING_DONE, [text!["run ", apply, " to write the environment again"]])
}

pub(super) fn event_field_missing(field: &str) -> Parts {
    let next = "let only Secrets Manager's rotation and the deployer invoke this function";
    parts(format!("the event has no text in its field {field}"), NOTHING_DONE, [next.into()])
}

pub(super) fn event_malformed(problem: &str) -> Parts {
    let next = r#"send {"event": "report"}, "retire", "leaked" with a key, or "upkeep""#;
    parts(format!("the event cannot be read: {problem}"), NOTHING_DONE, [next.into()])
}

pub(super) fn unknown_step(step: &str) -> Parts {
    let found =
        format!("the event's Step is {step:?}, which is none of createSecret, setSecret, testSecret and finishSecret");
    parts(found, NOTHING_DONE, ["find out who invokes this function".into()])
}

pub(super) fn wrong_secret(found: &str, expected: &str) -> Parts {
    let found = format!("the event is about secret {found}, but this function rotates only {expected}");
    parts(found, NOTHING_DONE, ["let that secret's rotation invoke its own function".into()])
}

pub(super) fn rotation_disabled(secret: &str) -> Parts {
    let next = [
        "find out who ran CancelRotateSecret".into(),
        text!["run ", Command::deployer("apply"), " to turn rotation on again"],
    ];
    parts(format!("rotation is turned off for {secret}"), STOPPED, next)
}

pub(super) fn unknown_token(version: &str) -> Parts {
    let found =
        format!("the secret has no version {version}: Secrets Manager did not begin this rotation, or has dropped it");
    parts(found, STOPPED, [start_again()])
}

pub(super) fn not_pending(version: &str, labels: &[String]) -> Parts {
    let found =
        format!("version {version} is not AWSPENDING (its labels: {}): somebody ended this rotation", list(labels));
    parts(found, STOPPED, [start_again()])
}

fn start_again() -> contract::Text {
    text!["run ", rotate(), ": the new rotation continues with the credential that hosts may know"]
}

pub(super) fn not_marked_deploying(secret: &str, version: &str, deploying: Option<&str>) -> Parts {
    let mark = Command::move_label(secret, DEPLOYING, deploying, Some(version));
    let next = [
        text!["if a host may have its credential, put DEPLOYING on it with ", mark, ": the rotation then continues"],
        text!["if no host has it, clear AWSPENDING with ", clear_pending(secret, version), " and run ", rotate()],
    ];
    let found = format!(
        "version {version} is AWSPENDING without DEPLOYING: another tool stored the version, or another rotation overtook this one"
    );
    parts(found, STOPPED, next)
}

pub(super) fn hosts_not_told(version: &str, told: Option<&str>) -> Parts {
    let found = match told {
        Some(told) => format!("every host has confirmed version {told} (it has {TOLD}), not version {version}"),
        None => format!("no version has {TOLD}, so setSecret has not seen every host confirm version {version}"),
    };
    parts(found, "AWSCURRENT was not moved", [wait()])
}

pub(super) fn endpoint_unresolved(host: &str, cause: &str) -> Parts {
    let next =
        ["check the region: not every region has an endpoint".into(), "check the DNS of the function's network".into()];
    parts(format!("the SMTP endpoint {host} does not resolve ({cause})"), NO_KEY, next)
}

pub(super) fn endpoint_unreachable(endpoint: &SmtpEndpoint, cause: &str) -> Parts {
    let next = "check that the function's network allows connections to that port, and that nothing in it answers in SES's place";
    parts(format!("the SMTP endpoint {endpoint} cannot be reached ({cause})"), NO_KEY, [next.into()])
}

pub(super) fn tls_unusable(cause: &str) -> Parts {
    let next = "check SSL_CERT_FILE of the function and the platform's certificates";
    parts(format!("TLS cannot be set up ({cause})"), "no login was tried", [next.into()])
}

pub(super) fn user_missing(user: &str) -> Parts {
    let next = text!["run ", Command::deployer("apply"), " if the deployment owns the user, else create the user"];
    parts(format!("the IAM user {user} does not exist"), NO_KEY, [next])
}

pub(super) fn user_serves_another(user: &str, found: Option<&str>, expected: &str) -> Parts {
    let found = match found {
        None => format!("the IAM user {user} has no tag {TAG_SECRET}, which has to be {expected}"),
        Some(found) => format!(
            "the IAM user {user} serves {found} (tag {TAG_SECRET}), but this secret is {expected}: two secrets on one user would \
             delete each other's keys"
        ),
    };
    parts(found, "no key was made or deleted", ["give each secret its own user, or correct the tag".into()])
}

pub(super) fn no_current_value(secret: &str) -> Parts {
    let next = r#"store a value; a placeholder is enough: {"username": "NAME OF THE IAM USER"}"#;
    parts(format!("{secret} has no AWSCURRENT value"), NO_KEY, [next.into()])
}

pub(super) fn too_many_labels(secret: &str, has: usize, adds: usize, others: &[(String, String)]) -> Parts {
    let found = format!(
        "the versions of the secret have {has} staging labels, a rotation adds {adds}, and AWS allows {MOST_LABELS} in all"
    );
    let take_off = |(version, label): &(String, String)| Command::move_label(secret, label, Some(version), None).into();
    let next = text!["take off a label that nobody needs: "].then(Text::join(others.iter().map(take_off), " or "));
    parts(found, NO_KEY, [next, wait()])
}

pub(super) fn value_too_long(bytes: usize, longest: Option<&(String, usize)>) -> Parts {
    let found = format!(
        "with a new credential AWSCURRENT's value would have {bytes} bytes, and a secret has {LONGEST_SECRET} at most"
    );
    let longest =
        longest.map_or_else(String::new, |(name, bytes)| format!("; the longest one is {name} ({bytes} bytes)"));
    parts(found, NO_KEY, [format!("take fields out of the value that no program reads{longest}").into(), wait()])
}

pub(super) fn malformed_secret(version: &str, labels: &[String], problem: &str) -> Parts {
    let found = format!("version {version} of the secret (labels: {}): {problem}", list(labels));
    let next = [
        "correct the value, or take the labels off the version if nobody needs it".into(),
        "if programs read fields of other names, leave these in the secret, and map them in the configuration (secret.fields)".into(),
    ];
    parts(found, "no key was made or deleted", next)
}

pub(super) fn secret_of_another_user(field: &str, found: &str, expected: &str) -> Parts {
    if is_access_key_id(found) {
        let found = format!(
            "the field {field} of the secret's value is the access key id {found}, and must be the name of the IAM user: this function \
             rotates the keys of {expected}"
        );
        let next = "store the user's name in username. A program that takes the SMTP user name from there has to read AccessKeyId, or \
                    a field that secret.fields maps to access_key_id";
        return parts(found, NO_KEY, [next.into()]);
    }
    let found = format!(
        "the field {field} of the secret's value names the IAM user {found}, but this function rotates the keys of {expected}"
    );
    let next = "correct iam_user in the configuration, or username and iam_user_arn in the secret";
    parts(found, NO_KEY, [next.into()])
}

pub(super) fn hosts_offline(hosts: &[String]) -> Parts {
    let found = format!("Systems Manager does not reach every host ({})", hosts.join("; "));
    let next = "start the host and its SSM agent, or remove the host from the configuration";
    parts(found, "no key was made: such a host would keep the old credential", [next.into()])
}

pub(super) fn document_changed(document: &str, version: &str) -> Parts {
    let found = format!("version {version} of document {document} is not what the deployer wrote");
    let next = text![
        "find out who changed it, then run ",
        Command::deployer("apply --during-rotation"),
        ", which writes it again"
    ];
    parts(found, "nothing was run on the hosts: it could be anything, as root", [next])
}

pub(super) fn pending_empty(secret: &str, version: &str) -> Parts {
    let next = [
        wait(),
        text!["if this repeats, clear AWSPENDING with ", clear_pending(secret, version), " and run ", rotate()],
    ];
    parts(format!("AWSPENDING's version {version} holds no credential"), "no host was told", next)
}

pub(super) fn not_enough_time(purpose: &str, needed: u64, remaining: u64) -> Parts {
    let found = format!("{remaining} s of the function's time are left, and {needed} s are needed {purpose}");
    parts(found, "that was not begun", [wait(), "if this repeats, raise function.timeout".into()])
}

pub(super) fn deadline_reached() -> Parts {
    let not_done = "the step is not complete, and AWS may still carry out its last call";
    let next = [wait(), "if this repeats, raise function.timeout".into()];
    parts("the function's time ended before the step did", not_done, next)
}
