//! Terraform's language, as far as an export writes it.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `KEYWORD "LABEL" { … }`. What is null is left out.
pub(super) fn block(keyword: &str, label: Option<&str>, arguments: &[(&str, Value)]) -> String {
    let label = label.map_or_else(String::new, |label| format!(" {}", quoted(label)));
    format!("{keyword}{label} {{\n{}}}\n", entries(arguments.iter().map(|(key, value)| (*key, value)), 1))
}

/// A reference, where Terraform takes no text: `module.mail.aws_iam_user.this`.
pub(super) fn import(to: &str, id: &str) -> String {
    format!("import {{\n  to = {to}\n  id = {}\n}}\n", quoted(id))
}

/// As `terraform fmt` does: one line per entry, and below each other the values of neighbours that have one line each.
fn entries<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>, depth: usize) -> String {
    let entries = entries.filter(|(_, value)| !value.is_null());
    let entries: Vec<_> = entries.map(|(key, value)| (name(key), expression(value, depth))).collect();
    let has_one_line = |(_, value): &(String, String)| !value.contains('\n');
    let neighbours = entries.chunk_by(|one, other| has_one_line(one) && has_one_line(other));
    neighbours.fold(String::new(), |mut text, neighbours| {
        let width = neighbours.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        for (key, value) in neighbours {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}{key:width$} = {value}", "  ".repeat(depth));
        }
        text
    })
}

fn expression(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| expression(item, depth)).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields = entries(fields.iter().map(|(key, value)| (key.as_str(), value)), depth + 1);
            if fields.is_empty() { "{}".to_owned() } else { format!("{{\n{fields}{}}}", "  ".repeat(depth)) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A key is a name, or else a text.
fn name(key: &str) -> String {
    let is_name = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { key.to_owned() } else { quoted(key) }
}

/// Terraform's escapes are those of JSON, and `${` and `%{` begin a template.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_terraform_formats_them() {
        let arguments = [
            ("name", json!("mail")),
            ("tags", json!({"cost-centre": "a \"b\" ${c} %{d}", "team": "x"})),
            ("instance", json!({"ids": ["i-1", "i-2"], "role": null, "timeout": 5})),
            ("none", Value::Null),
            ("empty", json!({})),
        ];
        let expected = r#"module "mail" {
  name = "mail"
  tags = {
    "cost-centre" = "a \"b\" $${c} %%{d}"
    team          = "x"
  }
  instance = {
    ids     = ["i-1", "i-2"]
    timeout = 5
  }
  empty = {}
}
"#;
        assert_eq!(block("module", Some("mail"), &arguments), expected);
        assert_eq!(import("module.m.x.y[0]", "a/b"), "import {\n  to = module.m.x.y[0]\n  id = \"a/b\"\n}\n");
    }
}
