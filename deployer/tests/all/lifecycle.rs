//! From nothing to a rotated credential, and back to nothing.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    aws::Aws,
    calls::{Call, NOTHING},
    controls::{Instance, Settings, Subscriptions, Upkeep},
    deployed::Deployed,
    example::{
        self, DOCUMENT, EMAIL, EXISTING_SECRET, EXISTING_USER, FUNCTION, INSTANCE_ROLE, INSTANCES, LOG_GROUP, ROLE,
        ROLE_POLICY, RULE, SECRET, TOPIC, USER,
    },
    faults::Fault,
    sandbox::Sandbox,
};
use aws_sdk_iam::types::StatusType;

#[test]
fn a_second_apply_and_plan_and_status_only_read() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);

    let planned = sandbox.deployer_with(&["plan", "--detailed-exitcode", &config], &[("COLUMNS", "100")]).expect(2);
    assert!(planned.stdout.contains("16 to create, 0 to change, 0 to destroy"), "{}", planned.stdout);
    assert!(planned.stdout.contains("The credential rotates as soon as rotation is enabled"), "{}", planned.stdout);
    assert!(
        planned.stdout.contains("lives longer than 36 days 5 hours (Active: 32 days 5 hours)"),
        "{}",
        planned.stdout
    );
    assert!(planned.stdout.lines().count() <= 60, "a reviewer reads one screen or two: {}", planned.stdout);
    assert!(planned.stdout.lines().all(|line| line.chars().count() <= 100), "{}", planned.stdout);
    let full = sandbox.deployer(&["plan", "--verbose", &config]).expect(0).stdout;
    assert!(full.contains("environment.SMTP_ENDPOINT") && full.contains("\"kms:ViaService\""), "{full}");
    assert!(planned.stdout.contains("the code of the function comes from /"), "{}", planned.stdout);
    assert_eq!(sandbox.mutations(0), NOTHING);

    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    assert!(applied.stdout.contains("Apply complete: 16 created"), "{}", applied.stdout);
    assert!(applied.stderr.contains("rotation completed"), "{}", applied.stderr);

    let before = sandbox.mark();
    let again = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    assert!(again.stdout.contains("No changes."), "{}", again.stdout);
    assert!(again.stdout.contains("The credential does not rotate now"), "{}", again.stdout);
    sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0);
    let status = sandbox.deployer_with(&["status", &config], &[("COLUMNS", "80")]).expect(0);
    for part in [
        "Is mail safe? look: 1 point below needs a person.",
        "i-0123456789abcdef0 Online, told: has confirmed the key in use",
        "resources 16 of 16 are as the file declares",
        "ops@example.com has not confirmed its subscription",
    ] {
        assert!(status.in_one_line().contains(part), "{part}: {}", status.stdout);
    }
    assert!(status.stdout.lines().all(|line| line.chars().count() <= 80), "{}", status.stdout);
    let output = |name: &str| sandbox.deployer(&["output", name, &config]).expect(0).stdout;
    let [secret, all] = [output("secret_arn"), output("all")];
    assert!(secret.starts_with("arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-prod/smtp-"), "{secret}");
    assert!(all.contains(&format!("secret_arn     {secret}")) && all.contains("smtp_endpoint  smtps://"), "{all}");
    let json = sandbox.deployer(&["output", "--json", "all", &config]).expect(0).json_of("outputs");
    assert_eq!(json[0]["outputs"].as_object().map(serde_json::Map::len), Some(11), "{json:?}");
    assert!(sandbox.mark() > before, "the second apply read nothing");
    assert_eq!(sandbox.mutations(before), NOTHING);
}

