//! What happens while ops run, as plain data. [`crate::screen`] renders it.

use std::time::Duration;

use contract::Text;
use tokio::sync::mpsc;

use crate::{
    engine::op::{Address, Op},
    error::Error,
    silence::Unanswered,
};

/// Something a person or a log wants to know while `apply`, `destroy` or `rotate` work.
#[derive(Debug)]
pub(crate) enum Event {
    /// The handler's zip is being built; `cargo lambda` may take minutes the first time.
    Building,
    /// The build says what it does: cargo's words.
    BuildSays(String),
    /// The zip is built.
    Built { bytes: usize, took: Duration },
    /// An op begins.
    Started(Address, Op),
    /// An op waits for AWS.
    Waiting {
        address: Address,
        /// At most how long.
        limit: Duration,
        /// AWS's words.
        reason: String,
    },
    /// An op is done.
    Done(Address, Op, Duration),
    /// A resource has reached its goal.
    Reached(Address),
    /// A resource did not reach its goal.
    Failed(Address, Error),
    /// A resource was skipped because one that it depends on failed.
    Skipped(Address),
    /// AWS has not answered a call for a while.
    Unanswered(Unanswered),
    /// Something worth knowing that changes nothing.
    Note(Text),
    /// A rotation proceeds.
    Rotation(RotationEvent),
}

/// How a rotation proceeds.
#[derive(Clone, Debug)]
pub(crate) enum RotationEvent {
    /// This run started it. The version is the rotation's id in the function's log.
    Started { version: String },
    /// It was open already, and is watched from now on.
    Found { version: String },
    /// Secrets Manager continues it with another version.
    Continued { version: String },
    /// The function says what a step does: a login, a host, the test mail.
    StepSays { step: String, what: String },
    /// The function finished createSecret, setSecret, testSecret or finishSecret.
    StepFinished { step: String },
    /// A step failed. Secrets Manager tries the rotation again by itself, and this run watches for so long whether it does.
    AttemptFailed { step: String, finding: String, watched_for: Duration },
    /// The version is AWSCURRENT.
    Completed { version: String, took: Duration },
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

/// The events of one resource.
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
