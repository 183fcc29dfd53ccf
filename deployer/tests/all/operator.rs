//! A deployment, and what an operator does to it by hand.

use std::time::Duration;

use aws_sdk_iam::types::StatusType;
use serde_json::{Value, json};

use crate::sandbox::{FUNCTION, Ran, SECRET, Sandbox, USER};

/// A deployment with one completed rotation, and an operator's clients.
pub(crate) struct Operator {
    pub(crate) sandbox: Sandbox,
    pub(crate) config: String,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
}

impl Operator {
    /// Deploys the example with these texts replaced. A rotation that fails is not tried again by itself.
    pub(crate) async fn deploy(replacements: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::with(&[("SANDBOX_ROTATION_ATTEMPTS", "1")]);
        let config = sandbox.config(replacements);
        let operator = Self::of(sandbox, config).await;
        operator.run(&["apply", "--auto-approve"]).expect(0);
        operator
    }

    pub(crate) async fn of(sandbox: Sandbox, config: String) -> Self {
        let sdk = sandbox.sdk().await;
        let (iam, secrets) = (aws_sdk_iam::Client::new(&sdk), aws_sdk_secretsmanager::Client::new(&sdk));
        Self { sandbox, config, iam, secrets }
    }

    /// Runs the deployer on the configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.deployer(&[arguments, &[&self.config]].concat())
    }

    /// As `run`, and tells which calls were made that change something: the deployer's and, through it, the function's.
    pub(crate) fn run_watched(&self, arguments: &[&str]) -> (Ran, Vec<String>) {
        let before = self.sandbox.calls().len();
        let ran = self.run(arguments);
        let mut mutations = Sandbox::mutations(&self.sandbox.calls()[before..]);
        // To ask for a report changes nothing.
        mutations.retain(|call| call != "lambda:InvokeFunction");
        (ran, mutations)
    }

    /// Has Secrets Manager rotate with this fault in the function's way, and waits until that has failed.
    pub(crate) async fn rotation_fails_at(&self, action: &str) {
        let (code, message) = ("InvalidRequestException", "refused by the test");
        self.sandbox.faults(&json!([
            {"kind": "fail", "action": action, "caller": FUNCTION, "times": 9, "status": 400, "code": code, "message": message},
        ]));
        self.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap();
        let status = || self.sandbox.state()["rotations"].as_array().unwrap().last().unwrap()["status"].clone();
        for _ in 0..600 {
            if status() != "running" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(status(), "failed");
        self.sandbox.faults(&json!([]));
    }

    /// A rotation that told the host, and ended before AWSCURRENT moved.
    pub(crate) async fn rotation_fails_after_the_host_was_told(&self) {
        self.rotation_fails_at("secretsmanager:UpdateSecretVersionStage").await;
    }

    /// As if so much time had passed.
    pub(crate) fn let_pass(&self, seconds: u64) {
        self.sandbox.control("time", &json!({"pass": seconds}));
    }

    pub(crate) fn put_host(&self, online: bool) {
        self.sandbox.control("instance", &json!({"online": online}));
    }

    /// The version with a label.
    pub(crate) async fn labelled(&self, label: &str) -> Option<String> {
        let secret = self.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
        let versions = secret.version_ids_to_stages.unwrap_or_default();
        versions.into_iter().find(|(_, labels)| labels.iter().any(|it| it == label)).map(|(version, _)| version)
    }

    /// The access key of the version with a label.
    pub(crate) async fn key(&self, label: &str) -> String {
        self.sandbox.secret(label).await.access_key_id
    }

    pub(crate) async fn move_label(&self, label: &str, from: Option<String>, to: Option<String>) {
        let request = self.secrets.update_secret_version_stage().secret_id(SECRET).version_stage(label);
        request.set_remove_from_version_id(from).set_move_to_version_id(to).send().await.unwrap();
    }

    pub(crate) async fn clear_pending(&self) {
        self.move_label("AWSPENDING", self.labelled("AWSPENDING").await, None).await;
    }

    /// Moves AWSCURRENT back to where it was before the last rotation.
    pub(crate) async fn roll_back(&self) {
        let (now, before) = (self.labelled("AWSCURRENT").await, self.labelled("AWSPREVIOUS").await);
        self.move_label("AWSCURRENT", now, before).await;
    }

    pub(crate) async fn deactivate(&self, key: &str) {
        let request = self.iam.update_access_key().user_name(USER).access_key_id(key).status(StatusType::Inactive);
        request.send().await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.iam.delete_access_key().user_name(USER).access_key_id(key).send().await.unwrap();
    }

    /// The user's keys, each with whether it is Active.
    pub(crate) async fn keys(&self) -> Vec<(String, bool)> {
        let listed = self.iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
        let is_active = |status| status == Some(StatusType::Active);
        listed.into_iter().map(|key| (key.access_key_id.unwrap(), is_active(key.status))).collect()
    }

    /// Fails the test unless the host has AWSCURRENT's credential, it works, and the labels are together.
    pub(crate) async fn expect_health(&self) {
        let current = self.sandbox.secret("AWSCURRENT").await;
        assert!(self.sandbox.logs_in(&current), "AWSCURRENT's credential does not log in");
        assert!(self.sandbox.host_file().contains(&current.access_key_id), "the host has another credential");
        let version = self.labelled("AWSCURRENT").await;
        assert_eq!(self.labelled("DEPLOYING").await, version);
        assert!([None, version].contains(&self.labelled("AWSPENDING").await), "a rotation is open");
    }
}

/// The lines of `--json` of one type.
pub(crate) fn lines_of<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}
