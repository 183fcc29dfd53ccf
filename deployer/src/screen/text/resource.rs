//! What becomes of a resource: a few lines for a reviewer, in the words of its kind. With `--verbose`, every field as AWS gets it.

use std::fmt::Write as _;

use anstyle::Style;
use contract::printable;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{
    style::{BOLD, CYAN, GREEN, RED, YELLOW},
    wrap::{push_hanging, push_wrapped},
};
use crate::{
    aws::Identity,
    config::{Config, OUR_TAGS},
    deployment::Deployment,
    engine::{
        op::{Change, Effect, Op, Verb},
        plan::{ChangedBy, Planned},
        tags::Tags,
    },
    sentences::{Home, name, sentences},
};

/// Columns that a value may take before `--verbose` breaks it into lines.
const VALUE: usize = 96;

/// Columns that a value may take in a paragraph.
const BRIEF: usize = 72;

/// The fields of a function that are its variables.
const ENVIRONMENT: &str = "environment.";

/// What every part of a plan is shown by.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    home: Home<'a>,
    /// The tags that the header has said.
    tags: &'a Tags,
    columns: usize,
    verbose: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(deployment: &'a Deployment, identity: &'a Identity, columns: usize, verbose: bool) -> Self {
        let Config { region, tags, .. } = &deployment.config;
        let home = Home { partition: &identity.partition, account: &identity.account_id, region };
        Self { home, tags, columns, verbose }
    }
}

pub(super) fn push_resource(text: &mut String, resource: &Planned, verb: Verb, view: View<'_>) {
    let head = head(resource, verb);
    if view.verbose {
        let _ = writeln!(text, "  {head}");
        resource.ops.iter().for_each(|op| push_op_in_full(text, op));
        text.push('\n');
    } else if let Some(said) = created(resource, verb, view) {
        push_said(text, &said, &head, view);
    } else {
        let _ = writeln!(text, "  {head}");
        push_ops(text, &resource.ops, view);
    }
}

/// What somebody else made of a resource: as it was applied → as it is now. That is the way back of the ops that would put it right.
pub(super) fn push_drifted(text: &mut String, resource: &Planned, view: View<'_>) {
    let drifted = Planned { ops: resource.ops.iter().map(Op::reversed).collect(), ..resource.clone() };
    let Some(verb) = drifted.verb() else { return };
    let _ = writeln!(text, "  {}", head(&drifted, verb));
    // What the whole resource was, the file says.
    let changes = drifted.ops.iter().flat_map(|op| &op.changes).filter(|_| verb == Verb::Update);
    for change in changes {
        let said = |value: &Option<Value>| value.as_ref().map_or(Some(vec![]), |value| sentences(value, view.home));
        match (said(&change.from), said(&change.to), &change.from, &change.to) {
            (Some(from), Some(to), ..) if !view.verbose => push_statements(text, view.columns, &from, &to),
            (_, _, None, Some(to)) if !is_long(to) => {
                let _ = writeln!(text, "        {}  (none) → {}", printable(&change.field), inline(to));
            }
            _ => push_change(text, change, change.field.len(), if view.verbose { usize::MAX } else { 1 }),
        }
    }
}

/// Its name, and what becomes of it, for a reader who unfolds it.
pub(super) fn apart(resource: &Planned, verb: Verb, view: View<'_>) -> (String, String) {
    let mut text = String::new();
    match created(resource, verb, view) {
        Some(said) => push_said(&mut text, &said, "", view),
        None => push_ops(&mut text, &resource.ops, view),
    }
    (head(resource, verb), text)
}

/// What happens to which resource, and who changed it.
fn head(resource: &Planned, verb: Verb) -> String {
    let (sign, style) = sign(verb);
    let by = match resource.changed_by {
        None => "",
        Some(ChangedBy::File) => "  (by the file)",
        Some(ChangedBy::SomebodyElse) => "  (somebody else's change since the last apply)",
    };
    let adopted = if resource.ops.iter().any(|op| op.has(Effect::Adopts)) { "  (adopted)" } else { "" };
    format!("{style}{sign}{style:#} {BOLD}{}{BOLD:#}{by}{adopted}", resource.address)
}

pub(super) fn sign(verb: Verb) -> (char, Style) {
    match verb {
        Verb::Create => ('+', GREEN),
        Verb::Update => ('~', YELLOW),
        Verb::Delete => ('-', RED),
    }
}

/// What a new resource will be: which of its calls sets what matters only where something changes. None of a resource that exists.
fn created(resource: &Planned, verb: Verb, view: View<'_>) -> Option<Said> {
    let is_new = |op: &Op| op.verb != Verb::Delete && op.changes.iter().all(|change| change.from.is_none());
    let mut whole = Said::default();
    for op in resource.ops.iter().filter(|_| verb == Verb::Create) {
        let Said { set, statements, .. } = is_new(op).then(|| Said::of(op, view))?;
        whole.set.extend(set);
        whole.statements.extend(statements);
    }
    whole.move_a_single_statement();
    (verb == Verb::Create).then_some(whole)
}

