//! The AWS clients, made once, and the identity that they act as.

use std::{
    env, fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain, imds,
    provider_config::ProviderConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, SharedHttpClient},
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::byte_stream::{AggregatedBytes, ByteStream};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    answers::{Answers, Together},
    changes::Changes,
    config::Config,
    credentials,
    error::{Error, ErrorKind, FailedTo as _},
    silence::Silence,
};

/// A client of one service, whose calls are watched.
macro_rules! client {
    ($service:ident, $sdk:expr, $silence:expr) => {
        $service::Client::from_conf(
            $service::config::Builder::from($sdk).interceptor($silence.clone()).interceptor(Changes).build(),
        )
    };
}

/// One client per service; cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Aws {
    /// While everything is read for one plan: what was read already.
    pub(crate) round: Option<Arc<Answers>>,
    /// Outside a round too, one call reads all alarms of a deployment, which are put at the same moment.
    pub(crate) alarms: Arc<Together<Vec<MetricAlarm>>>,
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
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
            round: None,
            alarms: Arc::default(),
            cloudwatch: client!(aws_sdk_cloudwatch, sdk, silence),
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

    /// The same clients, with which nothing that several ask for is read twice: in the round that goes on, or else in a new one.
    pub(crate) fn for_one_round(&self) -> Self {
        Self { round: Some(self.round.clone().unwrap_or_default()), ..self.clone() }
    }

    /// The same clients, with which everything is read anew.
    pub(crate) fn outside_a_round(&self) -> Self {
        Self { round: None, ..self.clone() }
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
    /// As in an ARN: `aws`, `aws-cn`.
    pub(crate) partition: String,
    /// ARN of the caller.
    pub(crate) arn: String,
    /// When the credentials expire, if that is known.
    pub(crate) expires: Option<SystemTime>,
}

/// Connects with the default chain of credentials.
///
/// # Errors
/// No credentials, credentials that AWS refuses, no network.
pub(crate) async fn connect(region: &str, silence: &Silence) -> Result<(Aws, Identity), Error> {
    let region = Region::new(region.to_owned());
    let http_client = http_client(ca_bundle().await.as_ref())?;
    let chain = credentials_chain(&region, &http_client).await;
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .http_client(http_client)
        .credentials_provider(chain)
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

    credentials::check_profile().await?;
    let mut expires = None;
    if let Some(provider) = sdk.credentials_provider() {
        // A `credential_process` may ask somebody, or hang.
        let waiting = silence.watch("credentials".to_owned(), "the profile's source of credentials".to_owned());
        let provided = provider.provide_credentials().await;
        drop(waiting);
        match provided {
            Ok(provided) => {
                credentials::check_characters(&provided)?;
                expires = provided.expiry();
            }
            Err(error) => return Err(credentials::no_credentials(&error).await),
        }
    }

    let sts = client!(aws_sdk_sts, &sdk, silence);
    let identity = Identity { expires, ..identify(&sts).await? };
    Ok((Aws::new(&sdk, silence), identity))
}

/// The region of the environment, or of the profile: what the AWS CLI uses if none is given.
pub(crate) async fn own_region() -> Option<String> {
    let is_given = |region: &String| !region.is_empty();
    let of_environment =
        ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().filter_map(|name| env::var(name).ok()).find(is_given);
    match of_environment {
        Some(region) => Some(region),
        None => credentials::profiles().await.ok()?.get("region").map(str::to_owned).filter(is_given),
    }
}

/// Refuses any account but the configured one.
pub(crate) fn check_account(config: &Config, identity: &Identity) -> Result<(), Error> {
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
    Ok(())
}

/// The default chain. Only an EC2 instance has instance metadata: elsewhere each attempt to reach it takes a second.
async fn credentials_chain(region: &Region, http_client: &SharedHttpClient) -> DefaultCredentialsChain {
    let settings = ProviderConfig::default().with_region(Some(region.clone())).with_http_client(http_client.clone());
    let metadata = imds::Client::builder().configure(&settings).max_attempts(1).build();
    DefaultCredentialsChain::builder().region(region.clone()).configure(settings).imds_client(metadata).build().await
}

