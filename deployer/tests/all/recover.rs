//! `deployer recover`: what it prints of every stuck state, and the state that it leaves.

use crate::support::{
    calls::NOTHING,
    controls::Answer,
    deployed::{Deployed, LONG_GRACE},
    example::{EXISTING_USER, SECRET},
    faults::Fault,
    rotation::CREATE,
    shown::assert_shown,
};

#[tokio::test]
async fn nothing_is_changed_if_all_is_healthy() {
    let deployed = Deployed::example(&[]).await;

    let (ran, mutations) = deployed.run_watched(&["recover"]);

    assert_shown!("healthy", &deployed.sandbox, &ran.expect(0).stdout);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn within_the_grace_all_is_healthy_and_recover_says_until_when_no_rotation_can_run() {
    let deployed = Deployed::example(&[]).await;
    deployed.run(&["rotate"]).expect(0);

    let (ran, mutations) = deployed.run_watched(&["recover"]);

    assert_shown!("in_grace", &deployed.sandbox, &ran.expect(0).stdout);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn a_rotation_that_told_the_host_is_rolled_forward() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let told = deployed.key_labelled("AWSPENDING").await;

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("rolled_forward", &deployed.sandbox, &ran.stdout);
    assert_shown!("rolled_forward_events", &deployed.sandbox, &ran.stderr);
    deployed.expect_health().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn an_edit_right_after_a_rotation_is_kept() {
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let key = deployed.key_labelled("AWSCURRENT").await;
    let mut value = deployed.sandbox.secret("AWSCURRENT").await;
    value.other.insert("note".into(), &"edited".into());
    let edit = deployed.aws.secrets.put_secret_value().secret_id(SECRET).secret_string(value.to_json());
    edit.send().await.unwrap();

    let status = deployed.run(&["status"]).expect(0);
    assert!(status.stdout.contains("nothing: a completed rotation left AWSPENDING on version"), "{}", status.stdout);
    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("edited", &deployed.sandbox, &ran.stdout);
    assert_eq!((deployed.labelled("AWSPENDING").await, deployed.key_labelled("AWSCURRENT").await), (None, key));
    deployed.let_pass(2 * 24 * 60 * 60);
    deployed.run(&["rotate"]).expect(0);
    assert_eq!(deployed.sandbox.secret("AWSCURRENT").await.other.get("note").unwrap(), "edited");
    deployed.mail_works().await;
}

#[tokio::test]
async fn a_value_that_is_no_credential_gives_way_to_the_one_that_works() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let key = deployed.key_labelled("AWSCURRENT").await;
    let edit = deployed.aws.secrets.put_secret_value().secret_id(SECRET).secret_string("{ \"AccessKeyId\": oops }");
    edit.send().await.unwrap();

    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.contains("Is mail safe? no:") && status.contains("not JSON"), "{status}");
    let ran = deployed.run(&["recover", "--auto-approve"]).expect(14);

    assert_shown!("broken_value", &deployed.sandbox, &format!("{}{}", ran.stdout, ran.stderr));
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, key);
    deployed.mail_works().await;
    // The command that is shown last takes the label off the broken value.
    let command = ran.stdout.lines().map(str::trim).find(|line| line.contains("--version-stage AWSPREVIOUS")).unwrap();
    deployed.sandbox.operator(command);
    deployed.let_pass(24 * 60 * 60);
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.completes().await;
}

#[tokio::test]
async fn what_the_function_may_not_read_is_never_called_deleted() {
    let deployed = Deployed::new().await;
    deployed.sandbox.faults(&[Fault::refuse("iam:ListAccessKeys", "AccessDenied").times(usize::MAX).by_the_function()]);

    let status = deployed.run(&["status"]).expect(15);

    assert!(status.stdout.contains("Is mail safe? look:"), "{}", status.stdout);
    assert!(!status.in_one_line().contains("is deleted"), "{}", status.stdout);
    assert!(status.in_one_line().contains("the function could not read everything"), "{}", status.in_one_line());
}

