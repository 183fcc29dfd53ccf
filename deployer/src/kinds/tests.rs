//! What every owned kind must do, decided without AWS: leave alone what is not ours, and nothing once the goal is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use contract::{TAG_DEPLOYMENT, TAG_SECRET};
use serde_json::{Value, json};

use super::{
    alarm::{self, Alarm, Watches},
    document::{self, Document},
    function::{self, Function},
    iam::Placement,
    instance_access::{self, InstanceAccess},
    log_group::{self, LogGroup},
    permissions::{self, Permissions},
    powers::Attached,
    record,
    referenced_role::{self, ReferencedRole},
    referenced_secret::{self, ReferencedSecret},
    referenced_user::{self, ReferencedUser},
    role::{self, Role},
    secret::{self, Secret},
    secret_policy::SecretPolicy,
    sender::{self, Sender},
    topic::{self, Topic},
    upkeep::{self, Upkeep},
    user::{self, User},
};
use crate::{
    config::Architecture,
    deployment::{
        Owner, TAG_PROTECT,
        facts::Former,
        record::{Entry, Record, VERSION},
    },
    engine::{
        kind::{Aim, Going, Kind},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Declared, Found, Owned, Tagged},
        tags::Tags,
    },
    error::ErrorKind,
    sending::SesAccount,
};

const OURS: &str = "eu-west-1/mail-prod";

