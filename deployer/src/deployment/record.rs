//! The record of a deployment: a parameter in Parameter Store that names every resource which the deployment may own, so that one
//! which the configuration no longer declares is found again.
//!
//! It is a memory and no state. What is there, and whose it is, AWS alone says; without the record only leftovers are forgotten.
//! It holds no secret.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{Parameter, ParameterType, ResourceTypeForTagging};
use contract::{Command, text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aws::Aws,
    deployment::names::{RECORDS, region_of},
    digest,
    engine::{
        op::{Address, ResourceKind},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
};

/// The version of the format. A record of another version is refused, so that an older deployer forgets nothing of a newer one.
pub(crate) const VERSION: u32 = 1;

/// The most that a standard parameter holds, in bytes (Parameter Store quotas).
pub(crate) const MOST_BYTES: usize = 4096;

/// What the parameter holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// Every resource that the deployment may own. It is written before the first of them is made.
    pub(crate) resources: Vec<Entry>,
    /// Keys of the configuration's `tags`, on any of these resources.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<String>,
    /// The last apply that reached its goal; none if none did yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<Applied>,
}

/// A resource that the deployment may own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    /// Whether it existed before: then only a mark on it is the deployment's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) existing: bool,
    /// Digest of what the last apply declared it to be; none if no apply has reached that yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declared: Option<String>,
}

/// An apply that reached its goal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// ARN of who applied.
    pub(crate) by: String,
    /// When it was planned, in RFC 3339, UTC.
    pub(crate) at: String,
    /// Version of the deployer.
    pub(crate) deployer: String,
    /// Digest of the sources of the function's code.
    pub(crate) function: String,
}

/// A record that is there.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    /// The tags of the parameter, which say whose record it is.
    pub(crate) tags: Tags,
}

impl Applied {
    /// Whether a newer deployer than this one applied.
    pub(crate) fn is_by_a_newer_deployer(&self) -> bool {
        let version = |text: &str| text.parse::<semver::Version>().ok();
        version(&self.deployer).zip(version(env!("CARGO_PKG_VERSION"))).is_some_and(|(theirs, own)| theirs > own)
    }
}

impl Entry {
    pub(crate) fn address(&self) -> Address {
        Address::new(self.kind, &self.name)
    }
}

impl Record {
    /// A record in which everything is noted that either names: nothing that may be there is forgotten while a run goes from one to
    /// the other. The last apply is still that of `before`.
    pub(crate) fn between(before: Option<&Self>, after: &Self) -> Self {
        let known = before.map(|record| record.resources.as_slice()).unwrap_or_default();
        let is_new = |entry: &&Entry| known.iter().all(|other| other.address() != entry.address());
        let new = after.resources.iter().filter(is_new).map(|entry| Entry { declared: None, ..entry.clone() });
        let tags = before.map(|record| record.tags.clone()).unwrap_or_default();
        Self {
            version: VERSION,
            resources: known.iter().cloned().chain(new).collect(),
            tags: &tags | &after.tags,
            applied: before.and_then(|record| record.applied.clone()),
        }
    }

    /// Whether an apply has made this resource. One that a run was about to make may be somebody else's.
    pub(crate) fn made(&self, address: &Address) -> bool {
        self.resources.iter().any(|entry| !entry.existing && entry.declared.is_some() && entry.address() == *address)
    }

    /// Name of the resource of this kind; the first one if there are several.
    pub(crate) fn name_of(&self, kind: ResourceKind) -> Option<&str> {
        self.resources.iter().find(|entry| entry.kind == kind).map(|entry| entry.name.as_str())
    }

    /// What stands for everything but the last apply, in a plan.
    pub(crate) fn digest(&self) -> String {
        digest::digest([&Self { applied: None, ..self.clone() }.to_json()])
    }

