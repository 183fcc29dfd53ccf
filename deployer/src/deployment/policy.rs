//! IAM policy documents: pure functions of the configuration, and how two are compared.

use serde_json::{Value, json};
use wildmatch::WildMatch;

use crate::{
    config::{Config, covers_sender},
    deployment::names::Names,
};

/// Who may assume the function's role. The Lambda service principal is enough. The condition keys that AWS documents for
/// other services do not apply to execution roles, and with a wrong one Lambda's error is the same as for a role that has
/// not propagated yet.
pub(crate) fn role_trust() -> Value {
    document([json!({
        "Sid": "Lambda",
        "Effect": "Allow",
        "Principal": {"Service": LAMBDA},
        "Action": "sts:AssumeRole",
    })])
}

/// Whether a role's trust policy lets Lambda assume the role. Conditions, and what is denied, are not looked at.
pub(crate) fn trusts_lambda(trust: &Value) -> bool {
    let normalized = normalized(trust);
    let is_lambda =
        |services: &Value| services.as_array().is_some_and(|all| all.iter().any(|service| service == LAMBDA));
    let statements = normalized["Statement"].as_array().into_iter().flatten();
    statements.filter(|it| it["Effect"] == "Allow").any(|it| is_lambda(&it["Principal"]["Service"]))
}

pub(super) const LAMBDA: &str = "lambda.amazonaws.com";

/// What the function does with the secret.
pub(crate) const ON_SECRET: [&str; 5] = [
    "secretsmanager:DescribeSecret",
    READ_SECRET,
    "secretsmanager:ListSecretVersionIds",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
];

/// What the function does with the topic.
pub(crate) const PUBLISH: &str = "sns:Publish";

/// What a host does with the secret.
pub(crate) const READ_SECRET: &str = "secretsmanager:GetSecretValue";

/// What a mail over SMTP needs (SES guide, "Controlling access": SMTP is authorized as this action).
pub(crate) const SEND: &str = "ses:SendRawEmail";

/// What the function may do: rotate this secret's credential with this user, these instances and this document, publish to
/// this topic, and nothing else.
pub(crate) fn role_permissions(config: &Config, names: &Names, user_arns: Vec<String>, keys: &KmsKeys) -> Value {
    let mut statements = vec![
        allow("Secret", &ON_SECRET, [names.secret_arn_pattern()]),
        allow(
            "User",
            &[
                "iam:CreateAccessKey",
                "iam:DeleteAccessKey",
                "iam:GetAccessKeyLastUsed",
                "iam:GetUser",
                "iam:ListAccessKeys",
                "iam:ListAttachedUserPolicies",
                "iam:UpdateAccessKey",
            ],
            user_arns,
        ),
        allow("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], [format!("{}:*", names.log_group_arn())]),
    ];
    if let Some(instance) = &config.instance {
        let document = instance.document.as_ref().map_or(names.document.as_str(), |document| &**document);
        let instances = instance.ids.iter().map(|id| names.instance_arn(id));
        statements.push(allow(
            "Command",
            &["ssm:SendCommand"],
            std::iter::once(names.document_arn(document)).chain(instances),
        ));
        if instance.document.is_none() {
            let actions = ["ssm:DescribeDocument", "ssm:GetDocument"];
            statements.push(allow("Document", &actions, [names.document_arn(document)]));
        }
        // These take no resource (service authorization reference of Systems Manager).
        statements.push(allow(
            "CommandResult",
            &["ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation"],
            ["*".to_owned()],
        ));
    }
    statements.extend(keys_of_secret(names, keys, &["kms:Decrypt", "kms:GenerateDataKey"]));
    if config.function.vpc.is_some() {
        statements.extend(network(names));
    }
    statements.extend(config.notify.as_ref().map(|_| allow("Notify", &[PUBLISH], [names.topic_arn()])));
    document(statements)
}

/// Lambda makes and deletes the function's network interfaces as the role, and the function itself may not (Lambda guide, "Giving Lambda
/// functions access to resources in an Amazon VPC"). The actions that describe take no resource.
fn network(names: &Names) -> [Value; 2] {
    let actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let mut not_the_function = allow("NetworkNotForTheCode", &actions, ["*".to_owned()]);
    not_the_function["Effect"] = json!("Deny");
    not_the_function["Condition"] = json!({"ArnEquals": {"lambda:SourceFunctionArn": [names.function_arn()]}});
    [allow("Network", &actions, ["*".to_owned()]), not_the_function]
}

/// Whether a role's policy lets Lambda remove network interfaces.
pub(crate) fn allows_network(policy: &Value) -> bool {
    policy.to_string().contains("ec2:DeleteNetworkInterface")
}

/// Whether a policy has statements, and each of them denies.
pub(crate) fn only_denies(policy: &Value) -> bool {
    let normalized = normalized(policy);
    let statements = normalized["Statement"].as_array();
    statements.is_some_and(|all| !all.is_empty() && all.iter().all(|statement| statement["Effect"] == "Deny"))
}

/// Whether a policy allows every action that `needed` allows. Its conditions and what it denies are not looked at.
pub(crate) fn allows(policy: &Value, needed: &Value) -> bool {
    let statements = |policy: &Value| {
        let all = normalized(policy)["Statement"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|statement| statement["Effect"] == "Allow").collect::<Vec<_>>()
    };
    // A statement with NotAction or NotResource lacks the field.
    let names =
        |statement: &Value, field: &str, one: &str| statement[field].is_null() || any_covers(&statement[field], one);
    let allowing = statements(policy);
    statements(needed).iter().all(|needed| {
        texts(&needed["Action"]).all(|action| {
            texts(&needed["Resource"]).all(|resource| {
                allowing.iter().any(|it| names(it, "Action", action) && names(it, "Resource", resource))
            })
        })
    })
}

/// A string, or a list of strings: IAM lets a list of one be written without the list.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().filter_map(Value::as_str)
}

