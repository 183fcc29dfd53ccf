//! What the account has that a new configuration may name. Reads only.

use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter, PingStatus};

use crate::{
    aws::Aws,
    error::{Error, FailedTo as _},
};

/// The most that somebody chooses from.
const MOST: usize = 100;

/// Names, each list in order. A list that could not be read is an error of its own.
pub(crate) struct Offers {
    pub(crate) secrets: Result<Vec<String>, Error>,
    pub(crate) users: Result<Vec<String>, Error>,
    /// Ids of the instances that Systems Manager reaches.
    pub(crate) instances: Result<Vec<String>, Error>,
    /// The verified identities: addresses and domains.
    pub(crate) identities: Result<Vec<String>, Error>,
}

pub(crate) async fn read(aws: &Aws) -> Offers {
    let (secrets, users, instances, identities) =
        tokio::join!(secrets(aws), users(aws), instances(aws), identities(aws));
    let sorted = |names: Result<Vec<String>, Error>| {
        names.map(|mut names| {
            names.sort();
            names.truncate(MOST);
            names
        })
    };
    Offers {
        secrets: sorted(secrets),
        users: sorted(users),
        instances: sorted(instances),
        identities: sorted(identities),
    }
}

async fn secrets(aws: &Aws) -> Result<Vec<String>, Error> {
    let pages = aws.secretsmanager.list_secrets().into_paginator().send().try_collect().await;
    let pages = pages.failed_to(|| "list the secrets".to_owned())?;
    Ok(pages
        .into_iter()
        .flat_map(|page| page.secret_list.unwrap_or_default())
        .filter_map(|secret| secret.name)
        .collect())
}

async fn users(aws: &Aws) -> Result<Vec<String>, Error> {
    let users = aws.iam.list_users().into_paginator().items().send().try_collect().await;
    Ok(users.failed_to(|| "list the users".to_owned())?.into_iter().map(|user| user.user_name).collect())
}

async fn instances(aws: &Aws) -> Result<Vec<String>, Error> {
    let filter = InstanceInformationStringFilter::builder().key("PingStatus").values(PingStatus::Online.as_str());
    // `build` fails only without a key.
    let request = aws.ssm.describe_instance_information().set_filters(filter.build().ok().map(|filter| vec![filter]));
    let found: Result<Vec<InstanceInformation>, _> = request.into_paginator().items().send().try_collect().await;
    let found = found.failed_to(|| "list the instances that Systems Manager reaches".to_owned())?;
    Ok(found.into_iter().filter_map(|instance| instance.instance_id).collect())
}

async fn identities(aws: &Aws) -> Result<Vec<String>, Error> {
    let pages = aws.sesv2.list_email_identities().into_paginator().send().try_collect().await;
    let pages = pages.failed_to(|| "list the SES identities".to_owned())?;
    let all = pages.into_iter().flat_map(|page| page.email_identities.unwrap_or_default());
    Ok(all.filter(|identity| identity.sending_enabled).filter_map(|identity| identity.identity_name).collect())
}
