use std::{collections::BTreeMap, fmt};

use serde_json::{Value, value::RawValue};

use crate::other_fields::{OtherFields, Parsed};

/// How many bytes a secret's value has at most (Secrets Manager quotas, "Secret value size").
pub const LONGEST_SECRET: usize = 65_536;

/// The secret's JSON, with the field names that existing consumers read.
///
/// Fields that we do not know are kept as they are, to the letter. `Debug` never shows the password.
#[derive(Clone, PartialEq)]
pub struct SecretValue {
    /// `iam_user_arn`: ARN of the IAM user whose key this is; empty in a placeholder.
    pub iam_user_arn: String,
    /// `AccessKeyId`: the access key's id, which is the SMTP user name; empty in a placeholder.
    pub access_key_id: String,
    /// `SMTPPassword`: the SMTP password derived from the secret access key; empty in a placeholder.
    pub smtp_password: String,
    /// `username`: name of the IAM user.
    pub username: String,
    /// Fields of somebody else, preserved through every rotation.
    pub other: OtherFields,
}

/// The secret's string is not the JSON object that we rotate. No value in it is quoted: it may be a password.
#[derive(Debug, thiserror::Error)]
pub enum SecretValueError {
    /// Not JSON.
    #[error("the secret's value is not JSON (line {line}, column {column}); {EXPECTED}")]
    NotJson {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the secret's value is {found}, not a JSON object; {EXPECTED}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A field stands in it more than once: one program reads the first of the two, another one the last.
    #[error(
        "the secret's value has the field {field} more than once, and a rotation would keep only one of them: leave the one that programs \
         are to read"
    )]
    FieldTwice {
        /// Its name.
        field: String,
    },
    /// One of our fields is missing, or is no text.
    #[error("the field {field} of the secret's value is {found}, and must be {must_be}; it has {others}; {EXPECTED}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What stands in it.
        found: &'static str,
        /// What should.
        must_be: &'static str,
        /// The names of its fields.
        others: String,
    },
}

const EXPECTED: &str = "it needs the string fields iam_user_arn, AccessKeyId, SMTPPassword and username, of which only username has \
                        to be filled before the first rotation";

/// Names of fields that an error lists at most.
const NAMES: usize = 12;

impl SecretValue {
    /// The value of a new secret before its first rotation: it names the user and holds no credential.
    #[must_use]
    pub fn placeholder(username: &str) -> Self {
        Self {
            iam_user_arn: String::new(),
            access_key_id: String::new(),
            smtp_password: String::new(),
            username: username.to_owned(),
            other: OtherFields::default(),
        }
    }

    /// The names of our own fields.
    pub const FIELDS: [&str; 4] = ["iam_user_arn", "AccessKeyId", "SMTPPassword", "username"];

    /// Parses the secret's string. Errors never quote a value of it.
    pub fn parse(text: &str) -> Result<Self, SecretValueError> {
        let not_json =
            |error: serde_json::Error| SecretValueError::NotJson { line: error.line(), column: error.column() };
        let raw: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        if !raw.get().starts_with('{') {
            return Err(SecretValueError::NotAnObject { found: kind_of_text(raw.get()) });
        }
        let mut fields = match serde_json::from_str(text).map_err(not_json)? {
            Parsed::Fields(fields) => fields,
            Parsed::Twice(field) => return Err(SecretValueError::FieldTwice { field: shown(&field) }),
        };
        let others = names(&fields);
        let mut own = |field: &'static str, must_be| match fields.remove(field) {
            Some(Value::String(text)) => Ok(text),
            None if field != "username" => Ok(String::new()),
            found => {
                let found = found.as_ref().map_or("missing", kind);
                Err(SecretValueError::Field { field, found, must_be, others: others.clone() })
            }
        };
        Ok(Self {
            username: own("username", "the name of the IAM user")?,
            access_key_id: own("AccessKeyId", "the SMTP user name, or empty")?,
            smtp_password: own("SMTPPassword", "the SMTP password, or empty")?,
            iam_user_arn: own("iam_user_arn", "the ARN of the IAM user, or empty")?,
            other: fields,
        })
    }

    /// The string to store.
    #[must_use]
    pub fn to_json(&self) -> String {
        let fields = [
            ("iam_user_arn", &self.iam_user_arn),
            ("AccessKeyId", &self.access_key_id),
            ("SMTPPassword", &self.smtp_password),
            ("username", &self.username),
        ];
        let text = |text: &str| Value::from(text).to_string();
        let own = fields.into_iter().map(|(name, value)| (name, text(value)));
        let others = self.other.texts().map(|(name, text)| (name, text.to_owned()));
        let fields: BTreeMap<_, _> = own.chain(others).collect();
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Whether it holds no credential yet.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.access_key_id.is_empty() || self.smtp_password.is_empty()
    }
}

