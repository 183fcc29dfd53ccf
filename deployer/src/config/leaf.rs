//! How a group declares its keys: which of them may be left out, and the type that the value of each should have.

use std::{borrow::Cow, marker::PhantomData, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::node::Node;

/// A value that should be a `T`. Its JSON Schema is that of `T`.
///
/// It may be of any type: `reader` checks the type where it reads the value, so that one run reports all mistakes.
pub(super) struct Leaf<T> {
    node: Node,
    expected: PhantomData<T>,
}

impl<T> From<Node> for Leaf<T> {
    fn from(node: Node) -> Self {
        Self { node, expected: PhantomData }
    }
}

impl<T> Deref for Leaf<T> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// A key that has to be there. None: a problem was recorded.
pub(super) struct Required<T>(pub(super) Option<T>);

impl<T> Required<T> {
    /// The value.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

/// A key that may be left out.
///
/// A key without a value does not count as left out: if all lines under `instance:` are commented out, nobody has declared
/// "no instance".
#[derive(Default)]
pub(super) enum Optional<T> {
    /// The key is not there.
    #[default]
    Missing,
    /// The key is there. A problem was recorded.
    Refused,
    /// The value.
    Given(T),
}

impl<T> Optional<T> {
    /// The value, if the key is there.
    pub(super) fn get(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Missing | Self::Refused => None,
        }
    }
}

/// The wrappers are invisible in the schema.
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
schema_of_inner!(Required);