#[tokio::test]
async fn rotate_changes_the_credential_on_the_host_and_leaves_the_previous_key_active() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let before = sandbox.secret("AWSCURRENT").await;
    assert!(sandbox.logs_in(&before));

    sandbox.deployer(&["rotate", &config]).expect(0);

    let after = sandbox.secret("AWSCURRENT").await;
    assert_ne!(after.access_key_id, before.access_key_id);
    assert!(sandbox.logs_in(&after));
    assert_eq!(sandbox.key_on(INSTANCES[0]), Some(after.access_key_id));
    let iam = sandbox.aws().await.iam;
    let keys = iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
    let previous = keys.iter().find(|key| key.access_key_id() == Some(&before.access_key_id)).unwrap();
    assert_eq!(previous.status, Some(StatusType::Active));
    assert!(sandbox.logs_in(&before), "mail in flight on the previous key must still go out");
}

#[tokio::test]
async fn an_apply_whose_rotation_fails_says_which_step_and_why() {
    let sandbox = Sandbox::with(&Settings { instances_are_offline: true, ..Settings::default() });
    let config = sandbox.config(&[]);

    let failed = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(14);
    assert!(failed.stderr.contains("failed in createSecret"), "{}", failed.stderr);
    assert!(
        failed.stderr.contains("HostsOffline") && failed.stderr.contains("i-0123456789abcdef0"),
        "{}",
        failed.stderr
    );

    // Only the rotation is missing, and Secrets Manager tries it again.
    let status = sandbox.deployer(&["status", &config]).expect(0);
    assert!(status.stdout.contains("a rotation is open"), "{}", status.stdout);
    sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0);
    let refused = sandbox.deployer(&["rotate", &config]).expect(14);
    assert!(refused.stderr.contains("is open"), "{}", refused.stderr);
    let again = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(14);
    assert!(again.stdout.contains("A rotation is open"), "{}", again.stdout);
    assert!(again.stderr.contains("HostsOffline"), "{}", again.stderr);
    let changed = sandbox.config(&[("memory: 128", "memory: 256")]);
    let refused = sandbox.deployer(&["apply", "--auto-approve", &changed]).expect(14);
    let first = refused.stderr.split("hint: ").nth(1).unwrap();
    assert!(first.contains("a host that is gone") && first.contains("--during-rotation"), "{}", refused.stderr);
    sandbox.deployer(&["apply", "--auto-approve", "--during-rotation", &changed]).expect(14);
    sandbox.deployer(&["plan", "--detailed-exitcode", &changed]).expect(0);
    let iam = sandbox.aws().await.iam;
    let keys = iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
    assert!(keys.is_empty(), "no key is made for a host that cannot be told: {keys:?}");
}

#[tokio::test]
async fn a_deployment_destroyed_while_a_rotation_was_open_can_be_applied_again() {
    let sandbox = Sandbox::with(&Settings { instances_are_offline: true, ..Settings::one_attempt() });
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(14);
    sandbox.deployer(&["destroy", "--auto-approve", &config]).expect(0);
    let without_hosts = sandbox.file("config.yaml", &example::without("instance"));

    sandbox.deployer(&["apply", "--auto-approve", &without_hosts]).expect(0);

    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
}

#[tokio::test]
async fn apply_enables_and_rotates_after_an_apply_that_failed_before_that() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    sandbox.faults(&[Fault::refuse("secretsmanager:RotateSecret", "InvalidRequestException")]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(11);

    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
}

#[tokio::test]
async fn a_first_rotation_that_was_ended_by_hand_is_told_and_made_up_for_by_apply() {
    let deployed = Deployed::before_apply(&[]).await;
    deployed.set_online(None, false);
    deployed.run(&["apply", "--auto-approve"]).expect(14);
    deployed.move_label("AWSPENDING", None).await;
    deployed.set_online(None, true);
    let owed = "rotation.rotate_on_create asks for one";

    let planned = deployed.run(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(planned.stdout.contains(owed) && planned.stdout.contains("The credential rotates"), "{}", planned.stdout);
    assert!(deployed.run(&["status"]).expect(0).in_one_line().contains(owed));
    assert!(deployed.run(&["recover"]).expect(10).stdout.contains(owed));
    let applied = deployed.run(&["apply", "--auto-approve"]).expect(0);

    assert!(applied.stderr.contains("rotation completed"), "{}", applied.stderr);
    deployed.expect_health().await;
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(deployed.run(&["recover"]).expect(0).stdout.contains("The rotation needs nothing"));
}

#[tokio::test]
async fn apply_ends_well_if_a_restored_secret_is_still_marked_for_deletion_and_an_answer_is_lost() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    let message = "You can't perform this operation on the secret because it was marked for deletion.";
    let marked = |action: &str| Fault::fail(action, 400, "InvalidRequestException", message).by_the_administrator();
    sandbox.faults(&[
        marked("secretsmanager:TagResource").times(2),
        marked("secretsmanager:RotateSecret").times(2),
        Fault::lose_reply("secretsmanager:RotateSecret").at_call(3).times(9),
    ]);
    let retagged = sandbox.config(&[("team: platform", "team: mail")]);

    let applied = sandbox.deployer(&["apply", "--auto-approve", &retagged]).expect(0);

    assert!(applied.stderr.contains("marked for deletion"), "{}", applied.stderr);
    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
}

