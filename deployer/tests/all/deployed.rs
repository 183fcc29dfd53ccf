//! A deployment to try things on: the deployer's commands, rotations as Secrets Manager runs them, what an operator may do by
//! hand meanwhile, and what must hold whatever happens.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use aws_sdk_iam::types::StatusType;
use aws_sdk_lambda::primitives::Blob;
use contract::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    sandbox::{FUNCTION, ROLE, Ran, SECRET, Sandbox, USER, root},
    shown::assert_shown,
};

/// The account's instances; the example's configuration has the first.
pub(crate) const INSTANCES: [&str; 3] = ["i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2"];

pub(crate) const CREATE: &str = "createSecret";
pub(crate) const SET: &str = "setSecret";
pub(crate) const TEST: &str = "testSecret";

/// Long enough for the script on a machine that is busy.
const SHORT: [(&str, &str); 2] = [("keep_previous: 24h", "keep_previous: 1s"), ("timeout: 2m\n", "timeout: 40s\n")];
/// For a script that hangs; less counts as none.
pub(crate) const SHORTEST_TIMEOUT: (&str, &str) = ("timeout: 40s\n", "timeout: 5s\n");
const GRACE: Duration = Duration::from_secs(1);

/// The whole window of a rotation whose every login has to wait is shorter.
const PATIENCE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(100);

/// The example, deployed, in a sandbox where a rotation that fails is not tried again by itself.
pub(crate) struct Deployed {
    pub(crate) sandbox: Sandbox,
    config: String,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
}

/// A rotation with all its attempts, as Secrets Manager ran it.
#[derive(Debug, Deserialize)]
pub(crate) struct Rotation {
    pub(crate) token: String,
    pub(crate) status: String,
    pub(crate) history: Vec<Entry>,
}

/// A step that was taken.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) token: String,
    pub(crate) step: String,
    pub(crate) error_type: Option<String>,
    pub(crate) error: Option<String>,
}

/// The function's error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Failure {
    /// The command in the error's text that contains this.
    #[track_caller]
    pub(crate) fn command(&self, part: &str) -> String {
        let mut quoted = self.text.split('`').skip(1).step_by(2);
        quoted.find(|command| command.contains(part)).unwrap_or_else(|| panic!("no `{part}` in {self:?}")).to_owned()
    }

    /// Fails the test unless the text has all of these.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in {self:?}");
        }
    }
}

impl Rotation {
    /// The error with which it ended in this step; the rotation stays open.
    #[track_caller]
    pub(crate) fn failed(&self, step: &str, kind: &str) -> Failure {
        assert_eq!(self.status, "failed", "{self:#?}");
        self.ended_with(step, kind)
    }

    /// The error with which it ended in this step.
    #[track_caller]
    pub(crate) fn ended_with(&self, step: &str, kind: &str) -> Failure {
        let last = self.history.last().unwrap();
        assert_eq!((&*last.step, last.error_type.as_deref()), (step, Some(kind)), "{self:#?}");
        Failure { kind: kind.to_owned(), text: last.error.clone().unwrap() }
    }

    /// What became of each step, in order.
    pub(crate) fn errors(&self) -> Vec<(&str, Option<&str>)> {
        self.history.iter().map(|entry| (&*entry.step, entry.error_type.as_deref())).collect()
    }
}

impl Deployed {
    /// The example, deployed and rotated once, with a grace that lasts a second.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with these texts of the example replaced.
    pub(crate) async fn with(replacements: &[(&str, &str)]) -> Self {
        let deployed = Self::example(&[&SHORT, replacements].concat()).await;
        // Where rotation is enabled without rotating, its test may still run.
        deployed.ended().await;
        deployed.mail_works().await;
        deployed
    }

    /// The same without a rotation: the secret holds its placeholder, and the user has no key.
    pub(crate) async fn not_yet_rotated() -> Self {
        let deployed = Self::with(&[("rotate_on_create: true", "rotate_on_create: false")]).await;
        assert_eq!(deployed.keys().await, []);
        deployed
    }

