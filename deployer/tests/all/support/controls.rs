//! How a test changes the sandbox, before it starts and while it runs (examples/sandbox/README.md, "Settings").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{faults::Fault, sandbox::Sandbox};

/// What a sandbox starts with.
pub(crate) struct Settings {
    pub(crate) key_propagation_seconds: f64,
    /// No instance is there for Systems Manager.
    pub(crate) instances_are_offline: bool,
    pub(crate) rotation_attempts: Option<u32>,
    pub(crate) rotation_retry_seconds: Option<f64>,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Settings {
    /// Keys are accepted almost at once.
    fn default() -> Self {
        Self {
            key_propagation_seconds: 0.2,
            instances_are_offline: false,
            rotation_attempts: None,
            rotation_retry_seconds: None,
            faults: Vec::new(),
        }
    }
}

impl Settings {
    /// A rotation that fails is not tried again by itself.
    pub(crate) fn one_attempt() -> Self {
        Self { rotation_attempts: Some(1), ..Self::default() }
    }

    /// The sandbox's variables.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let faults = serde_json::to_string(&self.faults).unwrap();
        let mut variables = vec![
            ("SANDBOX_KEY_PROPAGATION_SECONDS", self.key_propagation_seconds.to_string()),
            ("SANDBOX_INSTANCE_OFFLINE", if self.instances_are_offline { "1" } else { "" }.to_owned()),
            ("SANDBOX_FAULTS", faults),
        ];
        variables.extend(self.rotation_attempts.map(|it| ("SANDBOX_ROTATION_ATTEMPTS", it.to_string())));
        variables.extend(self.rotation_retry_seconds.map(|it| ("SANDBOX_ROTATION_RETRY_SECONDS", it.to_string())));
        variables
    }
}

/// A change of the sandbox while it runs.
pub(crate) trait Control: Serialize {
    /// The sandbox's name of it.
    const NAME: &'static str;
    type Reply: DeserializeOwned;
}

impl Sandbox {
    /// Changes the sandbox.
    pub(crate) fn control<C: Control>(&self, change: &C) -> C::Reply {
        self.try_control(change).unwrap()
    }

    /// Changes the sandbox, which may refuse it.
    pub(crate) fn try_control<C: Control>(&self, change: &C) -> Result<C::Reply, ureq::Error> {
        let request = ureq::post(self.url(C::NAME)).header("x-sandbox-token", self.variable("SANDBOX_TOKEN"));
        request.send_json(change)?.body_mut().read_json()
    }
}

/// A reply that no test reads.
pub(crate) type Ignored = Value;

/// How Secrets Manager rotates. What is not set stays.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rotations {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_token: Option<RetryToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_seconds: Option<f64>,
    /// The step before which every rotation waits; empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold_before: Option<&'static str>,
}

/// The token, and so the version, of an attempt after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RetryToken {
    Same,
    New,
}

impl Control for Rotations {
    const NAME: &'static str = "rotation";
    type Reply = Ignored;
}

/// Secrets Manager tries the open rotation again, as in its next window.
#[derive(Debug, Serialize)]
pub(crate) struct Retry {}

impl Control for Retry {
    const NAME: &'static str = "retry";
    type Reply = Ignored;
}

/// How Lambda runs functions. What is not set is the default again.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Functions {
    /// How long an invocation may take, in place of the function's timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_seconds: Option<u32>,
    /// The step that has this deadline; all if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_step: Option<&'static str>,
    /// How many invocations have it; all if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_times: Option<u32>,
    /// Variables of every function, over all others.
    pub(crate) environment: BTreeMap<&'static str, &'static str>,
}

impl Control for Functions {
    const NAME: &'static str = "functions";
    type Reply = Ignored;
}

/// A subscriber follows the link in its mail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subscriptions<'a> {
    /// The address confirms.
    Confirm(&'a str),
    /// The address ends its subscription.
    End(&'a str),
}

impl Control for Subscriptions<'_> {
    const NAME: &'static str = "subscriptions";
    type Reply = Ignored;
}

/// EventBridge fires a rule, as its schedule would.
#[derive(Debug, Serialize)]
pub(crate) struct Upkeep<'a> {
    pub(crate) rule: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fired {
    /// One for each target of the rule.
    pub(crate) invocations: Vec<Invocation>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Invocation {
    /// What the function returned.
    pub(crate) result: Value,
    pub(crate) error: Option<String>,
}

impl Control for Upkeep<'_> {
    const NAME: &'static str = "upkeep";
    type Reply = Fired;
}

