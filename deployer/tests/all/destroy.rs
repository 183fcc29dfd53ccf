//! What AWS may refuse to delete: `plan --destroy` shows it, and nothing that cannot be undone comes before it.

use aws_sdk_secretsmanager::types::ReplicaRegionType;

use crate::support::{
    calls::NOTHING,
    deployed::Deployed,
    example::{EXISTING_SECRET, EXISTING_USER, ROLE, ROTATE_LATER, SECRET, USER, without_block},
    faults::Fault,
    rotation::{SET, Status},
};

const DESTROY: [&str; 3] = ["destroy", "--auto-approve", "--stop-mail"];
const PLAN: [&str; 3] = ["plan", "--destroy", "--stop-mail"];

#[tokio::test]
async fn what_hangs_on_the_user_is_planned_or_refused_before_anything_is_deleted() {
    let deployed = Deployed::new().await;
    let iam = &deployed.aws.iam;
    iam.create_login_profile().user_name(USER).password("none").send().await.unwrap();
    let device = iam.create_virtual_mfa_device().virtual_mfa_device_name("phone").send().await.unwrap();
    let device = device.virtual_mfa_device.unwrap().serial_number;
    let enable = iam.enable_mfa_device().user_name(USER).serial_number(&device);
    enable.authentication_code1("123456").authentication_code2("654321").send().await.unwrap();
    let key = iam.upload_ssh_public_key().user_name(USER).ssh_public_key_body("ssh-rsa AAAA").send().await.unwrap();
    let key = key.ssh_public_key.unwrap().ssh_public_key_id;
    let upload = iam.upload_signing_certificate().user_name(USER).certificate_body("-----BEGIN CERTIFICATE-----");
    let certificate = upload.send().await.unwrap().certificate.unwrap().certificate_id;
    let create = iam.create_service_specific_credential().user_name(USER).service_name("codecommit.amazonaws.com");
    let of_service = create.send().await.unwrap().service_specific_credential.unwrap().service_specific_credential_id;

    let before = deployed.mark();
    for command in [PLAN, DESTROY] {
        let refused = deployed.run(&command).expect(1).stderr;
        for removal in [
            "delete-login-profile --user-name mail-prod-smtp".to_owned(),
            format!("deactivate-mfa-device --user-name mail-prod-smtp --serial-number {device}"),
            format!("delete-ssh-public-key --user-name mail-prod-smtp --ssh-public-key-id {key}"),
            format!("delete-signing-certificate --user-name mail-prod-smtp --certificate-id {certificate}"),
            format!(
                "delete-service-specific-credential --user-name mail-prod-smtp --service-specific-credential-id {of_service}"
            ),
        ] {
            assert!(refused.contains(&format!("run `aws iam {removal}`")), "{command:?}: {removal}\n{refused}");
        }
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.mail_works().await;

    iam.delete_login_profile().user_name(USER).send().await.unwrap();
    iam.deactivate_mfa_device().user_name(USER).serial_number(&device).send().await.unwrap();
    iam.delete_ssh_public_key().user_name(USER).ssh_public_key_id(key).send().await.unwrap();
    iam.delete_signing_certificate().user_name(USER).certificate_id(certificate).send().await.unwrap();
    let delete = iam.delete_service_specific_credential().user_name(USER);
    delete.service_specific_credential_id(of_service).send().await.unwrap();
    iam.create_group().group_name("staff").send().await.unwrap();
    iam.add_user_to_group().group_name("staff").user_name(USER).send().await.unwrap();
    let policy = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    iam.attach_user_policy().user_name(USER).policy_arn(policy).send().await.unwrap();
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    iam.put_user_policy().user_name(USER).policy_name("theirs").policy_document(document).send().await.unwrap();

    let planned = deployed.run(&PLAN).expect(0).stdout;
    for line in ["iam:RemoveUserFromGroup", "staff", "iam:DetachUserPolicy", policy, "inline_policy  theirs"] {
        assert!(planned.contains(line), "{line}: {planned}");
    }
    deployed.run(&DESTROY).expect(0);
    assert!(iam.get_user().user_name(USER).send().await.is_err());
}

/// As a move to another name leaves it that was killed right before its end.
#[tokio::test]
async fn a_policy_of_the_former_name_keeps_no_user_from_being_deleted() {
    let deployed = Deployed::example(&[("# moved_from: mail-old", "moved_from: mail-old"), ROTATE_LATER]).await;
    let iam = &deployed.aws.iam;
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let put = iam.put_user_policy().user_name(USER).policy_name("mail-old-send").policy_document(document);
    put.send().await.unwrap();
    deployed.run(&DESTROY).expect(0);
    assert!(iam.get_user().user_name(USER).send().await.is_err());
}

#[tokio::test]
async fn if_aws_refuses_any_deletion_the_credential_still_works() {
    let deployed = Deployed::new().await;
    let message = "User: u is not authorized to perform: iam:DeleteRole on resource: r";
    deployed.sandbox.faults(&[Fault::fail("iam:DeleteRole", 403, "AccessDenied", message).times(9)]);

    let failed = deployed.run(&DESTROY).expect(11);

    assert!(failed.stderr.contains("- user mail-prod-smtp: skipped"), "{}", failed.stderr);
    deployed.mail_works().await;
    assert_eq!(deployed.keys().await.len(), 1);
    deployed.sandbox.end_faults();
    deployed.run(&DESTROY).expect(0);
    assert!(deployed.aws.iam.get_user().user_name(USER).send().await.is_err());
}

#[tokio::test]
async fn a_secret_with_replicas_is_refused_before_anything_is_deleted() {
    let deployed = Deployed::new().await;
    let secrets = &deployed.aws.secrets;
    let replica = ReplicaRegionType::builder().region("eu-central-1").build();
    secrets.replicate_secret_to_regions().secret_id(SECRET).add_replica_regions(replica).send().await.unwrap();
    let before = deployed.mark();

    for command in [PLAN, DESTROY] {
        let refused = deployed.run(&command).expect(1).stderr;
        assert!(refused.contains("--remove-replica-regions eu-central-1`"), "{refused}");
    }

    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
}

#[tokio::test]
async fn an_alarm_that_a_composite_alarm_depends_on_is_refused_before_anything_is_deleted() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let cloudwatch = &deployed.aws.cloudwatch;
    let put = cloudwatch.put_composite_alarm().alarm_name("mail").alarm_rule("ALARM(\"mail-prod-errors\")");
    put.send().await.unwrap();
    assert!(cloudwatch.delete_alarms().alarm_names("mail-prod-errors").send().await.is_err(), "as CloudWatch does");
    let before = deployed.mark();

    let refused = |command: &[&str]| {
        let refused = deployed.run(command).expect(1).stderr;
        assert!(refused.contains("the rule of composite alarm mail names alarm mail-prod-errors\n"), "{refused}");
    };
    refused(&PLAN);
    refused(&DESTROY);
    // So it is if the file alone no longer declares the alarm.
    let example = std::fs::read_to_string(deployed.sandbox.path("config.yaml")).unwrap();
    deployed.sandbox.file("config.yaml", &without_block(&example, "notify"));
    refused(&["apply", "--auto-approve"]);

    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    deployed.sandbox.file("config.yaml", &example);
    cloudwatch.delete_alarms().alarm_names("mail").send().await.unwrap();
    deployed.run(&DESTROY).expect(0);
}

