//! The AWS clients, made once, and the identity that they act as.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain, imds, profile,
    provider_config::ProviderConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError},
};
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

use contract::{Command, Text, text};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    answers::Answers,
    changes::Changes,
    config::Config,
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

    check_profile().await?;
    let mut expires = None;
    if let Some(provider) = sdk.credentials_provider() {
        // A `credential_process` may ask somebody, or hang.
        let waiting = silence.watch("credentials".to_owned(), "the profile's source of credentials".to_owned());
        let provided = provider.provide_credentials().await;
        drop(waiting);
        match provided {
            Ok(credentials) => {
                check_characters(&credentials)?;
                expires = credentials.expiry();
            }
            Err(error) => return Err(no_credentials(&error).await),
        }
    }

    let sts = client!(aws_sdk_sts, &sdk, silence);
    let identity = Identity { expires, ..identify(&sts).await? };
    Ok((Aws::new(&sdk, silence), identity))
}

/// Without the profile that AWS_PROFILE names, the SDK would go on to the role of this machine, and act as somebody else than was asked for.
async fn check_profile() -> Result<(), Error> {
    if !is_set("AWS_PROFILE") || is_set("AWS_ACCESS_KEY_ID") {
        return Ok(());
    }
    // A file that cannot be read is told where the credentials are.
    let Ok(profiles) = profiles().await else { return Ok(()) };
    let name = profiles.selected_profile();
    if profiles.get_profile(name).is_some() {
        return Ok(());
    }
    Err(no_such_profile(name))
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The profiles of the files that the environment names.
async fn profiles() -> Result<profile::ProfileSet, profile::ProfileFileLoadError> {
    let (fs, environment, files) = Default::default();
    profile::load(&fs, &environment, &files, None).await
}

fn no_such_profile(name: &str) -> Error {
    Error::new("found no AWS credentials")
        .of_kind(ErrorKind::Credentials)
        .cause(format!(
            "AWS_PROFILE is {name}, and neither ~/.aws/config nor ~/.aws/credentials has a profile of that name"
        ))
        .hint(text![
            "correct AWS_PROFILE, or unset it; ",
            Command::aws(&["configure", "list-profiles"]),
            " shows the profiles that there are"
        ])
}

/// The SDK would panic on a line break in what it puts into a header, and AWS would call the signature wrong.
fn check_characters(credentials: &Credentials) -> Result<(), Error> {
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    let is_strange = |c: char| !c.is_ascii_graphic();
    let found = parts.into_iter().find(|(_, part)| part.is_some_and(|part| part.contains(is_strange)));
    let Some((name, _)) = found else { return Ok(()) };
    Err(Error::new("the AWS credentials cannot be used")
        .of_kind(ErrorKind::Credentials)
        .cause(format!("the {name} has a space, a line break or another character that no {name} has"))
        .hint(
            "correct the environment variable or the profile; a file with Windows line endings adds one to each value",
        ))
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

async fn no_credentials(error: &CredentialsError) -> Error {
    let hint = text![
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with ",
        Command::aws(&["sso", "login"])
    ];
    if let Some(cause) = unreadable_file().await {
        let error = Error::new("failed to get AWS credentials").of_kind(ErrorKind::Credentials).cause(cause);
        return error.hint("correct the file, or the variable that names it");
    }
    // The chain's own text lists every place that it tried, down to the metadata of EC2.
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        let profile = env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty());
        let cause = match (half_of_a_pair(), profile) {
            (Some((set, missing)), _) => format!("{set} is set, and {missing} is not"),
            (None, Some(profile)) => format!("AWS_PROFILE is {profile}, and no profile of that name has any"),
            (None, None) => "neither the environment nor a profile has any, and this machine has no role".to_owned(),
        };
        return Error::new("found no AWS credentials").of_kind(ErrorKind::Credentials).cause(cause).hint(hint);
    }
    let cause = crate::error::innermost(error);
    // The SDK's words are about how this program was built.
    if cause.contains("cargo feature") {
        let profile = selected_profile().await;
        return Error::new("failed to get AWS credentials")
            .of_kind(ErrorKind::Credentials)
            .cause(format!(
                "profile {profile} has a source of credentials that only the AWS CLI knows, such as `aws login`"
            ))
            .hint(let_the_cli_give_them(&profile));
    }
    let error = Error::new("failed to get AWS credentials").of_kind(ErrorKind::Credentials).cause(cause);
    if let Some(profile) = profile_with_mfa().await {
        return error.hint(mfa_hint(&profile));
    }
    match profile_of_sso().await {
        Some(profile) => error.hint(text!["sign in: ", Command::aws(&["sso", "login", "--profile", &profile])]),
        None => error.hint(hint),
    }
}

/// Of the two variables with credentials, the one that is set and the one that is missing; none if both are, or neither.
fn half_of_a_pair() -> Option<(&'static str, &'static str)> {
    let [id, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    match (is_set(id), is_set(secret)) {
        (true, false) => Some((id, secret)),
        (false, true) => Some((secret, id)),
        (true, true) | (false, false) => None,
    }
}

/// The profile in use, if its credentials come from IAM Identity Center.
async fn profile_of_sso() -> Option<String> {
    let profiles = profiles().await.ok()?;
    let selected = profiles.selected_profile();
    let profile = profiles.get_profile(selected)?;
    ["sso_session", "sso_start_url"].iter().any(|key| profile.get(key).is_some()).then(|| selected.to_owned())
}

/// A file of credentials that is missing or malformed: the SDK's own text does not name it.
async fn unreadable_file() -> Option<String> {
    let of_variable = |name: &str| {
        let path = env::var(name).ok().filter(|path| !path.is_empty())?;
        fs::read(&path).err().map(|error| format!("{name} names {path}, which cannot be read: {error}"))
    };
    let tokens = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    if let Some(cause) = tokens.into_iter().find_map(of_variable) {
        return Some(cause);
    }
    match profiles().await {
        Err(error) => Some(format!("{error}: {}", crate::error::innermost(&error))),
        Ok(_) => None,
    }
}

/// The profile in use, if it asks for a second factor, itself or through `source_profile`. The SDK ignores the key `mfa_serial`,
/// and AWS then refuses the role.
async fn profile_with_mfa() -> Option<String> {
    let profiles = profiles().await.ok()?;
    let selected = profiles.selected_profile().to_owned();
    let mut seen = BTreeSet::new();
    let mut next = Some(selected.as_str());
    while let Some(name) = next.filter(|name| seen.insert(*name)) {
        let profile = profiles.get_profile(name)?;
        if profile.get("mfa_serial").is_some() {
            return Some(selected);
        }
        next = profile.get("source_profile");
    }
    None
}

fn mfa_hint(profile: &str) -> Text {
    let asks = format!(
        "profile {profile} asks for MFA (mfa_serial), and this program cannot ask for a code. Let the AWS CLI ask: "
    );
    Text::from(asks).then(let_the_cli_give_them(profile))
}

fn let_the_cli_give_them(profile: &str) -> Text {
    let export = Command::aws(&["configure", "export-credentials", "--profile", profile]);
    format!("in ~/.aws/config, write a profile with `credential_process = {export}`, and name it in AWS_PROFILE").into()
}

async fn selected_profile() -> String {
    profiles().await.map_or_else(|_| "default".to_owned(), |profiles| profiles.selected_profile().to_owned())
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
    let profiles = profiles().await.ok()?;
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
