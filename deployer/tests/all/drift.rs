//! Whatever changes outside, `plan` shows it and `apply` puts it right.

use std::collections::HashMap;

use aws_sdk_lambda::{primitives::Blob, types::Environment};
use aws_sdk_secretsmanager::types::RotationRulesType;
use aws_sdk_ssm::types::ResourceTypeForTagging;

use crate::support::{
    aws::Aws,
    calls::NOTHING,
    controls::Subscriptions,
    example::{ACCOUNT, DOCUMENT, EMAIL, FUNCTION, INSTANCE_ROLE, LOG_GROUP, REGION, ROLE, RULE, SECRET, TOPIC, USER},
    sandbox::Sandbox,
};

/// A change from outside, and the call with which the plan answers it.
const CHANGES: [(&str, &str); 47] = [
    ("secret: tag changed", "secretsmanager:TagResource"),
    ("secret: tag removed", "secretsmanager:TagResource"),
    ("secret: tag added", "secretsmanager:UntagResource"),
    ("secret: KMS key", "secretsmanager:UpdateSecret"),
    ("secret: scheduled for deletion", "secretsmanager:RestoreSecret"),
    ("user: tag changed", "iam:TagUser"),
    ("user: tag of the secret changed", "iam:TagUser"),
    ("user: tag added", "iam:UntagUser"),
    ("user: policy changed", "iam:PutUserPolicy"),
    ("user: policy removed", "iam:PutUserPolicy"),
    ("role: trust", "iam:UpdateAssumeRolePolicy"),
    ("role: policy changed", "iam:PutRolePolicy"),
    ("role: policy removed", "iam:PutRolePolicy"),
    ("role: policy added", "iam:DeleteRolePolicy"),
    ("role: policy attached", "iam:DetachRolePolicy"),
    ("role: tag changed", "iam:TagRole"),
    ("role: tag added", "iam:UntagRole"),
    ("log group: retention", "logs:PutRetentionPolicy"),
    ("log group: tag changed", "logs:TagResource"),
    ("function: memory", "lambda:UpdateFunctionConfiguration"),
    ("function: timeout", "lambda:UpdateFunctionConfiguration"),
    ("function: environment", "lambda:UpdateFunctionConfiguration"),
    ("function: role", "lambda:UpdateFunctionConfiguration"),
    ("function: code", "lambda:UpdateFunctionCode"),
    ("function: tag of the source", "lambda:UpdateFunctionCode"),
    ("function: tag changed", "lambda:TagResource"),
    ("permission: removed", "lambda:AddPermission"),
    ("permission: wider", "lambda:RemovePermission"),
    ("permission: the rule's removed", "lambda:AddPermission"),
    ("document: content", "ssm:UpdateDocument"),
    ("document: tag changed", "ssm:AddTagsToResource"),
    ("instance access: changed", "iam:PutRolePolicy"),
    ("rotation: schedule", "secretsmanager:RotateSecret"),
    ("rotation: cancelled", "secretsmanager:RotateSecret"),
    ("topic: deleted", "sns:CreateTopic"),
    ("topic: unsubscribed", "sns:Subscribe"),
    ("topic: ended by the subscriber", "sns:Subscribe"),
    ("topic: tag changed", "sns:TagResource"),
    ("topic: tag added", "sns:UntagResource"),
    ("upkeep: deleted", "events:PutRule"),
    ("upkeep: schedule", "events:PutRule"),
    ("upkeep: disabled", "events:PutRule"),
    ("upkeep: target removed", "events:PutTargets"),
    ("upkeep: input", "events:PutTargets"),
    ("upkeep: target added", "events:RemoveTargets"),
    ("upkeep: tag changed", "events:TagResource"),
    ("upkeep: tag added", "events:UntagResource"),
];

const WIDE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

#[tokio::test]
async fn every_change_from_outside_is_planned_and_put_right() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let credential = sandbox.secret("AWSCURRENT").await;
    let outside = sandbox.aws().await;

    for (change, call) in CHANGES {
        outside.make(change, &sandbox).await;
        let planned = sandbox.deployer(&["plan", "--detailed-exitcode", &config]);
        assert_eq!(planned.code, 2, "{change}: {}{}", planned.stdout, planned.stderr);
        assert!(planned.stdout.contains(call), "{change}: the plan lacks {call}:\n{}", planned.stdout);
        let applied = sandbox.deployer(&["apply", "--auto-approve", &config]);
        assert_eq!(applied.code, 0, "{change}: {}{}", applied.stdout, applied.stderr);
        let left = sandbox.deployer(&["plan", "--detailed-exitcode", &config]);
        assert_eq!(left.code, 0, "{change}: apply left a difference:\n{}", left.stdout);
    }
    assert_eq!(sandbox.secret("AWSCURRENT").await, credential, "putting a change right must not rotate");
}