#[tokio::test]
async fn after_a_destroy_that_failed_half_way_nobody_is_told_that_the_credential_stays() {
    let deployed = Deployed::new().await;
    let message = "User: u is not authorized to perform: iam:DeleteUser on resource: r";
    deployed.sandbox.faults(&[Fault::fail("iam:DeleteUser", 403, "AccessDenied", message).times(9)]);
    deployed.run(&DESTROY).expect(11);
    deployed.sandbox.end_faults();

    let planned = deployed.run(&PLAN).expect(0).stdout;
    assert!(planned.contains("The user has no access key: no mail can be sent"), "{planned}");
    assert!(!planned.contains("stays as it is"), "{planned}");
    deployed.run(&DESTROY).expect(0);
    let nothing = deployed.run(&DESTROY).expect(0).stdout;
    assert!(nothing.contains("no credential is touched") && !nothing.contains("stays as it is"), "{nothing}");
}

#[tokio::test]
async fn a_secret_is_deleted_for_good_only_if_its_name_is_typed() {
    let deployed = Deployed::not_yet_rotated().await;
    let purge = ["destroy", "--purge-secret"];
    let planned = deployed.run(&["plan", "--destroy", "--purge-secret"]).expect(0).stdout;
    assert!(planned.contains("force_delete_without_recovery"), "{planned}");
    let before = deployed.mark();
    for given in ["--purge-secret", "--purge-secret=mail-prod/other"] {
        let refused = deployed.run(&["destroy", "--auto-approve", given]).expect(10).stderr;
        assert!(refused.contains("write --purge-secret=mail-prod/smtp"), "{refused}");
    }
    let saved = ["plan", "--destroy", "--out", "plan.json"];
    let nameless = deployed.run(&[&saved[..], &["--purge-secret"]].concat()).expect(1).stderr;
    assert!(nameless.contains("with --out, write --purge-secret=SECRET"), "{nameless}");
    let refused = deployed.run(&[&saved[..], &["--purge-secret=mail-prod/other"]].concat()).expect(10).stderr;
    assert!(refused.contains("write --purge-secret=mail-prod/smtp"), "{refused}");
    assert!(!deployed.sandbox.path("plan.json").exists(), "a plan that can never run");
    let (code, screen) = deployed.run_on_a_terminal(&purge, "yes\n");
    assert!(code == 10 && screen.contains("Only 'mail-prod/smtp' is accepted"), "{screen}");
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    // Also of a secret that is in its recovery window already.
    deployed.run(&["destroy", "--auto-approve"]).expect(0);
    let there = deployed.sandbox.inventory();
    assert!(there.contains(&format!("secret {SECRET} (deleted)")), "{there:?}");
    let (code, screen) = deployed.run_on_a_terminal(&purge, "mail-prod/smtp\n");
    assert!(code == 0 && screen.contains("Destroy complete: 1 destroyed"), "{screen}");
    let there = deployed.sandbox.inventory();
    assert!(!there.iter().any(|line| line.starts_with("secret")), "{there:?}");
}

