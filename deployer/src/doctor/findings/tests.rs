//! One fact at a time is changed; the finding that follows is the expected one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::*;
use crate::{
    config::parse,
    deployment::names::Names,
    engine::op::Address,
    status::{CredentialStatus, Key, Status},
};

const YAML: &str = "name: m\nregion: eu-west-1\nsecret: {name: m/smtp}\niam_user: {name: m}\n\
                    instance: {id: i-0123456789abcdef0, script: /usr/local/bin/s.sh, role: hosts}\n\
                    ses: {sender: no-reply@example.com, recipient: success@simulator.amazonses.com}\n\
                    notify: {email: ops@example.com}\n";

fn deployment() -> Deployment {
    deployment_of(YAML)
}

fn deployment_of(yaml: &str) -> Deployment {
    let config = parse(Path::new("config.yaml"), yaml).unwrap().remove(0);
    let names = Names::in_account(&config, "123456789012".into());
    Deployment::new(config, names, "c".into())
}

fn resources(state: State) -> Vec<(Address, State)> {
    use ResourceKind::{Function, InstanceAccess, Record, Rotation, Topic, Upkeep, User};
    [Function, InstanceAccess, Record, Rotation, Topic, Upkeep, User]
        .map(|kind| (Address::new(kind, "x"), state))
        .into()
}

fn report() -> Report {
    Report {
        secret: "arn".into(),
        user: "m".into(),
        rotation_enabled: true,
        open: None,
        last_rotated: None,
        next_rotation: None,
        grace_ends: None,
        overdue: None,
        notes: vec![],
        versions: vec![contract::VersionReport {
            version: "v".into(),
            labels: vec![AWSCURRENT.into(), TOLD.into()],
            created: None,
            key: None,
            problem: None,
            login: None,
        }],
        keys: vec![],
        hosts: vec![],
        next: Next::MakeKey { frees: vec![] },
        denied: Some(vec![]),
        keep_inactive_seconds: None,
    }
}

/// Everything is well.
fn healthy() -> Facts {
    let host = Host { ping: "Online".into(), agent: "3.3.3000.0".into(), platform: "Linux".into() };
    Facts {
        caller: "arn:aws:iam::123456789012:user/me".into(),
        expires: None,
        permissions: Ok(Some(Simulated { asked: 90, denied: vec![] })),
        ses: Ok(SesAccount {
            production: true,
            sending: true,
            enforcement: "HEALTHY".into(),
            sent_of_quota: Some((1.0, 50_000.0)),
        }),
        sender: Some(Ok(())),
        status: Status {
            differ_in_tags: vec![],
            was_applied: true,
            function_before: None,
            renamed_from: None,
            resources: resources(State::AsDeclared),
            credential: CredentialStatus {
                rotation_enabled: true,
                last_rotated: Some("2026-01-01T00:00:00Z".into()),
                next_rotation: Some("2026-02-01T00:00:00Z".into()),
                ..CredentialStatus::default()
            },
            keys: vec![],
            sign: None,
            report: None,
            would_fail: vec![],
            notes: vec![],
            retirements: vec![],
            foreign: vec![],
            mentions: vec![],
            may_send: Some(MaySend::Yes),
            stopped: None,
            sender_is_refused: None,
            unread: vec![],
        },
        report: Some(Ok(report())),
        hosts: Some(Ok(BTreeMap::from([("i-0123456789abcdef0".to_owned(), host)]))),
        instance_role: Some(Ok(Some(Simulated { asked: 1, denied: vec![] }))),
        denied_by_secret: vec![],
        has_password: Ok(false),
        subscriber: Ok(Some(Subscriber { has_confirmed: true, silenced: vec![] })),
    }
}

/// Before the first apply.
fn fresh() -> Facts {
    let denied = vec![denied(DeniedBy::NoPolicy)];
    Facts {
        status: Status {
            resources: resources(State::Missing),
            was_applied: false,
            credential: CredentialStatus::default(),
            ..healthy().status
        },
        report: None,
        instance_role: Some(Ok(Some(Simulated { asked: 1, denied }))),
        subscriber: Ok(None),
        ..healthy()
    }
}

