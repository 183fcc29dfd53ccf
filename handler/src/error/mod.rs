//! Every refusal is a variant of its own. Its text says what was found, what was not done and what
//! to do next; it never holds a secret.

mod attempts;
mod cause;
mod host_result;
mod key_state;
mod labels;

use std::{
    fmt::{self, Display},
    time::{Duration, SystemTime},
};

use aws_sdk_iam::operation::RequestId;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::{DEPLOYING, Login, Obstacle, SettingsError, SmtpEndpoint, TAG_SECRET};

use labels::{activate, clear_pending, delete, move_label};

use crate::decide::{
    keys::{KeptKey, MustStay},
    settled::Unsettled,
};

pub(crate) use attempts::{Attempts, SmtpRefusal};
pub(crate) use cause::Cause;
pub(crate) use host_result::HostResult;
pub(crate) use key_state::KeyState;
pub(crate) use labels::CrossedLabels;

/// Why a step failed.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
pub(crate) enum Error {
    /// The function's environment is not what the deployer writes.
    #[error("{0}; nothing was done; run `deployer apply --during-rotation` to write the function's environment again")]
    Settings(#[from] SettingsError),

    /// A field of the event is missing or is not a string.
    #[error(
        "the event has no text in its field {field}; nothing was done; this function is to be invoked by Secrets \
         Manager's rotation, or with an event of its own (`{{\"event\": \"report\"}}`)"
    )]
    EventFieldMissing {
        /// The field.
        field: &'static str,
    },

    /// The event has a field `event`, and is none that this function answers.
    #[error(
        "the event cannot be read: {problem}; nothing was done; it is one of {{\"event\": \"report\"}}, \"retire\", \
         \"end_grace\" with a key, and \"upkeep\""
    )]
    EventMalformed {
        /// What is wrong with it.
        problem: String,
    },

    /// The event's step is none of the four.
    #[error(
        "the event's Step is `{step}`, which is none of createSecret, setSecret, testSecret and finishSecret; nothing \
         was done"
    )]
    UnknownStep {
        /// What was found.
        step: String,
    },

    /// The event names a secret that this function does not rotate.
    #[error(
        "the event is about the secret {found}, and this function rotates {expected} only; nothing was done; point that \
         secret's rotation at its own function"
    )]
    WrongSecret {
        /// The event's.
        found: String,
        /// Ours, without the suffix.
        expected: String,
    },

    /// Rotation is turned off.
    #[error(
        "rotation is turned off for {secret}; the step went no further; run `deployer apply` to turn it on again, after a look at \
         who ran CancelRotateSecret"
    )]
    RotationDisabled {
        /// The secret.
        secret: String,
    },

    /// The token names no version.
    #[error(
        "the secret has no version {version}, so Secrets Manager did not begin this rotation, or has dropped it; the step \
         went no further; start a new one with `deployer rotate`"
    )]
    UnknownToken {
        /// The token.
        version: String,
    },

    /// The token's version is neither AWSPENDING nor AWSCURRENT.
    #[error(
        "the version {version} is not AWSPENDING (its labels: {}), so somebody ended this rotation; the step went no \
         further; start a new one with `deployer rotate`: it goes on with the credential that hosts may have been told of",
        list(labels)
    )]
    NotPending {
        /// The token.
        version: String,
        /// Its labels.
        labels: Vec<String>,
    },

    /// The pending version lacks the label that keeps its key alive once a host knows it.
    #[error(
        "the version {version} is AWSPENDING without the label DEPLOYING, so it was not stored by this function, or another \
         rotation overtook it; the step went no further; if a host may have its credential, put DEPLOYING on it (`{}`), and \
         Secrets Manager goes on with it; else clear AWSPENDING (`{}`) and start a new rotation",
        move_label(secret, DEPLOYING, deploying.as_deref(), version),
        clear_pending(secret, version)
    )]
    NotMarkedDeploying {
        /// The secret.
        secret: String,
        /// The token.
        version: String,
        /// DEPLOYING's version.
        deploying: Option<String>,
    },

    /// The endpoint's name does not resolve.
    #[error(
        "the SMTP endpoint {host} does not resolve ({cause}); no key was made; not every region has an endpoint: check the \
         region, or the DNS of the function's network"
    )]
    EndpointUnresolved {
        /// The host name.
        host: String,
        /// Why not.
        cause: String,
    },

    /// Nobody answers at the endpoint.
    #[error(
        "the SMTP endpoint {endpoint} cannot be reached ({cause}); no key was made; check that the function's network lets \
         it out to that port"
    )]
    EndpointUnreachable {
        /// The endpoint.
        endpoint: SmtpEndpoint,
        /// Why not.
        cause: String,
    },

    /// The roots to trust cannot be used.
    #[error("TLS cannot be set up ({cause}); no login was tried; check SSL_CERT_FILE and the platform's certificates")]
    TlsUnusable {
        /// Why not.
        cause: String,
    },

    /// The IAM user does not exist.
    #[error(
        "the IAM user {user} does not exist; no key was made; create it, or run `deployer apply` if it is ours to create"
    )]
    UserMissing {
        /// Its name.
        user: String,
    },

    /// The user's tag names no secret or another one.
    #[error(
        "the IAM user {user} {}, and this secret is {expected}; no key was made, since two secrets on one user would \
         delete each other's keys; give each secret a user of its own, or correct the tag",
        found.as_ref().map_or_else(|| format!("has no tag {TAG_SECRET}"), |found| format!("serves {found} (tag {TAG_SECRET})"))
    )]
    UserServesAnother {
        /// The user.
        user: String,
        /// Its tag's value.
        found: Option<String>,
        /// What it should be.
        expected: String,
    },

    /// There is no AWSCURRENT value to rotate.
    #[error(
        "{secret} has no AWSCURRENT value; no key was made; store one first, a placeholder will do: \
         {{\"username\": \"the IAM user's name\"}}"
    )]
    NoCurrentValue {
        /// The secret.
        secret: String,
    },

    /// A version's value is not our JSON.
    #[error(
        "version {version} of the secret (labels: {}): {problem}; no key was made or deleted; correct the value, or take the \
         labels off a version that nobody needs",
        list(labels)
    )]
    MalformedSecret {
        /// The version.
        version: String,
        /// Its labels.
        labels: Vec<String>,
        /// What is wrong; does not quote the value.
        problem: String,
    },

    /// AWSCURRENT's value names another IAM user.
    #[error(
        "the secret's value belongs to the IAM user {found}, and this function rotates the keys of {expected}; no key was \
         made; correct iam_user in the configuration, or username and iam_user_arn in the secret"
    )]
    SecretOfAnotherUser {
        /// Name or ARN in the value.
        found: String,
        /// The configured ARN.
        expected: String,
    },

    /// A host does not answer Systems Manager.
    #[error(
        "Systems Manager cannot reach every host ({}); no key was made, since such a host would keep the old credential; \
         start the host and its SSM agent, or remove it from the configuration",
        hosts.join("; ")
    )]
    HostsOffline {
        /// Each with its state.
        hosts: Vec<String>,
    },

    /// The pending version has no credential.
    #[error(
        "the AWSPENDING version {version} holds no credential; no host was told; Secrets Manager tries again; if this \
         repeats, clear AWSPENDING (`{}`) and start a new rotation",
        clear_pending(secret, version)
    )]
    PendingEmpty {
        /// The secret.
        secret: String,
        /// The token.
        version: String,
    },

    /// The pending version's key is not there any more, or not Active.
    #[error(
        "the pending credential's access key {key} is {state}, so it cannot be accepted; no key was made; {}clear AWSPENDING \
         (`{}`) and start a new rotation",
        match state {
            KeyState::Deleted => String::new(),
            KeyState::Inactive => format!(
                "activate the key (`{}`), and Secrets Manager goes on with it; or, if no host uses it, delete it (`{}`), ",
                activate(user, key),
                delete(user, key)
            ),
        },
        clear_pending(secret, version)
    )]
    PendingKeyGone {
        /// The IAM user.
        user: String,
        /// The key.
        key: String,
        /// How it is.
        state: KeyState,
        /// The secret.
        secret: String,
        /// The token.
        version: String,
    },

    /// An operator moved AWSCURRENT back behind the version that hosts were told of.
    #[error(
        "AWSCURRENT was moved back from version {}, which hosts were told of (it is labelled AWSPREVIOUS and DEPLOYING); no \
         key was made or deleted, since hosts may use either; {}",
        .0.deploying,
        .0
    )]
    RolledBack(CrossedLabels),

    /// An operator put a newer credential behind AWSCURRENT. To roll forward would take it away again, and to make a new
    /// key would move DEPLOYING, which is all that protects the key that hosts may have been told of.
    #[error(
        "AWSCURRENT's version {} holds a credential that was put there after version {}, which hosts may have been told of \
         (it is labelled DEPLOYING); no key was made or deleted, since hosts may use either; {}",
        .0.current,
        .0.deploying,
        .0
    )]
    CurrentIsNewer(CrossedLabels),

    /// IAM says that a key cannot be used, and SES does not say so.
    #[error(
        "IAM lists the access key {key} of version {version} as {state}, {}: IAM's list may be older than its last change, \
         and hosts may be using the key; no key was made or deleted; Secrets Manager tries again, and by then the two agree",
        match ses {
            Login::Accepted => "and SES accepts it".to_owned(),
            Login::Refused(words) | Login::Unclear(words) => format!("and SES did not say whether it accepts it ({words})"),
        }
    )]
    KeyStateUnclear {
        /// The key.
        key: String,
        /// The version that names it.
        version: String,
        /// IAM's word.
        state: KeyState,
        /// SES's answer to a login with it.
        ses: Login,
    },

    /// Both of the user's keys may be in use.
    #[error(
        "the IAM user {user} has two access keys, which is the most that IAM allows, and neither may go: {}; no key was made \
         or deleted; one of the two has to become free, then Secrets Manager goes on; a key is deleted with `{}`",
        list(keys),
        delete(user, "KEY")
    )]
    NoSafeSlot {
        /// The user.
        user: String,
        /// Both keys, each with the reason.
        keys: Vec<KeptKey>,
    },

    /// Labels were moved while a key was being freed.
    #[error(
        "the access key {key} was about to be deleted, and then this was found: {reason}; it is as it was before, and no key \
         was made or deleted; Secrets Manager tries a rotation again, anything else is to be asked for again; do not move \
         labels meanwhile"
    )]
    LabelsMoved {
        /// The key.
        key: String,
        /// What was found.
        reason: String,
    },

    /// A key's grace is not ended while hosts may be changing over, or may be elsewhere than on AWSCURRENT.
    #[error("{found}; the access key {key} was not touched; {}", way_to_settle(secret, found))]
    Unsettled {
        /// The key that was to go.
        key: String,
        /// The secret.
        secret: String,
        /// What was found.
        found: Unsettled,
    },

    /// Something else than its grace keeps a key.
    #[error(
        "something else than its grace keeps the access key {key}; it was not touched; {}",
        way_to_let_go(user, key)
    )]
    KeptByMore {
        /// The IAM user.
        user: String,
        /// The key, with the reason.
        key: Box<KeptKey>,
    },

    /// A key that was deactivated is to stay, and could not be made Active again.
    #[error(
        "the access key {key} was deactivated to be deleted, then this was found: {found}; and it is not Active again \
         ({problem}): a host that uses it cannot send; run `{}` now; no key was made",
        activate(user, key)
    )]
    KeyLeftInactive {
        /// The user.
        user: String,
        /// The key.
        key: String,
        /// Why it is to stay.
        found: String,
        /// Why it is not Active.
        problem: Box<Error>,
    },

    /// The user has two keys, though fewer were listed a moment ago.
    #[error(
        "IAM makes no further access key for {user} ({cause}), although a slot was free: another invocation was faster, or \
         the list of keys was an old one; nothing was made; nothing needs to be done: Secrets Manager tries again"
    )]
    KeyLimitReached {
        /// The user.
        user: String,
        /// AWS's refusal.
        cause: Cause,
    },

    /// The answer to CreateAccessKey was lost.
    #[error(
        "it is not known whether IAM made an access key for {user} ({cause}); the call was not sent again, and nothing was \
         stored; if it made one, nobody knows its secret: on a user that the deployer owns a later rotation deletes it, \
         else delete the newest, never used key by hand"
    )]
    KeyCreationUnclear {
        /// The user.
        user: String,
        /// What was heard instead.
        cause: Cause,
    },

    /// Secrets Manager refused the new value.
    #[error(
        "the credential with the new access key {key} was not stored ({cause}); {fate}; no host was told{}",
        cause_hint(cause)
    )]
    StoreRefused {
        /// The key.
        key: String,
        /// AWS's refusal.
        cause: Cause,
        /// What became of the key.
        fate: KeyFate,
    },

    /// It is not known whether Secrets Manager stored the new value.
    #[error(
        "it is not known whether the credential with the access key {key} was stored ({cause}); the key was kept, since it \
         may have been; Secrets Manager tries again, and the next attempt finds out"
    )]
    StoreUnclear {
        /// The key.
        key: String,
        /// What was heard instead.
        cause: Cause,
    },

    /// Another invocation stored another value under this token.
    #[error(
        "another invocation of createSecret stored another credential under this token first, so the one with the access \
         key {key} was dropped; {fate}; Secrets Manager tries again and goes on with the stored one"
    )]
    TokenTaken {
        /// The key that was not stored.
        key: String,
        /// What became of the key.
        fate: KeyFate,
    },

    /// SES did not accept the pending credential.
    #[error(
        "{endpoint} did not accept {in_a_row} logins in a row with the access key {key}: {}; AWSCURRENT was not \
         moved, and every host keeps what it has; Secrets Manager tries again; on 535, look whether the key is Active; if it \
         is never accepted and no host uses it (setSecret tells hosts only after this), delete it: the next attempt then \
         names the command that makes way for a new one",
        describe(attempts)
    )]
    LoginRefused {
        /// The endpoint.
        endpoint: SmtpEndpoint,
        /// The key.
        key: String,
        /// How many were needed.
        in_a_row: u32,
        /// How it went.
        attempts: Attempts,
    },

    /// The script did not succeed on every host.
    #[error(
        "the script did not succeed on every host; AWSCURRENT was not moved, and no key was touched; correct the \
         script or the host (Run Command {command}) and let the rotation run again; {}",
        list(results)
    )]
    HostsFailed {
        /// The command's id.
        command: String,
        /// Every host's result.
        results: Vec<HostResult>,
    },

    /// The configured addresses make no mail.
    #[error(
        "`{address}` cannot be used for the test mail ({cause}); no mail was sent; correct ses.sender and ses.recipient"
    )]
    TestMailMalformed {
        /// The address.
        address: String,
        /// Why not.
        cause: String,
    },

    /// SES did not take the test mail.
    #[error(
        "{endpoint} did not take the test mail with the access key {key}: {}; AWSCURRENT was not moved, and no key was \
         touched; on 554, look at the user's policy (ses:SendRawEmail) and at whether the sender's identity is verified",
        describe(attempts)
    )]
    TestMailRefused {
        /// The endpoint.
        endpoint: SmtpEndpoint,
        /// The key.
        key: String,
        /// How it went.
        attempts: Attempts,
    },

    /// AWSCURRENT was moved by somebody else meanwhile.
    #[error(
        "AWSCURRENT was on version {expected} and is on {found} now, so somebody moved it while the rotation ran; it was not \
         moved to {version}; look who did, and start a new rotation: it goes on with the credential that hosts were told of"
    )]
    CurrentMoved {
        /// The pending version.
        version: String,
        /// Where AWSCURRENT was.
        expected: String,
        /// Where it is.
        found: String,
    },

    /// There is not enough time left for what must not be cut off.
    #[error(
        "{} s of the function's time are left, and {} s are needed {purpose}; it was not begun; Secrets Manager tries again; if \
         this repeats, raise function.timeout",
        remaining.as_secs(), needed.as_secs()
    )]
    NotEnoughTime {
        /// What it is needed for.
        purpose: &'static str,
        /// How much that takes.
        needed: Duration,
        /// How much is left.
        remaining: Duration,
    },

    /// The function's time is over.
    #[error(
        "the function's time ended before the step did; AWS may still carry out the last call, whose outcome the log does not \
         show; Secrets Manager tries again, and every step can be repeated; if this repeats, raise function.timeout"
    )]
    DeadlineReached,

    /// A call failed, and what it should have done was not done, or may not have been.
    #[error("{action} failed: {cause}; the step ended there{}", cause_hint(cause))]
    Aws {
        /// The call, as an IAM policy names it.
        action: &'static str,
        /// AWS's words.
        cause: Cause,
    },
}

