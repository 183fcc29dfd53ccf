//! Reads groups of keys: unknown, missing and duplicate keys, and groups that are none.

use std::{
    borrow::{Borrow, Cow},
    collections::BTreeMap,
    ops::Deref,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    leaf::{Leaf, Optional, Required},
    nearest::nearest,
    node::{At, Found, Node},
    problem::Code,
    reader::Reader,
    schema, yaml,
};

/// What the value of a key may be: a leaf or another group.
pub(super) trait Value: Sized {
    /// `path`: the keys that lead to the value, joined by dots. `None`: a problem was recorded.
    fn of(node: Node, path: &str, reader: &mut Reader<'_>) -> Option<Self>;
}

impl<T> Value for Leaf<T> {
    fn of(node: Node, _: &str, _: &mut Reader<'_>) -> Option<Self> {
        Some(node.into())
    }
}

/// A value, and where it begins: for a mistake that no key of a group has.
pub(super) struct Beginning<V> {
    pub(super) at: At,
    value: V,
}

impl<V: Value> Value for Beginning<V> {
    fn of(node: Node, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let at = node.at.beginning();
        Some(Self { at, value: V::of(node, path, reader)? })
    }
}

impl<V> Deref for Beginning<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: JsonSchema> JsonSchema for Beginning<V> {
    fn inline_schema() -> bool {
        V::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        V::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        V::json_schema(generator)
    }
}

/// A key of a group.
pub(super) trait Key {
    /// Takes the key out of the group.
    fn take(name: &str, keys: &mut Keys<'_, '_>) -> Self;
}

impl<V: Value> Key for Required<V> {
    fn take(name: &str, keys: &mut Keys<'_, '_>) -> Self {
        let Some(node) = keys.values.remove(name) else {
            keys.is_missing(name);
            return Self(None);
        };
        Self(V::of(node, &keys.path_of(name), keys.reader))
    }
}

impl<V: Value> Key for Optional<V> {
    fn take(name: &str, keys: &mut Keys<'_, '_>) -> Self {
        match keys.values.remove(name) {
            None => Self::Missing,
            Some(node) => V::of(node, &keys.path_of(name), keys.reader).map_or(Self::Refused, Self::Given),
        }
    }
}

/// The keys of a group that are not taken yet.
pub(super) struct Keys<'r, 'a> {
    reader: &'r mut Reader<'a>,
    path: &'r str,
    at: At,
    values: BTreeMap<String, Node>,
    /// Keys of which a mistyped one is there, as its problem says.
    mistyped: Vec<&'static str>,
    /// Whether a merge key may have been meant to bring what is missing.
    merges: bool,
}

impl<'r, 'a> Keys<'r, 'a> {
    /// Records what no key of the group explains. `None`: the value is no group.
    pub(super) fn of(
        node: Node,
        path: &'r str,
        known: &'static [&'static str],
        reader: &'r mut Reader<'a>,
    ) -> Option<Self> {
        let Found::Map(entries) = node.found else {
            if !matches!(node.found, Found::Refused) {
                reader.refuse_as(
                    Code::WrongType,
                    node.at,
                    not_a_group(path),
                    not_a_group_hint(path, reader.source.text),
                );
            }
            return None;
        };
        let merges = entries.iter().any(|(key, _)| is_merge_key(key));
        let mut keys =
            Self { reader, path, at: node.at.beginning(), values: BTreeMap::new(), mistyped: Vec::new(), merges };
        for (key, value) in keys.reader.distinct(path, entries) {
            keys.add(&key, value, known);
        }
        Some(keys)
    }

