//! What AWS limits in length and the file decides: computed before anything is made.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    config::{Config, Excess, Part},
    date,
    deployment::{
        Deployment, facts,
        names::Names,
        policy::{self, KmsKeys},
        record::{Applied, Entry, MOST_BYTES, Record, VERSION},
    },
    digest,
    engine::op::Toward,
    stack::{environment, stack},
};

/// All inline policies of a user together, in characters without white space (IAM quotas).
const USER_POLICY: usize = 2048;
/// All inline policies of a role together, in characters without white space (IAM quotas).
const ROLE_POLICY: usize = 10_240;
/// The variables of a function, in bytes of JSON (Lambda quotas; Lambda's error shows what it measures).
const ENVIRONMENT: usize = 4096;

/// What AWS would refuse in the middle of an apply. Every account's number has the same length, so it need not be known yet.
pub(crate) fn excess(config: &Config) -> Vec<Excess> {
    let account_id = config.account_id.as_ref().map_or_else(|| "0".repeat(12), ToString::to_string);
    let names = Names::in_account(config, account_id);
    let user_arn = names.owned_user_arn();
    let current = config.secret.kms_key.as_ref().map(|_| names.kms_key_arn(&"0".repeat(36)));
    let role =
        policy::role_permissions(config, &names, vec![user_arn.clone()], &KmsKeys { current, older: Vec::new() });
    let user = if config.iam_user.existing { Value::Null } else { policy::user_permissions(config, &names) };
    // A map of text always has a JSON form.
    let variables = serde_json::to_string(&environment(config, &names, &user_arn)).unwrap_or_default();
    let senders = "name fewer senders in ses.from; \"*@example.com\" covers a domain";
    let tags = "name fewer or shorter tags";
    let lines = "shorten secret.name, ses.endpoint, ses.sender or instance.script, or name fewer instances";
    let limits = [
        (Part::Senders, "the user's policy", length(&user), USER_POLICY, senders),
        (Part::Instances, "the role's policy", length(&role), ROLE_POLICY, "name fewer instances in instance.ids"),
        (Part::Deployment, "the function's environment", variables.len(), ENVIRONMENT, lines),
        (Part::Tags, "the record of the deployment", record(config, names).to_json().len(), MOST_BYTES, tags),
    ];
    let too_long = limits.into_iter().filter(|(_, _, length, limit, _)| length > limit);
    too_long
        .map(|(of, what, length, limit, hint)| {
            let message = format!("{what} would be {length} characters long: AWS accepts at most {limit}");
            Excess { of, message, hint }
        })
        .collect()
}

/// The record as an apply of this file leaves it, with the longest ARN of a role's session (IAM quotas).
fn record(config: &Config, names: Names) -> Record {
    let by = format!("arn:aws-us-gov:sts::{}:assumed-role/{}/{}", "0".repeat(12), "r".repeat(64), "s".repeat(64));
    let digest = digest::digest([&by]);
    let deployment = Deployment::new(config.clone(), names, by.clone());
    let nodes = stack(&Arc::new(deployment), Toward::Present);
    let entries = nodes.iter().filter_map(|node| node.resource.entry(&facts::unread()));
    Record {
        version: VERSION,
        resources: entries.map(|entry| Entry { declared: Some(digest.clone()), ..entry }).collect(),
        tags: config.tags.keys().cloned().collect(),
        applied: Some(Applied {
            by,
            at: date::now(),
            deployer: env!("CARGO_PKG_VERSION").to_owned(),
            function: digest,
        }),
    }
}

fn length(policy: &Value) -> usize {
    policy.to_string().chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn refused(lines: &str) -> Option<String> {
        let least = "name: m\nregion: eu-west-1\nsecret: {name: m/smtp}\niam_user: {name: m}\n";
        let config = parse(Path::new("config.yaml"), &format!("{least}{lines}\n")).unwrap().remove(0);
        excess(&config).into_iter().next().map(|excess| excess.message)
    }

    fn senders(count: usize) -> String {
        let all: Vec<String> = (0..count).map(|n| format!("sender-{n:03}@mail.example.com")).collect();
        format!("ses: {{from: [{}]}}", all.join(", "))
    }

    #[test]
    fn a_user_policy_that_iam_would_refuse_is_refused_by_validate_and_the_longest_is_not() {
        let longest = (1..100).rev().find(|count| refused(&senders(*count)).is_none()).unwrap();
        let error = refused(&senders(longest + 1)).unwrap();
        let length = error.strip_prefix("the user's policy would be ").unwrap().split(' ').next().unwrap();
        // One sender more takes less than 40 characters.
        assert!((2049..2088).contains(&length.parse::<usize>().unwrap()), "{error}");
        assert!(error.ends_with("AWS accepts at most 2048"), "{error}");
    }

    #[test]
    fn a_record_with_the_longest_names_fits_and_one_of_too_many_tags_is_refused() {
        let name = |length: usize| "n".repeat(length);
        let longest = format!(
            "name: {}\nregion: ap-southeast-1\nsecret: {{name: {}}}\niam_user: {{name: {}}}\nnotify: {{email: ops@example.com}}\n\
             instance: {{id: i-0123456789abcdef0, script: /s, role: {}}}\n",
            name(38),
            // With the region it is the value of a tag.
            name(241),
            name(64),
            name(64)
        );
        let config = parse(Path::new("config.yaml"), &longest).unwrap().remove(0);
        assert!(excess(&config).is_empty());
        let tags: Vec<String> = (0..40).map(|n| format!("{n:02}{}: x", name(120))).collect();
        let error = refused(&format!("tags: {{{}}}", tags.join(", "))).unwrap();
        assert!(error.starts_with("the record of the deployment would be "), "{error}");
    }

    #[test]
    fn an_environment_that_lambda_would_refuse_is_refused_and_fifty_instances_are_not() {
        let ids: Vec<String> = (0..50).map(|n| format!("i-{n:017x}")).collect();
        let instance = format!("instance: {{ids: [{}], script: /usr/local/bin/rotate_smtp.sh}}", ids.join(", "));
        assert_eq!(refused(&instance), None);
        let host = vec!["long-label"; 400].join(".");
        let error = refused(&format!("ses: {{endpoint: \"smtps://{host}:465\"}}")).unwrap();
        assert!(error.starts_with("the function's environment would be"), "{error}");
    }
}