/// A paragraph, which may begin with the resource's name, and the statements of policies.
fn push_said(text: &mut String, said: &Said, head: &str, view: View<'_>) {
    let set = said.set.join(", ");
    let indent = if head.is_empty() { "      " } else { "  " };
    let paragraph = [head, &printable(&set)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ");
    if !paragraph.is_empty() {
        push_hanging(text, view.columns, indent, "      ", &paragraph);
    }
    said.statements.iter().for_each(|statement| push_wrapped(text, view.columns, 6, &printable(statement)));
}

/// Each call and what it sets as a paragraph; then policies, and what the call changes, line by line. A call of which nothing is said
/// stands before the next one.
fn push_ops(text: &mut String, ops: &[Op], view: View<'_>) {
    let mut calls = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let mut said = Said::of(op, view);
        said.move_a_single_statement();
        calls.push(op.call.as_str());
        if said == Said::default() && at + 1 < ops.len() {
            continue;
        }
        let paragraph = format!("{}  {}", calls.join(", "), said.set.join(", "));
        push_wrapped(text, view.columns, 6, &printable(&paragraph));
        said.statements.iter().for_each(|statement| push_wrapped(text, view.columns, 8, &printable(statement)));
        text.push_str(&said.lines);
        calls.clear();
    }
}

/// What a call does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// What it sets, as parts of a paragraph.
    set: Vec<String>,
    /// The statements of new policies.
    statements: Vec<String>,
    /// What it changes, as lines.
    lines: String,
}

impl Said {
    fn of(op: &Op, view: View<'_>) -> Self {
        let said = |value: &Option<Value>| value.as_ref().map_or(Some(vec![]), |value| sentences(value, view.home));
        let (mut it, mut variables) = (Self::default(), 0);
        for change in &op.changes {
            let Change { field, from, to } = change;
            match (said(from), said(to)) {
                (Some(from), Some(to)) if from.is_empty() => it.statements.extend(to),
                (Some(from), Some(to)) => push_statements(&mut it.lines, view.columns, &from, &to),
                _ if from.is_none() && op.verb == Verb::Create && field.starts_with(ENVIRONMENT) => variables += 1,
                _ => match (from, to) {
                    (None, Some(to)) => it.set.extend(brief(field, to, view)),
                    _ => push_change(&mut it.lines, change, field.len(), 1),
                },
            }
        }
        if variables > 0 {
            it.set.push(format!("{variables} environment variables"));
        }
        it
    }

    /// A single statement needs no line of its own.
    fn move_a_single_statement(&mut self) {
        if self.statements.len() == 1 {
            self.set.append(&mut self.statements);
        }
    }
}

/// The statements that go and those that come.
fn push_statements(text: &mut String, columns: usize, from: &[String], to: &[String]) {
    let without = |these: &[String], others: &[String], sign: &str, text: &mut String| {
        let differ = these.iter().filter(|statement| !others.contains(statement));
        differ.for_each(|statement| push_wrapped(text, columns, 8, &format!("{sign} {}", printable(statement))));
    };
    without(from, to, "-", text);
    without(to, from, "+", text);
    let stay = from.iter().filter(|statement| to.contains(statement)).count();
    if stay > 0 {
        let _ = writeln!(text, "          ({stay} more, as before)");
    }
}

/// A field in a paragraph. Tags of ours and those of the header are on every resource, and an empty list sets nothing.
fn brief(field: &str, value: &Value, view: View<'_>) -> Option<String> {
    let text = match value {
        Value::Array(items) if items.is_empty() => return None,
        Value::String(text) => name(text, view.home),
        Value::Object(tags) if field == "tags" => {
            let is_said = |key: &str, value: &Value| view.tags.get(key).is_some_and(|said| value == said.as_str());
            let others = tags.iter().filter(|(key, value)| !key.starts_with(OUR_TAGS) && !is_said(key, value));
            let pairs: Vec<_> =
                others.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
            return (!pairs.is_empty()).then(|| format!("tags: {}", pairs.join(" ")));
        }
        other => other.to_string(),
    };
    // `role: mail-prod`, not `role: role mail-prod`.
    let text = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(&text);
    Some(if text.chars().count() <= BRIEF {
        format!("{field}: {text}")
    } else {
        format!("{field}: (long; see --verbose)")
    })
}

fn push_op_in_full(text: &mut String, op: &Op) {
    let _ = writeln!(text, "      {CYAN}{}{CYAN:#}", op.call);
    let width = op.changes.iter().map(|change| change.field.len()).max().unwrap_or_default();
    for change in &op.changes {
        push_change(text, change, width, usize::MAX);
    }
}

