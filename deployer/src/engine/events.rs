//! What happens while ops run, as plain data. [`crate::screen`] renders it.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    engine::kind::{Address, Op},
    error::Error,
};

/// Something a person or a log wants to know while `apply`, `destroy` or `rotate` work.
#[derive(Debug)]
pub(crate) enum Event {
    /// The handler's zip is being built; `cargo lambda` may take minutes the first time.
    Building,
    /// It is there.
    Built {
        /// Size in bytes.
        bytes: usize,
        /// How long it took.
        took: Duration,
    },
    /// An op begins.
    Started(Address, Op),
    /// An op waits for AWS.
    Waiting {
        /// Of which thing.
        address: Address,
        /// At most how long.
        limit: Duration,
        /// AWS's words.
        reason: String,
    },
    /// An op is done.
    Done(Address, Op, Duration),
    /// A thing could not be brought to its goal.
    Failed(Address, Error),
    /// A thing was left alone because one that it needs failed.
    Skipped(Address),
    /// Something worth knowing that changes nothing.
    Note(String),
    /// A rotation was started, or is watched.
    Rotation(RotationEvent),
}

/// How a rotation goes on.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "rotation", rename_all = "snake_case")]
pub(crate) enum RotationEvent {
    /// Secrets Manager accepted it.
    Started {
        /// The version of the secret that it makes: the rotation's id in the function's log.
        version: String,
    },
    /// The function finished a step.
    StepFinished {
        /// createSecret, setSecret, testSecret or finishSecret.
        step: String,
    },
    /// The version is AWSCURRENT.
    Completed {
        /// The version.
        version: String,
        /// Seconds since it was started.
        took_seconds: f64,
    },
}

/// Where events go. A closed receiver is no reason to stop.
#[derive(Clone, Debug)]
pub(crate) struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// A channel for one run.
    #[must_use]
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(crate) fn say(&self, event: Event) {
        // The receiver ends only when the program does.
        let _ = self.0.send(event);
    }
}

/// The events of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) events: Events,
    pub(crate) address: Address,
}

impl Progress {
    pub(crate) fn waiting(&self, limit: Duration, reason: &str) {
        let (address, reason) = (self.address.clone(), reason.to_owned());
        self.events.say(Event::Waiting { address, limit, reason });
    }
}
