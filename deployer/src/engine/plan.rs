//! Observes everything at once and decides. Reads only; after observing, pure.

use std::collections::BTreeMap;

use contract::Text;
use futures_util::future::{BoxFuture, join_all};
use schemars::JsonSchema;
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
    /// Those of the notes that tell what somebody else gave a resource of ours, and no apply takes away.
    #[serde(default)]
    pub(crate) foreign: Vec<Text>,
    /// The version of a rotation that is open and may run.
    pub(crate) open_rotation: Option<String>,
    /// Whether it deletes most of what the record names: then the file is rather that of another deployment.
    #[serde(default)]
    pub(crate) deletes_most_of_the_record: bool,
    /// Whether the user has an access key now, or may have one: it could not be read.
    pub(crate) user_has_keys: bool,
}

/// Who made a resource differ from what the file declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangedBy {
    /// The file declares something else than at the last apply, or the function's code is new.
    File,
    /// The file declares the same as at the last apply: somebody else changed the resource since.
    SomebodyElse,
}

/// A resource and its ops.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Planned {
    pub(crate) address: Address,
    /// None if there is no record of the last apply, or no op.
    pub(crate) changed_by: Option<ChangedBy>,
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

    /// Whether a run of it that left these resources unfinished has begun a rotation.
    #[must_use]
    pub(crate) fn began_a_rotation(&self, unfinished: &[Address]) -> bool {
        let is_done = |resource: &&Planned| !unfinished.contains(&resource.address);
        self.resources.iter().filter(is_done).any(|resource| resource.ops.iter().any(|op| op.has(Effect::RotatesNow)))
    }
}

/// What is decided for a resource: its ops, or why there are none to name.
pub(crate) struct Decided {
    pub(crate) address: Address,
    pub(crate) ops: Result<Vec<Op>, Error>,
}

impl Decided {
    /// Whether it would be changed.
    pub(crate) fn changes(&self) -> bool {
        self.ops.as_ref().is_ok_and(|ops| !ops.is_empty())
    }
}

/// What was found of each resource.
pub(crate) struct Survey {
    pub(crate) facts: Facts,
    pub(crate) resources: Vec<Decided>,
    /// Why rotations would fail, of each resource that they fail at as it is.
    pub(crate) stops_rotations: Vec<(Address, Error)>,
    /// Why rotations would fail at what no file declares, so that no apply mends it.
    pub(crate) would_fail: Vec<Error>,
    /// Of those resources of which the record knows the last apply.
    pub(crate) changed_by: BTreeMap<Address, ChangedBy>,
    /// What people should know.
    pub(crate) notes: Vec<Text>,
    /// What a reviewer should know, and nobody has to act on.
    pub(crate) mentions: Vec<Text>,
    /// As of [`Plan`].
    pub(crate) foreign: Vec<Text>,
    /// As of [`Plan`].
    pub(crate) deletes_most_of_the_record: bool,
}

/// Observes everything at once and decides on each resource by itself.
pub(crate) async fn survey(aws: &Aws, stack: &[Node], reading: BoxFuture<'_, Facts>) -> Survey {
    let observing = join_all(stack.iter().map(|node| node.resource.observe(aws)));
    let (facts, observed) = tokio::join!(reading, observing);
    let (mut resources, mut mentions, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    let mut stops_rotations = Vec::new();
    let mut notes: Vec<Text> = facts.quarantine.clone().into_iter().collect();
    for (node, observed) in stack.iter().zip(observed) {
        match (node.toward, &observed) {
            (Toward::Present, Ok(observed)) => {
                notes.extend(observed.note(&facts));
                mentions.extend(observed.mention());
                foreign.extend(observed.foreign(&facts));
                let stops = observed.stops_rotations(&facts);
                stops_rotations.extend(stops.map(|error| (node.resource.address(), error)));
            }
            (Toward::Absent { .. }, Ok(observed)) => mentions.extend(observed.stays()),
            (_, Err(_)) => {}
        }
        resources.push(Decided { address: node.resource.address(), ops: decide(node, observed, &facts) });
    }
    notes.extend(foreign.iter().cloned());
    let changed_by = BTreeMap::new();
    Survey {
        facts,
        resources,
        stops_rotations,
        would_fail: Vec::new(),
        changed_by,
        notes,
        mentions,
        foreign,
        deletes_most_of_the_record: false,
    }
}

fn note(error: &Error) -> Text {
    let found = Text::from(format!("a rotation would fail: {}", error.in_one_line()));
    Text::join(std::iter::once(found).chain(error.hints.iter().cloned()), ". ")
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
    let Survey {
        facts,
        resources,
        stops_rotations: _,
        would_fail,
        changed_by,
        mut notes,
        mentions,
        foreign,
        deletes_most_of_the_record,
    } = survey;
    let mut errors: Vec<Error> = Vec::new();
    let mut planned = Vec::new();
    for Decided { address, ops } in resources {
        match ops {
            Ok(ops) => {
                let changed_by = changed_by.get(&address).copied().filter(|_| !ops.is_empty());
                planned.push(Planned { address, changed_by, ops });
            }
            Err(error) => error.push_new(&mut errors),
        }
    }
    notes.extend(would_fail.iter().map(note));
    notes.extend(mentions);
    let open_rotation = match &facts.labels {
        Ok(labels) => labels.open_and_enabled().map(str::to_owned),
        Err(error) => {
            error.clone().push_new(&mut errors);
            None
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let user_has_keys = facts.user_has_keys().unwrap_or(true);
    let mut plan =
        Plan { toward, resources: planned, notes, foreign, open_rotation, deletes_most_of_the_record, user_has_keys };
    if let (true, Ok(package)) = (plan.has(Effect::UploadsCode), facts.package()) {
        plan.notes.push(format!("the code of the function comes from {}", package.origin()).into());
    }
    Ok((plan, facts))
}
