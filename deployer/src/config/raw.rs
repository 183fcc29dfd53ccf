//! What a configuration file may hold. The JSON Schema is generated from these types, and their comments are its
//! descriptions. What the values must be is decided in `check`, which is also where the defaults apply.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    duration::DurationText,
    leaf::{Leaf, Optional},
    mail,
    schedule::Schedule,
    text::{AccessKeyId, AccountId, DocumentName, InstanceId, KmsKey, Name, Region, RoleName, SecretName, UserName},
};

pub(super) const DEFAULT_RECOVERY_WINDOW: &str = "30d";
pub(super) const DEFAULT_INSTANCE_TIMEOUT: &str = "2m";
pub(super) const DEFAULT_SCHEDULE: &str = "rate(30 days)";
pub(super) const DEFAULT_ROTATE_ON_CREATE: bool = true;
pub(super) const DEFAULT_MEMORY: u32 = 128;
pub(super) const DEFAULT_FUNCTION_TIMEOUT: &str = "5m";
pub(super) const DEFAULT_ARCHITECTURE: &str = "x86_64";
pub(super) const DEFAULT_LOG_LEVEL: &str = "info";
pub(super) const DEFAULT_LOG_RETENTION: &str = "30d";

/// A deployment: the secret, the IAM user, the hosts and the SES sender whose SMTP credential is rotated.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "deployment")]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Prefixes every name that is derived. At most 38 lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = Name::PATTERN))]
    pub(super) name: Leaf<String>,
    /// Refuse to work in any other AWS account. In quotes.
    #[serde(default)]
    #[schemars(regex(pattern = AccountId::PATTERN))]
    pub(super) account_id: Optional<Leaf<String>>,
    /// The region of the secret, the function, the instances and SES. An SMTP password belongs to one region.
    #[schemars(regex(pattern = Region::PATTERN))]
    pub(super) region: Leaf<String>,
    /// Tags on everything that is created. Keys that begin with aws: or deployer: are taken.
    #[serde(default)]
    pub(super) tags: Optional<Leaf<BTreeMap<String, String>>>,
    /// The secret that holds the SMTP credential.
    pub(super) secret: RawSecret,
    /// The IAM user whose access key becomes the SMTP credential. A user serves exactly one secret.
    pub(super) iam_user: RawIamUser,
    /// The hosts that are told of a new credential before it becomes current. Leave out when none needs to be.
    #[serde(default)]
    pub(super) instance: Optional<RawInstance>,
    /// Who sends, and the test mail of each rotation.
    #[serde(default)]
    pub(super) ses: Optional<RawSes>,
    /// When the credential rotates.
    #[serde(default)]
    pub(super) rotation: Optional<RawRotation>,
    /// The Lambda function that rotates.
    #[serde(default)]
    pub(super) function: Optional<RawFunction>,
    /// Who is told of rotations: of each that ends, and of one that is overdue. Leave out when nobody is to be.
    #[serde(default)]
    pub(super) notify: Optional<RawNotify>,
}

/// The secret that holds the SMTP credential.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    /// Its name in Secrets Manager.
    #[schemars(regex(pattern = SecretName::PATTERN))]
    pub(super) name: Leaf<String>,
    /// The secret is there already. It is used, and never created, encrypted anew or deleted.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(super) existing: Optional<Leaf<bool>>,
    /// The key that encrypts it: an alias, a key id, or the ARN of either. Left out: the account's aws/secretsmanager.
    #[serde(default)]
    #[schemars(regex(pattern = KmsKey::PATTERN))]
    pub(super) kms_key: Optional<Leaf<String>>,
    /// How long a deleted secret can be restored: 7d to 30d.
    #[serde(default)]
    #[schemars(extend("default" = DEFAULT_RECOVERY_WINDOW))]
    pub(super) recovery_window: Optional<Leaf<DurationText>>,
}

/// The IAM user whose access key becomes the SMTP credential.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIamUser {
    /// Its name, without a path.
    #[schemars(regex(pattern = UserName::PATTERN))]
    pub(super) name: Leaf<String>,
    /// The user is there already. It is used, and never created, given a policy or deleted.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(super) existing: Optional<Leaf<bool>>,
    /// Ids of access keys that are no longer needed once the first rotation is done, and may then be deleted.
    #[serde(default)]
    #[schemars(inner(regex(pattern = AccessKeyId::PATTERN)), length(min = 1, max = 2))]
    pub(super) replaces: Optional<Leaf<Vec<String>>>,
}