/// Checks the present/absent table of a kind, and that it never touches what carries another owner's tag, or none unless this run
/// adopts it.
fn check_ownership<T: Tagged>(kind: impl Fn() -> T, goal: T::Goal, observed: impl Fn() -> T::Observed) {
    let address = kind().address();
    let way_out = kind().hint_if_not_ours().to_string();
    let other_name =
        format!("else change {} in the configuration: two deployments cannot share {address}", T::NAME_KEY);
    let owned = Owned::new(kind(), &Owner::of(OURS));
    let goal = &mut declared(goal);
    let found = |tags: Tags| Some(Found { tags, observed: observed() });
    let tags = |owner: &str| Tags::from([(TAG_DEPLOYMENT.to_owned(), owner.to_owned())]);
    let absent = absent(true);

    for (whose, tags) in [("nobody's", Tags::new()), ("another's", tags("eu-west-1/other"))] {
        for aim in [Aim::Present(&*goal), absent] {
            let offers_adoption = T::IS_ADOPTABLE && tags.is_empty() && matches!(aim, Aim::Present(_));
            let error = owned.decide(aim, &found(tags.clone())).err();
            let error = error.unwrap_or_else(|| panic!("{address}, which is {whose}, is not left alone"));
            assert_eq!(error.kind(), ErrorKind::NotOurs, "{address}");
            assert!(error.what.contains("exists, but this deployment does not own it"), "{address}: {error:?}");
            let hints: Vec<_> = error.hints.iter().map(ToString::to_string).collect();
            let expected = if tags.is_empty() { &way_out } else { &other_name };
            assert!(hints.contains(expected), "{address}, which is {whose}: {hints:?}");
            let count = match tags.is_empty() {
                true if offers_adoption => 2,
                true => 1,
                false => 3,
            };
            assert_eq!(hints.len(), count, "{address}: {error:?}");
        }
    }
    if T::IS_ADOPTABLE {
        let entry =
            Entry { kind: address.kind, name: address.name.clone(), existing: false, declared: Some("d".into()) };
        let record = Record { version: VERSION, resources: vec![entry], tags: BTreeSet::new(), applied: None };
        let going = Going { stop_mail: true, former: &NOTHING, record: Some(&record) };
        goal.was_made = true;
        for (aim, way) in [(Aim::Present(&*goal), "plan --adopt"), (Aim::Absent(going), "apply --adopt")] {
            let error = owned.decide(aim, &found(Tags::new())).err().unwrap();
            assert!(error.what.ends_with("has lost its tag deployer:deployment"), "{address}: {error:?}");
            assert!(error.hints.len() == 1 && error.hints[0].to_string().contains(way), "{address}: {error:?}");
            let error = owned.decide(aim, &found(tags("eu-west-1/other"))).err().unwrap();
            assert!(error.what.contains("does not own it"), "{address}: {error:?}");
        }
        goal.was_made = false;
    }
    let goal = &*goal;
    let adopting = Owned::new(kind(), &Owner::of(OURS).who_adopts());
    let adopted = adopting.decide(Aim::Present(goal), &found(Tags::new()));
    if let Some(ops) = adopted.ok().filter(|_| T::IS_ADOPTABLE) {
        let (last, rest) = ops.split_last().unwrap();
        assert!(last.0.has(Effect::Adopts), "{address}: it is the deployment's once everything else is as declared");
        let makes_or_deletes = |op: &Op| op.verb != Verb::Update || op.has(Effect::Adopts);
        assert!(!rest.iter().any(|(op, _)| makes_or_deletes(op)), "{address}: what is taken over is not replaced");
    }
    let refused = |aim, tags| adopting.decide(aim, &found(tags)).err().map(|error| error.kind());
    assert_eq!(refused(Aim::Present(goal), tags("eu-west-1/other")), Some(ErrorKind::NotOurs), "{address}");
    assert_eq!(refused(absent, Tags::new()), Some(ErrorKind::NotOurs), "{address}: destroy takes nothing over");
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
        || Secret { name: "s".into(), region: "eu-west-1".into(), recovery_window_days: Some(30) },
        secret::Goal { user: "u".into(), kms_key_arn: None, kms_key: None, under_older_keys: vec![] },
        || secret::Observed { kms_key: None, deleted: None, replicas: vec![], policy: SecretPolicy::None },
    );
    check_ownership(
        || User { name: "u".into(), policy_name: "p".into(), former_policy: None, going: true, adopts: false },
        user::Goal { placement: placement(), policy: json!({}), serves: "eu-west-1/s".into(), known: BTreeSet::new() },
        || keys_only(&["AKIA"]),
    );
    check_ownership(
        || Role { name: "r".into(), policy_name: "p".into(), going: true, replaced_in: None },
        role::Goal { placement: placement(), trust: json!({}), policy: json!({}) },
        || a_role(None),
    );
    check_ownership(
        || LogGroup { name: "g".into(), arn: "arn".into() },
        log_group::Goal { retention_days: 30 },
        || log_group::Observed { retention: None, is_protected: false },
    );
    check_ownership(
        function,
        function::Goal {
            role_arn: "arn".into(),
            timeout: Duration::from_mins(5),
            memory_mb: 128,
            environment: BTreeMap::new(),
            architecture: Architecture::X86_64,
            vpc: function::Vpc::default(),
            source: "digest".into(),
            former: Former::default(),
            secret_is_there: true,
            existing_role_needs: None,
        },
        || function::Observed {
            configuration: BTreeMap::new(),
            architecture: None,
            code_sha256: String::new(),
            failed: None,
            rotates_another: None,
            user: None,
            extras: function::Extras::default(),
        },
    );
    let alarm = || alarm::Goal { function: "f".into(), topic_arn: "t".into(), watches: Watches::Errors };
    check_ownership(an_alarm, alarm(), || alarm::Observed { alarm: alarm().alarm(), parents: Vec::new() });
    check_ownership(
        || Topic { name: "t".into(), arn: "arn".into() },
        topic::Goal { email: "ops@example.com".into() },
        || topic::Observed { subscriptions: vec![], subscribed: vec![], kms_key: None, policy: Value::Null },
    );
    check_ownership(
        || Document { name: "d".into() },
        document::Goal {
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
        || Upkeep { name: "u".into(), arn: "arn".into() },
        upkeep::Goal { function_arn: "arn".into() },
        || upkeep::Observed { rule: upkeep::Rule::default(), targets: vec![] },
    );
    let nothing =
        || Record { version: VERSION, resources: vec![], tags: BTreeSet::from(["team".to_owned()]), applied: None };
    check_ownership(|| record::Record { name: "/deployer/m".into(), lease: None }, nothing(), nothing);
}

