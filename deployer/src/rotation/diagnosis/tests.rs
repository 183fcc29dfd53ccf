use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, DONE, KeyVerdict, Login, Next, Refusal, RefusalKind, TOLD, VersionReport,
    WayOut,
};

use super::*;
use crate::rotation::fixture;

const REFUSED: &str = "permanent error (535): Authentication Credentials Invalid";
const UNANSWERED: &str = "transient error (454): Temporary authentication failure";

/// A deployment after its second rotation, in whose grace nothing is wrong but that no further rotation can run.
fn healthy() -> Report {
    fixture::report(vec![], vec![])
        .version("now", &[AWSCURRENT, DEPLOYING, TOLD], "NOW")
        .version("old", &[AWSPREVIOUS], "OLD")
        .key("NOW", stays(None))
        .key("OLD", stays(None))
}

/// As `healthy`, and a rotation to `new` is open, whose credential SES accepts.
fn open() -> Report {
    let report =
        healthy().without_key("OLD").label("now", &[AWSCURRENT, TOLD]).version("new", &[AWSPENDING, DEPLOYING], "NEW");
    Report { open: Some("new".into()), next: Next::Resume { key: "NEW".into() }, ..report }.key("NEW", stays(None))
}

/// As `open`, and somebody took AWSPENDING away.
fn cleared() -> Report {
    let next = Next::RollForward { version: "new".into(), key: "NEW".into() };
    Report { open: None, next, ..open().label("new", &[DEPLOYING]) }
}

/// A rotation to `new` completed, and somebody moved AWSCURRENT back.
fn rolled_back() -> Report {
    Report { next: fails(Obstacle::CrossedLabels, None), ..cleared().label("new", &[DEPLOYING, AWSPREVIOUS]) }
}

/// As `rolled_back`, and AWSPENDING is still where the rotation left it.
fn rolled_back_open() -> Report {
    Report { open: Some("new".into()), ..rolled_back().label("new", &[AWSPENDING, DEPLOYING, AWSPREVIOUS]) }
}

fn stays(way_out: Option<WayOut>) -> KeyVerdict {
    KeyVerdict::MustStay { reason: "it stays".into(), until: None, way_out }
}

/// A refusal of a kind that is such an obstacle.
fn fails(obstacle: Obstacle, until: Option<&str>) -> Next {
    let kind = match obstacle {
        Obstacle::CrossedLabels => RefusalKind::RolledBack,
        Obstacle::PendingVersion => RefusalKind::PendingKeyGone,
        Obstacle::NoSafeSlot => RefusalKind::NoSafeSlot,
        Obstacle::Unread => RefusalKind::Aws,
        Obstacle::Other => RefusalKind::HostsOffline,
    };
    Next::Fail { refusal: Refusal { until: until.map(Into::into), ..Refusal::new(kind, "no.", "") } }
}

trait Changed {
    fn version(self, version: &str, labels: &[&str], key: &str) -> Self;
    fn label(self, version: &str, labels: &[&str]) -> Self;
    fn without_value(self, version: &str) -> Self;
    fn login(self, version: &str, login: Login) -> Self;
    fn key(self, key: &str, verdict: KeyVerdict) -> Self;
    fn without_key(self, key: &str) -> Self;
    fn inactive(self, key: &str) -> Self;
    fn next(self, next: Next) -> Self;
}

impl Changed for Report {
    fn version(mut self, version: &str, labels: &[&str], key: &str) -> Self {
        self.versions.push(VersionReport {
            version: version.into(),
            labels: labels.iter().map(|&label| label.into()).collect(),
            created: Some("2026-01-01T00:00:00Z".into()),
            key: Some(key.into()),
            problem: None,
            login: Some(Login::Accepted),
        });
        self
    }

    fn label(mut self, version: &str, labels: &[&str]) -> Self {
        let found = self.versions.iter_mut().find(|it| it.version == version).unwrap();
        found.labels = labels.iter().map(|&label| label.into()).collect();
        self
    }

    fn without_value(mut self, version: &str) -> Self {
        let found = self.versions.iter_mut().find(|it| it.version == version).unwrap();
        (found.key, found.login, found.created) = (None, None, None);
        self
    }

