//! What a configuration file may hold. The JSON Schema is generated from these types, and their comments are its
//! descriptions. `group` reads them from a document; `check` decides what the values must be, and applies the defaults.

use std::{collections::BTreeMap, time::Duration};

use contract::KEYS_PER_USER;

use super::{
    Architecture, LogLevel,
    duration::DurationText,
    group::{Beginning, groups},
    leaf::{Leaf, Optional, Required},
    mail,
    schedule::Schedule,
    text::{
        AccessKeyId, AccountId, DocumentName, IamPath, InstanceId, KmsKey, KnownPolicy, Name, PolicyArn, Region,
        ResourceName, RoleName, SecretName, SecurityGroupId, SubnetId, UserName,
    },
};

pub(super) const DEFAULT_RECOVERY_WINDOW: &str = "30d";
pub(super) const DEFAULT_SCRIPT: &str = "/usr/local/bin/rotate_smtp.sh";
pub(super) const DEFAULT_INSTANCE_TIMEOUT: &str = "2m";
pub(super) const DEFAULT_SCHEDULE: &str = "rate(30 days)";
pub(super) const DEFAULT_ROTATE_ON_CREATE: bool = true;
/// How long the previous key stays usable, if there is time for that.
pub(super) const DEFAULT_KEEP_PREVIOUS: Duration = Duration::from_hours(24);
/// How long a superseded key is Inactive before it is deleted, if there is time for that: a weekend, and a working day.
pub(super) const DEFAULT_KEEP_INACTIVE: Duration = Duration::from_hours(72);
pub(super) const DEFAULT_MEMORY: u32 = MIN_MEMORY;
pub(super) const DEFAULT_FUNCTION_TIMEOUT: &str = "5m";
pub(super) const DEFAULT_ARCHITECTURE: Architecture = Architecture::X86_64;
pub(super) const DEFAULT_LOG_LEVEL: LogLevel = LogLevel::Info;
pub(super) const DEFAULT_LOG_RETENTION: &str = "30d";

/// A name that every program can read, and that needs no quotes where it is printed.
pub(super) const FIELD_PATTERN: &str = "^[A-Za-z0-9_.-]{1,64}$";

/// Further fields at most: all of them go into one variable of the function.
pub(super) const MAX_FIELDS: usize = 20;

/// A path without a character that a shell would interpret.
pub(super) const SCRIPT_PATTERN: &str = "^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$";

/// AWS allows 50 tags on a resource; the rest is for the deployer's own.
pub(super) const MAX_TAGS: usize = 40;

/// AWS's limit on the value of a tag.
pub(super) const MAX_TAG_VALUE: usize = 256;

/// `SendCommand` takes at most 50 instance ids.
pub(super) const MAX_INSTANCES: usize = 50;
/// More than IAM attaches to one user by default: 10 managed policies and 10 groups (IAM quotas).
pub(super) const MAX_KNOWN_POLICIES: usize = 50;

/// For a shorter limit, Systems Manager's agent takes an hour.
pub(super) const SHORTEST_SCRIPT: Duration = Duration::from_secs(5);

/// Lambda's limits: MB, and the time of one invocation.
pub(super) const MIN_MEMORY: u32 = 128;
pub(super) const MAX_MEMORY: u32 = 10_240;
pub(super) const LONGEST_INVOCATION: Duration = Duration::from_mins(15);

/// Lambda's limits (API reference, VpcConfig).
pub(super) const MAX_SUBNETS: usize = 16;
pub(super) const MAX_SECURITY_GROUPS: usize = 5;