/// A kind that is in neither table would keep no law, and nobody would notice.
#[test]
fn every_kind_with_tags_is_in_the_table_of_ownership_and_in_that_of_laws() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds");
    let folders = [folder.clone(), folder.join("function")];
    let sources = folders.iter().flat_map(|it| std::fs::read_dir(it).unwrap());
    let texts = sources.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    let kinds: Vec<String> =
        texts.filter_map(|text| Some(text.split_once("\nimpl Tagged for ")?.1.split(' ').next()?.to_owned())).collect();
    assert!(kinds.len() > 9, "{kinds:?}");
    for (table, text) in [("tests.rs", include_str!("tests.rs")), ("laws.rs", include_str!("laws.rs"))] {
        let missing: Vec<_> = kinds.iter().filter(|kind| !text.contains(&format!("{kind} {{ name:"))).collect();
        assert_eq!(missing, [""; 0], "add them to {table}");
    }
}

#[test]
fn an_alarm_that_somebody_silenced_is_put_right() {
    for watches in Watches::ALL {
        let goal = alarm::Goal { function: "f".into(), topic_arn: "t".into(), watches };
        let changed = |alarm| -> Vec<String> {
            let found = Found { tags: Tags::new(), observed: alarm::Observed { alarm, parents: Vec::new() } };
            let ops = an_alarm().update(&goal, &found).unwrap();
            ops.iter().flat_map(|(op, _)| &op.changes).map(|change| change.field.clone()).collect()
        };
        assert_eq!(changed(goal.alarm()), [""; 0]);
        let mut silenced = goal.alarm();
        silenced.actions_enabled = Some(false);
        assert_eq!(changed(silenced), ["actions_enabled"]);
        let mut elsewhere = goal.alarm();
        (elsewhere.alarm_actions, elsewhere.threshold) = (None, Some(9.0));
        assert_eq!(changed(elsewhere), ["alarm_actions", "condition"]);
    }
}

/// A new alarm has no data. If that were a breach, the first apply would raise it.
#[test]
fn the_first_apply_raises_no_alarm_and_an_upkeep_that_stops_for_26_hours_is_told() {
    let alarm = |watches| alarm::Goal { function: "f".into(), topic_arn: "t".into(), watches }.alarm();
    let silence = alarm(Watches::Silence);
    assert_eq!(
        (silence.treat_missing_data(), silence.insufficient_data_actions()),
        (Some("missing"), &["t".into()][..])
    );
    let seconds = silence.period().unwrap() * silence.evaluation_periods().unwrap();
    assert_eq!(seconds, 26 * 3600);
    for watches in [Watches::Errors, Watches::Dropped] {
        let alarm = alarm(watches);
        assert_eq!((alarm.treat_missing_data(), alarm.insufficient_data_actions()), (Some("notBreaching"), &[][..]));
    }
}

fn an_alarm() -> Alarm {
    Alarm { name: "a".into(), arn: "arn".into(), together: vec!["a".into()], going: false }
}

fn declared<Goal>(goal: Goal) -> Declared<Goal> {
    Declared { goal, tags: Owner::of(OURS).tags(), former_tags: BTreeSet::new(), was_made: false }
}

static NOTHING: Former = Former { secrets: Vec::new(), functions: Vec::new(), roles: Vec::new() };

fn absent<Goal>(stop_mail: bool) -> Aim<'static, Goal> {
    Aim::Absent(Going { stop_mail, former: &NOTHING, record: None })
}

fn function() -> Function {
    Function { name: "f".into(), arn: "arn".into(), secret_arn_prefix: "prefix".into() }
}

fn placement() -> Placement {
    Placement { path: "/".into(), boundary: None }
}

#[test]
fn a_permissions_boundary_is_set_if_the_file_names_it_and_else_left_alone() {
    let address = Address::new(ResourceKind::Role, "r");
    let with = |boundary: Option<&str>| Placement { boundary: boundary.map(str::to_owned), ..placement() };
    let planned =
        |goal: &Placement, now: &Placement| goal.set_boundary(&address, "iam:Put", now).unwrap().map(|(_, arn)| arn);
    assert_eq!(planned(&with(Some("a")), &with(None)), Some("a".to_owned()));
    assert_eq!(planned(&with(Some("a")), &with(Some("b"))), Some("a".to_owned()));
    assert_eq!(planned(&with(Some("a")), &with(Some("a"))), None);
    assert_eq!(planned(&with(None), &with(Some("b"))), None);
    let elsewhere = Placement { path: "/mail/".into(), boundary: None };
    assert!(elsewhere.set_boundary(&address, "iam:Put", &placement()).is_err());
}

