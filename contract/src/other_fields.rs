use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// Fields of somebody else in the secret's JSON, each with its text as it was written: a number keeps every digit, an object its order
/// and its spaces. `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OtherFields(BTreeMap<String, String>);

impl OtherFields {
    /// The value of a field. None also for text that JSON allows and no program can read, such as half a surrogate pair.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.0.get(name)?).ok()
    }

    /// Writes a field.
    pub fn insert(&mut self, name: String, value: &Value) {
        self.0.insert(name, value.to_string());
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names, each with its value's text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let text = self.0.remove(name)?;
        Some(serde_json::from_str(&text).unwrap_or_default())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for OtherFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The fields of a JSON object, or the name of one that it has twice.
pub(crate) enum Parsed {
    Fields(OtherFields),
    Twice(String),
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Parsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
                let (mut fields, mut twice) = (BTreeMap::new(), None);
                while let Some((name, text)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.insert(name.clone(), text.get().to_owned()).is_some() {
                        twice.get_or_insert(name);
                    }
                }
                Ok(twice.map_or(Parsed::Fields(OtherFields(fields)), Parsed::Twice))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