#[tokio::test]
async fn what_the_deployment_made_and_the_file_declares_existing_stays_without_anything_of_ours() {
    let deployed = Deployed::new().await;
    deployed.sandbox.config(&[&EXISTING_USER[..], &EXISTING_SECRET].concat());
    let planned = deployed.run(&["plan"]).expect(0).stdout;
    for part in
        ["iam:UntagUser", "secretsmanager:UntagResource", "it is yours from this apply on", "mail-prod-send stays"]
    {
        assert!(planned.contains(part), "{part}: {planned}");
    }
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.run(&["rotate"]).expect(0);
    deployed.mail_works().await;

    let told = deployed.run(&DESTROY).expect(0).in_one_line();
    assert!(told.contains("inline policy mail-prod-send, by which hosts send"), "{told}");
    deployed.mail_works().await;
    let user = deployed.aws.iam.get_user().user_name(USER).send().await.unwrap().user.unwrap();
    assert_eq!(user.tags.unwrap_or_default(), []);
    let secret = deployed.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert!(secret.tags.unwrap_or_default().is_empty() && secret.deleted_date.is_none());
    let policies = deployed.aws.iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names;
    assert_eq!(policies, ["mail-prod-send"]);
}

#[tokio::test]
async fn a_flip_that_no_apply_has_made_leaves_nothing_of_ours_either() {
    let deployed = Deployed::not_yet_rotated().await;
    deployed.sandbox.config(&[&EXISTING_USER[..], &EXISTING_SECRET].concat());
    deployed.run(&DESTROY).expect(0);
    let user = deployed.aws.iam.get_user().user_name(USER).send().await.unwrap().user.unwrap();
    assert_eq!(user.tags.unwrap_or_default(), []);
    // Without a key, nobody sends by it.
    let policies = deployed.aws.iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names;
    assert_eq!(policies, [""; 0]);
    let secret = deployed.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
    assert_eq!(secret.tags.unwrap_or_default(), []);
}

#[tokio::test]
async fn the_deployments_own_role_is_not_declared_existing() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let before = deployed.mark();
    deployed.sandbox.config(&[ROTATE_LATER, ("  # role: lambda-mail", &format!("  role: {ROLE}"))]);
    for command in [&["plan"][..], &PLAN, &DESTROY] {
        let refused = deployed.run(command).expect(1).stderr;
        assert!(refused.contains("remove function.role"), "{command:?}: {refused}");
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
}

/// Without the function's role, a step could not store the key that it has just made.
#[tokio::test]
async fn a_step_that_runs_is_waited_for() {
    let deployed = Deployed::new().await;
    deployed.held_before(SET).await;
    let before = deployed.mark();
    let destroy = deployed.sandbox.start_deployer(&DESTROY);
    deployed.is_looked_at(before).await;
    deployed.release();

    let destroyed = deployed.sandbox.end_of(destroy).expect(0).stderr;

    assert!(destroyed.contains("waiting up to") && destroyed.contains("a rotation runs"), "{destroyed}");
    assert_eq!(deployed.ended().await.status, Status::Complete);
    assert!(!deployed.sandbox.inventory().contains(&format!("user {USER}")), "and no key that was just made");
}

#[tokio::test]
async fn a_rotation_that_is_open_is_told_and_ends_with_the_deployment() {
    let deployed = Deployed::new().await;
    deployed.rotation_fails_after_the_host_was_told().await;

    let version = deployed.labelled("AWSPENDING").await.unwrap();
    deployed.sandbox.config(&[&EXISTING_USER[..], &EXISTING_SECRET].concat());
    let planned = deployed.run(&["plan", "--destroy"]).expect(0).in_one_line();

    assert!(planned.contains(&format!("A rotation is open (version {version}) and does not end")), "{planned}");
    deployed.run(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(deployed.keys().await.len(), 2, "the hosts have the newer one");
}
