//! Whether SES sends the user's mail, as far as IAM's policies and the account's standing tell. No mail is sent.

use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use contract::{Command, Text, text};

use crate::{
    aws::Aws,
    config::Config,
    deployment::{Deployment, caller, policy},
    error::Error,
    read_once,
    simulation::{self, Denied, DeniedBy},
};

/// Why SES sends no mail, and what a person can do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) found: Text,
    pub(crate) ways: Vec<Text>,
}

impl From<Refused> for Error {
    fn from(Refused { found, ways }: Refused) -> Self {
        ways.into_iter().fold(Self::new(found.to_string()), Self::hint)
    }
}

/// The account's standing with SES, in the deployment's region.
#[derive(Clone, Debug)]
pub(crate) struct SesAccount {
    pub(crate) production: bool,
    pub(crate) sending: bool,
    /// AWS's word: `HEALTHY`, `PROBATION` or `SHUTDOWN`.
    pub(crate) enforcement: String,
    /// Mails sent in the last 24 hours, and how many may be.
    pub(crate) sent_of_quota: Option<(f64, f64)>,
}

impl SesAccount {
    /// Whether SES has stopped the account.
    pub(crate) fn stopped(&self) -> Option<Refused> {
        let Self { sending, enforcement, .. } = self;
        (!sending || enforcement == "SHUTDOWN").then(|| Refused {
            found: format!("SES sends nothing for this account: it is {enforcement}").into(),
            ways: vec![
                "find out why in SES's console, under Account dashboard, and ask AWS to let the account send again"
                    .into(),
            ],
        })
    }
}

impl From<GetAccountOutput> for SesAccount {
    fn from(account: GetAccountOutput) -> Self {
        Self {
            production: account.production_access_enabled,
            sending: account.sending_enabled,
            enforcement: account.enforcement_status.unwrap_or_default(),
            sent_of_quota: account.send_quota.map(|quota| (quota.sent_last24_hours, quota.max24_hour_send)),
        }
    }
}

/// What IAM's simulator says of the user's mail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MaySend {
    Yes,
    /// The simulator lacks what a policy asks about.
    Unseen(Text),
    /// Something beside the user's policies denied it an address that the file does not name. It may allow others.
    Doubtful(Text),
    No(Refused),
}

impl MaySend {
    pub(crate) fn refused(&self) -> Option<&Refused> {
        match self {
            Self::No(refused) => Some(refused),
            Self::Yes | Self::Unseen(_) | Self::Doubtful(_) => None,
        }
    }
}

pub(crate) async fn account(aws: &Aws) -> Result<SesAccount, Error> {
    read_once::ses_account(aws).await.map(SesAccount::from)
}

/// Asks IAM whether the user may send; none if there is no user.
pub(crate) async fn of_user(aws: &Aws, deployment: &Deployment) -> Result<Option<MaySend>, Error> {
    let Deployment { config, names, .. } = deployment;
    let Some(user) = read_once::user(aws, &names.user).await? else { return Ok(None) };
    let (address, is_named) = sender(config);
    let denied = simulation::sending(aws, &user.arn, &caller::of_sender(names, &address)).await?;
    Ok(Some(denied.map_or(MaySend::Yes, |denied| judged(&denied, &names.user, config.iam_user.existing, is_named))))
}

/// An address that the user sends as, and whether the file names one.
fn sender(config: &Config) -> (String, bool) {
    let named = config.ses.test_mail.as_ref().map(|mail| mail.sender.clone());
    let named = named.or_else(|| config.ses.from.first().map(|pattern| pattern.replace(['*', '?'], "a")));
    let is_named = named.is_some();
    (named.unwrap_or_else(|| ANY.to_owned()), is_named)
}

/// Asked about if the file names no address.
const ANY: &str = "a@example.com";

