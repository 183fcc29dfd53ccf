//! The daily rule, and who is told of what.

use std::fs;

use aws_sdk_cloudwatch::types::StateValue;
use contract::Retired;
use serde::Deserialize;

use crate::support::{
    controls::Upkeep,
    deployed::{Deployed, LONG_GRACE},
    example::{RULE, USER},
    faults::Fault,
    rotation::{CREATE, TEST},
};

const DAY: u64 = 24 * 60 * 60;

/// A line of the sandbox's `notifications.jsonl`.
#[derive(Deserialize)]
struct Notification {
    subject: String,
}

/// The subjects of the notifications so far, oldest first.
fn told(deployed: &Deployed) -> Vec<String> {
    let log = fs::read_to_string(deployed.sandbox.path("notifications.jsonl")).unwrap_or_default();
    log.lines().map(|line| serde_json::from_str::<Notification>(line).unwrap().subject).collect()
}

/// Fires the daily rule. Returns the keys that the function deleted.
fn fire(deployed: &Deployed) -> Vec<String> {
    let [invocation] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();
    assert_eq!(invocation.error, None);
    serde_json::from_value::<Retired>(invocation.result).unwrap().deleted
}

#[tokio::test]
async fn the_topic_is_told_of_a_rotation_that_fails_and_of_one_that_completes() {
    let deployed = Deployed::new().await;
    assert_eq!(told(&deployed), ["rotated (mail-prod/smtp)"]);
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");

    deployed.completes_when_tried_again().await;

    let [_, failed, rotated] = told(&deployed).try_into().unwrap();
    assert_eq!(failed, "testSecret failed: TestMailRefused (mail-prod/smtp)");
    assert_eq!(rotated, "rotated (mail-prod/smtp)");
}

#[tokio::test]
async fn an_upkeep_that_stopped_and_a_function_that_fails_are_told_without_the_function() {
    let deployed = Deployed::new().await;
    let before = told(&deployed).len();
    for (alarm, states) in [
        ("mail-prod-silence", [StateValue::Ok, StateValue::InsufficientData]),
        ("mail-prod-errors", [StateValue::Alarm, StateValue::Ok]),
    ] {
        for state in states {
            let set = deployed.aws.cloudwatch.set_alarm_state().alarm_name(alarm).state_value(state);
            set.state_reason("a test").send().await.unwrap();
        }
    }
    let expected = [r#"INSUFFICIENT_DATA: "mail-prod-silence""#, r#"ALARM: "mail-prod-errors""#];
    assert_eq!(told(&deployed)[before..], expected);
}

#[tokio::test]
async fn upkeep_retires_the_previous_key_after_its_grace_and_tells_nobody() {
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    let before = told(&deployed).len();

    assert_eq!(fire(&deployed), Vec::<String>::new(), "the previous key is in its grace");
    deployed.let_pass(2 * DAY);
    assert_eq!(fire(&deployed), [previous]);

    assert_eq!(told(&deployed).len(), before);
    deployed.mail_works().await;
}

#[tokio::test]
async fn upkeep_tells_of_a_rotation_that_was_never_attempted_and_recover_makes_it() {
    let deployed = Deployed::new().await;
    let key = deployed.key_labelled("AWSCURRENT").await;
    fire(&deployed);
    let before = told(&deployed).len();
    deployed.let_pass(40 * DAY);

    fire(&deployed);

    let now = told(&deployed);
    assert_eq!(now.len(), before + 1, "{now:?}");
    assert!(now.last().unwrap().contains("overdue"), "{now:?}");
    deployed.mail_works().await;
    deployed.shows("overdue").await;
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.expect_health().await;
    assert_ne!(deployed.key_labelled("AWSCURRENT").await, key);
}

#[tokio::test]
async fn a_user_whom_aws_has_put_in_quarantine_is_told_first_and_every_day_by_the_topic() {
    let deployed = Deployed::new().await;
    let policy = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";
    deployed.aws.iam.attach_user_policy().user_name(USER).policy_arn(policy).send().await.unwrap();
    let before = told(&deployed).len();

    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.split(" - ").nth(1).is_some_and(|point| point.contains(policy)), "{status}");
    for command in ["plan", "recover"] {
        let shown = deployed.run(&[command]).expect(0).stdout;
        let notes: Vec<_> = shown.lines().filter(|line| line.starts_with("note: ")).collect();
        assert!(notes[0].contains(policy) && notes[0].contains("`deployer rotate --leaked KEY"), "{command}: {shown}");
        assert_eq!(notes.iter().filter(|note| note.contains("in quarantine")).count(), 1, "{command}: {shown}");
    }
    fire(&deployed);
    fire(&deployed);

    let now = &told(&deployed)[before..];
    assert!(now.len() == 2 && now.iter().all(|subject| subject.contains("found in public")), "{now:?}");
}

#[tokio::test]
async fn upkeep_that_fails_after_it_told_of_an_overdue_rotation_tells_of_it_once() {
    let deployed = Deployed::new().await;
    deployed.let_pass(40 * DAY);
    let before = told(&deployed).len();
    deployed.sandbox.faults(&[Fault::refuse("iam:ListAccessKeys", "ServiceFailure")]);

    let [invocation] = deployed.sandbox.control(&Upkeep { rule: RULE }).invocations.try_into().unwrap();

    assert!(invocation.error.unwrap().contains("iam:ListAccessKeys failed"));
    assert_eq!(told(&deployed).len(), before + 1, "Lambda retried the event");
}

#[tokio::test]
async fn upkeep_tells_of_a_rotation_that_fails_for_two_periods() {
    let deployed = Deployed::new().await;
    deployed.set_online(None, false);
    deployed.rotate().await.failed(CREATE, "HostsOffline");
    deployed.let_pass(40 * DAY);
    let before = told(&deployed).len();
    deployed.try_again().await.failed(CREATE, "HostsOffline");

    fire(&deployed);

    let now = told(&deployed);
    assert_eq!(now.len(), before + 2, "{now:?}");
    assert!(
        now[before].contains("createSecret failed: HostsOffline") && now[before + 1].contains("overdue"),
        "{now:?}"
    );
    deployed.set_online(None, true);
    deployed.completes_when_tried_again().await;
}