    fn add(&mut self, key: &Node, value: Node, known: &'static [&'static str]) {
        match &key.found {
            Found::Text(text) if known.contains(&text.as_str()) => {
                self.values.insert(text.clone(), value);
            }
            Found::Text(text) => {
                self.mistyped.extend(nearest(text, known.iter().copied()));
                self.is_unknown(text, key.at, known);
            }
            Found::List(_) | Found::Map(_) => {
                let message = format!("a key must be text, not {}", key.found);
                self.reader.refuse_as(Code::WrongType, key.at, message, "write `key: value`, without brackets");
            }
            _ => {
                let text = self.reader.source.verbatim(key.at).to_owned();
                self.is_unknown(&text, key.at, known);
            }
        }
    }

    fn is_unknown(&mut self, key: &str, at: At, known: &[&str]) {
        let message = format!("unknown key `{key}`{}", in_group(self.path));
        self.reader.refuse_as(Code::UnknownKey, at, message, unknown_key_hint(key, known));
    }

    /// A mistyped key is one mistake: that the right one is missing follows from it.
    fn is_missing(&mut self, name: &str) {
        if self.merges || self.mistyped.contains(&name) {
            return;
        }
        let path = self.path;
        let message =
            if path.is_empty() { format!("`{name}` is missing") } else { format!("`{path}` has no `{name}`") };
        self.reader.refuse_as(Code::MissingKey, self.at, message, missing_key_hint(path, name));
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Declares groups: the JSON Schema comes from the declaration, and the keys are read by it.
macro_rules! groups {
    ($(
        $(#[$about:meta])*
        struct $group:ident { $($(#[$about_key:meta])* $key:ident: $type:ty,)* }
    )*) => {$(
        #[derive(schemars::JsonSchema)]
        $(#[$about])*
        #[serde(deny_unknown_fields)]
        pub(super) struct $group { $($(#[$about_key])* pub(super) $key: $type,)* }

        impl $crate::config::group::Value for $group {
            fn of(
                node: $crate::config::node::Node,
                path: &str,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                const KEYS: &[&str] = &[$(stringify!($key)),*];
                let mut keys = $crate::config::group::Keys::of(node, path, KEYS, reader)?;
                Some(Self { $($key: $crate::config::group::Key::take(stringify!($key), &mut keys),)* })
            }
        }
    )*};
}

pub(super) use groups;

fn is_merge_key(key: &Node) -> bool {
    matches!(&key.found, Found::Text(text) if text == "<<")
}

impl Reader<'_> {
    /// The entries of a group without merge keys, and without those whose key is there twice.
    pub(super) fn distinct<K: Borrow<Node>, V>(
        &mut self,
        path: &str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<(K, V)> {
        let mut seen = BTreeMap::new();
        let mut distinct = Vec::new();
        for (key, value) in entries {
            let node: &Node = key.borrow();
            if is_merge_key(node) {
                let message = "merge keys (`<<`) are not accepted";
                self.refuse_as(Code::UnsupportedYaml, node.at, message, "write the keys out at every place");
                continue;
            }
            let text = node.text().unwrap_or(self.source.verbatim(node.at)).to_owned();
            let message = format!("duplicate key `{text}`{}", in_group(path));
            match seen.insert(text, node.at) {
                Some(first) => self.is_there_twice(node.at, first, message),
                None => distinct.push((key, value)),
            }
        }
        distinct
    }
}

fn in_group(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in `{path}`") }
}

fn not_a_group(path: &str) -> String {
    if path.is_empty() {
        "a deployment must be a group of keys".to_owned()
    } else {
        format!("`{path}` must be a group of keys")
    }
}

fn not_a_group_hint(path: &str, text: &str) -> String {
    if path.is_empty() {
        return yaml::other_language(text).unwrap_or(FIRST_LINES).to_owned();
    }
    let example = first_key(path);
    let below = format!("write the keys on indented lines below it, such as `  {example}: …`");
    let is_required = ["secret", "iam_user"].contains(&path);
    if is_required { below } else { format!("{below}, or remove `{path}`") }
}

fn unknown_key_hint(key: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(key, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let groups = schema::groups_with(key);
    if !groups.is_empty() {
        let groups: Vec<String> = groups.iter().map(|group| format!("`{group}`")).collect();
        return format!("`{key}` is a key of {}", groups.join(" and of "));
    }
    format!("the keys here are {}", known.join(", "))
}

/// How a configuration begins.
pub(super) const FIRST_LINES: &str = "begin with `name: mail-prod`; config.example.yaml shows every key";

fn missing_key_hint(group: &str, key: &str) -> String {
    let example = match (group, key) {
        ("", "name") => "name: mail-prod",
        ("", "region") => "region: eu-west-1",
        ("", "secret") => "secret: {name: mail-prod/smtp}",
        ("", "iam_user") => "iam_user: {name: mail-prod-smtp}",
        ("secret", _) => "name: mail-prod/smtp",
        ("iam_user", _) => "name: mail-prod-smtp",
        ("notify", _) => "email: ops@example.com",
        (_, "subnets") => "subnets: [subnet-0123456789abcdef0]",
        _ => "security_groups: [sg-0123456789abcdef0]",
    };
    format!("add `{example}`")
}

/// A key of the group, for an example.
fn first_key(group: &str) -> &'static str {
    match group {
        "instance" => "id",
        "ses" => "sender",
        "rotation" => "schedule",
        "function" => "timeout",
        "function.vpc" => "subnets",
        "notify" => "email",
        "names" => "function",
        _ => "name",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Every group, with the keys that lead to it joined by dots.
    fn groups(group: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let Some(keys) = group["properties"].as_object() else { return };
        found.push((path.to_owned(), group.clone()));
        for (key, value) in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            groups(value, &path, found);
        }
    }

    #[test]
    fn the_examples_in_hints_are_of_the_key_that_is_missing_and_of_the_group_that_is_none() {
        let mut found = Vec::new();
        groups(&schema::json_schema(), "", &mut found);
        assert!(found.len() > 8, "{found:?}");
        for (path, group) in found {
            for key in group["required"].as_array().into_iter().flatten() {
                let key = key.as_str().unwrap();
                let hint = missing_key_hint(&path, key);
                assert!(hint.starts_with(&format!("add `{key}: ")), "{path} {key}: {hint}");
            }
            let example = first_key(&path);
            assert!(group["properties"].get(example).is_some(), "{path} has no {example}");
        }
    }
}
