use serde::{Deserialize, Serialize};

/// What the function is asked for beside the four steps of a rotation.
///
/// The deployer and the upkeep rule invoke the function with it; Secrets Manager's own events have a field `Step`
/// instead, and no field `event`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// How everything stands: returns a [`crate::Report`] and changes nothing.
    Report {
        /// Also try the credentials at SES that hosts may be using (AWSCURRENT, AWSPENDING, DEPLOYING). It takes seconds, so
        /// it is off by default. A superseded one is not tried: a login counts as use, and use keeps its key from going.
        #[serde(default)]
        logins: bool,
    },
    /// Make the keys Inactive that are past their grace and that nobody can be using, and delete those that have been Inactive for
    /// long enough: returns a [`crate::Retired`]. Never while a rotation is open.
    Retire {
        /// Also this key, which somebody looked at: one that no version names and that was never used. On a user that the
        /// deployment does not own nothing else makes such a key go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        orphan: Option<String>,
    },
    /// Delete a key now, because it leaked: returns a [`crate::Retired`]. Neither its grace nor its use keeps the key, nor that no
    /// version names it. A label that protects it does, and so does being the only Active key.
    Leaked {
        /// The key, so that nothing else than what somebody looked at goes.
        key: String,
    },
    /// What the daily rule asks for: tell the topic of a rotation that is overdue or was never attempted, of an Inactive key in
    /// use, and once a week of a superseded key that is still used; complete our labels, then retire.
    /// Returns a [`crate::Retired`], which is not wrapped in a [`crate::Answer`].
    Upkeep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_json() {
        let events = [
            (Event::Report { logins: true }, r#"{"event":"report","logins":true}"#),
            (Event::Retire { orphan: None }, r#"{"event":"retire"}"#),
            (Event::Retire { orphan: Some("AKIA".into()) }, r#"{"event":"retire","orphan":"AKIA"}"#),
            (Event::Leaked { key: "AKIA".into() }, r#"{"event":"leaked","key":"AKIA"}"#),
            (Event::Upkeep, r#"{"event":"upkeep"}"#),
        ];
        for (event, json) in events {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
        }
        assert_eq!(serde_json::from_str::<Event>(r#"{"event":"report"}"#).unwrap(), Event::Report { logins: false });
    }

    #[test]
    fn what_is_no_event_or_says_too_much_is_refused() {
        for json in [r#"{"event":"rotate"}"#, r#"{"event":"leaked"}"#, r#"{"event":"report","login":true}"#, "{}"] {
            assert!(serde_json::from_str::<Event>(json).is_err(), "{json}");
        }
    }
}
