use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AWSCURRENT, AWSPENDING, DEPLOYING, Refusal, TOLD, Text};

/// How a secret, its user's keys and its hosts stand, and what a rotation would do now. No secret is in it.
///
/// Dates are RFC 3339, UTC, in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// The secret's ARN.
    pub secret: String,
    /// The IAM user's name.
    pub user: String,
    /// Whether rotation is on.
    pub rotation_enabled: bool,
    /// The version of an open rotation: it carries AWSPENDING and not AWSCURRENT.
    pub open: Option<String>,
    /// When a rotation last completed.
    pub last_rotated: Option<String>,
    /// When Secrets Manager begins the next one at the latest: the end of its window.
    pub next_rotation: Option<String>,
    /// When the previous key's grace ends; none if there is no date to count it from.
    pub grace_ends: Option<String>,
    /// Why a rotation should have happened and did not, and what to do; none if none is due.
    pub overdue: Option<Text>,
    /// What a person should know beside what is in the way of a rotation, the most urgent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Text>,
    /// The labelled versions, in the order of their ids.
    pub versions: Vec<VersionReport>,
    /// The user's keys, in the order of their ids.
    pub keys: Vec<KeyReport>,
    /// The hosts, in the order of the configuration.
    pub hosts: Vec<HostReport>,
    /// What createSecret would do if it were invoked now.
    pub next: Next,
    /// What IAM denied the function while it made this report; none if the function is too old to tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Vec<Denial>>,
    /// For how many seconds a superseded key is Inactive before it is deleted; none if the function is too old to tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_inactive_seconds: Option<u64>,
}

impl Report {
    /// For how long a superseded key is Inactive before it is deleted: the file may declare another time, and not be applied.
    #[must_use]
    pub fn keep_inactive(&self) -> Option<Duration> {
        self.keep_inactive_seconds.map(Duration::from_secs)
    }

    /// Whether a version that a host may be using has a value that could not be read, or that is no credential: then nobody knows which
    /// key it names.
    #[must_use]
    pub fn hides_a_key(&self) -> bool {
        let mut in_use = [AWSCURRENT, AWSPENDING, DEPLOYING, TOLD].iter().filter_map(|label| self.labelled(label));
        in_use.any(|version| version.key.is_none() && version.problem.is_some())
    }

    /// The version that carries a label.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<&VersionReport> {
        self.versions.iter().find(|version| version.labels.iter().any(|it| it == label))
    }
}

/// A call that IAM denied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Denial {
    /// The call, as an IAM policy names it.
    pub action: String,
    /// AWS's words.
    pub cause: String,
}

/// A version of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct VersionReport {
    /// Its id.
    pub version: String,
    /// Its labels, at least one.
    pub labels: Vec<String>,
    /// When it was made; none for a version without a value.
    pub created: Option<String>,
    /// The access key that its value names; none in an empty version or a placeholder.
    pub key: Option<String>,
    /// What is wrong with its value, which is not quoted.
    pub problem: Option<String>,
    /// What SES says to its credential; none if nobody asked, if it has no credential, or if no host may be using it.
    pub login: Option<Login>,
}

/// SES's answer to a login.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// It was accepted.
    Accepted,
    /// It was refused as wrong, every time that it was asked, in these words: no host can be using it.
    Refused(String),
    /// It was not answered, or so that it proves neither: temporarily, or a key so young that not all of SES knows it yet.
    Unclear(String),
}

/// An access key of the user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyReport {
    /// Its id, which is not secret.
    pub key: String,
    /// Whether it is Active.
    pub active: bool,
    /// When it was made.
    pub created: Option<String>,
    /// When IAM last saw it used; none if it never did, or if that is not known.
    pub last_used: Option<String>,
    /// Whether the function could not ask IAM for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_use_is_unknown: bool,
    /// Since when it is Inactive, if the function made it so in order to delete it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_since: Option<String>,
    /// Whether it may be deleted, and why.
    pub verdict: KeyVerdict,
}

impl KeyReport {
    /// What could still become of a key that must stay.
    #[must_use]
    pub fn way_out(&self) -> Option<WayOut> {
        match &self.verdict {
            KeyVerdict::MustStay { way_out, .. } => *way_out,
            KeyVerdict::MayGo(_) => None,
        }
    }

    /// Whether it is superseded, and nothing but its grace keeps it.
    #[must_use]
    pub fn only_its_grace_keeps_it(&self) -> bool {
        self.way_out() == Some(WayOut::Leaked)
    }

    /// When it was last used, for a sentence.
    #[must_use]
    pub fn last_use(&self) -> String {
        match &self.last_used {
            Some(date) => format!("last used {date}"),
            None if self.last_use_is_unknown => "its last use is not known".to_owned(),
            None => "never used".to_owned(),
        }
    }
}

/// Whether a key may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyVerdict {
    /// It may, for this reason.
    MayGo(String),
    /// It may not.
    MustStay {
        /// Why.
        reason: String,
        /// From when on the clock alone changes that.
        until: Option<String>,
        /// What somebody who looked at it may do.
        way_out: Option<WayOut>,
    },
}

/// The event that deletes a key that otherwise stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// [`crate::Event::Leaked`]: only its grace keeps the key.
    Leaked,
    /// [`crate::Event::Retire`] with this orphan: no version names it and it was never used.
    RetireOrphan,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostReport {
    /// The instance's id.
    pub instance: String,
    /// Systems Manager's word for it, such as `Online` or `ConnectionLost`; or that it does not know it.
    pub status: String,
    /// Whether it can be told of a credential.
    pub online: bool,
}

/// What createSecret would do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Make a key, in the slot of others if none is free.
    MakeKey {
        /// The keys that are deleted for it: one, or more if the user has more than two.
        frees: Vec<String>,
    },
    /// Go on with the credential of this version, which hosts may have been told of.
    RollForward {
        /// The version.
        version: String,
        /// Its key.
        key: String,
    },
    /// Go on with the credential that the open rotation stored.
    Resume {
        /// Its key.
        key: String,
    },
    /// Fail.
    Fail {
        /// Why.
        refusal: Refusal,
    },
}

/// What became of the user's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Retired {
    /// The keys that were deleted.
    pub deleted: Vec<String>,
    /// The keys that were made Inactive, to be deleted later.
    #[serde(default)]
    pub deactivated: Vec<String>,
    /// Why nothing more was, as sentences: one per key that stays, or that a rotation is open.
    pub kept: Vec<String>,
}
