//! The whole system on one page: every thing of a deployment, each after the ones it needs.

use std::sync::Arc;

use crate::{
    deployment::Deployment,
    engine::kind::{Kind, Resource},
    kinds::{
        document::Document, function::Function, instance_access::InstanceAccess, log_group::LogGroup,
        permissions::Permissions, role::Role, rotation::Rotation, secret::Secret, sender::Sender, topic::Topic,
        upkeep::Upkeep, user::User,
    },
};

/// Index of a node in its stack.
pub(crate) type NodeId = usize;

/// One thing and what must be there before it.
pub(crate) struct Node {
    pub(crate) resource: Box<dyn Resource>,
    /// Earlier nodes only, so that a stack has no cycle.
    pub(crate) after: Vec<NodeId>,
}

/// Lists everything that the deployment consists of.
pub(crate) fn stack(deployment: &Arc<Deployment>) -> Vec<Node> {
    let mut stack = Stack { deployment, nodes: Vec::new() };
    let config = &deployment.config;

    let sender = config.ses.test_mail.is_some().then(|| stack.add(&[], Sender));
    let secret = stack.add(&[], Secret);
    let user = stack.add(&[], User);
    // After the secret: a policy on a new KMS key that the secret does not use yet would lock readers out.
    let role = stack.add(&[secret], Role);
    let log_group = stack.add(&[], LogGroup);
    let function = stack.add(&[role, log_group], Function);
    let permissions = stack.add(&[function], Permissions);

    let topic = config.notify.is_some().then(|| stack.add(&[], Topic));

    let mut ready = vec![secret, user, permissions];
    ready.extend(sender);
    ready.extend(topic);
    if let Some(instance) = &config.instance {
        ready.extend(instance.document.is_none().then(|| stack.add(&[], Document)));
        ready.extend(instance.role.is_some().then(|| stack.add(&[secret], InstanceAccess)));
    }
    stack.add(&ready, Rotation);
    stack.add(&ready, Upkeep);
    stack.nodes
}

struct Stack<'a> {
    deployment: &'a Arc<Deployment>,
    nodes: Vec<Node>,
}

impl Stack<'_> {
    fn add<K: Kind>(&mut self, after: &[NodeId], kind: impl FnOnce(Arc<Deployment>) -> K) -> NodeId {
        let resource = Box::new(Arc::new(kind(Arc::clone(self.deployment))));
        self.nodes.push(Node { resource, after: after.to_vec() });
        self.nodes.len() - 1
    }
}
