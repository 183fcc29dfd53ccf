//! Checked texts. Each type's `FromStr` is the only way to make a value, so every value is valid.

use std::{fmt, ops::Deref, str::FromStr};

use serde::Serialize;

use super::nearest::nearest;

/// Why a text is refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// One sentence that quotes the text.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl InvalidValue {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.hint)
    }
}

impl std::error::Error for InvalidValue {}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Regular expression for the JSON Schema. It may accept more than `FromStr` does, never less.
            pub(super) const PATTERN: &str = $pattern;

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let check: fn(&str) -> Result<(), InvalidValue> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// Name of a deployment, with which the names of its resources begin.
    ///
    /// It has to suit them all: the role `<name>-rotation-<region>` may have 64 characters, and roles whose names
    /// differ only in case are the same; the function `<name>-rotation` may have letters, digits, `-` and `_`; the
    /// document `<name>-rotate-smtp` must not begin like those of AWS.
    Name,
    "^[a-z]([a-z0-9-]{0,36}[a-z0-9])?$",
    check_name
);

checked_text!(
    /// Id of a subnet (EC2: `subnet-` and 8 or 17 hexadecimal digits).
    SubnetId,
    "^subnet-([0-9a-f]{8}|[0-9a-f]{17})$",
    |text| check_id(text, "subnet-", "a subnet", "write its id, such as subnet-0123456789abcdef0")
);

checked_text!(
    /// Id of a security group (EC2: `sg-` and 8 or 17 hexadecimal digits).
    SecurityGroupId,
    "^sg-([0-9a-f]{8}|[0-9a-f]{17})$",
    |text| check_id(text, "sg-", "a security group", "write its id, such as sg-0123456789abcdef0; Lambda takes no name")
);

checked_text!(
    /// Twelve digits.
    AccountId,
    "^[0-9]{12}$",
    |text| ensure(
        text.len() == 12 && text.chars().all(|c| c.is_ascii_digit()),
        || format!("`{text}` is not an AWS account id"),
        "write twelve digits in quotes: \"123456789012\"",
    )
);

checked_text!(
    /// A region by its shape: AWS adds regions, so no list of them is complete.
    Region,
    "^[a-z]{2,4}(-[a-z]{2,8})?-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[0-9]{1,2}$",
    check_region
);

checked_text!(
    /// Name of a secret (Secrets Manager: letters, digits and `/_+=.@-`, at most 512).
    SecretName,
    "^[A-Za-z0-9/_+=.@-]{1,512}$",
    check_secret_name
);

checked_text!(
    /// The key that encrypts the secret: `alias/…`, a key id, or the ARN of either.
    KmsKey,
    "^(alias/[A-Za-z0-9/_-]{1,250}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32}|arn:aws[a-z-]{0,10}:kms:[a-z0-9-]{9,16}:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,250})$",
    check_kms_key
);

checked_text!(
    /// Name of an IAM user, without its path (IAM: letters, digits and `_+=,.@-`, at most 64).
    UserName,
    "^[A-Za-z0-9_+=,.@-]{1,64}$",
    |text| check_iam_name("user", text)
);

checked_text!(
    /// Name of an IAM role, without its path.
    RoleName,
    "^[A-Za-z0-9_+=,.@-]{1,64}$",
    |text| check_iam_name("role", text)
);

checked_text!(
    /// Name of a function, a document, a rule or a topic, or how those of alarms begin: what all of them accept. No document may begin like those of AWS.
    ResourceName,
    "^[A-Za-z0-9_-]{3,64}$",
    |text| ensure(
        (3..=64).contains(&text.len())
            && is_made_of(text, alphanumeric, "_-")
            && !RESERVED_DOCUMENT_PREFIXES.iter().any(|prefix| text.to_ascii_lowercase().starts_with(prefix)),
        || format!("`{text}` is no name that a function, a document, a rule, a topic and alarms may all have"),
        "use 3 to 64 letters, digits, - and _, and do not begin with aws, amazon or amzn",
    )
);

checked_text!(
    /// Path of an IAM user or role: `/`, or `/mail/`.
    IamPath,
    "^/([A-Za-z0-9_+=,.@-]+/)*$",
    |text| ensure(
        text == "/"
            || text.len() <= 512
                && text
                    .strip_prefix('/')
                    .and_then(|rest| rest.strip_suffix('/'))
                    .is_some_and(|rest| rest.split('/').all(|part| is_made_of(part, alphanumeric, "_+=,.@-"))),
        || format!("`{text}` is not an IAM path"),
        "begin and end with `/`, such as /mail/; between them use letters, digits and _+=,.@-, at most 512 characters",
    )
);

