//! What a plan would change, and what somebody else changed.

use schemars::JsonSchema;
use serde::Serialize;

use super::text_line::TextLine;
use crate::{
    deployment::record::Applied,
    drift::Drift,
    engine::{
        op::{Address, Change, Effect, Op, Verb},
        plan::{ChangedBy, Plan, Planned},
    },
};

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct PlanLine<'a> {
    /// The resources that change.
    resources: Vec<ResourceLine<'a>>,
    create: usize,
    change: usize,
    destroy: usize,
    /// Whether running it rotates the credential at once.
    rotates: bool,
    /// The version of a rotation that is open.
    open_rotation: Option<&'a str>,
    notes: Vec<TextLine>,
}

/// A resource, and the calls that bring it to its goal.
#[derive(Serialize, JsonSchema)]
struct ResourceLine<'a> {
    address: &'a Address,
    /// Who made it differ; null if there is no record of the last apply.
    changed_by: Option<ChangedBy>,
    ops: Vec<OpLine<'a>>,
}

impl<'a> ResourceLine<'a> {
    fn new(Planned { address, changed_by, ops }: &'a Planned) -> Self {
        Self { address, changed_by: *changed_by, ops: ops.iter().map(OpLine::new).collect() }
    }
}

/// A call that changes something.
#[derive(Serialize, JsonSchema)]
struct OpLine<'a> {
    verb: Verb,
    /// The AWS action, as a policy names it.
    call: &'a str,
    changes: &'a [Change],
    effects: &'a [Effect],
}

impl<'a> OpLine<'a> {
    fn new(op: &'a Op) -> Self {
        Self { verb: op.verb, call: &op.call, changes: &op.changes, effects: &op.effects }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct DriftLine<'a> {
    /// What somebody else changed since the last apply, with the calls that would put it right.
    resources: Vec<ResourceLine<'a>>,
    /// The file declares something else than was applied: whether these drifted cannot be told.
    unclear: &'a [Address],
    /// What somebody gave the user or the role, such as a policy, and no apply takes away.
    notes: Vec<TextLine>,
    applied: &'a Applied,
}

impl<'a> PlanLine<'a> {
    pub(super) fn new(plan: &'a Plan, config: Option<&str>) -> Self {
        let [create, change, destroy] = plan.counts();
        let with_ops = plan.resources.iter().filter(|resource| !resource.ops.is_empty());
        Self {
            resources: with_ops.map(ResourceLine::new).collect(),
            create,
            change,
            destroy,
            rotates: plan.has(Effect::RotatesNow),
            open_rotation: plan.open_rotation.as_deref(),
            notes: TextLine::all(&plan.notes, config),
        }
    }
}

impl<'a> DriftLine<'a> {
    pub(super) fn new(Drift { drifted, unclear, foreign, applied, .. }: &'a Drift, config: Option<&str>) -> Self {
        let resources = drifted.iter().map(ResourceLine::new).collect();
        Self { resources, unclear, notes: TextLine::all(foreign, config), applied }
    }
}
