//! The AWS clients, made once, and the identity that they act as.

use std::{env, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, runtime_components::RuntimeComponents};

use contract::{Command, text};

use crate::{
    config::Config,
    error::{Error, ErrorKind, FailedTo as _},
    silence::Silence,
};

/// A client of one service, whose calls are watched.
macro_rules! client {
    ($service:ident, $sdk:expr, $silence:expr) => {
        $service::Client::from_conf($service::config::Builder::from($sdk).interceptor($silence.clone()).build())
    };
}

/// One client per service; cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Aws {
    pub(crate) events: aws_sdk_eventbridge::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) secretsmanager: aws_sdk_secretsmanager::Client,
    pub(crate) sesv2: aws_sdk_sesv2::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
}

impl Aws {
    fn new(sdk: &SdkConfig, silence: &Silence) -> Self {
        Self {
            events: client!(aws_sdk_eventbridge, sdk, silence),
            iam: client!(aws_sdk_iam, sdk, silence),
            kms: client!(aws_sdk_kms, sdk, silence),
            lambda: client!(aws_sdk_lambda, sdk, silence),
            logs: client!(aws_sdk_cloudwatchlogs, sdk, silence),
            secretsmanager: client!(aws_sdk_secretsmanager, sdk, silence),
            sesv2: client!(aws_sdk_sesv2, sdk, silence),
            sns: client!(aws_sdk_sns, sdk, silence),
            ssm: client!(aws_sdk_ssm, sdk, silence),
        }
    }

    /// Clients that reach nothing, for resources that call nothing.
    #[cfg(test)]
    pub(crate) fn offline() -> Self {
        Self::new(&SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build(), &Silence::new(|_| {}))
    }
}

/// Who the credentials belong to.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The twelve digits.
    pub(crate) account_id: String,
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(crate) partition: String,
    /// ARN of the caller.
    pub(crate) arn: String,
}

/// Connects with the default chain of credentials and refuses any account but the configured one.
///
/// # Errors
/// No credentials, credentials that AWS refuses, no network, another account.
pub(crate) async fn connect(config: &Config, silence: &Silence) -> Result<(Aws, Identity), Error> {
    let region = config.region.to_string();
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .http_client(http_client())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(30))
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;

    if let Some(provider) = sdk.credentials_provider() {
        provider.provide_credentials().await.map_err(|error| {
            Error::new("found no AWS credentials")
                .of_kind(ErrorKind::Credentials)
                .cause(in_one_line(&crate::error::innermost(&error)))
                .hint(text![
                    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with ",
                    Command::aws(&["sso", "login"])
                ])
        })?;
    }

    let sts = client!(aws_sdk_sts, &sdk, silence);
    let identity = identify(&sts).await?;
    if let Some(expected) = config.account_id.as_ref().filter(|expected| ***expected != identity.account_id) {
        let mut error = Error::new(format!(
            "these credentials belong to account {}, but {} declares account {expected}",
            identity.account_id, config.name
        ))
        .of_kind(ErrorKind::Credentials)
        .hint("choose the right credentials (AWS_PROFILE), or correct account_id; nothing was read or changed");
        if let Ok(profile) = env::var("AWS_PROFILE") {
            error = error.cause(format!("AWS_PROFILE is {profile}, the caller is {}", identity.arn));
        }
        return Err(error);
    }

    Ok((Aws::new(&sdk, silence), identity))
}

/// The chain of credentials lists what it tried on lines of its own.
fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

/// The client honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY; the SDK's own does not.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

async fn identify(sts: &aws_sdk_sts::Client) -> Result<Identity, Error> {
    let answer =
        sts.get_caller_identity().send().await.failed_to(|| "ask AWS whom the credentials belong to".to_owned())?;
    let arn = answer.arn.unwrap_or_default();
    // arn:PARTITION:sts::ACCOUNT:…
    let mut parts = arn.split(':').skip(1);
    match (parts.next(), answer.account) {
        (Some(partition), Some(account_id)) if account_id.len() == 12 => {
            Ok(Identity { account_id, partition: partition.to_owned(), arn })
        }
        _ => Err(Error::new("failed to ask AWS whom the credentials belong to")
            .cause("the answer does not contain an account")
            .hint("check AWS_ENDPOINT_URL: the endpoint does not answer as AWS does")),
    }
}
