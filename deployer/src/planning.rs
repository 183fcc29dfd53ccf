//! What a run is about: the resources that the configuration declares, those that only the record names, and the record itself.
//! Reads only.

use std::{collections::BTreeMap, sync::Arc};

use contract::{Command, TAG_DEPLOYMENT, Text, text};

use crate::{
    aws::Aws,
    date,
    deployment::{
        Deployment, TAG_PROTECT,
        facts::{self, Facts},
        record::{Applied, Kept, Record, VERSION},
    },
    engine::{
        erased::{Node, Stage, erase},
        kind::{Aim, Going, Kind as _},
        op::{Address, Op, ResourceKind, Toward},
        owned::{Declared, Found, Owned},
        plan::{self, ChangedBy, Decided, Survey},
    },
    error::Error,
    kinds::record,
    leftovers::leftovers,
    would_fail,
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
    let reading = Box::pin(facts::read(aws, deployment, toward));
    let Survey { facts, mut resources, stops_rotations, mut would_fail, mut notes, mut mentions, foreign, .. } =
        plan::survey(aws, &nodes, reading).await;
    if toward == Toward::Present {
        mentions.extend(note_of_unknown_keys(deployment, &facts));
        mentions.extend(note_of_any_sender(deployment));
        mentions.extend(note_of_no_role(deployment));
        // A read that failed is an error of the secret.
        let denied = would_fail::denied_by_the_secret(aws, deployment).await.unwrap_or_default();
        would_fail.extend(denied.into_iter().map(|denied| denied.error));
    }
    let left = left_over(deployment, &facts, &resources, toward);
    let mut more = plan::survey(aws, &left, Box::pin(async { facts })).await;
    let facts = more.facts;
    // Under a new name of the deployment the secret stays.
    let moves = matches!(facts.former_record, Ok(Some(_)));
    if toward == Toward::Present && !moves {
        keep_the_credential_readable(deployment, &facts, &mut more.resources);
    }
    keep_what_is_protected(deployment, &facts, &mut more.resources);
    // How to delete what the file no longer declares is no help to somebody whose file is refused: it may have to declare it again. The
    // record may be another deployment's, too.
    if resources.iter().any(|it| it.ops.is_err()) {
        more.resources.retain(|it| it.ops.is_ok());
    }
    let deleted = if nodes.is_empty() { Vec::new() } else { deleted(&more.resources) };
    if moves {
        notes.extend(note_of_the_move(deployment, toward));
    } else {
        notes.extend(note_of_deletions(&deleted, &facts));
        notes.extend(note_of_hosts_that_cannot_read(deployment, &deleted, toward));
        notes.extend(note_of_keys_left(deployment, &deleted, &facts, toward));
    }
    let deletes_most_of_the_record = !moves && are_most(&deleted, &facts);
    resources.extend(more.resources);
    mentions.extend(more.mentions);

    if let (Some(former), Err(error)) = (&deployment.names.former, &facts.former_record) {
        let address = Address::new(ResourceKind::Record, &former.record);
        resources.push(Decided { address, ops: Err(error.clone()) });
    }

    let has_ops = resources.iter().any(Decided::changes);
    let record = match toward {
        Toward::Present => goal(deployment, &nodes, &facts, has_ops),
        Toward::Absent { .. } => None,
    };
    let (node, ops) = record_node(deployment, &facts, record.clone(), toward);
    resources.push(Decided { address: node.resource.address(), ops });
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
    if let Some((node, ops)) = former_record_node(deployment, &facts) {
        resources.push(Decided { address: node.resource.address(), ops });
        nodes.push(node);
    }
    Surveyed {
        nodes,
        survey: Survey {
            facts,
            resources,
            stops_rotations,
            would_fail,
            changed_by,
            notes,
            mentions,
            foreign,
            deletes_most_of_the_record,
        },
        record,
    }
}

