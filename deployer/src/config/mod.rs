//! Strict YAML → [`Config`].
//!
//! `load` reads files, `yaml` turns text into trees of values with their places (`node`), `group` reads from a tree what
//! `raw` declares, and `check` turns that into [`Config`]s; only `load` touches the file system. All mistakes are reported
//! together (`problem`), each with its place and with what to write instead. A `Config` holds checked values only: nothing
//! later in the program checks them again.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use contract::Step;
use serde::{Serialize, Serializer};

pub(crate) use self::{
    duration::{parse as duration, spell},
    load::{Derived, Excess, Part, Taken, least, load, load_what_is_valid},
    mail::covers_sender,
    problem::{Code, Place, Problem, Spot},
    schema::join_description_lines,
};
pub use self::{
    load::parse,
    problem::ConfigError,
    schedule::Schedule,
    schema::json_schema,
    text::{
        AccessKeyId, AccountId, DocumentName, IamPath, InstanceId, InvalidValue, KmsKey, KnownPolicy, Name, PolicyArn,
        Region, ResourceName, RoleName, SecretName, SecurityGroupId, SubnetId, UserName,
    },
};

mod check;
mod duration;
mod group;
mod leaf;
mod load;
mod mail;
mod nearest;
mod node;
mod problem;
mod raw;
mod reader;
#[cfg(test)]
mod reference;
mod schedule;
mod schema;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod text;
mod yaml;

/// One deployment, as one YAML document declares it, with every default filled in. Its JSON has the keys and values of the file: it is what a
/// saved plan remembers, and a refusal names what changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Prefixes every name that is derived.
    pub name: Name,
    /// The name that the deployment had before, if it was another one.
    pub moved_from: Option<Name>,
    /// Whether `destroy` refuses the deployment.
    pub protect: bool,
    /// The only account to work in, if the file names one.
    pub account_id: Option<AccountId>,
    /// Region of everything but IAM.
    pub region: Region,
    /// Tags on everything that is created, beside our own.
    pub tags: BTreeMap<String, String>,
    /// The secret that holds the credential.
    pub secret: Secret,
    /// The user whose access keys are the credential.
    pub iam_user: IamUser,
    /// The hosts that are told of a new credential, if any.
    pub instance: Option<Instance>,
    /// Who sends, and the test mail.
    pub ses: Ses,
    /// When the credential rotates.
    pub rotation: Rotation,
    /// The Lambda function.
    pub function: Function,
    /// Who is told of rotations, if anybody.
    pub notify: Option<Notify>,
    /// Names that the file chooses.
    pub names: ResourceNames,
    /// The file that declares the deployment: not a part of what is declared.
    #[serde(skip)]
    pub source: PathBuf,
}

impl Config {
    /// Whether two deployments are in one account, as far as their files tell.
    pub(crate) fn may_share_an_account(&self, other: &Self) -> bool {
        let (a, b) = (&self.account_id, &other.account_id);
        a.is_none() || b.is_none() || a == b
    }
}

/// Names of resources that the deployer creates; none: they follow from the deployment's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResourceNames {
    /// The function's role.
    pub role: Option<RoleName>,
    /// The function; its log group follows.
    pub function: Option<ResourceName>,
    /// The Systems Manager document.
    pub document: Option<ResourceName>,
    /// The daily EventBridge rule.
    pub rule: Option<ResourceName>,
    /// The SNS topic.
    pub topic: Option<ResourceName>,
    /// What the names of the alarms begin with.
    pub alarms: Option<ResourceName>,
}

/// The secret that holds the credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Secret {
    /// Its name in Secrets Manager.
    pub name: SecretName,
    /// Whether it is referenced, not owned.
    pub existing: bool,
    /// The KMS key that encrypts it; none: `aws/secretsmanager`. Only on an owned secret.
    pub kms_key: Option<KmsKey>,
    /// Further fields of its value that a rotation writes.
    pub fields: contract::Fields,
    /// Days for which the deleted secret can be restored, 7 to 30.
    #[serde(rename = "recovery_window", serialize_with = "days")]
    pub recovery_window_days: u8,
}

/// The user whose access keys are the credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IamUser {
    /// Its name, without a path.
    pub name: UserName,
    /// Whether it is referenced, not owned.
    pub existing: bool,
    /// Whether a referenced user may be an administrator.
    pub allow_privileged: bool,
    /// Access keys that the function may delete once a rotation has completed.
    pub replaces: Vec<AccessKeyId>,
    /// Path of an owned user; none: `/`.
    pub path: Option<IamPath>,
    /// The policy that limits what an owned user may do; none: the user keeps the boundary that it has.
    pub permissions_boundary: Option<PolicyArn>,
    /// Policies and groups that others gave the user on purpose.
    pub known_policies: Vec<KnownPolicy>,
}