/// Whether SES sends for the account.
#[derive(Debug, Serialize)]
pub(crate) struct Ses {
    pub(crate) sending: bool,
}

impl Control for Ses {
    const NAME: &'static str = "ses";
    type Reply = Ignored;
}

/// Everything becomes so much older at once.
#[derive(Debug, Serialize)]
pub(crate) struct Time {
    /// In seconds.
    pub(crate) pass: u64,
}

/// The parameters become so much older at once, and with them the lease of a run that was killed.
#[derive(Debug, Serialize)]
#[serde(tag = "for", rename = "parameters")]
pub(crate) struct TimeOfParameters {
    /// In seconds.
    pub(crate) pass: u64,
}

impl Control for TimeOfParameters {
    const NAME: &'static str = "time";
    type Reply = Ignored;
}

impl Control for Time {
    const NAME: &'static str = "time";
    type Reply = Ignored;
}

/// Access keys, secrets and hosts are saved under a name, or are as they were saved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Snapshot {
    Save(String),
    Restore(String),
}

impl Control for Snapshot {
    const NAME: &'static str = "snapshot";
    type Reply = Ignored;
}

/// What is in the account.
#[derive(Debug, Serialize)]
struct Inventory {}

#[derive(Deserialize)]
struct Everything {
    resources: Vec<String>,
}

impl Control for Inventory {
    const NAME: &'static str = "inventory";
    type Reply = Everything;
}

impl Sandbox {
    /// A line for every resource in the account, inline policies included, in order.
    pub(crate) fn inventory(&self) -> Vec<String> {
        self.control(&Inventory {}).resources
    }
}

/// How long a change is hidden from reads, and from services other than its own.
#[derive(Debug, Serialize)]
pub(crate) struct Lag {
    pub(crate) seconds: f64,
}

impl Control for Lag {
    const NAME: &'static str = "lag";
    type Reply = Ignored;
}

/// Everything in the account without what differs from run to run.
#[derive(Debug, Serialize)]
struct DumpAll {}

#[derive(Debug, Deserialize)]
pub(crate) struct Dump {
    /// By store: the name of each resource, and what it is.
    pub(crate) stores: BTreeMap<String, Vec<(String, Value)>>,
    /// Whether a rotation runs, or a test of the configuration: then the state is not final.
    pub(crate) running: bool,
}

impl Control for DumpAll {
    const NAME: &'static str = "dump";
    type Reply = Dump;
}

impl Sandbox {
    /// Everything in the account without what differs from run to run.
    pub(crate) fn dump(&self) -> Dump {
        self.control(&DumpAll {})
    }
}

/// The watcher's memory.
#[derive(Debug, Serialize)]
pub(crate) struct Watch {
    /// Whether it forgets what it found.
    pub(crate) forget: bool,
}

impl Control for Watch {
    const NAME: &'static str = "watch";
    type Reply = Ignored;
}

/// Whether Systems Manager reaches an instance.
#[derive(Debug, Serialize)]
pub(crate) struct Instance<'a> {
    /// All of them if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    pub(crate) online: bool,
}

impl Control for Instance<'_> {
    const NAME: &'static str = "instance";
    type Reply = Ignored;
}

/// How SES's SMTP endpoint behaves. What is not set stays.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Smtp<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_propagation_seconds: Option<u32>,
    /// Given in place of its own answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answers: Option<&'a [Answer]>,
    /// Whether it refuses connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) down: Option<bool>,
}

impl Control for Smtp<'_> {
    const NAME: &'static str = "smtp";
    type Reply = Ignored;
}

/// An answer of SES's in place of its own.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// `CONNECT`, or a command.
    verb: &'static str,
    code: u16,
    text: &'static str,
    times: u32,
    /// How many of its own answers to this verb come before.
    skip: u32,
}

impl Answer {
    /// One answer to this verb.
    pub(crate) fn to(verb: &'static str, code: u16, text: &'static str) -> Self {
        Self { verb, code, text, times: 1, skip: 0 }
    }

    /// So many answers.
    pub(crate) fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// After so many of its own.
    pub(crate) fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}