fn a_role(policy: Option<Value>) -> role::Observed {
    role::Observed {
        placement: placement(),
        trust: json!({}),
        policy,
        other_policies: vec!["theirs".into()],
        attached_policies: vec![],
        instance_profiles: vec![],
    }
}

#[test]
fn the_role_of_a_function_in_a_vpc_keeps_its_policy_until_lambda_has_removed_the_network_interfaces() {
    let role = Role { name: "r".into(), policy_name: "p".into(), going: true, replaced_in: None };
    let calls = |policy: Value| -> Vec<String> {
        let found = Found { tags: Tags::new(), observed: a_role(Some(policy)) };
        role.delete(&found, Going { stop_mail: false, former: &NOTHING, record: None })
            .unwrap()
            .into_iter()
            .map(|(op, _)| op.call)
            .collect()
    };
    let deletions = ["iam:DeleteRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"];
    let network =
        json!({"Statement": [{"Effect": "Allow", "Action": ["ec2:DeleteNetworkInterface"], "Resource": "*"}]});
    assert_eq!(calls(network), [&["iam:TagRole"][..], &deletions].concat());
    assert_eq!(calls(json!({"Statement": []})), deletions);
}

fn keys_only(ids: &[&str]) -> user::Observed {
    let key_ids = ids.iter().map(|&id| id.to_owned()).collect();
    user::Observed {
        placement: placement(),
        policy: None,
        has_former_policy: false,
        key_ids,
        powers: None,
        attached: Attached::default(),
        denying: Attached::default(),
        credentials: vec![],
    }
}

#[test]
fn nothing_irreversible_comes_before_what_may_block_a_users_deletion() {
    let user = User { name: "u".into(), policy_name: "p".into(), former_policy: None, going: true, adopts: false };
    let attached = Attached {
        inline_policies: vec!["theirs".into()],
        managed_policies: vec!["arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3".into()],
        groups: vec!["staff".into()],
    };
    let observed = user::Observed { policy: Some(json!({})), attached, ..keys_only(&["AKIA1", "AKIA2"]) };
    let ops = user
        .delete(&Found { tags: Tags::new(), observed }, Going { stop_mail: true, former: &NOTHING, record: None })
        .unwrap();
    let calls: Vec<&str> = ops.iter().map(|(op, _)| op.call.as_str()).collect();
    let [reversible, irreversible] = [&calls[..4], &calls[4..]];
    let expected = ["iam:RemoveUserFromGroup", "iam:DetachUserPolicy", "iam:DeleteUserPolicy", "iam:DeleteUserPolicy"];
    assert_eq!(reversible, expected);
    assert_eq!(irreversible, ["iam:DeleteAccessKey", "iam:DeleteAccessKey", "iam:DeleteUser"]);
}

#[test]
fn a_users_keys_are_deleted_only_where_mail_may_stop() {
    let user = Owned::new(
        User { name: "u".into(), policy_name: "p".into(), former_policy: None, going: true, adopts: false },
        &Owner::of(OURS),
    );
    let tags = Tags::from([(TAG_DEPLOYMENT.to_owned(), OURS.to_owned())]);
    let found = || Some(Found { tags: tags.clone(), observed: keys_only(&["AKIA"]) });
    let refused = user.decide(absent(false), &found()).err().unwrap();
    assert!(refused.hints[0].to_string().contains("--stop-mail"), "{refused:?}");
    let ops = user.decide(absent(true), &found()).unwrap();
    assert!(ops[0].0.has(crate::engine::op::Effect::StopsMail));
}