/// A denial may be due to what the simulator was not told: the address, or the value of a condition key, such as the host's own address.
fn judged(denied: &Denied, user: &str, is_existing: bool, is_named: bool) -> MaySend {
    // The simulator names the keys of all policies. A request to SES has none of another service.
    let keys: Vec<_> = denied.unknown_keys.iter().map(String::as_str).filter(|key| is_of_mail(key)).collect();
    if !keys.is_empty() {
        let keys = keys.join(", ");
        return MaySend::Unseen(
            format!("whether user {user} may send cannot be seen: its policies depend on {keys}").into(),
        );
    }
    if !is_named {
        let limit = match denied.by {
            DeniedBy::PermissionsBoundary => "its permissions boundary does",
            DeniedBy::Statement => "a policy does",
            DeniedBy::ServiceControlPolicy => "a service control policy does",
            DeniedBy::NoPolicy => {
                return MaySend::Unseen(
                    format!("whether user {user} may send cannot be seen: the file names no address under ses.sender or ses.from")
                        .into(),
                );
            }
        };
        return MaySend::Doubtful(
            format!(
                "whether user {user} may send is in doubt: {limit} not let it send as {ANY}. Name its address under ses.from"
            )
            .into(),
        );
    }
    let action = policy::SEND;
    let (why, way) = match denied.by {
        DeniedBy::PermissionsBoundary => (
            format!("its permissions boundary does not allow {action}"),
            text![
                format!("allow {action} in the boundary, or take the boundary away: "),
                Command::aws(&["iam", "delete-user-permissions-boundary", "--user-name", user])
            ],
        ),
        DeniedBy::Statement => (
            format!("a policy denies {action}"),
            text![
                format!(
                    "find the policy that denies {action} among those of user {user} and of its groups, and take it away: "
                ),
                Command::aws(&["iam", "list-attached-user-policies", "--user-name", user]),
                ", ",
                Command::aws(&["iam", "list-user-policies", "--user-name", user]),
                ", ",
                Command::aws(&["iam", "list-groups-for-user", "--user-name", user])
            ],
        ),
        DeniedBy::ServiceControlPolicy => {
            (format!("a service control policy denies {action}"), simulation::ask_the_organisation(action))
        }
        DeniedBy::NoPolicy if is_existing => {
            (format!("no policy allows {action}"), format!("give user {user} a policy that allows {action}").into())
        }
        DeniedBy::NoPolicy => (
            format!("no policy allows {action}"),
            text![Command::deployer("apply"), " gives the user its policy again"],
        ),
    };
    MaySend::No(Refused { found: format!("SES refuses the mail of user {user}: {why}").into(), ways: vec![way] })
}

/// Whether a request to SES may have this condition key.
fn is_of_mail(key: &str) -> bool {
    let service = key.split(':').next().unwrap_or_default();
    ["aws", "ses"].iter().any(|it| service.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::config::parse;

    fn denied(by: DeniedBy, unknown_keys: &[&str]) -> Denied {
        let unknown_keys = unknown_keys.iter().map(|&key| key.to_owned()).collect::<BTreeSet<_>>();
        Denied { action: "ses:SendRawEmail".into(), resource: "r".into(), by, unknown_keys }
    }

    #[test]
    fn a_denial_is_certain_only_if_iam_was_told_everything_that_the_policies_ask_about() {
        let refused = |by| match judged(&denied(by, &[]), "mail", false, true) {
            MaySend::No(Refused { found, ways }) => format!("{found}; {}", ways[0]),
            other => panic!("{other:?}"),
        };
        let boundary = refused(DeniedBy::PermissionsBoundary);
        assert!(boundary.contains("aws iam delete-user-permissions-boundary --user-name mail"), "{boundary}");
        assert!(refused(DeniedBy::Statement).contains("a policy denies ses:SendRawEmail"));
        assert!(refused(DeniedBy::NoPolicy).contains("deployer apply"));
        for by in [DeniedBy::Statement, DeniedBy::NoPolicy] {
            let unseen = judged(&denied(by, &["aws:SourceIp"]), "mail", false, true);
            assert!(matches!(&unseen, MaySend::Unseen(why) if why.to_string().contains("aws:SourceIp")), "{unseen:?}");
            let seen = judged(&denied(by, &["s3express:SessionMode"]), "mail", false, true);
            assert!(matches!(seen, MaySend::No(_)), "{seen:?}");
        }
        assert!(matches!(judged(&denied(DeniedBy::NoPolicy, &[]), "mail", true, false), MaySend::Unseen(_)));
        for by in [DeniedBy::Statement, DeniedBy::PermissionsBoundary, DeniedBy::ServiceControlPolicy] {
            assert!(matches!(judged(&denied(by, &[]), "mail", true, false), MaySend::Doubtful(_)), "{by:?}");
        }
    }

    #[test]
    fn the_address_is_that_of_the_test_mail_or_one_that_the_policy_allows() {
        let of = |ses: &str| {
            let yaml = format!("name: m\nregion: eu-west-1\nsecret: {{name: m/smtp}}\niam_user: {{name: m}}\n{ses}");
            sender(&parse(Path::new("config.yaml"), &yaml).unwrap()[0])
        };
        assert_eq!(of("ses: {from: [\"*@acme.com\"]}\n"), ("a@acme.com".to_owned(), true));
        assert!(!of("").1);
    }
}
