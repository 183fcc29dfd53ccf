//! What stops mail, or readers of the secret, though the rotation is healthy: the user's policies, its permissions boundary, the account's
//! standing with SES, the KMS key, and a deletion by hand.

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use aws_sdk_lambda::{
    client::Waiters as _,
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use serde_json::json;

use crate::support::{
    aws::{TRUST_OF_LAMBDA, zip_of},
    calls::NOTHING,
    controls::Ses,
    deployed::Deployed,
    example::{ACCOUNT, EXISTING_SECRET, FUNCTION, INSTANCE_ROLE, REGION, ROLE, ROTATE_LATER, SECRET, TOPIC, USER},
    faults::Fault,
    rotation::SET,
};

/// Every verb that says whether all is well.
fn says_that_mail_is_refused(deployed: &Deployed, why: &str, way: &str) {
    let status = deployed.run(&["status", "--json"]).expect(0);
    let line = &status.json_of("status")[0];
    assert_eq!(line["mail_is_safe"], "no", "{line}");
    assert!(line["reason"].to_string().contains(why), "{line}");
    assert!(line["for_a_person"].to_string().contains(way), "{line}");
    for (verb, code) in [("doctor", 1), ("recover", 14)] {
        let ran = deployed.run(&[verb]).expect(code);
        let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(why) && said.contains(way), "{verb}: {said}");
        assert!(!said.contains("Healthy"), "{verb}: {said}");
    }
}

/// Every verb that rotates, before it begins, and `recover`.
async fn says_that_a_rotation_would_fail(deployed: &Deployed, why: &str, way: &str) {
    let current = deployed.key_labelled("AWSCURRENT").await;
    for arguments in [&["rotate"][..], &["rotate", "--leaked", &current, "--auto-approve"], &["recover"]] {
        let (ran, mutations) = deployed.run_watched(arguments);
        let said = ran.expect(14).in_one_line();
        assert!(said.contains("would fail") && said.contains(why) && said.contains(way), "{arguments:?}: {said}");
        assert!(!said.contains("Healthy"), "{arguments:?}: {said}");
        assert_eq!(mutations, NOTHING, "{arguments:?}");
    }
}

async fn attach(deployed: &Deployed, name: &str, effect: &str, action: &str, condition: serde_json::Value) -> String {
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Action": action, "Resource": "*", "Condition": condition}
    ]});
    let create = deployed.aws.iam.create_policy().policy_name(name).policy_document(document.to_string());
    create.send().await.unwrap();
    format!("arn:aws:iam::{ACCOUNT}:policy/{name}")
}

#[tokio::test]
async fn a_permissions_boundary_that_somebody_set_is_told_and_that_the_user_may_not_send() {
    let deployed = Deployed::example(&[]).await;
    let arn = attach(&deployed, "reads", "Allow", "s3:Get*", json!({})).await;
    let put = deployed.aws.iam.put_user_permissions_boundary().user_name(USER).permissions_boundary(&arn);
    put.send().await.unwrap();

    let removal = format!("aws iam delete-user-permissions-boundary --user-name {USER}");
    says_that_mail_is_refused(&deployed, "its permissions boundary does not allow ses:SendRawEmail", &removal);
    for verb in ["plan", "drift"] {
        let said = deployed.run(&[verb]).expect(0).in_one_line();
        assert!(said.contains(&format!("has the permissions boundary {arn}, which the file does not name")), "{said}");
        assert!(said.contains(&removal), "{said}");
    }
    // What the file names is told nobody.
    deployed.sandbox.config(&[(
        "  # permissions_boundary: arn:aws:iam::123456789012:policy/boundary",
        &format!("  permissions_boundary: {arn}"),
    )]);
    let said = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(!said.contains("does not name"), "{said}");
}

