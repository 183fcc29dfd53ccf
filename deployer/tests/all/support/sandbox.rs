//! A sandbox for one test: its process, the deployer's runs in it, and the checks at its end.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use contract::SecretValue;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    aws::Aws,
    calls::Call,
    controls::Settings,
    example::{self, REGION, SECRET, USER, root},
    leaks, lines,
    state::Violation,
};

/// A running sandbox. It ends with this value, which then checks what every test has to keep.
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
    pub(super) own_keys: AtomicUsize,
    /// The access key of whoever runs the deployer; none: the administrator does.
    pub(super) caller: Mutex<Option<(String, String)>>,
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
    /// Fails the test unless the run ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Everything that was printed, as one line: it does not matter where a line was broken.
    pub(crate) fn in_one_line(&self) -> String {
        self.stdout.split_whitespace().chain(self.stderr.split_whitespace()).collect::<Vec<_>>().join(" ")
    }

    /// The lines of `--json`.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The lines of `--json` that have this type.
    pub(crate) fn json_of(&self, kind: &str) -> Vec<Value> {
        self.json().into_iter().filter(|line| line["type"] == kind).collect()
    }
}

/// Variables of whoever runs the tests that would change what is printed. (LC_ALL is always set. anstream takes a terminal of a machine
/// with `CI` for one that shows colours, whatever its `TERM`.)
const ABOUT_THE_SCREEN: [&str; 6] = ["COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

/// The process.
impl Sandbox {
    /// A sandbox with the default settings.
    pub(crate) fn start() -> Self {
        Self::with(&Settings::default())
    }

    pub(crate) fn with(settings: &Settings) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(root().join("examples/sandbox/with-sandbox"));
        // The command prints its environment, and then waits for the end of its input: of the pipe that this value holds.
        command.args(["sh", "-c", "env && echo READY && cat"]).env("SANDBOX_DIR", directory.path());
        for name in ABOUT_THE_SCREEN {
            command.env_remove(name);
        }
        command.envs(settings.variables()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
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
                    caller: Mutex::default(),
                    provokes_violations: AtomicBool::default(),
                };
            }
            if let Some((name, value)) = line.split_once('=') {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
        panic!("the sandbox did not start: {}", child.wait().unwrap());
    }

    /// A variable that the sandbox gives to its command.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Gives a command the sandbox's variables, and no others, and the sandbox's folder.
    pub(crate) fn environment_of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // The locale decides which glyphs are printed.
        command.env_clear().envs(&self.environment).env("LC_ALL", "C.UTF-8").current_dir(self.directory.path())
    }

    /// The URL of one of the sandbox's controls.
    pub(super) fn url(&self, name: &str) -> String {
        format!("{}/_sandbox/{name}", self.variable("AWS_ENDPOINT_URL"))
    }
}

/// Files.
impl Sandbox {
    /// A file in the sandbox's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file into the sandbox's folder. Returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Writes `config.yaml`: the example, with these texts replaced, and with everything logged. Returns its name.
    pub(crate) fn config(&self, replacements: &[(&str, &str)]) -> String {
        let mut text = example::text();
        for (from, to) in [&("log_level: info", "log_level: trace")].into_iter().chain(replacements) {
            assert!(text.contains(from), "the example does not contain {from:?}");
            text = text.replace(from, to);
        }
        self.file("config.yaml", &text);
        // The deployer runs in that folder, and its messages name every other path than this default.
        "config.yaml".to_owned()
    }
}

/// Programs.
impl Sandbox {
    /// Runs the deployer in the sandbox's folder.
    pub(crate) fn deployer(&self, arguments: &[&str]) -> Ran {
        self.deployer_with(arguments, &[])
    }

