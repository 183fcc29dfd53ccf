//! What AWS alone knows and goals depend on. Read in the same concurrent round as everything else,
//! so that a plan never says "known after apply".

use crate::{
    aws::Aws,
    config::Config,
    deployment::names::Names,
    engine::kind::Toward,
    error::{Error, FailedTo as _, absent_is_none},
    package::Package,
    rotation::watch::{self, Credential},
};

/// What goals depend on beside the configuration and the names.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// ARN of the user. A referenced one may have a path, which only IAM knows.
    pub(crate) user_arn: String,
    /// Whether the user has an access key.
    pub(crate) user_has_keys: bool,
    /// ARN of the customer-managed key that encrypts the secret; none for `aws/secretsmanager`.
    pub(crate) kms_key_arn: Option<String>,
    /// Where the secret's labels are; nowhere where there is no secret.
    pub(crate) credential: Credential,
    /// The code that the function should have; not looked for on the way to absent.
    pub(crate) package: Option<Package>,
}

/// Reads them. On the way to absent, a missing package or KMS key is no obstacle.
pub(crate) async fn read(aws: &Aws, config: &Config, names: &Names, toward: Toward) -> Result<Facts, Error> {
    let is_needed = toward == Toward::Present;
    let kms_key_arn = async { if is_needed { kms_key_arn(aws, config, names).await } else { Ok(None) } };
    let (user_arn, user_has_keys, kms_key_arn, credential) = tokio::try_join!(
        user_arn(aws, config, names),
        user_has_keys(aws, names),
        kms_key_arn,
        watch::read(aws, names)
    )?;
    let package = if is_needed { Some(Package::locate(config)?) } else { None };
    Ok(Facts { user_arn, user_has_keys, kms_key_arn, credential: credential.unwrap_or_default(), package })
}

async fn user_has_keys(aws: &Aws, names: &Names) -> Result<bool, Error> {
    let answer = aws.iam.list_access_keys().user_name(&names.user).send().await;
    let answer = answer.failed_to(|| format!("list the access keys of user {}", names.user));
    Ok(absent_is_none(answer, &["NoSuchEntity"])?.is_some_and(|answer| !answer.access_key_metadata.is_empty()))
}

async fn user_arn(aws: &Aws, config: &Config, names: &Names) -> Result<String, Error> {
    if !config.iam_user.existing {
        return Ok(names.owned_user_arn());
    }
    let answer = aws.iam.get_user().user_name(&names.user).send().await;
    let found = absent_is_none(answer.failed_to(|| format!("read user {}", names.user)), &["NoSuchEntity"])?;
    let user = found.and_then(|answer| answer.user);
    // An absent referenced user is reported by its own kind, with a hint; the goal is then of no use.
    Ok(user.map_or_else(|| names.owned_user_arn(), |user| user.arn))
}

async fn kms_key_arn(aws: &Aws, config: &Config, names: &Names) -> Result<Option<String>, Error> {
    let key = if config.secret.existing {
        let answer = aws.secretsmanager.describe_secret().secret_id(&names.secret).send().await;
        let answer = answer.failed_to(|| format!("read secret {}", names.secret));
        absent_is_none(answer, &["ResourceNotFoundException"])?.and_then(|secret| secret.kms_key_id)
    } else {
        config.secret.kms_key.as_ref().map(ToString::to_string)
    };
    let Some(key) = key.filter(|key| !key.ends_with("alias/aws/secretsmanager")) else { return Ok(None) };
    if key.contains(":key/") {
        return Ok(Some(key));
    }
    let answer = aws.kms.describe_key().key_id(&key).send().await;
    let described = answer.failed_to(|| format!("read KMS key {key}")).map_err(|error| match error.code() {
        Some("NotFoundException") => error.hint("correct secret.kms_key, or create the key or its alias first"),
        _ => error,
    })?;
    let arn = described.key_metadata.and_then(|metadata| metadata.arn);
    Ok(Some(arn.unwrap_or_else(|| names.kms_key_arn(&key))))
}
