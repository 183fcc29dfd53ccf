//! One JSON object per line, each with a `type`.

use contract::Report;
use serde_json::{Value, json};

use crate::{
    deployment::Deployment,
    engine::events::Event,
    engine::plan::Plan,
    error::Error,
    rotation::diagnosis::{Diagnosis, Remedy},
    status::Status,
};

pub(super) fn plan(deployment: &Deployment, plan: &Plan) -> Value {
    let [create, change, destroy] = plan.counts();
    let things: Vec<_> = plan.things.iter().filter(|thing| !thing.ops.is_empty()).collect();
    json!({
        "type": "plan",
        "deployment": &*deployment.config.name,
        "region": &*deployment.config.region,
        "things": things,
        "create": create,
        "change": change,
        "destroy": destroy,
        "rotates": plan.rotates(),
        "notes": plan.notes,
    })
}

pub(super) fn event(event: &Event) -> Value {
    match event {
        Event::Building => json!({"type": "building"}),
        Event::Built { bytes, took } => json!({"type": "built", "bytes": bytes, "seconds": took.as_secs_f64()}),
        Event::Started(address, op) => json!({"type": "op_started", "address": address, "call": op.call}),
        Event::Waiting { address, limit, reason } => {
            json!({"type": "waiting", "address": address, "limit_seconds": limit.as_secs(), "reason": reason})
        }
        Event::Done(address, op, took) => {
            json!({"type": "op_done", "address": address, "call": op.call, "verb": op.verb, "seconds": took.as_secs_f64()})
        }
        Event::Failed(address, failure) => {
            let mut value = error(failure);
            value["address"] = json!(address);
            value
        }
        Event::Note(note) => json!({"type": "note", "message": note}),
        Event::Skipped(address) => json!({"type": "skipped", "address": address}),
        Event::Rotation(rotation) => {
            let mut value = json!(rotation);
            value["type"] = "rotation".into();
            value
        }
    }
}

pub(super) fn status(deployment: &Deployment, status: &Status) -> Value {
    let mut value = json!(status);
    value["type"] = "status".into();
    value["unread"] = status.unread.iter().map(error).collect();
    value["deployment"] = (*deployment.config.name).into();
    value["region"] = (*deployment.config.region).into();
    value
}

/// A line per thing that was found.
pub(super) fn report(report: &Report) -> Vec<Value> {
    let typed = |kind: &str, mut value: Value| {
        value["type"] = kind.into();
        value
    };
    let mut lines: Vec<_> = report.versions.iter().map(|version| typed("version", json!(version))).collect();
    lines.extend(report.keys.iter().map(|key| typed("key", json!(key))));
    lines.extend(report.hosts.iter().map(|host| typed("host", json!(host))));
    let mut rest = json!(report);
    if let Some(fields) = rest.as_object_mut() {
        fields.retain(|name, _| !["versions", "keys", "hosts"].contains(&name.as_str()));
    }
    lines.push(typed("rotation_report", rest));
    lines
}

/// A line for what is wrong, and one per remedy, in their order.
pub(super) fn diagnosis(diagnosis: &Diagnosis) -> Vec<Value> {
    let mut value = json!(diagnosis);
    value["type"] = "diagnosis".into();
    let remedies: Vec<&Remedy> = match diagnosis {
        Diagnosis::Curable { first, then, .. } => std::iter::once(first).chain(then).collect(),
        Diagnosis::Healthy { .. } | Diagnosis::Person { .. } => Vec::new(),
    };
    let remedies = remedies.into_iter().map(|remedy| {
        let mut value = json!(remedy);
        value["type"] = "remedy".into();
        value["call"] = remedy.call().into();
        value["message"] = remedy.sentence().into();
        value
    });
    std::iter::once(value).chain(remedies).collect()
}

pub(super) fn done(sentence: &str) -> Value {
    json!({"type": "done", "message": sentence})
}

pub(super) fn error(error: &Error) -> Value {
    json!({
        "type": "error",
        "message": error.what,
        "cause": error.cause.as_ref().map(ToString::to_string),
        "code": error.code(),
        "hint": error.hint,
    })
}

pub(super) fn config_error(error: &dyn std::fmt::Display) -> Value {
    json!({"type": "error", "message": error.to_string()})
}