    /// Runs the deployer with some variables changed; one with an empty value is removed.
    pub(crate) fn deployer_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
        self.environment_of(command.args(unwatched(arguments)));
        if let Some((key, secret)) = &*self.caller.lock().unwrap() {
            command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
        }
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        self.ran(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Starts the deployer in the sandbox's folder.
    pub(crate) fn start_deployer(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
        self.environment_of(command.args(unwatched(arguments)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for the end of a deployer that was started.
    pub(crate) fn end_of(&self, deployer: Child) -> Ran {
        self.ran(deployer.wait_with_output().unwrap())
    }

    fn ran(&self, Output { status, stdout, stderr }: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) };
        self.was_printed(&ran.stdout);
        self.was_printed(&ran.stderr);
        lines::expect_published(&ran.stdout);
        ran
    }

    /// Keeps what the deployer printed, for the search for secrets.
    pub(crate) fn was_printed(&self, text: &str) {
        self.printed.lock().unwrap().push_str(text);
    }

    /// Runs a command line as an operator, who has the AWS CLI and may do everything.
    pub(crate) fn operator(&self, command: &str) {
        let mut shell = Command::new("sh");
        let output = self.environment_of(shell.args(["-c", command])).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The arguments, with which no command waits for Secrets Manager to try a failed rotation again, unless they say how long.
pub(super) fn unwatched<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let watches = ["apply", "rotate", "recover"].contains(&arguments[0]);
    let is_given = arguments.contains(&"--watch-retries");
    let not_at_all: &[&str] = if watches && !is_given { &["--watch-retries", "0s"] } else { &[] };
    [arguments, not_at_all].concat()
}

/// AWS, as the sandbox's administrator.
impl Sandbox {
    pub(crate) async fn aws(&self) -> Aws {
        Aws::new(&self.sdk(self.variable("AWS_ACCESS_KEY_ID"), self.variable("AWS_SECRET_ACCESS_KEY")).await)
    }

    /// The SDK's configuration with somebody's access key.
    pub(super) async fn sdk(&self, key: &str, secret: &str) -> SdkConfig {
        let credentials = aws_credential_types::Credentials::new(key, secret, None, None, "sandbox");
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(self.variable("AWS_ENDPOINT_URL"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await
    }

    /// The secret's value under a label.
    pub(crate) async fn secret(&self, label: &str) -> SecretValue {
        self.own_reads.fetch_add(1, Ordering::Relaxed);
        let request = self.aws().await.secrets.get_secret_value().secret_id(SECRET).version_stage(label);
        SecretValue::parse(request.send().await.unwrap().secret_string().unwrap()).unwrap()
    }

    /// The secret's value was read since then by another tool that the test ran, as the same administrator as the deployer.
    pub(crate) fn another_tool_read(&self, since: usize) {
        let is_it = |call: &&Call| call.action == "GetSecretValue" && call.is_by_the_administrator();
        self.own_reads.fetch_add(self.calls()[since..].iter().filter(is_it).count(), Ordering::Relaxed);
    }

    /// An access key of the user that somebody makes by hand.
    pub(crate) async fn make_key_by_hand(&self) -> aws_sdk_iam::types::AccessKey {
        self.own_keys.fetch_add(1, Ordering::Relaxed);
        self.aws().await.iam.create_access_key().user_name(USER).send().await.unwrap().access_key.unwrap()
    }

    /// Makes the user of [`example::EXISTING_USER`], as somebody else would.
    pub(crate) async fn make_user_by_hand(&self, path: &str) {
        let iam = self.aws().await.iam;
        iam.create_user().user_name(USER).path(path).send().await.unwrap();
        let policy =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}}"#;
        let put = iam.put_user_policy().user_name(USER).policy_name("theirs").policy_document(policy);
        put.send().await.unwrap();
    }
}

/// The checks at the end of every test.
impl Sandbox {
    /// What the watcher found. By this call a test declares that it breaks the promise on purpose; every other test fails if the
    /// promise was broken.
    pub(crate) fn provoked_violations(&self) -> Vec<Violation> {
        self.provokes_violations.store(true, Ordering::Relaxed);
        self.violations()
    }

    /// At every instant the credential that any host may be using works.
    fn check_that_the_promise_was_kept(&self) {
        let violations = self.violations();
        let allowed = self.provokes_violations.load(Ordering::Relaxed);
        assert!(allowed || violations.is_empty(), "the rotation's promise was broken: {violations:#?}");
    }

    /// The deployer handles no secret: it neither reads the secret's value nor makes an access key.
    fn check_that_the_deployer_stays_away_from_secrets(&self) {
        let calls = self.calls();
        let made = |action: &str| {
            let is_it = |call: &&Call| call.action == action && call.is_by_the_administrator();
            calls.iter().filter(is_it).count()
        };
        assert_eq!(made("GetSecretValue"), self.own_reads.load(Ordering::Relaxed));
        assert_eq!(made("CreateAccessKey"), self.own_keys.load(Ordering::Relaxed));
    }

    /// No secret that was issued is in anything that was printed or logged.
    fn check_that_no_secret_leaked(&self) {
        let state = self.state();
        let lists = [state.secret_access_keys, state.smtp_passwords, state.rotation_tokens];
        let rotated = self.calls().iter().any(|call| call.action == "RotateSecret" && call.error.is_none());
        assert!(!rotated || lists.iter().all(|list| !list.is_empty()), "there is nothing to search for: {lists:?}");
        let secrets = lists.concat();
        assert!(!secrets.is_empty(), "not even the administrator's own key is known");
        leaks::search(&secrets, &self.printed.lock().unwrap(), self.directory.path());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_that_the_promise_was_kept();
            self.check_that_the_deployer_stays_away_from_secrets();
            self.check_that_no_secret_leaked();
        }
        // The end of its input ends the sandbox.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
