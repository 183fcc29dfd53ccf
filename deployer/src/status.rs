//! How a deployment stands: every thing, the labels, the keys. Reads only, and never a secret's value.

use std::sync::Arc;

use aws_smithy_types::{DateTime, date_time::Format};
use serde::Serialize;

use crate::{
    aws::Aws,
    credential,
    error::{Error, FailedTo as _, absent_is_none},
    kind::{Address, Verb},
    plan::Plan,
    stack::Deployment,
};

/// How a deployment stands.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) things: Vec<(Address, State)>,
    pub(crate) credential: CredentialStatus,
    pub(crate) keys: Vec<Key>,
}

/// A thing, compared with its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    AsDeclared,
    Differs,
    Missing,
}

/// Labels and dates of the secret; dates in RFC 3339, UTC.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CredentialStatus {
    pub(crate) rotation_enabled: bool,
    pub(crate) current: Option<String>,
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

/// Reads what the plan did not.
pub(crate) async fn read(aws: &Aws, deployment: &Arc<Deployment>, plan: &Plan) -> Result<Status, Error> {
    let (credential, keys) = tokio::join!(credential::read(aws, deployment), keys(aws, deployment));
    let credential = absent_is_none(credential, &["ResourceNotFoundException"])?.unwrap_or_default();
    let state = |verb| match verb {
        None => State::AsDeclared,
        Some(Verb::Create) => State::Missing,
        Some(_) => State::Differs,
    };
    Ok(Status {
        things: plan.things.iter().map(|thing| (thing.address.clone(), state(thing.verb()))).collect(),
        credential: CredentialStatus {
            rotation_enabled: credential.rotation_enabled,
            current: credential.current,
            pending: credential.pending,
            last_rotated: credential.last_rotated.map(rfc3339),
            next_rotation: credential.next_rotation.map(rfc3339),
        },
        keys: keys?,
    })
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
