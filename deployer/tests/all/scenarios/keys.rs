//! The user's access keys, as others change and use them.

use contract::{Event, Retired};

use crate::support::{
    controls::{Answer, RetryToken, Rotations},
    deployed::{Deployed, LONG_GRACE},
    example::{INSTANCES, USER},
    faults::Fault,
    rotation::{CREATE, SET, TEST},
};

/// The function's next ListAccessKeys returns the keys as they were before the last change.
fn next_list_is_stale(deployed: &Deployed) {
    deployed.sandbox.faults(&[Fault::stale_list_of_keys().by_the_function()]);
}

#[tokio::test]
async fn a_stale_list_access_keys_hides_the_second_key() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    next_list_is_stale(&deployed);
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "KeyLimitReached");

    failure.says(&["no key was made", "wait: Secrets Manager tries again"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("open_without_a_credential").await;
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_stale_list_access_keys_shows_a_key_that_is_gone() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    deployed.delete_key(&previous).await;
    next_list_is_stale(&deployed);
    let before = deployed.mark();

    // IAM no longer knows the key's user, and so denies GetAccessKeyLastUsed. The list is read again.
    deployed.completes().await;

    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), 1);
}

/// The first rotation told the hosts, and then an operator cleared AWSPENDING. Returns the hosts' key.
async fn given_up_after_the_hosts_were_told(deployed: &Deployed) -> String {
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    deployed.clear_pending().await;
    deployed.key_on(INSTANCES[0]).unwrap()
}

#[tokio::test]
async fn a_stale_list_access_keys_hides_the_key_that_the_hosts_were_told_of() {
    let deployed = Deployed::not_yet_rotated().await;
    let told = given_up_after_the_hosts_were_told(&deployed).await;
    next_list_is_stale(&deployed);
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "KeyStateUnclear");

    failure.says(&[&told, "as deleted, but SES accepts it", "no key was made or deleted"]);
    deployed.touched_no_key(before);
    assert_eq!(deployed.key_labelled("DEPLOYING").await, told, "the host's key stays protected");
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_stale_list_access_keys_calls_the_key_inactive_that_the_hosts_were_told_of() {
    let deployed = Deployed::not_yet_rotated().await;
    let told = given_up_after_the_hosts_were_told(&deployed).await;
    deployed.set_active(&told, false).await;
    deployed.set_active(&told, true).await;
    next_list_is_stale(&deployed);
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "KeyStateUnclear");

    failure.says(&[&told, "as Inactive, but SES accepts it"]);
    deployed.touched_no_key(before);
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_key_that_iam_does_not_list_is_not_replaced_until_ses_refuses_it() {
    let deployed = Deployed::not_yet_rotated().await;
    let told = given_up_after_the_hosts_were_told(&deployed).await;
    deployed.delete_key(&told).await;
    deployed.answer(&[Answer::to("AUTH", 454, "Temporary").times(99)]);
    let before = deployed.mark();

    deployed.rotate().await.failed(CREATE, "KeyStateUnclear").says(&["SES does not say whether it accepts it", "454"]);

    deployed.touched_no_key(before);
    deployed.shows("told_key_not_listed_and_ses_does_not_answer").await;
    deployed.answer(&[]);
    deployed.completes_when_tried_again().await;
    assert_ne!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_stale_list_access_keys_hides_the_pending_key() {
    let deployed = Deployed::new().await;
    deployed.refuse_the_mail_of_test_secret();
    deployed.rotate().await.failed(TEST, "TestMailRefused");
    let told = deployed.key_on(INSTANCES[0]).unwrap();
    next_list_is_stale(&deployed);
    let before = deployed.mark();

    deployed.try_again().await.failed(CREATE, "KeyStateUnclear").says(&[&told, "as deleted, but SES accepts it"]);

    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, told);
}