    /// The example with these texts replaced and the grace that it has, deployed and rotated once.
    pub(crate) async fn example(replacements: &[(&str, &str)]) -> Self {
        let deployed = Self::before_apply(replacements).await;
        deployed.run(&["apply", "--auto-approve"]).expect(0);
        deployed
    }

    /// The same, not yet deployed.
    pub(crate) async fn before_apply(replacements: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::with(&[("SANDBOX_ROTATION_ATTEMPTS", "1"), ("SANDBOX_ROTATION_RETRY_SECONDS", "0.1")]);
        let config = sandbox.config(replacements);
        let sdk = sandbox.sdk().await;
        Self {
            iam: aws_sdk_iam::Client::new(&sdk),
            secrets: aws_sdk_secretsmanager::Client::new(&sdk),
            lambda: aws_sdk_lambda::Client::new(&sdk),
            sandbox,
            config,
        }
    }

    /// Runs the deployer on the configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.deployer(&[arguments, &[&self.config]].concat())
    }

    /// The same on a terminal, at which somebody types this. Answers the exit code and the screen.
    pub(crate) fn run_on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        self.sandbox.deployer_on_a_terminal(&[arguments, &[&self.config]].concat(), typed)
    }

    /// As `run`, and tells which calls were made that change something: the deployer's and, through it, the function's.
    pub(crate) fn run_watched(&self, arguments: &[&str]) -> (Ran, Vec<String>) {
        let before = self.mark();
        let ran = self.run(arguments);
        let mut mutations = Sandbox::mutations(&self.sandbox.calls()[before..]);
        // To ask for a report changes nothing.
        mutations.retain(|call| call != "lambda:InvokeFunction");
        (ran, mutations)
    }

    /// Changes the configuration of a deployment whose rotation may be open.
    pub(crate) fn apply(&self, replacements: &[(&str, &str)]) {
        self.sandbox.config(&[&SHORT, replacements].concat());
        // It ends with an error while the rotation that it finds has failed, after it has changed what there is to change.
        self.run(&["apply", "--auto-approve", "--during-rotation"]);
        self.run(&["plan", "--detailed-exitcode"]).expect(0);
    }
}

/// Rotations.
impl Deployed {
    /// RotateSecret, once the grace of the rotation before is over. Answers the version.
    pub(crate) async fn begin(&self) -> String {
        // Dates count from whole seconds.
        tokio::time::sleep(GRACE + Duration::from_millis(200)).await;
        self.secrets.rotate_secret().secret_id(SECRET).send().await.unwrap().version_id.unwrap()
    }

    /// A whole rotation.
    pub(crate) async fn rotate(&self) -> Rotation {
        self.begin().await;
        self.ended().await
    }

    /// Has Secrets Manager rotate with this fault in the function's way, and waits until that has failed.
    pub(crate) async fn rotation_fails_at(&self, action: &str) {
        let (code, message) = ("InvalidRequestException", "refused by the test");
        self.sandbox.faults(&json!([
            {"kind": "fail", "action": action, "caller": FUNCTION, "times": 9, "status": 400, "code": code, "message": message},
        ]));
        let rotation = self.rotate().await;
        assert_eq!(rotation.status, "failed", "{rotation:#?}");
        self.sandbox.faults(&json!([]));
    }

    /// A rotation that told the host, and ended before AWSCURRENT moved.
    pub(crate) async fn rotation_fails_after_the_host_was_told(&self) {
        self.rotation_fails_at("secretsmanager:UpdateSecretVersionStage").await;
    }

    /// Lets Secrets Manager try the open rotation again, as in its next window.
    pub(crate) async fn try_again(&self) -> Rotation {
        self.sandbox.control("retry", &json!({}));
        self.ended().await
    }

    /// A whole rotation, which has to complete, with mail working afterwards.
    pub(crate) async fn completes(&self) -> Rotation {
        let rotation = self.rotate().await;
        self.has_completed(rotation).await
    }

    /// The open rotation, tried again, has to complete.
    pub(crate) async fn completes_when_tried_again(&self) -> Rotation {
        let rotation = self.try_again().await;
        self.has_completed(rotation).await
    }