/// `context`: how many lines that stay are shown around lines that change.
fn push_change(text: &mut String, change: &Change, width: usize, context: usize) {
    let field = format!("        {:width$}  ", printable(&change.field));
    let indent = " ".repeat(10);
    match (&change.from, &change.to) {
        (Some(from), Some(to)) if is_long(from) || is_long(to) => {
            let _ = writeln!(text, "{}", field.trim_end());
            push_diff(text, &indent, from, to, context);
        }
        (Some(from), Some(to)) => {
            let _ = writeln!(text, "{field}{} → {}", inline(from), inline(to));
        }
        (None, Some(to)) if is_long(to) => {
            let _ = writeln!(text, "{}", field.trim_end());
            let _ = writeln!(text, "{indent}{}", broken(to).replace('\n', &format!("\n{indent}")));
        }
        (None, Some(to)) => {
            let _ = writeln!(text, "{field}{}", inline(to));
        }
        (Some(from), None) => {
            let _ = writeln!(text, "{field}{} → (none)", inline(from));
        }
        (None, None) => {}
    }
}

fn push_diff(text: &mut String, indent: &str, from: &Value, to: &Value, context: usize) {
    let (from, to) = (broken(from), broken(to));
    let diff = TextDiff::from_lines(&from, &to);
    let shown = diff.grouped_ops(context.min(from.len() + to.len()));
    for change in shown.iter().flatten().flat_map(|op| diff.iter_changes(op)) {
        let line = change.value().trim_end();
        let _ = match change.tag() {
            ChangeTag::Equal => writeln!(text, "{indent}  {line}"),
            ChangeTag::Delete => writeln!(text, "{indent}{RED}- {line}{RED:#}"),
            ChangeTag::Insert => writeln!(text, "{indent}{GREEN}+ {line}{GREEN:#}"),
        };
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn is_long(value: &Value) -> bool {
    inline(value).len() > VALUE
}

/// JSON of which every part that fits into a line has one line.
fn broken(value: &Value) -> String {
    let compact = printable(&value.to_string()).into_owned();
    let parts: Vec<String> = match value {
        _ if compact.len() <= VALUE => return compact,
        Value::Object(fields) => fields.iter().map(|(key, value)| format!("{key:?}: {}", broken(value))).collect(),
        Value::Array(items) => items.iter().map(broken).collect(),
        _ => return compact,
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    let parts = parts.join(",\n").replace('\n', "\n  ");
    format!("{open}\n  {parts}\n{close}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::op::{Address, ResourceKind};

    const HOME: Home<'_> = Home { partition: "aws", account: "123456789012", region: "eu-west-1" };

    fn shown(op: &Op) -> String {
        all_shown(std::slice::from_ref(op))
    }

    fn all_shown(ops: &[Op]) -> String {
        let tags = Tags::from([("team".to_owned(), "platform".to_owned())]);
        let mut text = String::new();
        push_ops(&mut text, ops, View { home: HOME, tags: &tags, columns: 100, verbose: false });
        anstream::adapter::strip_str(&text).to_string()
    }

    fn created(ops: &[Op]) -> String {
        let (address, tags) =
            (Address::new(ResourceKind::Function, "f"), Tags::from([("team".to_owned(), "platform".to_owned())]));
        let resource = Planned { address, ops: ops.to_vec(), changed_by: None };
        let mut text = String::new();
        let view = View { home: HOME, tags: &tags, columns: 100, verbose: false };
        push_resource(&mut text, &resource, Verb::Create, view);
        anstream::adapter::strip_str(&text).to_string()
    }

    fn policy(actions: &[&[&str]]) -> Value {
        let statement = |actions: &&[&str]| json!({"Effect": "Allow", "Action": actions, "Resource": "arn:aws:iam::123456789012:user/u"});
        json!({"Version": "2012-10-17", "Statement": actions.iter().map(statement).collect::<Vec<_>>()})
    }

    #[test]
    fn a_new_resource_is_a_paragraph_with_what_its_reviewer_needs() {
        let create = Op::new(Verb::Create, "lambda:CreateFunction")
            .sets("environment.A", "1")
            .sets("environment.B", "x".repeat(500))
            .sets("role", "arn:aws:iam::123456789012:role/mail-prod-rotation")
            .sets("memory_size", 128)
            .sets("content", json!({"steps": vec!["a line of a script"; 9]}))
            .sets("vpc", json!([]))
            .sets("tags", json!({"deployer:deployment": "eu-west-1/mail-prod", "team": "platform", "stage": "prod"}));
        assert_eq!(
            created(&[create]),
            "  + function f  role: mail-prod-rotation, memory_size: 128, content: (long; see --verbose), tags:
      stage=prod, 2 environment variables
"
        );

        let create = Op::new(Verb::Create, "iam:CreateUser");
        let put = |statements: &[&[&str]]| {
            created(&[create.clone(), Op::new(Verb::Update, "iam:PutUserPolicy").sets("policy", policy(statements))])
        };
        let [one, two] = [&["iam:GetUser"][..], &["iam:ListAccessKeys"]];
        assert_eq!(put(&[one]), "  + function f  may GetUser on user u\n");
        assert_eq!(
            put(&[one, two]),
            "  + function f\n      may GetUser on user u\n      may ListAccessKeys on user u\n"
        );
    }

    #[test]
    fn a_call_of_which_nothing_is_said_stands_before_the_next_one() {
        let create = Op::new(Verb::Create, "sns:CreateTopic").sets("tags", json!({"team": "platform"}));
        let subscribe = Op::new(Verb::Create, "sns:Subscribe").sets("protocol", "email");
        assert_eq!(all_shown(&[create.clone(), subscribe]), "      sns:CreateTopic, sns:Subscribe  protocol: email\n");
        assert_eq!(shown(&create), "      sns:CreateTopic\n");
    }

    #[test]
    fn drift_is_shown_from_what_was_applied_to_what_is() {
        let [ours, theirs] = [&["iam:GetUser"][..], &["iam:DeleteUser"]];
        let drifted = |ops: Vec<Op>| {
            let address = Address::new(ResourceKind::Role, "r");
            let resource = Planned { address, ops, changed_by: Some(ChangedBy::SomebodyElse) };
            let (tags, mut text) = (Tags::new(), String::new());
            push_drifted(&mut text, &resource, View { home: HOME, tags: &tags, columns: 100, verbose: false });
            anstream::adapter::strip_str(&text).to_string()
        };
        let put = Op::new(Verb::Update, "iam:PutRolePolicy");
        let put = put.with("policy", Some(policy(&[theirs])), Some(policy(&[ours])));
        let attached = Op::new(Verb::Update, "iam:DetachRolePolicy").with("managed_policy", Some("p".into()), None);
        let size = Op::new(Verb::Update, "x").with("memory_size", Some(512.into()), Some(128.into()));
        assert_eq!(
            drifted(vec![put, attached, size]),
            "  ~ role r  (somebody else's change since the last apply)
        - may GetUser on user u
        + may DeleteUser on user u
        managed_policy  (none) → p
        memory_size  128 → 512
"
        );
        let create = Op::new(Verb::Create, "iam:CreateRole").sets("path", "/");
        assert_eq!(drifted(vec![create]), "  - role r  (somebody else's change since the last apply)\n");
    }

    #[test]
    fn a_policy_that_changes_shows_the_statements_that_go_and_that_come() {
        let [one, two, three] = [&["iam:GetUser"][..], &["iam:ListAccessKeys"], &["iam:DeleteUser"]];
        let put = |from, to| shown(&Op::new(Verb::Update, "iam:PutUserPolicy").with("policy", from, to));
        assert_eq!(
            put(Some(policy(&[one, two])), Some(policy(&[one, three]))),
            "      iam:PutUserPolicy
        - may ListAccessKeys on user u
        + may DeleteUser on user u
          (1 more, as before)
"
        );
        assert_eq!(put(None, Some(policy(&[one]))), "      iam:PutUserPolicy  may GetUser on user u\n");
        assert_eq!(put(Some(policy(&[one])), None), "      iam:PutUserPolicy\n        - may GetUser on user u\n");
    }

    #[test]
    fn of_a_long_value_only_the_lines_that_change_are_shown() {
        let content = |last: &str| {
            let lines: Vec<_> = (0..20).map(|line| format!("a line of some length, number {line}")).collect();
            json!({"lines": lines, "z": last})
        };
        let op =
            Op::new(Verb::Update, "ssm:UpdateDocument").with("content", Some(content("old")), Some(content("new")));
        let text = shown(&op);
        assert!(text.lines().count() < 9 && text.contains("- ") && text.contains("+ "), "{text}");
        let mut full = String::new();
        push_op_in_full(&mut full, &op);
        assert!(full.lines().count() > 22, "{full}");
    }

    #[test]
    fn every_changed_value_is_shown() {
        let op = Op::new(Verb::Update, "lambda:UpdateFunctionConfiguration")
            .with("environment.LOG_LEVEL", Some("info".into()), Some("debug".into()))
            .with("environment.OLD", Some("x".into()), None)
            .with("environment.NEW", None, Some("y".into()));
        let text = shown(&op);
        for part in ["environment.LOG_LEVEL  info → debug", "environment.OLD  x → (none)", "environment.NEW: y"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
