//! The wire between the SDK's clients and an AWS in memory.

use aws_sdk_iam::config::{BehaviorVersion, Region, StalledStreamProtectionConfig, retry::RetryPartition};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::services::{
    aws::{self, Clients},
    ses::Ses,
};

/// What AWS returns: an object in JSON, or the content of the result element as a string of XML; or the code of an error.
pub(crate) type Answer = Result<Value, &'static str>;

/// A call as it is sent.
#[derive(Debug)]
pub(crate) struct Call {
    /// Such as `DescribeSecret`.
    pub(crate) action: String,
    /// Its parameters. Those of the query protocol, which IAM and SNS speak, are encoded as a form's.
    pub(crate) body: Value,
    is_json: bool,
}

impl Call {
    /// Reads a request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let text = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
        if let Some(target) = request.headers().get("x-amz-target") {
            let action = target.rsplit('.').next().unwrap().to_owned();
            return Self { action, body: serde_json::from_str(text).unwrap(), is_json: true };
        }
        let form: Value = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
        Self { action: form["Action"].as_str().unwrap().to_owned(), body: form, is_json: false }
    }

    /// The response with this answer. An error quotes the call, as AWS's errors may.
    pub(crate) fn response(&self, status: u16, answer: Answer) -> HttpResponse {
        let Self { action, body, is_json } = self;
        let text = match answer {
            Ok(answer) if *is_json => answer.to_string(),
            Ok(result) => {
                let result = result.as_str().unwrap();
                format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
            }
            Err(code) if *is_json => json!({"__type": code, "message": format!("cannot take {body}")}).to_string(),
            Err(code) => format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"),
        };
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(text))
    }
}

/// The clients of an AWS in memory, bounded as in production. They sign nothing.
pub(crate) fn clients(aws: impl HttpConnector + 'static, ses: Ses) -> Clients {
    let connector = SharedHttpConnector::new(aws);
    let http = http_client_fn(move |_, _| connector.clone());
    macro_rules! client {
        ($service:ident) => {
            $service::Client::from_conf(
                $service::Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(Region::new("eu-west-1"))
                    .allow_no_auth()
                    .http_client(http.clone())
                    .timeout_config(aws::timeouts())
                    // Jitter would come from a generator that no seed reaches.
                    .retry_config(aws::retries().with_use_static_exponential_base(true))
                    // The default partition is the process's: tests would take retries from each other.
                    .retry_partition(RetryPartition::custom(stringify!($service)).build())
                    .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                    .build(),
            )
        };
    }
    Clients {
        secrets: client!(aws_sdk_secretsmanager),
        iam: client!(aws_sdk_iam),
        ssm: client!(aws_sdk_ssm),
        sns: client!(aws_sdk_sns),
        old_keys: aws::OldKeys::default(),
        ses,
    }
}
