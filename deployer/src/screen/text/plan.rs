//! A plan for its reviewer: a few lines per resource. With `--verbose`, every field as AWS gets it.

use std::{fmt::Write as _, time::Duration};

use anstyle::Style;
use contract::{Command, printable};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use textwrap::{Options, WordSeparator, WordSplitter};

use super::{
    notes::push_notes,
    policy::{Home, name, sentences},
    style::{BOLD, CYAN, GREEN, RED, YELLOW},
};
use crate::{
    aws::Identity,
    config::{OUR_TAGS, Rotation},
    deployment::{Deployment, record::Applied},
    engine::{
        op::{Change, Effect, Op, Toward, Verb},
        plan::{ChangedBy, Plan, Planned},
    },
    status::Drift,
};

/// Columns of a line, where it can be broken.
const COLUMNS: usize = 100;

/// Columns that a value may take before `--verbose` breaks it into lines.
const VALUE: usize = 96;

/// Columns that a value may take in a paragraph.
const BRIEF: usize = 72;

/// The upkeep makes a superseded key Inactive, once a day.
const UPKEEP_PERIOD: Duration = Duration::from_hours(24);

/// The fields of a function that are its variables.
const ENVIRONMENT: &str = "environment.";

pub(in crate::screen) fn plan(
    deployment: &Deployment,
    identity: &Identity,
    plan: &Plan,
    config_path: Option<&str>,
    verbose: bool,
) -> String {
    let config = &deployment.config;
    let mut text = format!("{BOLD}{}{BOLD:#} in {} ({})\n\n", config.name, config.region, printable(&identity.arn));
    text.extend(resources(deployment, identity, plan, verbose));
    if !plan.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(deployment, plan, config_path));
    text
}

/// A text for each resource that changes. Its first line names the resource.
pub(in crate::screen) fn resources(
    deployment: &Deployment,
    identity: &Identity,
    plan: &Plan,
    verbose: bool,
) -> Vec<String> {
    let region = deployment.config.region.as_str();
    let home = Home { partition: &identity.partition, account: &identity.account_id, region };
    let shown = |resource| {
        let mut text = String::new();
        push_resource(&mut text, resource, home, verbose);
        text
    };
    plan.resources.iter().filter(|resource| resource.verb().is_some()).map(shown).collect()
}

/// What is said of a plan as a whole: notes, whether the credential rotates, and how many resources change.
pub(in crate::screen) fn summary(deployment: &Deployment, plan: &Plan, config_path: Option<&str>) -> String {
    let config = &deployment.config;
    let mut text = String::new();
    push_notes(&mut text, &plan.notes, config_path);
    if plan.toward == Toward::Present && !plan.is_empty() {
        push_readers(&mut text, deployment);
        push_longest_life(&mut text, &config.rotation);
    }
    if plan.toward == Toward::Present && plan.has(Effect::StopsMail) {
        let _ = writeln!(text, "{RED}Mail sent with the deleted access keys stops.{RED:#}");
    }
    let _ = writeln!(text, "{}", credential_line(deployment, plan));
    let [create, change, destroy] = plan.counts();
    if plan.is_empty() {
        let _ = match plan.toward {
            Toward::Present => writeln!(text, "{GREEN}No changes.{GREEN:#} AWS is as the configuration declares."),
            Toward::Absent { .. } => writeln!(text, "{GREEN}No changes.{GREEN:#} Nothing of this deployment is there."),
        };
    } else {
        let _ = writeln!(text, "{BOLD}Plan:{BOLD:#} {create} to create, {change} to change, {destroy} to destroy.");
    }
    text
}

/// What somebody else changed since the last apply.
pub(in crate::screen) fn drift(deployment: &Deployment, identity: &Identity, drift: &Drift, verbose: bool) -> String {
    let config = &deployment.config;
    let home = Home { partition: &identity.partition, account: &identity.account_id, region: config.region.as_str() };
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", config.name, config.region);
    for resource in &drift.drifted {
        push_resource(&mut text, resource, home, verbose);
    }
    if !drift.drifted.is_empty() {
        text.push('\n');
    }
    let Applied { by, at, .. } = &drift.applied;
    let _ = writeln!(text, "last apply: {} by {}", printable(at), printable(by));
    if !drift.unclear.is_empty() {
        let names: Vec<_> = drift.unclear.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "{YELLOW}Unclear:{YELLOW:#} the file declares something else than was applied of {}. `{}` with the file that was applied \
             tells whether it drifted.",
            names.join(", "),
            Command::deployer("drift")
        );
    }
    let _ = match drift.drifted.len() {
        0 if drift.unclear.is_empty() => writeln!(text, "{GREEN}No drift.{GREEN:#} AWS is as it was applied."),
        0 => Ok(()),
        1 => writeln!(text, "{BOLD}Drift:{BOLD:#} 1 resource is not as it was applied."),
        count => writeln!(text, "{BOLD}Drift:{BOLD:#} {count} resources are not as they were applied."),
    };
    text
}

