//! A plan for its reviewer, and drift: what is said of them as a whole, around their resources.

use std::{fmt::Write as _, time::Duration};

use contract::{Command, printable};

use super::{
    notes::push_notes,
    resource::{View, apart, push_drifted, push_resource},
    style::{BOLD, GREEN, RED, YELLOW},
    wrap::push_wrapped,
};
use crate::{
    aws::Identity,
    config::Config,
    deployment::{Deployment, key_life::KeyLife, record::Applied},
    drift::Drift,
    engine::{
        op::{Effect, Toward, Verb},
        plan::{Plan, Planned},
    },
    kinds::event_invoke,
};

pub(in crate::screen) fn plan(
    deployment: &Deployment,
    identity: &Identity,
    plan: &Plan,
    config_path: Option<&str>,
    columns: usize,
    verbose: bool,
) -> String {
    let mut text = String::new();
    push_header(&mut text, columns, deployment, &identity.arn);
    let view = View::new(deployment, identity, columns, verbose);
    changed(plan).for_each(|(resource, verb)| push_resource(&mut text, resource, verb, view));
    if !plan.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(deployment, plan, config_path, columns));
    text
}

/// The resources that change, each as its name and what becomes of it.
pub(in crate::screen) fn resources(
    deployment: &Deployment,
    identity: &Identity,
    plan: &Plan,
    columns: usize,
) -> Vec<(String, String)> {
    let view = View::new(deployment, identity, columns, false);
    changed(plan).map(|(resource, verb)| apart(resource, verb, view)).collect()
}

fn changed(plan: &Plan) -> impl Iterator<Item = (&Planned, Verb)> {
    plan.resources.iter().filter_map(|resource| Some((resource, resource.verb()?)))
}

/// What is said of a plan as a whole: whether the credential rotates, how many resources change, and notes.
pub(in crate::screen) fn summary(
    deployment: &Deployment,
    plan: &Plan,
    config_path: Option<&str>,
    columns: usize,
) -> String {
    let mut text = String::new();
    push_wrapped(&mut text, columns, 0, &credential_line(deployment, plan));
    if plan.toward == Toward::Present && plan.has(Effect::StopsMail) {
        let _ = writeln!(text, "{RED}Mail sent with the deleted access keys stops.{RED:#}");
    }
    if plan.toward == Toward::Present {
        push_limits_of_mail(&mut text, columns, &deployment.config, plan);
    }
    if plan.toward == Toward::Present && !plan.is_empty() {
        push_readers(&mut text, columns, deployment);
        push_longest_life(&mut text, columns, &deployment.config);
    }
    let [create, change, destroy] = plan.counts();
    if plan.is_empty() {
        let _ = match plan.toward {
            Toward::Present => writeln!(text, "{GREEN}No changes.{GREEN:#} AWS is as the configuration declares."),
            Toward::Absent { .. } => writeln!(text, "{GREEN}No changes.{GREEN:#} Nothing of this deployment is there."),
        };
    } else {
        let with = event_invoke::goes_with_its_function(plan).map_or_else(String::new, |with| format!(" {with}."));
        let counts = format!("{create} to create, {change} to change, {destroy} to destroy.");
        push_wrapped(&mut text, columns, 0, &format!("{BOLD}Plan:{BOLD:#} {counts}{with}"));
    }
    push_notes(&mut text, columns, &plan.notes, config_path);
    text
}

/// The deployment, who runs the plan, and the tags that every new resource gets.
fn push_header(text: &mut String, columns: usize, deployment: &Deployment, caller: &str) {
    let Config { name, region, tags, .. } = &deployment.config;
    let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(", tags: {}", tags.join(" ")) };
    let rest = format!("{region} ({caller}){tags}");
    push_wrapped(text, columns, 0, &format!("{BOLD}{name}{BOLD:#} in {}", printable(&rest)));
    text.push('\n');
}

