//! What `config.example.yaml` declares, and texts of it that tests replace.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const SECRET: &str = "mail-prod/smtp";
pub(crate) const USER: &str = "mail-prod-smtp";
pub(crate) const ROLE: &str = "mail-prod-rotation-eu-west-1";
/// The role's inline policy.
pub(crate) const ROLE_POLICY: &str = "mail-prod-rotation";
pub(crate) const LOG_GROUP: &str = "/aws/lambda/mail-prod-rotation";
pub(crate) const LOG_GROUP_ARN: &str = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mail-prod-rotation";
pub(crate) const FUNCTION: &str = "mail-prod-rotation";
pub(crate) const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:mail-prod-rotation";
/// The topic has the function's name.
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mail-prod-rotation";
pub(crate) const RECORD: &str = "/deployer/mail-prod";
pub(crate) const DOCUMENT: &str = "mail-prod-rotate-smtp";
pub(crate) const RULE: &str = "mail-prod-upkeep";
pub(crate) const RULE_ARN: &str = "arn:aws:events:eu-west-1:123456789012:rule/mail-prod-upkeep";
pub(crate) const INSTANCE_ROLE: &str = "mail-prod-instance";
pub(crate) const EMAIL: &str = "ops@example.com";

/// The account's instances; the example's configuration has the first.
pub(crate) const INSTANCES: [&str; 3] = ["i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2"];

/// Replacements for a user that exists already.
pub(crate) const EXISTING_USER: [(&str, &str); 2] = [
    ("  existing: false\n  # true: the existing", "  existing: true\n  # true: the existing"),
    ("  from: [\"*@example.com\"]\n", ""),
];

/// Replacements for a secret that exists already.
pub(crate) const EXISTING_SECRET: [(&str, &str); 3] = [
    ("  existing: false\n  # An alias", "  existing: true\n  # An alias"),
    ("  kms_key: alias/mail\n", ""),
    ("  recovery_window: 30d\n", ""),
];

/// The replacement for an apply that does not rotate.
pub(crate) const ROTATE_LATER: (&str, &str) = ("rotate_on_create: true", "rotate_on_create: false");

/// The text of `config.example.yaml`.
pub(crate) fn text() -> String {
    fs::read_to_string(root().join("config.example.yaml")).unwrap()
}

/// The text of `config.example.yaml` without a block.
pub(crate) fn without(block: &str) -> String {
    without_block(&text(), block)
}

/// A text without a block: a key of the first level, and everything below it.
pub(crate) fn without_block(text: &str, block: &str) -> String {
    let (before, rest) = text.split_once(&format!("\n{block}:\n")).unwrap();
    let is_below = |line: &&str| line.is_empty() || line.starts_with([' ', '#']);
    let after: Vec<_> = rest.lines().skip_while(is_below).collect();
    format!("{before}\n{}\n", after.join("\n"))
}

/// The script that the sandbox's hosts have.
pub(crate) fn host_script() -> String {
    fs::read_to_string(root().join("examples/rotate_smtp_file.sh")).unwrap()
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