    fn login(mut self, version: &str, login: Login) -> Self {
        self.versions.iter_mut().find(|it| it.version == version).unwrap().login = Some(login);
        self
    }

    fn key(mut self, key: &str, verdict: KeyVerdict) -> Self {
        self.keys.push(fixture::key(key, verdict));
        self
    }

    fn without_key(mut self, key: &str) -> Self {
        self.keys.retain(|it| it.key != key);
        self.with_logins_of(key, refused)
    }

    fn inactive(mut self, key: &str) -> Self {
        self.keys.iter_mut().find(|it| it.key == key).unwrap().active = false;
        self.with_logins_of(key, refused)
    }

    fn next(self, next: Next) -> Self {
        Self { next, ..self }
    }
}

trait Logins {
    fn with_logins_of(self, key: &str, login: impl Fn() -> Login) -> Self;
}

impl Logins for Report {
    fn with_logins_of(mut self, key: &str, login: impl Fn() -> Login) -> Self {
        for version in self.versions.iter_mut().filter(|it| it.key.as_deref() == Some(key)) {
            version.login = Some(login());
        }
        self
    }
}

fn refused() -> Login {
    Login::Refused(REFUSED.into())
}

fn unanswered() -> Login {
    Login::Unclear(UNANSWERED.into())
}

fn clear() -> Remedy {
    Remedy::ClearPending { version: "new".into(), owes_a_rotation: true }
}

fn moves(label: &'static str, from: &str, to: &str) -> Remedy {
    Remedy::MoveLabel { label, from: from.into(), to: to.into() }
}

fn orphan() -> Remedy {
    Remedy::DeleteOrphan { key: "ORPHAN".into(), created: Some("2026-01-01T00:00:00Z".into()) }
}

/// The remedies of a diagnosis; none if there is nothing to do or nothing that is safe.
fn remedies(report: &Report) -> Vec<Remedy> {
    match diagnose(report, Known::default()) {
        Diagnosis::Curable { first, then, .. } => std::iter::once(first).chain(then).collect(),
        Diagnosis::Healthy { .. } | Diagnosis::Person { .. } => Vec::new(),
    }
}

/// What a person is told, and the commands to choose from.
fn person(report: &Report, owed: Option<Owed>) -> (String, Vec<String>) {
    match diagnose(report, Known { owed, ..Known::default() }) {
        Diagnosis::Person { found, ways } => {
            (found.to_string(), ways.into_iter().map(|way| way.command.to_string()).collect())
        }
        other => panic!("not a person's to decide: {other:?}"),
    }
}

#[test]
fn every_stuck_state_that_can_be_cured_has_its_remedies_in_their_order() {
    let grace = || fails(Obstacle::NoSafeSlot, Some("2026-01-02T00:00:00Z"));
    let only_now = || healthy().without_key("OLD");
    let table: [(&str, Report, &[Remedy]); 16] = [
        ("open, accepted", open(), &[clear(), Remedy::Rotate]),
        (
            "open, empty",
            open().label("now", &[AWSCURRENT, DEPLOYING]).label("new", &[AWSPENDING]).without_value("new"),
            &[clear(), Remedy::Rotate],
        ),
        ("open, labelled and empty", open().without_value("new"), &[clear(), Remedy::Rotate]),
        (
            "open, moved back and DEPLOYING with it",
            open().label("now", &[AWSCURRENT, DEPLOYING]).label("new", &[AWSPENDING, AWSPREVIOUS]),
            &[Remedy::ClearPending { version: "new".into(), owes_a_rotation: false }],
        ),
        ("open, empty, and no slot is free", open().without_value("new").next(grace()), &[clear()]),
        (
            "open, key deleted",
            open().without_key("NEW").next(fails(Obstacle::PendingVersion, None)),
            &[clear(), Remedy::Rotate],
        ),
        ("open, and current is deleted", open().without_key("NOW"), &[clear(), Remedy::Rotate]),
        ("current is deleted", healthy().without_key("NOW"), &[Remedy::Rotate]),
        ("current is refused for good", healthy().login("now", refused()), &[Remedy::Rotate]),
        ("cleared", cleared(), &[Remedy::Rotate]),
        ("cleared, key deleted", cleared().without_key("NEW").next(Next::MakeKey { frees: vec![] }), &[Remedy::Rotate]),
        ("rolled back, only current works", rolled_back().login("new", refused()), &[moves(DEPLOYING, "new", "now")]),
        (
            "rolled back with AWSPENDING, only deploying works",
            rolled_back_open().without_key("NOW"),
            &[moves(AWSCURRENT, "now", "new")],
        ),
        ("rolled back, only deploying works", rolled_back().without_key("NOW"), &[moves(AWSCURRENT, "now", "new")]),
        (
            "an orphan in the slot",
            only_now().key("ORPHAN", stays(Some(WayOut::RetireOrphan))).next(fails(Obstacle::NoSafeSlot, None)),
            &[orphan()],
        ),
        ("overdue", Report { overdue: Some("It is overdue.".into()), ..only_now() }, &[Remedy::Rotate]),
    ];
    for (state, report, expected) in table {
        assert_eq!(remedies(&report), expected, "{state}: {:?}", diagnose(&report, Known::default()));
    }
}