#[tokio::test]
async fn what_is_not_ours_is_an_error_and_stays_as_it_is() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let outside = sandbox.aws().await;
    outside.iam.create_user().user_name(USER).send().await.unwrap();

    let before = sandbox.mark();
    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1);

    assert!(refused.stderr.contains("user mail-prod-smtp exists and is not ours"), "{}", refused.stderr);
    assert!(refused.stderr.contains("existing: true"), "{}", refused.stderr);
    assert_eq!(sandbox.mutations(before), NOTHING);
}

#[tokio::test]
async fn a_topic_and_a_rule_of_another_owner_are_errors() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let outside = sandbox.aws().await;
    let owner = aws_sdk_sns::types::Tag::builder().key("deployer:deployment").value("eu-west-1/other").build().unwrap();
    outside.sns.create_topic().name(FUNCTION).tags(owner).send().await.unwrap();
    outside.events.put_rule().name(RULE).schedule_expression("rate(7 days)").send().await.unwrap();

    let before = sandbox.mark();
    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1);

    let told = "topic mail-prod-rotation exists and is not ours\n  cause: deployment eu-west-1/other owns it";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert!(refused.stderr.contains("upkeep mail-prod-upkeep exists and is not ours"), "{}", refused.stderr);
    assert_eq!(sandbox.mutations(before), NOTHING);
}

#[tokio::test]
async fn a_secret_that_another_function_rotates_is_an_error() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let other = sandbox.config(&[("name: mail-prod\n", "name: mail-two\n")]);

    let refused = sandbox.deployer(&["plan", &other]).expect(1);

    assert!(refused.stderr.contains("is rotated by another function"), "{}", refused.stderr);
}

/// As somebody else with access to the account.
impl Aws {
    async fn make(&self, change: &str, sandbox: &Sandbox) {
        match change.split_once(':').unwrap().0 {
            "secret" | "rotation" => self.change_secret(change).await,
            "user" => self.change_user(change).await,
            "role" | "instance access" => self.change_role(change).await,
            "function" | "permission" => self.change_function(change).await,
            "topic" => self.change_topic(change, sandbox).await,
            "upkeep" => self.change_upkeep(change).await,
            _ => self.change_log_group_or_document(change).await,
        }
    }

    async fn change_secret(&self, change: &str) {
        let tag = |key: &str| aws_sdk_secretsmanager::types::Tag::builder().key(key).value("x").build();
        let secrets = &self.secrets;
        match change {
            "secret: tag changed" => {
                drop(secrets.tag_resource().secret_id(SECRET).tags(tag("team")).send().await.unwrap());
            }
            "secret: tag removed" => {
                drop(secrets.untag_resource().secret_id(SECRET).tag_keys("team").send().await.unwrap());
            }
            "secret: tag added" => {
                drop(secrets.tag_resource().secret_id(SECRET).tags(tag("other")).send().await.unwrap());
            }
            "secret: KMS key" => {
                let key = self.kms.create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
                secrets.update_secret().secret_id(SECRET).kms_key_id(key).send().await.unwrap();
            }
            "secret: scheduled for deletion" => drop(secrets.delete_secret().secret_id(SECRET).send().await.unwrap()),
            "rotation: schedule" => {
                let rules = RotationRulesType::builder().schedule_expression("rate(9 days)").build();
                let request = secrets.rotate_secret().secret_id(SECRET).rotation_rules(rules).rotate_immediately(false);
                request.send().await.unwrap();
            }
            "rotation: cancelled" => drop(secrets.cancel_rotate_secret().secret_id(SECRET).send().await.unwrap()),
            other => panic!("{other}"),
        }
    }

