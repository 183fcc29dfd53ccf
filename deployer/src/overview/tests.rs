use contract::{DONE, Login, Next, Refusal, RefusalKind, VersionReport, WayOut};

use super::*;
use crate::{
    engine::op::{Address, ResourceKind},
    error::Error,
    rotation::{
        fixture::{self, key},
        log::{FailedStep, Failure},
    },
    sending::MaySend,
    status::CredentialStatus,
};

const DAY: u64 = 24 * 60 * 60;

fn version(id: &str, labels: &[&str], key: &str) -> VersionReport {
    VersionReport {
        version: id.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        created: None,
        key: Some(key.into()),
        problem: None,
        login: None,
    }
}

fn report() -> Report {
    let stays = |until: Option<&str>, way_out| KeyVerdict::MustStay {
        reason: "it stays".into(),
        until: until.map(str::to_owned),
        way_out,
    };
    fixture::report(
        vec![version("now", &[AWSCURRENT, DEPLOYING, TOLD], "NOW"), version("old", &[AWSPREVIOUS], "OLD")],
        vec![key("OLD", stays(Some("2026-01-02T00:00:00Z"), Some(WayOut::Leaked))), key("NOW", stays(None, None))],
    )
}

/// Two days after its second rotation, nothing is wrong.
fn healthy() -> Status {
    Status {
        resources: vec![(Address::new(ResourceKind::Function, "f"), State::AsDeclared)],
        differ_in_tags: vec![],
        was_applied: true,
        function_before: None,
        renamed_from: None,
        credential: CredentialStatus {
            rotation_enabled: true,
            last_rotated: report().last_rotated,
            next_rotation: report().next_rotation,
            ..CredentialStatus::default()
        },
        keys: vec![],
        sign: None,
        report: Some(report()),
        would_fail: vec![],
        notes: vec![],
        retirements: vec![],
        foreign: vec![],
        mentions: vec![],
        may_send: Some(MaySend::Yes),
        stopped: None,
        sender_is_refused: None,
        unread: vec![],
    }
}

fn shown(status: &Status) -> Overview {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(20_456 * DAY); // 2026-01-03
    overview(status, Duration::from_hours(72), now)
}

fn judged(status: &Status) -> (Safety, String) {
    let Overview { mail_is_safe, reason, .. } = shown(status);
    (mail_is_safe, reason.to_string())
}

#[test]
fn mail_that_ses_refuses_is_not_safe_though_the_key_is_active() {
    let refused = Refused { found: "SES refuses it".into(), ways: vec!["do that".into()] };
    let status = Status { may_send: Some(MaySend::No(refused.clone())), ..healthy() };
    assert_eq!(judged(&status), (Safety::No, "SES refuses it".to_owned()));
    assert_eq!(shown(&status).for_a_person, [Text::from("do that")]);
    let note = Text::from("SES refuses it: do that");
    let mut stopped = Status { stopped: Some(refused), notes: vec![note.clone()], ..healthy() };
    stopped.resources.push((Address::new(ResourceKind::Sender, "s"), State::AsDeclared));
    assert_eq!(shown(&stopped).for_a_person, [note], "it is told once");
    assert_eq!(judged(&Status { may_send: Some(MaySend::Unseen("why".into())), ..healthy() }).0, Safety::Yes);
    let doubtful = Status { may_send: Some(MaySend::Doubtful("why".into())), ..healthy() };
    assert_eq!(judged(&doubtful), (Safety::Look, "why".to_owned()));
}

#[test]
fn what_a_rotation_would_fail_at_comes_before_what_a_remedy_of_the_rotation_does() {
    let mut report = report();
    report.versions[0].labels.push(AWSPENDING.into());
    report.open = Some("now".into());
    let would_fail = vec![Error::new("the hosts may not read the secret").hint("put the policy back")];
    let mut status = Status { report: Some(report), would_fail, ..healthy() };
    status.credential.pending = Some("now".into());
    assert_eq!(judged(&status), (Safety::Look, "a rotation would fail: the hosts may not read the secret".to_owned()));
    assert_eq!(points(&status), ["put the policy back", "`deployer recover` shows how the rotation stands"]);
}