impl Error {
    /// A failed call.
    pub(crate) fn aws<E>(action: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
    {
        Self::Aws { action, cause: Cause::from(error) }
    }

    /// An answer that is not what the API promises.
    #[must_use]
    pub(crate) fn aws_answer(action: &'static str, problem: &str) -> Self {
        Self::Aws { action, cause: Cause::no_answer(problem) }
    }

    /// From when on the clock alone lets the rotation go on.
    #[must_use]
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::NoSafeSlot { keys, .. } => keys.iter().filter_map(|key| key.until).min(),
            _ => None,
        }
    }

    /// What stands in the rotation's way.
    #[must_use]
    pub(crate) fn obstacle(&self) -> Obstacle {
        match self {
            Self::RolledBack(_) | Self::CurrentIsNewer(_) => Obstacle::CrossedLabels,
            Self::PendingEmpty { .. } | Self::PendingKeyGone { .. } | Self::NotMarkedDeploying { .. } => {
                Obstacle::PendingVersion
            }
            Self::NoSafeSlot { .. } => Obstacle::NoSafeSlot,
            // Before createSecret makes a key, every call reads.
            Self::Aws { .. } | Self::KeyStateUnclear { .. } => Obstacle::Unread,
            _ => Obstacle::Other,
        }
    }

    /// The error type that Lambda reports and that the log carries: the name of the variant, or of what was found unsettled.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unsettled { found: Unsettled::RotationOpen { .. }, .. } => "RotationOpen",
            Self::Unsettled { found: Unsettled::HostsNotOnCurrent { .. }, .. } => "HostsNotOnCurrent",
            Self::Unsettled { found: Unsettled::CurrentKeyNotActive { .. }, .. } => "CurrentKeyNotActive",
            other => other.into(),
        }
    }
}

