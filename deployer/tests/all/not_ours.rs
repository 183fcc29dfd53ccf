//! Resources of somebody else's under the names that the deployment would use: an error, and no change.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Statistic};
use aws_sdk_lambda::{
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use aws_sdk_ssm::types::{DocumentType, ResourceTypeForTagging};
use contract::TAG_DEPLOYMENT;

use crate::support::{
    aws::{Aws, OTHER_DOCUMENT, TRUST_OF_LAMBDA, zip_of},
    calls::NOTHING,
    example::{
        ACCOUNT, DOCUMENT, EXISTING_USER, FUNCTION, FUNCTION_ARN, LOG_GROUP, LOG_GROUP_ARN, REGION, ROLE, RULE,
        RULE_ARN, SECRET, TOPIC, USER,
    },
    sandbox::Sandbox,
};

/// Every owned kind: its name in errors, the way out that its hint offers if the resource has no owner, and the key that
/// names the resource, which the hint offers if another deployment owns it.
const OWNED: [(&str, &str, &str); 9] = [
    ("secret mail-prod/smtp", "existing: true under secret", "secret.name"),
    ("user mail-prod-smtp", "existing: true under iam_user", "iam_user.name"),
    ("role mail-prod-rotation-eu-west-1", "delete role mail-prod-rotation-eu-west-1 first", "names.role"),
    ("log group /aws/lambda/mail-prod-rotation", "aws logs delete-log-group", "names.function"),
    ("function mail-prod-rotation", "delete function mail-prod-rotation first", "names.function"),
    ("topic mail-prod-rotation", "delete topic mail-prod-rotation first", "names.topic"),
    ("document mail-prod-rotate-smtp", "delete document mail-prod-rotate-smtp first", "names.document"),
    ("upkeep mail-prod-upkeep", "delete the rule first", "names.rule"),
    ("alarm mail-prod-errors", "delete alarm mail-prod-errors first", "names.alarms"),
];

const OTHER: &str = "eu-west-1/other";
const ALARM: &str = "mail-prod-errors";

#[tokio::test]
async fn every_kind_of_resource_that_is_not_ours_is_refused_and_left_alone() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let aws = sandbox.aws().await;

    make_all(&aws).await;
    let reason = "it carries no tag deployer:deployment, so this tool did not make it";
    let commands: [&[&str]; 3] =
        [&["plan"], &["apply", "--auto-approve"], &["destroy", "--auto-approve", "--stop-mail"]];
    expect_refusals(&sandbox, &config, &commands, reason, |_, way_out, _| way_out.to_owned());
    let adopt = "to take it over, with what it holds, run `deployer plan --adopt`";
    expect_refusals(&sandbox, &config, &commands[..2], reason, |_, _, _| adopt.to_owned());
    assert!(!sandbox.deployer(&[commands[2], &[&config]].concat()).expect(1).stderr.contains("--adopt"));

    for verb in ["status", "doctor"] {
        let said = sandbox.deployer(&[verb, &config]).expect(1).in_one_line();
        assert!(!said.contains("gives the user its policy"), "apply does not: {said}");
    }

    tag_all(&aws).await;
    let commands = [&commands[..], &[&["plan", "--adopt"], &["apply", "--adopt", "--auto-approve"]]].concat();
    expect_refusals(&sandbox, &config, &commands, "deployment eu-west-1/other owns it", |name, _, key| {
        format!("\nhint: else change {key} in the configuration: two deployments cannot share {name}\n")
    });
}

