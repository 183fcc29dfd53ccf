//! `deployer drift`: what somebody else changed in AWS since the last apply.

use std::{cell::RefCell, collections::BTreeSet};

use contract::{Command, text};
use serde_json::json;

use super::{
    each::read_each_deployment,
    ended::{Done, Shown},
    session::Session,
};
use crate::{
    cli::DriftArgs,
    deployment::Deployment,
    drift::Drift,
    engine::{
        op::{Address, Op, ResourceKind, Toward, Verb},
        plan::Plan,
    },
    error::Error,
    screen::Screen,
};

pub(super) async fn run(screen: &Screen, args: &DriftArgs) -> Result<Done, Shown> {
    if let Some(unknown) = args.ignore.iter().find(|known| !names_a_kind(known)) {
        let error = Error::new(format!("--ignore {unknown} names no kind of resource"));
        screen
            .error(&error.hint(
                "write a kind as the plan does, with _ for a space, or a kind and a field: function.memory_size",
            ));
        return Err(Shown::FAILED);
    }
    read_each_deployment(screen, &args.target.config, async |session: Session| {
        let prepared = session.plan(Toward::Present).await?;
        let applied = match prepared.facts.record.ok().flatten().map(|kept| kept.record.applied) {
            Some(Some(applied)) => applied,
            None if has_own_resources(&prepared.plan) => {
                return session.or_show(Err(has_no_record(&session.deployment)));
            }
            Some(None) | None => {
                let error = Error::new(format!("no apply of {} has reached its goal", session.deployment.config.name));
                let hint = text![Command::deployer("apply"), " makes AWS as the file declares"];
                return session.or_show(Err(error.hint(hint)));
            }
        };
        let matched = RefCell::new(BTreeSet::new());
        let is_known = |address: &Address, op: &Op| {
            let covering: Vec<_> = args.ignore.iter().filter(|known| covers(known, address, op)).collect();
            matched.borrow_mut().extend(covering.iter().map(|known| known.as_str()));
            !covering.is_empty()
        };
        let drift = Drift::of(prepared.plan, applied, is_known);
        session.screen.drift(&session.deployment, &session.identity, &drift);
        for unmatched in args.ignore.iter().filter(|known| !matched.borrow().contains(known.as_str())) {
            session.screen.note(format!(
                "--ignore {unmatched} matches no difference: nothing differs there, or no field has this name"
            ));
        }
        match (drift.drifted.is_empty(), drift.unclear.is_empty()) {
            (false, _) => Ok(Done::Differences),
            (true, true) => Ok(Done::NothingToDo),
            (true, false) => Err(Shown::FAILED),
        }
    })
    .await
}

/// Whether something is there that only an apply of the deployment makes. A plan has checked that nobody else owns it.
fn has_own_resources(plan: &Plan) -> bool {
    let own = [ResourceKind::Function, ResourceKind::LogGroup, ResourceKind::Upkeep];
    plan.resources.iter().any(|it| own.contains(&it.address.kind) && it.verb() != Some(Verb::Create))
}

fn has_no_record(Deployment { config, names, .. }: &Deployment) -> Error {
    Error::new(format!("the record {} of deployment {} is gone", names.record, config.name))
        .cause("resources of the deployment are there, and without its record nobody can tell who changed them")
        .hint(text!["somebody deleted the record, or it was never written; ", Command::deployer("apply"), " writes it"])
}

/// A kind as JSON has it: `log_group`.
fn word(kind: ResourceKind) -> String {
    json!(kind).as_str().unwrap_or_default().to_owned()
}

fn names_a_kind(known: &str) -> bool {
    let kind = known.split('.').next().unwrap_or_default();
    serde_json::from_value::<ResourceKind>(json!(kind)).is_ok()
}

/// Whether everything that the op changes is known.
fn covers(known: &str, address: &Address, op: &Op) -> bool {
    let kind = word(address.kind);
    let is_field = |field: &str| {
        let path = format!("{kind}.{field}");
        path == known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'))
    };
    known == kind || !op.changes.is_empty() && op.changes.iter().all(|change| is_field(&change.field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::Verb;

    #[test]
    fn a_difference_is_known_by_its_kind_by_its_field_or_by_a_part_of_the_field() {
        let address = Address::new(ResourceKind::LogGroup, "g");
        let op = Op::new(Verb::Update, "logs:TagResource").sets("tags.team", "x");
        for known in ["log_group", "log_group.tags", "log_group.tags.team"] {
            assert!(names_a_kind(known) && covers(known, &address, &op), "{known}");
        }
        for other in ["log_group.tag", "log_group.retention_in_days", "role"] {
            assert!(names_a_kind(other) && !covers(other, &address, &op), "{other}");
        }
        assert!(!names_a_kind("log group") && !names_a_kind("tags"));
        let more = op.sets("retention_in_days", 7);
        assert!(!covers("log_group.tags", &address, &more), "one known field hides no other");
    }
}
