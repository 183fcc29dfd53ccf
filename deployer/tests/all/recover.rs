//! `deployer recover`: for every stuck state, what it prints and the state after.

use serde_json::json;

use crate::{
    operator::{Operator, lines_of},
    sandbox::{SECRET, Sandbox},
    shown::assert_shown,
};

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn what_is_healthy_is_left_alone() {
    let operator = Operator::deploy(&[]).await;

    let (ran, mutations) = operator.run_watched(&["recover"]);

    assert_shown!("healthy", &operator.sandbox, &ran.expect(0).stdout);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn within_the_grace_it_is_healthy_and_says_until_when_no_rotation_can_run() {
    let operator = Operator::deploy(&[]).await;
    operator.run(&["rotate"]).expect(0);

    let (ran, mutations) = operator.run_watched(&["recover"]);

    assert_shown!("in_grace", &operator.sandbox, &ran.expect(0).stdout);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn a_rotation_that_told_the_host_is_rolled_forward() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    let told = operator.key("AWSPENDING").await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("rolled_forward", &operator.sandbox, &ran.stdout);
    assert_shown!("rolled_forward_events", &operator.sandbox, &ran.stderr);
    operator.expect_health().await;
    assert_eq!(operator.key("AWSCURRENT").await, told);
}

#[tokio::test]
async fn without_a_terminal_the_remedies_are_only_shown() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;

    let (ran, mutations) = operator.run_watched(&["recover"]);
    let ran = ran.expect(1);
    assert_eq!(mutations, NOTHING);
    assert!(ran.stdout.contains("Remedy:\n  1. take AWSPENDING off version"), "{}", ran.stdout);
    assert!(ran.stderr.contains("run `deployer recover --auto-approve`"), "{}", ran.stderr);

    let lines = operator.run(&["recover", "--json"]).expect(1).json();
    assert_eq!(lines_of(&lines, "version").len(), 3);
    assert_eq!(lines_of(&lines, "key").len(), 2);
    assert_eq!(lines_of(&lines, "host").len(), 1);
    assert_eq!(lines_of(&lines, "diagnosis")[0]["state"], "curable");
    let remedies: Vec<_> = lines_of(&lines, "remedy").iter().map(|line| line["remedy"].clone()).collect();
    assert_eq!(remedies, ["clear_pending", "rotate"]);
}

