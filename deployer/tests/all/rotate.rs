//! `deployer rotate` starts nothing that would fail.

use crate::support::{
    calls::NOTHING,
    controls::Upkeep,
    deployed::Deployed,
    example::{INSTANCE_ROLE, RULE},
    faults::Fault,
    rotation::SET,
    sandbox::Sandbox,
    shown::assert_shown,
};

const DAY: u64 = 24 * 60 * 60;

/// The example after two rotations, with the first key in its grace.
async fn in_grace() -> Deployed {
    let deployed = Deployed::example(&[]).await;
    let rotated = deployed.run(&["rotate"]).expect(0);
    assert!(rotated.stderr.contains("note: the rotation makes an access key\n"), "{}", rotated.stderr);
    deployed
}

#[tokio::test]
async fn a_rotation_within_the_grace_is_refused_until_it_ends() {
    let deployed = in_grace().await;
    let before = deployed.keys().await;

    let (refused, mutations) = deployed.run_watched(&["rotate"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("within_the_grace", &deployed.sandbox, &refused.expect(14).stderr);
    deployed.let_pass(2 * DAY);
    let rotated = deployed.run(&["rotate"]).expect(0);
    assert_shown!("after_the_grace", &deployed.sandbox, &rotated.stderr);
    deployed.expect_health().await;
    assert!(!deployed.keys().await.contains(&before[0]));
}

#[tokio::test]
async fn every_retirement_that_is_coming_is_announced_by_apply_and_status() {
    let deployed = in_grace().await;
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    let announced = |what: &str| {
        let (applied, status) = (deployed.run(&["apply", "--auto-approve"]), deployed.run(&["status"]));
        let is_it = |line: &str| line.contains(&previous) && line.contains(what);
        assert!(applied.expect(0).stderr.lines().any(is_it), "{what}");
        let status = status.expect(0).in_one_line();
        let (_, of_previous) = status.split_once(&previous).unwrap();
        assert!(of_previous.contains(what), "{what}: {status}");
    };

    announced("will be made Inactive on ");
    deployed.let_pass(2 * DAY);
    announced("goes with the next daily upkeep");
    deployed.sandbox.control(&Upkeep { rule: RULE });
    announced("will be deleted on ");
}

#[tokio::test]
async fn a_rotation_whose_host_cannot_be_told_is_refused() {
    let deployed = Deployed::example(&[]).await;
    deployed.set_online(None, false);

    let (refused, mutations) = deployed.run_watched(&["rotate"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("host_offline", &deployed.sandbox, &refused.expect(14).stderr);
}

#[tokio::test]
async fn a_rotation_is_refused_while_another_one_is_open() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;

    let (refused, mutations) = deployed.run_watched(&["rotate"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("rotation_open", &deployed.sandbox, &refused.expect(14).stderr);
}

#[tokio::test]
async fn the_key_in_use_leaked_and_the_previous_one_is_in_its_grace() {
    let deployed = in_grace().await;
    let before = deployed.keys().await;
    let leaked = deployed.key_labelled("AWSCURRENT").await;

    let (refused, mutations) = deployed.run_watched(&["rotate", "--leaked", &leaked]);
    assert_eq!(mutations, NOTHING);
    assert_shown!("leaked_unapproved", &deployed.sandbox, &refused.expect(10).stderr);

    let rotated = deployed.run(&["rotate", "--leaked", &leaked, "--auto-approve"]).expect(0);

    assert_shown!("leaked", &deployed.sandbox, &rotated.stderr);
    deployed.expect_health().await;
    let after = deployed.keys().await;
    assert!(after.len() == 1 && !before.contains(&after[0]), "{before:?} {after:?}");
}

#[tokio::test]
async fn the_previous_key_leaked() {
    let deployed = in_grace().await;
    let (current, previous) = (deployed.key_labelled("AWSCURRENT").await, deployed.key_labelled("AWSPREVIOUS").await);

    let deleted = deployed.run(&["rotate", "--leaked", &previous, "--auto-approve"]).expect(0);

    assert_shown!("leaked_previous", &deployed.sandbox, &deleted.stderr);
    assert_eq!(deployed.keys().await, [(current, true)], "no rotation is needed");
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_key_leaked_while_a_rotation_replaces_it() {
    let deployed = Deployed::example(&[]).await;
    let leaked = deployed.key_labelled("AWSCURRENT").await;
    let version = deployed.held_before(SET).await;
    let before = deployed.mark();
    let replace = deployed.sandbox.start_deployer(&["rotate", "--leaked", &leaked, "--auto-approve"]);
    deployed.is_looked_at(before).await;
    deployed.release();

    let replaced = deployed.sandbox.end_of(replace).expect(0).stderr;

    assert!(replaced.contains("a rotation runs"), "{replaced}");
    assert_eq!(deployed.labelled("AWSCURRENT").await, Some(version), "no second rotation is needed");
    assert!(!deployed.has_key(&leaked).await);
    deployed.expect_health().await;
}

#[tokio::test]
async fn a_key_leaked_that_a_rotation_was_given_up_with() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let leaked = deployed.key_labelled("AWSPENDING").await;

    let refused = deployed.run(&["rotate", "--leaked", &leaked, "--auto-approve"]).expect(14);
    assert!(refused.stderr.contains("deployer recover"), "{}", refused.stderr);
    deployed.clear_pending().await;
    let before = deployed.keys().await;
    let rotated = deployed.run(&["rotate", "--leaked", &leaked, "--auto-approve"]).expect(0);

    assert_shown!("leaked_after_a_rotation_was_given_up", &deployed.sandbox, &rotated.stderr);
    deployed.expect_health().await;
    let after = deployed.keys().await;
    assert!(after.len() == 1 && !before.contains(&after[0]), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_key_leaked_that_the_user_does_not_have() {
    let deployed = Deployed::example(&[]).await;

    let (refused, mutations) = deployed.run_watched(&["rotate", "--leaked", "AKIAIOSFODNN7EXAMPLE", "--auto-approve"]);

    assert_eq!(mutations, NOTHING);
    assert_shown!("leaked_unknown", &deployed.sandbox, &refused.expect(1).stderr);
}

#[tokio::test]
async fn the_key_in_use_leaked_and_somebody_has_deleted_it() {
    let deployed = Deployed::example(&[]).await;
    let leaked = deployed.key_labelled("AWSCURRENT").await;
    deployed.delete_key(&leaked).await;

    let refused = deployed.run(&["rotate", "--leaked", &leaked, "--auto-approve"]).expect(1);

    assert_shown!("leaked_and_deleted", &deployed.sandbox, &refused.stderr);
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.expect_health().await;
}

#[tokio::test]
async fn what_is_no_access_key_id_is_not_repeated_because_it_may_be_a_secret() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    for (verb, flag) in [("rotate", "--leaked"), ("recover", "--reactivate")] {
        let refused = sandbox.deployer(&[verb, flag, secret, &config]).expect(1);
        assert!(
            refused.stderr.starts_with(&format!("error: the value of {flag} is not an access key id\n")),
            "{}",
            refused.stderr
        );
        assert!(!refused.in_one_line().contains(secret));
    }
}

#[tokio::test]
async fn a_key_in_use_that_somebody_made_inactive_is_told_by_plan_too() {
    let deployed = Deployed::example(&[]).await;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.set_active(&current, false).await;

    let planned = deployed.run(&["plan"]).expect(0).in_one_line();

    assert!(planned.contains(&format!("access key {current}, which AWSCURRENT names, is Inactive")), "{planned}");
    assert!(planned.contains("`deployer recover` shows what to do"), "{planned}");
}

#[tokio::test]
async fn no_key_is_deleted_for_a_rotation_that_would_fail() {
    let deployed = in_grace().await;
    let before = deployed.keys().await;
    deployed.set_online(None, false);
    let leaked = deployed.key_labelled("AWSCURRENT").await;

    let (refused, mutations) = deployed.run_watched(&["rotate", "--leaked", &leaked, "--auto-approve"]);

    assert!(refused.expect(14).stderr.contains("HostsOffline"));
    assert_eq!(mutations, NOTHING);
    assert_eq!(deployed.keys().await, before);
}

#[tokio::test]
async fn without_a_deployment_the_error_names_the_command_that_makes_one() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    for command in ["rotate", "recover"] {
        let refused = sandbox.deployer(&[command, &config]).expect(1);
        assert!(refused.stderr.contains("run `deployer apply` first"), "{command}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn no_rotation_starts_if_the_function_cannot_be_asked() {
    let deployed = Deployed::example(&[]).await;
    let message = "User: u is not authorized to perform: lambda:InvokeFunction on resource: r";
    deployed.sandbox.faults(&[Fault::fail("lambda:InvokeFunction", 403, "AccessDeniedException", message).times(99)]);

    let (refused, mutations) = deployed.run_watched(&["rotate"]);

    assert!(refused.expect(1).stderr.contains("allow lambda:InvokeFunction for these credentials"));
    assert_eq!(mutations, NOTHING);
}

/// Our own policy is as it was.
#[tokio::test]
async fn a_rotation_whose_hosts_are_denied_the_secret_by_something_else_is_not_started() {
    let deployed = Deployed::example(&[]).await;
    let denies = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"secretsmanager:*","Resource":"*"}}"#;
    let put = deployed.aws.iam.put_role_policy().role_name(INSTANCE_ROLE).policy_name("deny").policy_document(denies);
    put.send().await.unwrap();
    let why = "the hosts may not read the secret as role mail-prod-instance: a policy denies it";

    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(status.contains("Is mail safe? look: a rotation would fail: ") && status.contains(why), "{status}");
    let recover = deployed.run(&["recover", "--auto-approve"]).expect(14).in_one_line();
    assert!(recover.contains(why), "{recover}");
    let (refused, mutations) = deployed.run_watched(&["rotate"]);
    let refused = refused.expect(14).in_one_line();
    assert!(
        refused.contains(why) && refused.contains("find the policy of role mail-prod-instance that denies"),
        "{refused}"
    );
    assert_eq!(mutations, NOTHING);

    // What depends on the host's network is not known here.
    let denies = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"secretsmanager:*","Resource":"*",
        "Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}}"#;
    let put = deployed.aws.iam.put_role_policy().role_name(INSTANCE_ROLE).policy_name("deny").policy_document(denies);
    put.send().await.unwrap();
    let status = deployed.run(&["status"]).expect(0).in_one_line();
    assert!(!status.contains("may not read the secret"), "{status}");
}

#[tokio::test]
async fn a_file_of_another_secret_than_that_of_the_function_rotates_nothing() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.config(&[("mail-prod/smtp", "mail-new/smtp")]);
    let key = deployed.key_labelled("AWSCURRENT").await;
    for verb in [&["rotate"][..], &["rotate", "--leaked", &key, "--auto-approve"], &["recover", "--auto-approve"]] {
        let (refused, mutations) = deployed.run_watched(verb);
        let refused = refused.expect(1).in_one_line();
        assert!(refused.contains("rotates another secret than the file names"), "{verb:?}: {refused}");
        assert_eq!(mutations, NOTHING);
    }
}

#[tokio::test]
async fn a_leaked_key_is_found_in_the_deployment_that_has_it() {
    let deployed = Deployed::example(&[]).await;
    let key = deployed.key_labelled("AWSCURRENT").await;
    let other = "name: other\nregion: eu-west-1\nsecret: {name: other/smtp}\niam_user: {name: other-smtp}\n";
    let example = std::fs::read_to_string(deployed.sandbox.path("config.yaml")).unwrap();
    let both = deployed.sandbox.file("both.yaml", &format!("{other}---\n{example}"));

    deployed.sandbox.deployer(&["rotate", "--leaked", &key, "--auto-approve", &both]).expect(0);

    assert!(!deployed.has_key(&key).await);
    deployed.expect_health().await;
}
