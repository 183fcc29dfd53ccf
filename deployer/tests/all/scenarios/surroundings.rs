//! What a rotation depends on beside keys, labels, hosts and SES, and the variants that Secrets Manager has.

use std::collections::BTreeMap;

use aws_sdk_iam::types::Tag;
use contract::TAG_SECRET;

use crate::support::{
    controls::Functions,
    deployed::Deployed,
    example::{REGION, ROLE, ROLE_POLICY, SECRET, USER},
    rotation::{CREATE, Status, StepEvent, TEST},
};

async fn tag_user(deployed: &Deployed, value: &str) {
    let tag = Tag::builder().key(TAG_SECRET).value(value).build().unwrap();
    deployed.aws.iam.tag_user().user_name(USER).tags(tag).send().await.unwrap();
}

#[tokio::test]
async fn the_user_serves_another_secret() {
    let deployed = Deployed::new().await;
    tag_user(&deployed, "eu-west-1/another").await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "UserServesAnother");

    failure.says(&["serves eu-west-1/another", "eu-west-1/mail-prod/smtp", "or correct the tag"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("the_user_serves_another_secret").await;
    tag_user(&deployed, &format!("{REGION}/{SECRET}")).await;
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn rotate_immediately_false_only_tests() {
    let deployed = Deployed::new().await;
    let (before, labelled) = (deployed.mark(), deployed.labelled("AWSCURRENT").await);

    deployed.aws.secrets.rotate_secret().secret_id(SECRET).rotate_immediately(false).send().await.unwrap();
    let tested = deployed.ended().await;

    assert_eq!((tested.status, tested.errors()), (Status::Tested, vec![(TEST, None)]));
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    assert_eq!(deployed.labelled("AWSCURRENT").await, labelled);
    deployed.completes().await;
}

#[tokio::test]
async fn rotate_immediately_false_with_a_placeholder_tests_nothing() {
    let deployed = Deployed::not_yet_rotated().await;
    let tested = deployed.last_rotation();
    assert_eq!((tested.status, tested.errors()), (Status::Tested, vec![(TEST, None)]));
    assert_eq!(std::fs::read_dir(deployed.sandbox.path("mail")).unwrap().count(), 0);
    deployed.completes().await;
}

#[tokio::test]
async fn a_rotation_token_that_is_given_is_passed_on() {
    let deployed = Deployed::new().await;
    let token = deployed.held_before(CREATE).await;
    let before = deployed.mark();
    // Secrets Manager refuses a wrong token. The refusal shows that the function passes the token on.
    let (arn, wrong) = (deployed.arn().await, "00000000-0000-4000-8000-000000000000");
    let event = StepEvent { step: CREATE, secret_id: &arn, client_request_token: &token, rotation_token: Some(wrong) };

    let failure = deployed.invoke(&event).await.unwrap_err();

    assert_eq!(failure.kind, "StoreRefused");
    failure.says(&["the key was deleted again", "no host was told"]);
    assert!(!failure.text.contains(wrong), "{failure:?}");
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 1);
    deployed.mail_works().await;
    deployed.release();
    deployed.completes_by_itself().await;
}

#[tokio::test]
async fn a_secret_under_a_customer_managed_kms_key_needs_the_roles_permission() {
    let deployed = Deployed::new().await;
    let secret = deployed.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert!(secret.kms_key_id().unwrap().contains(":key/"), "the example's secret is not under such a key");
    let policy = deployed
        .aws
        .iam
        .get_role_policy()
        .role_name(ROLE)
        .policy_name(ROLE_POLICY)
        .send()
        .await
        .unwrap()
        .policy_document;
    let text = percent_encoding::percent_decode_str(&policy).decode_utf8().unwrap();
    let mut policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "Key");
    let request = deployed.aws.iam.put_role_policy().role_name(ROLE).policy_name(ROLE_POLICY);
    request.policy_document(policy.to_string()).send().await.unwrap();
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "Aws");

    failure.says(&["Access to KMS is not allowed", "run `deployer apply --during-rotation`"]);
    deployed.touched_no_key(before);
    deployed.shows("kms_denies").await;
    deployed.apply(&[]);
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_version_that_hosts_may_know_stays_readable_when_the_kms_key_changes() {
    let deployed = Deployed::new().await;
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    deployed.clear_pending().await;
    let told = deployed.key_labelled("DEPLOYING").await;
    let key = deployed.aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    let change = ("kms_key: alias/mail", &*format!("kms_key: {key}"));

    let config = deployed.sandbox.config(&[change]);
    let plan = deployed.sandbox.deployer(&["plan", &config]).expect(0).stdout;
    assert!(plan.contains("encrypts the versions labelled AWSCURRENT, AWSPENDING and AWSPREVIOUS again"), "{plan}");
    assert!(plan.contains("(DEPLOYING, TOLD) under arn:aws:kms:"), "{plan}");
    assert!(plan.contains("+ may Decrypt on key"), "{plan}");
    deployed.apply(&[change]);

    deployed.completes().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told, "the rotation continues with what hosts may know");
    deployed.apply(&[change]);
    let plan = deployed.run(&["plan"]).expect(0).stdout;
    assert!(!plan.contains("stays encrypted"), "{plan}");
}

#[tokio::test]
async fn a_caller_who_may_not_encrypt_with_the_new_kms_key_breaks_nothing() {
    let deployed = Deployed::new().await;
    let key = deployed.aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    let change = ("kms_key: alias/mail", &*format!("kms_key: {key}"));
    let no_encrypt = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}"#;
    let (iam, user) = (&deployed.aws.iam, "administrator");
    iam.put_user_policy().user_name(user).policy_name("no").policy_document(no_encrypt).send().await.unwrap();

    let config = deployed.sandbox.config(&[change]);
    let refused = deployed.sandbox.deployer(&["apply", "--auto-approve", &config]).expect(11).stderr;
    assert!(refused.contains("AWSCURRENT is still encrypted under") && refused.contains("kms:Encrypt"), "{refused}");
    deployed.mail_works().await;

    // The next apply lets the function use both keys.
    deployed.sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    deployed.completes().await;
}

#[tokio::test]
async fn a_region_without_an_smtp_endpoint() {
    let deployed = Deployed::new().await;
    let environment = BTreeMap::from([("SMTP_ENDPOINT", "smtps://email-smtp.nowhere.invalid:465")]);
    deployed.sandbox.control(&Functions { environment, ..Functions::default() });
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "EndpointUnresolved");

    failure.says(&["email-smtp.nowhere.invalid", "no key was made", "not every region has an endpoint"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("a_region_without_an_endpoint").await;
    deployed.sandbox.control(&Functions::default());
    deployed.completes_when_tried_again().await;
}