    /// What must hold after a rotation: it completed, every host was told, and mail works.
    pub(crate) async fn has_completed(&self, rotation: Rotation) -> Rotation {
        assert_eq!(rotation.status, "complete", "{rotation:#?}");
        assert_eq!(self.labelled("AWSCURRENT").await.as_ref(), Some(&rotation.token));
        let key = self.key_labelled("AWSCURRENT").await;
        for instance in self.instances().await {
            assert_eq!(self.key_on(&instance), Some(key.clone()), "{instance} was not told");
        }
        self.mail_works().await;
        rotation
    }

    /// Waits for the end of the last rotation.
    pub(crate) async fn ended(&self) -> Rotation {
        let is_running = |rotation: &Rotation| rotation.status == "running" || rotation.status == "held";
        self.wait_for("the rotation's end", || Some(self.last_rotation()).filter(|rotation| !is_running(rotation)))
            .await
    }

    /// Begins a rotation that stops before this step. Answers the version.
    pub(crate) async fn held_before(&self, step: &str) -> String {
        self.sandbox.control("rotation", &json!({"hold_before": step}));
        let token = self.begin().await;
        self.wait_for("the held rotation", || {
            let rotation = self.last_rotation();
            assert!(["running", "held"].contains(&&*rotation.status), "{rotation:#?}");
            (rotation.status == "held").then_some(())
        })
        .await;
        token
    }

    /// Lets held rotations go on.
    pub(crate) fn release(&self) {
        self.sandbox.control("rotation", &json!({"hold_before": ""}));
    }

    pub(crate) fn last_rotation(&self) -> Rotation {
        let state = self.sandbox.state();
        serde_json::from_value(state["rotations"].as_array().unwrap().last().unwrap().clone()).unwrap()
    }

    /// Waits until so many calls of an action are held by a fault.
    pub(crate) async fn held_calls(&self, action: &str, number: usize) {
        let held = || {
            let state = self.sandbox.state();
            let calls = state["held_calls"].as_array().unwrap().iter().filter(|call| **call == action).count();
            (calls == number).then_some(())
        };
        self.wait_for("the held calls", held).await;
    }

    async fn wait_for<T>(&self, what: &str, condition: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// One step, invoked beside Secrets Manager.
    pub(crate) async fn step(&self, step: &str, token: &str) -> Result<(), Failure> {
        let event = json!({"Step": step, "SecretId": self.arn().await, "ClientRequestToken": token});
        self.invoke(&event).await.map(drop)
    }

    /// The function's answer.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        let request = self.lambda.invoke().function_name(FUNCTION).payload(Blob::new(event.to_string()));
        let answer = request.send().await.unwrap();
        let payload: Value = serde_json::from_slice(answer.payload().map_or(b"null", |blob| blob.as_ref())).unwrap();
        if answer.function_error.is_none() {
            return Ok(payload);
        }
        let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
        Err(Failure { kind: text("errorType"), text: text("errorMessage") })
    }
}

/// What an operator may do.
impl Deployed {
    /// As if so much time had passed.
    pub(crate) fn let_pass(&self, seconds: u64) {
        self.sandbox.control("time", &json!({"pass": seconds}));
    }

    /// Every instance, or one of them, is there for Systems Manager, or is not.
    pub(crate) fn set_online(&self, instance: Option<&str>, online: bool) {
        let change = instance.map_or_else(|| json!({"online": online}), |id| json!({"id": id, "online": online}));
        self.sandbox.control("instance", &change);
    }

    pub(crate) async fn clear_pending(&self) {
        self.move_label("AWSPENDING", None).await;
    }

    /// Moves AWSCURRENT back to where it was before the last rotation. AWSPENDING stays where that left it.
    pub(crate) async fn roll_back(&self) {
        let previous = self.labelled("AWSPREVIOUS").await.unwrap();
        self.move_label("AWSCURRENT", Some(&previous)).await;
    }

    /// The rotation before left AWSPENDING on its version, and with another version current that looks like an open one.
    pub(crate) async fn clear_what_looks_open(&self) {
        let (pending, current) = (self.labelled("AWSPENDING").await, self.labelled("AWSCURRENT").await);
        if pending.is_some() && pending != current {
            self.clear_pending().await;
        }
    }

