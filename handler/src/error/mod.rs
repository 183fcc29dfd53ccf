//! Every sort of refusal is a variant of its own, which says what was found, what was not done and what to do next. No variant
//! holds a secret.

mod attempts;
mod cause;
mod crossed_labels;
mod host_result;
mod key_state;
mod refusal;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_sdk_iam::operation::RequestId;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::{AWSCURRENT, Denial, Login, RefusalKind, SettingsError, SmtpEndpoint};

pub(crate) use attempts::{Attempts, SmtpRefusal};
pub(crate) use cause::Cause;
pub(crate) use crossed_labels::CrossedLabels;
pub(crate) use host_result::HostResult;
pub(crate) use key_state::KeyState;

use crate::decide::{keys::KeptKey, settled::Unsettled};

/// Why the function did not do what it was asked for: a variant for each sort.
#[derive(Debug)]
pub(crate) enum Error {
    /// The function's environment is not what the deployer writes.
    Settings(SettingsError),

    /// A field of the event is missing or is not a string.
    EventFieldMissing { field: &'static str },

    /// The event has a field `event`, and its text is none that this function knows.
    EventMalformed {
        /// What is wrong with it.
        problem: String,
    },

    /// The event's step is none of the four.
    UnknownStep {
        /// The event's.
        step: String,
    },

    /// The event names a secret that this function does not rotate.
    WrongSecret {
        /// The event's.
        found: String,
        /// Ours, without the suffix.
        expected: String,
    },

    /// Rotation is turned off.
    RotationDisabled { secret: String },

    /// The token names no version.
    UnknownToken {
        /// The token.
        version: String,
    },

    /// The token's version is neither AWSPENDING nor AWSCURRENT.
    NotPending {
        /// The token.
        version: String,
        /// Its labels.
        labels: Vec<String>,
    },

    /// The pending version lacks the label that keeps its key alive once a host knows it.
    NotMarkedDeploying {
        secret: String,
        /// The token.
        version: String,
        /// DEPLOYING's version.
        deploying: Option<String>,
    },

    /// The pending version is not the one that every host has confirmed.
    HostsNotTold {
        /// The token.
        version: String,
        /// TOLD's version.
        told: Option<String>,
    },

    /// The endpoint's name does not resolve.
    EndpointUnresolved { host: String, cause: String },

    /// The endpoint cannot be reached.
    EndpointUnreachable { endpoint: SmtpEndpoint, cause: String },

    /// The roots to trust cannot be used.
    TlsUnusable { cause: String },

    /// The IAM user does not exist.
    UserMissing { user: String },

    /// The user's tag names no secret or another one.
    UserServesAnother {
        user: String,
        /// Its tag's value.
        found: Option<String>,
        /// What it should be.
        expected: String,
    },

    /// There is no AWSCURRENT value to rotate.
    NoCurrentValue { secret: String },

    /// The labels that a rotation sets would be more than AWS allows.
    TooManyLabels {
        secret: String,
        /// How many labels the secret's versions have.
        has: usize,
        /// How many a rotation adds.
        adds: usize,
        /// The version and the label of each that is neither AWS's nor ours.
        others: Vec<(String, String)>,
    },

    /// AWSCURRENT's value has no room for a new credential.
    ValueTooLong {
        /// How many bytes it would have with one.
        bytes: usize,
        /// The longest field that is not ours, and its length in bytes.
        longest: Option<(String, usize)>,
    },

    /// A version's value is not our JSON.
    MalformedSecret {
        version: String,
        /// Its labels.
        labels: Vec<String>,
        /// What is wrong; does not quote the value.
        problem: String,
    },

    /// AWSCURRENT's value names another IAM user.
    SecretOfAnotherUser {
        /// The value's field.
        field: &'static str,
        /// What stands in it.
        found: String,
        /// The configured ARN.
        expected: String,
    },

    /// Systems Manager does not reach a host.
    HostsOffline {
        /// Each with its state.
        hosts: Vec<String>,
    },

    /// The document is not the one whose digest the environment names.
    DocumentChanged {
        document: String,
        /// The number of the version that would run.
        version: String,
    },

    /// The pending version has no credential.
    PendingEmpty {
        secret: String,
        /// The token.
        version: String,
    },

    /// The pending version's key is not there any more, or not Active.
    PendingKeyGone {
        user: String,
        key: String,
        /// How it is.
        state: KeyState,
        secret: String,
        /// The token.
        version: String,
    },

    /// An operator moved AWSCURRENT back behind the version that hosts were told of.
    RolledBack(CrossedLabels),

    /// The rotation had completed, and an edit by hand made a new version of its credential. AWSPENDING was taken off.
    WasComplete {
        version: String,
        /// Whether AWSPENDING was taken off.
        is_closed: bool,
    },

    /// An operator put a newer credential behind AWSCURRENT. To roll forward would take it away again, and to make a new
    /// key would move DEPLOYING, which is all that protects the key that hosts may have been told of.
    CurrentIsNewer(CrossedLabels),

    /// IAM says that a key cannot be used, and SES does not say so.
    KeyStateUnclear {
        key: String,
        /// The version that names it.
        version: String,
        /// IAM's word.
        state: KeyState,
        /// SES's answer to a login with it.
        ses: Login,
    },

    /// Both of the user's keys may be in use.
    NoSafeSlot {
        user: String,
        /// Both keys, each with the reason.
        keys: Vec<KeptKey>,
    },

    /// Labels were moved while a key was being freed.
    LabelsMoved {
        key: String,
        /// What was found.
        reason: String,
    },

    /// A key's grace is not ended while hosts may be switching, or may use another credential than AWSCURRENT's.
    Unsettled {
        /// The key that was to go.
        key: String,
        secret: String,
        /// What was found.
        found: Unsettled,
    },

    /// A key leaked that hosts may need.
    LeakedInUse {
        /// The key, with the reason.
        key: Box<KeptKey>,
    },

    /// A key that may go was made Inactive, and its deletion failed.
    KeyNotDeleted {
        key: String,
        /// AWS's words.
        cause: Cause,
    },

    /// A key that was made Inactive has to stay, and could not be made Active again.
    KeyLeftInactive {
        user: String,
        key: String,
        /// Why it has to stay.
        found: String,
        /// Why it is not Active.
        problem: Box<Error>,
    },

    /// The user has two keys, though fewer were listed a moment ago.
    KeyLimitReached {
        user: String,
        /// AWS's refusal.
        cause: Cause,
    },

    /// The answer to CreateAccessKey was lost.
    KeyCreationUnclear {
        user: String,
        /// What was heard instead.
        cause: Cause,
    },

    /// Secrets Manager refused the new value.
    StoreRefused {
        key: String,
        /// AWS's refusal.
        cause: Box<Cause>,
        /// What became of the key.
        fate: KeyFate,
    },

    /// It is not known whether Secrets Manager stored the new value.
    StoreUnclear {
        key: String,
        /// What was heard instead.
        cause: Cause,
    },

    /// Another invocation stored another value under this token.
    TokenTaken {
        /// The key that was not stored.
        key: String,
        /// What became of the key.
        fate: KeyFate,
    },

    /// SES did not accept the pending credential.
    LoginRefused {
        endpoint: SmtpEndpoint,
        key: String,
        /// How many were needed.
        in_a_row: u32,
        /// How it went.
        attempts: Attempts,
    },

    /// The script did not succeed on every host.
    HostsFailed {
        /// The command's id.
        command: String,
        /// Every host's result.
        results: Vec<HostResult>,
    },

    /// The script succeeded on every host, and not every output names the key.
    HostDidNotConfirm {
        /// The command's id.
        command: String,
        key: String,
        /// The hosts whose output does not name it.
        hosts: Vec<String>,
        /// Those of them whose output Systems Manager has cut.
        cut: Vec<String>,
    },

    /// The configured addresses make no mail.
    TestMailMalformed { address: String, cause: String },

    /// SES did not take the test mail.
    TestMailRefused {
        endpoint: SmtpEndpoint,
        key: String,
        /// How it went.
        attempts: Attempts,
        /// Whether the hosts may have been told of the key.
        hosts_told: bool,
    },

    /// A label was moved by somebody else meanwhile.
    LabelElsewhere {
        /// The label.
        label: String,
        /// Where it was to go.
        version: String,
        /// Where it was.
        expected: Option<String>,
        /// Where it is.
        found: Option<String>,
    },

    /// The rotation was ended, or DEPLOYING was moved, after createSecret had decided and before it stored anything.
    OvertakenBeforeStore {
        /// The key that was not stored.
        key: String,
        /// What was found.
        reason: String,
        /// What became of the key.
        fate: KeyFate,
    },

    /// There is not enough time left for what must not be cut off.
    NotEnoughTime {
        /// What it is needed for.
        purpose: &'static str,
        /// How much that takes.
        needed: Duration,
        /// How much is left.
        remaining: Duration,
    },

    /// The function's time is over.
    DeadlineReached,

    /// A call failed, and what it should have done was not done, or may not have been.
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

    /// What IAM denied, if that is the error.
    #[must_use]
    pub(crate) fn denial(&self) -> Option<Denial> {
        match self {
            Self::Aws { action, cause } if cause.is_denied() => {
                Some(Denial { action: (*action).to_owned(), cause: cause.to_string() })
            }
            _ => None,
        }
    }

    /// From when on the clock alone lets the rotation continue.
    #[must_use]
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::NoSafeSlot { keys, .. } => keys.iter().filter_map(|key| key.until).min(),
            _ => None,
        }
    }

    /// How the script ended on the hosts on which it failed.
    #[must_use]
    pub(crate) fn exit_codes(&self) -> Vec<i32> {
        match self {
            Self::HostsFailed { results, .. } => {
                results.iter().filter(|host| !host.succeeded()).filter_map(|host| host.exit_code).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The name of its sort.
    #[must_use]
    pub(crate) fn kind(&self) -> RefusalKind {
        match self {
            Self::Settings(_) => RefusalKind::Settings,
            Self::EventFieldMissing { .. } => RefusalKind::EventFieldMissing,
            Self::EventMalformed { .. } => RefusalKind::EventMalformed,
            Self::UnknownStep { .. } => RefusalKind::UnknownStep,
            Self::WrongSecret { .. } => RefusalKind::WrongSecret,
            Self::RotationDisabled { .. } => RefusalKind::RotationDisabled,
            Self::UnknownToken { .. } => RefusalKind::UnknownToken,
            Self::NotPending { .. } => RefusalKind::NotPending,
            Self::NotMarkedDeploying { .. } => RefusalKind::NotMarkedDeploying,
            Self::HostsNotTold { .. } => RefusalKind::HostsNotTold,
            Self::EndpointUnresolved { .. } => RefusalKind::EndpointUnresolved,
            Self::EndpointUnreachable { .. } => RefusalKind::EndpointUnreachable,
            Self::TlsUnusable { .. } => RefusalKind::TlsUnusable,
            Self::UserMissing { .. } => RefusalKind::UserMissing,
            Self::UserServesAnother { .. } => RefusalKind::UserServesAnother,
            Self::NoCurrentValue { .. } => RefusalKind::NoCurrentValue,
            Self::TooManyLabels { .. } => RefusalKind::TooManyLabels,
            Self::ValueTooLong { .. } => RefusalKind::ValueTooLong,
            Self::MalformedSecret { .. } => RefusalKind::MalformedSecret,
            Self::SecretOfAnotherUser { .. } => RefusalKind::SecretOfAnotherUser,
            Self::HostsOffline { .. } => RefusalKind::HostsOffline,
            Self::DocumentChanged { .. } => RefusalKind::DocumentChanged,
            Self::PendingEmpty { .. } => RefusalKind::PendingEmpty,
            Self::PendingKeyGone { .. } => RefusalKind::PendingKeyGone,
            Self::RolledBack(_) => RefusalKind::RolledBack,
            Self::WasComplete { .. } => RefusalKind::WasComplete,
            Self::CurrentIsNewer(_) => RefusalKind::CurrentIsNewer,
            Self::KeyStateUnclear { .. } => RefusalKind::KeyStateUnclear,
            Self::NoSafeSlot { .. } => RefusalKind::NoSafeSlot,
            Self::Unsettled { found, .. } => match found {
                Unsettled::RotationOpen { .. } => RefusalKind::RotationOpen,
                Unsettled::HostsNotOnCurrent { .. } => RefusalKind::HostsNotOnCurrent,
                Unsettled::CurrentKeyNotActive { .. } => RefusalKind::CurrentKeyNotActive,
            },
            Self::LeakedInUse { .. } => RefusalKind::LeakedInUse,
            Self::KeyLeftInactive { .. } => RefusalKind::KeyLeftInactive,
            Self::KeyLimitReached { .. } => RefusalKind::KeyLimitReached,
            Self::KeyCreationUnclear { .. } => RefusalKind::KeyCreationUnclear,
            Self::StoreRefused { .. } => RefusalKind::StoreRefused,
            Self::StoreUnclear { .. } => RefusalKind::StoreUnclear,
            Self::TokenTaken { .. } => RefusalKind::TokenTaken,
            Self::LoginRefused { .. } => RefusalKind::LoginRefused,
            Self::HostsFailed { .. } => RefusalKind::HostsFailed,
            Self::HostDidNotConfirm { .. } => RefusalKind::HostDidNotConfirm,
            Self::TestMailMalformed { .. } => RefusalKind::TestMailMalformed,
            Self::TestMailRefused { .. } => RefusalKind::TestMailRefused,
            Self::LabelElsewhere { label, .. } if label == AWSCURRENT => RefusalKind::CurrentMoved,
            Self::LabelElsewhere { .. } | Self::OvertakenBeforeStore { .. } | Self::LabelsMoved { .. } => {
                RefusalKind::LabelsMoved
            }
            Self::NotEnoughTime { .. } => RefusalKind::NotEnoughTime,
            Self::DeadlineReached => RefusalKind::DeadlineReached,
            Self::Aws { .. } | Self::KeyNotDeleted { .. } => RefusalKind::Aws,
        }
    }
}

/// The refusal as one sentence.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal().fmt(f)
    }
}

/// What became of the key of a value that was not stored.
#[derive(Debug)]
pub(crate) enum KeyFate {
    /// It was made for that value, and is deleted.
    Deleted,
    /// It was made for that value, and deleting it failed.
    NotDeleted {
        user: String,
        /// Why.
        problem: Box<Error>,
    },
    /// It is the key of a value that another rotation stored.
    NotMade,
}

impl fmt::Display for KeyFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("the key was deleted again"),
            Self::NotDeleted { problem, .. } => {
                write!(f, "the key could not be deleted ({})", problem.refusal().finding())
            }
            Self::NotMade => f.write_str("no key was made or deleted"),
        }
    }
}
