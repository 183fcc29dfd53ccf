//! Names of the variables of the function's environment.

/// The secret's ARN without its random suffix.
pub const SECRET_ARN_PREFIX: &str = "SECRET_ARN_PREFIX";

/// The ARN of the IAM user whose keys are rotated.
pub const IAM_USER_ARN: &str = "IAM_USER_ARN";

/// Who has to be told of a new credential: a [`crate::Consumer`] as JSON.
pub const CONSUMER: &str = "CONSUMER";

/// Further fields of the secret's value that a rotation writes: [`crate::Fields`] as JSON.
pub const SECRET_FIELDS: &str = "SECRET_FIELDS";

/// For how long a superseded key stays Active at least, in seconds.
pub const KEEP_PREVIOUS_SECONDS: &str = "KEEP_PREVIOUS_SECONDS";

/// For how long a superseded key stays Inactive at least before it is deleted, in seconds.
pub const KEEP_INACTIVE_SECONDS: &str = "KEEP_INACTIVE_SECONDS";

/// The function's log level: `error`, `warn`, `info`, `debug` or `trace`.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

pub(crate) const IAM_USER_OWNED: &str = "IAM_USER_OWNED";
pub(crate) const REPLACES: &str = "REPLACES";
pub(crate) const SMTP_ENDPOINT: &str = "SMTP_ENDPOINT";
pub(crate) const SES_SENDER: &str = "SES_SENDER";
pub(crate) const SES_RECIPIENT: &str = "SES_RECIPIENT";
pub(crate) const TOPIC_ARN: &str = "TOPIC_ARN";