#[test]
fn rotate_succeeds_although_an_answer_is_lost_and_the_log_cannot_be_read() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.faults(&[
        Fault::lose_reply("secretsmanager:RotateSecret").times(9),
        Fault::refuse("logs:FilterLogEvents", "AccessDeniedException").times(999),
    ]);

    let rotated = sandbox.deployer(&["rotate", &config]).expect(0);

    assert!(rotated.stderr.contains("only the labels are watched"), "{}", rotated.stderr);
}

#[test]
fn destroy_waits_until_iam_sees_its_own_changes() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.faults(&[
        Fault::fail("iam:DeleteUser", 409, "DeleteConflict", "m").times(2),
        Fault::fail("iam:DeleteRole", 409, "DeleteConflict", "m").times(2),
        Fault::lose_reply("ssm:DeleteDocument").times(9),
    ]);
    let destroyed = sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    assert!(destroyed.stderr.contains("waiting up to"), "{}", destroyed.stderr);
}

#[test]
fn apply_waits_until_lambda_can_assume_the_role() {
    let message = "The role defined for the function cannot be assumed by Lambda.";
    let not_yet = Fault::fail("lambda:CreateFunction", 400, "InvalidParameterValueException", message).times(3);
    let sandbox = Sandbox::with(&Settings { faults: vec![not_yet], ..Settings::default() });
    let config = sandbox.config(&[]);
    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    assert!(applied.stderr.contains("cannot be assumed by Lambda"), "{}", applied.stderr);
}

#[test]
fn status_shows_everything_else_if_something_cannot_be_read() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let message = "User: u is not authorized to perform: iam:GetRole on resource: r";
    sandbox.faults(&[Fault::fail("iam:GetRole", 403, "AccessDenied", message).times(99)]);
    let status = sandbox.deployer(&["status", &config]).expect(15);
    assert!(status.stdout.contains("unknown  role mail-prod-rotation-eu-west-1"), "{}", status.stdout);
    assert!(status.stdout.contains("AccessDenied") && status.stdout.contains("key in use"), "{}", status.stdout);
    let planned = sandbox.deployer(&["plan", &config]).expect(15);
    assert!(planned.stderr.contains("failed to read role"), "a denied read is no absence: {}", planned.stderr);
}

#[tokio::test]
async fn destroy_leaves_nothing_that_is_ours() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    let before = sandbox.mark();
    let refused = sandbox.deployer(&["destroy", "--auto-approve", &config]).expect(1);
    assert!(refused.stderr.contains("--stop-mail"), "{}", refused.stderr);
    assert_eq!(sandbox.mutations(before), NOTHING);
    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);

    let aws = sandbox.aws().await;
    let iam = &aws.iam;
    assert!(iam.get_user().user_name(USER).send().await.is_err());
    assert!(iam.get_role().role_name(ROLE).send().await.is_err());
    let inline = iam.list_role_policies().role_name(INSTANCE_ROLE).send().await.unwrap();
    assert!(inline.policy_names.is_empty(), "{:?}", inline.policy_names);
    assert!(aws.lambda.get_function().function_name(FUNCTION).send().await.is_err());
    assert!(aws.lambda.get_policy().function_name(FUNCTION).send().await.is_err());
    let groups = aws.logs.describe_log_groups().log_group_name_prefix(LOG_GROUP).send().await.unwrap();
    assert!(groups.log_groups().is_empty());
    assert!(aws.ssm.describe_document().name(DOCUMENT).send().await.is_err());
    assert!(aws.sns.get_topic_attributes().topic_arn(TOPIC).send().await.is_err());
    assert!(aws.events.describe_rule().name(RULE).send().await.is_err());
    let secret = aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert!(secret.deleted_date.is_some());
    assert_ne!(secret.rotation_enabled, Some(true));

    let again = sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
    assert!(again.stdout.contains("No changes."), "{}", again.stdout);
}