#[tokio::test]
async fn a_rotation_that_made_no_key_is_given_up_and_made_anew() {
    let operator = Operator::deploy(&[]).await;
    operator.put_host(false);
    operator.rotation_fails_at("none").await;

    let blocked = operator.run(&["recover", "--auto-approve"]).expect(1);
    assert_shown!("empty_while_the_host_is_offline", &operator.sandbox, &blocked.stdout);
    operator.put_host(true);
    operator.rotation_fails_at("iam:CreateAccessKey").await;
    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("empty", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn a_pending_key_that_was_deleted_is_replaced() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    operator.delete(&operator.key("AWSPENDING").await).await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("pending_key_deleted", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn a_pending_key_that_was_deactivated_is_activated_and_rolled_forward() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    let told = operator.key("AWSPENDING").await;
    operator.deactivate(&told).await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("pending_key_inactive", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
    assert_eq!(operator.key("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_current_key_that_was_deactivated_is_activated_first_of_all() {
    let operator = Operator::deploy(&[]).await;
    operator.deactivate(&operator.key("AWSCURRENT").await).await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("current_key_inactive", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn a_current_key_that_was_deleted_is_replaced() {
    let operator = Operator::deploy(&[]).await;
    operator.delete(&operator.key("AWSCURRENT").await).await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("current_key_deleted", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn a_rotation_that_was_given_up_after_the_host_was_told_is_rolled_forward() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    let told = operator.key("AWSPENDING").await;
    operator.clear_pending().await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("cleared", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
    assert_eq!(operator.key("AWSCURRENT").await, told);
}

#[tokio::test]
async fn crossed_labels_are_a_persons_to_decide_while_both_credentials_work() {
    let operator = Operator::deploy(&[]).await;
    operator.run(&["rotate"]).expect(0);
    operator.roll_back().await;
    let refused = operator.run(&["rotate"]).expect(1);
    assert!(refused.stderr.contains("deployer recover"), "{}", refused.stderr);

    let (ran, mutations) = operator.run_watched(&["recover", "--auto-approve"]);

    let ran = ran.expect(1);
    assert_shown!("crossed", &operator.sandbox, &ran.stdout);
    assert_shown!("crossed_error", &operator.sandbox, &ran.stderr);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn of_crossed_labels_both_go_to_the_only_credential_that_works() {
    let operator = Operator::deploy(&[]).await;
    operator.run(&["rotate"]).expect(0);
    operator.roll_back().await;
    operator.clear_pending().await;
    let refused = operator.run(&["rotate"]).expect(1);
    assert!(refused.stderr.contains("RolledBack") && refused.stderr.contains("deployer recover"), "{}", refused.stderr);
    operator.delete(&operator.key("AWSCURRENT").await).await;

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("crossed_and_one_works", &operator.sandbox, &ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn an_orphan_in_the_last_slot_is_offered_by_name() {
    let operator = with_orphan().await;
    let orphan = operator.keys().await.into_iter().map(|(key, _)| key);
    let current = operator.key("AWSCURRENT").await;
    let orphan: Vec<_> = orphan.filter(|key| *key != current).collect();
    let refused = operator.run(&["rotate"]).expect(1);
    assert!(refused.stderr.contains(&format!("`deployer recover` offers to delete access key {}", orphan[0])));

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("orphan", &operator.sandbox, &ran.stdout);
    assert_eq!(operator.keys().await, [(current, true)]);
    operator.run(&["rotate"]).expect(0);
    operator.expect_health().await;
}

/// A user of somebody else's, with AWSCURRENT's key and one that a createSecret left behind.
async fn with_orphan() -> Operator {
    let sandbox = Sandbox::with(&[("SANDBOX_ROTATION_ATTEMPTS", "1")]);
    let config = sandbox.config(&[
        ("  existing: false\n  # Access keys", "  existing: true\n  # Access keys"),
        ("  from: [\"*@example.com\"]\n", ""),
    ]);
    let operator = Operator::of(sandbox, config).await;
    operator.iam.create_user().user_name(crate::sandbox::USER).send().await.unwrap();
    let policy =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}}"#;
    let request = operator.iam.put_user_policy().user_name(crate::sandbox::USER).policy_name("theirs");
    request.policy_document(policy).send().await.unwrap();
    operator.sandbox.faults(&json!([{"kind": "lose_reply", "action": "iam:CreateAccessKey"}]));
    operator.run(&["apply", "--auto-approve"]).expect(1);
    // The rotation goes on beside the orphan, which is in the grace: it may be the previous key, as far as dates tell.
    operator.run(&["recover", "--auto-approve"]).expect(1);
    operator.let_pass(2 * 24 * 60 * 60);
    operator
}

#[tokio::test]
async fn a_rotation_that_is_switched_off_is_for_apply() {
    let operator = Operator::deploy(&[]).await;
    operator.secrets.cancel_rotate_secret().secret_id(SECRET).send().await.unwrap();

    let (ran, mutations) = operator.run_watched(&["recover", "--auto-approve"]);

    assert_shown!("switched_off", &operator.sandbox, &ran.expect(1).stdout);
    assert_eq!(mutations, NOTHING);
    operator.run(&["apply", "--auto-approve"]).expect(0);
    operator.run(&["recover"]).expect(0);
}

#[tokio::test]
async fn a_rotation_that_runs_is_let_be() {
    let operator = Operator::deploy(&[]).await;
    operator.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap();

    let ran = operator.run(&["recover", "--auto-approve"]).expect(0);

    assert!(ran.stderr.contains("a rotation runs"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("Remedy"), "{}", ran.stdout);
    operator.expect_health().await;
}

#[tokio::test]
async fn a_remedy_whose_answer_is_lost_is_taken_all_the_same() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    operator.sandbox.faults(&json!([
        {"kind": "lose_reply", "action": "secretsmanager:UpdateSecretVersionStage", "caller": ":user/"},
        {"kind": "lose_reply", "action": "lambda:InvokeFunction", "caller": ":user/"},
    ]));

    operator.run(&["recover", "--auto-approve"]).expect(0);

    operator.expect_health().await;
}

#[tokio::test]
async fn while_ses_answers_nobody_nothing_is_changed() {
    let operator = Operator::deploy(&[]).await;
    operator.rotation_fails_after_the_host_was_told().await;
    operator
        .sandbox
        .control("smtp", &json!({"answers": [{"verb": "AUTH", "code": 454, "text": "Temporary", "times": 99}]}));

    let (ran, mutations) = operator.run_watched(&["recover", "--auto-approve"]);

    assert_shown!("ses_does_not_answer", &operator.sandbox, &ran.expect(1).stdout);
    assert_eq!(mutations, NOTHING);
}
