//! Observes everything at once and decides. Reads only; after observing, pure.

use contract::{Command, Text, text};
use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};

use crate::{
    aws::Aws,
    deployment::facts::Facts,
    engine::{
        erased::{Node, Observation},
        op::{Address, Effect, Op, ResourceKind, Toward, Verb},
    },
    error::Error,
};

/// Every op that `apply` or `destroy` would run. Plain data: it holds no secret, and nothing that is left to decide.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// Where the deployment is to go.
    pub(crate) toward: Toward,
    /// Every resource of the deployment with its ops, in the order of the stack. No ops: it is as declared.
    pub(crate) resources: Vec<Planned>,
    /// What people should know.
    pub(crate) notes: Vec<Text>,
    /// The version of a rotation that is open and may run.
    pub(crate) open_rotation: Option<String>,
    /// Whether the user has an access key now, or may have one: it could not be read.
    pub(crate) user_has_keys: bool,
}

/// A resource and its ops.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Planned {
    pub(crate) address: Address,
    /// In order.
    pub(crate) ops: Vec<Op>,
}

impl Planned {
    /// What happens to the resource as a whole; none if nothing does.
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
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.resources.iter().all(|resource| resource.ops.is_empty())
    }

    /// The approved ops of a resource.
    pub(crate) fn ops_of(&self, address: &Address) -> &[Op] {
        self.resources.iter().find(|resource| resource.address == *address).map_or(&[], |resource| &resource.ops)
    }

    /// Whether the resources of a kind are there, and as declared.
    #[must_use]
    pub(crate) fn leaves_as_it_is(&self, kind: ResourceKind) -> bool {
        self.resources.iter().filter(|resource| resource.address.kind == kind).all(|resource| resource.ops.is_empty())
    }

    /// How many resources are created, changed and destroyed.
    #[must_use]
    pub(crate) fn counts(&self) -> [usize; 3] {
        [Verb::Create, Verb::Update, Verb::Delete]
            .map(|verb| self.resources.iter().filter(|resource| resource.verb() == Some(verb)).count())
    }

    /// Whether an op has this effect.
    #[must_use]
    pub(crate) fn has(&self, effect: Effect) -> bool {
        self.ops().any(|op| op.has(effect))
    }

    /// Every op.
    pub(crate) fn ops(&self) -> impl Iterator<Item = &Op> {
        self.resources.iter().flat_map(|resource| &resource.ops)
    }

    /// Whether it changes what the open rotation runs on, or what Secrets Manager refuses to change while one is open.
    #[must_use]
    pub(crate) fn disturbs_a_rotation(&self) -> bool {
        self.open_rotation.is_some() && self.has(Effect::DisturbsRotation)
    }
}

/// What was found of each resource: its ops, or why there are none to name.
pub(crate) struct Survey {
    pub(crate) facts: Facts,
    pub(crate) resources: Vec<(Address, Result<Vec<Op>, Error>)>,
    /// What people should know; nothing on the way to absent.
    pub(crate) notes: Vec<Text>,
}

/// Observes everything at once and decides on each resource by itself.
pub(crate) async fn survey(aws: &Aws, nodes: &[Node], reading: BoxFuture<'_, Facts>) -> Survey {
    let observing = join_all(nodes.iter().map(|node| node.resource.observe(aws)));
    let (facts, observed) = tokio::join!(reading, observing);
    let mut resources = Vec::new();
    let mut remarks: Vec<Text> = facts.quarantine.clone().into_iter().collect();
    let mut unnamed_tags = Vec::new();
    for (node, observed) in nodes.iter().zip(observed) {
        if let (Toward::Present, Ok(observed)) = (node.toward, &observed) {
            remarks.extend(observed.note(&facts));
            unnamed_tags.extend(observed.unnamed_tags(&facts));
        }
        resources.push((node.resource.address(), decide(node, observed, &facts)));
    }
    // Without a record of what the configuration named earlier, this is the sign of a tag that was ours.
    let on_all = unnamed_tags.into_iter().reduce(|all, of_one| &all & &of_one).unwrap_or_default();
    remarks.extend(on_all.iter().filter(|key| is_left(key, &resources)).map(|key| may_have_been_ours(key)));
    Survey { facts, resources, notes: remarks }
}

/// Whether no op removes the tag.
fn is_left(key: &str, resources: &[(Address, Result<Vec<Op>, Error>)]) -> bool {
    let field = format!("tags.{key}");
    let mut changes = resources.iter().flat_map(|(_, ops)| ops.iter().flatten()).flat_map(|op| &op.changes);
    !changes.any(|change| change.field == field && change.to.is_none())
}

fn may_have_been_ours(key: &str) -> Text {
    let remove = Command::words(&["apply", "--remove-tag", key]);
    text![
        format!(
            "every resource of the deployment carries the tag {key}, which the configuration does not name. If it was under `tags` \
             once, and nobody else sets it, "
        ),
        remove,
        " removes it"
    ]
}

fn decide(node: &Node, observed: Result<Box<dyn Observation>, Error>, facts: &Facts) -> Result<Vec<Op>, Error> {
    let runnable = observed?.decide(node.toward, facts)?;
    Ok(runnable.into_iter().map(|runnable| runnable.op).collect())
}

/// Makes a plan of what was found. Everything that is in the way is reported together.
///
/// # Errors
/// A read that AWS refuses, a resource of that name that is not ours, a referenced resource that is not there.
pub(crate) fn plan(survey: Survey, toward: Toward) -> Result<(Plan, Facts), Vec<Error>> {
    let Survey { facts, resources, notes } = survey;
    // Several resources may have met the same error, in a fact that they share.
    let mut errors: Vec<Error> = Vec::new();
    let keep = |errors: &mut Vec<Error>, error: Error| {
        if errors.iter().all(|other| other.what != error.what) {
            errors.push(error);
        }
    };
    let mut planned = Vec::new();
    for (address, ops) in resources {
        match ops {
            Ok(ops) => planned.push(Planned { address, ops }),
            Err(error) => keep(&mut errors, error),
        }
    }
    let open_rotation = match &facts.labels {
        Ok(labels) => labels.open_and_enabled().map(str::to_owned),
        Err(error) => {
            keep(&mut errors, error.clone());
            None
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let user_has_keys = facts.user_has_keys().unwrap_or(true);
    let mut plan = Plan { toward, resources: planned, notes, open_rotation, user_has_keys };
    if let (true, Ok(package)) = (plan.has(Effect::UploadsCode), facts.package()) {
        plan.notes.push(format!("the code of the function comes from {}", package.origin()).into());
    }
    Ok((plan, facts))
}