/// The kind of a JSON value that is no object.
fn kind_of_text(text: &str) -> &'static str {
    match text.chars().next() {
        Some('[') => "a list",
        Some('"') => "text",
        Some('t' | 'f') => "true or false",
        Some('n') => "null",
        _ => "a number",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The names of the fields, as far as a name may be shown.
fn names(fields: &OtherFields) -> String {
    let plain: Vec<&str> = fields.names().filter(|name| is_plain(name)).take(NAMES).collect();
    match fields.len() - plain.len() {
        0 if plain.is_empty() => "no field".to_owned(),
        0 => format!("the fields {}", plain.join(", ")),
        more if plain.is_empty() => format!("{more} other fields"),
        more => format!("the fields {} and {more} more", plain.join(", ")),
    }
}

fn is_plain(name: &str) -> bool {
    name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// A name, if it may be shown.
fn shown(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { "(a name that is not shown)".to_owned() }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue")
            .field("iam_user_arn", &self.iam_user_arn)
            .field("access_key_id", &self.access_key_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let text = r#"{"username":"u","AccessKeyId":"AKIA","SMTPPassword":"p","iam_user_arn":"a","host":"h","n":1}"#;
        let value = SecretValue::parse(text).unwrap();
        assert_eq!(SecretValue::parse(&value.to_json()).unwrap(), value);
        assert_eq!(value.other.get("host").unwrap(), "h");
        assert_eq!(value.other.get("n").unwrap(), 1);
    }

    #[test]
    fn what_is_not_ours_is_kept_to_the_letter() {
        let others = [
            "12345678901234567890123",
            "9007199254740993",
            "1e3",
            "1.10",
            "-0",
            "1e999",
            r#""caf\u00e9 \/ \ud83d\ude00""#,
            r#""half \ud800""#,
            "{ \"b\" : 1.0 ,\n \"a\":[ 1,2 ], \"b\": 2 }",
            "null",
        ];
        for other in others {
            let text = format!(
                r#"{{"username":"u","AccessKeyId":"A","SMTPPassword":"p","iam_user_arn":"a","other":{other}}}"#
            );
            let mut value = SecretValue::parse(&text).unwrap();
            value.smtp_password = "new".to_owned();
            let stored = value.to_json();
            assert!(stored.contains(&format!(r#""other":{other}"#)), "{other}: {stored}");
            assert_eq!(SecretValue::parse(&stored).unwrap(), value, "{other}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_and_its_values_are_not_shown() {
        for text in [
            r#"{"username":"u","note":"hunter2","note":"hunter3"}"#,
            r#"{"username":"u","SMTPPassword":"hunter2","SMTPPassw\u006frd":"hunter3"}"#,
        ] {
            let error = SecretValue::parse(text).unwrap_err();
            assert!(
                matches!(&error, SecretValueError::FieldTwice { field } if ["note", "SMTPPassword"].contains(&field.as_str()))
            );
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_password() {
        let value = SecretValue::parse(r#"{"username":"u","AccessKeyId":"AKIA","SMTPPassword":"hunter2"}"#).unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
        for text in [r#"{"username":3,"SMTPPassword":"hunter2"}"#, r#""hunter2""#, "hunter2", r#"{"hunter 2":1}"#] {
            let error = SecretValue::parse(text).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_value_in_the_shape_of_another_tool_is_refused_with_the_field_what_is_in_it_and_what_is_expected() {
        let refused = |text| SecretValue::parse(text).unwrap_err().to_string();
        let other_tool = refused(r#"{"SMTP_USERNAME":"AKIA","SMTP_PASSWORD":"hunter2","host":"h","port":465}"#);
        assert_eq!(
            other_tool,
            "the field username of the secret's value is missing, and must be the name of the IAM user; it has the fields \
             SMTP_PASSWORD, SMTP_USERNAME, host, port; it needs the string fields iam_user_arn, AccessKeyId, SMTPPassword and \
             username, of which only username has to be filled before the first rotation"
        );
        let number = refused(r#"{"username":"u","AccessKeyId":7}"#);
        assert!(number.starts_with("the field AccessKeyId of the secret's value is a number, and must be"), "{number}");
        assert!(refused("[]").starts_with("the secret's value is a list, not a JSON object"));
    }

    #[test]
    fn a_placeholder_names_the_user_and_holds_no_credential() {
        let value = SecretValue::parse(&SecretValue::placeholder("mail").to_json()).unwrap();
        assert!(value.is_placeholder());
        assert_eq!(value.username, "mail");
    }
}
