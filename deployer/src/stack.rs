//! The whole system on one page: every resource of a deployment, its goal, and the kinds of resources that it depends on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use contract::{Consumer, Instances, KEYS_PER_USER, Settings};

use crate::{
    config::{Config, Instance},
    deployment::{Deployment, Owner, TAG_KEPT_SINCE, TAG_PROTECT, facts::Facts, names::Names, policy},
    engine::{
        erased::{Node, Stage, erase},
        kind::Kind,
        op::{ResourceKind, Toward},
        owned::{Declared, Owned, Tagged},
    },
    error::Error,
    kinds::{
        alarm::{self, Alarm, Watches},
        document::{self, Document},
        event_invoke::EventInvoke,
        function::{self, Function},
        hosts::Hosts,
        iam::Placement,
        instance_access::InstanceAccess,
        log_group::{self, LogGroup},
        permissions::{self, Permissions, Statement},
        referenced_role::ReferencedRole,
        referenced_secret::{self, ReferencedSecret},
        referenced_user::{self, ReferencedUser},
        role::{self, Role},
        rotation::{self, Rotation},
        secret::{self, Secret},
        sender::Sender,
        topic::{self, Topic},
        upkeep::{self, Upkeep},
        user::{self, User},
    },
};

/// The kinds of resources that have to be there before one of this kind.
fn needs(kind: ResourceKind) -> &'static [ResourceKind] {
    use ResourceKind as It;
    match kind {
        // After the secret: a policy on a new KMS key that the secret does not use yet would lock readers out.
        It::Role | It::InstanceAccess => &[It::Secret],
        It::Function => &[It::Role, It::LogGroup],
        It::Permission | It::EventInvoke => &[It::Function],
        It::Alarm => &[It::Function, It::Topic],
        It::Rotation => {
            &[It::Secret, It::User, It::Permission, It::Sender, It::Topic, It::Document, It::InstanceAccess]
        }
        // And EventInvoke: the upkeep rule's events are the only asynchronous ones.
        It::Upkeep => &[
            It::Secret,
            It::User,
            It::Permission,
            It::Sender,
            It::Topic,
            It::Document,
            It::InstanceAccess,
            It::EventInvoke,
        ],
        It::Document
        | It::Hosts
        | It::Lease
        | It::LogGroup
        | It::Record
        | It::Secret
        | It::Sender
        | It::Topic
        | It::User => &[],
    }
}

/// Lists everything that the configuration declares.
pub(crate) fn stack(deployment: &Arc<Deployment>, toward: Toward) -> Vec<Node> {
    let mut stack = Stack::new(deployment, deployment.owner(), toward, Stage::Declared);
    let Deployment { config, names, .. } = &**deployment;
    let going = matches!(toward, Toward::Absent { .. });

    if let Some(sender) = Sender::of(config) {
        stack.add(sender, |_, _| Ok(()));
    }
    if config.secret.existing {
        let (region, owner) = (names.region().to_owned(), deployment.owner());
        let secret = ReferencedSecret { name: names.secret.clone(), region, owner, user: names.user.clone() };
        stack.add(secret, |_, facts| Ok(referenced_secret::Goal { recorded_tags: facts.recorded_tags()? }));
    } else {
        let (region, recovery_window_days) = (names.region().to_owned(), deployment.recovery_window_days());
        stack.add_owned(Secret { name: names.secret.clone(), region, recovery_window_days }, secret_goal);
    }
    if config.iam_user.existing {
        let user = ReferencedUser {
            name: names.user.clone(),
            owner: deployment.owner(),
            policy_name: names.user_policy.clone(),
            serves: names.secret_of_user.clone(),
            going,
            allow_privileged: config.iam_user.allow_privileged,
            known: known_policies(config),
        };
        stack.add(user, |_, facts| {
            let (former_secrets, recorded_tags) = (facts.former()?.secrets.clone(), facts.recorded_tags()?);
            Ok(referenced_user::Goal { former_secrets, recorded_tags })
        });
    } else {
        let user = User {
            name: names.user.clone(),
            policy_name: names.user_policy.clone(),
            former_policy: names.former.as_ref().map(|former| former.user_policy.clone()),
            going,
            adopts: deployment.allowed.adopt,
        };
        stack.add_owned(user, |deployment, _| Ok(user_goal(deployment)));
    }
    if config.function.role.is_some() {
        stack.add(ReferencedRole { name: names.role.clone(), owner: deployment.owner() }, |_, _| Ok(()));
    } else {
        let role = Role { name: names.role.clone(), policy_name: names.role_policy.clone(), going, replaced_in: None };
        stack.add_owned(role, role_goal);
    }
    let log_group = LogGroup { name: names.log_group.clone(), arn: names.log_group_arn() };
    stack.add_owned(log_group, |deployment, _| {
        Ok(log_group::Goal { retention_days: deployment.config.function.log_retention_days })
    });
    let function = Function {
        name: names.function.clone(),
        arn: names.function_arn(),
        secret_arn_prefix: names.secret_arn_prefix(),
    };
    stack.add_owned(function, function_goal);
    let permissions =
        Permissions { function: names.function.clone(), function_arn: names.function_arn(), ids: names.permissions() };
    stack.add(permissions, |deployment, _| Ok(statements(&deployment.names)));
    stack.add(EventInvoke { function: names.function.clone() }, |_, _| Ok(()));
    // Before the topic: a host that is not reached stops every rotation, so its note comes first.
    if let Some(instance) = &config.instance {
        let ids = instance.ids.iter().map(ToString::to_string).collect();
        stack.add(Hosts { ids, region: config.region.to_string() }, |_, _| Ok(()));
    }
    if let Some(notify) = &config.notify {
        let email = notify.email.clone();
        stack.add_owned(Topic::of(names), move |_, _| Ok(topic::Goal { email: email.clone() }));
        for (name, watches) in names.alarms.iter().zip(Watches::ALL) {
            let (arn, together) = (names.arn_of_alarm(name), names.alarms.to_vec());
            let alarm = Alarm { name: name.clone(), arn, together, going };
            stack.add_owned(alarm, move |deployment, _| Ok(alarm_goal(&deployment.names, watches)));
        }
    }
    if let Some(instance) = &config.instance {
        if instance.document.is_none() {
            let (instance, document) = (instance.clone(), Document { name: names.document.clone() });
            stack.add_owned(document, move |deployment, _| Ok(document_goal(&instance, &deployment.names)));
        }
        if let Some(role) = &instance.role {
            let access = InstanceAccess { role: role.to_string(), policy_name: names.instance_policy.clone() };
            stack.add(access, |deployment, facts| {
                Ok(policy::instance_permissions(&deployment.names, &facts.kms_keys()?))
            });
        }
    }
    stack.add(Rotation::of(deployment), rotation_goal);
    let upkeep = Upkeep { name: names.upkeep.clone(), arn: names.upkeep_arn() };
    stack.add_owned(upkeep, |deployment, _| Ok(upkeep::Goal { function_arn: deployment.names.function_arn() }));
    stack.nodes
}

