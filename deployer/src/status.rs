//! How a deployment stands: every thing, the labels, the keys. Reads only, and never a secret's value.

use std::{collections::BTreeMap, sync::Arc};

use aws_smithy_types::{DateTime, date_time::Format};
use serde::Serialize;

use crate::{
    aws::Aws,
    deployment::Deployment,
    engine::kind::{Address, Toward, Verb},
    engine::plan::{self, Planned},
    error::{Error, FailedTo as _, absent_is_none},
    rotation::watch,
};

/// How a deployment stands.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) things: Vec<(Address, State)>,
    pub(crate) credential: CredentialStatus,
    pub(crate) keys: Vec<Key>,
    /// What people should know, in sentences.
    pub(crate) notes: Vec<String>,
    /// What could not be read, or is not as it must be.
    #[serde(skip)]
    pub(crate) unread: Vec<Error>,
}

/// A thing, compared with its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    AsDeclared,
    Differs,
    Missing,
    Unknown,
}

/// Labels and dates of the secret; dates in RFC 3339, UTC.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CredentialStatus {
    pub(crate) rotation_enabled: bool,
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    /// The version of an open rotation.
    pub(crate) pending: Option<String>,
    pub(crate) last_rotated: Option<String>,
    pub(crate) next_rotation: Option<String>,
}

/// An access key of the user. Its id is not secret.
#[derive(Debug, Serialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) created: String,
    /// IAM may be behind by hours.
    pub(crate) last_used: Option<String>,
}

/// Looks at everything. What cannot be read is a part of the answer: this is asked when something is wrong.
pub(crate) async fn read(aws: &Aws, deployment: &Arc<Deployment>) -> Status {
    let surveying = Box::pin(plan::survey(aws, deployment, Toward::Present));
    let (survey, credential, keys) =
        tokio::join!(surveying, watch::read(aws, &deployment.names), keys(aws, deployment));
    let mut unread = Vec::new();
    let mut things = Vec::new();
    for (address, ops) in survey.things {
        let state = match note(ops, &mut unread).flatten() {
            None => State::Unknown,
            Some(ops) => state(Planned { address: address.clone(), ops }.verb()),
        };
        things.push((address, state));
    }
    note(survey.facts, &mut unread);
    let credential = note(credential, &mut unread).flatten().unwrap_or_default();
    let keys = note(keys, &mut unread).unwrap_or_default();
    Status {
        things,
        credential: CredentialStatus {
            rotation_enabled: credential.rotation_enabled,
            pending: credential.pending().map(str::to_owned),
            last_rotated: credential.last_rotated.map(rfc3339),
            next_rotation: credential.next_rotation.map(rfc3339),
            versions: credential.versions,
        },
        keys,
        notes: survey.notes,
        unread,
    }
}

/// Keeps an error once, though several looks may have met it.
fn note<T>(result: Result<T, Error>, unread: &mut Vec<Error>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(error) => {
            if !unread.iter().any(|other| other.what == error.what) {
                unread.push(error);
            }
            None
        }
    }
}

fn state(verb: Option<Verb>) -> State {
    match verb {
        None => State::AsDeclared,
        Some(Verb::Create) => State::Missing,
        Some(_) => State::Differs,
    }
}

async fn keys(aws: &Aws, deployment: &Deployment) -> Result<Vec<Key>, Error> {
    let user = &deployment.names.user;
    let answer = aws.iam.list_access_keys().user_name(user).send().await;
    let answer = answer.failed_to(|| format!("list the access keys of user {user}"));
    let listed =
        absent_is_none(answer, &["NoSuchEntity"])?.map(|answer| answer.access_key_metadata).unwrap_or_default();
    let read = listed.into_iter().map(|key| async move {
        let id = key.access_key_id.unwrap_or_default();
        let answer = aws.iam.get_access_key_last_used().access_key_id(&id).send().await;
        let last = answer.failed_to(|| format!("read when access key {id} was last used"))?.access_key_last_used;
        Ok(Key {
            id,
            status: key.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            created: key.create_date.map(rfc3339).unwrap_or_default(),
            last_used: last.and_then(|last| last.last_used_date).map(rfc3339),
        })
    });
    futures_util::future::try_join_all(read).await
}

fn rfc3339(date: DateTime) -> String {
    let whole_seconds = DateTime::from_secs(date.secs());
    // Formatting fails only beyond the year 9999.
    whole_seconds.fmt(Format::DateTime).unwrap_or_default()
}