/// Who may read the secret by what this deployment declares.
fn push_readers(text: &mut String, deployment: &Deployment) {
    let role = deployment.config.instance.as_ref().and_then(|instance| instance.role.as_ref());
    let hosts = role.map_or_else(String::new, |role| format!(" and {role}"));
    let own = &deployment.names.role;
    push_wrapped(text, 0, &format!("The roles {own}{hosts} may read the secret (and whom else IAM allows it)."));
}

/// From the opening of the window in which a key is made to the upkeep after the grace that follows the next one. A varying schedule
/// has no such bound.
fn push_longest_life(text: &mut String, rotation: &Rotation) {
    let Some(period) = rotation.schedule.fixed_period() else { return };
    let window = rotation.window.unwrap_or_else(|| rotation.schedule.default_window());
    let longest = period + window + rotation.keep_previous + UPKEEP_PERIOD;
    let hours = longest.as_secs().div_ceil(60 * 60);
    let (days, hours) = (hours / 24, hours % 24);
    let life = format!("If rotations succeed, no access key stays Active for more than {days} days {hours} hours.");
    push_wrapped(text, 0, &life);
}

/// The line that a plan always has: whether the credential will rotate.
fn credential_line(deployment: &Deployment, plan: &Plan) -> String {
    let schedule = &deployment.config.rotation.schedule;
    match plan.toward {
        Toward::Present if plan.has(Effect::RotatesNow) => {
            let is_enabled = plan.ops().any(|op| op.has(Effect::RotatesNow) && op.verb == Verb::Update);
            let when = if is_enabled { "at the end" } else { "as soon as rotation is enabled" };
            format!("{BOLD}The credential rotates{BOLD:#} {when}, and then by its schedule, {schedule}.")
        }
        Toward::Present => match &plan.open_rotation {
            None => format!("The credential does not rotate now; its schedule is {schedule}."),
            Some(version) => format!(
                "{YELLOW}A rotation is open{YELLOW:#} (version {version}), or a test of the configuration. No other rotation \
                 starts; the schedule is {schedule}."
            ),
        },
        Toward::Absent { .. } if plan.has(Effect::StopsMail) => {
            format!("{RED}Mail sent with this credential stops.{RED:#} The credential does not rotate any more.")
        }
        Toward::Absent { .. } if plan.is_empty() => "Nothing rotates, and no credential is touched.".to_owned(),
        Toward::Absent { .. } if !plan.user_has_keys => {
            "The user has no access key: no mail can be sent with this credential. It does not rotate any more.".to_owned()
        }
        Toward::Absent { .. } if plan.has(Effect::PurgesSecret) => {
            "The credential does not rotate any more. Its key stays, but its secret is deleted for good.".to_owned()
        }
        Toward::Absent { .. } if plan.has(Effect::HidesSecret) => {
            "The credential does not rotate any more. Its key stays, but nobody can read it from the secret: a host that \
             reads it when it starts cannot send."
                .to_owned()
        }
        Toward::Absent { .. } => "The credential stays as it is, and does not rotate any more.".to_owned(),
    }
}

fn push_resource(text: &mut String, resource: &Planned, home: Home<'_>, verbose: bool) {
    let Some(verb) = resource.verb() else { return };
    let (sign, style) = sign(verb);
    let by = match resource.changed_by {
        None => "",
        Some(ChangedBy::File) => "  (by the file)",
        Some(ChangedBy::SomebodyElse) => "  (by somebody else, since the last apply)",
    };
    let adopted = if resource.ops.iter().any(|op| op.has(Effect::Adopts)) { "  (adopted)" } else { "" };
    let _ = writeln!(text, "  {style}{sign}{style:#} {BOLD}{}{BOLD:#}{by}{adopted}", resource.address);
    for op in &resource.ops {
        if verbose { push_op_in_full(text, op) } else { push_op(text, op, home) }
    }
    if verbose {
        text.push('\n');
    }
}