checked_text!(
    /// ARN of a managed policy.
    PolicyArn,
    "^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]{1,640}$",
    |text| ensure(
        is_policy_arn(text),
        || format!("`{text}` is not the ARN of a managed policy"),
        "write its ARN, such as arn:aws:iam::123456789012:policy/boundary",
    )
);

checked_text!(
    /// The name of a user's inline policy or of a group, or the ARN of a managed policy (IAM: names of at most 128 characters).
    KnownPolicy,
    "^([A-Za-z0-9_+=,.@-]{1,128}|arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]{1,640})$",
    |text| ensure(
        is_policy_arn(text) || is_made_of(text, alphanumeric, "_+=,.@-") && text.len() <= 128,
        || format!("`{text}` is neither the name of a policy or a group nor the ARN of a managed policy"),
        "write the name or the ARN as plan and status tell it",
    )
);

checked_text!(
    /// Id of a long-lived access key. Temporary credentials, which begin with ASIA, cannot be SMTP credentials.
    AccessKeyId,
    "^AKIA[A-Z0-9]{12,60}$",
    |text| ensure(
        text.strip_prefix("AKIA")
            .is_some_and(|rest| (12..=60).contains(&rest.len()) && is_made_of(rest, upper_or_digit, "")),
        || format!("`{text}` is not an access key id"),
        "write the id, which begins with AKIA, such as AKIAIOSFODNN7EXAMPLE; never write the secret access key here",
    )
);

checked_text!(
    /// Id of an EC2 instance.
    InstanceId,
    "^i-([0-9a-f]{8}|[0-9a-f]{17})$",
    |text| ensure(
        text.strip_prefix("i-").is_some_and(|rest| [8, 17].contains(&rest.len()) && is_made_of(rest, lower_hex, "")),
        || format!("`{text}` is not an EC2 instance id"),
        "write `i-` and 17 (in old ids 8) digits or letters a to f, such as i-0123456789abcdef0",
    )
);

checked_text!(
    /// Name of a Systems Manager document that is not ours. Only this one has the parameters that the function fills in.
    DocumentName,
    "^AWS-RunShellScript$",
    |text| ensure(
        text == contract::RUN_SHELL_SCRIPT,
        || format!("`{text}` is not a document that a rotation can run"),
        "remove `document`: the deployer then creates one that runs only the script. The one other choice, \
         AWS-RunShellScript, lets the function run any command as root",
    )
);

fn check_id(text: &str, prefix: &str, what: &str, hint: &str) -> Result<(), InvalidValue> {
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    let is_hexadecimal = digits.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    ensure([8, 17].contains(&digits.len()) && is_hexadecimal, || format!("`{text}` is not the id of {what}"), hint)
}

fn ensure(holds: bool, message: impl FnOnce() -> String, hint: &str) -> Result<(), InvalidValue> {
    if holds { Ok(()) } else { Err(InvalidValue::new(message(), hint)) }
}

fn is_made_of(text: &str, letter: fn(char) -> bool, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| letter(c) || others.contains(c))
}

fn upper_or_digit(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit()
}

fn lower_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn lower_hex(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

fn alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// Beginnings that Systems Manager reserves for documents of AWS (`CreateDocument`, "Name").
const RESERVED_DOCUMENT_PREFIXES: [&str; 3] = ["aws", "amazon", "amzn"];

fn check_name(text: &str) -> Result<(), InvalidValue> {
    ensure(
        is_made_of(text, lower_or_digit, "-")
            && text.len() <= 38
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-'),
        || format!("`{text}` is not a deployment name"),
        "use at most 38 lower-case letters, digits and hyphens, such as mail-prod; begin with a letter, and end with a \
         letter or a digit",
    )?;
    ensure(
        !RESERVED_DOCUMENT_PREFIXES.iter().any(|prefix| text.starts_with(prefix)),
        || format!("`{text}` cannot name a deployment: AWS reserves names that begin with aws, amazon or amzn"),
        "begin with another word, such as mail-prod",
    )
}

fn is_policy_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    partition.starts_with("aws")
        && partition.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        && (*account == "aws" || account.len() == 12 && account.chars().all(|c| c.is_ascii_digit()))
        && resource
            .strip_prefix("policy/")
            .is_some_and(|name| name.len() <= 640 && is_made_of(name, alphanumeric, "_+=,.@/-"))
}

