use std::fmt;

use contract::{AWSCURRENT, DEPLOYING};

/// AWSCURRENT on one version, DEPLOYING on another, and only a person knows which of them the hosts use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrossedLabels {
    /// The secret.
    pub(crate) secret: String,
    /// AWSCURRENT's version.
    pub(crate) current: String,
    /// DEPLOYING's version.
    pub(crate) deploying: String,
    /// Whether DEPLOYING's version is AWSPENDING as well, as a completed rotation may leave it.
    pub(crate) is_pending: bool,
}

/// The two ways out.
impl fmt::Display for CrossedLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, current, deploying, is_pending } = self;
        write!(
            f,
            "if the hosts use the one labelled DEPLOYING, move AWSCURRENT to it (`{}`); if every host uses AWSCURRENT, move \
             DEPLOYING to it (`{}`), ",
            move_label(secret, AWSCURRENT, Some(current), deploying),
            move_label(secret, DEPLOYING, Some(deploying), current),
        )?;
        if *is_pending {
            write!(f, "clear AWSPENDING (`{}`) and start a new rotation", clear_pending(secret, deploying))
        } else {
            f.write_str("and Secrets Manager goes on")
        }
    }
}

const MOVE_LABEL: &str = "aws secretsmanager update-secret-version-stage";

pub(super) fn clear_pending(secret: &str, version: &str) -> String {
    format!("{MOVE_LABEL} {} --version-stage AWSPENDING --remove-from-version-id {version}", of_secret(secret))
}

pub(super) fn move_label(secret: &str, label: &str, from: Option<&str>, to: &str) -> String {
    let from = from.map_or_else(String::new, |from| format!(" --remove-from-version-id {from}"));
    format!("{MOVE_LABEL} {} --version-stage {label} --move-to-version-id {to}{from}", of_secret(secret))
}

/// The region is the secret's, and need not be whoever types it's own.
pub(super) fn of_secret(arn: &str) -> String {
    let region = arn.split(':').nth(3).map_or_else(String::new, |region| format!("--region {region} "));
    format!("{region}--secret-id {arn}")
}

pub(super) fn activate(user: &str, key: &str) -> String {
    format!("aws iam update-access-key --user-name {user} --access-key-id {key} --status Active")
}

pub(super) fn delete(user: &str, key: &str) -> String {
    format!("aws iam delete-access-key --user-name {user} --access-key-id {key}")
}