/// The addresses that subscribe, each with whether it has confirmed.
async fn subscriptions(sandbox: &Sandbox) -> Vec<(String, bool)> {
    let sns = sandbox.aws().await.sns;
    let listed = sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap().subscriptions.unwrap();
    let confirmed = |arn: &str| arn != "PendingConfirmation";
    listed.into_iter().map(|one| (one.endpoint.unwrap(), confirmed(&one.subscription_arn.unwrap()))).collect()
}

#[tokio::test]
async fn the_address_is_asked_to_confirm_and_a_new_one_takes_its_place() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    assert!(
        applied.stdout.contains("ops@example.com has no subscription to the topic: `deployer apply"),
        "{}",
        applied.stdout
    );
    let status = sandbox.deployer(&["status", &config]).expect(0).in_one_line();
    assert!(status.contains("ops@example.com has not confirmed"), "{status}");
    let json = sandbox.deployer(&["plan", "--json", "--detailed-exitcode", &config]).expect(0).json_of("plan");
    assert!(json[0]["notes"][0]["message"].as_str().unwrap().contains("has not confirmed"), "{}", json[0]);

    sandbox.control(&Subscriptions::Confirm(EMAIL));
    let planned = sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0);
    assert!(!planned.stdout.contains("confirm"), "{}", planned.stdout);
    let sns = sandbox.aws().await.sns;
    sns.subscribe().topic_arn(TOPIC).protocol("email").endpoint("colleague@example.com").send().await.unwrap();
    sandbox.control(&Subscriptions::Confirm("colleague@example.com"));

    let second = sandbox.config(&[(EMAIL, "second@example.com")]);
    sandbox.deployer(&["apply", "--auto-approve", &second]).expect(0);
    let theirs = ("colleague@example.com".to_owned(), true);
    assert_eq!(subscriptions(&sandbox).await, [theirs.clone(), ("second@example.com".to_owned(), false)]);
    sandbox.deployer(&["plan", "--detailed-exitcode", &second]).expect(0);

    // Nobody can unsubscribe an address that never confirmed, so apply does not wait for its end.
    let third = sandbox.config(&[(EMAIL, "third@example.com")]);
    sandbox.deployer(&["apply", "--auto-approve", &third]).expect(0);
    let left = [theirs, ("second@example.com".to_owned(), false), ("third@example.com".to_owned(), false)];
    assert_eq!(subscriptions(&sandbox).await, left);
    sandbox.deployer(&["plan", "--detailed-exitcode", &third]).expect(0);
}

#[test]
fn without_notify_nothing_is_made_in_sns() {
    let sandbox = Sandbox::start();
    let config = sandbox.file("config.yaml", &example::without("notify"));

    let planned = sandbox.deployer(&["plan", &config]).expect(0);

    assert!(!planned.stdout.contains("sns:") && !planned.stdout.contains("TOPIC_ARN"), "{}", planned.stdout);
    assert!(planned.stdout.contains("12 to create"), "{}", planned.stdout);
    assert!(sandbox.calls().iter().all(|call| call.service != "sns"));
}

