//! The values of a YAML document with their places, before their types are checked.
//!
//! Serde stops at the first value of a wrong type. A [`Leaf`] accepts every type, so that one run reports all mistakes of
//! a file, each with its key.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

/// A value that should be a `T`: `reader` checks whether it is. Its JSON Schema is that of `T`.
pub(super) struct Leaf<T> {
    pub(super) found: Found,
    pub(super) at: Location,
    expected: PhantomData<T>,
}

/// What YAML makes of a value, by the rules of YAML 1.2: `yes`, `no`, `on` and dates are text.
pub(super) enum Found {
    /// Text, quoted or not.
    Text(String),
    /// A number; none if it is negative or not whole, since no key accepts such a number.
    Number(Option<u64>),
    /// `true` or `false`.
    Flag(bool),
    /// A key without a value, `~` or `null`.
    Nothing,
    /// Items in their order.
    List(Vec<Leaf<String>>),
    /// Keys and values in their order.
    Map(Vec<(Leaf<String>, Leaf<String>)>),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Nothing => "nothing",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of keys",
        })
    }
}

impl<'de, T> Deserialize<'de> for Leaf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Found>::deserialize(deserializer)?;
        Ok(Self { found: spanned.value, at: spanned.referenced, expected: PhantomData })
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(Found::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Found, E> {
        Ok(Found::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found, E> {
        Ok(Found::Number(Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found, E> {
        Ok(Found::Number(u64::try_from(number).ok()))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Found, E> {
        Ok(Found::Number(None))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Found, E> {
        Ok(Found::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Number(None))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Found::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Found::Map(entries))
    }
}

/// A key that may be left out.
///
/// Unlike with serde's `Option`, a key without a value does not count as left out: if all lines under `instance:` are
/// commented out, nobody has declared "no instance".
pub(super) struct Optional<T>(Option<T>);

impl<T> Optional<T> {
    /// The value, if the key is there.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

/// Both wrappers are invisible in the schema.
macro_rules! schema_of_inner {
    ($wrapper:ident) => {
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}

schema_of_inner!(Leaf);
schema_of_inner!(Optional);