pub(super) fn sign(verb: Verb) -> (char, Style) {
    match verb {
        Verb::Create => ('+', GREEN),
        Verb::Update => ('~', YELLOW),
        Verb::Delete => ('-', RED),
    }
}

/// The call and what it sets as a paragraph; then policies, and what the call changes, line by line.
fn push_op(text: &mut String, op: &Op, home: Home<'_>) {
    let said = |value: &Option<Value>| value.as_ref().map_or(Some(vec![]), |value| sentences(value, home));
    let (mut set, mut lines, mut variables) = (vec![], String::new(), 0);
    for change in &op.changes {
        let Change { field, from, to } = change;
        match (said(from), said(to)) {
            (Some(from), Some(to)) if from.is_empty() && to.len() == 1 => set.extend(to),
            (Some(from), Some(to)) => push_statements(&mut lines, &from, &to),
            _ if from.is_none() && op.verb == Verb::Create && field.starts_with(ENVIRONMENT) => variables += 1,
            _ => match (from, to) {
                (None, Some(to)) => set.extend(brief(field, to, home)),
                _ => push_change(&mut lines, change, field.len(), 1),
            },
        }
    }
    if variables > 0 {
        set.push(format!("{variables} environment variables"));
    }
    push_wrapped(text, 6, &format!("{}  {}", op.call, set.join(", ")));
    text.push_str(&lines);
}

/// The statements of a policy; of one that changes, those that go and those that come.
fn push_statements(text: &mut String, from: &[String], to: &[String]) {
    if from.is_empty() {
        for statement in to {
            push_wrapped(text, 8, statement);
        }
        return;
    }
    let without = |these: &[String], others: &[String], sign: &str, text: &mut String| {
        let differ = these.iter().filter(|statement| !others.contains(statement));
        differ.for_each(|statement| push_wrapped(text, 8, &format!("{sign} {statement}")));
    };
    without(from, to, "-", text);
    without(to, from, "+", text);
    let stay = from.iter().filter(|statement| to.contains(statement)).count();
    if stay > 0 {
        let _ = writeln!(text, "          ({stay} more, as before)");
    }
}

/// Breaks between words only: a name stays whole, so that it can be searched and copied.
fn push_wrapped(text: &mut String, indent: usize, paragraph: &str) {
    let (first, rest) = (" ".repeat(indent), " ".repeat(indent + 2));
    let options = Options::new(COLUMNS)
        .initial_indent(&first)
        .subsequent_indent(&rest)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    let _ = writeln!(text, "{}", textwrap::fill(printable(paragraph).trim_end(), options));
}

/// A field in a paragraph. Tags of ours are on every resource, so they say nothing.
fn brief(field: &str, value: &Value, home: Home<'_>) -> Option<String> {
    let text = match value {
        Value::String(text) => name(text, home),
        Value::Object(tags) if field == "tags" => {
            let is_ours = |key: &str| key.starts_with(OUR_TAGS);
            let others = tags.iter().filter(|(key, _)| !is_ours(key));
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

    const HOME: Home<'_> = Home { partition: "aws", account: "123456789012", region: "eu-west-1" };

    fn shown(op: &Op) -> String {
        let mut text = String::new();
        push_op(&mut text, op, HOME);
        anstream::adapter::strip_str(&text).to_string()
    }

    fn policy(actions: &[&[&str]]) -> Value {
        let statement = |actions: &&[&str]| json!({"Effect": "Allow", "Action": actions, "Resource": "arn:aws:iam::123456789012:user/u"});
        json!({"Version": "2012-10-17", "Statement": actions.iter().map(statement).collect::<Vec<_>>()})
    }

    #[test]
    fn a_new_resource_is_a_paragraph_with_what_its_reviewer_needs() {
        let op = Op::new(Verb::Create, "lambda:CreateFunction")
            .sets("environment.A", "1")
            .sets("environment.B", "x".repeat(500))
            .sets("role", "arn:aws:iam::123456789012:role/mail-prod-rotation")
            .sets("memory_size", 128)
            .sets("content", json!({"steps": vec!["a line of a script"; 9]}))
            .sets("tags", json!({"deployer:deployment": "eu-west-1/mail-prod", "team": "platform"}));
        assert_eq!(
            shown(&op),
            "      lambda:CreateFunction  role: mail-prod-rotation, memory_size: 128, content: (long; see
        --verbose), tags: team=platform, 2 environment variables
"
        );
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
