//! Raw event → typed payload.

use contract::{Event, Step};
use serde_json::Value;

use crate::{error::Error, sensitive::Sensitive};

/// What the function is invoked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A step of a rotation, by Secrets Manager.
    Step(Request),
    /// Something beside it, by the deployer or by the daily rule.
    Event(Event),
}

impl Payload {
    /// Reads an event: one of ours has a field `event`.
    pub(crate) fn parse(event: &Value) -> Result<Self, Error> {
        if event.get("event").is_none() {
            return Request::parse(event).map(Self::Step);
        }
        match serde_json::from_value(event.clone()) {
            Ok(event) => Ok(Self::Event(event)),
            Err(error) => Err(Error::EventMalformed { problem: error.to_string() }),
        }
    }
}

/// Whether the deployer asks and reads the answer: a refusal is an answer then, and no failure of the function.
#[must_use]
pub(crate) fn is_asked(payload: &Payload) -> bool {
    match payload {
        Payload::Event(Event::Report { .. } | Event::Retire { .. } | Event::Leaked { .. }) => true,
        Payload::Event(Event::Upkeep) | Payload::Step(_) => false,
    }
}

/// The name of an event.
#[must_use]
pub(crate) fn name_of(event: &Event) -> &'static str {
    match event {
        Event::Report { .. } => "report",
        Event::Retire { .. } => "retire",
        Event::Leaked { .. } => "leaked",
        Event::Upkeep => "upkeep",
    }
}

/// What Secrets Manager asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The step to take.
    pub(crate) step: Step,
    /// ARN of the secret.
    pub(crate) secret_arn: String,
    /// `ClientRequestToken`: names the rotation, and is the id of the version that it makes.
    pub(crate) token: String,
    /// `RotationToken`, to be passed on to PutSecretValue if it was given.
    pub(crate) rotation_token: Option<Sensitive>,
}

impl Request {
    /// Reads an event. An error names the field and never quotes the event, which may hold a
    /// `RotationToken`.
    pub(crate) fn parse(event: &Value) -> Result<Self, Error> {
        let text = |name: &'static str| match event.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            _ => Err(Error::EventFieldMissing { field: name }),
        };
        let step = text("Step")?;
        Ok(Self {
            step: Step::parse(&step).ok_or(Error::UnknownStep { step })?,
            secret_arn: text("SecretId")?,
            token: text("ClientRequestToken")?,
            rotation_token: text("RotationToken").ok().map(Sensitive::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use contract::RefusalKind;

    use super::*;

    fn event(step: &str) -> Value {
        json!({"Step": step, "SecretId": "arn", "ClientRequestToken": "token", "RotationToken": "hunter2"})
    }

    #[test]
    fn both_spellings_of_a_step_are_accepted() {
        for (spelling, step) in [("createSecret", Step::Create), ("finish_secret", Step::Finish)] {
            assert_eq!(Request::parse(&event(spelling)).unwrap().step, step);
        }
    }

    #[test]
    fn an_event_of_ours_is_known_by_its_field() {
        for event in [Event::Report { logins: true }, Event::Leaked { key: "AKIA".into() }, Event::Upkeep] {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["event"], name_of(&event));
            assert_eq!(Payload::parse(&json).unwrap(), Payload::Event(event));
        }
        assert!(matches!(Payload::parse(&event("setSecret")), Ok(Payload::Step(Request { step: Step::Set, .. }))));
    }

    #[test]
    fn an_event_that_is_none_of_ours_is_refused_without_its_values() {
        let mut both = event("setSecret");
        both["event"] = json!("report");
        for (event, problem) in [
            (both, "unknown field"),
            (json!({"event": "rotate"}), "unknown variant `rotate`"),
            (json!({"event": 7}), "expected"),
            (json!({"event": "leaked"}), "missing field `key`"),
        ] {
            let error = Payload::parse(&event).unwrap_err();
            assert_eq!(error.kind(), RefusalKind::EventMalformed);
            assert!(error.to_string().contains(problem) && !error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn another_step_is_refused_by_name() {
        let error = Request::parse(&event("deleteSecret")).unwrap_err();
        assert_eq!(error.kind(), RefusalKind::UnknownStep);
        assert!(error.to_string().contains("deleteSecret"));
    }

    #[test]
    fn a_missing_or_malformed_field_is_named() {
        for field in ["Step", "SecretId", "ClientRequestToken"] {
            for bad in [Value::Null, json!(7), json!("")] {
                let mut event = event("createSecret");
                event[field] = bad;
                let error = Request::parse(&event).unwrap_err();
                assert_eq!(error.kind(), RefusalKind::EventFieldMissing);
                assert!(error.to_string().contains(field), "{error}");
            }
        }
        assert_eq!(Request::parse(&json!([1])).unwrap_err().kind(), RefusalKind::EventFieldMissing);
    }

    #[test]
    fn the_rotation_token_is_optional_and_never_shown() {
        let mut event = event("createSecret");
        let request = Request::parse(&event).unwrap();
        assert_eq!(request.rotation_token.as_ref().unwrap().reveal(), "hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
        event.as_object_mut().unwrap().remove("RotationToken");
        assert_eq!(Request::parse(&event).unwrap().rotation_token, None);
    }
}