#[tokio::test]
async fn a_third_partys_second_key_is_in_use() {
    let deployed = Deployed::new().await;
    let theirs = deployed.somebodys_key_in_use().await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");

    failure.says(&[&theirs, &deployed.key_labelled("AWSCURRENT").await, "no key was made or deleted"]);
    deployed.touched_no_key(before);
    assert!(deployed.has_key(&theirs).await);
    deployed.mail_works().await;
    deployed.shows("somebody_elses_key").await;
    deployed.sandbox.operator(&failure.command_to_delete(&theirs));
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn a_third_partys_second_key_was_used_before_the_first_rotation_and_is_added_to_replaces() {
    let deployed = Deployed::not_yet_rotated().await;
    let theirs = deployed.somebodys_key_in_use().await;
    deployed.completes().await;
    let before = deployed.mark();
    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");
    failure.says(&[&theirs, "list it under iam_user.replaces and run"]);
    deployed.touched_no_key(before);

    deployed.apply(&[("  # replaces: [AKIAIOSFODNN7EXAMPLE]", &format!("  replaces: [{theirs}]"))]);

    deployed.completes_when_tried_again().await;
    assert!(!deployed.has_key(&theirs).await);
}

#[tokio::test]
async fn a_placeholder_secret_and_a_user_with_no_key() {
    let deployed = Deployed::not_yet_rotated().await;
    deployed.completes().await;
    assert_eq!(deployed.keys().await.len(), 1);
}

#[tokio::test]
async fn a_placeholder_secret_and_a_user_with_one_key() {
    let deployed = Deployed::not_yet_rotated().await;
    let theirs = deployed.somebodys_key_in_use().await;
    deployed.completes().await;
    assert!(deployed.has_key(&theirs).await);
    assert_ne!(deployed.key_labelled("AWSCURRENT").await, theirs);
}

#[tokio::test]
async fn a_placeholder_secret_and_a_user_with_two_keys() {
    let deployed = Deployed::not_yet_rotated().await;
    let theirs = [deployed.somebodys_key_in_use().await, deployed.somebodys_key_in_use().await];
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");

    failure.says(&[&theirs[0], &theirs[1], "no key was made or deleted"]);
    deployed.touched_no_key(before);
    deployed.shows("a_placeholder_and_two_keys").await;
    deployed.sandbox.operator(&failure.command_to_delete(&theirs[0]));
    deployed.completes_when_tried_again().await;
    assert!(deployed.has_key(&theirs[1]).await);
}

#[tokio::test]
async fn awscurrents_key_is_deactivated_by_hand() {
    let deployed = Deployed::new().await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.set_active(&current, false).await;

    deployed.completes().await;

    assert!(
        deployed.keys().await.contains(&(current, false)),
        "only the person who made the key Inactive makes it Active again"
    );
}

#[tokio::test]
async fn awscurrents_key_is_deactivated_by_hand_beside_the_previous_one() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.set_active(&current, false).await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");

    failure.says(&["it is the user's only Active key"]);
    deployed.touched_no_key(before);
    deployed.shows("current_key_inactive_beside_the_previous_one").await;
    // An operator follows the hint for a key that leaked. No host can send with it, and there is no slot for its successor.
    deployed.sandbox.operator(&failure.command_to_delete(&current));
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn awscurrents_key_is_deleted_by_hand() {
    let deployed = Deployed::new().await;
    deployed.delete_key(&deployed.key_labelled("AWSCURRENT").await).await;
    deployed.shows("current_key_deleted").await;

    deployed.completes().await;

    assert_eq!(deployed.keys().await.len(), 1);
}

/// A rotation is open, and no host was told of its key. Returns the key.
async fn open_before_the_hosts_were_told(deployed: &Deployed) -> String {
    deployed.answer(&[Answer::to("AUTH", 550, "no")]);
    deployed.rotate().await.failed(SET, "LoginRefused");
    deployed.key_labelled("AWSPENDING").await
}

#[tokio::test]
async fn the_pending_key_is_deleted_by_hand() {
    let deployed = Deployed::new().await;
    let pending = open_before_the_hosts_were_told(&deployed).await;
    deployed.delete_key(&pending).await;
    let before = deployed.mark();

    let failure = deployed.try_again().await.failed(CREATE, "PendingKeyGone");

    failure.says(&[&pending, "is deleted", "no key was made"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("pending_key_deleted_before_the_hosts_were_told").await;
    deployed.sandbox.operator(&failure.command("--version-stage AWSPENDING"));
    deployed.completes().await;
}

#[tokio::test]
async fn the_pending_key_is_deactivated_by_hand() {
    let deployed = Deployed::new().await;
    let pending = open_before_the_hosts_were_told(&deployed).await;
    deployed.set_active(&pending, false).await;
    let before = deployed.mark();

    let failure = deployed.try_again().await.failed(CREATE, "PendingKeyGone");

    failure.says(&[&pending, "is Inactive", "no key was made"]);
    deployed.touched_no_key(before);
    deployed.shows("pending_key_inactive_before_the_hosts_were_told").await;
    deployed.sandbox.operator(&failure.command("--status Active"));
    deployed.completes_when_tried_again().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, pending);
}

#[tokio::test]
async fn the_pending_key_is_deleted_by_hand_and_the_rotation_is_tried_with_a_new_token() {
    let deployed = Deployed::new().await;
    let pending = open_before_the_hosts_were_told(&deployed).await;
    deployed.delete_key(&pending).await;
    deployed.sandbox.control(&Rotations { retry_token: Some(RetryToken::New), ..Rotations::default() });

    deployed.completes_when_tried_again().await;

    assert_ne!(deployed.key_labelled("AWSCURRENT").await, pending);
}

#[tokio::test]
async fn a_rotation_within_the_grace_fails_until_the_grace_ends_or_the_key_is_deleted() {
    let deployed = Deployed::with(&[LONG_GRACE]).await;
    deployed.completes().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "NoSafeSlot");

    failure.says(&[&previous, "kept until"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("in_grace_and_open").await;
    // The previous key leaked, so an operator deletes it.
    let leaked = Event::Leaked { key: previous.clone() };
    let refused = deployed.ask::<Retired>(&leaked).await.unwrap_err();
    assert_eq!(refused.kind, "RotationOpen", "no key goes while a rotation is open");
    deployed.clear_pending().await;
    assert_eq!(deployed.ask::<Retired>(&leaked).await.unwrap().deleted, [&*previous]);
    deployed.completes().await;
    let keys = deployed.aws.iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
    assert!(keys.iter().all(|key| key.access_key_id() != Some(&previous)), "{keys:?}");
}
