//! What a plan is made of, as plain data: a resource's address, and the AWS calls that a person approves.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a resource is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Toward {
    /// It is as the configuration declares.
    Present,
    /// Nothing of it that we own is left.
    Absent {
        /// The user's access keys may be deleted although a host may still use them.
        stop_mail: bool,
    },
}

/// The kinds of resources, in the words that plans use.
// The serde names are stored in records and saved plans, and printed by --json: add, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResourceKind {
    Alarm,
    Document,
    EventInvoke,
    Function,
    Hosts,
    InstanceAccess,
    Lease,
    LogGroup,
    Permission,
    Record,
    Role,
    Rotation,
    Secret,
    Sender,
    Topic,
    Upkeep,
    User,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alarm => "alarm",
            Self::Document => "document",
            Self::EventInvoke => "event invoke config",
            Self::Function => "function",
            Self::Hosts => "hosts",
            Self::InstanceAccess => "instance access",
            Self::Lease => "lease",
            Self::LogGroup => "log group",
            Self::Permission => "permission",
            Self::Record => "record",
            Self::Role => "role",
            Self::Rotation => "rotation",
            Self::Secret => "secret",
            Self::Sender => "sender",
            Self::Topic => "topic",
            Self::Upkeep => "upkeep",
            Self::User => "user",
        })
    }
}

/// Names a resource: `role mail-prod-rotation-eu-west-1`. No two resources of a deployment share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Address {
    pub(crate) kind: ResourceKind,
    /// Its name in AWS.
    pub(crate) name: String,
}

impl Address {
    pub(crate) fn new(kind: ResourceKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What an op does to the resource.
// The serde names are stored in saved plans, and printed by --json: add, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Create,
    Update,
    Delete,
}

/// What a person has to know of an op beside the fields that it changes. The kind that makes the op sets it.
// The serde names are stored in saved plans, and printed by --json: add, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// The resource becomes the deployment's, which did not make it.
    Adopts,
    /// It changes what a rotation runs on, or what Secrets Manager refuses to change while a rotation is open.
    DisturbsRotation,
    /// The secret can no longer be read.
    HidesSecret,
    /// SES may refuse mail that the user can send until then.
    LimitsMail,
    /// The secret is deleted for good.
    PurgesSecret,
    /// The credential rotates at once.
    RotatesNow,
    /// Mail that is sent with the credential stops.
    StopsMail,
    /// Secrets Manager tests the configuration with a pending version that it removes again: no rotation.
    TestsConfiguration,
    /// It uploads the function's code, which has to be built before.
    UploadsCode,
}

/// One mutating AWS call, as plain data: what a person approves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Op {
    pub(crate) verb: Verb,
    /// The AWS action, as a policy names it: `iam:CreateRole`.
    pub(crate) call: String,
    /// What the call changes, field by field.
    pub(crate) changes: Vec<Change>,
    /// What else it does, each once.
    pub(crate) effects: Vec<Effect>,
}

/// One field that an op changes. `None` is "not there".
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Change {
    /// The field, in AWS's words.
    pub(crate) field: String,
    /// What AWS holds now.
    pub(crate) from: Option<Value>,
    /// What it will hold.
    pub(crate) to: Option<Value>,
}

impl Op {
    pub(crate) fn new(verb: Verb, call: &str) -> Self {
        Self { verb, call: call.to_owned(), changes: Vec::new(), effects: Vec::new() }
    }

    /// Adds a field; a field that does not change is left out.
    #[must_use]
    pub(crate) fn with(mut self, field: &str, from: Option<Value>, to: Option<Value>) -> Self {
        if from != to {
            self.changes.push(Change { field: field.to_owned(), from, to });
        }
        self
    }

    /// Adds a field that comes with a new resource.
    #[must_use]
    pub(crate) fn sets(self, field: &str, to: impl Into<Value>) -> Self {
        self.with(field, None, Some(to.into()))
    }

    /// Adds an effect.
    #[must_use]
    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        if !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
        self
    }

    /// What it undoes, seen from before that.
    #[must_use]
    pub(crate) fn reversed(&self) -> Self {
        let verb = match self.verb {
            Verb::Create => Verb::Delete,
            Verb::Update => Verb::Update,
            Verb::Delete => Verb::Create,
        };
        let reversed =
            |Change { field, from, to }: &Change| Change { field: field.clone(), from: to.clone(), to: from.clone() };
        Self { verb, changes: self.changes.iter().map(reversed).collect(), ..self.clone() }
    }

    pub(crate) fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }

    /// Whether a person who approved `approved` approved this too: the same call, to the same values or to some of them,
    /// with no further effect; and what it removes is what was shown.
    pub(crate) fn is_covered_by(&self, approved: &Self) -> bool {
        let covers = |shown: &Change, change: &Change| {
            shown.field == change.field && shown.to == change.to && (change.to.is_some() || shown.from == change.from)
        };
        self.call == approved.call
            && self.effects.iter().all(|effect| approved.has(*effect))
            && self.changes.iter().all(|change| approved.changes.iter().any(|shown| covers(shown, change)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(call: &str, changes: &[(&str, Option<&str>, Option<&str>)]) -> Op {
        let value = |text: Option<&str>| text.map(Value::from);
        changes
            .iter()
            .fold(Op::new(Verb::Update, call), |op, (field, from, to)| op.with(field, value(*from), value(*to)))
    }

    #[test]
    fn an_approved_op_covers_the_same_goal_from_wherever_it_starts() {
        let approved = op("iam:TagRole", &[("tags.a", None, Some("1")), ("tags.b", None, Some("2"))]);
        assert!(op("iam:TagRole", &[("tags.a", Some("x"), Some("1"))]).is_covered_by(&approved));
        assert!(!op("iam:TagRole", &[("tags.a", None, Some("3"))]).is_covered_by(&approved));
        assert!(!op("iam:TagRole", &[("tags.c", None, Some("1"))]).is_covered_by(&approved));
        assert!(!op("iam:TagUser", &[("tags.a", None, Some("1"))]).is_covered_by(&approved));
    }

    #[test]
    fn what_an_op_removes_must_be_what_was_approved() {
        let approved = op("iam:DeleteAccessKey", &[("access_key", Some("AKIAONE"), None)]);
        assert!(approved.is_covered_by(&approved));
        assert!(!op("iam:DeleteAccessKey", &[("access_key", Some("AKIATWO"), None)]).is_covered_by(&approved));
    }

    #[test]
    fn an_op_with_an_effect_that_was_not_shown_is_not_approved() {
        let approved = op("secretsmanager:RotateSecret", &[]);
        assert!(!approved.clone().effect(Effect::RotatesNow).is_covered_by(&approved));
        assert!(approved.is_covered_by(&approved.clone().effect(Effect::RotatesNow)));
    }

    #[test]
    fn an_op_survives_its_json() {
        let op = op("iam:TagRole", &[("tags.a", None, Some("1"))]).effect(Effect::DisturbsRotation);
        assert_eq!(serde_json::from_str::<Op>(&serde_json::to_string(&op).unwrap()).unwrap(), op);
    }
}