/// The hosts that are told of a new credential.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Instance {
    /// 1 to 50 different instances: `SendCommand` takes no more.
    pub ids: Vec<InstanceId>,
    /// Absolute path of the script on the hosts, without a character that a shell would interpret.
    pub script: String,
    /// How long the script may run; whole seconds.
    #[serde(serialize_with = "duration::spelled")]
    pub timeout: Duration,
    /// The instances' role, which may then read the secret.
    pub role: Option<RoleName>,
    /// A document of AWS that runs the script; none: ours does.
    pub document: Option<DocumentName>,
}

/// Who sends, and the test mail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ses {
    /// Patterns of what an owned user may send as; empty means any verified identity.
    pub from: Vec<String>,
    /// The test mail; none: the function tests a credential by a login only.
    // Nobody reads it back: it is flattened to have the file's own keys.
    #[serde(flatten)]
    pub test_mail: Option<contract::TestMail>,
    /// Where SES listens for SMTP.
    #[serde(serialize_with = "displayed")]
    pub endpoint: contract::SmtpEndpoint,
}

impl Ses {
    /// The senders of the user's policy: the patterns of [`Ses::from`], each also in lower case; empty means any verified identity.
    pub(crate) fn senders(&self) -> Vec<String> {
        let mut senders: Vec<_> = self.from.iter().flat_map(|pattern| mail::spellings(pattern)).collect();
        senders.sort();
        senders.dedup();
        senders
    }
}

/// When the credential rotates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rotation {
    /// When windows open.
    pub schedule: Schedule,
    /// How long windows stay open, in whole hours; none: Secrets Manager decides.
    #[serde(serialize_with = "duration::spelled_if_given")]
    pub window: Option<Duration>,
    /// Whether a new deployment rotates at once.
    pub rotate_on_create: bool,
    /// How long the previous key stays usable, in whole seconds; over before the next window opens.
    #[serde(serialize_with = "duration::spelled")]
    pub keep_previous: Duration,
    /// How long a superseded key is Inactive before it is deleted, in whole seconds.
    #[serde(serialize_with = "duration::spelled")]
    pub keep_inactive: Duration,
}

/// What the keys of the deployer's own tags begin with; the configuration may name no such key.
pub(crate) const OUR_TAGS: &str = "deployer:";

/// The Lambda function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// Memory in MB, 128 to 10240.
    #[serde(rename = "memory")]
    pub memory_mb: u32,
    /// Time limit of one invocation, whole seconds, at most 15 minutes.
    #[serde(serialize_with = "duration::spelled")]
    pub timeout: Duration,
    /// The processor that the function runs on.
    #[serde(serialize_with = "displayed")]
    pub architecture: Architecture,
    /// How much the function logs.
    #[serde(serialize_with = "displayed")]
    pub log_level: LogLevel,
    /// Days for which the function's log is kept; a number that CloudWatch Logs accepts.
    #[serde(rename = "log_retention", serialize_with = "days")]
    pub log_retention_days: u32,
    /// The role that exists already, as which the function runs; none: the deployer makes one.
    pub role: Option<RoleName>,
    /// Path of the function's role; none: `/`.
    pub role_path: Option<IamPath>,
    /// The policy that limits what the role may do; none: the role keeps the boundary that it has.
    pub role_permissions_boundary: Option<PolicyArn>,
    /// The network that the function is in; none: Lambda's own, from which the internet is reached.
    pub vpc: Option<Vpc>,
    /// Path of the zip to deploy, relative to the working directory; none: the function that a released
    /// deployer carries, else one built from the checkout.
    pub package: Option<PathBuf>,
}

impl Function {
    /// How long a rotation takes at most, if each of its steps takes as long as an invocation may; usually all of them take seconds.
    pub(crate) fn longest_rotation(&self) -> Duration {
        Step::ALL.iter().map(|_| self.timeout).sum()
    }
}

/// The network that the function is in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vpc {
    /// 1 to 16 different subnets of one VPC.
    pub subnets: Vec<SubnetId>,
    /// 1 to 5 different security groups of the same VPC.
    pub security_groups: Vec<SecurityGroupId>,
}

/// Who is told of rotations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notify {
    /// The address that subscribes to the topic.
    pub email: String,
}

/// A processor that Lambda offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Architecture {
    /// 64-bit Intel and AMD.
    X86_64,
    /// 64-bit Arm (Graviton).
    Arm64,
}

impl Architecture {
    pub(crate) const ALL: [(&str, Self); 2] = [("x86_64", Self::X86_64), ("arm64", Self::Arm64)];

    /// As the YAML and Lambda spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Also what may lead to a failure.
    Warn,
    /// Also every decision.
    Info,
    /// Also what each decision is based on.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// As the YAML and the function's environment spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For a value whose text says all of it.
fn displayed<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A number of days, as the file writes it.
fn days<S: Serializer>(days: &(impl fmt::Display + Copy), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{days}d"))
}

/// The numbers of days that `PutRetentionPolicy` accepts (API reference of `CloudWatch` Logs).
const LOG_RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