/// What became of the key of a value that was not stored.
#[derive(Debug)]
pub(crate) enum KeyFate {
    /// It was made for that value, and is gone.
    Deleted,
    /// It was made for that value, and is still there.
    NotDeleted(Box<Error>),
    /// It is the key of a value that another rotation stored.
    NotMade,
}

impl fmt::Display for KeyFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("the key was deleted again"),
            Self::NotDeleted(error) => {
                write!(f, "the key could not be deleted ({error}): delete it by hand, nobody uses it")
            }
            Self::NotMade => f.write_str("no key was made or deleted"),
        }
    }
}

fn way_to_settle(secret: &str, found: &Unsettled) -> String {
    match found {
        Unsettled::RotationOpen { version } => format!(
            "wait until the rotation has completed, or give it up (`{}`); then ask again",
            clear_pending(secret, version)
        ),
        Unsettled::HostsNotOnCurrent { .. } => {
            "run `deployer rotate`: it goes on with the credential that hosts may have \
                                                been told of, or names the ways out; then ask again"
                .to_owned()
        }
        Unsettled::CurrentKeyNotActive { .. } => {
            "activate AWSCURRENT's key if a host needs it, or run `deployer rotate` for a new one; then ask again"
                .to_owned()
        }
    }
}

fn way_to_let_go(user: &str, KeptKey { key, reason, .. }: &KeptKey) -> String {
    match reason {
        MustStay::Protected { .. } => {
            "if it leaked, run `deployer rotate` first: then it is the previous key, and its grace can be ended"
                .to_owned()
        }
        MustStay::OnlyActiveKey | MustStay::TooYoung => "ask again when that has changed".to_owned(),
        _ => format!("if no host needs it, or it leaked, delete it by hand (`{}`)", delete(user, &key.key.id)),
    }
}

