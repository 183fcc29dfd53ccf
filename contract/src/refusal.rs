//! Every refusal of the function, with what to do in general: the table of docs/when-a-rotation-fails.md.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Text;

/// Why the function did not do what it was asked for, as data: what was found, what was not done, and what to do next.
///
/// It holds no secret. As one sentence it is the log's `message` and Lambda's `errorMessage`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Refusal {
    /// Which refusal it is: the log's `error` and Lambda's `errorType`.
    pub kind: RefusalKind,
    /// What was found.
    pub found: String,
    /// What was not done, or was left as it was.
    pub not_done: String,
    /// What to do next: one step each, with its commands.
    pub next: Vec<Text>,
    /// From when on the clock alone lets it go on. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How the script ended on the hosts on which it failed: exit codes of a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_codes: Vec<i32>,
}

impl Refusal {
    /// A refusal that knows no next step.
    #[must_use]
    pub fn new(kind: RefusalKind, found: impl Into<String>, not_done: impl Into<String>) -> Self {
        let (found, not_done) = (found.into(), not_done.into());
        Self { kind, found, not_done, next: Vec::new(), until: None, exit_codes: Vec::new() }
    }

    /// What was found and what was not done, without the next steps.
    #[must_use]
    pub fn finding(&self) -> String {
        let parts = [self.found.as_str(), self.not_done.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Refusal {
    /// The kind, the finding and the next steps, with their commands as data.
    #[must_use]
    pub fn in_full(&self) -> Text {
        let finding = Text::from(format!("{}: {}", self.kind, self.finding()));
        Text::join(std::iter::once(finding).chain(self.next.iter().cloned()), "; ")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding())?;
        self.next.iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

impl RefusalKind {
    /// Whether something was not answered, or not clearly, where createSecret only reads: then nothing follows from what a report lacks.
    #[must_use]
    pub fn is_of_a_read(self) -> bool {
        matches!(self, Self::Aws | Self::KeyStateUnclear)
    }
}

/// Declares the kinds with what the table of docs/when-a-rotation-fails.md says of each, so that no kind lacks its row.
macro_rules! refusal_kinds {
    ($($kind:ident { found: $found:literal, next: $next:literal })*) => {
        /// The sorts of refusals. The name is stable: it is the log's `error` and Lambda's `errorType`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
        pub enum RefusalKind {
            $(#[doc = $found] $kind,)*
        }

        impl RefusalKind {
            /// Every kind, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// In general: what was found.
            #[must_use]
            pub fn found(self) -> &'static str {
                match self { $(Self::$kind => $found,)* }
            }

            /// In general: what to do next, in Markdown.
            #[must_use]
            pub fn next(self) -> &'static str {
                match self { $(Self::$kind => $next,)* }
            }
        }
    };
}

refusal_kinds! {
    Settings {
        found: "the function's environment is not what the deployer writes",
        next: "`deployer apply --during-rotation`"
    }
    EventFieldMissing {
        found: "the event does not come from Secrets Manager: a field is missing",
        next: "nothing, or find out who invokes the function"
    }
    UnknownStep {
        found: "the event does not come from Secrets Manager: its step is none of the four",
        next: "nothing, or find out who invokes the function"
    }
    EventMalformed {
        found: "the field `event` names no event that the function knows",
        next: "correct the event; the error lists the valid ones"
    }
    WrongSecret {
        found: "the rotation of another secret invokes this function",
        next: "let that secret's rotation invoke its own function"
    }
    RotationDisabled {
        found: "rotation is turned off",
        next: "find out who ran CancelRotateSecret, then `deployer apply`"
    }
    UnknownToken {
        found: "somebody ended this rotation while it ran: its version does not exist",
        next: "`deployer rotate`: it continues with the credential that hosts may know"
    }
    NotPending {
        found: "somebody ended this rotation while it ran: its version is not AWSPENDING",
        next: "`deployer rotate`: it continues with the credential that hosts may know"
    }
    NotMarkedDeploying {
        found: "AWSPENDING's version lacks DEPLOYING: another tool stored it, or another rotation overtook this one",
        next: "`deployer recover`"
    }
    HostsNotTold {
        found: "finishSecret ran before every host had confirmed the credential: somebody skipped setSecret, or moved TOLD",
        next: "nothing: Secrets Manager tries again from createSecret"
    }
    EndpointUnresolved {
        found: "the name of the SMTP endpoint does not resolve",
        next: "check the region (not every region has an endpoint) and the DNS of the function's network"
    }
    EndpointUnreachable {
        found: "the SMTP endpoint cannot be reached, or does not answer over TLS",
        next: "check the function's network"
    }
    TlsUnusable {
        found: "the function has no root certificates that it can use",
        next: "check `SSL_CERT_FILE` of the function"
    }
    UserMissing {
        found: "the IAM user does not exist",
        next: "`deployer apply` if the deployment owns it, else create it"
    }
    UserServesAnother {
        found: "the user's tag names another secret, or the user has no such tag",
        next: "give each secret its own user, or correct the tag"
    }
    NoCurrentValue {
        found: "the secret has no AWSCURRENT value",
        next: "store one; a placeholder is enough"
    }
    TooManyLabels {
        found: "the secret has so many staging labels that a rotation's own ones do not fit; no key was made",
        next: "take the labels off that nobody needs; the error names them"
    }
    ValueTooLong {
        found: "with a new credential the value would be longer than a secret may be; no key was made",
        next: "take fields out of the value that no program reads; the error names the longest one"
    }
    MalformedSecret {
        found: "a labelled version is not the JSON that is rotated",
        next: "correct it, or take its labels off"
    }
    SecretOfAnotherUser {
        found: "`username` or `iam_user_arn` in the value is another user's",
        next: "correct the value, or `iam_user`"
    }
    HostsOffline {
        found: "Systems Manager does not reach a host; no key was made",
        next: "start the host or its agent, or remove it from the file"
    }
    DocumentChanged {
        found: "the document is not what the deployer wrote: whoever changed it could run anything on the hosts",
        next: "find out who changed it, then `deployer apply --during-rotation`"
    }
    PendingEmpty {
        found: "AWSPENDING holds no credential",
        next: "wait for the next attempt, then `deployer recover`"
    }
    PendingKeyGone {
        found: "the pending credential's key is deleted or Inactive",
        next: "`deployer recover`"
    }
    KeyStateUnclear {
        found: "IAM lists a key as deleted or Inactive, but SES accepts it or does not answer: the list may be old",
        next: "nothing: Secrets Manager tries again"
    }
    RolledBack {
        found: "AWSCURRENT was moved back from the version that hosts were told of",
        next: "`deployer recover` shows which credential works"
    }
    WasComplete {
        found: "Secrets Manager tried a completed rotation again, because somebody edited another field; the function took AWSPENDING off",
        next: "nothing; `deployer rotate` if a new rotation is wanted"
    }
    CurrentIsNewer {
        found: "somebody stored a newer credential by hand during a rotation",
        next: "`deployer recover` shows which credential works"
    }
    NoSafeSlot {
        found: "no access key may be deleted for a new one; the error names each with its age, last use and the reason",
        next: "wait until the time that it names; if KEY leaked or no host uses it, `deployer rotate --leaked KEY`; before the first \
            rotation, give every host the current credential and delete the other key with \
            `aws iam delete-access-key --user-name USER --access-key-id KEY`; `deployer recover` deletes a key that a rotation lost"
    }
    RotationOpen {
        found: "somebody asked to delete keys while a rotation is open",
        next: "wait for its end; `deployer recover`"
    }
    HostsNotOnCurrent {
        found: "somebody asked to delete keys while hosts may have another credential than AWSCURRENT",
        next: "`deployer rotate`, then ask again"
    }
    CurrentKeyNotActive {
        found: "somebody asked to delete keys while AWSCURRENT's own key is not Active",
        next: "`deployer recover`"
    }
    LeakedInUse {
        found: "somebody asked to delete a leaked key that hosts may need",
        next: "`deployer rotate --leaked KEY`, which replaces it first"
    }
    LabelsMoved {
        found: "something changed right before a key was deleted or a credential was stored (a label moved, or the key was used); every key that a host may use is unchanged",
        next: "nothing: Secrets Manager tries again"
    }
    KeyLeftInactive {
        found: "the function made a key Inactive that has to stay, and could not make it Active again",
        next: "run the command that it prints **now**, else mail stops"
    }
    KeyLimitReached {
        found: "another invocation made a key first",
        next: "nothing: Secrets Manager tries again"
    }
    KeyCreationUnclear {
        found: "the answer to CreateAccessKey was lost",
        next: "nothing on an owned user; else `deployer recover` once the slot is needed"
    }
    StoreRefused {
        found: "Secrets Manager did not store the new value; the error says whether its key is deleted",
        next: "nothing, or delete the key that it names"
    }
    TokenTaken {
        found: "another invocation stored its value first; the error says whether this one's key is deleted",
        next: "nothing, or delete the key that it names"
    }
    StoreUnclear {
        found: "the answer to PutSecretValue was lost",
        next: "nothing: the next attempt finds out"
    }
    LoginRefused {
        found: "SES does not accept the new key",
        next: "check whether the key is Active; `deployer recover`"
    }
    HostsFailed {
        found: "the script did not succeed on every host; the error has each host's output",
        next: "correct the script or the host; Secrets Manager tries again"
    }
    HostDidNotConfirm {
        found: "the script succeeded on a host, but did not print the id of the new access key",
        next: "correct the script: it has to print the id of the access key that the host now uses; Secrets Manager tries again"
    }
    TestMailMalformed {
        found: "`ses.sender` or `ses.recipient` is not an address",
        next: "correct it"
    }
    TestMailRefused {
        found: "SES refuses the test mail",
        next: "on 554 check the sender's identity, and the user's policies with their conditions, such as `aws:SourceIp`"
    }
    CurrentMoved {
        found: "AWSCURRENT moved while the rotation ran",
        next: "find out who moved it, then `deployer rotate`"
    }
    NotEnoughTime {
        found: "the function has too little time left for the next part",
        next: "nothing, or raise `function.timeout`"
    }
    DeadlineReached {
        found: "the function's time ended before the step did",
        next: "nothing, or raise `function.timeout`"
    }
    Aws {
        found: "a call failed; the error has AWS's words and the request id",
        next: "what it says; on AccessDenied `deployer apply --during-rotation`"
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, text};

    fn refusal() -> Refusal {
        Refusal {
            kind: RefusalKind::UnknownToken,
            found: "the secret has no version v".into(),
            not_done: "nothing was changed".into(),
            next: vec![text!["run ", Command::deployer("rotate")]],
            until: None,
            exit_codes: vec![127],
        }
    }

    #[test]
    fn a_refusal_is_one_sentence_of_its_parts() {
        let sentence = "the secret has no version v; nothing was changed; run `deployer rotate`";
        assert_eq!(refusal().to_string(), sentence);
    }

    #[test]
    fn a_refusal_survives_its_json_and_is_known_by_its_name() {
        let json = serde_json::to_value(refusal()).unwrap();
        assert_eq!(json["kind"], "UnknownToken");
        assert_eq!(serde_json::from_value::<Refusal>(json).unwrap(), refusal());
    }

    #[test]
    fn the_table_of_errors_has_a_row_for_every_kind() {
        let row = |kind: &RefusalKind| format!("| `{kind}` | {} | {} |", kind.found(), kind.next());
        let page = include_str!("../../docs/when-a-rotation-fails.md");
        let is_kind = |line: &&str| line.strip_prefix("| `").is_some_and(|rest| rest.starts_with(char::is_uppercase));
        let found: Vec<&str> = page.lines().filter(is_kind).collect();
        let expected: Vec<String> = RefusalKind::ALL.iter().map(row).collect();
        assert_eq!(found, expected, "the table should be:\n{}", expected.join("\n"));
    }
}