#[tokio::test]
async fn a_policy_that_denies_the_users_mail_is_told_unless_it_depends_on_what_iam_is_not_told() {
    let deployed = Deployed::example(&[]).await;
    let elsewhere = json!({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}});
    let depends = attach(&deployed, "only-from-here", "Deny", "ses:*", elsewhere).await;
    let request = deployed.aws.iam.attach_user_policy().user_name(USER).policy_arn(&depends);
    request.send().await.unwrap();
    let status = &deployed.run(&["status", "--json"]).expect(0).json_of("status")[0];
    assert_eq!(status["mail_is_safe"], "look", "{status}");
    let said = deployed.run(&["doctor"]).expect(1).in_one_line();
    assert!(said.contains("may send cannot be seen: its policies depend on aws:SourceIp"), "{said}");
    let request = deployed.aws.iam.detach_user_policy().user_name(USER).policy_arn(&depends);
    request.send().await.unwrap();

    let denies = attach(&deployed, "no-mail", "Deny", "ses:*", json!({})).await;
    let request = deployed.aws.iam.attach_user_policy().user_name(USER).policy_arn(&denies);
    request.send().await.unwrap();
    says_that_mail_is_refused(
        &deployed,
        "a policy denies ses:SendRawEmail",
        &format!("aws iam list-attached-user-policies --user-name {USER}"),
    );
    let detach = format!("aws iam detach-user-policy --user-name {USER} --policy-arn {denies}");
    for (verb, code) in [("plan", 0), ("drift", 0), ("status", 0)] {
        let said = deployed.run(&[verb]).expect(code).in_one_line();
        assert!(said.contains(&detach), "{verb}: {said}");
        assert!(said.contains("hosts may send by it, or it denies them mail"), "{verb}: {said}");
    }
    let inline = deployed.aws.iam.put_user_policy().user_name(USER).policy_name("denies").policy_document(
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "ses:*", "Resource": "*"}})
            .to_string(),
    );
    inline.send().await.unwrap();
    let said = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(
        said.contains("somebody gave the user inline policy denies, which only denies: it may stop mail"),
        "{said}"
    );
    let delete = format!("aws iam delete-user-policy --user-name {USER} --policy-name denies");
    assert!(said.contains(&delete), "{said}");
}

#[tokio::test]
async fn a_function_whose_role_was_made_anew_is_told_with_the_way_to_a_new_grant() {
    let deployed = Deployed::example(&[]).await;
    let (iam, lambda) = (&deployed.aws.iam, &deployed.aws.lambda);
    for policy in iam.list_role_policies().role_name(ROLE).send().await.unwrap().policy_names {
        iam.delete_role_policy().role_name(ROLE).policy_name(policy).send().await.unwrap();
    }
    iam.delete_role().role_name(ROLE).send().await.unwrap();
    let update =
        format!("aws lambda update-function-configuration --region {REGION} --function-name {FUNCTION} --role ROLE");
    // The second apply changes nothing, and does not call that well either.
    for code in [11, 1] {
        let said = deployed.run(&["apply", "--auto-approve"]).expect(code).in_one_line();
        assert!(said.contains("no rotation can run: Lambda does not start the function"), "{said}");
        assert!(said.contains(&update) && !said.contains("Apply complete"), "{said}");
    }
    for verb in ["status", "rotate", "recover"] {
        let said = deployed.run(&[verb]).in_one_line();
        assert!(said.contains(&update), "{verb}: {said}");
    }

    iam.create_role().role_name("another").assume_role_policy_document(TRUST_OF_LAMBDA).send().await.unwrap();
    for role in ["another", ROLE] {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        lambda.update_function_configuration().function_name(FUNCTION).role(arn).send().await.unwrap();
        let updated = lambda.wait_until_function_updated().function_name(FUNCTION);
        updated.wait(std::time::Duration::from_mins(1)).await.unwrap();
    }
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.completes().await;
}

#[tokio::test]
async fn an_account_that_ses_has_stopped_is_told() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.control(&Ses { sending: false });
    says_that_mail_is_refused(&deployed, "SES sends nothing for this account", "ask AWS to let the account send again");
    let said = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(said.contains("SES sends nothing for this account"), "{said}");
}

