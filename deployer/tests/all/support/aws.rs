//! SDK clients of somebody who may do everything in the account, and what somebody may make there that is not ours.

use std::io::{Cursor, Write as _};

use aws_config::SdkConfig;
use aws_sdk_ssm::types::ResourceTypeForTagging;
use contract::TAG_DEPLOYMENT;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::example::{DOCUMENT, FUNCTION_ARN, LOG_GROUP_ARN, RECORD, ROLE, RULE_ARN, SECRET, TOPIC, USER};

/// One client per service.
pub(crate) struct Aws {
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(crate) events: aws_sdk_eventbridge::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) sesv2: aws_sdk_sesv2::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
}

impl Aws {
    pub(crate) fn new(sdk: &SdkConfig) -> Self {
        Self {
            cloudwatch: aws_sdk_cloudwatch::Client::new(sdk),
            events: aws_sdk_eventbridge::Client::new(sdk),
            iam: aws_sdk_iam::Client::new(sdk),
            kms: aws_sdk_kms::Client::new(sdk),
            lambda: aws_sdk_lambda::Client::new(sdk),
            logs: aws_sdk_cloudwatchlogs::Client::new(sdk),
            secrets: aws_sdk_secretsmanager::Client::new(sdk),
            sesv2: aws_sdk_sesv2::Client::new(sdk),
            sns: aws_sdk_sns::Client::new(sdk),
            ssm: aws_sdk_ssm::Client::new(sdk),
        }
    }

    /// Takes every sign of the deployer off a deployment, as if another tool had made it.
    pub(crate) async fn make_another_tools(&self) {
        let keys = || Some(OUR_TAGS.map(str::to_owned).to_vec());
        self.secrets.untag_resource().secret_id(SECRET).set_tag_keys(keys()).send().await.unwrap();
        self.iam.untag_user().user_name(USER).set_tag_keys(keys()).send().await.unwrap();
        let tag = aws_sdk_iam::types::Tag::builder().key("ManagedBy").value("terraform").build().unwrap();
        self.iam.tag_user().user_name(USER).tags(tag).send().await.unwrap();
        self.iam.untag_role().role_name(ROLE).set_tag_keys(keys()).send().await.unwrap();
        self.logs.untag_resource().resource_arn(LOG_GROUP_ARN).set_tag_keys(keys()).send().await.unwrap();
        self.lambda.untag_resource().resource(FUNCTION_ARN).set_tag_keys(keys()).send().await.unwrap();
        self.sns.untag_resource().resource_arn(TOPIC).set_tag_keys(keys()).send().await.unwrap();
        let untag = self.ssm.remove_tags_from_resource().resource_type(ResourceTypeForTagging::Document);
        untag.resource_id(DOCUMENT).set_tag_keys(keys()).send().await.unwrap();
        self.events.untag_resource().resource_arn(RULE_ARN).set_tag_keys(keys()).send().await.unwrap();
        for parameter in [RECORD.to_owned(), format!("{RECORD}/lease")] {
            self.ssm.delete_parameter().name(parameter).send().await.unwrap();
        }
    }
}

/// Every tag that the deployer sets on some resource beside those of the file.
const OUR_TAGS: [&str; 6] = [
    TAG_DEPLOYMENT,
    "deployer:adopted",
    "deployer:secret",
    "deployer:email",
    "deployer:source",
    "deployer:code-sha256",
];

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
