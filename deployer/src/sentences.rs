//! Policies as sentences: who may do what to which resource, under which condition.

use serde_json::{Map, Value};

/// Where a deployment lives. What is there is named without its ARN; what is elsewhere keeps it, since a reviewer has to notice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home<'a> {
    pub(crate) partition: &'a str,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
}

impl Home<'_> {
    /// Everything keeps its ARN.
    pub(crate) const NOWHERE: Home<'static> = Home { partition: "", account: "", region: "" };
}

/// The sentences of a policy or of one statement, one per statement; none if it is neither.
pub(crate) fn sentences(value: &Value, home: Home<'_>) -> Option<Vec<String>> {
    if let Some(statements) = value.get("Statement") {
        return Some(list(statements).map(|statement| sentence(statement, home)).collect());
    }
    (value.get("Effect").is_some() && value.get("Action").is_some()).then(|| vec![sentence(value, home)])
}

/// What cannot be said in the few words of this file is shown as it is: nothing in a policy may stay unsaid.
fn sentence(statement: &Value, home: Home<'_>) -> String {
    statement.as_object().and_then(|statement| said(statement, home)).unwrap_or_else(|| statement.to_string())
}

fn said(statement: &Map<String, Value>, home: Home<'_>) -> Option<String> {
    const KNOWN: [&str; 6] = ["Action", "Condition", "Effect", "Principal", "Resource", "Sid"];
    if statement.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return None;
    }
    let who = match statement.get("Principal") {
        Some(principal) => principals(principal, home)? + " ",
        None => String::new(),
    };
    let (who, may) = match statement.get("Effect")?.as_str()? {
        "Allow" => (who, "may"),
        "Deny" if who == "everybody " => ("nobody ".to_owned(), "may"),
        "Deny" => (who, "may not"),
        _ => return None,
    };
    let resources = match statement.get("Resource") {
        Some(resource) => texts(resource)?.into_iter().map(|resource| name(resource, home)).collect(),
        None => vec![],
    };
    let is_narrow = !resources.is_empty() && resources.iter().all(|resource| resource != "*");
    let actions: Vec<_> = texts(statement.get("Action")?)?
        .into_iter()
        // The resource says which service it is.
        .map(|action| action.split_once(':').filter(|_| is_narrow).map_or(action, |(_, action)| action))
        .collect();
    let on = match resources.as_slice() {
        [] => String::new(),
        _ if !is_narrow => " on everything".to_owned(),
        _ => format!(" on {}", resources.join(" and ")),
    };
    let condition = match statement.get("Condition") {
        Some(condition) => conditions(condition, home)?,
        None => String::new(),
    };
    Some(format!("{who}{may} {}{on}{condition}", actions.join(", ")))
}

fn principals(principal: &Value, home: Home<'_>) -> Option<String> {
    match principal {
        Value::String(text) if text == "*" => Some("everybody".to_owned()),
        Value::Object(kinds) => {
            let names: Option<Vec<_>> = kinds.values().map(texts).collect();
            let names = names?.into_iter().flatten().map(|text| match text {
                "*" => "everybody".to_owned(),
                text => name(text, home),
            });
            Some(names.collect::<Vec<_>>().join(" and "))
        }
        _ => None,
    }
}

/// ` for secret mail/smtp if aws:PrincipalTag/team is platform`: what the usual keys mean is said by a preposition.
fn conditions(condition: &Value, home: Home<'_>) -> Option<String> {
    let (mut usual, mut others) = (vec![], vec![]);
    for (operator, keys) in condition.as_object()? {
        let is = match operator.as_str() {
            "StringEquals" | "ArnEquals" => Some("is"),
            "StringLike" | "ArnLike" => Some("is like"),
            _ => None,
        };
        for (key, values) in keys.as_object()? {
            let values: Vec<_> = texts(values)?.into_iter().map(|value| name(value, home)).collect();
            let values = values.join(" or ");
            match (is, preposition(key)) {
                (Some(_), Some(word)) => usual.push(format!(" {word} {values}")),
                _ => others.push(format!("{key} {} {values}", is.unwrap_or(operator))),
            }
        }
    }
    let others = if others.is_empty() { String::new() } else { format!(" if {}", others.join(" and ")) };
    Some(usual.concat() + &others)
}

fn preposition(key: &str) -> Option<&'static str> {
    // IAM ignores case in the keys of conditions.
    match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" | "kms:encryptioncontext:secretarn" => Some("for"),
        "aws:sourceaccount" => Some("of account"),
        "kms:viaservice" => Some("through"),
        "ses:fromaddress" => Some("from"),
        _ => None,
    }
}