fn denied(by: DeniedBy) -> Denied {
    Denied { action: "iam:CreateRole".into(), resource: "r".into(), by, unknown_keys: BTreeSet::new() }
}

#[test]
fn mail_that_ses_refuses_is_wrong_and_what_iam_cannot_tell_is_unseen() {
    let of = |may_send| {
        let facts = healthy();
        let facts = Facts { status: Status { may_send: Some(may_send), ..facts.status }, ..facts };
        let found = findings(&deployment(), &facts, SystemTime::UNIX_EPOCH);
        found.into_iter().filter(|it| it.check == Check::User).map(|it| it.verdict).collect::<Vec<_>>()
    };
    assert_eq!(of(MaySend::Yes), [Verdict::Ok]);
    assert_eq!(of(MaySend::Unseen("why".into())), [Verdict::Ok, Verdict::Unseen]);
    assert_eq!(of(MaySend::No(Refused { found: "f".into(), ways: vec![] })), [Verdict::Ok, Verdict::Wrong]);
}

fn key(id: &str) -> Key {
    Key { id: id.into(), status: "Active".into(), created: String::new(), last_used: None }
}

fn of(facts: &Facts) -> Vec<Finding> {
    findings(&deployment(), facts, SystemTime::UNIX_EPOCH)
}

/// Gives AWSCURRENT the key NOW.
fn key_in_use(facts: &mut Facts, active: bool) -> &mut Report {
    let report = facts.report.as_mut().unwrap().as_mut().unwrap();
    report.versions[0].key = Some("NOW".into());
    report.keys = vec![contract::KeyReport {
        key: "NOW".into(),
        active,
        created: None,
        last_used: None,
        last_use_is_unknown: false,
        inactive_since: None,
        verdict: contract::KeyVerdict::MustStay { reason: "hosts use it".into(), until: None, way_out: None },
    }];
    report
}

/// The findings that are not ok, as `check verdict`, with evidence and fixes.
fn not_ok(facts: &Facts) -> Vec<(String, String)> {
    let not_ok = |finding: &Finding| finding.verdict != Verdict::Ok;
    let shown = |finding: Finding| {
        let fixes: Vec<_> = finding.fix.iter().map(ToString::to_string).collect();
        let said = format!("{} | {}", finding.evidence, fixes.join(" | "));
        (format!("{:?} {:?}", finding.check, finding.verdict), said)
    };
    of(facts).into_iter().filter(not_ok).map(shown).collect()
}

#[test]
fn a_healthy_deployment_has_nothing_to_fix() {
    assert_eq!(not_ok(&healthy()), []);
    assert!(of(&healthy()).iter().all(|finding| finding.fix.is_empty()));
}

#[test]
fn what_the_first_apply_makes_is_not_yet_there_and_not_wrong() {
    let found = not_ok(&fresh());
    assert!(found.iter().all(|(what, _)| what.ends_with("NotYet") || what.ends_with("Unseen")), "{found:?}");
    let checks: Vec<_> = found.iter().map(|(what, _)| what.as_str()).collect();
    let expected = [
        "User NotYet",
        "Script Unseen",
        "InstanceRole NotYet",
        "Function NotYet",
        "Rotation NotYet",
        "Upkeep NotYet",
        "Notifications NotYet",
        "Resources NotYet",
    ];
    assert_eq!(checks, expected);
}

#[test]
fn what_an_existing_secret_holds_is_unseen_until_the_function_can_read_it() {
    let existing = deployment_of(&YAML.replace("m/smtp}", "m/smtp, existing: true}"));
    let unseen = |facts: &Facts| {
        let found = findings(&existing, facts, SystemTime::UNIX_EPOCH);
        let of_value = |finding: &&Finding| finding.check == Check::Rotation && finding.verdict == Verdict::Unseen;
        found.iter().filter(of_value).map(|finding| finding.fix[0].to_string()).collect::<Vec<_>>()
    };
    assert!(unseen(&fresh())[0].contains("\"username\": \"m\""), "{:?}", unseen(&fresh()));
    assert_eq!(unseen(&healthy()), [""; 0]);
}

