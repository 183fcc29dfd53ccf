//! What is refused while a new credential is proved and the hosts are told of it.

use contract::{Command, SmtpEndpoint, text};

use super::parts::{Parts, list, parts, rotate, wait};
use crate::error::{Attempts, HostResult, SmtpRefusal};

const NO_KEY_CHANGED: &str = "AWSCURRENT was not moved, and no key was changed";

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
    let next = format!("correct the script or the host (Run Command {command}); Secrets Manager tries again");
    parts(format!("the script did not succeed on every host: {}", list(results)), NO_KEY_CHANGED, [next.into()])
}

pub(super) fn host_did_not_confirm(command: &str, key: &str, hosts: &[String]) -> Parts {
    let found = format!(
        "the script succeeded, but its output on {} does not name access key {key}, so the host may still use another (Run Command \
         {command})",
        hosts.join(", ")
    );
    let next = [
        "let the script print the id of the access key that the host now uses (README, \"On the host\")".into(),
        wait(),
    ];
    parts(found, NO_KEY_CHANGED, next)
}

pub(super) fn test_mail_malformed(address: &str, cause: &str) -> Parts {
    let found = format!("the address {address:?} cannot be used for the test mail ({cause})");
    parts(found, "no mail was sent", ["correct ses.sender and ses.recipient".into()])
}

pub(super) fn test_mail_refused(endpoint: &SmtpEndpoint, key: &str, attempts: &Attempts) -> Parts {
    let next = [
        "on 554, check that the user's policy allows ses:SendRawEmail and that the sender's identity is verified"
            .into(),
        wait(),
    ];
    let found = format!("{endpoint} did not take the test mail with access key {key}: {}", describe(attempts));
    parts(found, NO_KEY_CHANGED, next)
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
