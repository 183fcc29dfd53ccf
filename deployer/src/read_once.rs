//! Reads that several parts of the deployer need: while a plan is made, each is made once.

use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_sdk_iam::types::{AccessKeyMetadata, Role, User};
use aws_sdk_kms::types::KeyMetadata;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_secretsmanager::operation::{
    describe_secret::DescribeSecretOutput, get_resource_policy::GetResourcePolicyOutput,
};
use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter};

use crate::{
    answers::{Answers, Once},
    aws::Aws,
    error::{Error, FailedTo as _, absent_is_none},
};

/// Reads, unless the round of a plan has the answer already.
async fn once<T: Clone>(
    aws: &Aws,
    of: impl FnOnce(&Answers) -> &Once<T>,
    name: &str,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match &aws.round {
        Some(answers) => of(answers).get(name, read).await,
        None => read.await,
    }
}

/// Reads a secret without its value; none if there is none of that name.
pub(crate) async fn secret(aws: &Aws, name: &str) -> Result<Option<DescribeSecretOutput>, Error> {
    let read = Box::pin(async {
        let answer = aws.secretsmanager.describe_secret().secret_id(name).send().await;
        absent_is_none(answer.failed_to(|| format!("read secret {name}")), &["ResourceNotFoundException"])
    });
    once(aws, |answers| &answers.secrets, name, read).await
}

/// Reads the resource policy of a secret; none if there is no secret of that name.
pub(crate) async fn secret_policy(aws: &Aws, secret: &str) -> Result<Option<GetResourcePolicyOutput>, Error> {
    let read = Box::pin(async {
        let answer = aws.secretsmanager.get_resource_policy().secret_id(secret).send().await;
        let answer = answer.failed_to(|| format!("read the resource policy of secret {secret}"));
        absent_is_none(answer, &["ResourceNotFoundException"])
    });
    once(aws, |answers| &answers.secret_policies, secret, read).await
}

/// Reads a user; none if there is none of that name.
pub(crate) async fn user(aws: &Aws, name: &str) -> Result<Option<User>, Error> {
    let read = Box::pin(async {
        let answer = aws.iam.get_user().user_name(name).send().await.failed_to(|| format!("read user {name}"));
        Ok(absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.user))
    });
    once(aws, |answers| &answers.users, name, read).await
}

/// Reads a role; none if there is none of that name.
pub(crate) async fn role(aws: &Aws, name: &str) -> Result<Option<Role>, Error> {
    let read = Box::pin(async {
        let answer = aws.iam.get_role().role_name(name).send().await.failed_to(|| format!("read role {name}"));
        Ok(absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.role))
    });
    once(aws, |answers| &answers.roles, name, read).await
}

/// Reads a KMS key that is named by its id, its alias or its ARN.
pub(crate) async fn kms_key(aws: &Aws, key: &str) -> Result<Option<KeyMetadata>, Error> {
    let read = Box::pin(async {
        let answer = aws.kms.describe_key().key_id(key).send().await;
        Ok(answer.failed_to(|| format!("read KMS key {key}"))?.key_metadata)
    });
    once(aws, |answers| &answers.kms_keys, key, read).await
}

/// Reads a function; none if there is none of that name.
pub(crate) async fn function(aws: &Aws, name: &str) -> Result<Option<GetFunctionOutput>, Error> {
    let read = Box::pin(async {
        let answer = aws.lambda.get_function().function_name(name).send().await;
        absent_is_none(answer.failed_to(|| format!("read function {name}")), &["ResourceNotFoundException"])
    });
    once(aws, |answers| &answers.functions, name, read).await
}

/// Whether this round has found that there is no such function, and so nothing that belongs to it.
pub(crate) async fn lacks_function(aws: &Aws, name: &str) -> Result<bool, Error> {
    Ok(aws.round.is_some() && function(aws, name).await?.is_none())
}

/// Reads those of these alarms that there are.
pub(crate) async fn alarms(aws: &Aws, names: &[String]) -> Result<Vec<MetricAlarm>, Error> {
    let all = names.join(", ");
    let read = Box::pin(async {
        let answer = aws.cloudwatch.describe_alarms().set_alarm_names(Some(names.to_vec())).send().await;
        Ok(answer.failed_to(|| format!("read alarms {all}"))?.metric_alarms.unwrap_or_default())
    });
    match &aws.round {
        Some(answers) => answers.alarms.get(&all, read).await,
        None => aws.alarms.get(&all, read).await,
    }
}

/// Lists the access keys of a user, of which no user has more than one page; none if there is no user of that name.
pub(crate) async fn access_keys(aws: &Aws, user: &str) -> Result<Option<Vec<AccessKeyMetadata>>, Error> {
    let read = Box::pin(async {
        let answer = aws.iam.list_access_keys().user_name(user).send().await;
        let answer =
            absent_is_none(answer.failed_to(|| format!("list the access keys of user {user}")), &["NoSuchEntity"])?;
        Ok(answer.map(|answer| answer.access_key_metadata))
    });
    once(aws, |answers| &answers.access_keys, user, read).await
}

/// Lists the ARNs of the policies that are attached to a user; empty if there is no user of that name.
pub(crate) async fn attached_user_policies(aws: &Aws, user: &str) -> Result<Vec<String>, Error> {
    let read = Box::pin(async {
        let pages = aws.iam.list_attached_user_policies().user_name(user).into_paginator().items().send();
        let policies = pages.collect::<Result<Vec<_>, _>>().await;
        let policies = policies.failed_to(|| format!("list the policies that are attached to user {user}"));
        let policies = absent_is_none(policies, &["NoSuchEntity"])?.unwrap_or_default();
        Ok(policies.into_iter().filter_map(|policy| policy.policy_arn).collect())
    });
    once(aws, |answers| &answers.attached_user_policies, user, read).await
}

/// Reads what Systems Manager knows of these instances, of which a deployment has at most 50. Those that it does not know are missing.
pub(crate) async fn instances(aws: &Aws, ids: &[String]) -> Result<Vec<InstanceInformation>, Error> {
    let names = ids.join(", ");
    let read = Box::pin(async {
        let filter = InstanceInformationStringFilter::builder().key("InstanceIds").set_values(Some(ids.to_vec()));
        let filter = filter.build().map_err(|error| Error::new("failed to read the hosts").cause(error))?;
        // The service takes 5 to 50.
        let request = aws.ssm.describe_instance_information().filters(filter).max_results(50);
        let known = request.into_paginator().items().send().try_collect().await;
        known.failed_to(|| format!("read from Systems Manager how {names} stand"))
    });
    once(aws, |answers| &answers.instances, &names, read).await
}

/// Reads the account's standing with SES in the region.
pub(crate) async fn ses_account(aws: &Aws) -> Result<GetAccountOutput, Error> {
    let read = Box::pin(async {
        aws.sesv2.get_account().send().await.failed_to(|| "read the account's standing with SES".to_owned())
    });
    once(aws, |answers| &answers.ses, "account", read).await
}

/// The account's alias, of which it has at most one. None also if it cannot be read: it only helps a person to recognise the account.
pub(crate) async fn account_alias(aws: &Aws) -> Option<String> {
    aws.iam.list_account_aliases().send().await.ok()?.account_aliases.into_iter().next()
}