fn lines(status: &Status, subject: &str) -> Vec<String> {
    let overview = shown(status);
    let row = overview.rows.into_iter().find(|row| row.subject == subject);
    row.map(|row| row.lines.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn points(status: &Status) -> Vec<String> {
    shown(status).for_a_person.iter().map(ToString::to_string).collect()
}

#[test]
fn an_operator_sees_that_mail_is_safe_and_what_happens_when() {
    let status = healthy();
    let reason = "the access key in use is Active, every host has confirmed it, and the rotation is enabled. SES was not asked whether \
                  it accepts the key: `deployer doctor` asks";
    assert_eq!(judged(&status), (Safety::Yes, reason.to_owned()));
    assert_eq!(points(&status), [""; 0]);
    assert_eq!(lines(&status, "last rotation"), ["2026-01-01T00:00:00Z (2 days ago)"]);
    assert_eq!(lines(&status, "next rotation"), ["by 2026-02-01T00:00:00Z (in 29 days)"]);
    assert_eq!(lines(&status, IN_USE), ["NOW Active, made 2 days ago, never used"]);
    let fate = "will be made Inactive on 2026-01-02T00:00:00Z at the earliest, and deleted 3d later, or by a rotation before \
                that";
    assert_eq!(lines(&status, "previous key")[1], fate);
    assert_eq!(lines(&status, "read by"), ["i-1 Online, told: has confirmed the key in use"]);
}

#[test]
fn mail_is_not_safe_once_the_key_in_use_is_inactive_or_deleted_or_was_never_made() {
    let with = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        judged(&Status { report: Some(report), ..healthy() })
    };
    let (safety, reason) = with(|report| report.keys[1].active = false);
    assert_eq!(safety, Safety::No);
    assert!(reason.contains("access key NOW, which AWSCURRENT names, is Inactive"), "{reason}");
    assert!(with(|report| drop(report.keys.pop())).1.contains("is deleted"));
    assert!(with(|report| report.versions[0].key = None).1.contains("holds no credential"));
    let unreadable = |report: &mut Report| {
        let version = &mut report.versions[0];
        (version.key, version.problem) = (None, Some("not ours".into()));
    };
    assert_eq!(with(unreadable).0, Safety::No);
    // Nothing has rotated it: whoever stored it sends with it as before.
    let (safety, reason) = with(|report| {
        report.last_rotated = None;
        let version = &mut report.versions[0];
        (version.key, version.problem) = (None, Some("not ours".into()));
    });
    assert!(safety == Safety::Look && reason.contains("not ours"), "{reason}");
}

#[test]
fn a_key_that_the_function_could_not_list_is_not_called_deleted() {
    let refusal = Refusal::new(RefusalKind::Aws, "iam:ListAccessKeys failed: AccessDenied", "");
    let report = Report { keys: vec![], next: Next::Fail { refusal }, ..report() };
    let (safety, reason) = judged(&Status { report: Some(report), ..healthy() });
    assert_eq!(safety, Safety::Look);
    assert!(reason.contains("could not read what it needs") && reason.contains("AccessDenied"), "{reason}");
}

/// Its KMS key is disabled, or somebody denied the function to read it.
#[test]
fn while_the_secret_cannot_be_read_nobody_says_that_a_key_is_not_in_use_or_that_mail_is_down() {
    let refusal = Refusal::new(RefusalKind::Aws, "secretsmanager:GetSecretValue failed: DecryptionFailure", "");
    let mut report = Report { next: Next::Fail { refusal }, ..report() };
    for version in &mut report.versions {
        (version.key, version.problem) = (None, Some("DecryptionFailure".into()));
    }
    report.keys[0].last_use_is_unknown = true;
    report.keys[1].last_used = Some("2026-01-01T00:00:00Z".into());
    let status = Status { report: Some(report), ..healthy() };
    let overview = shown(&status);
    assert_eq!(overview.mail_is_safe, Safety::Look);
    assert!(overview.reason.to_string().contains("DecryptionFailure"), "{}", overview.reason);
    let keys: Vec<_> = overview.rows.iter().filter(|row| row.subject == "access key").collect();
    let [first, second] = keys.as_slice() else { panic!("{:?}", overview.rows) };
    assert!(first.lines[0].to_string().contains("its last use is not known"), "{first:?}");
    assert!(second.lines[0].to_string().contains("used "), "{second:?}");
    let hosts = overview.rows.iter().find(|row| row.subject == "read by").unwrap();
    assert!(hosts.lines[0].to_string().contains("it is not known which key it has"), "{hosts:?}");
}

#[test]
fn what_could_not_be_read_of_the_rotation_is_not_called_never_or_off() {
    let unread = |state| {
        let resources = vec![(Address::new(ResourceKind::Rotation, "r"), state)];
        let status = Status { resources, credential: CredentialStatus::default(), report: None, ..healthy() };
        let rows = shown(&status).rows;
        ["last rotation", "next rotation"]
            .map(|subject| rows.iter().find(|row| row.subject == subject).unwrap().lines[0].to_string())
    };
    assert_eq!(unread(State::Unknown), ["not known", "not known"]);
    assert_eq!(unread(State::Missing), ["never", "none: rotation is not enabled"]);
}

#[test]
fn an_apply_that_a_resource_would_refuse_is_not_the_next_step() {
    let unknown = (Address::new(ResourceKind::Rotation, "r"), State::Unknown);
    let resources = [(ResourceKind::Function, State::AsDeclared), (ResourceKind::Topic, State::Differs)]
        .map(|(kind, state)| (Address::new(kind, "x"), state));
    let of = |resources: Vec<_>| points(&Status { resources, ..healthy() }).pop().unwrap();
    assert!(of(resources.to_vec()).starts_with("`deployer plan` shows the differences"));
    let refused = of([resources.to_vec(), vec![unknown]].concat());
    assert!(refused.starts_with("once every resource can be read: `deployer plan`"), "{refused}");
}

#[test]
fn awspending_that_an_edit_left_behind_is_no_open_rotation() {
    let mut report = report();
    report.versions[0].labels.extend([AWSPENDING.into(), DONE.into(), AWSPREVIOUS.into()]);
    report.versions[0].labels.retain(|label| label != AWSCURRENT);
    report.versions[1] = version("edited", &[AWSCURRENT], "NOW");
    report.open = Some("now".into());
    let mut status = Status { report: Some(report), sign: Some(LastSign::Old), ..healthy() };
    status.credential.pending = Some("now".into());
    assert_eq!(lines(&status, "open now"), ["nothing: a completed rotation left AWSPENDING on version now"]);
    assert_eq!(points(&status), ["`deployer recover` offers to take AWSPENDING off version now"]);
    assert_eq!(lines(&status, "read by"), ["i-1 Online, told: has confirmed the key in use"]);
}

#[test]
fn an_inactive_key_in_use_is_told_with_the_commands_to_choose_from() {
    let mut report = report();
    report.keys[1].active = false;
    let points = points(&Status { report: Some(report), ..healthy() });
    assert!(points.iter().any(|point| point.contains("`deployer rotate --leaked NOW`")), "{points:?}");
    assert!(points.iter().any(|point| point.contains("`deployer recover --reactivate NOW`")), "{points:?}");
}

#[test]
fn a_key_that_ses_accepts_is_not_called_deleted_though_an_old_list_lacks_it() {
    let mut report = report();
    report.keys.retain(|key| key.key != "NOW");
    report.versions[0].login = Some(Login::Accepted);
    assert_eq!(why_no_mail(&report), None);
}

#[test]
fn what_could_not_be_read_is_looked_at_and_never_taken_for_well() {
    let unread = |error| judged(&Status { unread: vec![error], ..healthy() });
    let failed = Error::new("failed to read role r").aws(None, None);
    assert_eq!(unread(failed), (Safety::Look, "failed to read role r".to_owned()));
    assert_eq!(unread(Error::new("the key is disabled")), (Safety::Look, "the key is disabled".to_owned()));
    let unasked = Status { report: None, ..healthy() };
    assert_eq!(judged(&unasked), (Safety::Look, "the function does not say how the credential stands".to_owned()));
}

#[test]
fn a_resource_that_is_missing_is_told_with_the_commands() {
    let mut status = healthy();
    status.resources.push((Address::new(ResourceKind::Upkeep, "u"), State::Missing));
    assert_eq!(judged(&status), (Safety::Look, "1 of 2 resources is not as the file declares".to_owned()));
    assert_eq!(
        points(&status),
        ["`deployer plan` shows the differences, and `deployer apply` makes AWS as the file declares"]
    );
}

#[test]
fn before_the_first_apply_nothing_is_said_to_differ_but_to_be_missing() {
    use ResourceKind::{Function, Hosts, Record, Rotation, Secret, Sender};
    let missing = [Function, Rotation, Record].map(|kind| (Address::new(kind, "x"), State::Missing));
    // What exists before the first apply, and after a destroy.
    let there = [Hosts, Sender, Secret].map(|kind| (Address::new(kind, "x"), State::AsDeclared));
    let resources = missing.into_iter().chain(there).collect();
    let status = Status { resources, report: None, ..healthy() };
    assert_eq!(judged(&status), (Safety::Look, "nothing is deployed".to_owned()));
    let points = points(&status);
    assert!(points[0].starts_with("`deployer plan` shows what would be deployed, and `deployer apply`"), "{points:?}");
    let with_rotation = |state| {
        let mut status = Status { resources: status.resources.clone(), report: None, ..healthy() };
        status.resources[1].1 = state;
        nothing_is_deployed(&status)
    };
    assert!(with_rotation(State::Unknown) && !with_rotation(State::AsDeclared));
    let (_, reason) = judged(&Status { renamed_from: Some("mail".into()), ..status });
    assert!(reason.ends_with("deployment mail rotates the credential until then"), "{reason}");
}

#[test]
fn hosts_and_the_sender_are_not_counted_among_the_resources_of_an_apply() {
    use ResourceKind::{Function, Hosts, Role, Sender};
    let resources = [
        (Function, State::AsDeclared),
        (Role, State::Missing),
        (Hosts, State::AsDeclared),
        (Sender, State::AsDeclared),
    ];
    let resources = resources.map(|(kind, state)| (Address::new(kind, "x"), state)).into();
    let status = Status { resources, ..healthy() };
    assert_eq!(judged(&status).1, "1 of 2 resources is not as the file declares");
}

#[test]
fn a_running_rotation_or_test_is_no_reason_to_look_and_a_failed_one_is() {
    let open = |sign| {
        let mut status = Status { sign: Some(sign), ..healthy() };
        status.credential.pending = Some("new".to_owned());
        (judged(&status), lines(&status, "open now"), points(&status))
    };
    for sign in [LastSign::Fresh, LastSign::Opened, LastSign::Tested] {
        assert_eq!(open(sign).0.0, Safety::Yes);
    }
    assert_eq!(open(LastSign::Fresh).1, ["a rotation runs: version new"]);
    let failed = |failure, ago| LastSign::Failure(FailedStep { step: "createSecret".to_owned(), failure, ago });
    let failure = Failure::Other("HostsOffline".to_owned(), "i-1 is not online".to_owned());
    let (judged, _, points) = open(failed(failure, Duration::ZERO));
    let reason = "a rotation is open (version new), and failed in createSecret: HostsOffline: i-1 is not online";
    assert_eq!(judged, (Safety::Look, reason.to_owned()));
    let recover = "`deployer recover` shows how the rotation stands, and takes it to its end";
    assert_eq!(points, [recover]);

    // Hours later, somebody may have removed the cause; the function looks at some of the causes again.
    let refused = |kind| {
        let refusal = Refusal { next: vec!["start it".into()], ..Refusal::new(kind, "i-1 failed", "") };
        open(failed(Failure::Refused(refusal), Duration::from_hours(3)))
    };
    let (judged, _, points) = refused(RefusalKind::HostsFailed);
    assert!(judged.1.ends_with("and failed in createSecret 3 h ago: HostsFailed: i-1 failed"), "{}", judged.1);
    assert_eq!(points, ["unless somebody has done it since: start it", recover]);
    let (judged, _, points) = refused(RefusalKind::HostsOffline);
    assert!(judged.1.ends_with("i-1 failed. A rotation would not fail at that now"), "{}", judged.1);
    assert_eq!(points, [recover]);
}

#[test]
fn a_rotation_that_would_fail_is_looked_at_before_it_does() {
    let refusal = Refusal {
        next: vec!["start it".into()],
        ..Refusal::new(RefusalKind::HostsOffline, "i-1 is not online", "no key was made")
    };
    let report = Report { next: Next::Fail { refusal }, ..report() };
    let (safety, reason) = judged(&Status { report: Some(report), ..healthy() });
    assert_eq!(safety, Safety::Look);
    assert!(reason.contains("a rotation would fail") && reason.contains("i-1 is not online"), "{reason}");
}

#[test]
fn a_host_that_may_have_either_key_is_not_told() {
    let mut report = report();
    report.versions[0].labels = vec![AWSCURRENT.into(), TOLD.into()];
    report.versions.push(version("new", &[AWSPENDING, DEPLOYING], "NEW"));
    let told = |report| lines(&Status { report: Some(report), ..healthy() }, "read by");
    assert_eq!(told(report.clone()), ["i-1 Online, not every host is told: it may have the key in use or the new one"]);
    report.hosts.clear();
    assert_eq!(told(report), ["no host is told: programs read AWSCURRENT themselves"]);
}

#[test]
fn hosts_of_whom_no_label_tells_anything_have_confirmed_nothing() {
    let mut report = report();
    report.versions = vec![version("now", &[AWSCURRENT], "NOW"), version("old", &[AWSPREVIOUS], "OLD")];
    let (safety, reason) = judged(&Status { report: Some(report), ..healthy() });
    assert_eq!(safety, Safety::Look);
    assert!(reason.contains("the daily upkeep asks them"), "{reason}");
}

#[test]
fn what_waits_for_another_point_comes_after_it() {
    let mut report = report();
    report.keys.retain(|key| key.key == "NOW");
    report.next = Next::Fail {
        refusal: Refusal::new(RefusalKind::HostsOffline, "Systems Manager does not reach i-1", "no key was made"),
    };
    let notes = vec!["start host i-1".into(), "confirm the subscription".into()];
    let of = |report: &Report| points(&Status { report: Some(report.clone()), notes: notes.clone(), ..healthy() });
    // Nothing is left to recover then.
    report.last_rotated = Some("2026-01-01T00:00:00Z".into());
    assert_eq!(of(&report), ["start host i-1", "confirm the subscription"]);
    report.overdue = Some("the rotation is overdue".into());
    let waits = "once the cause is removed: `deployer recover`";
    assert_eq!(of(&report), ["start host i-1", "confirm the subscription", waits]);
}

#[test]
fn after_a_destroy_only_what_it_left_is_told() {
    let resources = [ResourceKind::Function, ResourceKind::Rotation, ResourceKind::Record];
    let resources = resources.map(|kind| (Address::new(kind, "x"), State::Missing)).into();
    let left = Text::from("the secret is scheduled for deletion");
    let (notes, foreign) = (vec!["start host i-1".into(), left.clone()], vec![left]);
    let points = points(&Status { resources, notes, foreign, report: None, ..healthy() });
    let [plan, left] = points.as_slice() else { panic!("{points:?}") };
    assert!(plan.starts_with("`deployer plan`") && left == "the secret is scheduled for deletion", "{points:?}");
}
