//! What differs from the last apply, and who made it differ. Pure: a plan in, plain data out.

use contract::Text;

use crate::{
    deployment::record::Applied,
    engine::{
        op::{Address, Op},
        plan::{ChangedBy, Plan, Planned},
    },
};

/// What is not as the last apply left it.
#[derive(Debug)]
pub(crate) struct Drift {
    /// What somebody else changed, with the ops that would put it right.
    pub(crate) drifted: Vec<Planned>,
    /// What differs and is declared otherwise than it was applied: whether it drifted cannot be told.
    pub(crate) unclear: Vec<Address>,
    /// What somebody else gave a resource of ours, and no apply takes away.
    pub(crate) foreign: Vec<Text>,
    /// Whether something differs that a person knows already.
    pub(crate) ignores: bool,
    pub(crate) applied: Applied,
}

impl Drift {
    /// What a plan finds, without what a person knows already.
    pub(crate) fn of(plan: Plan, applied: Applied, is_known: impl Fn(&Address, &Op) -> bool) -> Self {
        let (mut drifted, mut unclear, mut ignores) = (Vec::new(), Vec::new(), false);
        for mut resource in plan.resources {
            let all = resource.ops.len();
            resource.ops.retain(|op| !is_known(&resource.address, op));
            ignores |= resource.ops.len() < all;
            match resource.changed_by.filter(|_| !resource.ops.is_empty()) {
                Some(ChangedBy::SomebodyElse) => drifted.push(resource),
                Some(ChangedBy::File) => unclear.push(resource.address),
                None => {}
            }
        }
        Self { drifted, unclear, foreign: plan.foreign, ignores, applied }
    }
}