/// Where in its area a region is: the last word of its code.
const DIRECTIONS: [&str; 9] =
    ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [area, country @ .., direction, number] = parts.as_slice() else { return false };
    let lowercase = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
    (2..=4).contains(&area.len())
        && lowercase(area)
        && country.len() <= 1
        && country.iter().all(|word| (2..=8).contains(&word.len()) && lowercase(word))
        && DIRECTIONS.contains(direction)
        && (1..=2).contains(&number.len())
        && number.chars().all(|c| c.is_ascii_digit())
        // The role `<name>-rotation-<region>` has 64 characters, 48 of them for the rest.
        && text.len() <= 16
}

fn check_region(text: &str) -> Result<(), InvalidValue> {
    if is_region(text) {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase().replace('_', "-");
    let without_zone = lower.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let (words, number) = without_zone.split_at(without_zone.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    let words = words.trim_end_matches('-');
    let meant = match words.rsplit_once('-') {
        Some((area, direction)) => {
            let direction = nearest(direction, DIRECTIONS.into_iter()).unwrap_or(direction);
            format!("{area}-{direction}-{number}")
        }
        None => format!("{words}-{number}"),
    };
    let hint = if !is_region(&meant) {
        "write the region's code, such as eu-west-1".to_owned()
    } else if lower.len() > without_zone.len() {
        format!("this is an availability zone: write its region, {meant}")
    } else {
        format!("did you mean {meant}?")
    };
    Err(InvalidValue::new(format!("`{text}` is not an AWS region"), hint))
}

fn check_secret_name(text: &str) -> Result<(), InvalidValue> {
    if let Some((_, name)) = text.split_once(":secret:") {
        // The ARN ends in a hyphen and six characters that are not part of the name.
        let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
        return Err(InvalidValue::new(
            format!("`{text}` is an ARN, not a secret's name"),
            format!("write the name alone: {name}"),
        ));
    }
    ensure(
        is_made_of(text, alphanumeric, "/_+=.@-") && text.len() <= 512,
        || format!("`{text}` is not a secret's name"),
        "use at most 512 letters, digits and /_+=.@-, such as mail-prod/smtp",
    )
}

fn check_iam_name(kind: &str, text: &str) -> Result<(), InvalidValue> {
    if let Some((_, name)) = text.rsplit_once('/').filter(|(_, name)| !name.is_empty()) {
        return Err(InvalidValue::new(
            format!("`{text}` is an ARN or a path, not a {kind}'s name"),
            format!("write the name alone: {name}"),
        ));
    }
    ensure(
        is_made_of(text, alphanumeric, "_+=,.@-") && text.len() <= 64,
        || format!("`{text}` is not an IAM {kind}'s name"),
        "use at most 64 letters, digits and _+=,.@-",
    )
}

fn check_kms_key(text: &str) -> Result<(), InvalidValue> {
    if text.starts_with("arn:") {
        return check_kms_arn(text);
    }
    if text.starts_with("alias/aws/") {
        return Err(InvalidValue::new(
            format!("`{text}` is an AWS managed key"),
            "remove `kms_key` to use aws/secretsmanager, or name a key of yours, such as alias/mail",
        ));
    }
    ensure(
        is_alias(text) || is_key_id(text),
        || format!("`{text}` is not a KMS key"),
        "write an alias (alias/mail), a key id (1234abcd-12ab-34cd-56ef-1234567890ab), or the ARN of either",
    )
}

fn check_kms_arn(text: &str) -> Result<(), InvalidValue> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let holds = match parts.as_slice() {
        ["arn", partition, "kms", region, account, key] => {
            partition.strip_prefix("aws").is_some_and(|rest| rest.len() <= 10 && rest.chars().all(lower_or_hyphen))
                && is_region(region)
                && account.parse::<AccountId>().is_ok()
                && (is_alias(key) || key.strip_prefix("key/").is_some_and(is_key_id))
        }
        _ => false,
    };
    ensure(
        holds,
        || format!("`{text}` is not the ARN of a KMS key"),
        "write an ARN such as arn:aws:kms:eu-west-1:123456789012:alias/mail, or one that ends in :key/ and the key's id",
    )
}

fn lower_or_hyphen(c: char) -> bool {
    c.is_ascii_lowercase() || c == '-'
}

fn is_alias(text: &str) -> bool {
    text.strip_prefix("alias/").is_some_and(|name| is_made_of(name, alphanumeric, "/_-") && name.len() <= 250)
}

fn is_key_id(text: &str) -> bool {
    if let Some(multi_region) = text.strip_prefix("mrk-") {
        return multi_region.len() == 32 && is_made_of(multi_region, lower_hex, "");
    }
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| is_made_of(group, lower_hex, ""))
}

impl KmsKey {
    /// The region in an ARN. An alias or an id has none: it belongs to the deployment's region.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.0.strip_prefix("arn:")?.split(':').nth(2)
    }
}
