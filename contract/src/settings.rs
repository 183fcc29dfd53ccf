use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use serde::Serialize;

use crate::{
    Consumer, Fields, Instances, SmtpEndpoint, SmtpEndpointError,
    variable::{
        CONSUMER, IAM_USER_ARN, IAM_USER_OWNED, KEEP_INACTIVE_SECONDS, KEEP_PREVIOUS_SECONDS, REPLACES,
        SECRET_ARN_PREFIX, SECRET_FIELDS, SES_RECIPIENT, SES_SENDER, SMTP_ENDPOINT, TOPIC_ARN,
    },
};

/// Everything that the handler is told by its environment. It follows from the configuration alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The secret's ARN without the six random characters that Secrets Manager appends, and
    /// without the hyphen before them.
    pub secret_arn_prefix: String,
    /// ARN of the IAM user whose keys are rotated.
    pub iam_user_arn: String,
    /// Whether the deployment owns the user. Only on an owned user may a key be freed that no
    /// version of the secret names.
    pub iam_user_owned: bool,
    /// Access key ids that the configuration declares replaced, and that may therefore be freed.
    pub replaces: Vec<String>,
    /// Further fields of the secret's value that a rotation writes.
    pub fields: Fields,
    /// Where SES listens for SMTP.
    pub smtp_endpoint: SmtpEndpoint,
    /// The test mail; without it the test is a login.
    pub test_mail: Option<TestMail>,
    /// Who is told of a new credential; none if nobody needs to be.
    pub consumer: Option<Consumer>,
    /// How long the previous key stays usable after a rotation. Whole seconds.
    pub keep_previous: Duration,
    /// How long a superseded key stays Inactive before it is deleted, whole seconds. Zero: it is deleted at once.
    pub keep_inactive: Duration,
    /// ARN of the SNS topic that is told of rotations; none if nobody is to be told.
    pub topic_arn: Option<String>,
}

/// The mail that `testSecret` sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestMail {
    /// The From header and the return path.
    pub sender: String,
    /// Its one recipient.
    pub recipient: String,
}

