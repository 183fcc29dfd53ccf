use contract::Text;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    config,
    engine::{
        op::{Address, Change, Effect, Op, ResourceKind, Verb},
        plan::{ChangedBy, Planned},
    },
};

const FILE: &str = "{name: mail, region: eu-west-1, secret: {name: s}, iam_user: {name: u}}";

const NOTHING: Allowed = Allowed { stop_mail: false, purge_secret: false, adopt: false };
const STOPS_MAIL: Allowed = Allowed { stop_mail: true, ..NOTHING };

fn config(text: &str) -> Config {
    config::parse(Path::new("c.yaml"), text).unwrap().remove(0)
}

fn identity(account_id: &str) -> Identity {
    let arn = format!("arn:aws:iam::{account_id}:role/planner");
    Identity { account_id: account_id.to_owned(), partition: "aws".to_owned(), arn, expires: None }
}

fn plan(ops: Vec<Op>) -> Plan {
    let address = Address::new(ResourceKind::Topic, "t");
    let resources = vec![Planned { address, changed_by: None, ops }];
    Plan {
        foreign: vec![],
        toward: Toward::Present,
        resources,
        notes: vec![],
        open_rotation: None,
        deletes_most_of_the_record: false,
        user_has_keys: false,
    }
}

fn reviewed(ops: Vec<Op>) -> Reviewed {
    let (at, function) = ("2026-01-01T00:00:00Z".to_owned(), Some("d1".to_owned()));
    Reviewed::new(&config(FILE), &identity("123456789012"), at, function, plan(ops))
}

fn set(from: Option<&str>, to: &str) -> Op {
    Op::new(Verb::Update, "sns:SetTopicAttributes").with("DisplayName", from.map(Value::from), Some(to.into()))
}

fn causes(result: Result<(), Vec<Error>>) -> Vec<String> {
    let errors = result.err().unwrap_or_default();
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::ChangedSincePlan));
    errors.iter().map(Error::in_one_line).collect()
}

#[test]
fn what_was_reviewed_runs_and_what_is_done_already_is_no_difference() {
    let reviewed = reviewed(vec![set(Some("a"), "b"), Op::new(Verb::Update, "sns:TagResource").sets("tags.x", "1")]);
    for left in [reviewed.plan.clone(), plan(vec![set(Some("a"), "b")]), plan(vec![])] {
        assert_eq!(causes(reviewed.check(&left, Some("d1"))), [""; 0]);
    }
}

#[test]
fn what_changed_since_the_plan_is_refused_with_the_difference() {
    let reviewed = reviewed(vec![set(Some("a"), "b")]);
    let check = |ops: Vec<Op>| causes(reviewed.check(&plan(ops), Some("d1")));
    let prefix = "topic t changed since the plan of 2026-01-01T00:00:00Z: ";
    assert_eq!(check(vec![set(Some("somebody's"), "b")]), [format!("{prefix}DisplayName was a, and is somebody's")]);
    let needs = "it now needs sns:SetTopicAttributes, which the plan does not say: DisplayName a → c";
    assert_eq!(check(vec![set(Some("a"), "c")]), [format!("{prefix}{needs}")]);
    let delete = Op::new(Verb::Delete, "sns:DeleteTopic");
    assert_eq!(check(vec![delete]), [format!("{prefix}it now needs sns:DeleteTopic, which the plan does not say")]);
    let rotates = set(Some("a"), "b").effect(Effect::RotatesNow);
    assert_eq!(check(vec![rotates]).len(), 1, "an effect that was not reviewed");
    let other = causes(reviewed.check(&plan(vec![]), Some("d2")));
    assert_eq!(other, ["the function of mail is not the one of the plan: the digest of its sources was d1, and is d2"]);
}

