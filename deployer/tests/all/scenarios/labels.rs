//! Labels that an operator moves, and versions that are tried with a new token.

use std::time::Duration;

use contract::{Event, Retired};

use crate::support::{
    calls::NOTHING,
    controls::{RetryToken, Rotations, Smtp},
    deployed::{Deployed, LONG_GRACE},
    example::{INSTANCES, SECRET},
    faults::Fault,
    rotation::{CREATE, FINISH, SET, Status, TEST},
};

#[tokio::test]
async fn an_operator_clears_awspending_after_set_secret_succeeded_then_rotates() {
    let deployed = Deployed::new().await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.held_before(TEST).await;
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    assert_ne!(told, current);
    deployed.clear_pending().await;
    deployed.release();
    let ended = deployed.ended().await;
    assert_eq!(ended.status, Status::Abandoned);

    let before = deployed.mark();
    deployed.completes().await;

    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told, "the host's key becomes current");
    deployed.touched_no_key(before);
    ended.ended_with(TEST, "NotPending").says(&["continues with the credential that hosts may know"]);
}

#[tokio::test]
async fn test_secret_fails_and_is_retried_with_a_new_token_and_succeeds() {
    let deployed = Deployed::new().await;
    deployed.sandbox.control(&Rotations {
        attempts: Some(2),
        retry_token: Some(RetryToken::New),
        ..Rotations::default()
    });
    deployed.refuse_the_mail_of_test_secret();
    let before = deployed.mark();

    let rotation = deployed.completes().await;

    assert_eq!(
        rotation.errors(),
        [
            (CREATE, None),
            (SET, None),
            (TEST, Some("TestMailRefused")),
            (CREATE, None),
            (SET, None),
            (TEST, None),
            (FINISH, None)
        ]
    );
    assert_ne!(rotation.history[0].token, rotation.token);
    assert_eq!(
        deployed.done(before, "iam:CreateAccessKey"),
        1,
        "the rotation goes on with the host's key, and makes no third one"
    );
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
}

/// A rotation completes, and an operator moves AWSCURRENT back. Returns the key that is current again, and the other one.
async fn rolled_back(deployed: &Deployed) -> (String, String) {
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.key_labelled("AWSCURRENT").await);
    deployed.roll_back().await;
    deployed.clear_what_looks_open().await;
    (old, new)
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_while_the_hosts_stay_where_they_are() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "RolledBack");
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(new.clone()));

    deployed.sandbox.operator(&failure.command("--version-stage AWSCURRENT"));
    deployed.completes_when_tried_again().await;

    assert!(deployed.has_key(&new).await && !deployed.has_key(&old).await, "only the superseded key was deleted");
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_and_the_hosts_with_it() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    deployed.host_goes_back(INSTANCES[0]);
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(old.clone()));
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "RolledBack");
    deployed.touched_no_key(before);

    deployed.sandbox.operator(&failure.command("--version-stage DEPLOYING"));
    deployed.completes_when_tried_again().await;

    assert!(deployed.has_key(&old).await && deployed.has_key(&new).await, "the hosts confirm the old key first");
    assert_eq!(deployed.key_labelled("TOLD").await, old);
    // No label is left on the version with the other key, so a rotation that still runs may have made it.
    deployed.let_pass(60 * 60);
    deployed.completes().await;
    assert!(
        deployed.has_key(&old).await && !deployed.has_key(&new).await,
        "only the key that was rolled back was deleted"
    );
}

/// To show which credential works, `recover` logs in with each. IAM counts such a login as use.
#[tokio::test]
async fn an_operator_moves_awscurrent_back_and_forth_after_a_look_at_recover() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let failure = deployed.rotate().await.failed(CREATE, "RolledBack");
    // Dates count whole seconds: now the grace of the previous key is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    deployed.shows("rolled_back_and_open").await;
    deployed.sandbox.operator(&failure.command("--version-stage AWSCURRENT"));
    let before = deployed.mark();

    let failure = deployed.try_again().await.failed(CREATE, "NoSafeSlot");

    failure.says(&[&old, "a login by recover counts, too"]);
    deployed.touched_no_key(before);
    deployed.sandbox.operator(&failure.command_to_delete(&old));
    deployed.completes_when_tried_again().await;
    assert!(deployed.has_key(&new).await);
}

/// The rotation completed and left AWSPENDING behind. Once AWSCURRENT moves back, Secrets Manager tries that rotation again.
#[tokio::test]
async fn an_operator_moves_awscurrent_back_and_the_rotation_is_tried_again() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.key_labelled("AWSCURRENT").await);
    deployed.roll_back().await;
    let before = deployed.mark();

    let failure = deployed.try_again().await.failed(CREATE, "RolledBack");

    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, old, "AWSCURRENT stays where the operator put it");
    deployed.shows("rolled_back_with_awspending").await;
    // The operator gives every host the old credential by hand, and forgets the last command of the error.
    deployed.host_goes_back(INSTANCES[0]);
    deployed.sandbox.operator(&failure.command("--version-stage DEPLOYING"));
    let reminder = deployed.try_again().await.failed(CREATE, "NotMarkedDeploying");
    deployed.shows("rolled_back_without_deploying").await;
    assert_eq!(reminder.command("--version-stage AWSPENDING"), failure.command("--version-stage AWSPENDING"));
    deployed.sandbox.operator(&reminder.command("--version-stage AWSPENDING"));
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(old.clone()));
    deployed.delete_key(&new).await;
    deployed.completes().await;
    assert!(deployed.has_key(&old).await);
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_and_forth_before_retire() {
    const DAY: u64 = 24 * 60 * 60;
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.labelled("AWSCURRENT").await.unwrap());
    deployed.let_pass(5 * DAY);
    deployed.roll_back().await;
    deployed.move_label("AWSCURRENT", Some(&new)).await;
    let retire = Event::Retire { orphan: None };

    let retired: Retired = deployed.ask(&retire).await.unwrap();

    assert_eq!(retired.deleted, NOTHING, "the key was AWSCURRENT's a moment ago");

    deployed.mail_works().await;
    deployed.let_pass(2 * DAY);
    assert_eq!(deployed.ask::<Retired>(&retire).await.unwrap().deleted, [old]);
}

