//! Two invocations of one step at once, and two rotations at once.

use crate::support::{
    deployed::Deployed,
    example::{INSTANCES, SECRET},
    faults::Fault,
    rotation::{CREATE, FINISH, SET, TEST},
};

/// Every step is invoked twice at once, and then once more by Secrets Manager. One invocation of createSecret loses with one of
/// these errors.
async fn every_step_twice_at_once(deployed: &Deployed, loser_of_create: &[&str]) {
    let token = deployed.held_before(CREATE).await;
    let before = deployed.mark();
    // Both have decided to make a key before either sees the other's.
    deployed.sandbox.faults(&[Fault::hold("iam:CreateAccessKey").times(2)]);
    let (one, two, ()) = tokio::join!(deployed.step(CREATE, &token), deployed.step(CREATE, &token), async {
        deployed.held_calls("iam:CreateAccessKey", 2).await;
        deployed.sandbox.end_faults();
    });
    let kinds: Vec<_> = [&one, &two].into_iter().filter_map(|result| result.as_ref().err()).map(|f| &*f.kind).collect();
    assert!(matches!(kinds[..], [kind] if loser_of_create.contains(&kind)), "{one:?} {two:?}");
    let (made, deleted) = (deployed.done(before, "iam:CreateAccessKey"), deployed.done(before, "iam:DeleteAccessKey"));
    assert_eq!(made - deleted, 1, "the loser's key is gone");
    let pending = deployed.key_labelled("AWSPENDING").await;
    assert!(deployed.has_key(&pending).await);
    deployed.mail_works().await;

    for step in [SET, TEST, FINISH] {
        let (one, two) = tokio::join!(deployed.step(step, &token), deployed.step(step, &token));
        assert!(one.is_ok() && two.is_ok(), "{step}: {one:?} {two:?}");
        deployed.mail_works().await;
    }
    deployed.release();
    deployed.completes_by_itself().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, pending);
    assert_eq!(deployed.done(before, "iam:CreateAccessKey"), made);
}

#[tokio::test]
async fn the_same_step_is_invoked_twice_at_once_and_the_user_has_one_key() {
    let deployed = Deployed::new().await;
    every_step_twice_at_once(&deployed, &["KeyLimitReached"]).await;
}

#[tokio::test]
async fn the_same_step_is_invoked_twice_at_once_and_the_user_has_no_key() {
    let deployed = Deployed::not_yet_rotated().await;
    // The loser looks at the labels before or after the winner stores its credential.
    every_step_twice_at_once(&deployed, &["LabelsMoved", "TokenTaken"]).await;
    deployed.completes().await;
}

/// An operator clears AWSPENDING while the first rotation is about to make its key, and so a second one can begin.
#[tokio::test]
async fn the_first_steps_of_two_rotations_at_once() {
    let deployed = Deployed::not_yet_rotated().await;
    let first = deployed.held_before(CREATE).await;
    deployed.sandbox.faults(&[Fault::hold("iam:CreateAccessKey").times(2)]);
    let (one, (two, second)) = tokio::join!(deployed.step(CREATE, &first), async {
        deployed.held_calls("iam:CreateAccessKey", 1).await;
        deployed.clear_pending().await;
        let second = deployed.held_before(CREATE).await;
        let (two, ()) = tokio::join!(deployed.step(CREATE, &second), async {
            deployed.held_calls("iam:CreateAccessKey", 2).await;
            deployed.sandbox.end_faults();
        });
        (two, second)
    });

    // Both made a key. The first finds out that it was given up, and stores nothing.
    assert!(one.as_ref().is_err_and(|error| error.kind == "LabelsMoved") && two.is_ok(), "{one:?} {two:?}");
    let told = deployed.labelled("DEPLOYING").await;
    assert_eq!(deployed.labelled("AWSPENDING").await, told);
    assert_eq!(told.as_ref(), Some(&second));
    for token in [&first, &second] {
        let step = deployed.step(SET, token).await;
        assert_eq!(step.is_ok(), Some(token) == told.as_ref(), "{step:?}");
    }
    let key = deployed.key_labelled("DEPLOYING").await;
    assert_eq!(deployed.key_on(INSTANCES[0]), Some(key.clone()), "no host has the other key");
    deployed.clear_pending().await;
    deployed.release();
    deployed.let_pass(60 * 60);
    deployed.completes().await;
    assert_eq!(deployed.key_labelled("AWSCURRENT").await, key);
    deployed.completes().await;
}

#[tokio::test]
async fn two_rotations_at_once() {
    let deployed = Deployed::new().await;
    let before = deployed.mark();
    let first = deployed.held_before(SET).await;
    let second = deployed.aws.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap_err();
    let refusal = second.into_service_error();
    assert!(refusal.to_string().contains("InvalidRequest"), "{refusal:?}");
    // So two rotations run only if an operator clears AWSPENDING while the steps of the first still run.
    deployed.clear_pending().await;
    let second = deployed.held_before(SET).await;
    deployed.release();
    let (late, rotation) = tokio::join!(deployed.step(SET, &first), deployed.ended());

    // DEPLOYING has moved on with AWSPENDING, and DescribeSecret does not list a version without a label.
    assert_eq!(late.unwrap_err().kind, "UnknownToken");
    let rotation = deployed.has_completed(rotation).await;
    assert_eq!(rotation.token, second);
    assert_eq!(
        deployed.done(before, "iam:CreateAccessKey"),
        1,
        "the second rotation goes on with the key of the first"
    );
    assert_eq!(deployed.done(before, "iam:DeleteAccessKey"), 0);
    assert_eq!(deployed.done(before, "ssm:SendCommand"), 1, "the first rotation tells nobody any more");
}