#[tokio::test]
async fn without_a_terminal_the_remedies_are_only_shown() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;

    let (ran, mutations) = deployed.run_watched(&["recover"]);
    let ran = ran.expect(10);
    assert_eq!(mutations, NOTHING);
    assert!(ran.stdout.contains("Remedy:\n  1. take AWSPENDING off version"), "{}", ran.stdout);
    assert!(ran.stderr.contains("run `deployer recover --auto-approve`"), "{}", ran.stderr);
    std::fs::copy(deployed.sandbox.path("config.yaml"), deployed.sandbox.path("prod.yaml")).unwrap();
    let ran = deployed.sandbox.deployer(&["recover", "prod.yaml"]).expect(10);
    assert!(ran.stderr.contains("run `deployer recover --auto-approve prod.yaml`"), "{}", ran.stderr);

    let ran = deployed.run(&["recover", "--json"]).expect(10);
    assert_eq!(ran.json_of("version").len(), 3);
    assert_eq!(ran.json_of("key").len(), 2);
    assert_eq!(ran.json_of("host").len(), 1);
    assert_eq!(ran.json_of("diagnosis")[0]["state"], "curable");
    let remedies: Vec<_> = ran.json_of("remedy").iter().map(|line| line["remedy"].clone()).collect();
    assert_eq!(remedies, ["clear_pending", "rotate"]);
}