#[tokio::test]
async fn the_daily_rule_may_invoke_the_function_and_no_other_rule_may() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let events = sandbox.aws().await.events;
    events.put_rule().name("other").schedule_expression("rate(1 day)").send().await.unwrap();
    let ours = events.list_targets_by_rule().rule(RULE).send().await.unwrap().targets.unwrap().remove(0);
    events.put_targets().rule("other").targets(ours).send().await.unwrap();
    let invoked = || {
        let is_it = |call: &&Call| call.caller == "events.amazonaws.com";
        sandbox.calls().iter().filter(is_it).count()
    };

    let fired = sandbox.control(&Upkeep { rule: "other" });
    assert!(fired.invocations[0].error.as_ref().unwrap().contains("may not invoke"), "{fired:?}");
    assert_eq!(invoked(), 0);
    sandbox.control(&Upkeep { rule: RULE });
    assert_eq!(invoked(), 1);
}

#[tokio::test]
async fn a_destroyed_deployment_can_be_applied_again_at_once() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);

    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    assert!(applied.stdout.contains("secretsmanager:RestoreSecret"), "{}", applied.stdout);
    assert!(sandbox.logs_in(&sandbox.secret("AWSCURRENT").await));
}

#[test]
fn the_plan_tells_a_host_that_is_offline_from_one_that_does_not_exist() {
    let sandbox = Sandbox::start();
    sandbox.control(&Instance { id: Some("i-0123456789abcdef0"), online: false });
    let config =
        sandbox.config(&[("  id: i-0123456789abcdef0\n", "  ids: [i-0123456789abcdef0, i-00000000deadbeef0]\n")]);
    let said = sandbox.deployer(&["plan", &config]).expect(0).in_one_line();
    assert!(said.contains("does not reach host i-0123456789abcdef0 (ConnectionLost)"), "{said}");
    assert!(said.contains("host i-00000000deadbeef0 is unknown to Systems Manager in eu-west-1"), "{said}");
}

#[test]
fn the_plan_tells_of_an_account_in_the_sandbox_of_ses() {
    let sandbox = Sandbox::start();
    let config = sandbox.config(&[]);
    let told = |sandbox: &Sandbox| {
        let ran = sandbox.deployer(&["plan", &config]).expect(0);
        (ran.stdout + &ran.stderr).contains("this account is in SES's sandbox in eu-west-1")
    };
    assert!(!told(&sandbox));
    let limited = "--no-production-access-enabled --mail-type TRANSACTIONAL --website-url https://example.com";
    sandbox.operator(&format!("aws sesv2 put-account-details {limited}"));
    assert!(told(&sandbox));
}

#[tokio::test]
async fn an_existing_secret_without_a_value_is_told_by_plan_with_the_command_that_stores_a_placeholder() {
    let sandbox = Sandbox::start();
    let secrets = sandbox.aws().await.secrets;
    secrets.create_secret().name(SECRET).send().await.unwrap();
    let config = sandbox.config(&EXISTING_SECRET);

    let refused = sandbox.deployer(&["plan", &config]).expect(1).stderr;

    assert!(refused.contains("has no version that is AWSCURRENT"), "{refused}");
    let (_, command) = refused.split_once("placeholder is enough: `").unwrap();
    sandbox.operator(command.split_once('`').unwrap().0);
    sandbox.deployer(&["plan", &config]).expect(0);
}

#[tokio::test]
async fn a_key_that_an_existing_user_had_is_told_by_the_first_apply_and_not_by_the_second_rotation() {
    let sandbox = Sandbox::start();
    sandbox.make_user_by_hand("/").await;
    let key = sandbox.make_key_by_hand().await.access_key_id.clone();
    let config = sandbox.config(&EXISTING_USER);

    let applied = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    let said = applied.stdout + &applied.stderr;
    assert!(said.contains(&format!("access key {key} (never used) is named by no version")), "{said}");
    assert!(said.contains("iam_user.replaces") && said.contains(&format!("--access-key-id {key}")), "{said}");
}