/// The hosts that are told of a new credential.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{ "required": ["id"] }, { "required": ["ids"] }]))]
#[serde(deny_unknown_fields)]
pub(super) struct RawInstance {
    /// The EC2 instance. For several write `ids`.
    #[serde(default)]
    #[schemars(regex(pattern = InstanceId::PATTERN))]
    pub(super) id: Optional<Leaf<String>>,
    /// The EC2 instances, at most 50. For one write `id`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = InstanceId::PATTERN)), length(min = 1, max = 50))]
    pub(super) ids: Optional<Leaf<Vec<String>>>,
    /// Absolute path of the script on the hosts that takes the new credential into use. It is given the secret's ARN.
    #[schemars(regex(pattern = SCRIPT_PATTERN))]
    pub(super) script: Leaf<String>,
    /// How long the script may run.
    #[serde(default)]
    #[schemars(extend("default" = DEFAULT_INSTANCE_TIMEOUT))]
    pub(super) timeout: Optional<Leaf<DurationText>>,
    /// The instances' IAM role; it may then read this one secret.
    #[serde(default)]
    #[schemars(regex(pattern = RoleName::PATTERN))]
    pub(super) role: Optional<Leaf<String>>,
    /// The SSM document that runs the script. Left out, a document of our own runs it and nothing else;
    /// AWS-RunShellScript lets the function run any command as root.
    #[serde(default)]
    #[schemars(regex(pattern = DocumentName::PATTERN))]
    pub(super) document: Optional<Leaf<String>>,
}

/// A path without anything that a shell would read differently.
pub(super) const SCRIPT_PATTERN: &str = "^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$";

/// Who sends, and the test mail of each rotation.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(extend("dependentRequired" = { "sender": ["recipient"], "recipient": ["sender"] }))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSes {
    /// What the user may send as: addresses or patterns such as "*@example.com". Left out: any verified identity.
    #[serde(default)]
    #[schemars(inner(regex(pattern = mail::SENDER_PATTERN)), length(min = 1))]
    pub(super) from: Optional<Leaf<Vec<String>>>,
    /// From address of the test mail. Without it the test is a login.
    #[serde(default)]
    #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
    pub(super) sender: Optional<Leaf<String>>,
    /// Recipient of the test mail. success@simulator.amazonses.com always accepts.
    #[serde(default)]
    #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
    pub(super) recipient: Optional<Leaf<String>>,
    /// Where SES listens for SMTP, as smtps://HOST:PORT (TLS) or smtp://HOST:PORT (STARTTLS). Left out: the region's
    /// endpoint, port 465.
    #[serde(default)]
    #[schemars(regex(pattern = "^smtps?://[A-Za-z0-9.-]+:[0-9]{1,5}$"))]
    pub(super) endpoint: Optional<Leaf<String>>,
}

/// When the credential rotates.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRotation {
    /// rate(30 days), rate(12 hours) or cron(0 2 1 * ? *), in UTC; not more often than every four hours.
    #[serde(default)]
    #[schemars(regex(pattern = Schedule::PATTERN), extend("default" = DEFAULT_SCHEDULE))]
    pub(super) schedule: Optional<Leaf<String>>,
    /// How long after its scheduled start a rotation may begin: whole hours, such as 4h. Left out: one hour for a rate
    /// in hours, else until the end of the UTC day.
    #[serde(default)]
    pub(super) window: Optional<Leaf<DurationText>>,
    /// Rotate as soon as the deployment is created.
    #[serde(default)]
    #[schemars(extend("default" = DEFAULT_ROTATE_ON_CREATE))]
    pub(super) rotate_on_create: Optional<Leaf<bool>>,
    /// How long after a rotation the previous key stays usable. Left out: a day, or half the time between two
    /// rotations if that is shorter.
    #[serde(default)]
    pub(super) keep_previous: Optional<Leaf<DurationText>>,
}

/// The Lambda function that rotates.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFunction {
    /// Memory in MB.
    #[serde(default)]
    #[schemars(range(min = 128, max = 10240), extend("default" = DEFAULT_MEMORY))]
    pub(super) memory: Optional<Leaf<u32>>,
    /// How long one step of a rotation may take, at most 15m. A step waits for hosts and for SES.
    #[serde(default)]
    #[schemars(extend("default" = DEFAULT_FUNCTION_TIMEOUT))]
    pub(super) timeout: Optional<Leaf<DurationText>>,
    /// The processor that the function runs on.
    #[serde(default)]
    #[schemars(extend("enum" = super::Architecture::ALL.map(|(text, _)| text), "default" = DEFAULT_ARCHITECTURE))]
    pub(super) architecture: Optional<Leaf<String>>,
    /// How much the function logs. No level logs a secret.
    #[serde(default)]
    #[schemars(extend("enum" = super::LogLevel::ALL.map(|(text, _)| text), "default" = DEFAULT_LOG_LEVEL))]
    pub(super) log_level: Optional<Leaf<String>>,
    /// How long the function's log is kept.
    #[serde(default)]
    #[schemars(
        extend("enum" = super::LOG_RETENTION_DAYS.map(|days| format!("{days}d")), "default" = DEFAULT_LOG_RETENTION)
    )]
    pub(super) log_retention: Optional<Leaf<DurationText>>,
    /// A zip with the function, relative to this file. Left out: the one that the deployer carries or builds.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) package: Optional<Leaf<String>>,
}

/// Who is told of rotations.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    /// The address that notifications go to. It gets a mail that asks it to confirm, and nothing before it has.
    #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
    pub(super) email: Leaf<String>,
}
