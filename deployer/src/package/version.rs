//! The code that a function had before: each update keeps it as a version of the function, and `rollback` brings it back.

use aws_sdk_lambda::types::FunctionConfiguration;
use contract::{Command, text};

use super::archive::code_sha256;
use crate::{
    aws::{self, Aws},
    error::{Error, FailedTo as _, absent_is_none},
};

/// What a version's description begins with, before the digest of its sources.
const SOURCES: &str = "sources ";

/// Lambda's name of the code that it runs, which is no version.
const LATEST: &str = "$LATEST";

/// The description of the version that keeps code of these sources.
pub(crate) fn description(source_digest: &str) -> String {
    format!("{SOURCES}{source_digest}")
}

/// The code of a version of a function.
pub(super) struct Kept {
    /// "version 3 of function mail-prod-rotation".
    pub(super) name: String,
    /// Of its sources, if its description has it.
    pub(super) source_digest: Option<String>,
    pub(super) zip: Vec<u8>,
}

/// Downloads the newest code of a function that is not what the function runs.
///
/// # Errors
/// There is none.
pub(super) async fn download_the_one_before(aws: &Aws, function: &str) -> Result<Kept, Error> {
    let versions = aws.lambda.list_versions_by_function().function_name(function).into_paginator().items().send();
    let versions = versions.try_collect().await.failed_to(|| format!("list the versions of function {function}"));
    let versions: Vec<_> = absent_is_none(versions, &["ResourceNotFoundException"])?.unwrap_or_default();
    let Some(before) = before(&versions) else { return Err(nothing_is_kept(function)) };
    let number = before.version().unwrap_or_default();
    let name = format!("version {number} of function {function}");
    let answer = aws.lambda.get_function().function_name(function).qualifier(number).send().await;
    let code = answer.failed_to(|| format!("read {name}"))?.code;
    let Some(link) = code.and_then(|code| code.location) else {
        return Err(Error::new(format!("failed to read {name}")).cause("AWS's answer has no link to the code"));
    };
    let zip = aws::download(&link).await?;
    if before.code_sha256() != Some(code_sha256(&zip).as_str()) {
        return Err(Error::new(format!("what was downloaded is not {name}"))
            .cause("its digest is another one")
            .hint("run the command again"));
    }
    let source_digest = before.description().and_then(|text| text.strip_prefix(SOURCES)).map(str::to_owned);
    Ok(Kept { name, source_digest, zip })
}

/// The newest version whose code is not that of `$LATEST`.
fn before(versions: &[FunctionConfiguration]) -> Option<&FunctionConfiguration> {
    let runs = versions.iter().find(|it| it.version() == Some(LATEST))?;
    let number = |it: &FunctionConfiguration| it.version().and_then(|number| number.parse::<u64>().ok());
    let others = versions.iter().filter(|it| number(it).is_some() && it.code_sha256() != runs.code_sha256());
    others.max_by_key(|it| number(it))
}

fn nothing_is_kept(function: &str) -> Error {
    Error::new(format!("there is no earlier code of function {function}"))
        .cause("an apply that updates the code keeps the code before, and none has done that yet")
        .hint(text![
            "to run other code, name its zip in function.package, or use another version of the deployer, and run ",
            Command::deployer("apply")
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: &str, sha: &str) -> FunctionConfiguration {
        FunctionConfiguration::builder().version(number).code_sha256(sha).build()
    }

    fn found(versions: &[(&str, &str)]) -> Option<String> {
        let versions: Vec<_> = versions.iter().map(|(number, sha)| version(number, sha)).collect();
        before(&versions).and_then(|it| it.version().map(str::to_owned))
    }

    #[test]
    fn the_code_before_is_the_newest_that_the_function_does_not_run() {
        assert_eq!(found(&[(LATEST, "c"), ("2", "a"), ("10", "b")]).as_deref(), Some("10"));
        assert_eq!(found(&[(LATEST, "b"), ("2", "a"), ("10", "b")]).as_deref(), Some("2"));
        assert_eq!(found(&[(LATEST, "b"), ("1", "b")]), None);
        assert_eq!(found(&[(LATEST, "b")]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_version_names_the_sources_of_its_code() {
        assert_eq!(description("abc").strip_prefix(SOURCES), Some("abc"));
    }
}