    /// The parameter's value.
    pub(crate) fn to_json(&self) -> String {
        // Its maps have texts as keys, so it always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a parameter holds. A SecureString is read encrypted, and holds no secret anyway.
    fn of(parameter: &Parameter) -> Result<Self, Error> {
        let (name, value) = (parameter.name().unwrap_or_default(), parameter.value().unwrap_or_default());
        let region = parameter.arn().map(region_of);
        match parameter.r#type() {
            Some(ParameterType::String) | None => Self::parse(name, region, value),
            Some(other) => {
                let cause = format!("it is a {other}, and apply writes a String: somebody else made the parameter");
                Err(cannot_be_read(name, region, cause))
            }
        }
    }

    fn parse(name: &str, region: Option<&str>, text: &str) -> Result<Self, Error> {
        let unreadable = |error: serde_json::Error| {
            let what = if error.is_data() { "it is JSON of something else" } else { "it is not JSON" };
            cannot_be_read(name, region, format!("somebody else wrote the parameter: {what} ({error})"))
        };
        let version =
            serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text).map_err(unreadable)?.remove("version");
        if version.as_ref().is_some_and(|version| version.as_u64() > Some(VERSION.into())) {
            return Err(Error::new(format!("the record {name} was written by a newer deployer"))
                .cause(format!("this one knows the record's version {VERSION}"))
                .hint("update the deployer"));
        }
        serde_json::from_str(text).map_err(unreadable)
    }
}

/// `region`: of the parameter, if it is known.
fn cannot_be_read(name: &str, region: Option<&str>, cause: String) -> Error {
    let command = |verb: &str| Command::aws_in(region.unwrap_or_default(), &["ssm", verb, "--name", name]);
    Error::new(format!("the record {name} cannot be read"))
        .cause(cause)
        .hint(text![
            command("get-parameter"),
            " shows it, and ",
            command("get-parameter-history"),
            " the versions before, of which you can write one again"
        ])
        .hint(text![
            "or delete it: ",
            command("delete-parameter"),
            ". Then only what the file no longer declares is forgotten, and ",
            Command::deployer("apply"),
            " writes it again"
        ])
}

/// Adds to the error of a parameter that could not be overwritten what a policy that demands tags has to leave out: AWS takes no tags
/// together with an overwrite (API reference of PutParameter).
pub(crate) fn takes_no_tags(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    error.hint(
        "if a policy demands tags: AWS takes none with an overwrite of a parameter, so the policy has to leave such a request out. Its \
         condition key ssm:Overwrite is true",
    )
}

/// Deletes the parameter of a lease, if it is there: it stands beside the record.
pub(crate) async fn delete_lease(aws: &Aws, name: &str) -> Result<(), Error> {
    let answer = aws.ssm.delete_parameter().name(name).send().await;
    absent_is_none(answer.failed_to(|| format!("delete the lease {name}")), &["ParameterNotFound"]).map(drop)
}

/// Every record in the region, in order, by the name of its deployment.
pub(crate) async fn list(aws: &Aws) -> Result<Vec<(String, Result<Record, Error>)>, Error> {
    let pages = aws.ssm.get_parameters_by_path().path(RECORDS).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.failed_to(|| format!("list the records of {RECORDS}"))?;
    let mut records: Vec<_> = pages
        .into_iter()
        .flat_map(|page| page.parameters.unwrap_or_default())
        .filter_map(|parameter| {
            let name = parameter.name()?.strip_prefix(RECORDS)?.trim_start_matches('/').to_owned();
            Some((name, Record::of(&parameter)))
        })
        .collect();
    records.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(records)
}

