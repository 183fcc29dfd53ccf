//! Why no credentials of AWS can be used, and what a person does about it. The SDK's own words name neither the file nor the variable.

use std::{collections::BTreeSet, env, fs};

use aws_config::profile;
use aws_credential_types::{Credentials, provider::error::CredentialsError};
use contract::{Command, Text, text};

use crate::error::{Error, ErrorKind};

/// Without the profile that AWS_PROFILE names, the SDK would go on to the role of this machine, and act as somebody else than was asked for.
pub(crate) async fn check_profile() -> Result<(), Error> {
    if !is_set("AWS_PROFILE") || is_set("AWS_ACCESS_KEY_ID") {
        return Ok(());
    }
    // A file that cannot be read is told where the credentials are.
    let Ok(profiles) = profiles().await else { return Ok(()) };
    let name = profiles.selected_profile();
    if profiles.get_profile(name).is_some() {
        return Ok(());
    }
    Err(no_such_profile(name))
}

/// Keys in the environment come before a profile, and the SDK does not say so.
pub(crate) fn profile_that_is_not_used() -> Option<Text> {
    not_used(|variable| env::var(variable).ok())
}

fn not_used(value_of: impl Fn(&str) -> Option<String>) -> Option<Text> {
    let value = |variable: &str| value_of(variable).filter(|value| !value.is_empty());
    let profile = value("AWS_PROFILE")?;
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    keys.iter().all(|key| value(key).is_some()).then(|| {
        format!(
            "the credentials are those of {}: they come before AWS_PROFILE, so profile {profile} is not used. To use the profile, unset both",
            keys.join(" and ")
        )
        .into()
    })
}

/// The SDK would panic on a line break in what it puts into a header, and AWS would call the signature wrong.
pub(crate) fn check_characters(credentials: &Credentials) -> Result<(), Error> {
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    let is_strange = |c: char| !c.is_ascii_graphic();
    let found = parts.into_iter().find(|(_, part)| part.is_some_and(|part| part.contains(is_strange)));
    let Some((name, _)) = found else { return Ok(()) };
    Err(Error::new("the AWS credentials cannot be used")
        .of_kind(ErrorKind::Credentials)
        .cause(format!("the {name} has a space, a line break or another character that no {name} has"))
        .hint(
            "correct the environment variable or the profile; a file with Windows line endings adds one to each value",
        ))
}

pub(crate) async fn no_credentials(error: &CredentialsError) -> Error {
    let hint = text![
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with ",
        Command::aws(&["sso", "login"])
    ];
    if let Some(cause) = unreadable_file().await {
        let error = Error::new("failed to get AWS credentials").of_kind(ErrorKind::Credentials).cause(cause);
        return error.hint("correct the file, or the variable that names it");
    }
    // The chain's own text lists every place that it tried, down to the metadata of EC2.
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        let profile = env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty());
        let cause = match (half_of_a_pair(), profile) {
            (Some((set, missing)), _) => format!("{set} is set, and {missing} is not"),
            (None, Some(profile)) => format!("AWS_PROFILE is {profile}, and no profile of that name has any"),
            (None, None) => "neither the environment nor a profile has any, and this machine has no role".to_owned(),
        };
        return Error::new("found no AWS credentials").of_kind(ErrorKind::Credentials).cause(cause).hint(hint);
    }
    let cause = crate::error::innermost(error);
    // The SDK's words are about how this program was built.
    if cause.contains("cargo feature") {
        let profile = selected_profile().await;
        return Error::new("failed to get AWS credentials")
            .of_kind(ErrorKind::Credentials)
            .cause(format!(
                "profile {profile} has a source of credentials that only the AWS CLI knows, such as `aws login`"
            ))
            .hint(let_the_cli_give_them(&profile));
    }
    let error = Error::new("failed to get AWS credentials").of_kind(ErrorKind::Credentials).cause(cause);
    if let Some(profile) = profile_with_mfa().await {
        return error.hint(mfa_hint(&profile));
    }
    match profile_of_sso().await {
        Some(profile) => error.hint(text!["sign in: ", Command::aws(&["sso", "login", "--profile", &profile])]),
        None => error.hint(hint),
    }
}

