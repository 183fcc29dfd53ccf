//! What a diagnosis says: that nothing is wrong, what a run can do about it, or what a person may choose from.

use contract::{Command, Text, text};

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// Nothing.
    Healthy {
        /// What an operator may want to know all the same.
        note: Option<Text>,
    },
    /// These remedies make it healthy again, one after the other. After each, the diagnosis is made anew.
    Curable {
        /// What is wrong, as a sentence.
        found: Text,
        first: Remedy,
        /// What follows, as far as it can be foreseen.
        then: Vec<Remedy>,
    },
    /// Nothing can be done safely: a person has to decide, or to correct something else first.
    Person {
        /// What is wrong, as a sentence.
        found: Text,
        /// What there is to choose from.
        ways: Vec<Way>,
    },
}

/// A change that cannot break mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Give up an open rotation. It is safe at any moment: DEPLOYING still protects the key that hosts may have been told of.
    ClearPending {
        version: String,
        /// Whether the rotation is still wanted; not if it had completed.
        owes_a_rotation: bool,
    },
    /// Put AWSCURRENT and DEPLOYING on the one version whose credential works.
    MoveLabel { label: &'static str, from: String, to: String },
    /// Delete a key that a crashed createSecret left behind.
    DeleteOrphan { key: String, created: Option<String> },
    /// Rotate.
    Rotate,
}

/// What a person may decide to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The condition under which it is right.
    pub(crate) when: String,
    pub(crate) command: Command,
    /// Whether something else has to be done first.
    pub(crate) waits: bool,
}

impl Remedy {
    /// The AWS call, as an IAM policy names it.
    pub(crate) fn call(&self) -> &'static str {
        match self {
            Self::ClearPending { .. } | Self::MoveLabel { .. } => "secretsmanager:UpdateSecretVersionStage",
            // The function deletes it, after it has judged the key again.
            Self::DeleteOrphan { .. } => "lambda:InvokeFunction",
            Self::Rotate => "secretsmanager:RotateSecret",
        }
    }

    /// The command that offers it.
    pub(crate) fn offered(&self) -> Text {
        text![Command::deployer("recover"), format!(" offers to {}", self.sentence())]
    }

    /// What it does, as an imperative.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::ClearPending { version, .. } => format!("take AWSPENDING off version {version}"),
            Self::MoveLabel { label, from, to } => format!("move {label} from version {from} to version {to}"),
            Self::DeleteOrphan { key, created } => {
                let made = created.as_ref().map_or_else(String::new, |date| format!("made {date}, "));
                format!("delete access key {key}: {made}never used, and no version of the secret names it")
            }
            Self::Rotate => "rotate, and wait until the new version is AWSCURRENT".to_owned(),
        }
    }
}

pub(super) fn curable(found: impl Into<Text>, first: Remedy, then: impl IntoIterator<Item = Remedy>) -> Diagnosis {
    Diagnosis::Curable { found: found.into(), first, then: then.into_iter().collect() }
}

/// After something else was corrected.
pub(crate) fn again() -> Way {
    Way { when: "once the cause is removed".to_owned(), command: Command::deployer("recover"), waits: true }
}

/// A key may be Inactive because it leaked: only a person makes it Active again.
pub(super) fn was_an_accident(key: &str) -> Way {
    Way { when: "if that was an accident".to_owned(), command: Command::reactivate(key), waits: false }
}