#[test]
fn new_code_is_uploaded_before_the_configuration_that_only_it_understands() {
    let kind = function();
    let goal = function::Goal {
        role_arn: "arn".into(),
        timeout: Duration::from_mins(5),
        memory_mb: 128,
        environment: BTreeMap::from([("CONSUMER".into(), "{}".into())]),
        architecture: Architecture::Arm64,
        vpc: function::Vpc::default(),
        source: "new".into(),
        former: Former::default(),
        secret_is_there: true,
        existing_role_needs: None,
    };
    let calls = |tags: Tags| -> Vec<String> {
        let observed = function::Observed {
            configuration: BTreeMap::new(),
            architecture: None,
            code_sha256: "old".into(),
            failed: None,
            rotates_another: None,
            user: None,
            extras: function::Extras::default(),
        };
        kind.update(&goal, &Found { tags, observed }).unwrap().into_iter().map(|(op, _)| op.call).collect()
    };
    let update = ["lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:TagResource"];
    assert_eq!(calls(Tags::new()), update);
    // What a deployer uploaded is kept first; what somebody else uploaded is not, or `rollback` would bring it back.
    let tags = |sha256: &str| {
        let ours = (TAG_DEPLOYMENT.to_owned(), OURS.to_owned());
        let code = [(function::TAG_SOURCE, "before"), (function::TAG_CODE, sha256)];
        code.into_iter().map(|(tag, value)| (tag.to_owned(), value.to_owned())).chain([ours]).collect::<Tags>()
    };
    assert_eq!(calls(tags("old")), [&["lambda:PublishVersion"][..], &update].concat());
    assert_eq!(calls(tags("another")), update);
}

/// Checks that a kind whose goal is reached does nothing, and that the op that brings it there is the expected one.
fn check_decision<K: Kind>(kind: &K, goal: &K::Goal, reached: &K::Observed, changed: &K::Observed, call: &str) {
    let ops = |observed| kind.decide(Aim::Present(goal), observed).unwrap();
    assert!(ops(reached).is_empty(), "{}: {:?}", kind.address(), ops(reached).first().map(|(op, _)| op));
    let planned = ops(changed);
    let calls: Vec<&str> = planned.iter().map(|(op, _)| op.call.as_str()).collect();
    assert_eq!(calls, [call], "{}", kind.address());
}

#[test]
fn a_referenced_user_gets_one_tag_and_a_user_of_another_secret_is_refused() {
    use referenced_user::Observed;
    let user = referenced_user();
    let with = |tags: Tags| Some(Observed { tags, ..nobodys_user() });
    let tags = |secret: &str| with(Tags::from([(TAG_SECRET.to_owned(), secret.to_owned())]));
    let goal = referenced_user::Goal { former_secrets: vec!["before".into()], recorded_tags: BTreeSet::new() };
    check_decision(&user, &goal, &tags("eu-west-1/s"), &with(Tags::new()), "iam:TagUser");
    check_decision(&user, &goal, &tags("eu-west-1/s"), &tags("eu-west-1/before"), "iam:TagUser");
    assert!(user.decide(Aim::Present(&goal), &tags("eu-west-1/other")).is_err());
    assert!(user.decide(Aim::Present(&goal), &None).is_err());
    let absent = absent(true);
    assert_eq!(user.decide(absent, &tags("eu-west-1/s")).unwrap()[0].0.call, "iam:UntagUser");
    assert!(user.decide(absent, &tags("eu-west-1/other")).unwrap().is_empty(), "another deployment's tag stays");
}

fn referenced_user() -> ReferencedUser {
    ReferencedUser {
        name: "u".into(),
        owner: Owner::of("eu-west-1/m"),
        policy_name: "m-send".into(),
        serves: "eu-west-1/s".into(),
        going: false,
        allow_privileged: false,
        known: BTreeSet::new(),
    }
}

fn nobodys_user() -> referenced_user::Observed {
    let powers = super::powers::Powers::default();
    referenced_user::Observed { tags: Tags::new(), powers, has_policy: false, key_ids: Vec::new() }
}