#[tokio::test]
async fn on_a_terminal_it_asks_before_each_change() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let (told, pending) = (deployed.key_labelled("AWSPENDING").await, deployed.labelled("AWSPENDING").await);

    let (code, screen) = deployed.run_on_a_terminal(&["recover"], "no\n");
    assert_eq!(code, 10, "{screen}");
    assert_eq!(deployed.labelled("AWSPENDING").await, pending, "{screen}");

    let (code, screen) = deployed.run_on_a_terminal(&["recover"], "yes\nno\n");
    assert_eq!(code, 11, "{screen}");
    assert_eq!(deployed.labelled("AWSPENDING").await, None, "{screen}");
    assert_ne!(deployed.key_labelled("AWSCURRENT").await, told, "{screen}");

    let (code, screen) = deployed.run_on_a_terminal(&["recover"], "yes\n");
    assert_eq!(code, 0, "{screen}");
    deployed.expect_health().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_rotation_that_made_no_key_is_given_up_and_made_anew() {
    let deployed = Deployed::example(&[]).await;
    deployed.set_online(None, false);
    deployed.rotate().await.failed(CREATE, "HostsOffline");

    let (blocked, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);
    assert_shown!("empty_while_the_host_is_offline", &deployed.sandbox, &blocked.expect(14).stdout);
    assert_eq!(mutations, NOTHING);
    deployed.set_online(None, true);
    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("empty", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_pending_key_that_was_deleted_is_replaced() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    deployed.delete_key(&deployed.key_labelled("AWSPENDING").await).await;

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("pending_key_deleted", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_pending_key_that_was_made_inactive_by_accident_is_rolled_forward() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let told = deployed.key_labelled("AWSPENDING").await;
    deployed.set_active(&told, false).await;

    let (asked, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("pending_key_inactive_asks", &deployed.sandbox, &asked.expect(14).stdout);
    let ran = deployed.run(&["recover", "--reactivate", &told, "--auto-approve"]).expect(0);

    assert_shown!("pending_key_inactive", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_current_key_that_is_inactive_is_made_active_only_by_a_person_who_names_it() {
    let deployed = Deployed::example(&[]).await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.set_active(&current, false).await;

    let (asked, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("current_key_inactive_asks", &deployed.sandbox, &asked.expect(14).stdout);
    let unknown = deployed.run(&["recover", "--reactivate", "AKIAIOSFODNN7EXAMPLE", "--auto-approve"]).expect(1);
    assert!(unknown.stderr.contains("has no access key AKIAIOSFODNN7EXAMPLE"), "{}", unknown.stderr);
    let unapproved = deployed.run(&["recover", "--reactivate", &current]).expect(10);
    assert!(unapproved.stderr.contains("nobody can approve this"), "{}", unapproved.stderr);
    let ran = deployed.run(&["recover", "--reactivate", &current, "--auto-approve"]).expect(0);

    assert_shown!("current_key_inactive", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_current_key_that_was_deleted_is_replaced() {
    let deployed = Deployed::example(&[]).await;
    deployed.delete_key(&deployed.key_labelled("AWSCURRENT").await).await;

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("current_key_deleted", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_rotation_that_was_given_up_after_the_host_was_told_is_rolled_forward() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let told = deployed.key_labelled("AWSPENDING").await;
    deployed.clear_pending().await;
    for command in ["plan", "status"] {
        let shown = deployed.run(&[command]).expect(0).in_one_line();
        assert!(
            shown.contains("is labelled DEPLOYING and not AWSCURRENT: somebody edited the secret, or hosts may have"),
            "{shown}"
        );
    }

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("cleared", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_person_decides_on_crossed_labels_while_both_credentials_work() {
    let deployed = Deployed::example(&[]).await;
    deployed.run(&["rotate"]).expect(0);
    deployed.roll_back().await;
    let refused = deployed.run(&["rotate"]).expect(14);
    assert!(refused.stderr.contains("deployer recover"), "{}", refused.stderr);
    // The completed rotation left AWSPENDING there, so no step runs that apply could wait for.
    let applied = deployed.run(&["apply", "--auto-approve"]).expect(14);
    assert!(applied.stderr.contains("no step of it runs, and none has failed"), "{}", applied.stderr);
    assert!(applied.stderr.contains("`deployer recover` shows its state"), "{}", applied.stderr);

    let (ran, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    let ran = ran.expect(14);
    assert_shown!("crossed", &deployed.sandbox, &ran.stdout);
    assert_shown!("crossed_error", &deployed.sandbox, &ran.stderr);
    assert_eq!(mutations, NOTHING);
}

#[tokio::test]
async fn crossed_labels_both_move_to_the_only_credential_that_works() {
    let deployed = Deployed::example(&[]).await;
    deployed.run(&["rotate"]).expect(0);
    deployed.roll_back().await;
    deployed.clear_pending().await;
    let refused = deployed.run(&["rotate"]).expect(14);
    assert!(refused.stderr.contains("RolledBack") && refused.stderr.contains("deployer recover"), "{}", refused.stderr);
    deployed.delete_key(&deployed.key_labelled("AWSCURRENT").await).await;

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("crossed_and_one_works", &deployed.sandbox, &ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn recover_offers_to_delete_the_orphan_in_the_last_slot_by_name() {
    let deployed = with_orphan().await;
    let orphan = deployed.keys().await.into_iter().map(|(key, _)| key);
    let current = deployed.key_labelled("AWSCURRENT").await;
    let orphan: Vec<_> = orphan.filter(|key| *key != current).collect();
    let refused = deployed.run(&["rotate"]).expect(14);
    assert!(refused.stderr.contains(&format!("`deployer recover` offers to delete access key {}", orphan[0])));

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert_shown!("orphan", &deployed.sandbox, &ran.stdout);
    assert_eq!(deployed.keys().await, [(current, true)]);
    deployed.run(&["rotate"]).expect(0);
    deployed.expect_health().await;
}

/// A user of somebody else's with two keys: AWSCURRENT's, and one that a createSecret left behind.
async fn with_orphan() -> Deployed {
    let deployed = Deployed::before_apply(&EXISTING_USER).await;
    deployed.sandbox.make_user_by_hand("/").await;
    deployed.sandbox.faults(&[Fault::lose_reply("iam:CreateAccessKey")]);
    deployed.run(&["apply", "--auto-approve"]).expect(14);
    // The rotation completes. The orphan stays: by its date it may be the previous key, whose grace runs.
    deployed.run(&["recover", "--auto-approve"]).expect(14);
    deployed.let_pass(2 * 24 * 60 * 60);
    deployed
}

#[tokio::test]
async fn recover_leaves_it_to_apply_to_enable_rotation_again() {
    let deployed = Deployed::example(&[]).await;
    deployed.aws.secrets.cancel_rotate_secret().secret_id(SECRET).send().await.unwrap();

    let (ran, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    assert_shown!("switched_off", &deployed.sandbox, &ran.expect(14).stdout);
    assert_eq!(mutations, NOTHING);
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["recover"]).expect(0);
}

#[tokio::test]
async fn recover_waits_for_a_rotation_that_runs() {
    let deployed = Deployed::example(&[]).await;
    deployed.aws.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap();

    let ran = deployed.run(&["recover", "--auto-approve"]).expect(0);

    assert!(ran.stderr.contains("a rotation runs"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("Remedy"), "{}", ran.stdout);
    deployed.expect_health().await;
}

#[tokio::test]
async fn recover_succeeds_although_the_answers_to_its_remedies_are_lost() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    deployed.sandbox.faults(&[
        Fault::lose_reply("secretsmanager:UpdateSecretVersionStage").by_the_administrator(),
        Fault::lose_reply("lambda:InvokeFunction").by_the_administrator(),
    ]);

    deployed.run(&["recover", "--auto-approve"]).expect(0);

    deployed.expect_health().await;
}

#[tokio::test]
async fn nothing_is_changed_while_ses_answers_nobody() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    deployed.answer(&[Answer::to("AUTH", 454, "Temporary").times(99)]);

    let (ran, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    assert_shown!("ses_does_not_answer", &deployed.sandbox, &ran.expect(14).stdout);
    assert_eq!(mutations, NOTHING);
}
