//! The clients, made once, and what an AWS error says.

use std::{error::Error as StdError, fmt, time::Duration};

use aws_config::{
    BehaviorVersion,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_iam::operation::RequestId;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::SdkError},
    http::StatusCode,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Longest text of AWS's that an error quotes, in characters.
const LONGEST_QUOTE: usize = 1000;

/// One client per service, made once per process.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// Systems Manager.
    pub ssm: aws_sdk_ssm::Client,
    /// The notification service.
    pub sns: aws_sdk_sns::Client,
}

impl Clients {
    /// Clients for the region and with the credentials that Lambda puts into the environment.
    ///
    /// Every call is bounded; the retries are the SDK's, three attempts, except where a caller
    /// turns them off.
    pub async fn from_environment() -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(8))
            .operation_timeout(Duration::from_secs(25))
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(EnvironmentVariableRegionProvider::new())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .load()
            .await;
        Self {
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
        }
    }
}

/// What AWS answered, or why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// AWS's error code, such as `AccessDeniedException`.
    pub code: Option<String>,
    /// AWS's message, or what went wrong on the way; in full, so that what it must not quote can be found in it.
    pub message: String,
    /// AWS's request id.
    pub request_id: Option<String>,
    /// AWS definitely refused the call: it had no effect. Otherwise it may have had one.
    pub refused: bool,
}

impl Cause {
    /// There is no answer, or none that can be used: the call may have had an effect.
    #[must_use]
    pub fn no_answer(problem: &str) -> Self {
        Self { code: None, message: problem.to_owned(), request_id: None, refused: false }
    }

    /// Whether AWS asks for fewer calls; it refused this one.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        const THROTTLING: [&str; 4] =
            ["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"];
        self.refused && self.code.as_deref().is_some_and(|code| THROTTLING.contains(&code))
    }

    /// Whether AWS says that the role may not do this.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("AccessDenied"))
    }

    /// Whether the code is this one.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Cause
where
    E: StdError + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(HttpResponse::status);
        let refused = matches!(error, SdkError::ServiceError(_)) && status.is_some_and(StatusCode::is_client_error);
        let message = error.message().map_or_else(|| chain(&error), str::to_owned);
        Self {
            code: error.code().map(str::to_owned),
            message,
            request_id: error.as_service_error().and_then(RequestId::request_id).map(str::to_owned),
            refused,
        }
    }
}

/// What went wrong, from the outside in: the SDK's own `Display` shows the outermost part only.
fn chain(error: &dyn StdError) -> String {
    let inner = std::iter::successors(error.source(), |&error| error.source());
    inner.fold(error.to_string(), |text, error| {
        let part = error.to_string();
        if text.ends_with(&part) { text } else { format!("{text}: {part}") }
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        let quote: String = self.message.trim_end_matches('.').chars().take(LONGEST_QUOTE).collect();
        f.write_str(&quote)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}
