//! How a deployment stands.

use schemars::JsonSchema;
use serde::Serialize;

use super::{error::ErrorLine, report::HostLine, text_line::TextLine};
use crate::{
    date::rfc3339,
    deployment::record::Applied,
    engine::op::Address,
    listed::Listed,
    overview::{Overview, Safety},
    status::{CredentialStatus, Key, State, Status},
};

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct StatusLine<'a> {
    mail_is_safe: Safety,
    /// Why.
    reason: TextLine,
    /// What a person has to do or to know.
    for_a_person: Vec<TextLine>,
    /// Who reads the credential; null if the function could not be asked.
    hosts: Option<Vec<HostLine<'a>>>,
    resources: Vec<StateLine<'a>>,
    credential: &'a CredentialStatus,
    keys: &'a [Key],
    notes: Vec<TextLine>,
    /// What could not be read, or is not as it must be.
    unread: Vec<ErrorLine<'a>>,
}

/// A resource, compared with its declaration.
#[derive(Serialize, JsonSchema)]
struct StateLine<'a> {
    address: &'a Address,
    state: State,
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct ListedLine<'a> {
    /// The last apply that reached its goal.
    applied: Option<&'a Applied>,
    rotation_enabled: bool,
    last_rotated: Option<String>,
    next_rotation: Option<String>,
    /// `unknown`: whether AWS is as it was applied is not read.
    drift: &'static str,
}

impl<'a> StatusLine<'a> {
    pub(super) fn new(status: &'a Status, overview: &Overview, config: Option<&str>) -> Self {
        let resources = status.resources.iter().map(|(address, state)| StateLine { address, state: *state });
        Self {
            mail_is_safe: overview.mail_is_safe,
            reason: TextLine::new(&overview.reason, config),
            for_a_person: TextLine::all(&overview.for_a_person, config),
            hosts: status.report.as_ref().map(|report| report.hosts.iter().map(HostLine::from).collect()),
            resources: resources.collect(),
            credential: &status.credential,
            keys: &status.keys,
            notes: TextLine::all(status.notes.iter().chain(&status.mentions).chain(&status.retirements), config),
            unread: status.unread.iter().map(|error| ErrorLine::new(error, config)).collect(),
        }
    }
}

impl<'a> From<&'a Listed> for ListedLine<'a> {
    fn from(Listed { applied, labels, .. }: &'a Listed) -> Self {
        Self {
            applied: applied.as_ref(),
            rotation_enabled: labels.rotation_enabled,
            last_rotated: labels.last_rotated.map(rfc3339),
            next_rotation: labels.next_rotation.map(rfc3339),
            drift: "unknown",
        }
    }
}