/// What is changed in the facts, and words of the finding and of its fix.
type Case<'a> = (fn(&mut Facts), &'a str, &'a [&'a str]);

#[test]
fn each_thing_that_is_wrong_is_one_finding_with_its_evidence_and_its_fix() {
    let cases: [Case; 17] = [
        (
            |it| it.expires = Some(SystemTime::UNIX_EPOCH + Duration::from_mins(5)),
            "Credentials Wrong",
            &["until 1970-01-01T00:05:00Z", "renew the credentials"],
        ),
        (
            |it| {
                it.permissions = Ok(Some(Simulated { asked: 90, denied: vec![denied(DeniedBy::PermissionsBoundary)] }));
            },
            "Permissions Wrong",
            &["1 of 90 actions", "iam:CreateRole", "`deployer policy --for apply`", "permissions boundary denies"],
        ),
        (|it| it.permissions = Ok(None), "Permissions Unseen", &["`deployer policy --for apply`"]),
        (|it| it.ses.as_mut().unwrap().sending = false, "Ses Wrong", &["sends nothing", "SES's console"]),
        (|it| it.ses.as_mut().unwrap().production = false, "Ses Wrong", &["sandbox in eu-west-1", "production access"]),
        (
            |it| {
                let error = Error::new("SES does not accept mail from a@b").hint("verify the address");
                it.status.resources.push((Address::new(ResourceKind::Sender, "a@b"), State::Unknown));
                it.status.unread = vec![error.clone()];
                it.sender = Some(Err(error));
            },
            "Sender Wrong",
            &["does not accept mail from a@b", "verify the address"],
        ),
        (
            |it| {
                it.report = None;
                it.status.keys = vec![key("AKIA1"), key("AKIA2")];
            },
            "User Wrong",
            &["no slot", "aws iam delete-access-key --user-name m --access-key-id AKIA1"],
        ),
        (
            |it| {
                it.hosts
                    .as_mut()
                    .unwrap()
                    .as_mut()
                    .unwrap()
                    .values_mut()
                    .for_each(|host| host.ping = "ConnectionLost".into());
            },
            "Host Wrong",
            &["does not reach i-0123456789abcdef0: ConnectionLost", "start the instance or its agent"],
        ),
        (
            |it| it.hosts = Some(Ok(BTreeMap::new())),
            "Host Wrong",
            &["does not know i-0123456789abcdef0 in eu-west-1", "AmazonSSMManagedInstanceCore"],
        ),
        (
            |it| it.instance_role = Some(Ok(Some(Simulated { asked: 1, denied: vec![denied(DeniedBy::Statement)] }))),
            "InstanceRole Wrong",
            &["as role hosts: a policy denies it", "find the policy of role hosts that denies"],
        ),
        (
            |it| it.instance_role = Some(Ok(Some(Simulated { asked: 1, denied: vec![denied(DeniedBy::NoPolicy)] }))),
            "InstanceRole Wrong",
            &["as role hosts: no policy allows it", "`deployer policy --for instance`"],
        ),
        (
            |it| {
                let error = Error::new("Secrets Manager may not invoke function m-rotation for the secret");
                it.status.would_fail = vec![error.hint("let it")];
            },
            "Rotation Wrong",
            &["Secrets Manager may not invoke function", "let it"],
        ),
        (
            |it| it.status.credential.rotation_enabled = false,
            "Rotation Wrong",
            &["turned the rotation of secret m/smtp off", "`deployer apply`"],
        ),
        (
            |it| {
                it.status.credential.pending = Some("v2".into());
                it.status.credential.pending_is = Some(Pending::Rotation);
            },
            "Rotation Wrong",
            &["version v2 is AWSPENDING", "`deployer recover`"],
        ),
        (
            |it| it.subscriber = Ok(Some(Subscriber { has_confirmed: false, silenced: vec![] })),
            "Notifications Wrong",
            &["has not confirmed", "follow the link"],
        ),
        (
            |it| it.status.unread = vec![Error::new("failed to read role r").aws(None, None)],
            "Resources Unknown",
            &["failed to read role r"],
        ),
        (|it| it.status.unread = vec![Error::new("the key is disabled")], "Resources Wrong", &["the key is disabled"]),
    ];
    cases.into_iter().for_each(is_the_only_finding);
}