/// Whether one of IAM's patterns of actions or resources covers one, which may be a pattern itself. `*` stands for any text and `?` for a
/// character.
pub(crate) fn any_covers(patterns: &Value, name: &str) -> bool {
    let covers = |pattern: &str| WildMatch::new(&pattern.to_ascii_lowercase()).matches(&name.to_ascii_lowercase());
    texts(patterns).any(covers)
}

/// What the user may do: send as the configured addresses. SES also authorises the identity's default configuration set (SES
/// guide, "Controlling access"), so identities alone are not enough.
pub(crate) fn user_permissions(config: &Config, names: &Names) -> Value {
    let mut statement = allow("Send", &[SEND], [names.ses_arn("identity/*"), names.ses_arn("configuration-set/*")]);
    let senders = config.ses.senders();
    if !senders.is_empty() {
        statement["Condition"] = json!({"StringLike": {SENDER: senders}});
    }
    document([statement])
}

/// The condition key of the address in the mail's From header.
const SENDER: &str = "ses:FromAddress";

/// Whether a user with the policy `goal` may not send as somebody as whom it may with the policy `now`.
pub(crate) fn takes_senders_away(now: &Value, goal: &Value) -> bool {
    match (senders(now), senders(goal)) {
        (_, Senders::Any) => false,
        (Senders::Any, Senders::Like(_)) => true,
        (Senders::Like(now), Senders::Like(goal)) => {
            !now.iter().all(|sender| goal.iter().any(|pattern| covers_sender(pattern, sender)))
        }
    }
}

/// Whom a policy lets a user send as.
enum Senders {
    Any,
    Like(Vec<String>),
}

/// Conditions other than on the sender are not looked at: then the policy counts as one that allows anybody.
fn senders(policy: &Value) -> Senders {
    let policy = normalized(policy);
    let mut patterns = Vec::new();
    for statement in policy["Statement"].as_array().into_iter().flatten() {
        if statement["Effect"] != "Allow" || !any_covers(&statement["Action"], SEND) {
            continue;
        }
        let operators = ["StringLike", "StringEquals"].map(|operator| &statement["Condition"][operator][SENDER]);
        match operators.into_iter().find(|values| !values.is_null()) {
            Some(values) => patterns.extend(texts(values).map(str::to_owned)),
            None => return Senders::Any,
        }
    }
    Senders::Like(patterns)
}

/// What the instance's role gets: this one secret.
pub(crate) fn instance_permissions(names: &Names, keys: &KmsKeys) -> Value {
    let mut statements = vec![allow("Secret", &[READ_SECRET], [names.secret_arn_pattern()])];
    statements.extend(keys_of_secret(names, keys, &["kms:Decrypt"]));
    document(statements)
}

/// The customer-managed keys of a secret, by their ARNs.
#[derive(Clone, Debug, Default)]
pub(crate) struct KmsKeys {
    /// The one that encrypts what is stored; none for `aws/secretsmanager`.
    pub(crate) current: Option<String>,
    /// Those that labelled versions are still encrypted under.
    pub(crate) older: Vec<String>,
}

