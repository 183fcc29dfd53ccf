use crate::{Command, Text, text};

/// AWS attaches a policy of this name to a user whose access key it found in public; the name ends in a version.
const QUARANTINE: &str = ":aws:policy/AWSCompromisedKeyQuarantine";

/// The ARN of AWS's quarantine among the managed policies that are attached to a user.
pub fn quarantine(policies: impl IntoIterator<Item = String>) -> Option<String> {
    policies.into_iter().find(|arn| arn.starts_with("arn:") && arn.contains(QUARANTINE))
}

/// What a person has to know of a user whom AWS has put in quarantine.
#[must_use]
pub fn is_quarantined(user: &str, policy: &str) -> Text {
    text![
        format!(
            "AWS has put the IAM user {user} in quarantine ({policy}): it found an access key of the user in public. AWS Health \
             (AWS_RISK_CREDENTIALS_EXPOSED) and a mail to the account say which one. Run "
        ),
        Command::rotate_leaked("KEY"),
        " with that key, then ",
        Command::aws(&["iam", "detach-user-policy", "--user-name", user, "--policy-arn", policy]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_awss_own_policy_is_a_quarantine() {
        let found = |arn: &str| quarantine([arn.to_owned()]).is_some();
        assert!(found("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"));
        assert!(found("arn:aws-eusc:iam::aws:policy/AWSCompromisedKeyQuarantine"));
        assert!(!found("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3"));
        assert!(!found("arn:aws:iam::aws:policy/ReadOnlyAccess"));
    }
}