#[tokio::test]
async fn a_kms_key_that_nobody_may_use_is_told_before_anything_changes() {
    let deployed = Deployed::example(&[]).await;
    let key = deployed.aws.kms.describe_key().key_id("alias/mail").send().await.unwrap().key_metadata.unwrap().key_id;
    deployed.aws.kms.disable_key().key_id(&key).send().await.unwrap();
    deployed.sandbox.config(&[("memory: 128", "memory: 256")]);
    let before = deployed.mark();
    let told = "KMS key alias/mail cannot be used: its state is Disabled";
    for (verb, code) in [("plan", 1), ("apply", 1), ("status", 15), ("doctor", 1)] {
        let arguments: &[&str] = if verb == "apply" { &["apply", "--auto-approve"] } else { &[verb] };
        let said = deployed.run(arguments).expect(code).in_one_line();
        assert!(
            said.contains(told) && said.contains("aws kms enable-key --region eu-west-1 --key-id arn:aws:kms"),
            "{verb}: {said}"
        );
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    deployed.aws.kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await.unwrap();
    let said = deployed.run(&["plan"]).expect(1).in_one_line();
    assert!(said.contains("its state is PendingDeletion") && said.contains("; KMS deletes it at 20"), "{said}");
    assert!(said.contains("aws kms cancel-key-deletion --region eu-west-1 --key-id arn:aws:kms"), "{said}");

    deployed.aws.kms.cancel_key_deletion().key_id(&key).send().await.unwrap();
    deployed.aws.kms.enable_key().key_id(&key).send().await.unwrap();
    deployed.run(&["apply", "--auto-approve"]).expect(0);
}

#[tokio::test]
async fn a_kms_key_that_signs_is_told_before_anything_changes() {
    let deployed = Deployed::example(&[]).await;
    let create = deployed.aws.kms.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify);
    let arn = create.send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    deployed.sandbox.config(&[("kms_key: alias/mail", &format!("kms_key: {arn}"))]);
    let before = deployed.mark();
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let said = deployed.run(arguments).expect(1).in_one_line();
        assert!(said.contains("cannot encrypt a secret") && said.contains("RSA_2048 key for SIGN_VERIFY"), "{said}");
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
}

#[tokio::test]
async fn a_secret_that_somebody_deletes_is_told_with_the_date_and_apply_restores_it() {
    let deployed = Deployed::example(&[]).await;
    deployed.aws.secrets.delete_secret().secret_id(SECRET).recovery_window_in_days(7).send().await.unwrap();
    let told = format!("secret {SECRET} is scheduled for deletion: nobody can read it, and after 20");
    for (verb, code) in [("plan", 0), ("drift", 2), ("status", 15), ("doctor", 1)] {
        let said = deployed.run(&[verb]).expect(code).in_one_line();
        assert!(said.contains(&told) && said.contains("`deployer apply` restores it"), "{verb}: {said}");
    }
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.completes().await;
}

#[tokio::test]
async fn a_user_that_somebody_deleted_is_told_by_every_verb_and_apply_says_that_a_recovery_is_left() {
    let deployed = Deployed::with(&[]).await;
    let iam = &deployed.aws.iam;
    for (key, _) in deployed.keys().await {
        iam.delete_access_key().user_name(USER).access_key_id(key).send().await.unwrap();
    }
    for policy in iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names {
        iam.delete_user_policy().user_name(USER).policy_name(policy).send().await.unwrap();
    }
    iam.delete_user().user_name(USER).send().await.unwrap();

    let status = &deployed.run(&["status", "--json"]).expect(0).json_of("status")[0];
    assert_eq!(status["mail_is_safe"], "no", "{status}");
    assert!(status["reason"].to_string().contains("is deleted: a host that uses it cannot send"), "{status}");
    let said = deployed.run(&["rotate"]).expect(14).in_one_line();
    assert!(said.contains("UserMissing") && said.contains("`deployer apply`"), "{said}");
    let said = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(said.contains("+ user mail-prod-smtp") && !said.contains("quarantine"), "{said}");
    let said = deployed.run(&["doctor"]).expect(1).in_one_line();
    assert!(said.contains("there is no user mail-prod-smtp: somebody deleted it"), "{said}");

    let said = deployed.run(&["apply", "--auto-approve"]).expect(0).in_one_line();
    // Once in the plan, and once at the end.
    let left = "is deleted: a host that uses it cannot send; `deployer recover";
    assert_eq!(said.matches(left).count(), 2, "{said}");
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.mail_works().await;
}

