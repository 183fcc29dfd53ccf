use std::fmt;

use serde::{Deserialize, Serialize};

/// A command that a person may type next, as words.
///
/// It is rendered as late as possible: only the deployer knows which CONFIG was given, and without it a copied command acts
/// on another deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// One of the deployer's: the words after `deployer`, without CONFIG.
    Deployer(Vec<String>),
    /// One of the deployer's that names no CONFIG: every word after `deployer`.
    Complete(Vec<String>),
    /// One of the AWS CLI's: the words after `aws`.
    Aws(Vec<String>),
}

/// What the AWS CLI knows that has no regions.
const WITHOUT_REGION: [&str; 4] = ["configure", "iam", "sso", "sts"];

impl Command {
    /// A command of the deployer's. `words` are ours, and are separated by spaces.
    #[must_use]
    pub fn deployer(words: &str) -> Self {
        Self::Deployer(words.split_whitespace().map(str::to_owned).collect())
    }

    /// A command of the AWS CLI's that acts in no region: on IAM or STS, or on the CLI's own files.
    #[must_use]
    pub fn aws(words: &[&str]) -> Self {
        let service = words.first().copied().unwrap_or_default();
        debug_assert!(WITHOUT_REGION.contains(&service), "a command on {service} names its region: aws_in");
        Self::of_aws(words.iter().copied())
    }

    /// A command of the AWS CLI's on what is in a region, which need not be the one that the person has configured: resources of one
    /// name may be in both. `region`: empty if it is not known.
    #[must_use]
    pub fn aws_in(region: &str, words: &[&str]) -> Self {
        let (verb, rest) = words.split_at(words.len().min(2));
        let region: &[&str] = if region.is_empty() { &[] } else { &["--region", region] };
        Self::of_aws([verb, region, rest].concat())
    }

    /// As [`Command::aws_in`], in the region of an ARN (`arn:PARTITION:SERVICE:REGION:…`).
    #[must_use]
    pub fn aws_on(arn: &str, words: &[&str]) -> Self {
        Self::aws_in(arn.split(':').nth(3).unwrap_or_default(), words)
    }

    fn of_aws<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Aws(words.into_iter().map(str::to_owned).collect())
    }

    /// Replaces an access key that leaked, where it is in use, and deletes it.
    #[must_use]
    pub fn rotate_leaked(key: &str) -> Self {
        Self::words(&["rotate", "--leaked", key])
    }

    /// Makes an access key Active that a person has named.
    #[must_use]
    pub fn reactivate(key: &str) -> Self {
        Self::words(&["recover", "--reactivate", key])
    }

    /// A command of the deployer's, whose words may hold anything.
    #[must_use]
    pub fn words(words: &[&str]) -> Self {
        Self::Deployer(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// A command of the deployer's that names no CONFIG, whose words may hold anything.
    #[must_use]
    pub fn complete(words: &[&str]) -> Self {
        Self::Complete(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// Moves a label of the secret onto a version, or off one, or both.
    #[must_use]
    pub fn move_label(secret_arn: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Self {
        let mut words = vec!["secretsmanager", "update-secret-version-stage"];
        words.extend(["--secret-id", secret_arn, "--version-stage", label]);
        words.extend(to.into_iter().flat_map(|version| ["--move-to-version-id", version]));
        words.extend(from.into_iter().flat_map(|version| ["--remove-from-version-id", version]));
        Self::aws_on(secret_arn, &words)
    }

    /// Makes an access key Active.
    #[must_use]
    pub fn activate_key(user: &str, key: &str) -> Self {
        Self::aws(&["iam", "update-access-key", "--user-name", user, "--access-key-id", key, "--status", "Active"])
    }

    /// Deletes an access key.
    #[must_use]
    pub fn delete_key(user: &str, key: &str) -> Self {
        Self::aws(&["iam", "delete-access-key", "--user-name", user, "--access-key-id", key])
    }

    /// Lets a function run again whose reserved concurrency is 0.
    #[must_use]
    pub fn start_function(arn: &str) -> Self {
        Self::aws_on(arn, &["lambda", "delete-function-concurrency", "--function-name", arn])
    }

    /// The command as it is typed into a POSIX shell. `config`, if given, ends a command of the deployer's.
    #[must_use]
    pub fn in_shell(&self, config: Option<&str>) -> String {
        let (program, words, config) = match self {
            Self::Deployer(words) => ("deployer", words, config),
            Self::Complete(words) => ("deployer", words, None),
            Self::Aws(words) => ("aws", words, None),
        };
        shell_words::join(std::iter::once(program).chain(words.iter().map(String::as_str)).chain(config))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_shell(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_the_deployers_ends_with_the_configuration_that_was_given() {
        let command = Command::deployer("recover --auto-approve");
        assert_eq!(command.in_shell(None), "deployer recover --auto-approve");
        assert_eq!(command.in_shell(Some("envs/prod.yaml")), "deployer recover --auto-approve envs/prod.yaml");
        assert_eq!(Command::deployer("rotate").in_shell(Some("it's mine")), r"deployer rotate 'it'\''s mine'");
    }

    #[test]
    fn a_complete_command_names_no_configuration() {
        let command = Command::complete(&["apply", "the plan.json"]);
        assert_eq!(command.in_shell(Some("envs/prod.yaml")), "deployer apply 'the plan.json'");
    }

    #[test]
    fn a_command_of_the_aws_cli_names_no_configuration_and_is_quoted_for_the_shell() {
        let command = Command::delete_key("a b", "AKIA");
        let expected = "aws iam delete-access-key --user-name 'a b' --access-key-id AKIA";
        assert_eq!(command.in_shell(Some("envs/prod.yaml")), expected);
        assert_eq!(command.to_string(), expected);
    }

    #[test]
    fn a_value_in_a_command_is_one_word_whatever_it_holds() {
        let hostile = "K; rm -rf ~ $(id)\n";
        let quoted = "'K; rm -rf ~ $(id)\n'";
        assert_eq!(Command::rotate_leaked(hostile).to_string(), format!("deployer rotate --leaked {quoted}"));
        assert_eq!(Command::reactivate(hostile).to_string(), format!("deployer recover --reactivate {quoted}"));
        assert!(Command::delete_key("u", hostile).to_string().ends_with(quoted));
    }

    #[test]
    fn what_is_in_a_region_is_named_with_it() {
        let words = ["logs", "tail", "/aws/lambda/f"];
        assert_eq!(Command::aws_in("eu-west-1", &words).to_string(), "aws logs tail --region eu-west-1 /aws/lambda/f");
        assert_eq!(Command::aws_in("", &words).to_string(), "aws logs tail /aws/lambda/f");
        let function = "arn:aws:lambda:eu-west-1:123456789012:function:f";
        let start = Command::start_function(function).to_string();
        assert!(start.starts_with("aws lambda delete-function-concurrency --region eu-west-1 "), "{start}");
    }

    #[test]
    fn a_label_moves_in_the_secrets_own_region() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s-AbCd12";
        let command = Command::move_label(arn, "AWSCURRENT", Some("v1"), Some("v2")).to_string();
        let expected = format!(
            "aws secretsmanager update-secret-version-stage --region eu-west-1 --secret-id {arn} --version-stage AWSCURRENT \
             --move-to-version-id v2 --remove-from-version-id v1"
        );
        assert_eq!(command, expected);
    }
}