    /// Moves a label to a version, or takes it away.
    pub(crate) async fn move_label(&self, label: &str, to: Option<&str>) {
        let from = self.labelled(label).await;
        let request = self.secrets.update_secret_version_stage().secret_id(SECRET).version_stage(label);
        request.set_move_to_version_id(to.map(str::to_owned)).set_remove_from_version_id(from).send().await.unwrap();
    }

    /// Stores a value as AWSCURRENT. Answers its version.
    pub(crate) async fn put(&self, value: &str) -> String {
        let request = self.secrets.put_secret_value().secret_id(SECRET).secret_string(value);
        let version = request.send().await.unwrap().version_id.unwrap();
        self.clear_what_looks_open().await;
        version
    }

    pub(crate) async fn set_active(&self, key: &str, active: bool) {
        let status = if active { StatusType::Active } else { StatusType::Inactive };
        self.iam.update_access_key().user_name(USER).access_key_id(key).status(status).send().await.unwrap();
    }

    pub(crate) async fn delete_key(&self, key: &str) {
        self.iam.delete_access_key().user_name(USER).access_key_id(key).send().await.unwrap();
    }

    /// Somebody else's key of the same user, made by hand and in use for something else.
    pub(crate) async fn somebodys_key_in_use(&self) -> String {
        // After the grace of the rotation before, and in another second than any other key: what is shown depends on both.
        tokio::time::sleep(GRACE + Duration::from_millis(1200)).await;
        let key = self.sandbox.make_key_by_hand().await;
        let sdk = self.sandbox.sdk_with(&key.access_key_id, &key.secret_access_key).await;
        aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.unwrap();
        key.access_key_id
    }

    /// A credential of the same user that somebody makes by hand.
    pub(crate) async fn credential_by_hand(&self) -> SecretValue {
        let key = self.sandbox.make_key_by_hand().await;
        let mut value = SecretValue::placeholder(USER);
        value.smtp_password = self.sandbox.smtp_password(&key.secret_access_key);
        value.access_key_id = key.access_key_id;
        value
    }

    /// From now on a test mail is refused for good, so many times.
    pub(crate) fn refuse_mails(&self, times: u32) {
        self.answer(&json!([{"verb": "DATA", "code": 552, "text": "too much", "times": times}]));
    }

    /// From now on SES's endpoint answers so in place of its own answers.
    pub(crate) fn answer(&self, answers: &Value) {
        self.sandbox.control("smtp", &json!({"answers": answers}));
    }

    /// Replaces a host's script. Its first line is the shell's.
    pub(crate) fn script(&self, instance: &str, text: &str) {
        fs::write(self.folder(instance).join("usr/local/bin/rotate_smtp.sh"), text).unwrap();
    }
}

/// The script that hosts have.
pub(crate) fn example_script() -> String {
    fs::read_to_string(root().join("examples/rotate_smtp_file.sh")).unwrap()
}

/// What is there.
impl Deployed {
    /// Compares what `report` answers and what `recover` prints with their snapshot. Neither changes anything.
    pub(crate) async fn shows(&self, state: &str) {
        let mut report = self.invoke(&json!({"event": "report", "logins": true})).await.unwrap();
        // They come in the order of their ids, which are random.
        for (list, field) in [("versions", "labels"), ("keys", "created")] {
            report[list].as_array_mut().unwrap().sort_by_key(|it| it[field].to_string());
        }
        let (ran, mutations) = self.run_watched(&["recover"]);
        assert_eq!(mutations, Vec::<String>::new());
        let Ran { code, stdout, stderr } = ran;
        let report = serde_json::to_string_pretty(&report).unwrap();
        let text = format!("{stdout}\n{stderr}exit code {code}\n\nThe function's report:\n{report}\n");
        assert_shown!(format!("state_{state}"), &self.sandbox, &text);
    }

    /// What every host holds logs in to SES, AWSCURRENT's key is Active and logs in, and the user has two keys at most.
    pub(crate) async fn mail_works(&self) {
        for instance in INSTANCES {
            if let Some(credential) = self.credential_on(instance) {
                assert!(self.sandbox.logs_in(&credential), "{instance} cannot send with {}", credential.access_key_id);
            }
        }
        let keys = self.keys().await;
        assert!(keys.len() <= 2, "{keys:?}");
        let current = self.sandbox.secret("AWSCURRENT").await;
        if !current.is_placeholder() {
            assert!(keys.contains(&(current.access_key_id.clone(), true)), "{current:?} {keys:?}");
            assert!(self.sandbox.logs_in(&current));
        }
    }

