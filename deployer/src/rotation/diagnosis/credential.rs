//! How the credential of a labelled version stands: whether its key exists and is Active, and what SES says.

use contract::{KeyReport, Login, Report, VersionReport};

/// How the credential of a labelled version stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credential<'a> {
    None,
    /// Its key is deleted.
    Deleted(&'a str),
    /// Its key is Inactive.
    Inactive(&'a str),
    /// SES accepts it, or was not asked.
    Works(&'a str),
    /// SES refuses it for good, though its key is Active.
    Refused {
        key: &'a str,
        words: &'a str,
    },
    /// SES gave no answer that proves anything, though its key is Active.
    Unclear {
        key: &'a str,
        words: &'a str,
    },
}

impl Credential<'_> {
    /// Whether a host may be sending with it.
    pub(super) fn may_be_used(self) -> bool {
        match self {
            Self::Works(_) | Self::Unclear { .. } => true,
            Self::None | Self::Deleted(_) | Self::Inactive(_) | Self::Refused { .. } => false,
        }
    }

    /// Why a host that uses it as AWSCURRENT's cannot send; none if it may.
    pub(crate) fn why_no_mail(self) -> Option<String> {
        let why = match self {
            Self::None | Self::Works(_) | Self::Unclear { .. } => return None,
            Self::Deleted(key) => format!("access key {key}, which AWSCURRENT names, is deleted"),
            Self::Inactive(key) => format!("access key {key}, which AWSCURRENT names, is Inactive"),
            Self::Refused { key, words } => format!(
                "SES does not accept the credential of AWSCURRENT (access key {key}), though the key is Active: {words}"
            ),
        };
        Some(format!("{why}: a host that uses it cannot send"))
    }

    pub(super) fn in_brackets(self) -> String {
        match self {
            Self::None => " (no credential)".to_owned(),
            Self::Deleted(key) => format!(" (access key {key}, deleted)"),
            Self::Inactive(key) => format!(" (access key {key}, Inactive)"),
            Self::Works(key) | Self::Refused { key, .. } | Self::Unclear { key, .. } => format!(" (access key {key})"),
        }
    }
}

/// How the credential of this version of the report stands.
pub(crate) fn credential<'a>(report: &'a Report, version: &'a VersionReport) -> Credential<'a> {
    let Some(key) = version.key.as_deref() else { return Credential::None };
    match (&version.login, report.keys.iter().find(|it| it.key == key)) {
        (Some(Login::Accepted), _) => Credential::Works(key),
        // IAM's list can be an old one: a key that it lacks is gone only if SES says so too, or was not asked.
        (Some(Login::Unclear(words)), None) => Credential::Unclear { key, words },
        (_, None) => Credential::Deleted(key),
        (_, Some(KeyReport { active: false, .. })) => Credential::Inactive(key),
        (Some(Login::Refused(words)), _) => Credential::Refused { key, words },
        (Some(Login::Unclear(words)), _) => Credential::Unclear { key, words },
        (None, _) => Credential::Works(key),
    }
}
