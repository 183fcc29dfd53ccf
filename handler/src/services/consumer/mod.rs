//! Who is told of a new credential: whether they can be told, telling them, and how they stand. A file per sort.

mod instances;

use contract::{Consumer, HostReport};

use super::aws::Clients;
use crate::{error::Error, invocation::Rotation, sensitive::Sensitive};

/// Refuses to begin if somebody cannot be told: they would keep the old credential.
pub(crate) async fn check(clients: &Clients, consumer: &Consumer) -> Result<(), Error> {
    match consumer {
        Consumer::Instances(instances) => instances::check(clients, instances).await,
    }
}

/// Tells the consumer of the pending credential, and waits until it is told.
pub(crate) async fn tell(rotation: &Rotation<'_>, consumer: &Consumer, password: &Sensitive) -> Result<(), Error> {
    match consumer {
        Consumer::Instances(instances) => instances::tell(rotation, instances, password).await,
    }
}

/// How each host of the consumer stands. What cannot be read is told as such.
pub(crate) async fn report(clients: &Clients, consumer: &Consumer) -> Vec<HostReport> {
    match consumer {
        Consumer::Instances(instances) => instances::report(clients, instances).await,
    }
}