/// The tags of what deployment `m` made with a tag `team` in the file, and one of somebody else's.
fn tags_of_ours() -> Tags {
    let tags = [(TAG_DEPLOYMENT, "eu-west-1/m"), (TAG_PROTECT, "true"), ("team", "mail"), ("theirs", "x")];
    tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn removed_tags(op: &Op) -> Vec<&str> {
    op.changes.iter().filter_map(|change| change.field.strip_prefix("tags.")).collect()
}

#[test]
fn what_the_deployment_made_and_the_file_declares_existing_loses_our_tags_and_no_other() {
    let recorded_tags = BTreeSet::from(["team".to_owned()]);
    let ours = [TAG_DEPLOYMENT, TAG_PROTECT, "team"];
    let user = referenced_user();
    let mut tags = tags_of_ours();
    tags.insert(TAG_SECRET.to_owned(), "eu-west-1/s".to_owned());
    let made = || Some(referenced_user::Observed { tags: tags.clone(), ..nobodys_user() });
    let goal = referenced_user::Goal { former_secrets: Vec::new(), recorded_tags: recorded_tags.clone() };
    let ops = user.decide(Aim::Present(&goal), &made()).unwrap();
    assert_eq!(ops.iter().map(|(op, _)| removed_tags(op)).collect::<Vec<_>>(), [ours]);
    assert!(user.mention(&made()).unwrap().to_string().contains("m-send stays, because hosts send by it"));
    // Without a record, as far as is known.
    let ops = user.decide(absent(true), &made()).unwrap();
    assert_eq!(removed_tags(&ops[0].0), [TAG_DEPLOYMENT, TAG_PROTECT, TAG_SECRET]);

    let secret = ReferencedSecret {
        name: "s".into(),
        region: "eu-west-1".into(),
        owner: Owner::of("eu-west-1/m"),
        user: "u".into(),
    };
    let made = referenced_secret::Observed {
        tags: tags_of_ours(),
        standing: referenced_secret::Standing::There,
        policy: SecretPolicy::None,
    };
    let ops = secret.decide(Aim::Present(&referenced_secret::Goal { recorded_tags }), &made).unwrap();
    assert_eq!(ops.iter().map(|(op, _)| removed_tags(op)).collect::<Vec<_>>(), [ours]);
    assert!(secret.mention(&made).unwrap().to_string().contains("it is yours from this apply on"));
    let of_another = ReferencedSecret { owner: Owner::of("eu-west-1/other"), ..secret };
    assert!(of_another.decide(absent(true), &made).unwrap().is_empty() && of_another.mention(&made).is_none());
}

#[test]
fn the_policy_by_which_hosts_send_stays_on_a_user_that_stays_and_has_a_key() {
    let user = ReferencedUser { going: true, ..referenced_user() };
    let with = |keys: &[&str]| {
        let key_ids = keys.iter().map(|key| (*key).to_owned()).collect();
        Some(referenced_user::Observed { has_policy: true, key_ids, ..nobodys_user() })
    };
    assert!(user.decide(absent(true), &with(&["AKIA"])).unwrap().is_empty());
    let told = user.stays(&with(&["AKIA"])).unwrap().to_string();
    assert!(told.contains("with access key AKIA") && told.contains("delete-user-policy"), "{told}");
    assert_eq!(user.decide(absent(true), &with(&[])).unwrap()[0].0.call, "iam:DeleteUserPolicy");
    assert_eq!(user.stays(&with(&[])), None);
}

#[test]
fn what_the_file_names_as_known_is_not_told_and_everything_else_is() {
    let attached = || Attached {
        inline_policies: vec!["audit".into()],
        managed_policies: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
        groups: vec!["staff".into()],
    };
    let named = |known: &[&str]| {
        attached().without(&known.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()).named()
    };
    assert_eq!(named(&["audit", "staff"]).as_deref(), Some("policy arn:aws:iam::aws:policy/ReadOnlyAccess"));
    let all = ["audit", "arn:aws:iam::aws:policy/ReadOnlyAccess", "staff"];
    assert_eq!(named(&all), None);
    let user = |is_administrator| ReferencedUser {
        known: all.map(str::to_owned).into(),
        allow_privileged: is_administrator == Some(true),
        ..referenced_user()
    };
    for (is_administrator, told) in [(Some(false), false), (Some(true), true), (None, true)] {
        let powers = super::powers::Powers { attached: attached(), is_administrator };
        let observed = Some(referenced_user::Observed { powers, ..nobodys_user() });
        assert_eq!(user(is_administrator).note(None, &observed).is_some(), told, "{is_administrator:?}");
        assert!(referenced_user().note(None, &observed).is_some());
    }
}

#[test]
fn the_deployments_own_role_is_not_declared_existing_also_if_the_deployment_goes() {
    let role = ReferencedRole { name: "r".into(), owner: Owner::of("eu-west-1/m") };
    let of = |id: &str| referenced_role::Observed::OfDeployment(id.to_owned());
    for aim in [Aim::Present(&()), absent(true)] {
        let error = role.decide(aim, &of("eu-west-1/m")).err().unwrap();
        assert!(error.hints[0].to_string().contains("remove function.role"), "{error:?}");
    }
    assert!(role.decide(absent(true), &of("eu-west-1/other")).unwrap().is_empty());
}

#[test]
fn a_referenced_secret_has_to_be_there_and_is_never_changed() {
    use referenced_secret::{Observed, Standing};
    let secret = ReferencedSecret {
        name: "s".into(),
        region: "eu-west-1".into(),
        owner: Owner::of("eu-west-1/m"),
        user: "u".into(),
    };
    let absent = absent(true);
    let goal = referenced_secret::Goal { recorded_tags: BTreeSet::new() };
    let observed = |standing| Observed { tags: Tags::new(), standing, policy: SecretPolicy::None };
    let without_current =
        || Standing::from(DescribeSecretOutput::builder().arn("arn:aws:sm:eu-west-1:1:secret:s-1").build());
    let replica = DescribeSecretOutput::builder().arn("arn:aws:sm:eu-west-1:1:secret:s-1").primary_region("us-east-1");
    for (standing, said) in [
        (Standing::Missing, "does not exist"),
        (Standing::ScheduledForDeletion, "is scheduled for deletion"),
        (without_current(), "has no version that is AWSCURRENT"),
        (Standing::from(replica.build()), "is a replica of the secret in us-east-1"),
    ] {
        let error = secret.decide(Aim::Present(&goal), &observed(standing.clone())).err().unwrap();
        assert!(error.what.contains(said), "{error:?}");
        assert!(secret.decide(absent, &observed(standing)).unwrap().is_empty());
    }
    assert!(secret.decide(Aim::Present(&goal), &observed(Standing::There)).unwrap().is_empty());
}

#[test]
fn the_test_mails_sender_has_to_be_verified_or_a_domain_above_it() {
    let sender = Sender { address: "no-reply@mail.example.com".into(), region: "eu-west-1".into() };
    let account = SesAccount { production: true, sending: true, enforcement: "HEALTHY".into(), sent_of_quota: None };
    let decide = |observed: &[(&str, bool)]| {
        let identities = observed.iter().map(|(identity, verified)| ((*identity).to_owned(), *verified)).collect();
        let observed = sender::Observed { identities, account: account.clone() };
        sender.decide(Aim::Present(&()), &observed).map(|ops| ops.len()).map_err(|error| error.in_one_line())
    };
    assert_eq!(decide(&[("example.com", true)]), Ok(0));
    assert!(
        decide(&[("mail.example.com", false)]).unwrap_err().contains("mail.example.com exists and is not verified")
    );
    assert!(decide(&[]).unwrap_err().contains("no-reply@mail.example.com nor mail.example.com nor example.com"));
    let stopped = SesAccount { sending: false, enforcement: "SHUTDOWN".into(), ..account };
    let told = sender.note(None, &sender::Observed { identities: vec![], account: stopped }).unwrap().to_string();
    assert!(told.contains("SES sends nothing for this account"), "{told}");
}

#[test]
fn access_of_the_instance_is_put_if_it_differs_and_needs_its_role() {
    use instance_access::Observed;
    let access = InstanceAccess { role: "r".into(), policy_name: "p".into() };
    let goal = json!({"Statement": [{"Action": ["a"]}]});
    let with = |policy: Option<Value>| Observed::Role { policy };
    check_decision(&access, &goal, &with(Some(goal.clone())), &with(Some(json!({}))), "iam:PutRolePolicy");
    assert_eq!(access.decide(Aim::Present(&goal), &with(None)).unwrap()[0].0.verb, Verb::Create);
    assert!(access.decide(Aim::Present(&goal), &Observed::NoRole { spelled: None }).is_err());
    assert!(access.decide(absent(false), &Observed::NoRole { spelled: None }).unwrap().is_empty());
}

#[test]
fn a_statement_that_differs_is_replaced_and_one_of_others_is_removed() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:f";
    let ids = ["ours".to_owned(), "events".to_owned()];
    let kind = Permissions { function: "f".into(), function_arn: arn.into(), ids };
    let statement = |source: &str| permissions::Statement {
        id: "ours".into(),
        principal: "secretsmanager.amazonaws.com",
        source_account: None,
        source_arn: source.into(),
    };
    let observed = |source: &str| {
        json!({"Sid": "ours", "Effect": "Allow", "Principal": {"Service": ["secretsmanager.amazonaws.com"]},
            "Action": ["lambda:InvokeFunction"], "Resource": [arn], "Condition": {"ArnLike": {"AWS:SourceArn": source}}})
    };
    let foreign = || json!({"Sid": "somebody's"});
    let goal = vec![statement("secret")];
    let calls = |aim, observed: &Vec<Value>| -> Vec<String> {
        kind.decide(aim, observed).unwrap().into_iter().map(|(op, _)| op.call).collect()
    };
    assert!(calls(Aim::Present(&goal), &vec![observed("secret")]).is_empty());
    let replaced = ["lambda:RemovePermission", "lambda:AddPermission"];
    assert_eq!(calls(Aim::Present(&goal), &vec![observed("*")]), replaced);
    assert_eq!(calls(Aim::Present(&goal), &vec![observed("secret"), foreign()]), ["lambda:RemovePermission"]);
    assert_eq!(calls(Aim::Present(&goal), &vec![foreign()]), replaced);
    let absent = absent(false);
    assert_eq!(calls(absent, &vec![observed("secret"), foreign()]), ["lambda:RemovePermission"]);
}

