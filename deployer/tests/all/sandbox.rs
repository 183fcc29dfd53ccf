//! A sandbox for one test, and the search for secrets in everything that was printed or logged with it.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use lettre::{SmtpTransport, transport::smtp::authentication::Credentials};
use serde_json::Value;
use tempfile::TempDir;

/// What `config.example.yaml` declares.
pub(crate) const SECRET: &str = "mail-prod/smtp";
pub(crate) const USER: &str = "mail-prod-smtp";
pub(crate) const FUNCTION: &str = "mail-prod-rotation";
pub(crate) const ROLE: &str = "mail-prod-rotation-eu-west-1";
pub(crate) const INSTANCE_ROLE: &str = "mail-prod-instance";
pub(crate) const DOCUMENT: &str = "mail-prod-rotate-smtp";
pub(crate) const LOG_GROUP: &str = "/aws/lambda/mail-prod-rotation";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mail-prod-rotation";
pub(crate) const RULE: &str = "mail-prod-upkeep";
pub(crate) const EMAIL: &str = "ops@example.com";
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";

/// What to replace in the example for a user that is there already.
pub(crate) const EXISTING_USER: [(&str, &str); 2] = [
    ("  existing: false\n  # Access keys", "  existing: true\n  # Access keys"),
    ("  from: [\"*@example.com\"]\n", ""),
];

/// A running sandbox. It ends with this value, which also searches for leaks.
pub(crate) struct Sandbox {
    directory: TempDir,
    environment: HashMap<String, String>,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Everything that the deployer printed.
    printed: Mutex<String>,
    /// How often the test itself read the secret's value, as the same administrator as the deployer.
    own_reads: AtomicUsize,
    /// How many access keys the test itself made, as that administrator.
    own_keys: AtomicUsize,
    /// Whether the test breaks the rotation's promise on purpose.
    provokes_violations: AtomicBool,
}

/// How a run of the deployer ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines of `--json`.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Those of one type.
    pub(crate) fn json_of(&self, kind: &str) -> Vec<Value> {
        self.json().into_iter().filter(|line| line["type"] == kind).collect()
    }
}