#[tokio::test]
async fn the_users_own_policy_that_somebody_deleted_is_told_and_that_apply_gives_it_again() {
    let deployed = Deployed::with(&[]).await;
    let iam = &deployed.aws.iam;
    let policy = iam.list_user_policies().user_name(USER).send().await.unwrap().policy_names.remove(0);
    iam.delete_user_policy().user_name(USER).policy_name(policy).send().await.unwrap();
    let apply = "deployer apply";
    says_that_mail_is_refused(&deployed, "no policy allows ses:SendRawEmail", apply);
    let failure = deployed.rotate().await.failed(SET, "TestMailRefused");
    failure.says(&["if the deployment owns the user, run", apply]);
    let applied = deployed.run(&["apply", "--auto-approve", "--during-rotation"]).expect(14).in_one_line();
    assert!(applied.contains("is still open: it failed in setSecret before this run"), "{applied}");
    assert!(applied.contains("if this run removed the cause, run `deployer recover"), "{applied}");
    assert!(!applied.contains("if the deployment owns the user"), "{applied}");
    deployed.completes_when_tried_again().await;
}

#[tokio::test]
async fn senders_of_a_file_that_was_not_applied_say_nothing_of_the_mail_that_is_sent() {
    let deployed = Deployed::example(&[]).await;
    deployed.sandbox.config(&[
        ("sender: no-reply@example.com", "sender: no-reply@other.com"),
        ("\"*@example.com\"", "\"*@other.com\""),
    ]);
    // The new sender's identity is not there either, which is told.
    let status = &deployed.run(&["status", "--json"]).expect(1).json_of("status")[0];
    assert_eq!(status["mail_is_safe"], "look", "{status}");
}

/// The user's policy counts at once, for every host.
#[tokio::test]
async fn senders_that_an_apply_takes_away_are_told_before_it_and_a_boundary_too() {
    let deployed = Deployed::example(&[]).await;
    for (senders, stops) in [("no-*@example.com", true), ("*@example.org\", \"*@example.com", false)] {
        deployed.sandbox.config(&[("\"*@example.com\"", &format!("\"{senders}\""))]);
        let plan = deployed.run(&["plan"]).expect(0);
        assert!(
            plan.stdout.contains("iam:PutUserPolicy") || plan.stdout.contains("user mail-prod-smtp"),
            "{}",
            plan.stdout
        );
        let told = "Some mail may stop: until now the user may send as others too, and then only as no-*@example.com.";
        assert_eq!(plan.in_one_line().contains(told), stops, "{}", plan.stdout);
    }
    let arn = attach(&deployed, "sends", "Allow", "ses:*", json!({})).await;
    let named = "  # permissions_boundary: arn:aws:iam::123456789012:policy/boundary";
    deployed.sandbox.config(&[(named, &format!("  permissions_boundary: {arn}"))]);
    let said = deployed.run(&["plan"]).expect(0).in_one_line();
    let told = format!("Mail may stop: it goes out only if the permissions boundary {arn} allows ses:SendRawEmail.");
    assert!(said.contains(&told), "{said}");
}

/// IAM tells letters apart in a sender, and whoever writes a domain does not.
#[tokio::test]
async fn mail_from_a_sender_goes_out_in_whatever_letters_the_file_names_its_domain() {
    let deployed = Deployed::example(&[("\"*@example.com\"", "\"*@Example.COM\"")]).await;
    let said = deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(said.stdout.contains("No changes."), "{}", said.stdout);
    deployed.completes().await;
}

/// Its labels and keys say nothing then: which key the hosts have is not known.
#[tokio::test]
async fn while_the_secret_cannot_be_read_no_key_is_called_unused_and_none_is_deleted() {
    let deployed = Deployed::example(&[]).await;
    let key = deployed.aws.kms.describe_key().key_id("alias/mail").send().await.unwrap().key_metadata.unwrap().key_id;
    let current = deployed.key_labelled("AWSCURRENT").await;
    deployed.aws.kms.disable_key().key_id(&key).send().await.unwrap();
    let way = "see in KMS whether the secret's key is enabled";
    for arguments in [&["rotate"][..], &["rotate", "--leaked", &current, "--auto-approve"], &["recover"]] {
        let (ran, mutations) = deployed.run_watched(arguments);
        let said = ran.expect(14).in_one_line();
        assert!(said.contains(way), "{arguments:?}: {said}");
        assert!(!said.contains("no host needs it"), "{arguments:?}: {said}");
        assert_eq!(mutations, NOTHING, "{arguments:?}");
    }
    let status = deployed.run(&["status", "--json"]);
    let line = &status.expect(15).json_of("status")[0];
    assert_eq!(line["mail_is_safe"], "look", "{line}");
    let status = deployed.run(&["status"]).expect(15).in_one_line();
    assert!(!status.contains("other key") && status.contains("it is not known which key it has"), "{status}");
}