#[test]
fn what_a_policy_of_a_resource_denies_is_one_finding_with_its_fix() {
    let cases: [Case; 2] = [
        (
            |it| {
                let silenced = vec![Error::new("the topic's policy denies it").hint("take the statement out")];
                it.subscriber = Ok(Some(Subscriber { has_confirmed: true, silenced }));
            },
            "Notifications Wrong",
            &["the topic's policy denies it", "take the statement out"],
        ),
        (
            |it| {
                let error = Error::new("the resource policy denies the hosts").hint("delete it");
                it.denied_by_secret = vec![DeniedBySecret { hosts: true, error }];
            },
            "InstanceRole Wrong",
            &["denies the hosts", "delete it"],
        ),
    ];
    cases.into_iter().for_each(is_the_only_finding);
}

#[track_caller]
fn is_the_only_finding((change, expected, said): Case<'_>) {
    let mut facts = healthy();
    change(&mut facts);
    let found = not_ok(&facts);
    let [(what, words), rest @ ..] = &found[..] else { panic!("{expected}: nothing is found") };
    assert_eq!(what, expected);
    assert!(rest.iter().all(|(what, _)| what == "Script Unseen"), "{expected}: {rest:?}");
    assert!(said.iter().all(|said| words.contains(said)), "{expected}: {words}");
}

#[test]
fn what_hides_whether_the_script_ran_is_named_and_is_not_always_the_first_rotation() {
    let script = |change: fn(&mut Facts)| {
        let mut facts = healthy();
        change(&mut facts);
        let found = findings(&deployment(), &facts, SystemTime::UNIX_EPOCH);
        found.into_iter().find(|it| it.check == Check::Script).unwrap().evidence.to_string()
    };
    assert!(script(|it| it.report = Some(Err(Error::new("stopped")))).contains("the function did not say"));
    let untold = |it: &mut Facts| {
        let Some(Ok(report)) = &mut it.report else { return };
        report.versions.clear();
    };
    assert!(script(untold).contains("before every host has confirmed a credential"));
    assert!(script(|it| *it = fresh()).contains("before the first rotation"));
}