impl Sandbox {
    /// A sandbox whose keys are accepted almost at once.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A sandbox with settings of its own.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(root().join("examples/sandbox/with-sandbox"));
        // Prints the environment that it was given, then stays until its input ends.
        command.args(["sh", "-c", "env && echo READY && cat"]).env("SANDBOX_DIR", directory.path());
        command.env("SANDBOX_KEY_PROPAGATION_SECONDS", "0.2").envs(settings.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut environment = HashMap::new();
        for line in lines.map(Result::unwrap) {
            if line == "READY" {
                return Self {
                    directory,
                    environment,
                    child,
                    stdin,
                    printed: Mutex::default(),
                    own_reads: AtomicUsize::default(),
                    own_keys: AtomicUsize::default(),
                    provokes_violations: AtomicBool::default(),
                };
            }
            if let Some((name, value)) = line.split_once('=') {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
        panic!("the sandbox did not start: {}", child.wait().unwrap());
    }

    /// Runs the deployer in the sandbox's folder.
    pub(crate) fn deployer(&self, arguments: &[&str]) -> Ran {
        self.deployer_with(arguments, &[])
    }

    /// Runs the deployer with other variables than the sandbox's; an empty one is taken away.
    pub(crate) fn deployer_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
        command.args(arguments).env_clear().envs(&self.environment).current_dir(self.directory.path());
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) };
        self.printed.lock().unwrap().extend([&*ran.stdout, &*ran.stderr]);
        ran
    }

    /// Runs the deployer on a terminal of its own, at which somebody types this. Answers its exit code and the screen.
    pub(crate) fn deployer_on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        // What is typed is there before it is asked for; the terminal keeps it.
        const PROGRAM: &str = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        let mut python = Command::new(&self.environment["SANDBOX_PYTHON"]);
        python.args(["-c", PROGRAM, env!("CARGO_BIN_EXE_deployer")]).args(arguments);
        python.env_clear().envs(&self.environment).env("TERM", "xterm").current_dir(self.directory.path());
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let screen = String::from_utf8(output.stdout).unwrap();
        self.printed.lock().unwrap().push_str(&screen);
        (output.status.code().unwrap_or(-1), screen)
    }

    /// Runs a command line as an operator would, who has the AWS CLI and may do everything.
    pub(crate) fn operator(&self, command: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env_clear().envs(&self.environment).current_dir(self.directory.path());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// An access key of the user that somebody makes by hand.
    pub(crate) async fn make_key_by_hand(&self) -> aws_sdk_iam::types::AccessKey {
        self.own_keys.fetch_add(1, Ordering::Relaxed);
        let client = aws_sdk_iam::Client::new(&self.sdk().await);
        client.create_access_key().user_name(USER).send().await.unwrap().access_key.unwrap()
    }

    /// The SMTP password of a secret access key, derived as AWS's own guide does it.
    pub(crate) fn smtp_password(&self, secret: &str) -> String {
        let mut python = Command::new(&self.environment["SANDBOX_PYTHON"]);
        python.args([
            "-c",
            "import sys; from sandbox.smtp import smtp_password; print(smtp_password(sys.stdin.read(), sys.argv[1]))",
            REGION,
        ]);
        python.current_dir(root().join("examples/sandbox")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes the user of [`EXISTING_USER`], as somebody else would.
    pub(crate) async fn make_user_by_hand(&self, path: &str) {
        let client = aws_sdk_iam::Client::new(&self.sdk().await);
        client.create_user().user_name(USER).path(path).send().await.unwrap();
        let policy =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}}"#;
        let put = client.put_user_policy().user_name(USER).policy_name("theirs").policy_document(policy);
        put.send().await.unwrap();
    }

    /// Writes `config.yaml`: the example, with these texts replaced. Everything is logged.
    pub(crate) fn config(&self, replacements: &[(&str, &str)]) -> String {
        let mut text = fs::read_to_string(root().join("config.example.yaml")).unwrap();
        for (from, to) in [&("log_level: info", "log_level: trace")].into_iter().chain(replacements) {
            assert!(text.contains(from), "the example does not contain {from:?}");
            text = text.replace(from, to);
        }
        self.file("config.yaml", &text);
        // The deployer runs in that folder, and names in what it says any other than this default.
        "config.yaml".to_owned()
    }

    /// Writes a file into the sandbox's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A file below SANDBOX_DIR.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Every AWS call so far, oldest first.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.path("calls.jsonl")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Calls of these that change something, by their actions' names.
    pub(crate) fn mutations(calls: &[Value]) -> Vec<String> {
        const READS: [&str; 5] = ["Get", "List", "Describe", "Filter", "Simulate"];
        let action =
            |call: &Value| format!("{}:{}", call["service"].as_str().unwrap(), call["action"].as_str().unwrap());
        let is_read = |call: &&Value| READS.iter().any(|read| call["action"].as_str().unwrap().starts_with(read));
        calls.iter().filter(|call| !is_read(call)).map(action).collect()
    }

    /// From now on, calls fail as these rules say (examples/sandbox/README.md, "Faults").
    pub(crate) fn faults(&self, rules: &Value) {
        self.control("faults", &serde_json::json!({"rules": rules}));
    }

    /// Changes how the sandbox behaves (examples/sandbox/README.md, "Settings").
    pub(crate) fn control(&self, name: &str, change: &Value) -> Value {
        self.try_control(name, change).unwrap()
    }

    /// The same, where the sandbox may refuse it.
    pub(crate) fn try_control(&self, name: &str, change: &Value) -> Result<Value, ureq::Error> {
        let url = format!("{}/_sandbox/{name}", self.environment["AWS_ENDPOINT_URL"]);
        ureq::post(url).send_json(change)?.body_mut().read_json()
    }

    /// What only tests may know.
    pub(crate) fn state(&self) -> Value {
        let url = format!("{}/_sandbox/state", self.environment["AWS_ENDPOINT_URL"]);
        ureq::get(url).call().unwrap().body_mut().read_json().unwrap()
    }

    /// What the sandbox's watcher found: every call after which a host's credential, or AWSCURRENT's, did not work.
    pub(crate) fn violations(&self) -> Vec<Value> {
        self.state()["violations"].as_array().unwrap().clone()
    }

    /// As `violations`, by a test that breaks the promise on purpose; every other one fails where it was broken.
    pub(crate) fn provoked_violations(&self) -> Vec<Value> {
        self.provokes_violations.store(true, Ordering::Relaxed);
        self.violations()
    }

    /// The SDK's configuration as the sandbox's administrator.
    pub(crate) async fn sdk(&self) -> SdkConfig {
        self.sdk_with(&self.environment["AWS_ACCESS_KEY_ID"], &self.environment["AWS_SECRET_ACCESS_KEY"]).await
    }

    /// The SDK's configuration with somebody's access key.
    pub(crate) async fn sdk_with(&self, key: &str, secret: &str) -> SdkConfig {
        let credentials = aws_credential_types::Credentials::new(key, secret, None, None, "sandbox");
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.environment["AWS_ENDPOINT_URL"])
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await
    }

    /// The secret's value under a label.
    pub(crate) async fn secret(&self, label: &str) -> contract::SecretValue {
        self.own_reads.fetch_add(1, Ordering::Relaxed);
        let client = aws_sdk_secretsmanager::Client::new(&self.sdk().await);
        let answer = client.get_secret_value().secret_id(SECRET).version_stage(label).send().await.unwrap();
        contract::SecretValue::parse(answer.secret_string().unwrap()).unwrap()
    }

    /// Whether SES's SMTP endpoint accepts the credential.
    pub(crate) fn logs_in(&self, value: &contract::SecretValue) -> bool {
        let endpoint: contract::SmtpEndpoint = self.environment["SANDBOX_SMTP_ENDPOINT"].parse().unwrap();
        let authority = fs::read(&self.environment["SANDBOX_CA_FILE"]).unwrap();
        let authority = lettre::transport::smtp::client::Certificate::from_pem(&authority).unwrap();
        let tls = lettre::transport::smtp::client::TlsParameters::builder(endpoint.host.clone())
            .add_root_certificate(authority)
            .build_rustls()
            .unwrap();
        SmtpTransport::builder_dangerous(&endpoint.host)
            .port(endpoint.port)
            .tls(lettre::transport::smtp::client::Tls::Wrapper(tls))
            .credentials(Credentials::new(value.access_key_id.clone(), value.smtp_password.clone()))
            .build()
            .test_connection()
            .is_ok()
    }

    /// What the host's script installed.
    pub(crate) fn host_file(&self) -> String {
        fs::read_to_string(self.path("host/etc/mail/smtp-credentials")).unwrap()
    }

    fn issued_secrets(&self) -> Vec<String> {
        let state = self.state();
        let lists = ["secret_access_keys", "smtp_passwords", "rotation_tokens"].map(|name| {
            state[name].as_array().unwrap_or_else(|| panic!("the sandbox does not tell its {name}: {state}")).clone()
        });
        let rotated = self.calls().iter().any(|call| call["action"] == "RotateSecret" && call["error"].is_null());
        assert!(!rotated || lists.iter().all(|list| !list.is_empty()), "there is nothing to search for: {state}");
        let secrets: Vec<String> =
            lists.into_iter().flatten().map(|secret| secret.as_str().unwrap().to_owned()).collect();
        // The administrator's own key is the first.
        assert!(!secrets.is_empty());
        secrets
    }

    /// Every secret that was issued must be nowhere in what was printed or logged.
    fn search_for_leaks(&self) {
        let secrets = self.issued_secrets();
        let mut texts = vec![("what the deployer printed".to_owned(), self.printed.lock().unwrap().clone())];
        let mut folders = vec![self.directory.path().to_owned()];
        // Where a secret belongs: the host's own file, the sandbox's own state, the administrator's key in `env`.
        let belongs = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_str().unwrap_or_default();
            path.parent() == Some(self.directory.path()) && (name.starts_with("host") || ["tmp", "env"].contains(&name))
        };
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| !belongs(&entry.path())) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
                    texts.push((entry.path().display().to_string(), text));
                }
            }
        }
        for (place, text) in texts {
            let leaked = secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
            assert_eq!(leaked, 0, "{leaked} secrets in {place}");
        }
    }
}

impl Sandbox {
    /// At every instant the credential that any host may be using works.
    fn check_that_the_promise_was_kept(&self) {
        let violations = self.violations();
        let allowed = self.provokes_violations.load(Ordering::Relaxed);
        assert!(allowed || violations.is_empty(), "the rotation's promise was broken: {violations:#?}");
    }

    /// The deployer handles no secret: it neither reads the secret's value nor makes an access key.
    fn check_that_the_deployer_stays_away_from_secrets(&self) {
        let by_administrator = |action: &str| {
            let calls = self.calls();
            let is_it = |call: &&Value| call["action"] == action && call["caller"].as_str().unwrap().contains(":user/");
            calls.iter().filter(is_it).count()
        };
        assert_eq!(by_administrator("GetSecretValue"), self.own_reads.load(Ordering::Relaxed));
        assert_eq!(by_administrator("CreateAccessKey"), self.own_keys.load(Ordering::Relaxed));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_that_the_promise_was_kept();
            self.check_that_the_deployer_stays_away_from_secrets();
            self.search_for_leaks();
        }
        drop(self.stdin.take());
        // It has nothing left to wait for.
        let _ = self.child.wait();
    }
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