#[tokio::test]
async fn an_existing_user_with_two_keys_is_refused_by_plan_with_the_commands_that_free_a_slot() {
    let sandbox = Sandbox::start();
    sandbox.make_user_by_hand("/").await;
    let keys = [sandbox.make_key_by_hand().await, sandbox.make_key_by_hand().await].map(|key| key.access_key_id);
    let config = sandbox.config(&EXISTING_USER);

    let refused = sandbox.deployer(&["plan", &config]).expect(14).stderr;

    assert!(refused.contains("no free slot for that of the first rotation"), "{refused}");
    let delete = format!("aws iam delete-access-key --user-name {USER} --access-key-id {}", keys[0]);
    assert!(refused.contains(&delete) && refused.contains(&keys[1]), "{refused}");
    sandbox.operator(&delete);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
}

#[tokio::test]
async fn an_existing_secret_in_the_shape_of_another_tool_is_told_before_its_rotation_is_enabled() {
    let sandbox = Sandbox::start();
    let secrets = sandbox.aws().await.secrets;
    let other_tool =
        r#"{"SMTP_USERNAME": "AKIAIOSFODNN7EXAMPLE", "SMTP_PASSWORD": "theirs", "host": "h", "port": 465}"#;
    secrets.create_secret().name(SECRET).secret_string(other_tool).send().await.unwrap();
    let config = sandbox.config(&EXISTING_SECRET);

    let refused = sandbox.deployer(&["apply", "--auto-approve", &config]).expect(11).stderr;

    assert!(refused.contains("was not enabled: its value cannot be rotated"), "{refused}");
    assert!(
        refused.contains("the field username of the secret's value is missing") && refused.contains("secret.fields"),
        "{refused}"
    );
    let secret = secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert_eq!(secret.rotation_enabled, None);
    let corrected = other_tool.replace('{', &format!("{{\"username\": \"{USER}\", "));
    secrets.put_secret_value().secret_id(SECRET).secret_string(corrected).send().await.unwrap();
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
}

#[tokio::test]
async fn a_function_in_a_vpc_gets_what_its_role_needs_leaves_the_vpc_again_and_destroy_keeps_the_role_for_lambda() {
    let sandbox = Sandbox::start();
    let Aws { iam, lambda, .. } = sandbox.aws().await;
    let ids = async || {
        let vpc = lambda.get_function_configuration().function_name(FUNCTION).send().await.unwrap().vpc_config;
        vpc.map(|vpc| [vpc.subnet_ids.unwrap_or_default(), vpc.security_group_ids.unwrap_or_default()].concat())
    };
    let in_a_vpc = [
        ("  # vpc:", "  vpc:"),
        ("    # subnets:", "    subnets:"),
        ("    # security_groups:", "    security_groups:"),
    ];
    let config = sandbox.config(&in_a_vpc);

    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);

    assert_eq!(ids().await.unwrap(), ["subnet-0123456789abcdef0", "sg-0123456789abcdef0"]);
    let policy = iam.get_role_policy().role_name(ROLE).policy_name(ROLE_POLICY).send().await.unwrap();
    assert!(policy.policy_document.contains("CreateNetworkInterface"), "{}", policy.policy_document);
    sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0);
    let config = sandbox.config(&[]);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    assert_eq!(ids().await.unwrap_or_default(), [""; 0]);
    let config = sandbox.config(&in_a_vpc);
    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    destroy_keeps_the_role_for_lambda(&sandbox, &iam, &config).await;
}