    /// Fails the test unless the host has AWSCURRENT's credential, it works, and the labels are together.
    pub(crate) async fn expect_health(&self) {
        self.mail_works().await;
        assert_eq!(self.key_on(INSTANCES[0]), Some(self.key_labelled("AWSCURRENT").await), "the host has another one");
        let version = self.labelled("AWSCURRENT").await;
        assert_eq!(self.labelled("DEPLOYING").await, version);
        assert!([None, version].contains(&self.labelled("AWSPENDING").await), "a rotation is open");
    }

    /// The secret's ARN.
    pub(crate) async fn arn(&self) -> String {
        self.secrets.describe_secret().secret_id(SECRET).send().await.unwrap().arn.unwrap()
    }

    /// The instances that the function tells.
    async fn instances(&self) -> Vec<String> {
        let answer = self.lambda.get_function_configuration().function_name(FUNCTION).send().await.unwrap();
        let variables = answer.environment.unwrap().variables.unwrap();
        variables.get("INSTANCE_IDS").map_or(vec![], |ids| ids.split(',').map(str::to_owned).collect())
    }

    /// The user's keys, each with whether it is Active.
    pub(crate) async fn keys(&self) -> Vec<(String, bool)> {
        let keys = self.iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
        keys.into_iter().map(|key| (key.access_key_id.unwrap(), key.status == Some(StatusType::Active))).collect()
    }

    pub(crate) async fn has_key(&self, key: &str) -> bool {
        self.keys().await.contains(&(key.to_owned(), true))
    }

    /// The version that carries a label.
    pub(crate) async fn labelled(&self, label: &str) -> Option<String> {
        let secret = self.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
        let versions = secret.version_ids_to_stages.unwrap();
        versions.into_iter().find(|(_, labels)| labels.iter().any(|it| it == label)).map(|(version, _)| version)
    }

    pub(crate) async fn key_labelled(&self, label: &str) -> String {
        self.sandbox.secret(label).await.access_key_id
    }

    /// A host's files.
    pub(crate) fn folder(&self, instance: &str) -> PathBuf {
        let name = if instance == INSTANCES[0] { "host".to_owned() } else { format!("host-{instance}") };
        self.sandbox.path(&name)
    }

    /// What a host's script installed.
    pub(crate) fn credential_on(&self, instance: &str) -> Option<SecretValue> {
        let text = fs::read_to_string(self.folder(instance).join("etc/mail/smtp-credentials")).ok()?;
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned();
        let mut value = SecretValue::placeholder(USER);
        (value.access_key_id, value.smtp_password) = (field("AccessKeyId"), field("SMTPPassword"));
        Some(value)
    }

    pub(crate) fn key_on(&self, instance: &str) -> Option<String> {
        self.credential_on(instance).map(|credential| credential.access_key_id)
    }

    /// Where the call log ends now.
    pub(crate) fn mark(&self) -> usize {
        self.sandbox.calls().len()
    }

    /// How often the function made a call since then, with success.
    pub(crate) fn done(&self, since: usize, action: &str) -> usize {
        let is_it = |call: &&Value| {
            let name = format!("{}:{}", call["service"].as_str().unwrap(), call["action"].as_str().unwrap());
            name == action && call["error"].is_null() && call["caller"].as_str().unwrap().contains(ROLE)
        };
        self.sandbox.calls()[since..].iter().filter(is_it).count()
    }

    /// Fails the test if the function made, changed or deleted an access key since then.
    #[track_caller]
    pub(crate) fn touched_no_key(&self, since: usize) {
        for action in ["iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"] {
            assert_eq!(self.done(since, action), 0, "{action}");
        }
    }

    /// Fails the test if the function ran a script since then.
    #[track_caller]
    pub(crate) fn told_no_host(&self, since: usize) {
        assert_eq!(self.done(since, "ssm:SendCommand"), 0);
    }
}