/// The environment is not what the deployer writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable that must be there is not.
    #[error("environment variable {0} is missing")]
    Missing(&'static str),
    /// A variable's text is not of its form.
    #[error("environment variable {name} is `{value}`, which is not {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its text.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The deployer of an older version wrote it.
    #[error("the function's environment is older than its code: it has {found} and no {CONSUMER}")]
    Outdated {
        /// The variable that only an older version writes.
        found: &'static str,
    },
    /// The consumer's JSON is not one.
    #[error("environment variable {CONSUMER} cannot be read: {problem}")]
    Consumer {
        /// What is wrong with it.
        problem: String,
    },
    /// The mapping of the secret's fields cannot be read.
    #[error("environment variable {SECRET_FIELDS} cannot be read: {problem}")]
    Fields {
        /// What is wrong with it.
        problem: String,
    },
    /// The endpoint is none.
    #[error("environment variable {SMTP_ENDPOINT}: {0}")]
    SmtpEndpoint(#[from] SmtpEndpointError),
}

/// What named the consumer before CONSUMER did.
const BEFORE_CONSUMER: [&str; 4] = ["INSTANCE_IDS", "DOCUMENT", SCRIPT, "SCRIPT_TIMEOUT_SECONDS"];
const SCRIPT: &str = "SCRIPT";

impl Settings {
    /// The environment variables that say this. What is optional and absent has no variable.
    #[must_use]
    pub fn to_env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: &dyn Display| env.insert(name.to_owned(), value.to_string());
        set(SECRET_ARN_PREFIX, &self.secret_arn_prefix);
        set(IAM_USER_ARN, &self.iam_user_arn);
        set(IAM_USER_OWNED, &self.iam_user_owned);
        if !self.replaces.is_empty() || !self.fields.is_empty() {
            // Code older than SECRET_FIELDS refuses a list with an empty item. It would otherwise rotate, and leave the old credential
            // in the mapped fields.
            set(REPLACES, &(self.replaces.join(",") + if self.fields.is_empty() { "" } else { "," }));
        }
        if !self.fields.is_empty() {
            set(SECRET_FIELDS, &serde_json::json!(self.fields));
        }
        set(SMTP_ENDPOINT, &self.smtp_endpoint);
        if let Some(mail) = &self.test_mail {
            set(SES_SENDER, &mail.sender);
            set(SES_RECIPIENT, &mail.recipient);
        }
        if let Some(consumer) = &self.consumer {
            set(CONSUMER, &serde_json::json!(consumer));
            // Code older than CONSUMER refuses an environment with one of its variables and without the others. It would otherwise
            // take this environment for "nobody is to be told", and rotate without telling a host.
            set(SCRIPT, &"in CONSUMER");
        }
        set(KEEP_PREVIOUS_SECONDS, &self.keep_previous.as_secs());
        set(KEEP_INACTIVE_SECONDS, &self.keep_inactive.as_secs());
        if let Some(topic) = &self.topic_arn {
            set(TOPIC_ARN, topic);
        }
        env
    }

    /// Reads what [`Settings::to_env`] wrote; `variable` looks one variable up.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let optional = |name: &'static str| variable(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(SettingsError::Missing(name));
        let seconds = |name| parse(name, &required(name)?, "a number of seconds").map(Duration::from_secs);
        let consumer = match optional(CONSUMER) {
            Some(json) => Some(json.parse()?),
            // To take that for "nobody is to be told" would rotate without telling the hosts.
            None => match BEFORE_CONSUMER.into_iter().find(|name| optional(name).is_some()) {
                Some(found) => return Err(SettingsError::Outdated { found }),
                None => None,
            },
        };
        let fields = optional(SECRET_FIELDS).map_or(Ok(Fields::default()), |json| fields(&json))?;
        let replaces = optional(REPLACES).map(|ids| match ids.strip_suffix(',') {
            Some(ids) if !fields.is_empty() => ids.to_owned(),
            _ => ids,
        });
        let replaces = replaces.filter(|ids| !ids.is_empty());
        let test_mail = match optional(SES_SENDER) {
            None => None,
            Some(sender) => Some(TestMail { sender, recipient: required(SES_RECIPIENT)? }),
        };
        Ok(Self {
            secret_arn_prefix: required(SECRET_ARN_PREFIX)?,
            iam_user_arn: required(IAM_USER_ARN)?,
            iam_user_owned: parse(IAM_USER_OWNED, &required(IAM_USER_OWNED)?, "true or false")?,
            replaces: replaces.map_or(Ok(Vec::new()), |ids| list(REPLACES, &ids))?,
            fields,
            smtp_endpoint: required(SMTP_ENDPOINT)?.parse()?,
            test_mail,
            consumer,
            keep_previous: seconds(KEEP_PREVIOUS_SECONDS)?,
            keep_inactive: seconds(KEEP_INACTIVE_SECONDS)?,
            topic_arn: optional(TOPIC_ARN),
        })
    }

    /// The IAM user's name.
    #[must_use]
    pub fn iam_user_name(&self) -> &str {
        user_name(&self.iam_user_arn)
    }

    /// Whether an ARN is the secret's: the prefix, a hyphen and six characters.
    #[must_use]
    pub fn is_our_secret(&self, arn: &str) -> bool {
        arn.strip_prefix(&self.secret_arn_prefix)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|suffix| suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()))
    }

    /// The secret's name. Secrets Manager finds a secret by it, and authorises the call on the whole ARN.
    #[must_use]
    pub fn secret_name(&self) -> &str {
        self.secret_arn_part(6)
    }

    /// The region, which is the secret's.
    #[must_use]
    pub fn region(&self) -> &str {
        self.secret_arn_part(3)
    }

    /// The value of the tag [`crate::TAG_SECRET`] that the user must carry: `<region>/<secret name>`.
    #[must_use]
    pub fn user_tag(&self) -> String {
        format!("{}/{}", self.region(), self.secret_name())
    }

    /// A part of `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`; a name has no colon.
    fn secret_arn_part(&self, index: usize) -> &str {
        self.secret_arn_prefix.split(':').nth(index).unwrap_or_default()
    }
}