/// What somebody else changed since the last apply.
pub(in crate::screen) fn drift(
    deployment: &Deployment,
    identity: &Identity,
    drift: &Drift,
    config_path: Option<&str>,
    (columns, verbose): (usize, bool),
) -> String {
    let (config, view) = (&deployment.config, View::new(deployment, identity, columns, verbose));
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", config.name, config.region);
    for resource in &drift.drifted {
        push_drifted(&mut text, resource, view);
    }
    if !drift.drifted.is_empty() {
        text.push('\n');
    }
    push_notes(&mut text, columns, &drift.foreign, config_path);
    let Applied { by, at, .. } = &drift.applied;
    push_wrapped(&mut text, columns, 0, &format!("last apply: {} by {}", printable(at), printable(by)));
    if !drift.unclear.is_empty() {
        let names: Vec<_> = drift.unclear.iter().map(ToString::to_string).collect();
        let unclear = format!(
            "{YELLOW}Unclear:{YELLOW:#} the file declares something else than was applied of {}. `{}`, with the file that was applied, \
             tells whether it drifted.",
            printable(&names.join(", ")),
            Command::complete(&["drift", "APPLIED-FILE"])
        );
        push_wrapped(&mut text, columns, 0, &unclear);
    }
    let _ = match drift.drifted.len() {
        0 if drift.unclear.is_empty() => {
            let but = if drift.ignores { ", apart from what is ignored" } else { "" };
            writeln!(text, "{GREEN}No drift.{GREEN:#} AWS is as it was applied{but}.")
        }
        0 => Ok(()),
        1 => writeln!(text, "{BOLD}Drift:{BOLD:#} 1 resource is not as it was applied."),
        count => writeln!(text, "{BOLD}Drift:{BOLD:#} {count} resources are not as they were applied."),
    };
    text
}

/// What the user may send until this plan runs, and maybe not after it.
fn push_limits_of_mail(text: &mut String, columns: usize, config: &Config, plan: &Plan) {
    for op in plan.ops().filter(|op| op.has(Effect::LimitsMail)) {
        let limit = match &config.iam_user.permissions_boundary {
            Some(boundary) if op.call == "iam:PutUserPermissionsBoundary" => {
                format!(
                    "{RED}Mail may stop:{RED:#} it goes out only if the permissions boundary {boundary} allows ses:SendRawEmail."
                )
            }
            _ => {
                let senders = config.ses.senders().join(", ");
                format!(
                    "{RED}Some mail may stop:{RED:#} until now the user may send as others too, and then only as {senders}."
                )
            }
        };
        push_wrapped(text, columns, 0, &limit);
    }
}

/// Who may read the secret by what this deployment declares.
fn push_readers(text: &mut String, columns: usize, deployment: &Deployment) {
    let role = deployment.config.instance.as_ref().and_then(|instance| instance.role.as_ref());
    let hosts = role.map_or_else(String::new, |role| format!(", {role}"));
    let own = &deployment.names.role;
    let readers = format!(
        "Readers of the secret: roles {own}{hosts}, and whom else IAM or a resource policy of the secret allows."
    );
    push_wrapped(text, columns, 0, &printable(&readers));
}

fn push_longest_life(text: &mut String, columns: usize, config: &Config) {
    let Some(KeyLife { active, exists }) = KeyLife::longest(config) else { return };
    let spelled = |duration: Duration| {
        let hours = duration.as_secs().div_ceil(60 * 60);
        let parts = [(hours / 24, "day"), (hours % 24, "hour")].into_iter().filter(|(count, _)| *count > 0);
        let parts = parts.map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        parts.collect::<Vec<_>>().join(" ")
    };
    let life = format!(
        "If rotations succeed, no unused key lives longer than {} (Active: {}).",
        spelled(exists),
        spelled(active)
    );
    push_wrapped(text, columns, 0, &life);
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
                "{YELLOW}A rotation is open{YELLOW:#} (version {version}), or Secrets Manager tests the rotation settings. No other \
                 rotation starts; the schedule is {schedule}."
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
        Toward::Absent { .. } => {
            let stays = "The credential stays as it is, and does not rotate any more.";
            plan.open_rotation.as_ref().map_or(stays.to_owned(), |version| {
                format!(
                    "{stays} {YELLOW}A rotation is open{YELLOW:#} (version {version}) and does not end: hosts may have its key, and \
                     no key is deleted."
                )
            })
        }
    }
}
