//! Laws that every kind keeps, for any goal: what is reached needs no op, what differs needs one, and nothing needs none to be gone.
//!
//! That each op may run twice, only AWS can show: the kill matrix loses the answer of every call, and the SDK makes the call again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use contract::TAG_DEPLOYMENT;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    alarm::{self, Alarm},
    document::{self, Document},
    event_invoke::{self, EventInvoke},
    function::{self, Function},
    iam::Placement,
    instance_access::{self, InstanceAccess},
    log_group::{self, LogGroup},
    permissions::{Permissions, Statement},
    powers::Attached,
    record,
    role::{self, Role},
    secret::{self, Secret},
    secret_policy::SecretPolicy,
    topic::{self, Topic},
    upkeep::{self, Upkeep},
    user::{self, User},
};
use crate::{
    config::Architecture,
    deployment::{
        Owner,
        facts::Former,
        policy,
        record::{Record, VERSION},
    },
    engine::{
        kind::{Aim, Going, Kind},
        owned::{Declared, Found, Owned, Tagged},
        tags::Tags,
    },
    package::code_sha256,
};

const OWNER: &str = "eu-west-1/mail-prod";

/// What makes two goals differ.
type Seed = (u8, u8);

/// Checks the laws of a kind: `goal` makes one from a seed, and `reached` is what is observed once a goal is reached.
fn check<K: Kind>(
    kind: &K,
    nothing: &K::Observed,
    goal: impl Fn(Seed) -> K::Goal,
    reached: impl Fn(&K::Goal) -> K::Observed,
    [one, other]: [Seed; 2],
) {
    let address = kind.address();
    let (first, second) = (goal(one), goal(other));
    let calls = |aim, observed: &K::Observed| -> Vec<String> {
        kind.decide(aim, observed).unwrap().into_iter().map(|(op, _)| op.call).collect()
    };
    let (none, former): ([&str; 0], _) = ([], Former::default());
    assert_eq!(
        calls(Aim::Absent(Going { stop_mail: true, former: &former, record: None }), nothing),
        none,
        "{address}: nothing is to be gone"
    );
    assert!(!calls(Aim::Present(&first), nothing).is_empty(), "{address}: it is not there");
    assert_eq!(calls(Aim::Present(&first), &reached(&first)), none, "{address}: the goal is reached");
    let ops = calls(Aim::Present(&first), &reached(&second));
    assert_eq!(ops.is_empty(), K::digest(&first) == K::digest(&second), "{address}: {one:?} {other:?}: {ops:?}");
}

/// As [`check`], for a kind with tags. The seed also decides a tag.
fn check_owned<T: Tagged>(
    kind: T,
    goal: impl Fn(Seed) -> T::Goal,
    reached: impl Fn(&T::Goal) -> T::Observed,
    code: impl Fn(&T::Goal) -> Tags,
    seeds: [Seed; 2],
) {
    let tags = |(_, tag): Seed| {
        Tags::from([(TAG_DEPLOYMENT.to_owned(), OWNER.to_owned()), ("team".to_owned(), format!("team {tag}"))])
    };
    let [first, second] = seeds.map(|seed| {
        let goal = goal(seed);
        let tags = [tags(seed), kind.further_tags(&goal), code(&goal)].into_iter().flatten().collect();
        Some(Found { tags, observed: reached(&goal) })
    });
    let goals = seeds.map(|seed| Declared {
        goal: goal(seed),
        tags: tags(seed),
        former_tags: BTreeSet::new(),
        was_made: false,
    });
    let owned = Owned::new(kind, &Owner::of(OWNER));
    let address = owned.address();
    let calls = |aim, observed: &Option<Found<T::Observed>>| -> Vec<String> {
        owned.decide(aim, observed).unwrap().into_iter().map(|(op, _)| op.call).collect()
    };
    let (none, former): ([&str; 0], _) = ([], Former::default());
    assert_eq!(
        calls(Aim::Absent(Going { stop_mail: true, former: &former, record: None }), &None),
        none,
        "{address}: nothing is to be gone"
    );
    assert!(!calls(Aim::Present(&goals[0]), &None).is_empty(), "{address}: it is not there");
    assert_eq!(calls(Aim::Present(&goals[0]), &first), none, "{address}: the goal is reached");
    let is_same = Owned::<T>::digest(&goals[0]) == Owned::<T>::digest(&goals[1]);
    let ops = calls(Aim::Present(&goals[0]), &second);
    assert_eq!(ops.is_empty(), is_same, "{address}: {seeds:?}: {ops:?}");
}

