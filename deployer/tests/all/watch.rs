use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    calls::Call,
    controls::{Rotations, Settings},
    deployed::Deployed,
    example::SECRET,
    faults::Fault,
    rotation::{CREATE, Status, TEST},
    sandbox::Sandbox,
};

#[tokio::test]
async fn a_rotation_that_succeeds_at_its_second_attempt_is_a_success() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Rotations { attempts: Some(2), retry_seconds: Some(2.0), ..Rotations::default() });
    deployed.sandbox.faults(&[Fault::refuse("iam:CreateAccessKey", "InvalidInput").by_the_function()]);

    let rotated = deployed.run(&["rotate", "--watch-retries", "2m"]).expect(0);

    for part in
        ["✗ createSecret: Aws: iam:CreateAccessKey", "tries this rotation again by itself", "rotation completed"]
    {
        assert!(rotated.stderr.contains(part), "no {part:?} in {}", rotated.stderr);
    }
    deployed.expect_health().await;
}

#[tokio::test]
async fn apply_on_an_open_rotation_tells_of_its_newest_failure() {
    let deployed = Deployed::example(&[]).await;
    deployed.set_online(None, false);
    deployed.rotate().await.failed(CREATE, "HostsOffline");
    deployed.set_online(None, true);
    deployed.sandbox.faults(&[Fault::refuse("iam:CreateAccessKey", "InvalidInput").by_the_function()]);
    deployed.try_again().await.failed(CREATE, "Aws");

    let applied = deployed.run(&["apply", "--auto-approve"]).expect(14);

    let says = |part: &str| applied.stderr.contains(part);
    assert!(says("CreateAccessKey") && !says("HostsOffline"), "{}", applied.stderr);
    assert!(says("rotation found, which is open") && !says("rotation started"), "{}", applied.stderr);
}

#[tokio::test]
async fn a_test_of_the_configuration_is_not_taken_for_a_rotation() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Rotations { hold_before: Some(TEST), ..Rotations::default() });
    let test = deployed.aws.secrets.rotate_secret().secret_id(SECRET).rotate_immediately(false);
    test.send().await.unwrap();

    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.contains("or the configuration is being tested"), "{status}");
    assert!(!status.contains("deployer recover"), "{status}");
    let (applied, rotated) = thread::scope(|scope| {
        let applied = scope.spawn(|| deployed.run(&["apply", "--auto-approve"]));
        let rotated = scope.spawn(|| deployed.run(&["rotate"]));
        thread::sleep(Duration::from_secs(3));
        deployed.release();
        (applied.join().unwrap(), rotated.join().unwrap())
    });

    applied.expect(0);
    rotated.expect(0);
    assert_eq!(deployed.last_rotation().status, Status::Complete);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_fresh_apply_ends_well_although_iam_is_slow() {
    let denied = |action: &str| {
        let message =
            "User: r is not authorized to perform: this on resource: s because no identity-based policy allows it";
        Fault::fail(action, 400, "AccessDeniedException", message).by_the_function()
    };
    let faults = vec![
        denied("secretsmanager:DescribeSecret").times(6),
        denied("secretsmanager:GetSecretValue").times(6),
        denied("iam:ListAccessKeys").times(6),
    ];
    let sandbox = Sandbox::with(&Settings { faults, ..Settings::one_attempt() });
    let config = sandbox.config(&[]);

    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    assert!(applied.stderr.contains("rotation mail-prod/smtp: waiting up to"), "{}", applied.stderr);
    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
}

#[test]
fn an_error_while_the_first_rotation_is_watched_ends_with_the_code_of_a_change() {
    const READ: &str = "secretsmanager:DescribeSecret";
    let sandbox = Sandbox::start();
    sandbox.config(&[]);
    sandbox.control(&Rotations { hold_before: Some(CREATE), ..Rotations::default() });
    let mut apply = sandbox.start_deployer(&["apply", "--auto-approve"]);
    // The run changes nothing more after several reads of a rotation that stands still.
    let is_watched = || {
        let calls: Vec<_> = sandbox.calls().iter().map(Call::name).collect();
        let started = calls.iter().position(|call| call == "secretsmanager:RotateSecret");
        started.is_some_and(|at| calls[at..].iter().filter(|call| *call == READ).count() > 4)
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_watched() {
        assert!(Instant::now() < deadline && apply.try_wait().unwrap().is_none(), "the rotation is not watched");
        thread::sleep(Duration::from_millis(50));
    }
    sandbox.faults(&[Fault::refuse(READ, "ExpiredTokenException").times(1000).by_the_administrator()]);

    let ended = sandbox.end_of(apply).expect(11);

    assert!(ended.stderr.contains("ExpiredTokenException") && !ended.stderr.contains("not done:"), "{}", ended.stderr);
    sandbox.end_faults();
    sandbox.control(&Rotations::default());
}

/// What failed has nothing to do with the rotation, which nobody would hear of again.
#[tokio::test]
async fn an_apply_that_fails_elsewhere_watches_its_rotation_all_the_same() {
    let deployed = Deployed::before_apply(&[]).await;
    deployed
        .sandbox
        .faults(&[Fault::refuse("events:PutTargets", "ValidationException").by_the_administrator().times(100)]);
    let failed = deployed.run(&["apply", "--auto-approve"]).expect(11);
    assert!(failed.stderr.contains("rotation completed"), "{}", failed.stderr);
    assert!(failed.stderr.contains("not done: "), "{}", failed.stderr);
    deployed.sandbox.end_faults();
    deployed.run(&["apply", "--auto-approve"]).expect(0);
}