/// Who made each resource differ, if it does. Without a record of an apply, nobody can tell.
fn changed_by(nodes: &[Node], facts: &Facts) -> BTreeMap<Address, ChangedBy> {
    let Ok(Some(kept)) = facts.record() else { return BTreeMap::new() };
    if kept.record.applied.is_none() {
        return BTreeMap::new();
    }
    let before = |address: &Address| kept.record.resources.iter().find(|entry| entry.address() == *address);
    let is_function =
        |node: &&Node| node.resource.address().kind == ResourceKind::Function && node.stage == Stage::Declared;
    let function = nodes.iter().find(is_function).map(|node| node.resource.address().name);
    // The rotation invokes it.
    let renames_the_function = function.as_deref() != kept.record.name_of(ResourceKind::Function);
    let of_node = |node: &Node| {
        let address = node.resource.address();
        let now = node.resource.entry(facts)?;
        let is_same = now.declared.is_some() && before(&address).is_some_and(|it| it.declared == now.declared);
        let is_of_file =
            node.stage != Stage::Declared || address.kind == ResourceKind::Rotation && renames_the_function;
        let by = if is_same && !is_of_file { ChangedBy::SomebodyElse } else { ChangedBy::File };
        Some((address, by))
    };
    nodes.iter().filter_map(of_node).collect()
}

/// The nodes of what only the record names. Another owner's record names nothing of ours.
fn left_over(deployment: &Arc<Deployment>, facts: &Facts, declared: &[Decided], toward: Toward) -> Vec<Node> {
    let is_ours = |kept: &Kept| kept.tags.get(TAG_DEPLOYMENT) == Some(&deployment.names.owner);
    if !facts.record().is_ok_and(|kept| kept.is_none_or(is_ours)) {
        return Vec::new();
    }
    let Ok(Some(record)) = facts.recorded() else { return Vec::new() };
    let declared: Vec<_> = declared.iter().map(|it| it.address.clone()).collect();
    leftovers(deployment, &record, &declared, deployment.owner(), toward)
}

/// What of the leftovers the plan changes.
fn deleted(leftovers: &[Decided]) -> Vec<Address> {
    leftovers.iter().filter(|it| it.changes()).map(|it| it.address.clone()).collect()
}

/// Two files of one name and region look like one file that changed: only a person can tell.
fn note_of_deletions(deleted: &[Address], facts: &Facts) -> Option<Text> {
    let Applied { by, at, .. } = facts.record().ok()??.record.applied.as_ref()?;
    let names: Vec<_> = deleted.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| {
        text![format!(
            "the file no longer declares {}, and the run deletes that. {by} applied last, at {at}. If another file of this name and \
             region declares it, do not go on: give one of the two files another name",
            names.join(", ")
        )]
    })
}

/// The file names another role of the hosts, or none: those that have the role before may lose the secret.
fn note_of_hosts_that_cannot_read(deployment: &Deployment, deleted: &[Address], toward: Toward) -> Option<Text> {
    let instance = deployment.config.instance.as_ref().filter(|_| toward == Toward::Present)?;
    let access = deleted.iter().find(|address| address.kind == ResourceKind::InstanceAccess)?;
    let (role, policy) = access.name.split_once('/')?;
    let way = match &instance.role {
        Some(other) => format!("give the hosts role {other} before"),
        None => "let another policy of the role allow it before".to_owned(),
    };
    Some(
        format!(
            "the run takes policy {policy} from role {role}: unless another policy lets it read the secret, no rotation of a host that still has \
             this role completes, and when such a host boots it gets no credential. If so, {way}"
        )
        .into(),
    )
}

/// What carries no tag is protected with the record.
fn keep_what_is_protected(deployment: &Deployment, facts: &Facts, leftovers: &mut [Decided]) {
    let owner = deployment.owner();
    if facts.record().ok().flatten().is_some_and(|kept| owner.keeps(&kept.tags)) {
        leftovers.iter_mut().filter(|it| it.changes()).for_each(|it| it.ops = Err(owner.is_protected()));
    }
}

