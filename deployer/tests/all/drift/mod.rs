//! Somebody changes AWS: `plan` shows the difference, and `apply` puts it right.

/// An alarm.
mod alarm;
/// The document.
mod document;
/// The function and its permissions.
mod function;
/// The log group.
mod log_group;
/// The role, and the instance role's policy.
mod role;
/// The secret and its rotation.
mod secret;
/// The topic and its subscriptions.
mod topic;
/// The upkeep rule.
mod upkeep;
/// The user.
mod user;

use std::{error::Error, pin::Pin, time::Duration};

use aws_sdk_lambda::client::Waiters as _;
use serde_json::json;

use crate::support::{
    caller::actions,
    calls::NOTHING,
    controls::Subscriptions,
    deployed::Deployed,
    example::{EMAIL, FUNCTION, FUNCTION_ARN, RECORD, REGION, ROLE_POLICY, ROTATE_LATER, SECRET, USER},
    faults::Fault,
    sandbox::Ran,
};

/// A change that somebody makes, and the call with which the plan puts it right.
struct Change {
    name: &'static str,
    make: for<'a> fn(&'a Deployed) -> Pin<Box<dyn Future<Output = Made> + 'a>>,
    planned: &'static str,
}

/// Whether a change could be made.
type Made = Result<(), Box<dyn Error>>;

/// A policy that allows everything.
const WIDE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