fn placement() -> Placement {
    Placement { path: "/".into(), boundary: None }
}

fn a_policy((seed, _): Seed) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "b", "Effect": "Allow", "Action": ["s:B", format!("s:A{seed}")], "Resource": "*"},
        {"Sid": "a", "Effect": "Deny", "Action": "s:C", "Resource": ["r"], "Condition": {"StringEquals": {"k": "v", "j": "w"}}},
    ]})
}

/// A policy as AWS might write it: keys in another order, one value as a list or alone.
fn rewritten(value: &Value, turn: usize) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            let by = turn % fields.len().max(1);
            fields.rotate_left(by);
            let field = |(key, value): (&String, &Value)| {
                let list_like = ["Action", "Resource", "Statement"].contains(&key.as_str());
                let value = match value {
                    Value::Array(items) if items.len() == 1 && list_like => rewritten(&items[0], turn + 1),
                    Value::String(_) if list_like && turn.is_multiple_of(2) => format!("[{value}]"),
                    value => rewritten(value, turn + 1),
                };
                format!("{}:{value}", json!(key))
            };
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(|item| rewritten(item, turn + 1)).collect();
            let by = turn % items.len().max(1);
            items.rotate_left(by);
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn none_of<Goal>(_: &Goal) -> Tags {
    Tags::new()
}