groups! {
    /// A deployment: one SMTP credential that is rotated, its secret, its IAM user, and the hosts that use it.
    #[schemars(title = "deployment")]
    struct RawConfig {
        /// Name of the deployment; the names of its function, role and rule begin with it. At most 38 lower-case letters,
        /// digits and hyphens.
        #[schemars(regex(pattern = Name::PATTERN))]
        name: Required<Leaf<String>>,
        /// The name that the deployment had before: `apply` turns its secret and its user over to the new name, and makes anew what has a
        /// derived name.
        #[serde(default)]
        #[schemars(regex(pattern = Name::PATTERN))]
        moved_from: Optional<Leaf<String>>,
        /// The versions of the deployer that may work with this file, such as ">=0.1, <0.3". In quotes.
        #[serde(default)]
        #[schemars(length(min = 1))]
        required_version: Optional<Leaf<String>>,
        /// Whether `destroy` refuses this deployment, until an `apply` of a file without this line.
        #[serde(default)]
        #[schemars(extend("default" = false))]
        protect: Optional<Leaf<bool>>,
        /// The only AWS account to work in. In quotes.
        #[serde(default)]
        #[schemars(regex(pattern = AccountId::PATTERN))]
        account_id: Optional<Leaf<String>>,
        /// The region of the secret, the function, the instances and SES. An SMTP password belongs to one region.
        #[schemars(regex(pattern = Region::PATTERN))]
        region: Required<Leaf<String>>,
        /// Tags on everything that the deployer creates. Keys that begin with aws: or deployer: are reserved.
        #[serde(default)]
        tags: Optional<Leaf<BTreeMap<String, String>>>,
        /// The secret that holds the SMTP credential.
        secret: Required<RawSecret>,
        /// The IAM user whose access key becomes the SMTP credential. A user serves exactly one secret.
        iam_user: Required<RawIamUser>,
        /// The hosts that are told of a new credential before it becomes current. Leave out if no host needs to be told.
        #[serde(default)]
        instance: Optional<Beginning<RawInstance>>,
        /// Who sends, and the test mail of each rotation.
        #[serde(default)]
        ses: Optional<RawSes>,
        /// When the credential rotates.
        #[serde(default)]
        rotation: Optional<RawRotation>,
        /// The Lambda function that rotates.
        #[serde(default)]
        function: Optional<RawFunction>,
        /// Who is told of a rotation that has ended or is overdue, and of a function that fails or does not run. Leave out to tell nobody.
        #[serde(default)]
        notify: Optional<RawNotify>,
        /// Names of resources that the deployer creates, where the names that begin with `name` do not suit your account.
        #[serde(default)]
        names: Optional<RawNames>,
    }

    /// Names of resources that the deployer creates.
    #[derive(Default)]
    struct RawNames {
        /// The function's role. If left out: `<name>-rotation-<region>`.
        #[serde(default)]
        #[schemars(regex(pattern = RoleName::PATTERN))]
        role: Optional<Leaf<String>>,
        /// The function, and with it its log group. If left out: `<name>-rotation`.
        #[serde(default)]
        #[schemars(regex(pattern = ResourceName::PATTERN))]
        function: Optional<Leaf<String>>,
        /// The Systems Manager document. If left out: `<name>-rotate-smtp`.
        #[serde(default)]
        #[schemars(regex(pattern = ResourceName::PATTERN))]
        document: Optional<Leaf<String>>,
        /// The daily EventBridge rule. If left out: `<name>-upkeep`.
        #[serde(default)]
        #[schemars(regex(pattern = ResourceName::PATTERN))]
        rule: Optional<Leaf<String>>,
        /// The SNS topic. If left out: `<name>-rotation`.
        #[serde(default)]
        #[schemars(regex(pattern = ResourceName::PATTERN))]
        topic: Optional<Leaf<String>>,
        /// What the names of the CloudWatch alarms begin with. If left out: `<name>`.
        #[serde(default)]
        #[schemars(regex(pattern = ResourceName::PATTERN))]
        alarms: Optional<Leaf<String>>,
    }

    /// The secret that holds the SMTP credential.
    struct RawSecret {
        /// The secret's name in Secrets Manager.
        #[schemars(regex(pattern = SecretName::PATTERN))]
        name: Required<Leaf<String>>,
        /// The secret exists already. The deployer never creates it, changes its encryption or deletes it.
        #[serde(default)]
        #[schemars(extend("default" = false))]
        existing: Optional<Leaf<bool>>,
        /// The KMS key that encrypts the secret: an alias, a key id, or the ARN of either. If left out:
        /// aws/secretsmanager.
        #[serde(default)]
        #[schemars(regex(pattern = KmsKey::PATTERN))]
        kms_key: Optional<Leaf<String>>,
        /// Further fields of the secret's value that a rotation writes, for programs that read other names than username,
        /// AccessKeyId, SMTPPassword and iam_user_arn.
        #[serde(default)]
        #[schemars(extend(
            "propertyNames" = { "pattern": FIELD_PATTERN },
            "additionalProperties" = { "enum": contract::Mapped::ALL.map(|(word, _)| word) },
            "minProperties" = 1,
            "maxProperties" = MAX_FIELDS
        ))]
        fields: Optional<Leaf<BTreeMap<String, String>>>,
        /// How long a deleted secret can be restored: 7d to 30d.
        #[serde(default)]
        #[schemars(extend("default" = DEFAULT_RECOVERY_WINDOW))]
        recovery_window: Optional<Leaf<DurationText>>,
    }

    /// The IAM user whose access key becomes the SMTP credential.
    struct RawIamUser {
        /// The user's name, without a path.
        #[schemars(regex(pattern = UserName::PATTERN))]
        name: Required<Leaf<String>>,
        /// The user exists already. The deployer never creates it, gives it a policy or deletes it.
        #[serde(default)]
        #[schemars(extend("default" = false))]
        existing: Optional<Leaf<bool>>,
        /// The existing user may be an administrator. Whoever has the credential then is one, too.
        #[serde(default)]
        #[schemars(extend("default" = false))]
        allow_privileged: Optional<Leaf<bool>>,
        /// Ids of access keys that nobody needs after the first rotation. The function may then delete them.
        #[serde(default)]
        #[schemars(inner(regex(pattern = AccessKeyId::PATTERN)), length(min = 1, max = KEYS_PER_USER))]
        replaces: Optional<Leaf<Vec<String>>>,
        /// The path of the user that the deployer creates. If left out: /.
        #[serde(default)]
        #[schemars(regex(pattern = IamPath::PATTERN))]
        path: Optional<Leaf<String>>,
        /// The ARN of the managed policy that limits what the user may do. If left out, the user keeps the boundary that it has.
        #[serde(default)]
        #[schemars(regex(pattern = PolicyArn::PATTERN))]
        permissions_boundary: Optional<Leaf<String>>,
        /// What others gave the user on purpose: names of inline policies and of groups, and ARNs of managed policies. `plan` and `status`
        /// tell of every other one. Nothing compares what a policy says.
        #[serde(default)]
        #[schemars(inner(regex(pattern = KnownPolicy::PATTERN)), length(min = 1, max = MAX_KNOWN_POLICIES))]
        known_policies: Optional<Leaf<Vec<String>>>,
    }

    /// The hosts that are told of a new credential.
    #[schemars(extend("oneOf" = [{ "required": ["id"] }, { "required": ["ids"] }]))]
    struct RawInstance {
        /// The EC2 instance. For several write `ids`.
        #[serde(default)]
        #[schemars(regex(pattern = InstanceId::PATTERN))]
        id: Optional<Leaf<String>>,
        /// The EC2 instances, at most 50. For one write `id`.
        #[serde(default)]
        #[schemars(inner(regex(pattern = InstanceId::PATTERN)), length(min = 1, max = MAX_INSTANCES))]
        ids: Optional<Leaf<Vec<String>>>,
        /// Absolute path of the script that installs the new credential on a host. Its argument is the secret's ARN.
        #[serde(default)]
        #[schemars(regex(pattern = SCRIPT_PATTERN), extend("default" = DEFAULT_SCRIPT))]
        script: Optional<Leaf<String>>,
        /// How long the script may run, at least 5s.
        #[serde(default)]
        #[schemars(extend("default" = DEFAULT_INSTANCE_TIMEOUT))]
        timeout: Optional<Leaf<DurationText>>,
        /// The instances' IAM role. The deployer lets it read this one secret.
        #[serde(default)]
        #[schemars(regex(pattern = RoleName::PATTERN))]
        role: Optional<Leaf<String>>,
        /// The Systems Manager document that runs the script. If left out, the deployer creates a document that runs the
        /// script and nothing else. AWS-RunShellScript lets the function run any command as root.
        #[serde(default)]
        #[schemars(regex(pattern = DocumentName::PATTERN))]
        document: Optional<Leaf<String>>,
    }

    /// Who sends, and the test mail of each rotation.
    #[derive(Default)]
    #[schemars(extend("dependentRequired" = { "sender": ["recipient"], "recipient": ["sender"] }))]
    struct RawSes {
        /// The addresses that the user may send from, or patterns such as "*@example.com"; "*" alone is any verified identity. IAM
        /// compares letters exactly: mail may be sent with an address as it is written here, or with the same in lower case. If left
        /// out: the domain of `sender`, or any verified identity if there is no sender.
        #[serde(default)]
        #[schemars(inner(regex(pattern = mail::SENDER_PATTERN)), length(min = 1))]
        from: Optional<Leaf<Vec<String>>>,
        /// From address of the test mail. If left out, the function tests a new credential by a login only.
        #[serde(default)]
        #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
        sender: Optional<Leaf<String>>,
        /// Recipient of the test mail. success@simulator.amazonses.com always accepts.
        #[serde(default)]
        #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
        recipient: Optional<Leaf<String>>,
        /// Where SES listens for SMTP, as smtps://HOST:PORT (TLS) or smtp://HOST:PORT (STARTTLS). If left out: the
        /// region's endpoint, port 465.
        #[serde(default)]
        #[schemars(regex(pattern = "^smtps?://[A-Za-z0-9.-]+:[0-9]{1,5}$"))]
        endpoint: Optional<Leaf<String>>,
    }

    /// When the credential rotates.
    #[derive(Default)]
    struct RawRotation {
        /// rate(30 days), rate(12 hours) or cron(0 2 1 * ? *), in UTC; not more often than every four hours.
        #[serde(default)]
        #[schemars(regex(pattern = Schedule::PATTERN), extend("default" = DEFAULT_SCHEDULE))]
        schedule: Optional<Leaf<String>>,
        /// How long after its scheduled start a rotation may begin: whole hours, such as 4h. If left out: one hour for a
        /// rate in hours, else until the end of the UTC day; shorter if keep_previous would not end before the next window.
        #[serde(default)]
        window: Optional<Leaf<DurationText>>,
        /// Rotate as soon as the deployment is created. With false, the first rotation comes with the schedule's next window, which
        /// may be today's.
        #[serde(default)]
        #[schemars(extend("default" = DEFAULT_ROTATE_ON_CREATE))]
        rotate_on_create: Optional<Leaf<bool>>,
        /// How long after a rotation the previous key stays usable. If left out: a day, or half the time between two
        /// rotations if that is shorter, or what the window leaves.
        #[serde(default)]
        keep_previous: Optional<Leaf<DurationText>>,
        /// How long a superseded key is Inactive before it is deleted; 0s: it is deleted at once. If left out: three days, or nothing
        /// if rotations follow each other too soon for that.
        #[serde(default)]
        #[schemars(extend("pattern" = "^(0[smhd]|[1-9][0-9]{0,5}[smhd])$"))]
        keep_inactive: Optional<Leaf<DurationText>>,
    }

    /// The Lambda function that rotates.
    #[derive(Default)]
    struct RawFunction {
        /// Memory in MB.
        #[serde(default)]
        #[schemars(range(min = MIN_MEMORY, max = MAX_MEMORY), extend("default" = DEFAULT_MEMORY))]
        memory: Optional<Leaf<u32>>,
        /// How long one step of a rotation may take, at most 15m. A step waits for hosts and for SES.
        #[serde(default)]
        #[schemars(extend("default" = DEFAULT_FUNCTION_TIMEOUT))]
        timeout: Optional<Leaf<DurationText>>,
        /// The processor that the function runs on.
        #[serde(default)]
        #[schemars(extend("enum" = Architecture::ALL.map(|(text, _)| text), "default" = DEFAULT_ARCHITECTURE.as_str()))]
        architecture: Optional<Leaf<String>>,
        /// How much the function logs. No level logs a secret.
        #[serde(default)]
        #[schemars(extend("enum" = LogLevel::ALL.map(|(text, _)| text), "default" = DEFAULT_LOG_LEVEL.as_str()))]
        log_level: Optional<Leaf<String>>,
        /// How long the function's log is kept.
        #[serde(default)]
        #[schemars(
            extend("enum" = super::LOG_RETENTION_DAYS.map(|days| format!("{days}d")), "default" = DEFAULT_LOG_RETENTION)
        )]
        log_retention: Optional<Leaf<DurationText>>,
        /// A role that exists already, as which the function runs. The deployer never creates, changes or deletes it. If left out, the
        /// deployer creates a role.
        #[serde(default)]
        #[schemars(regex(pattern = RoleName::PATTERN))]
        role: Optional<Leaf<String>>,
        /// The path of the function's role. If left out: /.
        #[serde(default)]
        #[schemars(regex(pattern = IamPath::PATTERN))]
        role_path: Optional<Leaf<String>>,
        /// The ARN of the managed policy that limits what the role may do. If left out, the role keeps the boundary that it has.
        #[serde(default)]
        #[schemars(regex(pattern = PolicyArn::PATTERN))]
        role_permissions_boundary: Optional<Leaf<String>>,
        /// The network that the function is in. From there it has to reach the APIs of AWS and the SMTP endpoint. If left out: Lambda's own
        /// network.
        #[serde(default)]
        vpc: Optional<RawVpc>,
        /// Path of a zip with the function, relative to this file. If left out: the function that a released deployer carries,
        /// else one built from the checkout.
        #[serde(default)]
        #[schemars(length(min = 1))]
        package: Optional<Leaf<String>>,
    }

    /// The network that the function is in.
    struct RawVpc {
        /// Ids of subnets of one VPC, best in several availability zones.
        #[schemars(inner(regex(pattern = SubnetId::PATTERN)), length(min = 1, max = MAX_SUBNETS))]
        subnets: Required<Leaf<Vec<String>>>,
        /// Ids of security groups of the same VPC. They have to let the function out to port 443 and to that of the SMTP endpoint.
        #[schemars(inner(regex(pattern = SecurityGroupId::PATTERN)), length(min = 1, max = MAX_SECURITY_GROUPS))]
        security_groups: Required<Leaf<Vec<String>>>,
    }

    /// Who is told of rotations.
    struct RawNotify {
        /// The address that receives notifications. It must first confirm the subscription: AWS sends it a mail with a link.
        #[schemars(regex(pattern = mail::ADDRESS_PATTERN))]
        email: Required<Leaf<String>>,
    }
}
