//! The JSON Schema of the lines.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use crate::config::join_description_lines;

/// The JSON Schema of a type, as it is written. What it does not name may be added later.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with_transform(RecursiveTransform(join_description_lines));
    let settings = settings.with_transform(RecursiveTransform(allow_more_fields));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The record refuses fields that it does not know. Whoever reads lines has to ignore them.
fn allow_more_fields(schema: &mut Schema) {
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
}