#[test]
fn what_is_not_safe_is_left_to_a_person() {
    let table = [
        (
            "rotation off",
            Report { rotation_enabled: false, ..healthy() },
            "is off in Secrets Manager",
            "deployer apply",
        ),
        (
            "the keys cannot be read",
            open().without_key("NEW").without_key("NOW").next(fails(Obstacle::Unread, None)),
            "could not read what it needs to judge the rotation: Aws: no.",
            "deployer recover",
        ),
        ("open, refused", open().login("new", refused()), "does not accept", "delete-access-key"),
        ("open, unanswered", open().login("new", unanswered()), "does not say whether it accepts", "deployer recover"),
        ("open, host offline", open().next(fails(Obstacle::Other, None)), "HostsOffline: no.", "deployer recover"),
        (
            "open and empty, host offline",
            open().without_value("new").next(fails(Obstacle::Other, None)),
            "cannot continue yet: HostsOffline: no.",
            "deployer recover",
        ),
        ("cleared, refused", cleared().login("new", refused()), "does not accept", "delete-access-key"),
        ("host offline", healthy().next(fails(Obstacle::Other, None)), "HostsOffline: no.", "deployer recover"),
        (
            "rolled back with AWSPENDING, both work",
            rolled_back_open(),
            "hosts may use either",
            "--version-stage AWSCURRENT",
        ),
        (
            "rolled back, and the next rotation is open",
            Report {
                open: Some("empty".into()),
                ..rolled_back().version("empty", &[AWSPENDING], "").without_value("empty")
            },
            "hosts may use either",
            "--version-stage DEPLOYING",
        ),
        (
            "stored by another tool",
            open().label("new", &[AWSPENDING]),
            "only you know whether a host has access key NEW",
            "--version-stage DEPLOYING --move-to-version-id new",
        ),
        (
            "stored by another tool, unanswered",
            open().label("new", &[AWSPENDING]).login("new", unanswered()),
            "does not say whether it accepts",
            "deployer recover",
        ),
        (
            "not listed, unanswered",
            open().without_key("NEW").login("new", unanswered()),
            "does not say whether it accepts",
            "deployer recover",
        ),
        ("rolled back, both work", rolled_back(), "hosts may use either", "--version-stage AWSCURRENT"),
        (
            "rolled back, one is not answered",
            rolled_back().login("new", unanswered()),
            "hosts may use either",
            "--version-stage DEPLOYING",
        ),
        (
            "rolled back, neither works",
            rolled_back().login("new", refused()).login("now", refused()),
            "hosts may use either",
            "--version-stage DEPLOYING",
        ),
        ("current unanswered", healthy().login("now", unanswered()), "gave no answer", "deployer recover"),
        (
            "current deleted, and no slot",
            healthy().without_key("NOW").next(fails(Obstacle::NoSafeSlot, Some("2026-01-02T00:00:00Z"))),
            "cannot run before 2026-01-02T00:00:00Z",
            "deployer recover",
        ),
        (
            "the other key is still used",
            healthy()
                .without_key("OLD")
                .key("OLD", stays(Some(WayOut::Leaked)))
                .next(fails(Obstacle::NoSafeSlot, None)),
            "NoSafeSlot: no.",
            "deployer rotate --leaked OLD",
        ),
    ];
    for (state, report, text, command) in table {
        let (found, commands) = person(&report, None);
        assert!(found.contains(text), "{state}: {found}");
        assert!(commands.iter().any(|it| it.contains(command)), "{state}: {commands:?}");
    }
}

