use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The secret's JSON, with the field names that existing consumers read.
///
/// Fields that we do not know are kept as they are. `Debug` never shows the password.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
pub struct SecretValue {
    /// ARN of the IAM user whose key this is; empty in a placeholder.
    #[serde(default)]
    pub iam_user_arn: String,
    /// The access key's id, which is the SMTP user name; empty in a placeholder.
    #[serde(rename = "AccessKeyId", default)]
    pub access_key_id: String,
    /// The SMTP password derived from the secret access key; empty in a placeholder.
    #[serde(rename = "SMTPPassword", default)]
    pub smtp_password: String,
    /// Name of the IAM user.
    pub username: String,
    /// Fields of somebody else, preserved through every rotation.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The secret's string is not the JSON object that we rotate.
#[derive(Debug, thiserror::Error)]
pub enum SecretValueError {
    /// Not JSON, not an object, or one of our fields has the wrong type. The text is not quoted:
    /// it may hold a password.
    #[error(
        "the secret's value is not the expected JSON object (line {line}, column {column}); it needs the string fields \
         iam_user_arn, AccessKeyId, SMTPPassword and username"
    )]
    Malformed {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
    },
}

impl SecretValue {
    /// The value of a new secret before its first rotation: it names the user and holds no credential.
    #[must_use]
    pub fn placeholder(username: &str) -> Self {
        Self {
            iam_user_arn: String::new(),
            access_key_id: String::new(),
            smtp_password: String::new(),
            username: username.to_owned(),
            other: Map::new(),
        }
    }

    /// Parses the secret's string. Errors never quote the text.
    pub fn parse(text: &str) -> Result<Self, SecretValueError> {
        serde_json::from_str(text)
            .map_err(|error| SecretValueError::Malformed { line: error.line(), column: error.column() })
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
        let own = fields.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value.as_str())));
        Value::Object(own.chain(self.other.clone()).collect()).to_string()
    }

    /// Whether it holds no credential yet.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.access_key_id.is_empty() || self.smtp_password.is_empty()
    }
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
        assert_eq!(value.other["host"], "h");
        assert_eq!(value.other["n"], 1);
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_password() {
        let value = SecretValue::parse(r#"{"username":"u","AccessKeyId":"AKIA","SMTPPassword":"hunter2"}"#).unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
        let error = SecretValue::parse(r#"{"username":3,"SMTPPassword":"hunter2"}"#).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn a_placeholder_names_the_user_and_holds_no_credential() {
        let value = SecretValue::parse(&SecretValue::placeholder("mail").to_json()).unwrap();
        assert!(value.is_placeholder());
        assert_eq!(value.username, "mail");
    }
}