fn secret_goal(Deployment { config, names, .. }: &Deployment, facts: &Facts) -> Result<secret::Goal, Error> {
    Ok(secret::Goal {
        user: names.user.clone(),
        kms_key_arn: facts.kms_key_arn()?.map(str::to_owned),
        kms_key: config.secret.kms_key.as_ref().map(ToString::to_string),
        under_older_keys: facts.under_older_keys()?.iter().map(ToString::to_string).collect(),
    })
}

fn user_goal(Deployment { config, names, .. }: &Deployment) -> user::Goal {
    let boundary = config.iam_user.permissions_boundary.as_ref().map(ToString::to_string);
    user::Goal {
        placement: Placement { path: names.user_path.clone(), boundary },
        policy: policy::user_permissions(config, names),
        serves: names.secret_of_user.clone(),
        known: known_policies(config),
    }
}

fn known_policies(config: &Config) -> BTreeSet<String> {
    config.iam_user.known_policies.iter().map(ToString::to_string).collect()
}

fn role_goal(Deployment { config, names, .. }: &Deployment, facts: &Facts) -> Result<role::Goal, Error> {
    let policy = policy::role_permissions(config, names, vec![facts.user_arn()?.to_owned()], &facts.kms_keys()?);
    let boundary = config.function.role_permissions_boundary.as_ref().map(ToString::to_string);
    let placement = Placement { path: names.role_path.clone(), boundary };
    Ok(role::Goal { placement, trust: policy::role_trust(), policy })
}

fn function_goal(Deployment { config, names, .. }: &Deployment, facts: &Facts) -> Result<function::Goal, Error> {
    Ok(function::Goal {
        role_arn: facts.role_arn()?.to_owned(),
        timeout: config.function.timeout,
        memory_mb: config.function.memory_mb,
        environment: environment(config, names, facts.user_arn()?),
        architecture: config.function.architecture,
        vpc: config.function.vpc.as_ref().map_or_else(function::Vpc::default, |vpc| {
            let ids = |ids: &[_]| ids.iter().map(ToString::to_string).collect();
            function::Vpc::new(ids(&vpc.subnets), vpc.security_groups.iter().map(ToString::to_string).collect())
        }),
        source: facts.package()?.source_digest.clone(),
        former: facts.former()?.clone(),
        existing_role_needs: match config.function.role {
            Some(_) => {
                Some(policy::role_permissions(config, names, vec![facts.user_arn()?.to_owned()], &facts.kms_keys()?))
            }
            None => None,
        },
        secret_is_there: !facts.labels()?.versions.is_empty(),
    })
}

fn alarm_goal(names: &Names, watches: Watches) -> alarm::Goal {
    alarm::Goal { function: names.function.clone(), topic_arn: names.topic_arn(), watches }
}