#[tokio::test]
async fn a_function_that_secrets_manager_may_not_invoke_is_told_with_the_way_to_let_it() {
    let deployed = Deployed::example(&[]).await;
    let remove = deployed.aws.lambda.remove_permission().function_name(FUNCTION);
    remove.statement_id("mail-prod-secretsmanager").send().await.unwrap();
    let why = "Secrets Manager may not invoke function";
    says_that_a_rotation_would_fail(&deployed, why, "`deployer apply` puts the permission back").await;
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["rotate"]).expect(0);
}

#[tokio::test]
async fn hosts_that_may_not_read_the_secret_are_told_before_a_rotation() {
    let deployed = Deployed::with(&[]).await;
    let name = format!("mail-prod-read-secret-{REGION}");
    let way = "`deployer apply` puts the policy back";
    let (iam, role) = (&deployed.aws.iam, INSTANCE_ROLE);

    iam.delete_role_policy().role_name(role).policy_name(&name).send().await.unwrap();
    says_that_a_rotation_would_fail(&deployed, &format!("role {role} lacks policy {name}"), way).await;
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["recover"]).expect(0);

    let other = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:*:*:secret:other"}
    ]});
    let put = iam.put_role_policy().role_name(role).policy_name(&name).policy_document(other.to_string());
    put.send().await.unwrap();
    says_that_a_rotation_would_fail(&deployed, "no longer allows it", way).await;
    let status = &deployed.run(&["status", "--json"]).expect(0).json_of("status")[0];
    assert_eq!(status["mail_is_safe"], "look", "{status}");
    assert!(status["reason"].to_string().contains("a rotation would fail: the hosts may not read"), "{status}");
    assert!(status["for_a_person"][0].to_string().contains("puts the policy back"), "{status}");
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["rotate"]).expect(0);

    // Whoever may only rotate still rotates.
    let message = "User: u is not authorized to perform: iam:GetRolePolicy on resource: r";
    deployed.sandbox.faults(&[Fault::fail("iam:GetRolePolicy", 403, "AccessDenied", message).times(99)]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    deployed.run(&["rotate"]).expect(0);
}

#[tokio::test]
async fn a_resource_policy_that_denies_the_hosts_the_secret_is_told_before_a_rotation() {
    let deployed = Deployed::example(&[]).await;
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/{INSTANCE_ROLE}")},
         "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    ]});
    let put = deployed.aws.secrets.put_resource_policy().secret_id(SECRET).resource_policy(deny.to_string());
    put.send().await.unwrap();

    let why = format!("the resource policy of secret {SECRET} denies the hosts secretsmanager:GetSecretValue");
    let way = format!("aws secretsmanager delete-resource-policy --region {REGION} --secret-id {SECRET}");
    says_that_a_rotation_would_fail(&deployed, &why, &way).await;
    for (verb, code) in [("plan", 0), ("status", 0), ("doctor", 1)] {
        let said = deployed.run(&[verb]).expect(code).in_one_line();
        assert!(said.contains(&why) && said.contains(&way), "{verb}: {said}");
        assert!(!said.contains(&format!("role {INSTANCE_ROLE} may read secret")), "{verb}: {said}");
    }
    let status = &deployed.run(&["status", "--json"]).expect(0).json_of("status")[0];
    assert_eq!(status["mail_is_safe"], "look", "{status}");
    assert!(status["for_a_person"][0].to_string().contains(&way), "{status}");

    // Whoever may only rotate still rotates, and the host cannot read: the sandbox enforces it.
    let message = "User: u is not authorized to perform: secretsmanager:GetResourcePolicy on resource: r";
    deployed.sandbox.faults(&[Fault::fail("secretsmanager:GetResourcePolicy", 403, "AccessDeniedException", message)]);
    deployed.run(&["rotate"]).expect(14);
    deployed.mail_works().await;
    let delete = deployed.aws.secrets.delete_resource_policy().secret_id(SECRET);
    delete.send().await.unwrap();
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.mail_works().await;
}

