//! What happens to a rotation that is watched.

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::events::RotationEvent;

#[derive(Serialize, JsonSchema)]
#[serde(tag = "rotation", rename_all = "snake_case")]
pub(in crate::screen) enum RotationLine<'a> {
    /// This run started it.
    Started {
        version: &'a str,
    },
    /// It was open already.
    Found {
        version: &'a str,
    },
    /// Secrets Manager continues it with another version.
    Continued {
        version: &'a str,
    },
    /// What the function says of a step: a login, a host, the test mail.
    StepSays {
        step: &'a str,
        message: &'a str,
    },
    StepFinished {
        step: &'a str,
    },
    /// Secrets Manager tries the rotation again by itself.
    AttemptFailed {
        step: &'a str,
        message: &'a str,
        /// How long the command goes on watching.
        watched_seconds: f64,
    },
    /// The version is AWSCURRENT.
    Completed {
        version: &'a str,
        took_seconds: f64,
    },
}

impl<'a> From<&'a RotationEvent> for RotationLine<'a> {
    fn from(event: &'a RotationEvent) -> Self {
        match event {
            RotationEvent::Started { version } => Self::Started { version },
            RotationEvent::Found { version } => Self::Found { version },
            RotationEvent::Continued { version } => Self::Continued { version },
            RotationEvent::StepSays { step, what } => Self::StepSays { step, message: what },
            RotationEvent::StepFinished { step } => Self::StepFinished { step },
            RotationEvent::AttemptFailed { step, finding, watched_for } => {
                Self::AttemptFailed { step, message: finding, watched_seconds: watched_for.as_secs_f64() }
            }
            RotationEvent::Completed { version, took } => Self::Completed { version, took_seconds: took.as_secs_f64() },
        }
    }
}
