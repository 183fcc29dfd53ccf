//! SDK clients of somebody who may do everything in the account, and what somebody may make there that is not ours.

use std::io::{Cursor, Write as _};

use aws_config::SdkConfig;
use zip::{ZipWriter, write::SimpleFileOptions};

/// One client per service.
pub(crate) struct Aws {
    pub(crate) events: aws_sdk_eventbridge::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
}

impl Aws {
    pub(crate) fn new(sdk: &SdkConfig) -> Self {
        Self {
            events: aws_sdk_eventbridge::Client::new(sdk),
            iam: aws_sdk_iam::Client::new(sdk),
            kms: aws_sdk_kms::Client::new(sdk),
            lambda: aws_sdk_lambda::Client::new(sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(sdk),
            secrets: aws_sdk_secretsmanager::Client::new(sdk),
            sns: aws_sdk_sns::Client::new(sdk),
            ssm: aws_sdk_ssm::Client::new(sdk),
        }
    }
}

/// A role's trust policy that lets Lambda assume the role.
pub(crate) const TRUST_OF_LAMBDA: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Action":"sts:AssumeRole","Principal":{"Service":"lambda.amazonaws.com"}}}"#;

/// An SSM document that is none of ours.
pub(crate) const OTHER_DOCUMENT: &str = r#"{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"x",
    "inputs":{"runCommand":["true"]}}]}"#;

/// The zip of a function that is none of ours: one executable `bootstrap`.
pub(crate) fn zip_of(program: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(program.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}
