//! What released versions write, recorded in `golden/`: a deployer meets the function of the release before or after it, and the
//! other way round. A folder is added with each release, and none is changed.
//!
//! If one of these tests fails, the change needs another way: a new variable or field beside the old one, with a default. If there
//! is none, the side that cannot work has to refuse and to say so, as code older than `CONSUMER` does.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Answer, Event, Next, Report, Retired, Settings};

/// Environment, report, and what else is asked and answered, as a release writes them.
const RELEASES: [(&str, [&str; 3]); 1] = [(
    "0.1.0",
    [
        include_str!("../golden/0.1.0/environment.json"),
        include_str!("../golden/0.1.0/report.json"),
        include_str!("../golden/0.1.0/others.json"),
    ],
)];

fn releases() -> impl Iterator<Item = (&'static str, [Value; 3])> {
    RELEASES.into_iter().map(|(release, files)| (release, files.map(|file| serde_json::from_str(file).unwrap())))
}

/// Fails unless everything recorded is still in what is written today; what was added does not matter.
#[track_caller]
fn is_in(recorded: &Value, today: &Value, release: &str) {
    match (recorded, today) {
        (Value::Object(recorded), Value::Object(today)) => {
            for (field, recorded) in recorded {
                let Some(today) = today.get(field) else { panic!("{release} reads the field {field}, which is gone") };
                is_in(recorded, today, release);
            }
        }
        (Value::Array(recorded), Value::Array(today)) => {
            assert_eq!(recorded.len(), today.len(), "{release}: {recorded:?}");
            recorded.iter().zip(today).for_each(|(recorded, today)| is_in(recorded, today, release));
        }
        _ => assert_eq!(recorded, today, "{release}"),
    }
}

/// Both directions: today's program reads what the release wrote, and what today's program writes has all that the release reads.
#[track_caller]
fn is_understood<T: DeserializeOwned + Serialize>(recorded: &Value, release: &str) {
    let read: T = serde_json::from_value(recorded.clone()).unwrap_or_else(|error| panic!("of {release}: {error}"));
    is_in(recorded, &json!(read), release);
}

fn from_env(environment: &Map<String, Value>) -> Settings {
    Settings::from_env(|name| environment.get(name)?.as_str().map(str::to_owned)).unwrap()
}

#[test]
fn todays_function_reads_the_environment_of_an_older_deployer_and_an_older_function_todays() {
    for (release, [environment, ..]) in releases() {
        let recorded = environment.as_object().unwrap();
        let written = from_env(recorded).to_env();
        for (name, value) in recorded {
            let value = value.as_str().unwrap();
            assert_eq!(written.get(name).map(String::as_str), Some(value), "the function of {release} reads {name}");
        }
    }
}

#[test]
fn todays_deployer_reads_the_report_of_an_older_function_and_an_older_deployer_todays() {
    for (release, [_, report, others]) in releases() {
        is_understood::<Answer<Report>>(&report, release);
        is_understood::<Vec<Next>>(&others["next"], release);
        is_understood::<Answer<Retired>>(&others["retired"], release);
    }
}

#[test]
fn what_an_older_deployer_asks_is_understood_and_asked_the_same_today() {
    for (release, [_, _, others]) in releases() {
        is_understood::<Vec<Event>>(&others["events"], release);
    }
}

#[test]
fn what_a_newer_function_adds_to_its_report_is_ignored() {
    for (_, [_, mut report, _]) in releases() {
        let before: Answer<Report> = serde_json::from_value(report.clone()).unwrap();
        for place in ["/done", "/done/versions/0", "/done/keys/0", "/done/hosts/0", "/done/next/fail/refusal"] {
            report.pointer_mut(place).unwrap()["added"] = json!({"by": "a newer function"});
        }
        assert_eq!(serde_json::from_value::<Answer<Report>>(report).unwrap(), before);
    }
}
