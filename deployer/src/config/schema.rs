use std::sync::LazyLock;

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::raw::RawConfig;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    // Without references: editors show a key's description, not that of its type.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let settings = settings.with_transform(RecursiveTransform(join_description_lines));
    settings.into_generator().into_root_schema_for::<RawConfig>().to_value()
});

/// A doc comment has the source's line breaks, which nobody is to see.
pub(crate) fn join_description_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// The JSON Schema of one deployment, for editors. `check` has more rules than a schema can express.
#[must_use]
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

/// The groups that have this key.
pub(super) fn groups_with(key: &str) -> Vec<&'static str> {
    let Some(groups) = SCHEMA["properties"].as_object() else { return Vec::new() };
    groups.iter().filter(|(_, group)| group["properties"].get(key).is_some()).map(|(name, _)| name.as_str()).collect()
}