/// It may be Inactive because it leaked.
#[test]
fn only_a_person_makes_a_key_active_again() {
    let (found, commands) = person(
        &rolled_back().label("new", &[DEPLOYING, TOLD, AWSPREVIOUS]).label("now", &[AWSCURRENT]).inactive("NOW"),
        None,
    );
    assert!(found.contains("access key NOW, which AWSCURRENT names, is Inactive"), "{found}");
    assert!(commands[0].contains("AWSCURRENT --move-to-version-id new --remove-from-version-id now"), "{commands:?}");
    assert_eq!(commands[1..], ["deployer recover --reactivate NOW"]);
    let off = |report| Report { rotation_enabled: false, ..report };
    for report in [healthy().inactive("NOW"), open().inactive("NOW"), off(healthy().inactive("NOW"))] {
        let (found, commands) = person(&report, None);
        assert!(found.contains("access key NOW, which AWSCURRENT names, is Inactive"), "{found}");
        assert_eq!(commands, ["deployer rotate --leaked NOW", "deployer recover --reactivate NOW"]);
    }
    // There is no slot for another key.
    let (_, commands) = person(&healthy().inactive("NOW").next(fails(Obstacle::NoSafeSlot, None)), None);
    let delete = "aws iam delete-access-key --user-name mail --access-key-id NOW";
    assert_eq!(commands, [delete, "deployer recover --reactivate NOW"]);
    let slot = fails(Obstacle::NoSafeSlot, None);
    let pending = fails(Obstacle::PendingVersion, None);
    for report in [cleared().inactive("NEW").next(slot), open().inactive("NEW").next(pending)] {
        let (found, commands) = person(&report, None);
        assert!(found.contains("access key NEW") && found.contains("Inactive"), "{found}");
        let delete = "aws iam delete-access-key --user-name mail --access-key-id NEW";
        assert_eq!(commands, [delete, "deployer recover --reactivate NEW", "deployer recover"]);
    }
}

#[test]
fn whoever_made_awscurrents_key_active_again_is_not_asked_which_credential_the_hosts_are_to_have() {
    let reactivated = Known { reactivated: Some("NOW"), ..Known::default() };
    let told = |labels: &[&str]| rolled_back().label("now", &[AWSCURRENT]).label("new", labels);
    let confirmed = told(&[DEPLOYING, TOLD, AWSPREVIOUS]);
    let Diagnosis::Curable { first, .. } = diagnose(&confirmed, reactivated) else { panic!("asks again") };
    assert_eq!(first, moves(DEPLOYING, "new", "now"));
    // Without TOLD, DEPLOYING alone protects the key that some hosts may have.
    for (report, known) in [(confirmed, Known::default()), (told(&[DEPLOYING, AWSPREVIOUS]), reactivated)] {
        assert!(matches!(diagnose(&report, known), Diagnosis::Person { .. }));
    }
}

#[test]
fn a_credential_that_gave_no_answer_is_never_taken_for_dead() {
    let (_, commands) = person(&open().login("new", unanswered()), None);
    assert_eq!(commands, ["deployer recover"]);
}

#[test]
fn the_commands_for_crossed_labels_are_complete() {
    let (_, commands) = person(&rolled_back(), None);
    let command = "aws secretsmanager update-secret-version-stage --secret-id arn --version-stage";
    assert_eq!(
        commands,
        [
            format!("{command} AWSCURRENT --move-to-version-id new --remove-from-version-id now"),
            format!("{command} DEPLOYING --move-to-version-id now --remove-from-version-id new"),
        ]
    );
}

