//! The record of a deployment: a parameter in Parameter Store that names every resource which the deployment may own, so that one
//! which the configuration no longer declares is found again.
//!
//! It is a memory and no state. What is there, and whose it is, AWS alone says; without the record only leftovers are forgotten.
//! It holds no secret.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::ResourceTypeForTagging;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aws::Aws,
    deployment::names::RECORDS,
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

    fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let unreadable = |cause: String| {
            Error::new(format!("the record {name} cannot be read")).cause(cause).hint(
                "somebody else wrote the parameter. Restore the version before from its history, or delete it: then only what the \
                 file no longer declares is forgotten, and apply writes it again",
            )
        };
        let version = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text)
            .map_err(|error| unreadable(error.to_string()))?
            .remove("version");
        if version.as_ref().is_some_and(|version| version.as_u64() > Some(VERSION.into())) {
            return Err(Error::new(format!("the record {name} was written by a newer deployer"))
                .cause(format!("this one knows the record's version {VERSION}"))
                .hint("update the deployer"));
        }
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))
    }
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

/// Every record in the region, in order, by the name of its deployment.
pub(crate) async fn list(aws: &Aws) -> Result<Vec<(String, Result<Record, Error>)>, Error> {
    let pages = aws.ssm.get_parameters_by_path().path(RECORDS).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.failed_to(|| format!("list the records of {RECORDS}"))?;
    let mut records: Vec<_> = pages
        .into_iter()
        .flat_map(|page| page.parameters.unwrap_or_default())
        .filter_map(|parameter| {
            let name = parameter.name?;
            let record = Record::parse(&name, &parameter.value.unwrap_or_default());
            Some((name.strip_prefix(RECORDS)?.trim_start_matches('/').to_owned(), record))
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
    Ok(Some(Kept { record: Record::parse(name, &parameter.value.unwrap_or_default())?, tags }))
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
        let parse = |text: &str| Record::parse("/deployer/m", text).map_err(|error| error.what);
        let written = record(&[entry("u", Some("a"))], &[]);
        assert_eq!(parse(&written.to_json()), Ok(written));
        let newer = parse(r#"{"version":2,"resources":{"anything":"else"}}"#).unwrap_err();
        assert!(newer.contains("written by a newer deployer"), "{newer}");
        for text in ["", "{}", r#"{"version":1,"resources":[{"kind":"castle","name":"n"}]}"#] {
            assert!(parse(text).unwrap_err().contains("cannot be read"), "{text}");
        }
    }
}
