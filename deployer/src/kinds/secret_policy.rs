//! The resource policy of a secret: no file declares it, and it may deny what a rotation needs or let others read the credential.

use contract::{Command, Text, text};
use serde_json::Value;

use crate::{
    aws::Aws,
    error::{Error, ErrorKind},
    kinds::resource_policy::{self, Denial},
    read_once,
    sentences::{Home, sentences},
};

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) enum SecretPolicy {
    #[default]
    None,
    /// The caller may not read it.
    Unreadable,
    There {
        /// ARN of the secret.
        secret: String,
        /// A text if it cannot be parsed.
        document: Value,
    },
}

pub(crate) async fn read(aws: &Aws, secret: &str) -> Result<SecretPolicy, Error> {
    // A round knows already whether there is a secret.
    if aws.round.is_some() && read_once::secret(aws, secret).await?.is_none() {
        return Ok(SecretPolicy::None);
    }
    let answer = match read_once::secret_policy(aws, secret).await {
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(SecretPolicy::Unreadable),
        answer => answer?,
    };
    let there = answer.and_then(|answer| Some((answer.arn?, answer.resource_policy?)));
    Ok(there.map_or(SecretPolicy::None, |(secret, policy)| SecretPolicy::There { secret, document: parsed(policy) }))
}

fn parsed(policy: String) -> Value {
    serde_json::from_str(&policy).unwrap_or(Value::String(policy))
}

impl SecretPolicy {
    /// What a reviewer should know of it.
    pub(super) fn mention(&self, secret: &str) -> Option<Text> {
        match self {
            Self::There { secret: arn, document } => {
                let statements = sentences(document, Home::NOWHERE).unwrap_or_else(|| vec![text_of(document)]);
                (!statements.is_empty()).then(|| {
                    text![
                        format!(
                            "secret {secret} has a resource policy, which no file declares and no apply changes: {}. ",
                            statements.join("; ")
                        ),
                        Command::aws_on(arn, &["secretsmanager", "get-resource-policy", "--secret-id", secret]),
                        " shows it"
                    ]
                })
            }
            Self::None => None,
            Self::Unreadable => Some(
                format!(
                    "whether secret {secret} has a resource policy is not known: you may not call \
                     secretsmanager:GetResourcePolicy"
                )
                .into(),
            ),
        }
    }

    /// What denies a role one of these actions on the secret. `role`: as of [`resource_policy::denial`].
    pub(crate) fn denial(&self, actions: &[&'static str], account: &str, role: Option<&str>) -> Option<Denial> {
        let Self::There { secret, document } = self else { return None };
        resource_policy::denial(document, secret, actions, account, role)
    }
}

fn text_of(document: &Value) -> String {
    document.as_str().map_or_else(|| document.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deployment::policy;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail/smtp-AbCdEf";

    fn there(document: Value) -> SecretPolicy {
        SecretPolicy::There { secret: SECRET.to_owned(), document }
    }

    /// Whether a statement that denies, with these changes, denies role `hosts` to read the secret.
    fn denies(changes: &Value) -> bool {
        let mut statement = json!({"Effect": "Deny", "Principal": "*", "Action": policy::READ_SECRET, "Resource": "*"});
        let statement_of = statement.as_object_mut().unwrap();
        statement_of.extend(changes.as_object().unwrap().clone());
        statement_of.retain(|_, value| !value.is_null());
        let there = there(json!({"Version": "2012-10-17", "Statement": statement}));
        there.denial(&[policy::READ_SECRET], "123456789012", Some("hosts")).is_some()
    }

    #[test]
    fn what_certainly_denies_a_role_is_told_from_what_may_not() {
        let role = |arn: &str| json!({"Principal": {"AWS": arn}});
        for certain in [
            json!({}),
            json!({"Condition": {}}),
            json!({"Action": "secretsmanager:Get*"}),
            json!({"Action": ["kms:Decrypt", "*"], "Resource": [SECRET]}),
            json!({"Action": null, "NotAction": "secretsmanager:DescribeSecret"}),
            json!({"Principal": {"AWS": ["arn:aws:iam::999999999999:root", "*"]}}),
            role("123456789012"),
            role("arn:aws:iam::123456789012:root"),
            role("arn:aws:iam::123456789012:role/hosts"),
            role("arn:aws:iam::123456789012:role/of/mail/hosts"),
        ] {
            assert!(denies(&certain), "{certain}");
        }
        for not in [
            json!({"Effect": "Allow"}),
            json!({"Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}),
            json!({"Action": "secretsmanager:PutSecretValue"}),
            json!({"Action": null, "NotAction": "secretsmanager:Get*"}),
            json!({"Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCdEf"}),
            json!({"Resource": null, "NotResource": "arn:aws:s3:::b"}),
            json!({"Principal": null, "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/other"}}),
            json!({"Principal": {"Service": "lambda.amazonaws.com"}}),
            role("999999999999"),
            role("arn:aws:iam::123456789012:role/other"),
            role("arn:aws:iam::999999999999:role/hosts"),
            role("arn:aws:iam::123456789012:user/hosts"),
            role("arn:aws:sts::123456789012:assumed-role/hosts/i-1"),
        ] {
            assert!(!denies(&not), "{not}");
        }
    }

    #[test]
    fn a_denial_names_its_action_and_its_statement_and_whether_the_policy_has_another_one() {
        let deny = json!({"Effect": "Deny", "Principal": "*", "Action": policy::READ_SECRET, "Resource": "*"});
        let actions = ["secretsmanager:DescribeSecret", policy::READ_SECRET];
        let denial = there(json!({"Statement": [deny]})).denial(&actions, "1", None).unwrap();
        let statement = "nobody may secretsmanager:GetSecretValue on everything".to_owned();
        assert_eq!(denial, Denial { action: policy::READ_SECRET, statement, is_alone: true });
        let allow = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
        assert!(!there(json!({"Statement": [allow, deny]})).denial(&actions, "1", None).unwrap().is_alone);
        for unknown in [SecretPolicy::None, SecretPolicy::Unreadable, there(json!("{"))] {
            assert_eq!(unknown.denial(&actions, "1", None), None);
        }
    }

    #[test]
    fn a_policy_is_told_statement_by_statement() {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DescribeSecret", "Resource": "*",
             "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}},
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:role/r"}, "Action": ["secretsmanager:*"], "Resource": "*"},
        ]});
        let told = there(policy).mention("mail/smtp").unwrap().to_string();
        let expected = "nobody may secretsmanager:DescribeSecret on everything if aws:SourceVpce StringNotEquals vpce-1; \
                        arn:aws:iam::1:role/r may secretsmanager:* on everything.";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn no_policy_and_an_empty_one_are_nothing_to_tell() {
        assert!(SecretPolicy::None.mention("s").is_none());
        assert!(there(json!({"Version": "2012-10-17", "Statement": []})).mention("s").is_none());
        assert!(SecretPolicy::Unreadable.mention("s").is_some());
    }
}
