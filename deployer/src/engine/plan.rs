//! Observes everything at once and decides. Reads only; after observing, pure.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::{self, Facts},
    engine::kind::{Address, Decide, Op, Toward, Verb},
    error::Error,
    kinds::rotation,
    stack::stack,
};

/// Every op that `apply` or `destroy` would run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where it leads.
    pub(crate) toward: Toward,
    /// Every thing of the deployment, in the order of the stack, with its ops; none where it is as declared.
    pub(crate) things: Vec<Planned>,
    /// What people should know, in sentences.
    pub(crate) notes: Vec<String>,
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

    /// Whether it changes what an open rotation runs on, or what Secrets Manager refuses to change while one is open.
    pub(crate) fn disturbs_a_rotation(&self) -> bool {
        const RUN_IT: [&str; 6] = ["document", "function", "permission", "role", "rotation", "secret"];
        let is_open = self.facts.credential.rotation_enabled && self.facts.credential.pending().is_some();
        is_open && self.things.iter().any(|thing| RUN_IT.contains(&thing.address.kind) && !thing.ops.is_empty())
    }

    /// Whether an op makes this call.
    pub(crate) fn calls(&self, call: &str) -> bool {
        self.ops().any(|op| op.call == call)
    }

    /// Whether an op uploads the function's code.
    pub(crate) fn uploads_code(&self) -> bool {
        self.calls("lambda:CreateFunction") || self.calls("lambda:UpdateFunctionCode")
    }

    fn ops(&self) -> impl Iterator<Item = &Op> {
        self.things.iter().flat_map(|thing| &thing.ops)
    }
}

/// What a look at everything found: each thing's ops, or why there are none to name.
pub(crate) struct Survey {
    pub(crate) facts: Result<Facts, Error>,
    pub(crate) things: Vec<(Address, Result<Found, Error>)>,
    /// What people should know, in sentences; nothing on the way to absent.
    pub(crate) notes: Vec<String>,
}

/// A thing's ops; none where it was read and a missing fact hides what it needs.
pub(crate) type Found = Option<Vec<Op>>;

/// Observes everything at once and decides on each thing by itself.
pub(crate) async fn survey(aws: &Aws, deployment: &Arc<Deployment>, toward: Toward) -> Survey {
    let nodes = stack(deployment);
    let observing = join_all(nodes.iter().map(|node| node.resource.observe(aws)));
    let reading = Box::pin(facts::read(aws, &deployment.config, &deployment.names, toward));
    let (facts, observed) = tokio::join!(reading, observing);
    let present = observed.iter().flatten().filter(|_| toward == Toward::Present);
    let remarks = present.filter_map(|observed| observed.note()).collect();
    let decide = |observed: Result<Box<dyn Decide>, Error>| {
        let observed = observed?;
        let Ok(facts) = &facts else { return Ok(None) };
        let ready = observed.decide(toward, facts)?;
        Ok(Some(ready.into_iter().map(|ready| ready.op).collect()))
    };
    let things =
        nodes.iter().zip(observed).map(|(node, observed)| (node.resource.address(), decide(observed))).collect();
    Survey { facts, things, notes: remarks }
}

/// Plans a deployment. Everything that stands in the way is reported together.
///
/// # Errors
/// A read that AWS refuses, a thing of that name that is not ours, a referenced thing that is not there.
pub(crate) async fn plan(aws: &Aws, deployment: &Arc<Deployment>, toward: Toward) -> Result<Plan, Vec<Error>> {
    let survey = survey(aws, deployment, toward).await;
    let mut errors = Vec::new();
    let mut things = Vec::new();
    for (address, ops) in survey.things {
        match ops {
            Ok(ops) => things.push(Planned { address, ops: ops.unwrap_or_default() }),
            Err(error) => errors.push(error),
        }
    }
    match survey.facts {
        Ok(facts) if errors.is_empty() => Ok(Plan { toward, things, notes: survey.notes, facts }),
        Ok(_) => Err(errors),
        Err(error) => {
            // A fact may be the very read that an observation made too.
            if !errors.iter().any(|other| other.what == error.what) {
                errors.push(error);
            }
            Err(errors)
        }
    }
}