/// Refuses another secret for a user whose keys hosts may be using: only the secret before has their credential, and a host that boots before
/// it was told of another one reads it there.
fn keep_the_credential_readable(deployment: &Deployment, facts: &Facts, leftovers: &mut [Decided]) {
    let has_keys = facts.user_keys().is_ok_and(|keys| !keys.is_empty());
    if !has_keys || deployment.allowed.stop_mail {
        return;
    }
    let holds_it = |address: &Address| matches!(address.kind, ResourceKind::Secret | ResourceKind::Rotation);
    let Some(gone) = leftovers.iter_mut().find(|it| holds_it(&it.address) && it.changes()) else { return };
    let (secret, new) = (&gone.address.name, &deployment.config.secret.name);
    let error = Error::new(format!("secret {secret} holds the credential that hosts may be using, and the file names secret {new}"))
        .cause("the run would take the rotation and the hosts' access from it, and a host that boots before a rotation could not send")
        .hint(
            "keep secret.name, or apply a second file with another name, secret.name and iam_user.name: its first rotation gives the hosts \
             its credential. Then destroy this deployment",
        )
        .hint("if no host and no program reads the secret, run the command again with --stop-mail");
    gone.ops = Err(error);
}

/// Another secret for the same user: no version of it names the keys that were made for the secret before.
fn note_of_keys_left(deployment: &Deployment, deleted: &[Address], facts: &Facts, toward: Toward) -> Option<Text> {
    let secret = deleted.iter().find(|address| address.kind == ResourceKind::Secret)?;
    let keys = facts.user_keys().ok().filter(|keys| !keys.is_empty() && toward == Toward::Present)?;
    let (user, new) = (&deployment.config.iam_user.name, &deployment.config.secret.name);
    let delete = keys.iter().map(|key| Command::rotate_leaked(key).into());
    let stays = format!(
        "user {user} keeps access key {}, whose credential is in {secret}, and no rotation deletes it: hosts use it until a rotation of \
         secret {new} has told them. Then run ",
        keys.join(" and "),
    );
    let why = ": IAM allows a user two keys, and the rotation after that needs the place";
    Some(Text::from(stays).then(Text::join(delete, " and ")).then(why))
}

/// A mistyped key is replaced by nothing, and one that a rotation has deleted needs no line any more.
fn note_of_unknown_keys(deployment: &Deployment, facts: &Facts) -> Option<Text> {
    let has = facts.user_keys().ok()?;
    let unknown = deployment.config.iam_user.replaces.iter().map(ToString::to_string).filter(|key| !has.contains(key));
    let unknown = unknown.collect::<Vec<_>>().join(" and ");
    (!unknown.is_empty()).then(|| {
        format!(
            "iam_user.replaces lists {unknown}, which user {} does not have: correct it if it is mistyped, and take it out if it is deleted",
            deployment.names.user
        )
        .into()
    })
}

/// The file's own choice, which nobody has to change.
fn note_of_any_sender(deployment: &Deployment) -> Option<Text> {
    let config = &deployment.config;
    (!config.iam_user.existing && config.ses.from.is_empty()).then(|| {
        format!(
            "user {} may send as any verified identity; name addresses or domains under ses.from to limit it",
            deployment.names.user
        )
        .into()
    })
}

/// A host that may not read the secret is found out only by its script.
fn note_of_no_role(deployment: &Deployment) -> Option<Text> {
    let instance = deployment.config.instance.as_ref()?;
    instance.role.is_none().then(|| {
        text![
            "the file names no instance.role: the role of the hosts has to let them read the secret. ",
            Command::deployer("policy --for instance"),
            " prints what it needs"
        ]
    })
}

fn note_of_the_move(deployment: &Deployment, toward: Toward) -> Option<Text> {
    let (former, name) = (deployment.config.moved_from.as_ref()?, &deployment.config.name);
    (toward == Toward::Present).then(|| {
        text![format!(
            "deployment {former} becomes {name}. The secret and the user keep their names, and the credential does not rotate. What has a \
             derived name is made anew, and then what had the former name is deleted"
        )]
    })
}