/// Lambda removes the network interfaces after the function is gone, as the function's role.
async fn destroy_keeps_the_role_for_lambda(sandbox: &Sandbox, iam: &aws_sdk_iam::Client, config: &str) {
    let destroy = ["destroy", "--auto-approve", "--stop-mail", config];
    let run = sandbox.start_deployer(&destroy);
    let kept_since = async || {
        let tags = iam.list_role_tags().role_name(ROLE).send().await.unwrap().tags;
        tags.into_iter().find(|tag| tag.key == "deployer:kept-since").map(|tag| tag.value)
    };
    let deadline = Instant::now() + Duration::from_mins(2);
    while kept_since().await.is_none() {
        assert!(Instant::now() < deadline, "the role is not kept");
        thread::sleep(Duration::from_millis(100));
    }
    let there = sandbox.inventory();
    assert!(!there.contains(&format!("function {FUNCTION}")), "{there:?}");
    thread::sleep(Duration::from_secs(1));
    assert!(std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let stopped = sandbox.end_of(run).expect(16).stderr;
    assert!(stopped.contains("Lambda removes the function's network interfaces as this role"), "{stopped}");
    assert!(sandbox.inventory().contains(&format!("role {ROLE} policy {ROLE_POLICY}")), "{stopped}");

    // The next run waits for what is left, which here is nothing.
    let tag =
        aws_sdk_iam::types::Tag::builder().key("deployer:kept-since").value("2020-01-01T00:00:00Z").build().unwrap();
    iam.tag_role().role_name(ROLE).tags(tag).send().await.unwrap();
    sandbox.deployer(&destroy).expect(0);
    assert!(!sandbox.inventory().contains(&format!("role {ROLE}")));
}

#[tokio::test]
async fn a_referenced_user_and_secret_outlive_the_deployment() {
    let sandbox = Sandbox::start();
    let Aws { iam, secrets, .. } = sandbox.aws().await;
    sandbox.make_user_by_hand("/mail/").await;
    let value =
        format!(r#"{{"username":"{USER}","AccessKeyId":"","SMTPPassword":"","iam_user_arn":"","host":"kept"}}"#);
    secrets.create_secret().name(SECRET).secret_string(value).send().await.unwrap();
    let config = sandbox.config(&[&EXISTING_SECRET[..], &EXISTING_USER].concat());

    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    let rotated = sandbox.secret("AWSCURRENT").await;
    assert!(sandbox.logs_in(&rotated));
    assert_eq!(rotated.other.get("host").unwrap(), "kept");
    sandbox.deployer(&["destroy", "--auto-approve", &config]).expect(0);

    let user = iam.get_user().user_name(USER).send().await.unwrap().user.unwrap();
    assert!(user.tags().is_empty(), "{:?}", user.tags());
    let policies = iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names;
    assert_eq!(policies, ["theirs"]);
    let secret = secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert!(secret.deleted_date.is_none() && secret.tags().is_empty(), "{secret:?}");
    assert_eq!(sandbox.secret("AWSCURRENT").await, rotated);
    assert!(sandbox.logs_in(&rotated), "destroy must not stop mail that it does not own");
}

#[tokio::test]
async fn a_role_and_a_user_with_a_path_and_a_boundary_rotate() {
    let sandbox = Sandbox::start();
    let iam = sandbox.aws().await.iam;
    let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let boundary = iam.create_policy().policy_name("boundary").policy_document(all).send().await.unwrap();
    let boundary = boundary.policy.unwrap().arn.unwrap();
    let config = sandbox.config(&[
        ("  # path: /mail/", "  path: /mail/"),
        ("  # permissions_boundary:", "  permissions_boundary:"),
        ("  # role_path: /mail/", "  role_path: /mail/"),
        ("  # role_permissions_boundary:", "  role_permissions_boundary:"),
    ]);

    sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
    sandbox.deployer(&["plan", "--detailed-exitcode", &config]).expect(0);

    let user = iam.get_user().user_name(USER).send().await.unwrap().user.unwrap();
    let role = iam.get_role().role_name(ROLE).send().await.unwrap().role.unwrap();
    assert_eq!([&*user.path, &*role.path], ["/mail/", "/mail/"]);
    let of = |found: Option<aws_sdk_iam::types::AttachedPermissionsBoundary>| found.unwrap().permissions_boundary_arn;
    assert_eq!(
        [of(user.permissions_boundary), of(role.permissions_boundary)],
        [Some(boundary.clone()), Some(boundary)]
    );
    let moved = sandbox.config(&[("  # role_path: /mail/", "  role_path: /other/")]);
    let refused = sandbox.deployer(&["plan", &moved]).expect(1);
    assert!(refused.stderr.contains("has the path /mail/, but the file declares /other/"), "{}", refused.stderr);
    sandbox.deployer(&["destroy", "--auto-approve", "--stop-mail", &config]).expect(0);
}