#[rustfmt::skip]
const CHANGES: [Change; 60] = [
    Change { name: "secret: tag changed", make: |it| Box::pin(secret::tag(it, "team")), planned: "secretsmanager:TagResource" },
    Change { name: "secret: tag removed", make: |it| Box::pin(secret::untag(it, "team")), planned: "secretsmanager:TagResource" },
    Change { name: "secret: KMS key", make: |it| Box::pin(secret::another_kms_key(it)), planned: "secretsmanager:UpdateSecret" },
    Change { name: "secret: scheduled for deletion", make: |it| Box::pin(secret::delete(it)), planned: "secretsmanager:RestoreSecret" },
    Change { name: "rotation: schedule", make: |it| Box::pin(secret::another_schedule(it)), planned: "secretsmanager:RotateSecret" },
    Change { name: "rotation: cancelled", make: |it| Box::pin(secret::cancel_rotation(it)), planned: "secretsmanager:RotateSecret" },

    Change { name: "user: tag changed", make: |it| Box::pin(user::tag(it, "team")), planned: "iam:TagUser" },
    Change { name: "user: tag of the secret changed", make: |it| Box::pin(user::tag(it, contract::TAG_SECRET)), planned: "iam:TagUser" },
    Change { name: "user: policy changed", make: |it| Box::pin(user::widen_policy(it)), planned: "iam:PutUserPolicy" },
    Change { name: "user: policy removed", make: |it| Box::pin(user::remove_policy(it)), planned: "iam:PutUserPolicy" },

    Change { name: "role: trust", make: |it| Box::pin(role::trust_another_service(it)), planned: "iam:UpdateAssumeRolePolicy" },
    Change { name: "role: policy changed", make: |it| Box::pin(role::put_policy(it, ROLE_POLICY)), planned: "iam:PutRolePolicy" },
    Change { name: "role: policy removed", make: |it| Box::pin(role::remove_policy(it)), planned: "iam:PutRolePolicy" },
    Change { name: "role: policy added", make: |it| Box::pin(role::put_policy(it, "other")), planned: "iam:DeleteRolePolicy" },
    Change { name: "role: policy attached", make: |it| Box::pin(role::attach_policy(it)), planned: "iam:DetachRolePolicy" },
    Change { name: "role: tag changed", make: |it| Box::pin(role::tag(it, "team")), planned: "iam:TagRole" },
    Change { name: "instance access: changed", make: |it| Box::pin(role::widen_instance_access(it)), planned: "iam:PutRolePolicy" },

    Change { name: "log group: retention", make: |it| Box::pin(log_group::another_retention(it)), planned: "logs:PutRetentionPolicy" },
    Change { name: "log group: tag changed", make: |it| Box::pin(log_group::tag(it, "team")), planned: "logs:TagResource" },

    Change { name: "function: memory", make: |it| Box::pin(function::another_memory(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: timeout", make: |it| Box::pin(function::another_timeout(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: log group", make: |it| Box::pin(function::another_log_group(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: KMS key", make: |it| Box::pin(function::another_kms_key(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: environment", make: |it| Box::pin(function::another_environment(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: environment of an older deployer", make: |it| Box::pin(function::environment_of_before(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: role", make: |it| Box::pin(function::another_role(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: code", make: |it| Box::pin(function::another_code(it)), planned: "lambda:UpdateFunctionCode" },
    Change { name: "function: tag of the source", make: |it| Box::pin(function::tag(it, "deployer:source")), planned: "lambda:UpdateFunctionCode" },
    Change { name: "function: tag changed", make: |it| Box::pin(function::tag(it, "team")), planned: "lambda:TagResource" },
    Change { name: "function: retries", make: |it| Box::pin(function::more_retries(it)), planned: "lambda:PutFunctionEventInvokeConfig" },
    Change { name: "function: layer", make: |it| Box::pin(function::a_layer(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: VPC", make: |it| Box::pin(function::a_vpc(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: file system", make: |it| Box::pin(function::a_file_system(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: dead-letter target", make: |it| Box::pin(function::a_dead_letter_target(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: tracing", make: |it| Box::pin(function::tracing(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: ephemeral storage", make: |it| Box::pin(function::more_storage(it)), planned: "lambda:UpdateFunctionConfiguration" },
    Change { name: "function: URL", make: |it| Box::pin(function::a_url(it)), planned: "lambda:DeleteFunctionUrlConfig" },
    Change { name: "function: reserved concurrency", make: |it| Box::pin(function::stop(it)), planned: "lambda:DeleteFunctionConcurrency" },
    Change { name: "function: code signing", make: |it| Box::pin(function::code_signing(it)), planned: "lambda:DeleteFunctionCodeSigningConfig" },
    Change { name: "permission: somebody else's", make: |it| Box::pin(function::let_another_account_invoke(it)), planned: "lambda:RemovePermission" },
    Change { name: "permission: removed", make: |it| Box::pin(function::remove_permission(it, "mail-prod-secretsmanager")), planned: "lambda:AddPermission" },
    Change { name: "permission: the rule's removed", make: |it| Box::pin(function::remove_permission(it, "mail-prod-events")), planned: "lambda:AddPermission" },
    Change { name: "permission: wider", make: |it| Box::pin(function::widen_permission(it)), planned: "lambda:RemovePermission" },

    Change { name: "document: content", make: |it| Box::pin(document::another_content(it)), planned: "ssm:UpdateDocument" },
    Change { name: "document: tag changed", make: |it| Box::pin(document::tag(it, "team")), planned: "ssm:AddTagsToResource" },

    Change { name: "topic: deleted", make: |it| Box::pin(topic::delete(it)), planned: "sns:CreateTopic" },
    Change { name: "topic: unsubscribed", make: |it| Box::pin(topic::unsubscribe(it)), planned: "sns:Subscribe" },
    Change { name: "topic: ended by the subscriber", make: |it| Box::pin(async { topic::subscriber_leaves(it); Ok(()) }), planned: "sns:Subscribe" },
    Change { name: "topic: tag changed", make: |it| Box::pin(topic::tag(it, "team")), planned: "sns:TagResource" },

    Change { name: "alarm: deleted", make: |it| Box::pin(alarm::delete(it)), planned: "cloudwatch:PutMetricAlarm" },
    Change { name: "alarm: silenced", make: |it| Box::pin(alarm::disable_actions(it)), planned: "cloudwatch:PutMetricAlarm" },
    Change { name: "alarm: tag changed", make: |it| Box::pin(alarm::tag(it, "team")), planned: "cloudwatch:TagResource" },

    Change { name: "upkeep: deleted", make: |it| Box::pin(upkeep::delete(it)), planned: "events:PutRule" },
    Change { name: "upkeep: schedule", make: |it| Box::pin(upkeep::another_schedule(it)), planned: "events:PutRule" },
    Change { name: "upkeep: disabled", make: |it| Box::pin(upkeep::disable(it)), planned: "events:PutRule" },
    Change { name: "upkeep: target removed", make: |it| Box::pin(upkeep::remove_target(it)), planned: "events:PutTargets" },
    Change { name: "upkeep: input", make: |it| Box::pin(upkeep::put_target(it, "function")), planned: "events:PutTargets" },
    Change { name: "upkeep: delivery", make: |it| Box::pin(upkeep::try_once(it)), planned: "events:PutTargets" },
    Change { name: "upkeep: target added", make: |it| Box::pin(upkeep::put_target(it, "other")), planned: "events:RemoveTargets" },
    Change { name: "upkeep: tag changed", make: |it| Box::pin(upkeep::tag(it, "team")), planned: "events:TagResource" },
];

#[tokio::test]
async fn every_change_from_outside_is_planned_and_put_right() {
    let mut failures = Vec::new();
    // Whoever applies may do what `deployer policy` prints for that, and nothing else.
    let mut deployed = Deployed::before_apply(&[]).await;
    let policy = deployed.sandbox.policy_for("apply", "config.yaml");
    deployed.sandbox.make_caller().await;
    deployed.sandbox.allow_caller(&policy).await;
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    for change in CHANGES {
        if let Err(failure) = change.is_put_right(&deployed).await {
            failures.push(format!("{}: {failure}", change.name));
            // A difference that is left would make the next rows fail too.
            deployed = Deployed::example(&[]).await;
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} changes failed:\n\n{}",
        failures.len(),
        CHANGES.len(),
        failures.join("\n\n")
    );

    deployed.sandbox.control(&Subscriptions::Confirm(EMAIL));
    deployed.sandbox.config(&[("tags:\n  team: platform\n", ""), (EMAIL, "others@example.com")]);
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    let (allowed, needed) = (actions(&policy), deployed.sandbox.actions_of_caller(0));
    let superfluous: Vec<_> = allowed.difference(&needed).collect();
    // It ends a rotation that another tool left open (`scenarios/surroundings.rs`).
    let to_adopt = "iam:SimulatePrincipalPolicy";
    assert_eq!(superfluous, [to_adopt, "secretsmanager:UpdateSecretVersionStage"]);
}

/// The file names the alias, and so declares the same as before.
#[tokio::test]
async fn an_alias_of_the_kms_key_that_somebody_repoints_is_drift() {
    let deployed = Deployed::example(&[]).await;
    let key = deployed.aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    deployed.aws.kms.update_alias().alias_name("alias/mail").target_key_id(key).send().await.unwrap();
    let said = deployed.run(&["drift"]).expect(2).in_one_line();
    assert!(said.contains("~ secret mail-prod/smtp (somebody else's change") && !said.contains("Unclear"), "{said}");
}

/// Hosts may send by what somebody attached, so nothing is taken away; but the credential lies on every host.
#[tokio::test]
async fn what_somebody_attached_to_the_user_is_told_and_stays() {
    let deployed = Deployed::example(&[]).await;
    let quarantine = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";
    for arn in ["arn:aws:iam::aws:policy/AdministratorAccess", quarantine] {
        let attach = deployed.aws.iam.attach_user_policy().user_name(USER).policy_arn(arn);
        attach.send().await.unwrap();
    }
    let told = "somebody gave the user policy arn:aws:iam::aws:policy/AdministratorAccess: every host's credential may use it, and \
                hosts may send by it, or it denies them mail. Take away what no host needs: `aws iam detach-user-policy --user-name mail-prod-smtp \
                --policy-arn arn:aws:iam::aws:policy/AdministratorAccess`";
    let planned = deployed.run(&["plan", "--detailed-exitcode"]).expect(0).in_one_line();
    assert!(planned.contains(told) && planned.contains("in quarantine"), "{planned}");
    assert!(!planned.contains(&format!("AdministratorAccess, policy {quarantine}")), "{planned}");
    for (verb, code) in [("status", 0), ("drift", 0), ("doctor", 1)] {
        let said = deployed.run(&[verb]).expect(code).in_one_line();
        assert!(said.contains(told), "{verb}: {said}");
    }
    let before = deployed.sandbox.mark();
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    assert_eq!(deployed.sandbox.mutations(before), NOTHING);
    let known = "  known_policies: [arn:aws:iam::aws:policy/AdministratorAccess]";
    deployed.sandbox.config(&[("  # known_policies: [audit, arn:aws:iam::aws:policy/ReadOnlyAccess]", known)]);
    let planned = deployed.run(&["plan", "--detailed-exitcode"]).expect(0).in_one_line();
    assert!(!planned.contains("somebody gave the user") && planned.contains("in quarantine"), "{planned}");
}

/// Whoever may add a layer and replace the code may also set the tags by which the deployer knows its code.
#[tokio::test]
async fn code_that_somebody_tagged_as_ours_beside_their_layer_is_uploaded_again() {
    let deployed = Deployed::example(&[]).await;
    function::another_code(&deployed).await.unwrap();
    function::tag_code_as_uploaded(&deployed).await.unwrap();
    let updated = deployed.aws.lambda.wait_until_function_updated_v2().function_name(FUNCTION);
    updated.wait(Duration::from_mins(1)).await.unwrap();
    function::a_layer(&deployed).await.unwrap();

    let planned = deployed.run(&["plan"]).expect(0).stdout;
    assert!(planned.contains("lambda:UpdateFunctionCode"), "{planned}");
    assert!(planned.contains(":layer:theirs:1, which the deployer did not give it"), "{planned}");

    deployed.run(&["apply", "--auto-approve"]).expect(0);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployed.run(&["rotate"]).expect(0);
}

#[tokio::test]
async fn a_function_that_somebody_stopped_is_told_by_plan_status_and_rotate_with_the_way_to_start_it() {
    let deployed = Deployed::example(&[]).await;
    function::stop(&deployed).await.unwrap();
    let start = format!("aws lambda delete-function-concurrency --region {REGION} --function-name {FUNCTION_ARN}");
    for (command, code) in [("plan", 0), ("status", 15), ("rotate", 14), ("recover", 14)] {
        let said = deployed.run(&[command]).expect(code).in_one_line();
        assert!(!said.contains("again in a minute"), "to wait helps nothing: {command}: {said}");
        assert!(said.contains("is stopped: its reserved concurrency is") && said.contains(&start), "{command}: {said}");
    }
}

#[tokio::test]
async fn the_plan_and_the_status_name_who_else_may_invoke_the_function() {
    let deployed = Deployed::example(&[]).await;
    function::let_another_account_invoke(&deployed).await.unwrap();
    for command in ["plan", "status"] {
        let said = deployed.run(&[command]).expect(0).in_one_line();
        assert!(said.contains("lets others invoke it") && said.contains("999999999999"), "{command}: {said}");
    }
}

#[tokio::test]
async fn a_resource_policy_that_somebody_gave_the_secret_is_told_as_a_sentence_and_stays() {
    let deployed = Deployed::example(&[]).await;
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
    ]});
    let put = deployed.aws.secrets.put_resource_policy().secret_id(SECRET).resource_policy(policy.to_string());
    put.send().await.unwrap();
    for verb in ["plan", "status"] {
        let said = deployed.run(&[verb]).expect(0).in_one_line();
        assert!(said.contains("nobody may secretsmanager:PutSecretValue on everything"), "{verb}: {said}");
        assert!(
            said.contains(&format!("aws secretsmanager get-resource-policy --region {REGION} --secret-id {SECRET}")),
            "{verb}: {said}"
        );
    }
    // The rotation would make a key, and could not store it.
    let (failed, mutations) = deployed.run_watched(&["rotate"]);
    let failed = failed.expect(14).in_one_line();
    assert!(failed.contains("denies the function secretsmanager:PutSecretValue"), "{failed}");
    assert_eq!(mutations, NOTHING);
    // The sandbox enforces it: a rotation on schedule says what is denied, and the key that it made is gone again.
    let keys = deployed.keys().await;
    let rotated = format!("{:?}", deployed.rotate().await);
    assert!(rotated.contains("secretsmanager:PutSecretValue"), "{rotated}");
    assert_eq!(deployed.keys().await, keys);
    deployed.mail_works().await;
}

#[tokio::test]
async fn a_foreign_tag_is_left_alone_and_one_that_the_file_named_is_removed() {
    let deployed = Deployed::example(&[]).await;
    secret::tag(&deployed, "other").await.unwrap();
    user::tag(&deployed, "other").await.unwrap();
    role::tag(&deployed, "other").await.unwrap();
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);

    deployed.sandbox.config(&[("tags:\n  team: platform\n", "")]);
    let planned = deployed.run(&["plan", "--detailed-exitcode"]).expect(2).stdout;
    assert!(planned.contains("12 to change") && planned.contains("iam:UntagUser"), "{planned}");
    assert!(!planned.contains("tags.other"), "{planned}");
    deployed.run(&["apply", "--auto-approve"]).expect(0);

    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    let tags = deployed.aws.iam.list_user_tags().user_name(USER).send().await.unwrap().tags;
    let keys: Vec<_> = tags.iter().map(|tag| tag.key.as_str()).collect();
    assert!(keys.contains(&"other") && !keys.contains(&"team"), "{keys:?}");
    // The file names it no more and the record neither: now it is somebody else's.
    user::tag(&deployed, "team").await.unwrap();
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
}

/// To IAM, both are one tag.
#[tokio::test]
async fn a_tag_whose_key_gets_other_letters_is_changed_by_one_apply() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    deployed.sandbox.config(&[ROTATE_LATER, ("team: platform", "Team: platform")]);
    deployed.run(&["apply", "--auto-approve"]).expect(0);
    let tags = deployed.aws.iam.list_user_tags().user_name(USER).send().await.unwrap().tags;
    let keys: Vec<_> = tags.iter().map(|tag| tag.key.as_str()).collect();
    assert!(keys.contains(&"Team") && !keys.contains(&"team"), "{keys:?}");
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
}

#[tokio::test]
async fn drift_tells_what_somebody_else_changed_since_the_last_apply_and_plan_tells_who_changed_what() {
    let deployed = Deployed::example(&[ROTATE_LATER]).await;
    let before = deployed.mark();
    let drift = |more: &[&str], code| {
        let ran = deployed.run(&[&["drift"], more].concat()).expect(code);
        ran.stdout + &ran.stderr
    };
    assert!(drift(&[], 0).contains("No drift. AWS is as it was applied."));
    log_group::another_retention(&deployed).await.unwrap();
    let by_somebody = "~ log group /aws/lambda/mail-prod-rotation  (somebody else's change since the last apply)";
    let found = drift(&[], 2);
    assert!(found.contains(by_somebody) && found.contains("retention_in_days  30 → 1"), "{found}");
    assert!(found.contains("Drift: 1 resource is not as it was applied."), "{found}");
    for known in ["log_group", "log_group.retention_in_days"] {
        assert!(drift(&["--ignore", known], 0).contains("AWS is as it was applied, apart from what is ignored."));
    }
    let unmatched = drift(&["--ignore", "log_group.nosuch"], 2);
    assert!(unmatched.contains("--ignore log_group.nosuch matches no difference"), "{unmatched}");
    assert!(drift(&["--ignore", "retention"], 1).contains("names no kind of resource"));

    deployed.sandbox.config(&[ROTATE_LATER, ("memory: 128", "memory: 256")]);
    let planned = deployed.run(&["plan"]).expect(0).stdout;
    assert!(
        planned.contains(by_somebody) && planned.contains("~ function mail-prod-rotation  (by the file)"),
        "{planned}"
    );
    drift(&[], 2);
    let unclear = drift(&["--ignore", "log_group"], 1);
    assert!(
        unclear.contains("Unclear: the file declares something else than was applied of function mail-prod-rotation"),
        "{unclear}"
    );
    let json = deployed.run(&["drift", "--json"]).expect(2).json_of("drift");
    assert_eq!(json[0]["resources"][0]["changed_by"], "somebody_else", "{json:?}");
    assert_eq!(json[0]["unclear"][0]["kind"], "function", "{json:?}");

    deployed.sandbox.config(&[ROTATE_LATER]);
    deployed.sandbox.faults(&[Fault::refuse("iam:GetRole", "AccessDenied").times(99)]);
    assert!(drift(&[], 15).contains("failed to read role"));
    deployed.sandbox.end_faults();
    assert!(deployed.sandbox.mutations(before).iter().all(|call| call == "logs:PutRetentionPolicy"), "the test's own");
    deployed.aws.ssm.delete_parameter().name(RECORD).send().await.unwrap();
    assert!(drift(&[], 1).contains("of deployment mail-prod is gone"));
}

impl Change {
    /// Makes the change. Then `plan` has to name the call, and `apply` has to leave no difference, and not to rotate.
    async fn is_put_right(&self, deployed: &Deployed) -> Result<(), String> {
        let credential = deployed.sandbox.secret("AWSCURRENT").await;
        (self.make)(deployed).await.map_err(|error| format!("could not be made: {error:?}"))?;
        let planned = ended(deployed.run(&["plan", "--verbose", "--detailed-exitcode"]), 2, "the plan has no changes")?;
        if !planned.stdout.contains(self.planned) {
            return Err(format!("the plan lacks {}:\n{}", self.planned, planned.stdout));
        }
        ended(deployed.run(&["apply", "--auto-approve"]), 0, "apply failed")?;
        ended(deployed.run(&["plan", "--detailed-exitcode"]), 0, "apply left a difference")?;
        if deployed.sandbox.secret("AWSCURRENT").await != credential {
            return Err("apply rotated".to_owned());
        }
        Ok(())
    }
}

fn ended(ran: Ran, code: i32, otherwise: &str) -> Result<Ran, String> {
    if ran.code == code {
        return Ok(ran);
    }
    Err(format!("{otherwise} (exit code {}):\n{}{}", ran.code, ran.stdout, ran.stderr))
}
