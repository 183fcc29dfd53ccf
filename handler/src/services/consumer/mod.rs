//! Who is told of a new credential: whether they can be told, telling them, and how they stand. A file per sort.

mod instances;
mod news;

use contract::{Consumer, HostReport};

pub(crate) use news::News;

use super::aws::Clients;
use crate::{error::Error, invocation::Invocation};

/// Refuses to begin if somebody cannot be told: they would keep the old credential.
pub(crate) async fn check(clients: &Clients, consumer: &Consumer) -> Result<(), Error> {
    match consumer {
        Consumer::Instances(instances) => instances::check(clients, instances).await,
    }
}

/// Tells the consumer of a credential, and waits until all of it has confirmed that it uses it.
pub(crate) async fn tell(invocation: &Invocation<'_>, consumer: &Consumer, news: &News<'_>) -> Result<(), Error> {
    match consumer {
        Consumer::Instances(instances) => instances::tell(invocation, instances, news).await,
    }
}

/// How each host of the consumer stands.
pub(crate) async fn report(clients: &Clients, consumer: &Consumer) -> Result<Vec<HostReport>, Error> {
    match consumer {
        Consumer::Instances(instances) => instances::standing(clients, instances).await,
    }
}

/// How each host of the consumer stands if that cannot be read, for this reason.
pub(crate) fn unknown(consumer: &Consumer, reason: &str) -> Vec<HostReport> {
    match consumer {
        Consumer::Instances(instances) => instances::unknown(instances, reason),
    }
}