#[test]
fn another_file_and_another_account_are_refused_with_the_difference() {
    let saved = SavedPlan::new(Path::new("c.yaml"), NOTHING, None, vec![reviewed(vec![])]);
    let check = |texts: &[&str]| {
        let configs: Vec<_> = texts.iter().map(|text| config(text)).collect();
        causes(saved.check_file(&configs))
    };
    let same = "# a comment\nregion: eu-west-1\nname: mail\nsecret: {name: s}\niam_user: {name: u}\nprotect: false";
    assert_eq!(check(&[same]), [""; 0]);
    let changed =
        format!("{}, function: {{timeout: 10m}}, notify: {{email: a@example.org}}}}", FILE.strip_suffix("}").unwrap());
    let [difference] = check(&[&changed]).try_into().unwrap();
    assert!(difference.contains("function.timeout was "), "{difference}");
    assert!(difference.contains(r#"notify was absent, and is {"email":"a@example.org"}"#), "{difference}");
    let other = FILE.replace("mail", "other");
    let [added, removed] = check(&[&other]).try_into().unwrap();
    assert_eq!(added, "other in eu-west-1 is not in the plan: the file declares it now");
    assert_eq!(removed, "the file does not declare mail in eu-west-1 any more: the plan has it");

    let elsewhere = saved.deployments[0].check_account(&identity("999999999999")).unwrap_err();
    assert!(elsewhere.what.contains("account 999999999999, but the plan is of account 123456789012"), "{elsewhere}");
    assert_eq!(elsewhere.kind(), ErrorKind::Credentials);
}

#[test]
fn a_plan_is_told_from_a_configuration_by_its_first_field_and_overwrites_only_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let saved = SavedPlan::new(Path::new("c.yaml"), STOPS_MAIL, None, vec![reviewed(vec![set(None, "b")])]);
    let new = folder.path().join("new.json");
    saved.write(&new).unwrap();
    saved.write(&new).unwrap();
    assert_eq!(SavedPlan::read(&new).unwrap(), Some(saved.clone()));
    for (name, text) in [("c.yaml", FILE), ("empty", ""), ("other.json", r#"{"name": "deployer_plan"}"#)] {
        let path = file(name, text);
        assert_eq!(SavedPlan::read(&path).unwrap(), None);
        assert!(saved.write(&path).unwrap_err().what.ends_with("is no plan, so it is not overwritten"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    for folder in [folder.path(), &folder.path().join("none")] {
        assert_eq!(SavedPlan::read(folder).unwrap(), None, "{}", folder.display());
    }
    let newer = SavedPlan::read(&file("newer", r#"{ "deployer_plan" : 2, "more": 1}"#)).unwrap_err();
    assert!(newer.in_one_line().ends_with("its format has version 2, and this deployer knows version 1"), "{newer:?}");
    let edited = saved.to_json().replace("\"stop_mail\": true", "\"stop_mail\": true, \"force\": true");
    assert!(SavedPlan::read(&file("edited", &edited)).unwrap_err().in_one_line().contains("unknown field `force`"));
}

#[test]
fn a_plan_is_written_to_a_file_of_a_folder_that_exists_and_to_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for place in [&pipe, &link, Path::new("/dev/null"), folder.path()] {
        let error = check_may_be_written(place).unwrap_err();
        assert!(error.what.contains("is not a regular file"), "{error:?}");
    }
    for (place, cause) in [("none/plan.json", "folder "), ("pipe/plan.json", "Not a directory")] {
        let error = check_may_be_written(&folder.path().join(place)).unwrap_err();
        assert!(error.in_one_line().contains(cause) && !error.hints.is_empty(), "{error:?}");
    }
    check_may_be_written(&folder.path().join("plan.json")).unwrap();
    check_may_be_written(Path::new("no-such-plan.json")).unwrap();
}

#[test]
fn a_new_plan_is_asked_for_with_the_flags_of_the_old_one() {
    let mut deployment = reviewed(vec![]);
    let again = |deployment: &Reviewed, allowed, purge_secret| {
        let saved = SavedPlan::new(Path::new("c.yaml"), allowed, purge_secret, vec![deployment.clone()]);
        plan_again(Path::new("p.json"), &saved).to_string()
    };
    assert_eq!(again(&deployment, NOTHING, None), "deployer plan --out p.json");
    let adopts = Allowed { adopt: true, ..NOTHING };
    assert_eq!(again(&deployment, adopts, None), "deployer plan --adopt --out p.json");
    deployment.plan.toward = Toward::Absent { stop_mail: true };
    assert_eq!(again(&deployment, STOPS_MAIL, None), "deployer plan --destroy --stop-mail --out p.json");
    let purges = again(&deployment, NOTHING, Some("mail/smtp"));
    assert_eq!(purges, "deployer plan --destroy '--purge-secret=mail/smtp' --out p.json");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn op() -> impl Strategy<Value = Op> {
    let verb = prop::sample::select(vec![Verb::Create, Verb::Update, Verb::Delete]);
    let effects = vec![Effect::StopsMail, Effect::RotatesNow, Effect::UploadsCode];
    let effects = prop::sample::subsequence(effects, 0..=3);
    let change = (".{0,8}", prop::option::of(value()), prop::option::of(value()));
    let change = change.prop_map(|(field, from, to)| Change { field, from, to });
    (verb, ".{0,8}", prop::collection::vec(change, 0..3), effects).prop_map(|(verb, call, changes, effects)| Op {
        verb,
        call,
        changes,
        effects,
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let kind = prop::sample::select(vec![ResourceKind::Role, ResourceKind::LogGroup, ResourceKind::User]);
    let by = prop::option::of(prop::sample::select(vec![ChangedBy::File, ChangedBy::SomebodyElse]));
    let planned = (kind, ".{0,8}", by, prop::collection::vec(op(), 0..3))
        .prop_map(|(kind, name, changed_by, ops)| Planned { address: Address::new(kind, name), changed_by, ops });
    let toward = prop_oneof![Just(Toward::Present), any::<bool>().prop_map(|stop_mail| Toward::Absent { stop_mail }),];
    let notes = prop::collection::vec(".{0,20}".prop_map(Text::from), 0..3);
    let resources = prop::collection::vec(planned, 0..3);
    (toward, resources, notes, prop::option::of(".{0,8}"), any::<bool>(), any::<bool>()).prop_map(
        |(toward, resources, notes, open_rotation, deletes_most_of_the_record, user_has_keys)| Plan {
            foreign: vec![],
            toward,
            resources,
            notes,
            open_rotation,
            deletes_most_of_the_record,
            user_has_keys,
        },
    )
}

proptest! {
    #[test]
    fn a_saved_plan_read_back_is_the_plan(
        plans in prop::collection::vec((any_plan(), prop::option::of("[0-9a-f]{32}"), value()), 0..3),
        (stop_mail, adopt) in any::<(bool, bool)>(),
        purge_secret in prop::option::of(".{0,8}"),
    ) {
        let deployments = plans.into_iter().map(|(plan, function, configuration)| {
            Reviewed { configuration, function, plan, ..reviewed(vec![]) }
        });
        let allowed = Allowed { stop_mail, adopt, ..NOTHING };
        let saved = SavedPlan::new(Path::new("c.yaml"), allowed, purge_secret.as_deref(), deployments.collect());
        prop_assert_eq!(SavedPlan::parse(&saved.to_json()).unwrap(), saved);
    }

    #[test]
    fn a_plan_covers_itself_whatever_it_says(plan in any_plan()) {
        // Two resources of a deployment never share an address.
        prop_assume!(plan.resources.len() < 2);
        let reviewed = Reviewed { plan: plan.clone(), ..reviewed(vec![]) };
        prop_assert!(reviewed.check(&plan, Some("d1")).is_ok());
    }
}
