//! What is not as it was when a plan was made, in words.

use serde_json::Value;

use crate::engine::{
    op::{Address, Change, Op},
    plan::Plan,
};

/// What a plan says beside the plan that a person has seen: each resource, with what is new of it. What was done meanwhile is nothing
/// new.
pub(crate) fn beyond<'a>(now: &'a Plan, seen: &Plan) -> impl Iterator<Item = (&'a Address, String)> {
    now.resources.iter().filter_map(|resource| {
        let new = not_covered(&resource.ops, seen.ops_of(&resource.address));
        (!new.is_empty()).then(|| (&resource.address, new.join("; ")))
    })
}

/// What the ops that are needed now do beside the ops that were reviewed.
///
/// A value that is to be overwritten must still be the one that the reviewer saw. This is stricter than
/// [`Op::is_covered_by`], by which a run that is under way tolerates what it changed itself.
fn not_covered(now: &[Op], reviewed: &[Op]) -> Vec<String> {
    now.iter().flat_map(|op| of_op(op, reviewed)).collect()
}

fn of_op(op: &Op, reviewed: &[Op]) -> Vec<String> {
    // Several ops of one call may be planned, and several may cover this one.
    let is_as_shown = |it: &&Op| op.changes.iter().all(|change| it.changes.contains(change));
    let mut covering = reviewed.iter().filter(|it| op.is_covered_by(it));
    match covering.clone().find(is_as_shown).or_else(|| covering.next()) {
        Some(planned) => op.changes.iter().filter_map(|change| moved(change, planned)).collect(),
        None => vec![unplanned(op, reviewed)],
    }
}

/// The value that is to be overwritten, if it is not the one that was reviewed.
fn moved(change: &Change, planned: &Op) -> Option<String> {
    if planned.changes.contains(change) {
        return None;
    }
    let reviewed = planned.changes.iter().find(|it| it.field == change.field && it.to == change.to)?;
    let (was, is) = (shown(reviewed.from.as_ref()), shown(change.from.as_ref()));
    Some(format!("{} was {was}, and is {is}", change.field))
}

/// An op that was not reviewed, with what was not of what it changes.
fn unplanned(op: &Op, reviewed: &[Op]) -> String {
    let planned = || reviewed.iter().filter(|it| it.call == op.call).flat_map(|it| &it.changes);
    let new: Vec<_> = op.changes.iter().filter(|change| planned().all(|it| it != *change)).map(said).collect();
    let needs = format!("it now needs {}, which the plan does not say", op.call);
    if new.is_empty() { needs } else { format!("{needs}: {}", new.join(", ")) }
}

fn said(Change { field, from, to }: &Change) -> String {
    format!("{field} {} → {}", shown(from.as_ref()), shown(to.as_ref()))
}

/// The values that differ, each with its path.
pub(super) fn changed_values(was: &Value, is: &Value) -> Vec<String> {
    fn walk(path: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
        match (was, is) {
            _ if was == is => {}
            (Value::Object(old), Value::Object(new)) => {
                let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let value = |fields: &serde_json::Map<_, _>| fields.get(key).cloned().unwrap_or_default();
                    walk(&path, &value(old), &value(new), found);
                }
            }
            _ => found.push(format!("{path} was {}, and is {}", shown(Some(was)), shown(Some(is)))),
        }
    }
    let mut found = Vec::new();
    walk("", was, is, &mut found);
    found
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "absent".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