#[test]
fn a_key_in_use_that_is_inactive_is_wrong() {
    let mut facts = healthy();
    key_in_use(&mut facts, false);
    let found = not_ok(&facts);
    let [(check, said)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(check, "User Wrong");
    assert!(said.contains("NOW, which AWSCURRENT names, is Inactive") && said.contains("`deployer recover`"), "{said}");
}

#[test]
fn a_credential_that_ses_refuses_is_wrong_though_its_key_is_active_and_no_answer_is_no_proof() {
    let with = |login: contract::Login| {
        let mut facts = healthy();
        key_in_use(&mut facts, true).versions[0].login = Some(login);
        not_ok(&facts)
    };
    assert_eq!(with(contract::Login::Accepted), []);
    let found = with(contract::Login::Refused("535 invalid".into()));
    let [(check, said)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(check, "User Wrong");
    assert!(
        said.contains("535 invalid: a host that uses it cannot send") && said.contains("`deployer recover`"),
        "{said}"
    );
    let found = with(contract::Login::Unclear("timed out".into()));
    let [(check, said)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(check, "Function Wrong");
    assert!(said.contains("SES gave no answer") && said.contains("timed out"), "{said}");
}

#[test]
fn a_rotation_that_would_fail_is_told_with_the_functions_own_next_step() {
    let mut facts = healthy();
    let refusal = contract::Refusal {
        next: vec!["wait until tomorrow".into()],
        ..contract::Refusal::new(contract::RefusalKind::NoSafeSlot, "no key may be deleted", "no key was made")
    };
    facts.report.as_mut().unwrap().as_mut().unwrap().next = Next::Fail { refusal };
    let found = not_ok(&facts);
    assert_eq!(found[0].0, "Function Wrong");
    assert!(found[0].1.contains("no key may be deleted") && found[0].1.contains("wait until tomorrow"), "{found:?}");
}

#[test]
fn two_keys_in_a_grace_that_ends_before_the_next_rotation_are_nothing_wrong() {
    let mut facts = healthy();
    let report = key_in_use(&mut facts, true);
    report.next_rotation = Some("2026-02-01T00:00:00Z".into());
    report.next = Next::Fail {
        refusal: contract::Refusal {
            until: Some("2026-01-02T00:00:00Z".into()),
            ..contract::Refusal::new(contract::RefusalKind::NoSafeSlot, "no key may be deleted", "no key was made")
        },
    };
    assert_eq!(not_ok(&facts), []);
}

#[test]
fn an_agent_that_pastes_parameters_is_known_by_its_version() {
    let is_old = |version| is_before(version, AGENT);
    assert_eq!(["3.3.987.0", "3.2.9999.0", "2.3.68.0"].map(is_old), [true; 3]);
    assert_eq!(["3.3.2746.0", "3.3.3000.0", "4.0.0.0", "", "latest"].map(is_old), [false; 5]);
}

#[test]
fn what_status_calls_no_safe_state_is_wrong_although_a_rotation_would_begin() {
    let mut facts = healthy();
    let report = key_in_use(&mut facts, true);
    let told = contract::VersionReport {
        version: "told".into(),
        labels: vec![contract::AWSPREVIOUS.into(), TOLD.into()],
        key: Some("TOLD".into()),
        ..report.versions[0].clone()
    };
    report.versions[0].labels = vec![AWSCURRENT.into(), contract::DEPLOYING.into()];
    report.versions.push(told);
    report.next = Next::RollForward { version: "v".into(), key: "NOW".into() };

    let found = not_ok(&facts);
    let [(check, said)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(check, "Function Wrong");
    assert!(
        said.contains("AWSCURRENT names access key NOW") && said.contains("`deployer recover` offers to"),
        "{said}"
    );
    let script = of(&facts).into_iter().find(|finding| finding.check == Check::Script).unwrap();
    assert!(script.evidence.to_string().ends_with("which has another access key than AWSCURRENT"));
}

#[test]
fn a_script_that_a_host_could_not_run_is_wrong_whatever_an_earlier_rotation_shows() {
    let script = |exit_codes: &[i32]| {
        let found = "the script did not succeed on every host: i-1: Failed";
        let refusal = contract::Refusal {
            exit_codes: exit_codes.to_vec(),
            ..contract::Refusal::new(contract::RefusalKind::HostsFailed, found, "AWSCURRENT was not moved")
        };
        let failure = Failure::Refused(refusal);
        let mut facts = healthy();
        facts.status.sign =
            Some(LastSign::Failure(FailedStep { step: "setSecret".into(), failure, ago: Duration::from_hours(3) }));
        of(&facts).into_iter().find(|finding| finding.check == Check::Script).unwrap()
    };
    for code in [126, 127] {
        let found = script(&[1, code]);
        assert_eq!(found.verdict, Verdict::Wrong);
        let evidence = found.evidence.to_string();
        assert!(
            evidence.contains(&format!("failed in setSecret 3 h ago, on a host with exit code {code}")),
            "{found:?}"
        );
        assert!(found.fix[0].to_string().contains("test -x /usr/local/bin/s.sh"), "{found:?}");
    }
    for others in [&[1][..], &[]] {
        assert_eq!(script(others).verdict, Verdict::Ok, "{others:?}");
    }
}

#[test]
fn what_somebody_deleted_is_wrong_and_not_yet_to_come() {
    let mut facts = healthy();
    let gone = [ResourceKind::Function, ResourceKind::Upkeep];
    facts.status.resources.iter_mut().filter(|it| gone.contains(&it.0.kind)).for_each(|it| it.1 = State::Missing);
    facts.report = None;
    let wrong = |facts: &Facts| {
        let found = not_ok(facts);
        found.into_iter().map(|(what, _)| what).filter(|it| it != "Script Unseen").collect::<Vec<_>>()
    };
    let expected = ["Function Wrong", "Upkeep Wrong", "Resources Wrong"];
    assert_eq!(wrong(&facts), expected);
    // Without a record, the rotation that invokes the function tells it.
    facts.status.was_applied = false;
    assert_eq!(wrong(&facts), expected);
}

#[test]
fn a_user_that_somebody_deleted_is_wrong() {
    let mut facts = healthy();
    facts.status.resources.iter_mut().find(|it| it.0.kind == ResourceKind::User).unwrap().1 = State::Missing;
    let found = not_ok(&facts);
    let (_, said) = found.iter().find(|(what, _)| what == "User Wrong").unwrap();
    assert!(said.contains("no host can send") && said.contains("`deployer recover`"), "{said}");
}

#[test]
fn a_console_password_of_the_user_is_wrong_and_one_that_cannot_be_read_is_told() {
    let found = not_ok(&Facts { has_password: Ok(true), ..healthy() });
    assert!(found[0].0 == "User Wrong" && found[0].1.contains("delete-login-profile"), "{found:?}");
    let denied = Error::new("failed to read it").aws(Some("AccessDenied".to_owned()), None);
    let found = not_ok(&Facts { has_password: Err(denied), ..healthy() });
    assert_eq!(found[0].0, "User Unknown");
}

#[test]
fn after_a_destroy_nobody_turned_the_rotation_off() {
    let mut facts = fresh();
    facts.status.credential.last_rotated = Some("2026-01-01T00:00:00Z".into());
    facts.status.foreign = vec!["secret s is scheduled for deletion".into()];
    let found = not_ok(&facts);
    assert!(found.iter().all(|(what, _)| !what.ends_with("Wrong")), "{found:?}");
}

#[test]
fn a_rule_that_differs_in_its_tags_alone_invokes_the_function_all_the_same() {
    let mut facts = healthy();
    let rule = facts.status.resources.iter_mut().find(|it| it.0.kind == ResourceKind::Upkeep).unwrap();
    rule.1 = State::Differs;
    let rule = rule.0.clone();
    let wrong = |facts: &Facts| not_ok(facts).into_iter().any(|(what, _)| what == "Upkeep Wrong");
    assert!(wrong(&facts));
    facts.status.differ_in_tags.push(rule);
    assert!(!wrong(&facts));
}

#[test]
fn a_function_that_was_deleted_or_cannot_be_asked_is_told_once() {
    let mut facts = healthy();
    facts.status.resources[0].1 = State::Missing;
    facts.report = None;
    facts.status.unread = vec![is_not_there(&deployment().names.function, None)];
    let about_function =
        |facts: &Facts| not_ok(facts).into_iter().filter(|(_, said)| said.contains("failed to")).collect::<Vec<_>>();
    let found = about_function(&facts);
    assert!(found.len() == 1 && found[0].0 == "Function Wrong", "{found:?}");

    let mut facts = healthy();
    let throttled = || Error::new("failed to invoke function f").aws(Some("Throttled".into()), None);
    facts.report = Some(Err(throttled()));
    facts.status.unread = vec![throttled()];
    let found = about_function(&facts);
    assert!(found.len() == 1 && found[0].0 == "Function Unknown", "{found:?}");
}