/// Reads a record; none if there is no such parameter.
pub(crate) async fn read(aws: &Aws, name: &str) -> Result<Option<Kept>, Error> {
    let parameter = aws.ssm.get_parameter().name(name).send().await;
    let parameter = absent_is_none(parameter.failed_to(|| format!("read the record {name}")), &["ParameterNotFound"])?;
    let Some(parameter) = parameter.and_then(|answer| answer.parameter) else { return Ok(None) };
    let tags = aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Parameter).resource_id(name);
    // It may be deleted between the two reads.
    let tags = absent_is_none(
        tags.send().await.failed_to(|| format!("read the tags of record {name}")),
        &["InvalidResourceId"],
    )?;
    let Some(tags) = tags else { return Ok(None) };
    let tags = tags::read(tags.tag_list, |tag| (Some(tag.key), Some(tag.value)));
    Ok(Some(Kept { record: Record::of(&parameter)?, tags }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, declared: Option<&str>) -> Entry {
        let declared = declared.map(str::to_owned);
        Entry { kind: ResourceKind::User, name: name.to_owned(), existing: false, declared }
    }

    fn record(resources: &[Entry], tags: &[&str]) -> Record {
        let tags = tags.iter().map(|&key| key.to_owned()).collect();
        Record { version: VERSION, resources: resources.to_vec(), tags, applied: None }
    }

    #[test]
    fn a_denied_overwrite_says_what_a_policy_that_demands_tags_has_to_leave_out() {
        let hints = |error| takes_no_tags(error).hints;
        assert!(hints(Error::new("w").of_kind(ErrorKind::Denied))[0].to_string().contains("ssm:Overwrite"));
        assert_eq!(hints(Error::new("w")), []);
    }

    #[test]
    fn while_a_run_goes_on_nothing_is_forgotten_and_nothing_is_called_reached() {
        let before = record(&[entry("old", Some("a")), entry("both", Some("b"))], &["team"]);
        let after = record(&[entry("both", Some("c")), entry("new", Some("d"))], &["cost"]);
        let expected =
            record(&[entry("old", Some("a")), entry("both", Some("b")), entry("new", None)], &["cost", "team"]);
        assert_eq!(Record::between(Some(&before), &after), expected);
        assert_eq!(Record::between(Some(&expected), &after), expected, "to write it twice changes nothing");
        assert_eq!(Record::between(None, &after).resources, [entry("both", None), entry("new", None)]);
    }

    #[test]
    fn a_record_of_a_newer_deployer_and_one_that_somebody_edited_are_refused_in_their_own_words() {
        let parse = |text: &str| Record::parse("/deployer/m", None, text).map_err(|error| error.what);
        let written = record(&[entry("u", Some("a"))], &[]);
        assert_eq!(parse(&written.to_json()), Ok(written));
        let newer = parse(r#"{"version":2,"resources":{"anything":"else"}}"#).unwrap_err();
        assert!(newer.contains("written by a newer deployer"), "{newer}");
        for text in ["", "{}", r#"{"version":1,"resources":[{"kind":"castle","name":"n"}]}"#] {
            assert!(parse(text).unwrap_err().contains("cannot be read"), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_is_no_record_is_told_with_what_it_is_and_what_shows_and_removes_it() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/deployer/m";
        let parameter =
            |kind, value: &str| Parameter::builder().name("/deployer/m").arn(arn).r#type(kind).value(value).build();
        for (kind, value, why) in [
            (ParameterType::SecureString, "AQICAH", "it is a SecureString, and apply writes a String"),
            (ParameterType::StringList, "a,b", "it is a StringList"),
            (ParameterType::String, "rotation", "it is not JSON (expected value"),
            (ParameterType::String, r#"{"version":1}"#, "it is JSON of something else (missing field"),
            (ParameterType::String, "[]", "it is JSON of something else"),
        ] {
            let error = Record::of(&parameter(kind, value)).unwrap_err();
            assert!(error.in_one_line().contains(why), "{}", error.in_one_line());
            let hints: Vec<_> = error.hints.iter().map(ToString::to_string).collect();
            for command in ["get-parameter", "get-parameter-history", "delete-parameter"] {
                let command = format!("aws ssm {command} --region eu-west-1 --name /deployer/m`");
                assert!(hints.iter().any(|hint| hint.contains(&command)), "{command}: {hints:?}");
            }
        }
    }
}
