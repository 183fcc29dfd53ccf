//! The function's role: it allows a rotation, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_lambda::{primitives::Blob, types::Environment};
use contract::{Consumer, Instances, RUN_SHELL_SCRIPT};
use serde_json::{Value, json};

use crate::support::{
    aws::Aws,
    controls::{Settings, Time},
    example::{FUNCTION, LOG_GROUP, ROLE, ROLE_POLICY, SECRET, USER},
    rotation::{CREATE, StepEvent},
    sandbox::Sandbox,
};

/// The grace is over before the third rotation, which frees the slot of the first key. So every action is used.
const SHORT_GRACE: [(&str, &str); 2] =
    [("keep_previous: 24h", "keep_previous: 1s"), ("keep_inactive: 72h", "keep_inactive: 0s")];
const GRACE: Duration = Duration::from_secs(1);

struct Role<'a> {
    sandbox: &'a Sandbox,
    aws: Aws,
    config: String,
}

impl<'a> Role<'a> {
    async fn deploy(sandbox: &'a Sandbox) -> Self {
        let config = sandbox.config(&SHORT_GRACE);
        sandbox.deployer(&["apply", "--auto-approve", &config]).expect(0);
        Self { sandbox, aws: sandbox.aws().await, config }
    }

    async fn policy(&self) -> Value {
        let answer = self.aws.iam.get_role_policy().role_name(ROLE).policy_name(ROLE_POLICY).send().await.unwrap();
        let text = percent_encoding::percent_decode_str(&answer.policy_document).decode_utf8().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn put(&self, policy: &Value) {
        let request = self.aws.iam.put_role_policy().role_name(ROLE).policy_name(ROLE_POLICY);
        request.policy_document(policy.to_string()).send().await.unwrap();
    }

    /// Rotates once the grace of the rotation before is over.
    async fn rotates(&self) -> Result<(), String> {
        // Dates count from whole seconds.
        tokio::time::sleep(GRACE + Duration::from_millis(200)).await;
        let ran = self.sandbox.deployer(&["rotate", &self.config]);
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    }

    /// Rotates in a new execution environment, which begins a log stream of its own.
    async fn log_lines_of_a_rotation(&self) -> usize {
        let description = uuid::Uuid::new_v4().to_string();
        let request = self.aws.lambda.update_function_configuration().function_name(FUNCTION).description(description);
        request.send().await.unwrap();
        let before = self.log_lines().await;
        self.rotates().await.unwrap();
        self.log_lines().await - before
    }

    async fn log_lines(&self) -> usize {
        let pages = self.aws.logs.filter_log_events().log_group_name(LOG_GROUP).into_paginator().send();
        let pages: Vec<_> = pages.collect().await;
        pages.into_iter().map(|page| page.unwrap().events().len()).sum()
    }

    /// Edits the secret by hand. Then only an old version without labels names the previous key.
    async fn edit_by_hand(&self) {
        let mut value = self.sandbox.secret("AWSCURRENT").await;
        value.other.insert("note".into(), &"edited".into());
        let request = self.aws.secrets.put_secret_value().secret_id(SECRET).secret_string(value.to_json());
        request.send().await.unwrap();
        self.clear_pending().await;
    }

    /// As an operator would after a failed rotation.
    async fn clear_pending(&self) {
        let secret = self.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
        let versions = secret.version_ids_to_stages.unwrap();
        let pending = versions.iter().find(|(_, labels)| labels.contains(&"AWSPENDING".to_owned()));
        if let Some((version, _)) = pending {
            let request = self.aws.secrets.update_secret_version_stage().secret_id(SECRET).version_stage("AWSPENDING");
            request.remove_from_version_id(version).send().await.unwrap();
        }
    }
}

fn actions(policy: &Value) -> Vec<(usize, String)> {
    let statements = policy["Statement"].as_array().unwrap().iter().enumerate();
    let of = |statement: &Value| statement["Action"].as_array().unwrap().clone();
    statements
        .flat_map(|(index, statement)| of(statement).into_iter().map(move |a| (index, a.as_str().unwrap().to_owned())))
        .collect()
}

fn without(policy: &Value, index: usize, action: &str) -> Value {
    let mut policy = policy.clone();
    let statement = &mut policy["Statement"][index];
    statement["Action"].as_array_mut().unwrap().retain(|other| other != action);
    if statement["Action"].as_array().unwrap().is_empty() {
        policy["Statement"].as_array_mut().unwrap().remove(index);
    }
    policy
}

#[tokio::test]
async fn a_rotation_needs_every_action_of_the_role() {
    let sandbox = Sandbox::with(&Settings { key_propagation_seconds: 0.0, ..Settings::one_attempt() });
    let role = Role::deploy(&sandbox).await;
    let policy = role.policy().await;
    role.rotates().await.expect("a second key");
    role.rotates().await.expect("the first key's slot is freed");

    for (index, action) in actions(&policy) {
        let lists_old_versions = action == "secretsmanager:ListSecretVersionIds";
        if lists_old_versions {
            role.edit_by_hand().await;
        }
        role.put(&without(&policy, index, &action)).await;
        if action.starts_with("logs:") {
            // Lambda writes the log as the role. Without the permission the rotation completes, and nothing is logged.
            let lines = role.log_lines_of_a_rotation().await;
            assert_eq!(lines, 0, "the function logs without {action}");
            role.put(&policy).await;
            assert_ne!(role.log_lines_of_a_rotation().await, 0, "with {action} again");
            continue;
        }
        if action == "sns:Publish" {
            // A notification that fails must not stop a rotation.
            role.rotates().await.unwrap_or_else(|error| panic!("without {action}: {error}"));
            role.put(&policy).await;
            continue;
        }
        if action == "iam:ListAttachedUserPolicies" {
            // Without it a rotation completes, and everybody is told what is not known.
            role.rotates().await.unwrap_or_else(|error| panic!("without {action}: {error}"));
            let status = sandbox.deployer(&["status", &role.config]).expect(0).in_one_line();
            assert!(status.contains("not known whether AWS has put") && status.contains(&action), "{status}");
            role.put(&policy).await;
            continue;
        }
        let error = role.rotates().await.expect_err(&format!("a rotation succeeds without {action}"));
        // Secrets Manager does not say which action on the KMS key is denied.
        let named = if action.starts_with("kms:") { "Access to KMS is not allowed" } else { &action };
        assert!(error.contains(named), "without {action}, the error does not name it:\n{error}");
        role.put(&policy).await;
        role.clear_pending().await;
        if lists_old_versions {
            // Until then a rotation that still runs may have made the key.
            sandbox.control(&Time { pass: 60 * 60 });
        }
        role.rotates().await.unwrap_or_else(|error| panic!("with {action} again: {error}"));
    }
}

#[tokio::test]
async fn the_role_is_denied_on_anything_else() {
    let sandbox = Sandbox::with(&Settings::one_attempt());
    let role = Role::deploy(&sandbox).await;
    role.aws.iam.create_user().user_name("somebody").send().await.unwrap();
    role.aws.secrets.create_secret().name("other").secret_string("{}").send().await.unwrap();
    let environment = role.aws.lambda.get_function_configuration().function_name(FUNCTION).send().await.unwrap();
    let ours = environment.environment.unwrap().variables.unwrap();

    let told = |change: &dyn Fn(&mut Instances)| {
        let Consumer::Instances(mut instances) = serde_json::from_str(&ours["CONSUMER"]).unwrap();
        change(&mut instances);
        json!(Consumer::Instances(instances)).to_string()
    };
    let foreign = [
        ("another user", "IAM_USER_ARN", ours["IAM_USER_ARN"].replace(USER, "somebody"), "iam:GetUser"),
        (
            "another instance",
            "CONSUMER",
            told(&|it| it.ids = vec!["i-0123456789abcdef1".to_owned()]),
            "ssm:SendCommand",
        ),
        ("another document", "CONSUMER", told(&|it| it.document = RUN_SHELL_SCRIPT.to_owned()), "ssm:DescribeDocument"),
    ];
    let mut denied = BTreeSet::new();
    for (what, variable, value, action) in foreign {
        let mut variables = ours.clone();
        variables.insert(variable.to_owned(), value);
        let changed = Environment::builder().set_variables(Some(variables)).build();
        role.aws
            .lambda
            .update_function_configuration()
            .function_name(FUNCTION)
            .environment(changed)
            .send()
            .await
            .unwrap();
        let error = role.rotates().await.expect_err(what);
        assert!(error.contains(action) && error.contains("AccessDenied"), "{what}: {error}");
        denied.insert(what);
        role.clear_pending().await;
    }
    assert_eq!(denied.len(), 3);

    // Secrets Manager itself would refuse this one, so the function is asked directly.
    let prefix = ours["SECRET_ARN_PREFIX"].replace(SECRET, "other");
    let mut variables = ours.clone();
    variables.insert("SECRET_ARN_PREFIX".to_owned(), prefix);
    let changed = Environment::builder().set_variables(Some(variables)).build();
    role.aws.lambda.update_function_configuration().function_name(FUNCTION).environment(changed).send().await.unwrap();
    let other = role.aws.secrets.describe_secret().secret_id("other").send().await.unwrap();
    let event = StepEvent {
        step: CREATE,
        secret_id: other.arn().unwrap(),
        client_request_token: "00000000-0000-4000-8000-000000000000",
        rotation_token: None,
    };
    let payload = Blob::new(serde_json::to_vec(&event).unwrap());
    let answer = role.aws.lambda.invoke().function_name(FUNCTION).payload(payload).send().await.unwrap();
    let text = String::from_utf8(answer.payload.unwrap().into_inner()).unwrap();
    assert!(text.contains("secretsmanager:DescribeSecret") && text.contains("AccessDenied"), "{text}");
}