/// A file with the certificates to trust, and where it is named.
struct CaBundle {
    path: PathBuf,
    named_by: String,
}

/// What AWS_CA_BUNDLE names, else `ca_bundle` of the profile in use, as the AWS CLI does.
async fn ca_bundle() -> Option<CaBundle> {
    if let Some(path) = env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        return Some(CaBundle { path: path.into(), named_by: "AWS_CA_BUNDLE".to_owned() });
    }
    let profiles = credentials::profiles().await.ok()?;
    let path = profiles.get("ca_bundle")?.into();
    Some(CaBundle { path, named_by: format!("ca_bundle of the profile {}", profiles.selected_profile()) })
}

/// The client honours HTTPS_PROXY, HTTP_PROXY, NO_PROXY and a bundle of certificates; the SDK's own does not.
fn http_client(bundle: Option<&CaBundle>) -> Result<SharedHttpClient, Error> {
    let tls = tls(bundle)?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

fn tls(bundle: Option<&CaBundle>) -> Result<TlsContext, Error> {
    bundle.map_or_else(|| Ok(TlsContext::default()), trusting_only)
}

/// What a download may take: fifty megabytes, the most that a function's code has, need minutes on a slow line.
const DOWNLOADED_WITHIN: Duration = Duration::from_mins(10);

/// Downloads what a link of AWS's names. The link is its own permission, so no credentials go with it, and no error shows it.
///
/// # Errors
/// Any answer but the whole file.
pub(crate) async fn download(link: &str) -> Result<Vec<u8>, Error> {
    let connector = Connector::builder().proxy_config(ProxyConfig::from_env());
    let tls = tls(ca_bundle().await.as_ref())?;
    let connector = connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build();
    let failed =
        |cause: String| Error::new("failed to download what AWS has stored").cause(cause).hint("run the command again");
    let read = async {
        let request = HttpRequest::get(link).map_err(|_| failed("AWS's link is not one".to_owned()))?;
        let answer = connector.call(request).await.map_err(|error| failed(crate::error::innermost(&error)))?;
        if !answer.status().is_success() {
            return Err(failed(format!("the answer's status is {}", answer.status())));
        }
        let body = ByteStream::new(answer.into_body()).collect().await;
        body.map(AggregatedBytes::to_vec).map_err(|error| failed(crate::error::innermost(&error)))
    };
    let late = |_| failed(format!("it took more than {} minutes", DOWNLOADED_WITHIN.as_secs() / 60));
    tokio::time::timeout(DOWNLOADED_WITHIN, read).await.map_err(late)?
}

/// The certificates of a file instead of the system's, as the AWS CLI understands it.
fn trusting_only(CaBundle { path, named_by }: &CaBundle) -> Result<TlsContext, Error> {
    let unusable = |cause: String| {
        Error::new(format!("failed to use the certificates of {}", path.display()))
            .cause(cause)
            .hint(format!("{named_by} names a file with certificates in PEM; correct it or remove it"))
    };
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    // The client would panic on a certificate that it cannot read.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let store = TrustStore::empty().with_native_roots(false).with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| unusable(error.to_string()))
}

async fn identify(sts: &aws_sdk_sts::Client) -> Result<Identity, Error> {
    let answer =
        sts.get_caller_identity().send().await.failed_to(|| "ask AWS whom the credentials belong to".to_owned())?;
    let arn = answer.arn.unwrap_or_default();
    // arn:PARTITION:sts::ACCOUNT:…
    let mut parts = arn.split(':').skip(1);
    match (parts.next(), answer.account) {
        (Some(partition), Some(account_id)) if account_id.len() == 12 => {
            Ok(Identity { account_id, partition: partition.to_owned(), arn, expires: None })
        }
        _ => Err(Error::new("failed to ask AWS whom the credentials belong to")
            .cause("the answer does not contain an account")
            .hint("check AWS_ENDPOINT_URL: the endpoint does not answer as AWS does")),
    }
}
