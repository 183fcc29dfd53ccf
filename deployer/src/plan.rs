//! Observes everything at once and decides. Reads only; after observing, pure.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use crate::{
    aws::Aws,
    error::Error,
    facts::{self, Facts},
    kind::{Address, Op, Toward, Verb, rotation},
    stack::{Deployment, Node, stack},
};

/// Every op that `apply` or `destroy` would run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where it leads.
    pub(crate) toward: Toward,
    /// Every thing of the deployment, in the order of the stack, with its ops; none where it is as declared.
    pub(crate) things: Vec<Planned>,
    pub(crate) facts: Facts,
}

/// One thing and its ops.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Planned {
    /// The thing.
    pub(crate) address: Address,
    /// Its ops, in order.
    pub(crate) ops: Vec<Op>,
}

impl Planned {
    /// What happens to the thing as a whole; none where nothing does.
    #[must_use]
    pub(crate) fn verb(&self) -> Option<Verb> {
        let has = |verb| self.ops.iter().any(|op| op.verb == verb);
        match (has(Verb::Delete), has(Verb::Create)) {
            (true, _) => Some(Verb::Delete),
            (false, true) => Some(Verb::Create),
            (false, false) => self.ops.first().map(|_| Verb::Update),
        }
    }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.things.iter().all(|thing| thing.ops.is_empty())
    }

    /// How many things are created, changed and destroyed.
    #[must_use]
    pub(crate) fn counts(&self) -> [usize; 3] {
        [Verb::Create, Verb::Update, Verb::Delete]
            .map(|verb| self.things.iter().filter(|thing| thing.verb() == Some(verb)).count())
    }

    /// Whether running it rotates the credential at once.
    #[must_use]
    pub(crate) fn rotates(&self) -> bool {
        self.ops().any(|op| {
            op.call == rotation::ROTATE
                && op
                    .changes
                    .iter()
                    .any(|change| change.field == rotation::IMMEDIATELY && change.to == Some(true.into()))
        })
    }

    /// Whether it changes what an open rotation runs on. What is made new, none can be running on.
    pub(crate) fn changes_what_rotates(&self) -> bool {
        let runs_it = |thing: &&Planned| ["role", "function", "permission", "document"].contains(&thing.address.kind);
        self.things.iter().filter(runs_it).any(|thing| !thing.ops.is_empty()) && !self.facts.deployment_is_new
    }

    /// Whether an op uploads the function's code.
    pub(crate) fn uploads_code(&self) -> bool {
        self.ops().any(|op| ["lambda:CreateFunction", "lambda:UpdateFunctionCode"].contains(&op.call))
    }

    fn ops(&self) -> impl Iterator<Item = &Op> {
        self.things.iter().flat_map(|thing| &thing.ops)
    }
}

/// Plans a deployment. Everything that stands in the way is reported together.
///
/// # Errors
/// A read that AWS refuses, a thing of that name that is not ours, a referenced thing that is not there.
pub(crate) async fn plan(aws: &Aws, deployment: &Arc<Deployment>, toward: Toward) -> Result<Plan, Vec<Error>> {
    let nodes = stack(deployment);
    let observing = join_all(nodes.iter().map(|node| node.resource.observe(aws)));
    let (facts, observed) = tokio::join!(facts::read(aws, &deployment.config, &deployment.names), observing);

    let mut errors = Vec::new();
    let mut looked = Vec::new();
    for observed in observed {
        match observed {
            Ok(decide) => looked.push(decide),
            Err(error) => errors.push(error),
        }
    }
    let facts = match facts {
        Ok(facts) if errors.is_empty() => facts,
        Ok(_) => return Err(errors),
        Err(error) => {
            // A fact may be the very read that an observation made too.
            if !errors.iter().any(|other| other.what == error.what) {
                errors.push(error);
            }
            return Err(errors);
        }
    };

    let mut things = Vec::new();
    for (Node { resource, .. }, decide) in nodes.iter().zip(looked) {
        match decide.decide(toward, &facts) {
            Ok(ops) => {
                let ops = ops.into_iter().map(|ready| ready.op).collect();
                things.push(Planned { address: resource.address(), ops });
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Plan { toward, things, facts }) } else { Err(errors) }
}