#[test]
fn within_the_grace_a_deployment_is_healthy_and_says_until_when_it_cannot_rotate() {
    assert_eq!(diagnose(&healthy(), Known::default()), Diagnosis::Healthy { note: None });
    let in_grace = healthy()
        .without_key("OLD")
        .key("OLD", stays(Some(WayOut::Leaked)))
        .next(fails(Obstacle::NoSafeSlot, Some("2026-01-02T00:00:00Z")));
    let Diagnosis::Healthy { note: Some(note) } = diagnose(&in_grace, Known::default()) else { panic!("not healthy") };
    let note = note.to_string();
    assert!(note.contains("2026-01-02T00:00:00Z") && note.contains("deployer rotate --leaked OLD"), "{note}");
}

#[test]
fn a_key_that_keeps_the_slot_for_longer_than_the_next_rotation_can_wait_is_not_healthy() {
    let late_use = healthy().next(fails(Obstacle::NoSafeSlot, Some("2026-02-15T00:00:00Z")));
    let (found, _) = person(&late_use, None);
    assert!(
        found.starts_with("the next rotation has to end by 2026-02-01T00:00:00Z, but a rotation would fail"),
        "{found}"
    );
}

#[test]
fn a_rotation_that_was_given_up_is_made_once_it_can_be() {
    let rotate = Diagnosis::Curable {
        found: "the rotation that was given up still has to be made".into(),
        first: Remedy::Rotate,
        then: Vec::new(),
    };
    assert_eq!(diagnose(&healthy(), Known { owed: Some(Owed::GivenUp), ..Known::default() }), rotate);
    let in_the_grace = || healthy().next(fails(Obstacle::NoSafeSlot, Some("2026-01-02T00:00:00Z")));
    let (found, _) = person(&in_the_grace(), Some(Owed::OnCreate));
    assert!(found.contains("cannot run before 2026-01-02T00:00:00Z"), "{found}");
    // Nothing is wrong but the time.
    let given_up = Known { owed: Some(Owed::GivenUp), ..Known::default() };
    let Diagnosis::Healthy { note: Some(note) } = diagnose(&in_the_grace(), given_up) else { panic!("not healthy") };
    let note = note.to_string();
    assert!(note.contains("before 2026-01-02T00:00:00Z") && note.contains("`deployer rotate`"), "{note}");
}

#[test]
fn another_field_edited_by_hand_is_no_half_done_rotation() {
    let edited = healthy().label("now", &[DEPLOYING, TOLD, AWSPREVIOUS]).version("edited", &[AWSCURRENT], "NOW");
    assert_eq!(diagnose(&edited, Known::default()), Diagnosis::Healthy { note: None });
}

/// A completed rotation leaves AWSPENDING on its version, and the edit takes AWSCURRENT off it.
#[test]
fn an_edit_after_a_rotation_is_one_credential_and_is_never_discarded() {
    let left = [AWSPENDING, DEPLOYING, TOLD, DONE, AWSPREVIOUS];
    let edited = healthy().label("now", &left).version("edited", &[AWSCURRENT], "NOW");
    let edited = Report { open: Some("now".into()), next: fails(Obstacle::CrossedLabels, None), ..edited };
    let clear = Remedy::ClearPending { version: "now".into(), owes_a_rotation: false };
    assert_eq!(remedies(&edited), [clear]);
    // Of two passwords of one key, only one works.
    let wrong_password = edited.clone().login("edited", refused());
    assert_eq!(remedies(&wrong_password), [moves(AWSCURRENT, "edited", "now")]);
    let rolled_back = edited.label("edited", &[]).label("old", &[AWSCURRENT]);
    assert!(person(&rolled_back, None).0.contains("hosts may use either"));
}

