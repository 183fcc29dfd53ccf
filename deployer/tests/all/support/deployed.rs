//! The example, deployed: how a test begins, runs the deployer, and checks the result.

use std::time::Duration;

use aws_sdk_iam::types::StatusType;
use contract::{Event, Report};

use super::{
    aws::Aws,
    calls::{Call, NOTHING},
    controls::Settings,
    example::{FUNCTION, INSTANCES, ROTATE_LATER, SECRET, USER},
    sandbox::{Ran, Sandbox},
    shown::show_state,
};

/// The grace is over soon, a key is deleted right after it, and the timeout of a host's script is long enough on a busy machine.
const SHORT: [(&str, &str); 3] = [
    ("keep_previous: 24h", "keep_previous: 1s"),
    ("keep_inactive: 72h", "keep_inactive: 0s"),
    ("timeout: 2m\n", "timeout: 40s\n"),
];
/// Undoes the first of these.
pub(crate) const LONG_GRACE: (&str, &str) = ("keep_previous: 1s", "keep_previous: 24h");
/// For a script that hangs. Systems Manager ignores a shorter timeout.
pub(crate) const SHORTEST_TIMEOUT: (&str, &str) = ("timeout: 40s\n", "timeout: 5s\n");
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The example, deployed, in a sandbox that does not try a failed rotation again by itself.
pub(crate) struct Deployed {
    pub(crate) sandbox: Sandbox,
    pub(crate) aws: Aws,
    config: String,
}

/// How a test begins.
impl Deployed {
    /// The example, deployed and rotated once, with a grace that lasts a second.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// As `new`, with these texts of the example replaced.
    pub(crate) async fn with(replacements: &[(&str, &str)]) -> Self {
        let deployed = Self::example(&[&SHORT, replacements].concat()).await;
        // If apply enabled rotation without rotating, Secrets Manager's test may still run.
        deployed.ended().await;
        deployed.mail_works().await;
        deployed
    }

    /// As `new`, without a rotation: the secret holds its placeholder, and the user has no key.
    pub(crate) async fn not_yet_rotated() -> Self {
        let deployed = Self::with(&[ROTATE_LATER]).await;
        assert_eq!(deployed.keys().await, []);
        deployed
    }

    /// The example with its own grace and with these texts replaced, deployed and rotated once.
    pub(crate) async fn example(replacements: &[(&str, &str)]) -> Self {
        let deployed = Self::before_apply(replacements).await;
        deployed.run(&["apply", "--auto-approve"]).expect(0);
        deployed
    }

    /// As `example`, before the first apply.
    pub(crate) async fn before_apply(replacements: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::with(&Settings { rotation_retry_seconds: Some(0.1), ..Settings::one_attempt() });
        let config = sandbox.config(replacements);
        Self { aws: sandbox.aws().await, sandbox, config }
    }
}

/// The deployer.
impl Deployed {
    /// Runs the deployer on the configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.deployer(&[arguments, &[&self.config]].concat())
    }

    /// Runs the deployer on a terminal, at which somebody types this. Returns its exit code and the screen.
    pub(crate) fn run_on_a_terminal(&self, arguments: &[&str], typed: &str) -> (i32, String) {
        self.sandbox.deployer_on_a_terminal(&[arguments, &[&self.config]].concat(), typed)
    }

    /// Runs the deployer. Returns also which calls changed something: the deployer's own, and the function's through it.
    pub(crate) fn run_watched(&self, arguments: &[&str]) -> (Ran, Vec<String>) {
        let before = self.mark();
        let ran = self.run(arguments);
        (ran, self.sandbox.mutations(before))
    }

    /// Changes the configuration of a deployment whose rotation may be open.
    pub(crate) fn apply(&self, replacements: &[(&str, &str)]) {
        self.sandbox.config(&[&SHORT, replacements].concat());
        // Apply makes the changes. Then it ends with an error if it finds a rotation that has failed.
        self.run(&["apply", "--auto-approve", "--during-rotation"]);
        self.run(&["plan", "--detailed-exitcode"]).expect(0);
    }
}

/// Checks.
impl Deployed {
    /// Compares the function's report and what `recover` prints with their snapshot. Neither may change anything.
    pub(crate) async fn shows(&self, state: &str) {
        let report: Report = self.ask(&Event::Report { logins: true }).await.unwrap();
        let (ran, mutations) = self.run_watched(&["recover"]);
        assert_eq!(mutations, NOTHING);
        show_state(state, &self.sandbox, &ran, report);
    }

    /// Fails the test unless SES accepts what every host holds, AWSCURRENT's key is Active and accepted, and the user has at most
    /// two keys.
    pub(crate) async fn mail_works(&self) {
        for instance in INSTANCES {
            if let Some(credential) = self.sandbox.credential_on(instance) {
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

    /// Fails the test unless the host has AWSCURRENT's credential, that works, and no rotation is open.
    pub(crate) async fn expect_health(&self) {
        self.mail_works().await;
        assert_eq!(self.key_on(INSTANCES[0]), Some(self.key_labelled("AWSCURRENT").await), "the host has another one");
        let version = self.labelled("AWSCURRENT").await;
        assert_eq!(self.labelled("DEPLOYING").await, version);
        assert!([None, version].contains(&self.labelled("AWSPENDING").await), "a rotation is open");
    }
}

/// What is there.
impl Deployed {
    /// The secret's ARN.
    pub(crate) async fn arn(&self) -> String {
        self.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap().arn.unwrap()
    }

    /// The instances that the function tells.
    pub(super) async fn instances(&self) -> Vec<String> {
        let request = self.aws.lambda.get_function_configuration().function_name(FUNCTION);
        let variables = request.send().await.unwrap().environment.unwrap().variables.unwrap();
        let settings = contract::Settings::from_env(|name| variables.get(name).cloned()).unwrap();
        match settings.consumer {
            Some(contract::Consumer::Instances(instances)) => instances.ids,
            None => vec![],
        }
    }

    /// The user's keys, each with whether it is Active.
    pub(crate) async fn keys(&self) -> Vec<(String, bool)> {
        let keys = self.aws.iam.list_access_keys().user_name(USER).send().await.unwrap().access_key_metadata;
        keys.into_iter().map(|key| (key.access_key_id.unwrap(), key.status == Some(StatusType::Active))).collect()
    }

    pub(crate) async fn has_key(&self, key: &str) -> bool {
        self.keys().await.contains(&(key.to_owned(), true))
    }

    /// The version that has this label.
    pub(crate) async fn labelled(&self, label: &str) -> Option<String> {
        let secret = self.aws.secrets.describe_secret().secret_id(SECRET).send().await.unwrap();
        let versions = secret.version_ids_to_stages.unwrap();
        versions.into_iter().find(|(_, labels)| labels.iter().any(|it| it == label)).map(|(version, _)| version)
    }

    pub(crate) async fn key_labelled(&self, label: &str) -> String {
        self.sandbox.secret(label).await.access_key_id
    }

    /// The end of the log of calls, as it is now.
    pub(crate) fn mark(&self) -> usize {
        self.sandbox.mark()
    }

    /// How many calls of this action the function made since then, with success.
    pub(crate) fn done(&self, since: usize, action: &str) -> usize {
        let is_it = |call: &&Call| call.name() == action && call.error.is_none() && call.is_by_the_function();
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