/// The current key for these actions, and the older ones to read with.
fn keys_of_secret(names: &Names, keys: &KmsKeys, actions: &[&str]) -> impl Iterator<Item = Value> {
    let current = keys.current.as_ref().map(|key| key_of_secret(names, "Key", [key.clone()], actions));
    let older = (!keys.older.is_empty())
        .then(|| key_of_secret(names, "OlderKey", keys.older.iter().cloned(), &["kms:Decrypt"]));
    current.into_iter().chain(older)
}

/// Keys, used through Secrets Manager and for this secret alone.
fn key_of_secret(names: &Names, sid: &str, keys: impl IntoIterator<Item = String>, actions: &[&str]) -> Value {
    let mut statement = allow(sid, actions, keys);
    statement["Condition"] = through_secrets_manager(names);
    statement
}

/// The condition that a key is used through Secrets Manager, and for this secret alone.
pub(super) fn through_secrets_manager(names: &Names) -> Value {
    json!({
        "StringEquals": {"kms:ViaService": names.kms_via_secretsmanager()},
        "StringLike": {"kms:EncryptionContext:SecretARN": names.secret_arn_pattern()},
    })
}

fn allow(sid: &str, actions: &[&str], resources: impl IntoIterator<Item = String>) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources.into_iter().collect::<Vec<_>>()})
}

pub(super) fn document(statements: impl IntoIterator<Item = Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements.into_iter().collect::<Vec<_>>()})
}

/// Normalizes a policy, so that policies with the same meaning are equal: AWS may return a single element for a list of one,
/// and lists in any order.
pub(crate) fn normalized(policy: &Value) -> Value {
    match policy {
        Value::Object(fields) => {
            let list_like = |key: &str| ["Action", "Resource", "Statement", "AWS", "Service"].contains(&key);
            fields
                .iter()
                .map(|(key, value)| {
                    let value = match value {
                        Value::String(_) | Value::Object(_) if list_like(key) => Value::Array(vec![value.clone()]),
                        value => value.clone(),
                    };
                    (key.clone(), normalized(&value))
                })
                .collect()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normalized).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// Parses a policy as IAM returns it: percent-encoded JSON (RFC 3986). Text that cannot be parsed is kept as text, and so
/// differs from every goal.
pub(crate) fn parse(text: &str) -> Value {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&decoded).map_or_else(|_| Value::from(text), |policy| normalized(&policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_equals_itself_however_aws_writes_it() {
        let written = json!({"Statement": [{"Sid": "a", "Action": ["x:B", "x:A"], "Resource": ["*"]}]});
        let answered = "%7B%22Statement%22%3A%7B%22Resource%22%3A%22*%22%2C%22Action%22%3A%5B%22x%3AA%22%2C%22x%3AB%22%5D%2C%22Sid%22%3A%22a%22%7D%7D";
        assert_eq!(parse(answered), normalized(&written));
    }

    #[test]
    fn senders_are_taken_away_by_whatever_allows_fewer_of_them() {
        let of = |from: &[&str]| match from {
            [] => json!({"Statement": [{"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*"}]}),
            from => json!({"Statement": [{"Effect": "Allow", "Action": ["ses:Send*"], "Resource": "*",
                "Condition": {"StringLike": {"ses:FromAddress": from}}}]}),
        };
        for (now, goal, expected) in [
            (&[][..], &[][..], false),
            (&[], &["*@example.com"], true),
            (&["*@example.com"], &[], false),
            (&["*@example.com"], &["*@example.com", "*@example.org"], false),
            (&["app@example.com", "*@eu.example.com"], &["*@*example.com"], false),
            (&["*@example.com", "*@example.org"], &["*@example.com"], true),
            (&["*@example.com"], &["app@example.com"], true),
            (&["*@Example.com"], &["*@example.com"], true),
        ] {
            assert_eq!(takes_senders_away(&of(now), &of(goal)), expected, "{now:?} {goal:?}");
        }
        let one = json!({"Statement": {"Effect": "Allow", "Action": "ses:*", "Condition": {"StringEquals": {"ses:FromAddress": "a@b.example"}}}});
        assert!(!takes_senders_away(&one, &of(&["*@b.example"])) && takes_senders_away(&one, &of(&["b@b.example"])));
    }

    #[test]
    fn a_policy_with_one_more_action_differs() {
        let one = json!({"Statement": [{"Action": "x:A", "Resource": "*"}]});
        let two = json!({"Statement": [{"Action": ["x:A", "x:B"], "Resource": "*"}]});
        assert_ne!(normalized(&one), normalized(&two));
    }
}