/// The name in an IAM user's ARN: its last part, after any path.
#[must_use]
pub fn user_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Reads the variable [`CONSUMER`].
impl FromStr for Consumer {
    type Err = SettingsError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        let consumer =
            serde_json::from_str(json).map_err(|error| SettingsError::Consumer { problem: error.to_string() })?;
        match &consumer {
            Self::Instances(Instances { ids, .. }) if ids.is_empty() => {
                Err(SettingsError::Consumer { problem: "it names no instance".to_owned() })
            }
            Self::Instances(_) => Ok(consumer),
        }
    }
}

fn fields(json: &str) -> Result<Fields, SettingsError> {
    serde_json::from_str(json).map_err(|error| SettingsError::Fields { problem: error.to_string() })
}

fn list(name: &'static str, value: &str) -> Result<Vec<String>, SettingsError> {
    let items: Vec<_> = value.split(',').map(str::to_owned).collect();
    if items.iter().any(|item| item.trim().is_empty()) {
        return Err(SettingsError::Invalid { name, value: value.to_owned(), expected: "a list without empty items" });
    }
    Ok(items)
}

fn parse<T: FromStr>(name: &'static str, value: &str, expected: &'static str) -> Result<T, SettingsError> {
    value.parse().map_err(|_| SettingsError::Invalid { name, value: value.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            secret_arn_prefix: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-prod/smtp".into(),
            iam_user_arn: "arn:aws:iam::123456789012:user/mail/smtp".into(),
            iam_user_owned: true,
            replaces: vec!["AKIAIOSFODNN7EXAMPLE".into()],
            fields: fields(r#"{"host":"smtp_host"}"#).unwrap(),
            smtp_endpoint: SmtpEndpoint::of_region("eu-west-1"),
            test_mail: Some(TestMail { sender: "a@example.com".into(), recipient: "b@example.com".into() }),
            consumer: Some(Consumer::Instances(Instances {
                ids: vec!["i-0123456789abcdef0".into(), "i-0123456789abcdef1".into()],
                document: "mail-prod-rotate-smtp".into(),
                script: "/usr/local/bin/rotate_smtp.sh".into(),
                timeout_seconds: 120,
                content_sha256: Some("0".repeat(64)),
            })),
            keep_previous: Duration::from_hours(24),
            keep_inactive: Duration::from_hours(72),
            topic_arn: Some("arn:aws:sns:eu-west-1:123456789012:mail-prod-rotation".into()),
        }
    }

    #[test]
    fn settings_survive_the_environment() {
        let no_fields = Settings { fields: Fields::default(), ..settings() };
        let only_fields = Settings { replaces: vec![], ..settings() };
        let least =
            Settings { replaces: vec![], test_mail: None, consumer: None, topic_arn: None, ..no_fields.clone() };
        for settings in [settings(), no_fields, only_fields, least] {
            let env = settings.to_env();
            assert_eq!(Settings::from_env(|name| env.get(name).cloned()).unwrap(), settings);
        }
    }

    #[test]
    fn every_missing_or_malformed_variable_is_named() {
        let env = settings().to_env();
        for name in env
            .keys()
            .filter(|name| ![SES_SENDER, REPLACES, SECRET_FIELDS, CONSUMER, SCRIPT, TOPIC_ARN].contains(&name.as_str()))
        {
            let error = Settings::from_env(|n| (n != name).then(|| env.get(n).cloned()).flatten()).unwrap_err();
            assert!(error.to_string().contains(name.as_str()), "{error}");
        }
        for name in
            [IAM_USER_OWNED, SECRET_FIELDS, SMTP_ENDPOINT, KEEP_PREVIOUS_SECONDS, KEEP_INACTIVE_SECONDS, CONSUMER]
        {
            let lookup = |n: &str| if n == name { Some("-1".into()) } else { env.get(n).cloned() };
            let error = Settings::from_env(lookup).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_list_with_an_empty_item_is_refused() {
        let env = Settings { fields: Fields::default(), ..settings() }.to_env();
        for value in [",", "one,", ",one", "one,,two", "one, ,two"] {
            let lookup = |n: &str| if n == REPLACES { Some(value.into()) } else { env.get(n).cloned() };
            let error = Settings::from_env(lookup).unwrap_err();
            assert!(matches!(error, SettingsError::Invalid { name: REPLACES, .. }), "{value}: {error}");
        }
    }

    #[test]
    fn an_environment_older_than_the_consumer_is_refused_and_not_taken_for_one_without_hosts() {
        let env = Settings { consumer: None, ..settings() }.to_env();
        for old in BEFORE_CONSUMER {
            let lookup = |name: &str| match name {
                name if name == old => Some("x".into()),
                name => env.get(name).cloned(),
            };
            assert_eq!(Settings::from_env(lookup), Err(SettingsError::Outdated { found: old }));
        }
        let env = settings().to_env();
        let both = |name: &str| if name == "INSTANCE_IDS" { Some("x".into()) } else { env.get(name).cloned() };
        assert_eq!(Settings::from_env(both), Ok(settings()));
    }

    /// Such code took hosts from INSTANCE_IDS. It refused an environment without INSTANCE_IDS if one of the other three was there.
    #[test]
    fn code_older_than_the_consumer_refuses_an_environment_with_one() {
        let env = settings().to_env();
        assert!(!env.contains_key("INSTANCE_IDS") && env.contains_key(SCRIPT), "{env:?}");
        let nobody = Settings { consumer: None, ..settings() }.to_env();
        assert!(BEFORE_CONSUMER.iter().all(|name| !nobody.contains_key(*name)), "{nobody:?}");
    }

    /// Such code has the same rule for REPLACES, and knows no SECRET_FIELDS.
    #[test]
    fn code_older_than_the_mapped_fields_refuses_an_environment_with_some() {
        for replaces in [vec![], vec!["AKIAIOSFODNN7EXAMPLE".to_owned()]] {
            let env = Settings { replaces, ..settings() }.to_env();
            let before = |name: &str| if name == SECRET_FIELDS { None } else { env.get(name).cloned() };
            let error = Settings::from_env(before).unwrap_err();
            assert!(matches!(error, SettingsError::Invalid { name: REPLACES, .. }), "{error}");
        }
    }

    #[test]
    fn a_consumer_that_nobody_is_told_by_is_refused() {
        let env = settings().to_env();
        let nobody = r#"{"instances":{"ids":[],"document":"d","script":"/s","timeout_seconds":1}}"#;
        for json in [nobody, "{}", "i-0", r#"{"fleet":{}}"#] {
            let lookup = |name: &str| if name == CONSUMER { Some(json.into()) } else { env.get(name).cloned() };
            let error = Settings::from_env(lookup).unwrap_err();
            assert!(matches!(error, SettingsError::Consumer { .. }), "{json}: {error}");
        }
    }

    #[test]
    fn the_names_and_the_tag_follow_from_the_arns() {
        assert_eq!(settings().iam_user_name(), "smtp");
        assert_eq!(settings().user_tag(), "eu-west-1/mail-prod/smtp");
        assert_eq!(settings().region(), "eu-west-1");
        assert_eq!(settings().secret_name(), "mail-prod/smtp");
    }

    #[test]
    fn only_the_secret_itself_is_ours() {
        let prefix = settings().secret_arn_prefix;
        assert!(settings().is_our_secret(&format!("{prefix}-AbCd12")));
        for other in ["", "-AbCd1", "-AbCd123", "-two-AbCd12", "AbCd12", "-AbCd1?"] {
            assert!(!settings().is_our_secret(&format!("{prefix}{other}")), "{other}");
        }
    }
}
