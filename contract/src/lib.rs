//! What the deployer and the handler must agree on: the function's environment, what the function is asked and
//! returns, the secret's JSON, the labels and tags, and where SES listens for SMTP.
//!
//! Pure data without I/O. The deployer writes [`Settings`] into the function's environment, the
//! handler reads them back; neither defines a name of its own.

mod answer;
mod aws_codes;
mod command;
mod consumer;
mod event;
mod fields;
mod label;
mod other_fields;
mod partition;
mod printable;
mod quarantine;
mod refusal;
#[cfg(test)]
mod releases;
mod report;
mod secret_value;
mod settings;
mod smtp_endpoint;
mod step;
mod text;
pub mod variable;

pub use answer::Answer;
pub use aws_codes::{DENIED, THROTTLED};
pub use command::Command;
pub use consumer::{Consumer, Instances};
pub use event::Event;
pub use fields::{Fields, Mapped, is_access_key_id};
pub use label::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, DEPLOYING, DONE, MOST_LABELS, TOLD, hosts_label, inactive_label,
    parse_hosts_label, parse_inactive_label, parse_since_label, since_label,
};
pub use other_fields::OtherFields;
pub use partition::Partition;
pub use printable::{is_hazard, printable, printable_json, printable_lines};
pub use quarantine::{is_quarantined, quarantine};
pub use refusal::{Refusal, RefusalKind};
pub use report::{Denial, HostReport, KeyReport, KeyVerdict, Login, Next, Report, Retired, VersionReport, WayOut};
pub use secret_value::{LONGEST_SECRET, SecretValue, SecretValueError};
pub use settings::{Settings, SettingsError, TestMail, user_name};
pub use smtp_endpoint::{SmtpEndpoint, SmtpEndpointError, Tls};
pub use step::Step;
pub use text::{Piece, Text};

/// Tag on everything that a deployment owns; its value is `<region>/<deployment name>`.
pub const TAG_DEPLOYMENT: &str = "deployer:deployment";

/// Tag on the IAM user, owned or not; its value is `<region>/<secret name>`.
///
/// A user serves exactly one secret: two secrets on one user would delete each other's keys.
pub const TAG_SECRET: &str = "deployer:secret";

/// The document of AWS's that runs any shell command. Used only if the configuration names it.
pub const RUN_SHELL_SCRIPT: &str = "AWS-RunShellScript";

/// Parameter of our own document: the secret's ARN, which is the script's one argument.
pub const DOCUMENT_PARAMETER: &str = "SecretArn";

/// Parameter of our own document, and the script's variable: the id of the version that the script is to fetch.
///
/// Secrets Manager's reads are eventually consistent, so a read by label alone may answer with the version before.
pub const VERSION_ID: DocumentVariable = DocumentVariable { parameter: "VersionId", variable: "SECRET_VERSION_ID" };

/// Parameter of our own document, and the script's variable: the label that the version carries.
pub const VERSION_STAGE: DocumentVariable =
    DocumentVariable { parameter: "VersionStage", variable: "SECRET_VERSION_STAGE" };

/// A parameter of our own document that the script gets as a variable of its environment.
#[derive(Clone, Copy, Debug)]
pub struct DocumentVariable {
    /// The parameter's name.
    pub parameter: &'static str,
    /// The variable's name.
    pub variable: &'static str,
}

/// IAM allows a user two access keys, Inactive ones included (IAM quotas).
pub const KEYS_PER_USER: usize = 2;

/// Seconds that Systems Manager may take to deliver a command to an instance: the least that
/// SendCommand accepts as `TimeoutSeconds`.
pub const COMMAND_DELIVERY_SECONDS: u64 = 30;

/// Seconds for which the login gate waits at least for a new key to be accepted everywhere. It uses all the time that hosts do not
/// need.
///
/// IAM publishes no figure; 5–15 s are usual, and fresh SMTP credentials were refused for one to two minutes on real accounts.
pub const LOGIN_GATE_SECONDS: u64 = 120;

/// Seconds that one invocation needs beside the login gate and [`Consumer::time_needed`]: API calls, the test mail, the answer.
pub const INVOCATION_MARGIN_SECONDS: u64 = 10;

/// Field of the handler's log lines: the level, such as `INFO` or `ERROR`.
pub const LOG_FIELD_LEVEL: &str = "level";

/// Field of the handler's log lines: the rotation's id, which is its `ClientRequestToken`.
pub const LOG_FIELD_ROTATION: &str = "rotation_id";

/// Field of the handler's log lines: the step, as Secrets Manager spells it.
pub const LOG_FIELD_STEP: &str = "step";

/// Field of a failed step's last log line: the error's type.
pub const LOG_FIELD_ERROR: &str = "error";

/// Field of a failed step's last log line: its [`Refusal`], as an object.
pub const LOG_FIELD_REFUSAL: &str = "refusal";

/// Field of the handler's log lines: the text.
pub const LOG_FIELD_MESSAGE: &str = "message";

/// Text of a finished step's last log line.
pub const LOG_MESSAGE_FINISHED: &str = "step finished";
