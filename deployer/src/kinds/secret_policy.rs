//! The resource policy of a secret: no file declares it, and it may deny what a rotation needs or let others read the credential.

use contract::{Command, Text, text};
use serde_json::Value;

use crate::{
    aws::Aws,
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
    sentences::{Home, sentences},
};

/// What is known of it.
#[derive(Default)]
pub(crate) enum SecretPolicy {
    #[default]
    None,
    /// The caller may not read it.
    Unreadable,
    /// Its statements as sentences.
    There(Vec<String>),
}

pub(super) async fn read(aws: &Aws, secret: &str) -> Result<SecretPolicy, Error> {
    let answer = aws.secretsmanager.get_resource_policy().secret_id(secret).send().await;
    let answer = answer.failed_to(|| format!("read the resource policy of secret {secret}"));
    let policy = match absent_is_none(answer, &["ResourceNotFoundException"]) {
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(SecretPolicy::Unreadable),
        answer => answer?.and_then(|answer| answer.resource_policy),
    };
    Ok(policy.map_or(SecretPolicy::None, |policy| SecretPolicy::There(said(&policy))))
}

fn said(policy: &str) -> Vec<String> {
    let parsed: Option<Value> = serde_json::from_str(policy).ok();
    parsed.and_then(|policy| sentences(&policy, Home::NOWHERE)).unwrap_or_else(|| vec![policy.to_owned()])
}

impl SecretPolicy {
    /// What a reviewer should know of it.
    pub(super) fn mention(&self, secret: &str) -> Option<Text> {
        let show = || Command::aws(&["secretsmanager", "get-resource-policy", "--secret-id", secret]);
        match self {
            Self::There(statements) if !statements.is_empty() => Some(text![
                format!(
                    "secret {secret} has a resource policy, which no file declares and no apply changes: {}. ",
                    statements.join("; ")
                ),
                show(),
                " shows it"
            ]),
            Self::None | Self::There(_) => None,
            Self::Unreadable => Some(
                format!(
                    "whether secret {secret} has a resource policy is not known: you may not call \
                     secretsmanager:GetResourcePolicy"
                )
                .into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_told_statement_by_statement() {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DescribeSecret", "Resource": "*",
             "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}},
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:role/r"}, "Action": ["secretsmanager:*"], "Resource": "*"},
        ]});
        let told = SecretPolicy::There(said(&policy.to_string())).mention("mail/smtp").unwrap().to_string();
        let expected = "nobody may secretsmanager:DescribeSecret on everything if aws:SourceVpce StringNotEquals vpce-1; \
                        arn:aws:iam::1:role/r may secretsmanager:* on everything.";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn no_policy_and_an_empty_one_are_nothing_to_tell() {
        assert!(SecretPolicy::None.mention("s").is_none());
        assert!(SecretPolicy::There(said(r#"{"Version": "2012-10-17", "Statement": []}"#)).mention("s").is_none());
        assert!(SecretPolicy::Unreadable.mention("s").is_some());
    }
}