    async fn change_user(&self, change: &str) {
        let tag = |key: &str| aws_sdk_iam::types::Tag::builder().key(key).value("x").build().unwrap();
        let (iam, policy) = (&self.iam, "mail-prod-send");
        match change {
            "user: tag changed" => drop(iam.tag_user().user_name(USER).tags(tag("team")).send().await.unwrap()),
            "user: tag of the secret changed" => {
                iam.tag_user().user_name(USER).tags(tag("deployer:secret")).send().await.unwrap();
            }
            "user: tag added" => drop(iam.tag_user().user_name(USER).tags(tag("other")).send().await.unwrap()),
            "user: policy changed" => {
                iam.put_user_policy().user_name(USER).policy_name(policy).policy_document(WIDE).send().await.unwrap();
            }
            "user: policy removed" => {
                iam.delete_user_policy().user_name(USER).policy_name(policy).send().await.unwrap();
            }
            other => panic!("{other}"),
        }
    }

    async fn change_role(&self, change: &str) {
        let tag = |key: &str| aws_sdk_iam::types::Tag::builder().key(key).value("x").build().unwrap();
        let (iam, policy) = (&self.iam, "mail-prod-rotation");
        match change {
            "role: trust" => {
                let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",
                    "Principal":{"Service":["lambda.amazonaws.com","ec2.amazonaws.com"]}}}"#;
                iam.update_assume_role_policy().role_name(ROLE).policy_document(trust).send().await.unwrap();
            }
            "role: policy changed" => {
                iam.put_role_policy().role_name(ROLE).policy_name(policy).policy_document(WIDE).send().await.unwrap();
            }
            "role: policy removed" => {
                iam.delete_role_policy().role_name(ROLE).policy_name(policy).send().await.unwrap();
            }
            "role: policy added" => {
                iam.put_role_policy().role_name(ROLE).policy_name("other").policy_document(WIDE).send().await.unwrap();
            }
            "role: policy attached" => {
                let created = iam.create_policy().policy_name("other").policy_document(WIDE).send().await.unwrap();
                let arn = created.policy.unwrap().arn.unwrap();
                iam.attach_role_policy().role_name(ROLE).policy_arn(arn).send().await.unwrap();
            }
            "role: tag changed" => drop(iam.tag_role().role_name(ROLE).tags(tag("team")).send().await.unwrap()),
            "role: tag added" => drop(iam.tag_role().role_name(ROLE).tags(tag("other")).send().await.unwrap()),
            "instance access: changed" => {
                let request = iam.put_role_policy().role_name(INSTANCE_ROLE).policy_document(WIDE);
                request.policy_name(format!("mail-prod-read-secret-{REGION}")).send().await.unwrap();
            }
            other => panic!("{other}"),
        }
    }

    async fn change_function(&self, change: &str) {
        let lambda = &self.lambda;
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}");
        let configure = || lambda.update_function_configuration().function_name(FUNCTION);
        let tag = |key: &str| lambda.tag_resource().resource(&arn).tags(key, "x").send();
        let remove =
            || lambda.remove_permission().function_name(FUNCTION).statement_id("mail-prod-secretsmanager").send();
        match change {
            "function: memory" => drop(configure().memory_size(512).send().await.unwrap()),
            "function: timeout" => drop(configure().timeout(3).send().await.unwrap()),
            "function: environment" => {
                let variables = HashMap::from([("KEEP_PREVIOUS_SECONDS".to_owned(), "0".to_owned())]);
                let environment = Environment::builder().set_variables(Some(variables)).build();
                configure().environment(environment).send().await.unwrap();
            }
            "function: role" => {
                let role = format!("arn:aws:iam::{ACCOUNT}:role/other");
                let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",
                    "Principal":{"Service":"lambda.amazonaws.com"}}}"#;
                self.iam.create_role().role_name("other").assume_role_policy_document(trust).send().await.unwrap();
                configure().role(role).send().await.unwrap();
            }
            "function: code" => {
                let zip = Blob::new(zip_of("#!/bin/sh\n"));
                lambda.update_function_code().function_name(FUNCTION).zip_file(zip).send().await.unwrap();
            }
            "function: tag of the source" => drop(tag("deployer:source").await.unwrap()),
            "function: tag changed" => drop(tag("team").await.unwrap()),
            "permission: removed" => drop(remove().await.unwrap()),
            "permission: the rule's removed" => {
                let request = lambda.remove_permission().function_name(FUNCTION).statement_id("mail-prod-events");
                request.send().await.unwrap();
            }
            "permission: wider" => {
                remove().await.unwrap();
                let request = lambda.add_permission().function_name(FUNCTION).statement_id("mail-prod-secretsmanager");
                let request = request.action("lambda:InvokeFunction").principal("secretsmanager.amazonaws.com");
                request.send().await.unwrap();
            }
            other => panic!("{other}"),
        }
    }

    async fn change_topic(&self, change: &str, sandbox: &Sandbox) {
        let tag = |key: &str| aws_sdk_sns::types::Tag::builder().key(key).value("x").build().unwrap();
        let sns = &self.sns;
        let confirm = || sandbox.control(&Subscriptions::Confirm(EMAIL));
        match change {
            "topic: deleted" => drop(sns.delete_topic().topic_arn(TOPIC).send().await.unwrap()),
            "topic: unsubscribed" => {
                confirm();
                let listed = sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
                let arn = listed.subscriptions()[0].subscription_arn().unwrap();
                sns.unsubscribe().subscription_arn(arn).send().await.unwrap();
            }
            "topic: ended by the subscriber" => {
                confirm();
                sandbox.control(&Subscriptions::End(EMAIL));
            }
            "topic: tag changed" => {
                drop(sns.tag_resource().resource_arn(TOPIC).tags(tag("team")).send().await.unwrap());
            }
            "topic: tag added" => drop(sns.tag_resource().resource_arn(TOPIC).tags(tag("other")).send().await.unwrap()),
            other => panic!("{other}"),
        }
    }

    async fn change_upkeep(&self, change: &str) {
        let arn = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{RULE}");
        let tag = |key: &str| aws_sdk_eventbridge::types::Tag::builder().key(key).value("x").build().unwrap();
        let function = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}");
        let target = |id: &str| {
            let target = aws_sdk_eventbridge::types::Target::builder().id(id).arn(&function);
            target.input(r#"{"event":"report"}"#).build().unwrap()
        };
        let events = &self.events;
        match change {
            "upkeep: deleted" => {
                events.remove_targets().rule(RULE).ids("function").send().await.unwrap();
                events.delete_rule().name(RULE).send().await.unwrap();
            }
            "upkeep: schedule" => {
                drop(events.put_rule().name(RULE).schedule_expression("rate(9 days)").send().await.unwrap());
            }
            "upkeep: disabled" => drop(events.disable_rule().name(RULE).send().await.unwrap()),
            "upkeep: target removed" => {
                drop(events.remove_targets().rule(RULE).ids("function").send().await.unwrap());
            }
            "upkeep: input" => {
                drop(events.put_targets().rule(RULE).targets(target("function")).send().await.unwrap());
            }
            "upkeep: target added" => {
                drop(events.put_targets().rule(RULE).targets(target("other")).send().await.unwrap());
            }
            "upkeep: tag changed" => {
                drop(events.tag_resource().resource_arn(arn).tags(tag("team")).send().await.unwrap());
            }
            "upkeep: tag added" => {
                drop(events.tag_resource().resource_arn(arn).tags(tag("other")).send().await.unwrap());
            }
            other => panic!("{other}"),
        }
    }

    async fn change_log_group_or_document(&self, change: &str) {
        match change {
            "log group: retention" => {
                let request = self.logs.put_retention_policy().log_group_name(LOG_GROUP).retention_in_days(1);
                request.send().await.unwrap();
            }
            "log group: tag changed" => {
                let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG_GROUP}");
                self.logs.tag_resource().resource_arn(arn).tags("team", "x").send().await.unwrap();
            }
            "document: content" => {
                let content = r#"{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"x",
                    "inputs":{"runCommand":["true"]}}]}"#;
                let request = self.ssm.update_document().name(DOCUMENT).content(content).document_version("$LATEST");
                let version = request.send().await.unwrap().document_description.unwrap().document_version.unwrap();
                let request = self.ssm.update_document_default_version().name(DOCUMENT).document_version(version);
                request.send().await.unwrap();
            }
            "document: tag changed" => {
                let tag = aws_sdk_ssm::types::Tag::builder().key("team").value("x").build().unwrap();
                let request = self.ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Document);
                request.resource_id(DOCUMENT).tags(tag).send().await.unwrap();
            }
            other => panic!("{other}"),
        }
    }
}

/// A zip with one executable `bootstrap`.
fn zip_of(program: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(program.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}