#[tokio::test]
async fn an_apply_begins_no_first_rotation_that_a_resource_policy_of_the_secret_would_end() {
    let deployed = Deployed::before_apply(&EXISTING_SECRET).await;
    let secret = contract::SecretValue::placeholder(USER).to_json();
    deployed.aws.secrets.create_secret().name(SECRET).secret_string(secret).send().await.unwrap();
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/{INSTANCE_ROLE}")},
         "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    ]});
    let put = deployed.aws.secrets.put_resource_policy().secret_id(SECRET).resource_policy(deny.to_string());
    put.send().await.unwrap();
    let before = deployed.mark();

    for command in [&["plan"][..], &["apply", "--auto-approve"]] {
        let refused = deployed.run(command).expect(14).in_one_line();
        let why = format!(
            "the rotation that this run begins would fail: the resource policy of secret {SECRET} denies the hosts"
        );
        assert!(refused.contains(&why) && refused.contains("rotate_on_create: false"), "{command:?}: {refused}");
    }
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);

    deployed.sandbox.config(&[&EXISTING_SECRET[..], &[ROTATE_LATER]].concat());
    let applied = deployed.run(&["apply", "--auto-approve"]).expect(0).in_one_line();
    assert!(applied.contains("a rotation would fail: the resource policy"), "{applied}");
    deployed.touched_no_key(before);
}

#[tokio::test]
async fn recover_gives_no_rotation_up_while_the_next_one_would_fail_outside_of_the_function() {
    let deployed = Deployed::example(&[]).await;
    deployed.rotation_fails_after_the_host_was_told().await;
    let name = format!("mail-prod-read-secret-{REGION}");
    let request = deployed.aws.iam.delete_role_policy().role_name(INSTANCE_ROLE).policy_name(&name);
    request.send().await.unwrap();

    let (ran, mutations) = deployed.run_watched(&["recover", "--auto-approve"]);

    let said = ran.expect(14).in_one_line();
    assert!(said.contains("would fail") && said.contains(&format!("lacks policy {name}")), "{said}");
    assert_eq!(mutations, NOTHING);
    deployed.run(&["apply", "--auto-approve", "--during-rotation"]).expect(14);
    deployed.run(&["recover", "--auto-approve"]).expect(0);
    deployed.mail_works().await;
}

#[tokio::test]
async fn a_topic_that_no_alarm_can_publish_to_is_told_and_its_deletion_names_who_is_subscribed() {
    let deployed = Deployed::example(&[]).await;
    let set = deployed.aws.sns.set_topic_attributes().topic_arn(TOPIC).attribute_name("KmsMasterKeyId");
    set.attribute_value("alias/aws/sns").send().await.unwrap();
    let subscribe = deployed.aws.sns.subscribe().topic_arn(TOPIC).protocol("email").endpoint("boss@example.com");
    subscribe.send().await.unwrap();
    for verb in ["plan", "status"] {
        let said = deployed.run(&[verb]).expect(0).in_one_line();
        assert!(said.contains("no alarm can publish to it") && said.contains("aws sns set-topic-attributes"), "{said}");
    }
    let planned = deployed.run(&["plan", "--destroy", "--stop-mail"]).expect(0).in_one_line();
    assert!(planned.contains("email boss@example.com"), "{planned}");
}

#[tokio::test]
async fn a_rotation_that_another_function_would_run_is_not_started() {
    let deployed = Deployed::example(&[]).await;
    let code = FunctionCode::builder().zip_file(Blob::new(zip_of("#!/bin/sh\n"))).build();
    let create = deployed.aws.lambda.create_function().function_name("theirs").code(code);
    let create = create.role(format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}"));
    create.runtime(Runtime::Providedal2023).handler("bootstrap").send().await.unwrap();
    let allow = deployed.aws.lambda.add_permission().function_name("theirs").statement_id("s");
    let allow = allow.action("lambda:InvokeFunction").principal("secretsmanager.amazonaws.com");
    allow.send().await.unwrap();
    let theirs = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:theirs");
    let take = deployed.aws.secrets.rotate_secret().secret_id(SECRET).rotation_lambda_arn(&theirs);
    take.rotate_immediately(false).send().await.unwrap();
    deployed.ended().await;

    says_that_a_rotation_would_fail(&deployed, "is rotated by another function", "cancel-rotate-secret").await;
}