#[tokio::test]
async fn an_operator_puts_a_newer_credential_by_hand_after_the_hosts_were_told() {
    let deployed = Deployed::new().await;
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    deployed.clear_pending().await;
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    // This frees the slot of the key that no host uses any more.
    deployed.delete_key(&deployed.key_labelled("AWSCURRENT").await).await;
    deployed.sandbox.control(&Smtp { key_propagation_seconds: Some(0), ..Smtp::default() });
    let by_hand = deployed.credential_by_hand().await;
    deployed.put(&by_hand.to_json()).await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "CurrentIsNewer");

    failure.says(&["no key was made or deleted: hosts may use either"]);
    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    assert_eq!(deployed.key_labelled("DEPLOYING").await, told);
    deployed.shows("a_newer_credential_by_hand").await;
    deployed.sandbox.operator(&failure.command("--version-stage AWSCURRENT"));
    // The key that was made by hand was used, so the function may not delete it.
    let failure = deployed.try_again().await.failed(CREATE, "NoSafeSlot");
    deployed.sandbox.operator(&failure.command_to_delete(&by_hand.access_key_id));
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn another_tool_left_a_rotation_open_whose_credential_hosts_may_have() {
    let deployed = Deployed::new().await;
    let current = deployed.labelled("AWSCURRENT").await.unwrap();
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    // Now the version looks as if another tool had stored it.
    deployed.move_label("DEPLOYING", Some(&current)).await;
    let before = deployed.mark();

    let failure = deployed.try_again().await.failed(SET, "NotMarkedDeploying");

    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    deployed.shows("stored_by_another_tool").await;
    deployed.sandbox.operator(&failure.command("--version-stage DEPLOYING"));
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn apply_takes_over_a_rotation_that_another_tool_left_open_with_the_credential_that_hosts_may_have() {
    let deployed = Deployed::not_yet_rotated().await;
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    // Now the version looks as if another tool had stored it, and then had been switched off.
    deployed.move_label("DEPLOYING", None).await;
    deployed.aws.secrets.cancel_rotate_secret().secret_id(SECRET).send().await.unwrap();

    let plan = deployed.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("DEPLOYING"), "{plan}");
    deployed.run(&["apply", "--auto-approve"]).expect(0);

    // When rotation is enabled, Secrets Manager tests it with a pending version of its own.
    deployed.ended().await;
    assert_eq!((deployed.labelled("AWSPENDING").await, deployed.key_labelled("DEPLOYING").await), (None, told.clone()));
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.completes().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_before_retire() {
    let deployed = Deployed::new().await;
    let (old, new) = rolled_back(&deployed).await;
    let before = deployed.mark();

    let retired: Retired = deployed.ask(&Event::Retire { orphan: None }).await.unwrap();

    assert_eq!(retired.deleted, NOTHING);
    assert!(retired.kept[0].contains("DEPLOYING"), "{retired:?}");
    deployed.touched_no_key(before);
    assert!(deployed.has_key(&old).await && deployed.has_key(&new).await);
    deployed.mail_works().await;
}

#[tokio::test]
async fn an_operator_moves_awscurrent_back_while_retire_takes_the_previous_key() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let (old, new) = (deployed.key_labelled("AWSPREVIOUS").await, deployed.key_labelled("AWSCURRENT").await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    deployed.sandbox.faults(&[Fault::hold("iam:UpdateAccessKey")]);
    let before = deployed.mark();

    let event = Event::Retire { orphan: None };
    let (retired, ()) = tokio::join!(deployed.ask::<Retired>(&event), async {
        deployed.held_calls("iam:UpdateAccessKey", 1).await;
        deployed.roll_back().await;
        deployed.sandbox.end_faults();
    });

    let retired = retired.unwrap();
    assert_eq!(retired.deleted, NOTHING, "{retired:?}");
    // The operator moved AWSCURRENT to a key that was Inactive between two calls. No order of calls can exclude that race. No
    // host used that key, and SES accepts a deactivated key for some seconds more.
    let [violation] = deployed.sandbox.provoked_violations().try_into().unwrap();
    assert!(violation.sentence.contains(&format!("access key {old}, which is Inactive")), "{violation:?}");
    assert_eq!(deployed.done(before, "iam:UpdateAccessKey"), 2, "the key is deactivated, and then Active again");
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
    assert!(deployed.has_key(&old).await && deployed.has_key(&new).await);
    deployed.mail_works().await;
}

#[tokio::test]
async fn labels_of_others_that_leave_no_room_are_named_before_a_key_is_made() {
    // Its secret has AWSCURRENT alone.
    let deployed = Deployed::not_yet_rotated().await;
    let current = deployed.labelled("AWSCURRENT").await.unwrap();
    let add = async |label: &str| deployed.move_label(label, Some(&current)).await;
    for number in 0..17 {
        add(&format!("theirs-{number}")).await;
    }
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "TooManyLabels");
    failure.says(&["AWS allows 20 in all", "--version-stage theirs-0"]);
    deployed.touched_no_key(before);
    let take_off = deployed.aws.secrets.update_secret_version_stage().secret_id(SECRET);
    for number in 0..6 {
        let request = take_off.clone().version_stage(format!("theirs-{number}")).remove_from_version_id(&current);
        request.send().await.unwrap();
    }
    deployed.completes_when_tried_again().await;
}
