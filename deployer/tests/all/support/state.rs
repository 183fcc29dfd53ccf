//! What the sandbox alone knows.

use serde::Deserialize;

use super::{rotation::Rotation, sandbox::Sandbox};

/// The sandbox's state (`GET /_sandbox/state`), as far as tests read it.
#[derive(Debug, Deserialize)]
pub(crate) struct State {
    /// Every secret access key, SMTP password and rotation token that was ever issued.
    pub(crate) secret_access_keys: Vec<String>,
    pub(crate) smtp_passwords: Vec<String>,
    pub(crate) rotation_tokens: Vec<String>,
    /// Oldest first.
    pub(crate) rotations: Vec<Rotation>,
    /// The actions of the calls that a fault holds.
    pub(crate) held_calls: Vec<String>,
    /// What the watcher found.
    pub(crate) violations: Vec<Violation>,
}

/// A call after which a host's credential, or AWSCURRENT's, did not work, or a user had too many keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Violation {
    pub(crate) sentence: String,
    /// The last call before the watcher saw it.
    pub(crate) call: u64,
    pub(crate) after: String,
}

impl Sandbox {
    pub(crate) fn state(&self) -> State {
        let request = ureq::get(self.url("state")).header("x-sandbox-token", self.variable("SANDBOX_TOKEN"));
        request.call().unwrap().body_mut().read_json().unwrap()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.state().violations
    }
}