#[test]
fn an_owned_kind_that_is_as_declared_has_no_op() {
    let found = |observed: log_group::Observed| {
        Some(Found { tags: Tags::from([(TAG_DEPLOYMENT.to_owned(), OURS.to_owned())]), observed })
    };
    let group = Owned::new(LogGroup { name: "g".into(), arn: "arn".into() }, &Owner::of(OURS));
    let (reached, changed) = (
        log_group::Observed { retention: Some(30), is_protected: false },
        log_group::Observed { retention: None, is_protected: false },
    );
    let goal = declared(log_group::Goal { retention_days: 30 });
    check_decision(&group, &goal, &found(reached), &found(changed), "logs:PutRetentionPolicy");
    // A foreign tag is left alone, whoever set it.
    let tagged = |extra: &str| {
        let mut tags = Tags::from([(TAG_DEPLOYMENT.to_owned(), OURS.to_owned())]);
        tags.insert(extra.to_owned(), "x".into());
        Some(Found { tags, observed: log_group::Observed { retention: Some(30), is_protected: false } })
    };
    for foreign in ["aws:cloudformation:stack-name", "other"] {
        assert!(group.decide(Aim::Present(&goal), &tagged(foreign)).unwrap().is_empty(), "{foreign}");
    }
}

#[test]
fn a_log_group_that_is_protected_is_seen_before_anything_is_deleted() {
    let group =
        LogGroup { name: "/aws/lambda/f".into(), arn: "arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/f".into() };
    let of =
        |is_protected| Found { tags: Tags::new(), observed: log_group::Observed { retention: None, is_protected } };
    let going = Going { stop_mail: false, former: &NOTHING, record: None };
    assert_eq!(group.delete(&of(false), going).unwrap().len(), 1);
    let error = group.delete(&of(true), going).map(drop).unwrap_err();
    assert!(error.hints[0].to_string().contains("--no-deletion-protection-enabled"), "{error}");
}