fn no_such_profile(name: &str) -> Error {
    Error::new("found no AWS credentials")
        .of_kind(ErrorKind::Credentials)
        .cause(format!(
            "AWS_PROFILE is {name}, and neither ~/.aws/config nor ~/.aws/credentials has a profile of that name"
        ))
        .hint(text![
            "correct AWS_PROFILE, or unset it; ",
            Command::aws(&["configure", "list-profiles"]),
            " shows the profiles that there are"
        ])
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The profiles of the files that the environment names.
pub(crate) async fn profiles() -> Result<profile::ProfileSet, profile::ProfileFileLoadError> {
    let (fs, environment, files) = Default::default();
    profile::load(&fs, &environment, &files, None).await
}

async fn selected_profile() -> String {
    profiles().await.map_or_else(|_| "default".to_owned(), |profiles| profiles.selected_profile().to_owned())
}

/// Of the two variables with credentials, the one that is set and the one that is missing; none if both are, or neither.
fn half_of_a_pair() -> Option<(&'static str, &'static str)> {
    let [id, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    match (is_set(id), is_set(secret)) {
        (true, false) => Some((id, secret)),
        (false, true) => Some((secret, id)),
        (true, true) | (false, false) => None,
    }
}

/// The profile in use, if its credentials come from IAM Identity Center.
async fn profile_of_sso() -> Option<String> {
    let profiles = profiles().await.ok()?;
    let selected = profiles.selected_profile();
    let profile = profiles.get_profile(selected)?;
    ["sso_session", "sso_start_url"].iter().any(|key| profile.get(key).is_some()).then(|| selected.to_owned())
}

/// A file of credentials that is missing or malformed: the SDK's own text does not name it.
async fn unreadable_file() -> Option<String> {
    let of_variable = |name: &str| {
        let path = env::var(name).ok().filter(|path| !path.is_empty())?;
        fs::read(&path).err().map(|error| format!("{name} names {path}, which cannot be read: {error}"))
    };
    let tokens = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    if let Some(cause) = tokens.into_iter().find_map(of_variable) {
        return Some(cause);
    }
    match profiles().await {
        Err(error) => Some(format!("{error}: {}", crate::error::innermost(&error))),
        Ok(_) => None,
    }
}

/// The profile in use, if it asks for a second factor, itself or through `source_profile`. The SDK ignores the key `mfa_serial`,
/// and AWS then refuses the role.
async fn profile_with_mfa() -> Option<String> {
    let profiles = profiles().await.ok()?;
    let selected = profiles.selected_profile().to_owned();
    let mut seen = BTreeSet::new();
    let mut next = Some(selected.as_str());
    while let Some(name) = next.filter(|name| seen.insert(*name)) {
        let profile = profiles.get_profile(name)?;
        if profile.get("mfa_serial").is_some() {
            return Some(selected);
        }
        next = profile.get("source_profile");
    }
    None
}

fn mfa_hint(profile: &str) -> Text {
    let asks = format!(
        "profile {profile} asks for MFA (mfa_serial), and this program cannot ask for a code. Let the AWS CLI ask: "
    );
    Text::from(asks).then(let_the_cli_give_them(profile))
}

fn let_the_cli_give_them(profile: &str) -> Text {
    let export = Command::aws(&["configure", "export-credentials", "--profile", profile]);
    format!("in ~/.aws/config, write a profile with `credential_process = {export}`, and name it in AWS_PROFILE").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_beside_keys_of_the_environment_is_told_as_not_used() {
        let told = |set: &'static [(&'static str, &'static str)]| {
            not_used(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
        let both = told(&[("AWS_PROFILE", "prod"), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s3cret")]);
        let both = both.unwrap().to_string();
        assert!(both.contains("profile prod is not used") && both.contains("AWS_ACCESS_KEY_ID"), "{both}");
        assert!(keys.iter().all(|(_, value)| !both.contains(value)), "{both}");
        assert_eq!(told(&[("AWS_PROFILE", "prod")]), None);
        assert_eq!(told(&[("AWS_PROFILE", "prod"), ("AWS_ACCESS_KEY_ID", "AKIA")]), None);
        assert_eq!(told(&[("AWS_PROFILE", ""), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s")]), None);
    }
}
