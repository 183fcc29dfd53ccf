//! The deployments of a region, as their records and secrets have them. Reads only.

use futures_util::future::join_all;

use crate::{
    aws::Aws,
    deployment::record::{self, Applied},
    engine::op::ResourceKind,
    error::{Error, value_or_keep},
    rotation::labels::{self, Labels},
};

/// A deployment, as its record and its secret have it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// None if no apply has reached its goal.
    pub(crate) applied: Option<Applied>,
    /// Of its secret.
    pub(crate) labels: Labels,
}

/// The deployments of a region that have a record, and what could not be read of them.
///
/// # Errors
/// The records cannot be listed.
pub(crate) async fn list(aws: &Aws) -> Result<(Vec<Listed>, Vec<Error>), Error> {
    let read = record::list(aws).await?.into_iter().map(async |(name, record)| {
        let record = record?;
        let labels = match record.name_of(ResourceKind::Rotation) {
            Some(secret) => labels::read(aws, secret).await?,
            None => None,
        };
        Ok(Listed { name, applied: record.applied, labels: labels.unwrap_or_default() })
    });
    let mut unread = Vec::new();
    let listed = join_all(read).await.into_iter().filter_map(|read| value_or_keep(read, &mut unread)).collect();
    Ok((listed, unread))
}