proptest! {
    #[test]
    fn what_is_reached_needs_no_op_what_differs_needs_one_and_nothing_needs_none_to_be_gone(
        one in any::<Seed>(), other in any::<Seed>(), turn in 0..6_usize,
    ) {
        let seeds = [one, other];
        let observed = |policy: &Value| policy::parse(&rewritten(policy, turn));
        check_owned(
            LogGroup { name: "g".into(), arn: "arn".into() },
            |(days, _)| log_group::Goal { retention_days: days.into() },
            |goal| log_group::Observed { retention: Some(goal.retention_days.try_into().unwrap()), is_protected: false },
            none_of, seeds,
        );
        check_owned(
            Role { name: "r".into(), policy_name: "p".into(), going: false, replaced_in: None },
            |seed| role::Goal { placement: placement(), trust: a_policy((0, 0)), policy: a_policy(seed) },
            |goal| role::Observed {
                placement: placement(), trust: observed(&goal.trust), policy: Some(observed(&goal.policy)),
                other_policies: vec![], attached_policies: vec![], instance_profiles: vec![],
            },
            none_of, seeds,
        );
        check_owned(
            User { name: "u".into(), policy_name: "p".into(), former_policy: None, going: false, adopts: false },
            |seed| user::Goal {
                placement: placement(), policy: a_policy(seed), serves: "eu-west-1/s".into(), known: BTreeSet::new(),
            },
            |goal| user::Observed {
                placement: placement(), policy: Some(observed(&goal.policy)), key_ids: vec![],
                powers: None,
                attached: Attached::default(), denying: Attached::default(), credentials: vec![], has_former_policy: false,
            },
            none_of, seeds,
        );
        check_owned(
            Secret { name: "s".into(), region: "eu-west-1".into(), recovery_window_days: Some(30) },
            |(key, _)| {
                let key = format!("arn:aws:kms:eu-west-1:123456789012:key/{key}");
                secret::Goal {
                    user: "u".into(), kms_key_arn: Some(key.clone()), kms_key: Some(key), under_older_keys: vec![],
                }
            },
            |goal| secret::Observed { kms_key: goal.kms_key_arn.clone(), deleted: None, replicas: vec![], policy: SecretPolicy::None },
            none_of, seeds,
        );
        check_owned(
            Topic { name: "t".into(), arn: "arn".into() },
            |(name, _)| topic::Goal { email: format!("{name}@example.com") },
            |goal| topic::Observed {
                subscriptions: vec![topic::Subscription { email: goal.email.clone(), arn: Some("arn".into()) }],
                subscribed: vec![],
                kms_key: None,
                policy: Value::Null,
            },
            none_of, seeds,
        );
        check_owned(
            Document { name: "d".into() },
            |(seconds, _)| document::Goal {
                script: "/s".into(), timeout: Duration::from_secs(seconds.into()), secret_arn_prefix: "arn:s".into(),
            },
            |goal| {
                let version = document::Version { number: "1".into(), content: goal.content() };
                document::Observed { default: version.clone(), latest: version }
            },
            none_of, seeds,
        );
        check_owned(
            Upkeep { name: "u".into(), arn: "arn".into() },
            |(name, _)| upkeep::Goal { function_arn: format!("arn{name}") },
            |goal| upkeep::Observed { rule: upkeep::goal_rule(), targets: vec![goal.target()] },
            none_of, seeds,
        );
        check_owned(
            Alarm { name: "a".into(), arn: "arn".into(), together: vec![], going: false },
            |(topic, _)| alarm::Goal {
                function: "f".into(), topic_arn: format!("arn{topic}"), watches: alarm::Watches::Errors,
            },
            |goal| alarm::Observed { alarm: goal.alarm(), parents: vec![] },
            none_of, seeds,
        );
        check_owned(
            record::Record { name: "/deployer/m".into(), lease: None },
            |(tag, _)| Record {
                version: VERSION, resources: vec![], tags: BTreeSet::from([tag.to_string()]), applied: None,
            },
            Clone::clone,
            none_of, seeds,
        );
        check_owned(
            Function { name: "f".into(), arn: "arn".into(), secret_arn_prefix: "prefix".into() },
            |(size, source)| function::Goal {
                role_arn: "role".into(), timeout: Duration::from_mins(5), memory_mb: 128 + u32::from(size),
                environment: BTreeMap::from([("KEY".into(), "value".into())]), architecture: Architecture::Arm64,
                vpc: function::Vpc::default(), source: source.to_string(), former: Former::default(),
                existing_role_needs: None, secret_is_there: true,
            },
            |goal| function::Observed {
                configuration: goal.fields().into_iter().chain(function::defaults()).collect(),
                architecture: Some("arm64".into()), code_sha256: code_sha256(goal.source.as_bytes()), failed: None,
                rotates_another: None, user: None, extras: function::Extras::default(),
            },
            |goal| function::code_tags(goal.source.clone(), goal.source.as_bytes()),
            seeds,
        );
    }

    #[test]
    fn what_carries_no_tags_keeps_the_same_laws(one in any::<Seed>(), other in any::<Seed>(), turn in 0..6_usize) {
        let seeds = [one, other];
        check(
            &InstanceAccess { role: "r".into(), policy_name: "p".into() },
            &instance_access::Observed::Role { policy: None },
            a_policy,
            |goal| instance_access::Observed::Role { policy: Some(policy::parse(&rewritten(goal, turn))) },
            seeds,
        );
        let permissions = Permissions { function: "f".into(), function_arn: "arn".into(), ids: ["a".into(), "b".into()] };
        let statement = |id: &str, source: u8| Statement {
            id: id.into(), principal: "events.amazonaws.com", source_account: Some("1".into()),
            source_arn: format!("arn{source}"),
        };
        check(
            &permissions,
            &Vec::new(),
            |(a, b)| vec![statement("a", a), statement("b", b)],
            |goal| goal.iter().map(|it| policy::parse(&rewritten(&permissions.document(it), turn))).collect(),
            seeds,
        );
        check(
            &EventInvoke { function: "f".into() },
            &None,
            |_| (),
            |()| Some(event_invoke::Observed { retries: Some(0), destinations: vec![] }),
            seeds,
        );
    }

    #[test]
    fn the_order_of_keys_and_lists_in_a_policy_never_matters(seed in any::<Seed>(), turn in 0..6_usize, again in 0..6_usize) {
        let written = a_policy(seed);
        prop_assert_eq!(policy::parse(&rewritten(&written, turn)), policy::normalized(&written));
        prop_assert_eq!(policy::parse(&rewritten(&written, turn)), policy::parse(&rewritten(&written, again)));
    }
}