/// Fails the test unless each of these commands refuses every kind for this reason and with this hint, made of the kind's row in
/// [`OWNED`], and none changes anything.
fn expect_refusals(
    sandbox: &Sandbox,
    config: &str,
    commands: &[&[&str]],
    reason: &str,
    hint: impl Fn(&str, &str, &str) -> String,
) {
    let before = sandbox.mark();
    let mut failures = Vec::new();
    for command in commands {
        let refused = sandbox.deployer(&[*command, &[config]].concat()).expect(1).stderr;
        let errors: Vec<_> = refused.split("error: ").collect();
        for (name, way_out, key) in OWNED {
            let error = errors
                .iter()
                .find(|error| error.starts_with(&format!("{name} exists, but this deployment does not own it\n")));
            if !error.is_some_and(|error| error.contains(reason) && error.contains(&hint(name, way_out, key))) {
                failures.push(format!("{command:?}, {name}: {error:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "refused otherwise than for {reason:?}:\n{}", failures.join("\n"));
    assert_eq!(sandbox.mutations(before), NOTHING);
}

/// Makes one resource of every kind, without tags.
async fn make_all(aws: &Aws) {
    aws.secrets.create_secret().name(SECRET).secret_string("theirs").send().await.unwrap();
    aws.iam.create_user().user_name(USER).send().await.unwrap();
    aws.iam.create_role().role_name(ROLE).assume_role_policy_document(TRUST_OF_LAMBDA).send().await.unwrap();
    aws.logs.create_log_group().log_group_name(LOG_GROUP).send().await.unwrap();
    let code = FunctionCode::builder().zip_file(Blob::new(zip_of("#!/bin/sh\n"))).build();
    let create =
        aws.lambda.create_function().function_name(FUNCTION).role(format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}"));
    create.runtime(Runtime::Providedal2023).handler("bootstrap").code(code).send().await.unwrap();
    aws.sns.create_topic().name(FUNCTION).send().await.unwrap();
    let create = aws.ssm.create_document().name(DOCUMENT).content(OTHER_DOCUMENT).document_type(DocumentType::Command);
    create.send().await.unwrap();
    aws.events.put_rule().name(RULE).schedule_expression("rate(7 days)").send().await.unwrap();
    let alarm = aws.cloudwatch.put_metric_alarm().alarm_name(ALARM).namespace("AWS/Lambda").metric_name("Errors");
    let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).statistic(Statistic::Sum);
    alarm.threshold(5.0).period(60).evaluation_periods(1).send().await.unwrap();
}

/// Tags all of them as another deployment's own.
async fn tag_all(aws: &Aws) {
    let tag = aws_sdk_secretsmanager::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build();
    aws.secrets.tag_resource().secret_id(SECRET).tags(tag).send().await.unwrap();
    let tag = aws_sdk_iam::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build().unwrap();
    aws.iam.tag_user().user_name(USER).tags(tag.clone()).send().await.unwrap();
    aws.iam.tag_role().role_name(ROLE).tags(tag).send().await.unwrap();
    aws.logs.tag_resource().resource_arn(LOG_GROUP_ARN).tags(TAG_DEPLOYMENT, OTHER).send().await.unwrap();
    aws.lambda.tag_resource().resource(FUNCTION_ARN).tags(TAG_DEPLOYMENT, OTHER).send().await.unwrap();
    let tag = aws_sdk_sns::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build().unwrap();
    aws.sns.tag_resource().resource_arn(TOPIC).tags(tag).send().await.unwrap();
    let tag = aws_sdk_ssm::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build().unwrap();
    let request = aws.ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Document).resource_id(DOCUMENT);
    request.tags(tag).send().await.unwrap();
    let tag = aws_sdk_eventbridge::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build().unwrap();
    aws.events.tag_resource().resource_arn(RULE_ARN).tags(tag).send().await.unwrap();
    let tag = aws_sdk_cloudwatch::types::Tag::builder().key(TAG_DEPLOYMENT).value(OTHER).build();
    let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{ALARM}");
    aws.cloudwatch.tag_resource().resource_arn(arn).tags(tag).send().await.unwrap();
}

#[tokio::test]
async fn a_secret_that_another_function_rotates_is_an_error() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let other = sandbox.config(&[("name: mail-prod\n", "name: mail-two\n")]);

    let refused = sandbox.deployer(&["plan", &other]).expect(1);

    assert!(refused.stderr.contains("is rotated by another function"), "{}", refused.stderr);
    // It is a deployment's: to end its rotation would leave the credential as it is for ever.
    assert!(!refused.stderr.contains("cancel-rotate-secret"), "{}", refused.stderr);
    assert!(refused.stderr.contains("use the file of that deployment"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_name_that_iam_has_in_other_letters_is_told_at_once_with_its_spelling() {
    let sandbox = Sandbox::start();
    let iam = sandbox.aws().await.iam;
    iam.create_user().user_name("Mail-Prod-SMTP").send().await.unwrap();
    let create = iam.create_role().role_name("MAIL-PROD-rotation-eu-west-1");
    create.assume_role_policy_document(TRUST_OF_LAMBDA).send().await.unwrap();
    let config = sandbox.config(&[("role: mail-prod-instance", "role: Mail-Prod-Instance")]);
    let existing = sandbox.file("existing.yaml", &std::fs::read_to_string(sandbox.path(&config)).unwrap());
    let before = sandbox.mark();

    let began = std::time::Instant::now();
    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1).stderr;

    for (name, spelled) in [
        ("user mail-prod-smtp", "Mail-Prod-SMTP"),
        ("role mail-prod-rotation-eu-west-1", "MAIL-PROD-rotation-eu-west-1"),
        ("role Mail-Prod-Instance", "mail-prod-instance"),
    ] {
        assert!(refused.contains(&format!("error: {name} exists in other letters: {spelled}\n")), "{refused}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(sandbox.mutations(before), NOTHING);
    sandbox.deployer(&["destroy", "--auto-approve", &existing]).expect(0);
}

#[tokio::test]
async fn a_second_deployment_of_the_same_name_is_refused_and_told_whose_function_it_is() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let first = sandbox.secret("AWSCURRENT").await;
    let second =
        sandbox.config(&[("name: mail-prod/smtp", "name: shop/smtp"), ("name: mail-prod-smtp", "name: shop-smtp")]);
    let before = sandbox.mark();

    let commands: [&[&str]; 3] =
        [&["plan"], &["apply", "--auto-approve"], &["destroy", "--auto-approve", "--stop-mail"]];
    for command in commands {
        let refused = sandbox.deployer(&[command, &[&second]].concat()).expect(1).stderr;
        let error = "error: function mail-prod-rotation rotates another secret: mail-prod/smtp\n";
        assert!(refused.contains(error), "{command:?}: {refused}");
        let last = "user/administrator applied a deployment mail-prod in this region last, at 20";
        assert!(refused.contains(last), "{command:?}: {refused}");
        // How to delete what is the other file's.
        assert!(!refused.contains("--stop-mail"), "{command:?}: {refused}");
    }

    assert_eq!(sandbox.mutations(before), NOTHING);
    assert!(sandbox.logs_in(&first));
}

#[tokio::test]
async fn an_existing_user_that_is_an_administrator_is_refused_unless_the_file_allows_it() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&EXISTING_USER);
    sandbox.make_user_by_hand("/").await;
    let iam = sandbox.aws().await.iam;
    iam.create_group().group_name("staff").send().await.unwrap();
    iam.add_user_to_group().group_name("staff").user_name(USER).send().await.unwrap();

    let planned = sandbox.deployer(&["plan", &config]).expect(0).stdout;
    assert!(
        planned.contains("may do all that user mail-prod-smtp may, by inline policy theirs, group staff"),
        "{planned}"
    );
    let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_user_policy().user_name(USER).policy_arn(policy).send().await.unwrap();
    let before = sandbox.mark();
    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(1).stderr;
    assert!(refused.contains("user mail-prod-smtp is an administrator") && refused.contains(policy), "{refused}");
    assert!(refused.contains("allow_privileged: true"), "{refused}");
    assert_eq!(sandbox.mutations(before), NOTHING);
    let allowed = ("  # allow_privileged: true", "  allow_privileged: true");
    let config = sandbox.config(&[EXISTING_USER.as_slice(), &[allowed]].concat());
    sandbox.deployer(&["plan", &config]).expect(0);
}
