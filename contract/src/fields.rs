use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Command, SecretValue, SmtpEndpoint, Text, text};

/// Further names under which the secret's value holds what a rotation writes: programs go on reading the fields that they know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, Mapped>);

/// What a field of the secret's value may be mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapped {
    /// The access key's id, which is the SMTP user name.
    AccessKeyId,
    /// The SMTP password.
    SmtpPassword,
    /// Host name of the SMTP endpoint.
    SmtpHost,
    /// Port of the SMTP endpoint.
    SmtpPort,
}

impl Mapped {
    /// Each with its spelling in the configuration.
    pub const ALL: [(&'static str, Self); 4] = [
        ("access_key_id", Self::AccessKeyId),
        ("smtp_password", Self::SmtpPassword),
        ("smtp_host", Self::SmtpHost),
        ("smtp_port", Self::SmtpPort),
    ];

    fn spelling(self) -> &'static str {
        // ALL has every variant.
        Self::ALL.iter().find(|(_, mapped)| *mapped == self).map_or("", |(word, _)| word)
    }
}

/// Names under which programs and other tools keep an SMTP credential: in lower case, without `_` and `-`.
const USUAL_NAMES: [(&str, Mapped); 16] = [
    ("smtpusername", Mapped::AccessKeyId),
    ("smtpuser", Mapped::AccessKeyId),
    ("emailhostuser", Mapped::AccessKeyId),
    ("mailusername", Mapped::AccessKeyId),
    ("mailuser", Mapped::AccessKeyId),
    ("sesusername", Mapped::AccessKeyId),
    ("user", Mapped::AccessKeyId),
    ("awsaccesskeyid", Mapped::AccessKeyId),
    ("smtppassword", Mapped::SmtpPassword),
    ("smtppass", Mapped::SmtpPassword),
    ("emailhostpassword", Mapped::SmtpPassword),
    ("mailpassword", Mapped::SmtpPassword),
    ("sespassword", Mapped::SmtpPassword),
    ("password", Mapped::SmtpPassword),
    ("passwd", Mapped::SmtpPassword),
    ("pass", Mapped::SmtpPassword),
];

/// More notes would hide each other.
const MAX_NOTES: usize = 10;

/// Characters of a field's name that a note shows.
const LONGEST_NAME: usize = 64;

impl Fields {
    /// The mapping of these names.
    #[must_use]
    pub fn new(names: BTreeMap<String, Mapped>) -> Self {
        Self(names)
    }

    /// The names of the fields that hold a part of the credential, and so are old after a rotation that does not write them.
    pub fn of_credential(&self) -> impl Iterator<Item = &str> {
        let is_of_it = |mapped: &Mapped| matches!(mapped, Mapped::AccessKeyId | Mapped::SmtpPassword);
        self.0.iter().filter(move |(_, mapped)| is_of_it(mapped)).map(|(name, _)| name.as_str())
    }

    /// Whether a field is mapped.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes every mapped field of a value, so that none is older than the credential beside it.
    pub fn write(&self, value: &mut SecretValue, endpoint: &SmtpEndpoint) {
        for (name, mapped) in &self.0 {
            let new = content(*mapped, value, endpoint, value.other.get(name).as_ref());
            value.other.insert(name.clone(), &new);
        }
    }

    /// What a person should know of the fields that are not ours: a mapped one that is not written yet, and one that looks like a
    /// credential and that no rotation writes. `others`: the values of the other versions, whose credentials a field may still hold. Names no
    /// value.
    #[must_use]
    pub fn notes(&self, current: &SecretValue, others: &[&SecretValue], endpoint: &SmtpEndpoint) -> Vec<Text> {
        let stale = self.0.iter().filter(|(name, mapped)| {
            let now = current.other.get(name);
            !current.is_placeholder() && now.as_ref() != Some(&content(**mapped, current, endpoint, now.as_ref()))
        });
        let stale = stale.map(|(name, _)| {
            text![
                format!("the field {name} of AWSCURRENT is not what secret.fields says: a rotation writes it, so run "),
                Command::deployer("rotate")
            ]
        });
        let unmapped = current.other.names().filter(|name| !self.0.contains_key(*name));
        let unmapped = unmapped.filter_map(|name| {
            let value = current.other.get(name)?;
            let text = value.as_str().filter(|text| !text.is_empty())?;
            if let Some(mapped) = part_of(text, current) {
                return Some(is_not_written(name, mapped, Held::InUse));
            }
            let other = others.iter().find_map(|other| part_of(text, other)).or_else(|| looks_like(name, text))?;
            // Before the first rotation, a program keeps its own credential there.
            let held = if current.is_placeholder() { Held::Unknown } else { Held::Another };
            Some(is_not_written(name, other, held))
        });
        stale.chain(unmapped).take(MAX_NOTES).collect()
    }
}

fn content(mapped: Mapped, credential: &SecretValue, endpoint: &SmtpEndpoint, now: Option<&Value>) -> Value {
    match mapped {
        Mapped::AccessKeyId => credential.access_key_id.as_str().into(),
        Mapped::SmtpPassword => credential.smtp_password.as_str().into(),
        Mapped::SmtpHost => endpoint.host.as_str().into(),
        // A program that reads the port as text goes on finding text.
        Mapped::SmtpPort if now.is_some_and(Value::is_string) => endpoint.port.to_string().into(),
        Mapped::SmtpPort => endpoint.port.into(),
    }
}

/// Which part of this credential a field holds.
fn part_of(text: &str, credential: &SecretValue) -> Option<Mapped> {
    if text == credential.access_key_id {
        Some(Mapped::AccessKeyId)
    } else if text == credential.smtp_password {
        Some(Mapped::SmtpPassword)
    } else {
        None
    }
}