/// Whether the run deletes at least half of what the record names, or both the secret and the user.
fn are_most(deleted: &[Address], facts: &Facts) -> bool {
    let Ok(Some(kept)) = facts.record() else { return false };
    let has = |kind| deleted.iter().any(|address| address.kind == kind);
    let both = has(ResourceKind::Secret) && has(ResourceKind::User);
    both || !deleted.is_empty() && deleted.len() * 2 >= kept.record.resources.len()
}

/// What the record should hold after this run. If the plan changes nothing, `applied` stays as it is: it names the last apply that
/// changed something.
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

/// The node that deletes the record of the former name. Until then, a run that is killed forgets nothing.
fn former_record_node(deployment: &Deployment, facts: &Facts) -> Option<(Node, Result<Vec<Op>, Error>)> {
    let former = deployment.names.former.as_ref()?;
    let found = facts.former_record.as_ref().ok()?.clone()?;
    let kind = || {
        let (name, lease) = (former.record.clone(), Some(former.lease.clone()));
        Owned::new(record::Record { name, lease }, &deployment.owner())
    };
    let ops = kind().decide(Aim::Absent(Going::of(false, facts)), &Some(Found::from(found)));
    let ops = ops.map(|ops| ops.into_iter().map(|(op, _)| op).collect());
    let no_goal = |_: &Facts| Err(Error::new("the record of a former name has no goal"));
    let toward = Toward::Absent { stop_mail: false };
    Some((Node { resource: erase(kind(), no_goal), toward, after: Vec::new(), stage: Stage::Record }, ops))
}

/// The node of the record, and its ops: the record was read with the facts.
fn record_node(
    deployment: &Deployment,
    facts: &Facts,
    goal: Option<Record>,
    toward: Toward,
) -> (Node, Result<Vec<Op>, Error>) {
    let name = &deployment.names.record;
    let kind = || Owned::new(record::Record { name: name.clone(), lease: None }, &deployment.owner());
    let owner = deployment.owner();
    let declared = move |facts: &Facts| {
        let goal = goal.clone().ok_or_else(|| Error::new("a fact that the record needs is missing"))?;
        let mut former_tags = facts.recorded_tags()?;
        former_tags.insert(TAG_PROTECT.to_owned());
        Ok(Declared { goal, tags: owner.tags(), former_tags, was_made: false })
    };
    let decide = || {
        let observed = facts.record()?.cloned().map(Found::from);
        let ops = match toward {
            Toward::Absent { stop_mail } => kind().decide(Aim::Absent(Going::of(stop_mail, facts)), &observed)?,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::parse, deployment::names::Names};

    #[test]
    fn a_key_under_replaces_that_the_user_does_not_have_is_told() {
        let said = |has: &[&str]| {
            let yaml = "name: m\nregion: eu-west-1\nsecret: {name: m/smtp}\n\
                        iam_user: {name: m, existing: true, replaces: [AKIAIOSFODNN7EXAMPLE, AKIAI44QH8DHBEXAMPLE]}\n";
            let config = parse(Path::new("config.yaml"), yaml).unwrap().remove(0);
            let names = Names::in_account(&config, "123456789012".into());
            let user_keys = Ok(has.iter().map(|&key| key.to_owned()).collect());
            let facts = Facts { user_keys, ..facts::unread() };
            note_of_unknown_keys(&Deployment::new(config, names, "c".into()), &facts).map(|note| note.to_string())
        };
        assert_eq!(said(&["AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"]), None);
        let one = said(&["AKIAIOSFODNN7EXAMPLE"]).unwrap();
        assert!(one.contains("lists AKIAI44QH8DHBEXAMPLE, which user m does not have"), "{one}");
        assert!(said(&[]).unwrap().contains("AKIAIOSFODNN7EXAMPLE and AKIAI44QH8DHBEXAMPLE"));
    }
}
