use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::COMMAND_DELIVERY_SECONDS;

/// From the end of the script on an instance to the function's seeing it.
const TIME_TO_SEE: Duration = Duration::from_secs(5);

/// Who has to be told of a new credential, and how. Its variant decides what counts as told.
///
/// It is written into one environment variable of the function as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Consumer {
    /// EC2 instances, on which Systems Manager runs a script. An instance is told once its script has succeeded.
    Instances(Instances),
}

/// EC2 instances, by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Instances {
    /// The instances' ids, at least one. SendCommand takes at most 50.
    pub ids: Vec<String>,
    /// The SSM document that is run: our own, or [`crate::RUN_SHELL_SCRIPT`].
    pub document: String,
    /// Path of the script on the instance. Our own document has it built in.
    pub script: String,
    /// The document's execution timeout, in seconds.
    pub timeout_seconds: u64,
    /// SHA-256 of our own document's content, in hexadecimal: its JSON without white space, with sorted keys. None for a
    /// document that the deployer did not write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
}

impl Consumer {
    /// The longest that it takes to tell the consumer of a credential.
    #[must_use]
    pub fn time_needed(&self) -> Duration {
        match self {
            Self::Instances(instances) => Instances::time_needed(Duration::from_secs(instances.timeout_seconds)),
        }
    }
}

impl Instances {
    /// The longest that it takes to tell instances whose script has this timeout: delivery, script, and seeing its end.
    #[must_use]
    pub fn time_needed(script_timeout: Duration) -> Duration {
        Duration::from_secs(COMMAND_DELIVERY_SECONDS) + script_timeout + TIME_TO_SEE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_survives_its_json() {
        let consumer = Consumer::Instances(Instances {
            ids: vec!["i-0123456789abcdef0".into()],
            document: "d".into(),
            script: "/s".into(),
            timeout_seconds: 120,
            content_sha256: None,
        });
        let json =
            r#"{"instances":{"ids":["i-0123456789abcdef0"],"document":"d","script":"/s","timeout_seconds":120}}"#;
        assert_eq!(serde_json::to_string(&consumer).unwrap(), json);
        assert_eq!(serde_json::from_str::<Consumer>(json).unwrap(), consumer);
        assert_eq!(consumer.time_needed(), Duration::from_secs(155));
    }
}
