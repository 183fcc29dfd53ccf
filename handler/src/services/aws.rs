//! The clients, made once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{
    BehaviorVersion,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::ses::Ses;

/// One client per service, made once per process.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
    /// The notification service.
    pub(crate) sns: aws_sdk_sns::Client,
    /// What old versions of the secret name.
    pub(crate) old_keys: OldKeys,
    /// SES over SMTP.
    pub(crate) ses: Ses,
}

/// Version id → the access key that it names, empty if it names none. A process keeps it from one invocation to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct OldKeys(Arc<Mutex<BTreeMap<String, String>>>);

impl OldKeys {
    /// What a version names, if it was read before.
    pub(crate) fn get(&self, version: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// Remembers what a version names.
    pub(crate) fn remember(&self, version: &str, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(version.to_owned(), key.to_owned());
    }
}

impl Clients {
    /// Clients for the region and with the credentials that Lambda puts into the environment.
    pub(crate) async fn from_environment() -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(EnvironmentVariableRegionProvider::new())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .http_client(http)
            .timeout_config(timeouts())
            .retry_config(retries())
            .load()
            .await;
        Self {
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            old_keys: OldKeys::default(),
            ses: Ses::Network,
        }
    }
}

/// Every call is bounded.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(25))
        .build()
}

/// The SDK's retries, three attempts, unless a caller turns them off.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3)
}