/// The function's environment, as the deployer writes it.
pub(crate) fn environment(config: &Config, names: &Names, user_arn: &str) -> BTreeMap<String, String> {
    let settings = Settings {
        secret_arn_prefix: names.secret_arn_prefix(),
        iam_user_arn: user_arn.to_owned(),
        iam_user_owned: !config.iam_user.existing,
        replaces: config.iam_user.replaces.iter().map(ToString::to_string).collect(),
        fields: config.secret.fields.clone(),
        smtp_endpoint: config.ses.endpoint.clone(),
        test_mail: config.ses.test_mail.clone(),
        consumer: consumer(config, names),
        keep_previous: config.rotation.keep_previous,
        keep_inactive: config.rotation.keep_inactive,
        topic_arn: config.notify.as_ref().map(|_| names.topic_arn()),
    };
    let mut environment = settings.to_env();
    environment.insert(contract::variable::LOG_LEVEL.to_owned(), config.function.log_level.to_string());
    environment
}

fn consumer(config: &Config, names: &Names) -> Option<Consumer> {
    let instance = config.instance.as_ref()?;
    Some(Consumer::Instances(Instances {
        ids: instance.ids.iter().map(ToString::to_string).collect(),
        document: instance.document.as_ref().map_or_else(|| names.document.clone(), ToString::to_string),
        script: instance.script.clone(),
        timeout_seconds: instance.timeout.as_secs(),
        content_sha256: instance.document.is_none().then(|| document_goal(instance, names).sha256()),
    }))
}

fn document_goal(instance: &Instance, names: &Names) -> document::Goal {
    let (script, timeout) = (instance.script.clone(), instance.timeout);
    document::Goal { script, timeout, secret_arn_prefix: names.secret_arn_prefix() }
}

fn statements(names: &Names) -> Vec<Statement> {
    let [secretsmanager, events] = names.permissions();
    vec![
        Statement {
            id: secretsmanager,
            principal: permissions::SECRETS_MANAGER,
            source_account: Some(names.account_id().to_owned()),
            source_arn: names.secret_arn_pattern(),
        },
        // The rule's ARN, unlike the secret's pattern, names one resource of one account.
        Statement {
            id: events,
            principal: "events.amazonaws.com",
            source_account: None,
            source_arn: names.upkeep_arn(),
        },
    ]
}

fn rotation_goal(Deployment { config, names, .. }: &Deployment, facts: &Facts) -> Result<rotation::Goal, Error> {
    // If the function made the credential already, somebody turned the rotation off: it is turned on again, and the
    // credential does not rotate.
    let labels = facts.labels()?;
    let has_ours = labels.labelled(contract::DEPLOYING).is_some() && facts.user_has_keys()?;
    // Of an existing user, no key is freed before the function has stored one.
    let first_rotation_has_no_slot = config.iam_user.existing
        && labels.labelled(contract::DEPLOYING).is_none()
        && facts.user_keys()?.len() >= KEYS_PER_USER;
    Ok(rotation::Goal {
        schedule: config.rotation.schedule.to_string(),
        window: config.rotation.window.map(|window| format!("{}h", window.as_secs() / 3600)),
        rotate_when_enabled: config.rotation.rotate_on_create && !has_ours,
        is_new: labels.versions.is_empty(),
        no_free_slot: if first_rotation_has_no_slot { facts.user_keys()?.to_vec() } else { Vec::new() },
        user: names.user.clone(),
        former_functions: facts.former()?.functions.clone(),
    })
}

/// Nodes that become one graph: each depends on those before it that its kind needs.
pub(crate) struct Stack<'a> {
    deployment: &'a Arc<Deployment>,
    owner: Owner,
    toward: Toward,
    stage: Stage,
    pub(crate) nodes: Vec<Node>,
}

impl<'a> Stack<'a> {
    pub(crate) fn new(deployment: &'a Arc<Deployment>, owner: Owner, toward: Toward, stage: Stage) -> Self {
        Self { deployment, owner, toward, stage, nodes: Vec::new() }
    }

    pub(crate) fn add<K: Kind>(
        &mut self,
        kind: K,
        goal: impl Fn(&Deployment, &Facts) -> Result<K::Goal, Error> + Send + Sync + 'static,
    ) {
        let needs = needs(kind.address().kind);
        let is_needed = |node: &Node| needs.contains(&node.resource.address().kind);
        let after = self.nodes.iter().enumerate().filter(|(_, node)| is_needed(node)).map(|(id, _)| id).collect();
        let deployment = Arc::clone(self.deployment);
        let resource = erase(kind, move |facts| goal(&deployment, facts));
        self.nodes.push(Node { resource, toward: self.toward, after, stage: self.stage });
    }

    pub(crate) fn add_owned<T: Tagged>(
        &mut self,
        kind: T,
        goal: impl Fn(&Deployment, &Facts) -> Result<T::Goal, Error> + Send + Sync + 'static,
    ) {
        let (owner, address) = (self.owner.clone(), kind.address());
        self.add(Owned::new(kind, &owner), move |deployment, facts| {
            let (goal, mut former_tags) = (goal(deployment, facts)?, facts.recorded_tags()?);
            former_tags.extend([TAG_PROTECT, TAG_KEPT_SINCE].map(str::to_owned));
            Ok(Declared { goal, tags: owner.tags(), former_tags, was_made: facts.was_made(&address) })
        });
    }
}
