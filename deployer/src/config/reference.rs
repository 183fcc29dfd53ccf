//! docs/configuration.md: every key of the file, from the types that read it.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::json_schema;

const INTRODUCTION: &str = "\
# Configuration

Every key of the file. This page is generated from the types that read the file: a test fails if the two differ.
[config.example.yaml](../config.example.yaml) has every key too, each with its default or an example. `deployer schema` prints the JSON
Schema of the file, with which an editor completes and checks it.

A file may hold several documents, separated by `---`; each one is a deployment. Durations are a number and a unit: `30s`, `5m`, `12h`, `7d`.
";

/// Regenerate with `UPDATE_REFERENCE=1 cargo test -p deployer configuration_md`.
#[test]
fn configuration_md_describes_every_key_as_the_types_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = fs::read_to_string(root.join("config.example.yaml")).unwrap();
    let page = root.join("docs/configuration.md");
    let reference = reference(&json_schema(), &example);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&page, &reference).unwrap();
    }
    assert!(
        fs::read_to_string(&page).unwrap_or_default() == reference,
        "docs/configuration.md is out of date; run: UPDATE_REFERENCE=1 cargo test -p deployer configuration_md"
    );
}

fn reference(schema: &Value, example: &str) -> String {
    let mut page = INTRODUCTION.to_owned();
    group(&mut page, "", schema, example);
    page
}

/// A table of the group's keys, then a section for each group in it. The example begins with the group.
fn group(page: &mut String, path: &str, schema: &Value, example: &str) {
    let depth = path.split('.').filter(|part| !part.is_empty()).count();
    let mut keys: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    // A JSON Schema has its keys in alphabetical order. The example has them in the order in which a person writes them.
    keys.sort_by_key(|(key, _)| place(example, depth, key));
    if !path.is_empty() {
        write!(page, "\n## {path}\n\n{}\n", text(&schema["description"])).unwrap();
    }
    page.push_str("\n| key | meaning | default |\n|---|---|---|\n");
    for (key, schema_of_key) in &keys {
        let is_required = schema["required"].as_array().into_iter().flatten().any(|required| required == *key);
        let default = match &schema_of_key["default"] {
            _ if is_required => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{}`", text(default)),
        };
        writeln!(page, "| {} | {} | {default} |", named(path, key, schema_of_key), meaning(schema_of_key)).unwrap();
    }
    for (key, schema) in keys.iter().filter(|(_, schema)| is_group(schema)) {
        let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
        group(page, &path, schema, &example[place(example, depth, key)..]);
    }
}

/// The key; that of a group links to the group's section.
fn named(path: &str, key: &str, schema: &Value) -> String {
    if is_group(schema) { format!("[`{key}`](#{}{key})", path.replace('.', "")) } else { format!("`{key}`") }
}

fn is_group(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn meaning(schema: &Value) -> String {
    let mut meaning = text(&schema["description"]).replace('|', "\\|");
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", text(word))).collect();
        write!(meaning, " One of {}.", words.join(", ")).unwrap();
    }
    if let (Some(least), Some(most)) = (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        write!(meaning, " From {least} to {most}.").unwrap();
    }
    meaning
}

/// Where the example has the key, active or commented out.
fn place(example: &str, depth: usize, key: &str) -> usize {
    let indent = "  ".repeat(depth);
    let spellings = [format!("\n{indent}{key}:"), format!("\n{indent}# {key}:")];
    spellings.iter().filter_map(|spelling| example.find(spelling)).min().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