/// A string, or a list of strings.
fn texts(value: &Value) -> Option<Vec<&str>> {
    list(value).map(Value::as_str).collect()
}

/// IAM lets a list of one be written without the list.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

/// What an ARN names, in words, if that is at home: `user mail-prod-smtp`.
pub(crate) fn name(text: &str, home: Home<'_>) -> String {
    at_home(text, home).unwrap_or_else(|| text.to_owned())
}

fn at_home(text: &str, home: Home<'_>) -> Option<String> {
    let mut parts = text.splitn(6, ':');
    let [arn, partition, service, region, account, resource] =
        std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_here = |part: &str, here: &str| part.is_empty() || part == here;
    if arn != "arn" || partition != home.partition || !is_here(region, home.region) || !is_here(account, home.account) {
        return None;
    }
    let (kind, name) = match service {
        // Its ARN has no word for the kind.
        "sns" => ("topic", resource),
        _ => resource.split_once([':', '/'])?,
    };
    let name = match service {
        // Secrets Manager adds six characters to the name.
        "secretsmanager" => name.strip_suffix("-??????").unwrap_or(name),
        "logs" => name.strip_suffix(":*").unwrap_or(name),
        _ => name,
    };
    Some(format!("{} {name}", kind.replace('-', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOME: Home<'_> = Home { partition: "aws", account: "123456789012", region: "eu-west-1" };

    fn said(value: &Value) -> Vec<String> {
        sentences(value, HOME).unwrap()
    }

    #[test]
    fn a_statement_is_a_sentence_with_the_names_that_people_know() {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "User", "Effect": "Allow", "Action": ["iam:GetUser", "iam:ListAccessKeys"],
             "Resource": ["arn:aws:iam::123456789012:user/mail"]},
            {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
             "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail/smtp-??????"},
            {"Effect": "Allow", "Action": ["sns:Publish"], "Resource": ["arn:aws:sns:eu-west-1:123456789012:mail-rotation"]},
            {"Effect": "Allow", "Action": ["logs:PutLogEvents"],
             "Resource": ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/mail:*"]},
            {"Effect": "Deny", "Action": ["ssm:SendCommand"], "Resource": "*"},
        ]});
        assert_eq!(
            said(&policy),
            [
                "may GetUser, ListAccessKeys on user mail",
                "may GetSecretValue on secret mail/smtp",
                "may Publish on topic mail-rotation",
                "may PutLogEvents on log group /aws/lambda/mail",
                "may not ssm:SendCommand on everything",
            ]
        );
    }

    #[test]
    fn who_and_under_which_condition_is_said() {
        let statement = json!({
            "Sid": "s", "Effect": "Allow", "Principal": {"Service": ["events.amazonaws.com"]}, "Action": ["lambda:InvokeFunction"],
            "Resource": ["arn:aws:lambda:eu-west-1:123456789012:function:mail"],
            "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/mail-upkeep"},
                          "Bool": {"aws:SecureTransport": "true"},
                          "StringLike": {"aws:PrincipalTag/team": ["a*", "b"]},
                          "StringEquals": {"AWS:SourceAccount": "123456789012"}},
        });
        let expected = "events.amazonaws.com may InvokeFunction on function mail for rule mail-upkeep of account 123456789012 if \
                        aws:SecureTransport Bool true and aws:PrincipalTag/team is like a* or b";
        assert_eq!(said(&statement), [expected]);
        let trust = json!({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"});
        assert_eq!(said(&trust), ["everybody may sts:AssumeRole"]);
    }

    #[test]
    fn what_is_elsewhere_keeps_its_arn() {
        for arn in [
            "arn:aws:secretsmanager:eu-west-1:999999999999:secret:mail-??????",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:mail-??????",
            "arn:aws-cn:secretsmanager:eu-west-1:123456789012:secret:mail-??????",
        ] {
            let statement = json!({"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": [arn]});
            assert_eq!(said(&statement), [format!("may GetSecretValue on {arn}")]);
        }
    }

    #[test]
    fn a_statement_that_has_no_sentence_is_shown_whole() {
        let statements = [
            json!({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::b"}),
            json!({"Effect": "Allow", "Action": {"odd": 1}, "Resource": "*"}),
            json!({"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": "odd"}),
        ];
        for statement in statements {
            assert_eq!(said(&statement), [statement.to_string()]);
        }
        assert_eq!(sentences(&json!({"a": 1}), HOME), None);
    }
}
