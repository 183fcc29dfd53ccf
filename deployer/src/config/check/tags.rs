//! The tags that the file names: what every service that gets them accepts.

use std::collections::BTreeMap;

use crate::config::{OUR_TAGS, leaf::Leaf, node::Found, raw, reader::Reader, text::InvalidValue};

impl Reader<'_> {
    pub(super) fn tags(&mut self, leaf: &Leaf<BTreeMap<String, String>>) -> Option<BTreeMap<String, String>> {
        let Found::Map(entries) = &leaf.found else {
            let hint = "write {team: platform}, or one `team: platform` line per tag";
            return self.refuse_type("tags", leaf, "keys and values", hint);
        };
        if entries.len() > raw::MAX_TAGS {
            let message = format!("`tags` has {} keys", entries.len());
            let hint = format!(
                "write at most {}: AWS allows 50 tags on a resource, and the deployer needs some of them",
                raw::MAX_TAGS
            );
            return self.refuse(leaf.at, message, hint);
        }
        let mut tags = BTreeMap::<String, String>::new();
        for (key_leaf, value_leaf) in self.distinct("tags", entries.iter().map(|(key, value)| (key, value))) {
            let label = format!("tags.{}", self.source.verbatim(key_leaf.at));
            let key = self.text_or_empty(&label, key_leaf);
            let (Some(key), Some(value)) = (key, self.text_or_empty(&label, value_leaf)) else { continue };
            if let Some(other) = tags.keys().find(|other| other.eq_ignore_ascii_case(key)) {
                let message = format!("the tags `{other}` and `{key}` differ only in case");
                self.refuse::<()>(key_leaf.at, message, "remove one of the two: to IAM they are the same tag");
            }
            self.accept(key_leaf.at, check_tag_key(key));
            self.accept(value_leaf.at, check_tag_value(value));
            tags.insert(key.to_owned(), value.to_owned());
        }
        Some(tags)
    }
}

/// Lower-case beginnings of tags that a configuration may not set: those of AWS, and those that show the owner.
const RESERVED_TAG_PREFIXES: [&str; 2] = ["aws:", OUR_TAGS];

fn check_tag_key(key: &str) -> Result<(), InvalidValue> {
    let lower = key.to_ascii_lowercase();
    if let Some(prefix) = RESERVED_TAG_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        let message = format!("the tag `{key}` begins with `{prefix}`, which is reserved");
        return Err(InvalidValue::new(message, "choose another key"));
    }
    check_tag_text(key, "key", 1, 128)
}

fn check_tag_value(value: &str) -> Result<(), InvalidValue> {
    check_tag_text(value, "value", 0, raw::MAX_TAG_VALUE)
}

/// What IAM, Lambda, Secrets Manager, Systems Manager and CloudWatch Logs all accept (IAM is the strictest).
fn check_tag_text(text: &str, part: &str, min: usize, max: usize) -> Result<(), InvalidValue> {
    let length = text.chars().count();
    if length < min {
        return Err(InvalidValue::new(format!("this tag's {part} is empty"), format!("write a {part}")));
    }
    if length > max {
        let message = format!("this tag's {part} is {length} characters long");
        return Err(InvalidValue::new(message, format!("write at most {max} characters")));
    }
    match text.chars().find(|c| !(c.is_alphanumeric() || *c == ' ' || "_.:/=+-@".contains(*c))) {
        Some(c) => Err(InvalidValue::new(
            format!("a tag's {part} cannot contain `{c}`"),
            "use letters, digits, spaces and _.:/=+-@",
        )),
        None => Ok(()),
    }
}