/// Which part of some credential a field seems to hold: by its value, or by its name.
fn looks_like(name: &str, text: &str) -> Option<Mapped> {
    if is_access_key_id(text) {
        return Some(Mapped::AccessKeyId);
    }
    let name: String = name.chars().filter(|c| !"_-".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    USUAL_NAMES.iter().find(|(usual, _)| *usual == name).map(|(_, mapped)| *mapped)
}

/// Whose credential a field holds.
#[derive(Clone, Copy)]
enum Held {
    InUse,
    Another,
    /// AWSCURRENT holds none to compare it with.
    Unknown,
}

fn is_not_written(name: &str, mapped: Mapped, held: Held) -> Text {
    let word = mapped.spelling();
    let name: String = name.chars().take(LONGEST_NAME).collect();
    let gets_old = "gets an old one after the next rotation";
    let (what, then) = match held {
        Held::InUse => ("holds the credential in use", gets_old),
        Held::Unknown => ("looks like a credential", gets_old),
        Held::Another => ("looks like another credential than the one in use", "cannot send once that one is retired"),
    };
    format!(
        "the field {name} of AWSCURRENT {what}, and no rotation writes it: a program that reads it {then}. Map it (secret: {{fields: \
         {{{name}: {word}}}}}), or remove it from the secret"
    )
    .into()
}

/// Whether a text has the form of an access key's id (IAM, "Unique identifier prefixes": AKIA is a user's).
#[must_use]
pub fn is_access_key_id(text: &str) -> bool {
    text.starts_with("AKIA")
        && (16..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> SmtpEndpoint {
        SmtpEndpoint::of_region("eu-west-1")
    }

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    const ALL: &str =
        r#"{"SMTP_USERNAME":"access_key_id","SMTP_PASSWORD":"smtp_password","host":"smtp_host","port":"smtp_port"}"#;

    fn value(other: &str) -> SecretValue {
        let mut value = SecretValue::parse(r#"{"username":"u","AccessKeyId":"NEW","SMTPPassword":"p"}"#).unwrap();
        let others: BTreeMap<String, Value> = serde_json::from_str(other).unwrap();
        for (name, other) in others {
            value.other.insert(name, &other);
        }
        value
    }

    fn notes(fields: &Fields, other: &str) -> Vec<String> {
        fields.notes(&value(other), &[], &endpoint()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mapped_field_is_written_and_every_other_one_is_kept() {
        let mut value = value(r#"{"SMTP_PASSWORD":"old","host":"elsewhere","note":"mine"}"#);
        fields(ALL).write(&mut value, &endpoint());
        let expected = serde_json::json!({
            "SMTP_USERNAME": "NEW", "SMTP_PASSWORD": "p", "host": "email-smtp.eu-west-1.amazonaws.com", "port": 465, "note": "mine"
        });
        let found: BTreeMap<_, _> = value.other.names().map(|name| (name, value.other.get(name))).collect();
        assert_eq!(serde_json::json!(found), expected);
    }

    #[test]
    fn a_port_that_was_text_stays_text() {
        let mut value = value(r#"{"port":"587"}"#);
        fields(ALL).write(&mut value, &endpoint());
        assert_eq!(value.other.get("port").unwrap(), "465");
    }

    #[test]
    fn a_field_that_looks_like_a_credential_and_is_not_mapped_is_told_without_its_value() {
        for (other, mapped) in [
            (r#"{"EMAIL_HOST_PASSWORD":"hunter2"}"#, "{EMAIL_HOST_PASSWORD: smtp_password}"),
            (r#"{"user":"x"}"#, "{user: access_key_id}"),
            (r#"{"anything":"p"}"#, "{anything: smtp_password}"),
            (r#"{"anything":"AKIAIOSFODNN7EXAMPLE"}"#, "{anything: access_key_id}"),
        ] {
            let told = notes(&Fields::default(), other);
            assert!(told.len() == 1 && told[0].contains(mapped) && !told[0].contains("hunter2"), "{other}: {told:?}");
        }
        for other in [r#"{"host":"h","port":465,"note":"p2"}"#, r#"{"password":""}"#, "{}"] {
            assert_eq!(notes(&Fields::default(), other), [""; 0]);
        }
    }

    #[test]
    fn a_field_with_an_older_credential_is_told_from_one_with_the_credential_in_use() {
        let older = SecretValue::parse(r#"{"username":"u","AccessKeyId":"OLD","SMTPPassword":"p-old"}"#).unwrap();
        let told = |other: &str| Fields::default().notes(&value(other), &[&older], &endpoint())[0].to_string();
        assert!(told(r#"{"mailpw":"p"}"#).contains("holds the credential in use"));
        for other in [r#"{"mailpw":"p-old"}"#, r#"{"mailuser2":"OLD"}"#, r#"{"anything":"AKIAIOSFODNN7EXAMPLE"}"#] {
            assert!(told(other).contains("cannot send once that one is retired"), "{other}");
        }
    }

    #[test]
    fn a_mapped_field_that_no_rotation_has_written_yet_is_told() {
        let told = notes(&fields(ALL), r#"{"SMTP_USERNAME":"NEW","SMTP_PASSWORD":"old","host":"x"}"#);
        let told_of = ["SMTP_PASSWORD", "host", "port"];
        assert!(told.len() == 3 && told.iter().zip(told_of).all(|(note, name)| note.contains(name)), "{told:?}");
        let mut written = value("{}");
        fields(ALL).write(&mut written, &endpoint());
        assert_eq!(fields(ALL).notes(&written, &[], &endpoint()), []);
        assert_eq!(fields(ALL).notes(&SecretValue::placeholder("u"), &[], &endpoint()), []);
    }
}
