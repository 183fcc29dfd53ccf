//! What a run is about: the resources that the configuration declares, those that only the record names, and the record itself.
//! Reads only.

use std::{collections::BTreeMap, sync::Arc};

use contract::TAG_DEPLOYMENT;

use crate::{
    aws::Aws,
    date,
    deployment::{
        Deployment, TAG_PROTECT,
        facts::{self, Facts},
        record::{Applied, Record, VERSION},
    },
    engine::{
        erased::{Node, Stage, erase},
        kind::{Aim, Kind as _},
        op::{Address, Op, Toward},
        owned::{Declared, Found, Owned},
        plan::{self, ChangedBy, Survey},
    },
    error::Error,
    kinds::record,
    leftovers::leftovers,
};

/// What was found of every resource, with the nodes that executing a plan needs.
pub(crate) struct Surveyed {
    pub(crate) nodes: Vec<Node>,
    pub(crate) survey: Survey,
    /// What the record is to hold in the end; none if the deployment goes, or if a fact is missing.
    pub(crate) record: Option<Record>,
}

/// Reads everything. What only the record names is read in a second round, as is nothing else.
pub(crate) async fn survey(aws: &Aws, deployment: &Arc<Deployment>, mut nodes: Vec<Node>, toward: Toward) -> Surveyed {
    let aws = &aws.for_one_round();
    let reading = Box::pin(facts::read(aws, &deployment.config, &deployment.names, toward));
    let Survey { facts, mut resources, notes, .. } = plan::survey(aws, &nodes, reading).await;
    let left = left_over(deployment, &facts, &resources, toward);
    let more = plan::survey(aws, &left, Box::pin(async { facts })).await;
    let facts = more.facts;
    resources.extend(more.resources);

    let has_ops = resources.iter().any(|(_, ops)| ops.as_ref().is_ok_and(|ops| !ops.is_empty()));
    let record = match toward {
        Toward::Present => goal(deployment, &nodes, &facts, has_ops),
        Toward::Absent { .. } => None,
    };
    let (node, ops) = record_node(deployment, &facts, record.clone(), toward);
    resources.push((node.resource.address(), ops));
    // Their ids begin after those of what is declared.
    let first = nodes.len();
    let shifted = |node: Node| Node { after: node.after.iter().map(|id| id + first).collect(), ..node };
    nodes.extend(left.into_iter().map(shifted));
    let changed_by = match toward {
        Toward::Present => changed_by(&nodes, &facts),
        // Whoever destroys asks for every deletion.
        Toward::Absent { .. } => BTreeMap::new(),
    };
    nodes.push(node);
    Surveyed { nodes, survey: Survey { facts, resources, changed_by, notes }, record }
}

/// Who made each resource differ, if it does. Without a record of an apply, nobody can tell.
fn changed_by(nodes: &[Node], facts: &Facts) -> BTreeMap<Address, ChangedBy> {
    let Ok(Some(kept)) = facts.record() else { return BTreeMap::new() };
    if kept.record.applied.is_none() {
        return BTreeMap::new();
    }
    let before = |address: &Address| kept.record.resources.iter().find(|entry| entry.address() == *address);
    let of_node = |node: &Node| {
        let address = node.resource.address();
        let now = node.resource.entry(facts)?;
        let is_same = now.declared.is_some() && before(&address).is_some_and(|it| it.declared == now.declared);
        let by = if is_same && node.stage == Stage::Declared { ChangedBy::SomebodyElse } else { ChangedBy::File };
        Some((address, by))
    };
    nodes.iter().filter_map(of_node).collect()
}

/// The nodes of what only the record names. Another owner's record names nothing of ours.
fn left_over(
    deployment: &Arc<Deployment>,
    facts: &Facts,
    declared: &[(Address, Result<Vec<Op>, Error>)],
    toward: Toward,
) -> Vec<Node> {
    let Ok(Some(kept)) = facts.record() else { return Vec::new() };
    if kept.tags.get(TAG_DEPLOYMENT) != Some(&deployment.names.owner) {
        return Vec::new();
    }
    let declared: Vec<_> = declared.iter().map(|(address, _)| address.clone()).collect();
    let owner = deployment.owner();
    let (owner, stop_mail) = match toward {
        Toward::Present => (owner.who_applies(), deployment.stop_mail),
        Toward::Absent { stop_mail } => (owner, stop_mail),
    };
    leftovers(deployment, &kept.record, &declared, owner, stop_mail)
}

/// What the record is to hold. An apply that changes nothing is none: the last one that did stays the last.
fn goal(deployment: &Deployment, nodes: &[Node], facts: &Facts, has_ops: bool) -> Option<Record> {
    let function = facts.package().ok()?.source_digest.clone();
    let resources = nodes.iter().filter_map(|node| node.resource.entry(facts)).collect();
    let tags = deployment.config.tags.keys().cloned().collect();
    let now = &facts.record().ok()?.map(|kept| &kept.record);
    let same = Record { version: VERSION, resources, tags, applied: now.and_then(|record| record.applied.clone()) };
    if !has_ops && *now == Some(&same) && same.applied.is_some() {
        return Some(same);
    }
    let (by, deployer) = (deployment.caller.clone(), env!("CARGO_PKG_VERSION").to_owned());
    Some(Record { applied: Some(Applied { by, at: date::now(), deployer, function }), ..same })
}

/// The node of the record, and its ops: the record was read with the facts.
fn record_node(
    deployment: &Deployment,
    facts: &Facts,
    goal: Option<Record>,
    toward: Toward,
) -> (Node, Result<Vec<Op>, Error>) {
    let name = &deployment.names.record;
    let kind = || Owned::new(record::Record { name: name.clone() }, &deployment.owner());
    let owner = deployment.owner();
    let declared = move |facts: &Facts| {
        let goal = goal.clone().ok_or_else(|| Error::new("a fact that the record needs is missing"))?;
        let mut former_tags = facts.recorded_tags()?;
        former_tags.insert(TAG_PROTECT.to_owned());
        Ok(Declared { goal, tags: owner.tags(), former_tags })
    };
    let decide = || {
        let observed = facts.record()?.cloned().map(Found::from);
        let ops = match toward {
            Toward::Absent { stop_mail } => kind().decide(Aim::Absent { stop_mail }, &observed)?,
            // What is missing is an error of the resource that needs it.
            Toward::Present => match declared(facts) {
                Err(_) => Vec::new(),
                Ok(declared) => {
                    record::check_size(
                        name,
                        &Record::between(observed.as_ref().map(|it| &it.observed), &declared.goal),
                    )?;
                    kind().decide(Aim::Present(&declared), &observed)?
                }
            },
        };
        Ok(ops.into_iter().map(|(op, _)| op).collect())
    };
    let ops = decide();
    let node = Node { resource: erase(kind(), declared), toward, after: Vec::new(), stage: Stage::Record };
    (node, ops)
}
