//! What every owned kind must do, decided without AWS: leave alone what is not ours, and nothing once the goal is reached.

use std::{collections::BTreeMap, time::Duration};

use contract::TAG_DEPLOYMENT;
use serde_json::json;

use super::{
    document::{self, Document},
    function::{self, Function},
    log_group::{self, LogGroup},
    role::{self, Role},
    secret::{self, Secret},
    topic::{self, Topic},
    upkeep::{self, Upkeep},
    user::{self, User},
};
use crate::{
    config::Architecture,
    deployment::Owner,
    engine::{
        kind::{Aim, Kind as _},
        op::Verb,
        owned::{Found, Owned, Tagged},
        tags::Tags,
    },
    error::ErrorKind,
};

const OURS: &str = "eu-west-1/mail-prod";

/// Checks the present/absent table of a kind, and that it never touches what carries another owner's tag or none.
fn check_ownership<T: Tagged>(kind: T, goal: &T::Goal, observed: impl Fn() -> T::Observed) {
    let address = kind.address();
    let way_out = kind.way_out().to_string();
    let other_name = format!("change {} in the configuration: two deployments cannot share {address}", T::NAME_KEY);
    let owned = Owned::new(kind, &Owner::of(OURS));
    let found = |tags: Tags| Some(Found { tags, observed: observed() });
    let tags = |owner: &str| Tags::from([(TAG_DEPLOYMENT.to_owned(), owner.to_owned())]);
    let absent = Aim::Absent { stop_mail: true };

    for (whose, tags) in [("nobody's", Tags::new()), ("another's", tags("eu-west-1/other"))] {
        for aim in [Aim::Present(goal), absent] {
            let error = owned.decide(aim, &found(tags.clone())).err();
            let error = error.unwrap_or_else(|| panic!("{address}, which is {whose}, is not left alone"));
            assert_eq!(error.sort(), ErrorKind::NotOurs, "{address}");
            assert!(error.what.contains("exists, but this deployment does not own it"), "{address}: {error:?}");
            let hint = error.hints[0].to_string();
            let expected = if tags.is_empty() { way_out.clone() } else { other_name.clone() };
            assert_eq!(hint, expected, "{address}, which is {whose}");
        }
    }
    let created = owned.decide(Aim::Present(goal), &None).unwrap();
    let (create, _) = created.first().unwrap();
    assert_eq!(create.verb, Verb::Create, "{address}");
    let tags_of_create = create.changes.iter().find(|change| change.field == "tags").unwrap();
    assert_eq!(tags_of_create.to.as_ref().unwrap()[TAG_DEPLOYMENT], OURS, "{address}: the tag comes with the create");
    assert!(owned.decide(absent, &None).unwrap().is_empty(), "{address}: nothing is deleted that is not there");
    let deleted = owned.decide(absent, &found(tags(OURS))).unwrap();
    assert_eq!(deleted.last().unwrap().0.verb, Verb::Delete, "{address}");
}

#[test]
fn no_owned_kind_touches_what_is_not_ours() {
    check_ownership(
        Secret { name: "s".into(), recovery_window_days: 30 },
        &secret::Goal { user: "u".into(), kms_key_arn: None, kms_key: None },
        || secret::Observed { kms_key: None, deleted: false },
    );
    check_ownership(
        User { name: "u".into(), policy_name: "p".into() },
        &user::Goal { policy: json!({}), serves: "eu-west-1/s".into(), sends_as_anybody: false },
        || user::Observed { policy: None, key_ids: vec!["AKIA".into()] },
    );
    check_ownership(
        Role { name: "r".into(), policy_name: "p".into() },
        &role::Goal { trust: json!({}), policy: json!({}) },
        || role::Observed { trust: json!({}), policy: None, other_policies: vec![], attached_policies: vec![] },
    );
    check_ownership(LogGroup { name: "g".into(), arn: "arn".into() }, &log_group::Goal { retention_days: 30 }, || {
        log_group::Observed { retention: None }
    });
    check_ownership(
        Function { name: "f".into(), arn: "arn".into() },
        &function::Goal {
            role_arn: "arn".into(),
            timeout: Duration::from_mins(5),
            memory_mb: 128,
            environment: BTreeMap::new(),
            architecture: Architecture::X86_64,
            source: "digest".into(),
        },
        || function::Observed {
            configuration: BTreeMap::new(),
            architecture: None,
            code_sha256: String::new(),
            failed: None,
        },
    );
    check_ownership(
        Topic { name: "t".into(), arn: "arn".into() },
        &topic::Goal { email: "ops@example.com".into() },
        || topic::Observed { subscriptions: vec![] },
    );
    check_ownership(
        Document { name: "d".into() },
        &document::Goal {
            script: "/s".into(),
            timeout: Duration::from_mins(2),
            secret_arn_prefix: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s".into(),
        },
        || {
            let version = document::Version { number: "1".into(), content: json!({}) };
            document::Observed { default: version.clone(), latest: version }
        },
    );
    check_ownership(
        Upkeep { name: "u".into(), arn: "arn".into() },
        &upkeep::Goal { function_arn: "arn".into() },
        || upkeep::Observed { rule: upkeep::Rule::default(), targets: vec![] },
    );
}

#[test]
fn a_users_keys_are_deleted_only_where_mail_may_stop() {
    let user = Owned::new(User { name: "u".into(), policy_name: "p".into() }, &Owner::of(OURS));
    let tags = Tags::from([(TAG_DEPLOYMENT.to_owned(), OURS.to_owned())]);
    let found =
        || Some(Found { tags: tags.clone(), observed: user::Observed { policy: None, key_ids: vec!["AKIA".into()] } });
    let refused = user.decide(Aim::Absent { stop_mail: false }, &found()).err().unwrap();
    assert!(refused.hints[0].to_string().contains("--stop-mail"), "{refused:?}");
    let ops = user.decide(Aim::Absent { stop_mail: true }, &found()).unwrap();
    assert!(ops[0].0.has(crate::engine::op::Effect::StopsMail));
}

#[test]
fn new_code_is_uploaded_before_the_configuration_that_only_it_understands() {
    let kind = Function { name: "f".into(), arn: "arn".into() };
    let goal = function::Goal {
        role_arn: "arn".into(),
        timeout: Duration::from_mins(5),
        memory_mb: 128,
        environment: BTreeMap::from([("CONSUMER".into(), "{}".into())]),
        architecture: Architecture::Arm64,
        source: "new".into(),
    };
    let observed = function::Observed {
        configuration: BTreeMap::new(),
        architecture: None,
        code_sha256: "old".into(),
        failed: None,
    };
    let ops = kind.update(&goal, &Found { tags: Tags::new(), observed }).unwrap();
    let calls: Vec<&str> = ops.iter().map(|(op, _)| op.call.as_str()).collect();
    assert_eq!(calls, ["lambda:UpdateFunctionCode", "lambda:TagResource", "lambda:UpdateFunctionConfiguration"]);
}