fn list(items: &[impl Display]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn describe(attempts: &Attempts) -> String {
    let Attempts { made, accepted, lasted, last } = attempts;
    let seconds = lasted.as_secs();
    let last = last.as_ref().map_or("none was answered", |SmtpRefusal { text, .. }| text);
    format!("{accepted} of {made} attempts in {seconds} s were accepted, the last refusal: {last}")
}

fn cause_hint(cause: &Cause) -> &'static str {
    if cause.is_denied() {
        "; run `deployer apply --during-rotation` to give the function's role its policy again, and look for a policy \
         elsewhere that denies this"
    } else if cause.refused && !cause.is_throttling() {
        ""
    } else {
        "; Secrets Manager tries again"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::VariantNames as _;

    use super::*;

    fn cause(code: &str) -> Cause {
        Cause { code: Some(code.into()), message: "no.".into(), request_id: Some("r-1".into()), refused: true }
    }

    fn crossed() -> CrossedLabels {
        CrossedLabels { secret: "arn".into(), current: "v1".into(), deploying: "v2".into(), is_pending: false }
    }

    #[test]
    fn every_way_out_over_labels_is_a_complete_command() {
        let (secret, version) = ("arn".to_owned(), "v2".to_owned());
        let clear = "(`aws secretsmanager update-secret-version-stage --secret-id arn --version-stage AWSPENDING \
                     --remove-from-version-id v2`)";
        let gone = |state| {
            let (user, key, secret, version) = ("u".into(), "AKIA".into(), secret.clone(), version.clone());
            Error::PendingKeyGone { user, key, state, secret, version }.to_string()
        };
        let not_marked = |deploying: Option<&str>| {
            let (secret, version, deploying) = (secret.clone(), version.clone(), deploying.map(str::to_owned));
            Error::NotMarkedDeploying { secret, version, deploying }.to_string()
        };
        assert!(not_marked(Some("v1")).contains("--move-to-version-id v2 --remove-from-version-id v1`)"));
        assert!(not_marked(None).contains("--version-stage DEPLOYING --move-to-version-id v2`)"));
        for error in [
            Error::PendingEmpty { secret: secret.clone(), version: version.clone() }.to_string(),
            not_marked(Some("v1")),
            not_marked(None),
            gone(KeyState::Deleted),
            gone(KeyState::Inactive),
        ] {
            assert!(error.contains(clear), "{error}");
        }
        for key_command in [
            "aws iam update-access-key --user-name u --access-key-id AKIA --status Active",
            "aws iam delete-access-key --user-name u --access-key-id AKIA",
        ] {
            assert!(gone(KeyState::Inactive).contains(key_command) && !gone(KeyState::Deleted).contains(key_command));
        }
        for error in [Error::RolledBack(crossed()).to_string(), Error::CurrentIsNewer(crossed()).to_string()] {
            for command in [
                "--secret-id arn --version-stage AWSCURRENT --move-to-version-id v2 --remove-from-version-id v1`",
                "--secret-id arn --version-stage DEPLOYING --move-to-version-id v1 --remove-from-version-id v2`",
            ] {
                assert!(error.contains(command), "{error}");
            }
        }
    }

    #[test]
    fn a_rollback_with_awspending_left_behind_says_to_clear_it_too() {
        let text = |is_pending| Error::RolledBack(CrossedLabels { is_pending, ..crossed() }).to_string();
        let clear = "--secret-id arn --version-stage AWSPENDING --remove-from-version-id v2`) and start a new rotation";
        assert!(text(true).ends_with(clear) && !text(false).contains("AWSPENDING"), "{}", text(true));
    }

    #[test]
    fn a_token_that_is_taken_says_whether_a_key_is_left() {
        let error = |fate| Error::TokenTaken { key: "AKIA".into(), fate }.to_string();
        assert!(error(KeyFate::Deleted).contains("the key was deleted again"));
        assert!(error(KeyFate::NotMade).contains("no key was made or deleted"));
    }

    #[test]
    fn the_contract_knows_every_error_type() {
        let unsettled = ["RotationOpen", "HostsNotOnCurrent", "CurrentKeyNotActive"];
        let types = Error::VARIANTS.iter().chain(&unsettled).filter(|name| **name != "Unsettled");
        let known: BTreeSet<&str> = contract::RefusalKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(known, types.copied().collect());
    }

    #[test]
    fn the_error_type_is_the_variants_name() {
        let errors = [
            Error::PendingEmpty { secret: "s".into(), version: "v".into() },
            Error::CurrentIsNewer(crossed()),
            Error::DeadlineReached,
            Error::UnknownToken { version: "v".into() },
            Error::aws_answer("iam:GetUser", "garbage"),
        ];
        for error in errors {
            let debug = format!("{error:?}");
            assert_eq!(debug.split(|c: char| !c.is_alphanumeric()).next().unwrap(), error.kind());
        }
    }

    #[test]
    fn a_denied_call_is_told_with_awss_words_once_and_what_to_do() {
        let error = Error::Aws { action: "iam:GetUser", cause: cause("AccessDenied") };
        assert_eq!(
            error.to_string(),
            "iam:GetUser failed: AccessDenied: no (request r-1); the step ended there; run `deployer apply \
             --during-rotation` to give the function's role its policy again, and look for a policy elsewhere that denies this"
        );
    }

    #[test]
    fn a_refused_value_says_whether_the_key_is_gone() {
        let refused =
            |fate| Error::StoreRefused { key: "AKIA".into(), cause: cause("LimitExceededException"), fate }.to_string();
        assert!(refused(KeyFate::Deleted).contains("the key was deleted again"));
        let still_there = Error::Aws { action: "iam:DeleteAccessKey", cause: cause("ServiceFailure") };
        assert!(refused(KeyFate::NotDeleted(Box::new(still_there))).contains("delete it by hand"));
    }

    #[test]
    fn a_user_without_the_tag_and_a_user_of_another_secret_are_told_apart() {
        let error = |found: Option<&str>| {
            Error::UserServesAnother { user: "u".into(), found: found.map(Into::into), expected: "r/s".into() }
                .to_string()
        };
        assert!(error(None).starts_with("the IAM user u has no tag deployer:secret, and this secret is r/s;"));
        assert!(error(Some("r/t")).starts_with("the IAM user u serves r/t (tag deployer:secret), and"));
    }

    #[test]
    fn a_login_that_was_not_accepted_quotes_the_last_refusal() {
        let last = Some(SmtpRefusal { code: Some(535), text: "permanent error (535): no".into() });
        let attempts = Attempts { made: 40, accepted: 2, lasted: Duration::from_secs(119), last };
        let endpoint = SmtpEndpoint::of_region("eu-west-1");
        let error = Error::LoginRefused { endpoint, key: "AKIA".into(), in_a_row: 3, attempts };
        assert!(
            error
                .to_string()
                .contains("2 of 40 attempts in 119 s were accepted, the last refusal: permanent error (535): no")
        );
    }
}