#[test]
fn a_value_that_is_no_credential_is_never_offered() {
    let broken = |labels: &[&str]| {
        let mut report = healthy().label("now", labels).version("broken", &[AWSCURRENT], "").without_value("broken");
        report.versions.last_mut().unwrap().problem = Some("it is not JSON".into());
        report
    };
    let malformed = |report: Report| {
        let Next::Fail { refusal } = fails(Obstacle::Other, None) else { unreachable!() };
        report.next(Next::Fail { refusal: Refusal { kind: RefusalKind::MalformedSecret, ..refusal } })
    };
    let back = [moves(AWSCURRENT, "broken", "now")];
    assert_eq!(remedies(&malformed(broken(&[DEPLOYING, TOLD, AWSPREVIOUS]))), back);
    let left_open = broken(&[AWSPENDING, DEPLOYING, TOLD, DONE, AWSPREVIOUS]);
    let left_open = Report { open: Some("now".into()), next: fails(Obstacle::CrossedLabels, None), ..left_open };
    assert_eq!(remedies(&left_open), back);
    // Nothing else works: only the value can be corrected.
    let (found, commands) = person(&malformed(broken(&[AWSPREVIOUS])), None);
    assert!(found.contains("MalformedSecret") && found.contains("cannot be used: it is not JSON"), "{found}");
    assert_eq!(commands, ["deployer recover"]);
    // Also if a rotation would only have to wait.
    let waits = broken(&[AWSPREVIOUS]).next(fails(Obstacle::NoSafeSlot, Some("2026-01-02T00:00:00Z")));
    assert!(person(&waits, None).0.contains("cannot be used: it is not JSON"));
    // After AWSCURRENT has moved back, the broken value is AWSPREVIOUS, and a rotation still refuses it.
    let moved = broken(&[]).label("broken", &[AWSPREVIOUS]).label("now", &[AWSCURRENT, DEPLOYING, TOLD]);
    let (_, commands) = person(&malformed(moved), None);
    let off = "aws secretsmanager update-secret-version-stage --secret-id arn --version-stage AWSPREVIOUS \
               --remove-from-version-id broken";
    assert_eq!(commands, [off, "deployer recover"]);
    // A placeholder is no credential either.
    let empty = rolled_back().without_value("now").without_key("NOW");
    assert_eq!(remedies(&empty), [moves(AWSCURRENT, "now", "new")]);
}

#[test]
fn what_not_every_host_has_confirmed_is_not_healthy() {
    let moved_forward = healthy().label("now", &[AWSCURRENT, DEPLOYING]).label("old", &[AWSPREVIOUS, TOLD]);
    let before_told = healthy().label("now", &[AWSCURRENT, DEPLOYING]);
    for (report, words) in
        [(moved_forward, "version old (access key OLD)"), (before_told, "no version is labelled TOLD")]
    {
        let Diagnosis::Curable { found, first: Remedy::Rotate, .. } = diagnose(&report, Known::default()) else {
            panic!("{words}")
        };
        assert!(found.to_string().contains(words), "{found}");
        let (found, _) = person(&report.next(fails(Obstacle::Other, None)), None);
        assert!(found.contains(words) && found.contains("would fail"), "{found}");
    }
    let brownfield = healthy().label("now", &[AWSCURRENT]);
    assert_eq!(diagnose(&brownfield, Known::default()), Diagnosis::Healthy { note: None });
}

#[test]
fn a_secret_that_was_never_rotated_is_healthy_and_its_first_credential_is_named() {
    let mut placeholder = healthy().without_value("now").without_key("NOW").without_key("OLD");
    placeholder.last_rotated = None;
    let Diagnosis::Healthy { note: Some(note) } = diagnose(&placeholder, Known::default()) else {
        panic!("not healthy")
    };
    assert!(note.to_string().contains("`deployer rotate` makes the first"), "{note}");
}

/// A test of the rotation settings has a version with the credential in use; so has an edit of another field by `put-secret-value`.
#[test]
fn a_pending_version_that_repeats_the_credential_in_use_is_no_other_tools() {
    let tested = |labels: &[&str]| {
        let report = healthy().version("test", labels, "NOW");
        Report { open: Some("test".into()), next: fails(Obstacle::PendingVersion, None), ..report }
    };
    let clear = Remedy::ClearPending { version: "test".into(), owes_a_rotation: false };
    assert_eq!(remedies(&tested(&[AWSPENDING])), std::slice::from_ref(&clear));
    assert_eq!(remedies(&tested(&[AWSPENDING]).login("test", Login::Unclear(UNANSWERED.into()))), [clear]);
    let others = healthy().version("other", &[AWSPENDING], "OLD");
    assert!(remedies(&Report { open: Some("other".into()), ..others }).is_empty());
}
