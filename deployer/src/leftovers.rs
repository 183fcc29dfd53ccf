//! What only the record names: resources of the deployment that the configuration no longer declares.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    deployment::{
        Deployment, Owner,
        facts::Facts,
        record::{Entry, Record},
    },
    engine::{
        erased::{Node, Stage},
        op::{Address, ResourceKind, Toward},
    },
    error::Error,
    kinds::{
        alarm::Alarm, document::Document, event_invoke::EventInvoke, function::Function,
        instance_access::InstanceAccess, log_group::LogGroup, permissions::Permissions,
        referenced_user::ReferencedUser, role::Role, rotation::Rotation, secret::Secret, topic::Topic, upkeep::Upkeep,
        user::User,
    },
    stack::Stack,
};

/// The nodes that delete what the record names and `declared` does not, in an order in which each depends on earlier ones. `toward`: where
/// the rest of the deployment goes.
pub(crate) fn leftovers(
    deployment: &Arc<Deployment>,
    record: &Record,
    declared: &[Address],
    owner: Owner,
    toward: Toward,
) -> Vec<Node> {
    let stop_mail = match toward {
        Toward::Present => deployment.allowed.stop_mail,
        Toward::Absent { stop_mail } => stop_mail,
    };
    let goes_on = toward == Toward::Present;
    let mut stack = Stack::new(deployment, owner, Toward::Absent { stop_mail }, Stage::Leftover);
    let is_left = |entry: &&Entry| !declared.contains(&entry.address());
    for entry in record.resources.iter().filter(is_left) {
        add(&mut stack, deployment, entry, goes_on);
    }
    stack.nodes
}

/// Nothing but the names matters. `goes_on`: whether the rest of the deployment stays.
fn add(stack: &mut Stack<'_>, deployment: &Arc<Deployment>, Entry { kind, name, existing, .. }: &Entry, goes_on: bool) {
    let (names, name) = (&deployment.names, name.clone());
    match kind {
        ResourceKind::Alarm => {
            let (arn, together) = (names.arn_of_alarm(&name), vec![name.clone()]);
            stack.add_owned(Alarm { name, arn, together, going: true }, no_goal);
        }
        ResourceKind::Document => stack.add_owned(Document { name }, no_goal),
        ResourceKind::EventInvoke => stack.add(EventInvoke { function: name }, no_goal),
        ResourceKind::Function => {
            let arn = names.arn_of_function(&name);
            stack.add_owned(Function { name, arn, secret_arn_prefix: names.secret_arn_prefix() }, no_goal);
        }
        ResourceKind::InstanceAccess => {
            // No role's name has a slash.
            if let Some((role, policy_name)) = name.split_once('/') {
                let (role, policy_name) = (role.to_owned(), policy_name.to_owned());
                stack.add(InstanceAccess { role, policy_name }, no_goal);
            }
        }
        ResourceKind::LogGroup => {
            let arn = names.arn_of_log_group(&name);
            stack.add_owned(LogGroup { name, arn }, no_goal);
        }
        ResourceKind::Permission => {
            let function_arn = names.arn_of_function(&name);
            stack.add(Permissions { function: name, function_arn, ids: names.permissions() }, no_goal);
        }
        // Somebody else's.
        ResourceKind::Role if *existing => {}
        ResourceKind::Role => {
            let (policy_name, replaced_in) = (names.role_policy.clone(), goes_on.then(|| Arc::clone(deployment)));
            stack.add_owned(Role { name, policy_name, going: true, replaced_in }, no_goal);
        }
        ResourceKind::Rotation => {
            let (function_arn, deployment) = (names.function_arn(), Arc::clone(deployment));
            stack.add(Rotation { secret: name, function_arn, deployment }, no_goal);
        }
        ResourceKind::Secret => {
            let (region, recovery_window_days) = (names.region().to_owned(), deployment.recovery_window_days());
            stack.add_owned(Secret { name, region, recovery_window_days }, no_goal);
        }
        ResourceKind::Topic => {
            let arn = names.arn_of_topic(&name);
            stack.add_owned(Topic { name, arn }, no_goal);
        }
        ResourceKind::Upkeep => {
            let arn = names.arn_of_rule(&name);
            stack.add_owned(Upkeep { name, arn }, no_goal);
        }
        ResourceKind::User if *existing => {
            let serves = names.secret_of_user.clone();
            let (owner, policy_name) = (deployment.owner(), names.user_policy.clone());
            let (allow_privileged, known) = (false, BTreeSet::new());
            let user = ReferencedUser { name, owner, policy_name, serves, going: true, allow_privileged, known };
            stack.add(user, no_goal);
        }
        ResourceKind::User => {
            stack.add_owned(
                User { name, policy_name: names.user_policy.clone(), former_policy: None, going: true, adopts: false },
                no_goal,
            );
        }
        // Nothing of these is ever the deployment's, or the run that deletes it uses it until the end.
        ResourceKind::Hosts | ResourceKind::Lease | ResourceKind::Record | ResourceKind::Sender => {}
    }
}

/// On the way to absent no goal is made.
fn no_goal<Goal>(_: &Deployment, _: &Facts) -> Result<Goal, Error> {
    Err(Error::new("what is left over has no goal"))
}
