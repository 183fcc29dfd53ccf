//! The event `report`: how everything stands, and what createSecret would do. It changes nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use contract::{
    AWSCURRENT, Denial, HostReport, KeyReport, KeyVerdict, LOGIN_GATE_SECONDS, Login, Next, Report, Text,
    VersionReport, is_quarantined, parse_hosts_label,
};

use crate::{
    date::date,
    decide::{
        keys::{self, AccessKey, MustStay, Removal, Situation, UsedKey, Verdict},
        settled,
    },
    error::Error,
    events::passwords,
    guard,
    invocation::Invocation,
    services::{
        consumer,
        secret::{self, Secret, Version},
        smtp::{Credential, Smtp},
        user,
    },
    situation,
    steps::{
        completed,
        create_secret::{self, Decision},
    },
};

/// What was read of every labelled version: its value, none if it is empty, or why it cannot be read.
type Values<'a> = BTreeMap<&'a str, Result<Option<Version>, Error>>;

/// The report. It says of what it cannot read why, and still reports the rest.
pub(crate) async fn run(invocation: &Invocation<'_>, with_logins: bool) -> Result<Report, Error> {
    let Invocation { clients, settings, time } = *invocation;
    let secret = secret::find(clients, settings).await?;
    let mut values = Values::new();
    for (id, _) in secret.labelled() {
        values.insert(id, secret::read(clients, &secret, id).await);
    }
    let listed = user::keys(clients, settings).await;
    let mut denied = Denied::default();
    values.values().filter_map(|value| value.as_ref().err()).chain(listed.as_ref().err()).for_each(|error| {
        denied.note(error);
    });
    let next = match (next(invocation, &secret, &mut denied).await, unread(&values, &listed)) {
        // createSecret may have read what was not read here. Nothing may be concluded from this report all the same.
        (next, Some(error)) if !is_unread(&next) => fails(error),
        (next, _) => next,
    };
    let keys = listed.unwrap_or_default();
    let used = situation::with_last_use(invocation, keys.clone()).await;
    let situation = situation_of(invocation, &secret, &values, &used, &mut denied).await;
    let logins = if with_logins { log_in(invocation, &secret, &values, &keys).await } else { vec![] };
    let notes = notes(invocation, &secret, &values, &mut denied).await;
    let hosts = hosts(invocation, &mut denied).await;
    Ok(Report {
        user: settings.iam_user_name().to_owned(),
        rotation_enabled: secret.rotation_enabled && secret.schedule.is_some(),
        open: secret.open_rotation().map(str::to_owned),
        last_rotated: secret.last_rotated.map(date),
        next_rotation: secret.schedule.as_ref().and_then(|schedule| schedule.next).map(date),
        grace_ends: situation.as_ref().ok().and_then(Situation::grace_ends).map(date),
        overdue: secret.overdue(time.began),
        notes,
        versions: secret.labelled().map(|(id, labels)| version(id, labels, &values[id], &logins)).collect(),
        keys: key_reports(keys, used, &situation),
        hosts,
        next,
        denied: Some(denied.0),
        keep_inactive_seconds: Some(invocation.settings.keep_inactive.as_secs()),
        secret: secret.arn,
    })
}

/// What IAM denied meanwhile, each action once.
#[derive(Default)]
struct Denied(Vec<Denial>);

impl Denied {
    fn note(&mut self, error: &Error) {
        if let Some(denial) = error.denial()
            && self.0.iter().all(|other| other.action != denial.action)
        {
            self.0.push(denial);
        }
    }

    /// What was found, for people.
    fn finding(&mut self, error: &Error) -> String {
        self.note(error);
        error.refusal().finding()
    }
}

/// What a person should know of the user and of AWSCURRENT's value.
async fn notes(invocation: &Invocation<'_>, secret: &Secret, values: &Values<'_>, denied: &mut Denied) -> Vec<Text> {
    let Invocation { clients, settings, .. } = *invocation;
    let user = settings.iam_user_name();
    let quarantine = match user::quarantine(clients, settings).await {
        Ok(policy) => policy.map(|policy| is_quarantined(user, &policy)),
        // The report tells it already, and nobody is in quarantine.
        Err(Error::UserMissing { .. }) => None,
        Err(error) => {
            Some(format!("it is not known whether AWS has put {user} in quarantine: {}", denied.finding(&error)).into())
        }
    };
    let current = secret.version_labelled(AWSCURRENT).and_then(|version| values.get(version));
    let current = current.and_then(|value| value.as_ref().ok()?.as_ref());
    let current_version = secret.version_labelled(AWSCURRENT);
    let others = values.iter().filter(|(id, _)| Some(**id) != current_version);
    let others: Vec<_> = others.filter_map(|(_, value)| Some(&value.as_ref().ok()?.as_ref()?.value)).collect();
    let fields = current.map(|current| settings.fields.notes(&current.value, &others, &settings.smtp_endpoint));
    let read = values.iter().filter_map(|(id, value)| Some((*id, value.as_ref().ok()?.as_ref()?)));
    let password = passwords::other(secret, read).map(|other| other.note());
    quarantine.into_iter().chain(password).chain(fields.into_iter().flatten()).collect()
}

/// What could not be read, so that nobody takes it for absent. A value that is no credential was read.
fn unread<'a>(values: &'a Values<'_>, keys: &'a Result<Vec<AccessKey>, Error>) -> Option<&'a Error> {
    let values = values.values().filter_map(|value| value.as_ref().err());
    values.filter(|error| !matches!(error, Error::MalformedSecret { .. })).chain(keys.as_ref().err()).next()
}

/// What `keys` decides on; else why no key can be judged.
async fn situation_of(
    invocation: &Invocation<'_>,
    secret: &Secret,
    values: &Values<'_>,
    keys: &Result<Vec<UsedKey>, Error>,
    denied: &mut Denied,
) -> Result<Situation, String> {
    let mut readable = BTreeMap::new();
    for (id, value) in values {
        let value = value.as_ref().map_err(|_| format!("version {id} cannot be read, and it may name this key"))?;
        readable.insert(*id, value.clone());
    }
    let keys = keys.as_ref().map_err(|error| denied.finding(error))?.clone();
    let mut situation = situation::of(invocation, secret, keys, &readable);
    let added = situation::add_old_versions(invocation, secret, &mut situation).await;
    added.map_err(|error| denied.finding(&error))?;
    Ok(situation)
}

fn version(
    id: &str,
    labels: &[String],
    value: &Result<Option<Version>, Error>,
    logins: &[(Credential, Login)],
) -> VersionReport {
    let read = value.as_ref().ok().and_then(Option::as_ref);
    let login = |credential| logins.iter().find(|(it, _)| *it == credential).map(|(_, login)| login.clone());
    VersionReport {
        version: id.to_owned(),
        // How the hosts are remembered is nobody's business.
        labels: labels.iter().filter(|label| parse_hosts_label(label).is_none()).cloned().collect(),
        created: read.and_then(|version| version.created).map(date),
        key: read.map(|version| version.value.access_key_id.clone()).filter(|key| !key.is_empty()),
        problem: value.as_ref().err().map(|error| match error {
            Error::MalformedSecret { problem, .. } => problem.clone(),
            other => other.refusal().finding(),
        }),
        login: read.and_then(|version| login(Credential::of(&version.value))),
    }
}

/// Tries each credential once that a host may be using, one after the other: SES counts connections. A login is a use of the key,
/// and use keeps a superseded key from deletion, so no superseded one is tried.
async fn log_in(
    invocation: &Invocation<'_>,
    secret: &Secret,
    values: &Values<'_>,
    keys: &[AccessKey],
) -> Vec<(Credential, Login)> {
    let mut logins: Vec<(Credential, Login)> = Vec::new();
    let smtp = Smtp::new(&invocation.clients.ses, &invocation.settings.smtp_endpoint);
    let in_use = values.iter().filter(|(id, _)| keys::PROTECTING.iter().any(|label| secret.has(id, label)));
    for version in in_use.filter_map(|(_, value)| value.as_ref().ok()?.as_ref()) {
        if version.value.is_placeholder() {
            continue;
        }
        let credential = Credential::of(&version.value);
        if logins.iter().any(|(it, _)| *it == credential) {
            continue;
        }
        let login = match &smtp {
            Ok(smtp) => smtp.ask(&credential).await,
            Err(error) => Login::Unclear(error.refusal().finding()),
        };
        let login = if is_new(invocation, keys, &credential.user) { not_yet(login) } else { login };
        logins.push((credential, login));
    }
    logins
}

/// Whether a key is Active, and so young that SES may not know it yet.
fn is_new(invocation: &Invocation<'_>, keys: &[AccessKey], key: &str) -> bool {
    let is_it = |it: &&AccessKey| it.id == key && it.active;
    let created = keys.iter().find(is_it).and_then(|it| it.created);
    created.is_some_and(|created| invocation.time.began < created + Duration::from_secs(LOGIN_GATE_SECONDS))
}

fn not_yet(login: Login) -> Login {
    match login {
        Login::Refused(words) => Login::Unclear(format!("{words} (which a new key may be answered for two minutes)")),
        other => other,
    }
}

fn key_reports(
    keys: Vec<AccessKey>,
    used: Result<Vec<UsedKey>, Error>,
    situation: &Result<Situation, String>,
) -> Vec<KeyReport> {
    let mut reports: Vec<_> = match situation {
        Ok(situation) => situation
            .keys
            .iter()
            .map(|used| {
                let since = situation.inactive_since.get(&used.key.id).copied();
                key_report(used, since, verdict(situation, used))
            })
            .collect(),
        Err(problem) => {
            let last_use_is_unknown = used.is_err();
            let unknown = || keys.into_iter().map(|key| UsedKey { key, last_used: None }).collect();
            let used = used.unwrap_or_else(|_| unknown());
            let report = |used| KeyReport { last_use_is_unknown, ..key_report(used, None, stays(problem.clone())) };
            used.iter().map(report).collect()
        }
    };
    reports.sort_by(|a, b| a.key.cmp(&b.key));
    reports
}

fn key_report(UsedKey { key, last_used }: &UsedKey, since: Option<SystemTime>, verdict: KeyVerdict) -> KeyReport {
    KeyReport {
        key: key.id.clone(),
        active: key.active,
        created: key.created.map(date),
        last_used: last_used.map(date),
        last_use_is_unknown: false,
        inactive_since: since.filter(|_| !key.active).map(date),
        verdict,
    }
}

fn stays(reason: String) -> KeyVerdict {
    KeyVerdict::MustStay { reason, until: None, way_out: None }
}

fn verdict(situation: &Situation, key: &UsedKey) -> KeyVerdict {
    match keys::judge(situation, key) {
        Verdict::MayGo(reason) => match keys::removal(situation, key, &reason) {
            Removal::Delete | Removal::Deactivate => KeyVerdict::MayGo(reason.to_string()),
            Removal::Wait { since, until } => KeyVerdict::MustStay {
                reason: format!(
                    "it is Inactive since {}, and waits for its deletion (rotation.keep_inactive)",
                    date(since)
                ),
                until: Some(date(until)),
                way_out: settled::way_out(situation, key),
            },
        },
        Verdict::MustStay(reason) => KeyVerdict::MustStay {
            reason: match &reason {
                MustStay::InGrace { .. } => keys::beyond_the_grace(situation, key).unwrap_or(reason),
                _ => reason,
            }
            .to_string(),
            until: keys::until(situation, key).map(date),
            way_out: settled::way_out(situation, key),
        },
    }
}

/// How the hosts stand. What cannot be read is told as such.
async fn hosts(Invocation { clients, settings, .. }: &Invocation<'_>, denied: &mut Denied) -> Vec<HostReport> {
    let Some(consumer) = &settings.consumer else { return vec![] };
    let standing = consumer::report(clients, consumer).await;
    standing.unwrap_or_else(|error| consumer::unknown(consumer, &denied.finding(&error)))
}

/// As a step does: the guard, then createSecret.
async fn decide(invocation: &Invocation<'_>, secret: &Secret, open: Option<&str>) -> Result<Decision, Error> {
    guard::check_enabled(secret)?;
    if let Some(version) = completed::find(invocation.clients, secret).await? {
        return Err(Error::WasComplete { version: version.to_owned(), is_closed: false });
    }
    if let Some(version) = open {
        guard::check_not_rolled_back(secret, version)?;
    }
    create_secret::decide(invocation, secret, open).await
}

/// Asks createSecret for its decision on the open rotation, or on one that would begin now.
async fn next(invocation: &Invocation<'_>, secret: &Secret, denied: &mut Denied) -> Next {
    match decide(invocation, secret, secret.open_rotation()).await {
        Ok(Decision::MakeKey { frees, .. }) => {
            Next::MakeKey { frees: frees.into_iter().map(|(key, _)| key.key.id).collect() }
        }
        Ok(Decision::RollForward { version, value }) => Next::RollForward { version, key: value.access_key_id },
        Ok(Decision::Resume { key }) => Next::Resume { key },
        Err(error) => {
            denied.note(&error);
            fails(&error)
        }
    }
}

fn is_unread(next: &Next) -> bool {
    matches!(next, Next::Fail { refusal } if refusal.kind.is_of_a_read())
}

fn fails(error: &Error) -> Next {
    Next::Fail { refusal: error.refusal() }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        time::{Duration, SystemTime},
    };

    use contract::{AWSPENDING, AWSPREVIOUS, DEPLOYING, RefusalKind, Step, TOLD, WayOut};

    use super::*;
    use crate::{
        fake_aws::{FakeAws, Fault, LONG_AGO},
        services::ses::fake::Count,
    };

    const ROTATED: &str = "2023-11-14T22:13:20Z";

    /// A month after a rotation.
    fn rotated() -> FakeAws {
        FakeAws::new()
            .version("new", &[AWSCURRENT, DEPLOYING, TOLD], "NEW")
            .version("old", &[AWSPREVIOUS], "OLD")
            .keys(&["OLD", "NEW"])
            .used("OLD")
            .next_rotation(LONG_AGO + 100 * 365 * 86_400)
            .host()
            .confirmed()
    }

    async fn report_in(aws: FakeAws) -> Report {
        let report = aws.ask(async |invocation| run(invocation, false).await).await.unwrap();
        assert_eq!(aws.changes(), [""; 0], "a report changes nothing");
        report
    }

    #[tokio::test]
    async fn everything_is_told_if_all_is_well() {
        let report = report_in(rotated()).await;
        assert_eq!((report.user.as_str(), report.rotation_enabled, report.open), ("mail", true, None));
        assert_eq!((report.last_rotated.as_deref(), report.grace_ends.as_deref()), (Some(ROTATED), Some(ROTATED)));
        assert_eq!((report.overdue, report.next_rotation.is_some()), (None, true));
        let versions: Vec<_> = report.versions.iter().map(|it| (it.version.as_str(), it.key.as_deref())).collect();
        assert_eq!(versions, [("new", Some("NEW")), ("old", Some("OLD"))]);
        assert_eq!(report.versions[1].labels, [AWSPREVIOUS]);
        assert_eq!(report.versions[1].created.as_deref(), Some(ROTATED));
        let keys: Vec<_> = report.keys.iter().map(|it| (it.key.as_str(), it.active, it.last_used.as_deref())).collect();
        assert_eq!(keys, [("NEW", true, None), ("OLD", true, Some("2020-01-01T00:00:00Z"))]);
        assert!(matches!(report.keys[0].verdict, KeyVerdict::MustStay { until: None, way_out: None, .. }));
        assert!(matches!(report.keys[1].verdict, KeyVerdict::MayGo(_)));
        let host = HostReport { instance: "i-0".into(), status: "Online".into(), online: true };
        assert_eq!(report.hosts, [host]);
        assert_eq!(report.next, Next::MakeKey { frees: vec!["OLD".into()] });
    }

    #[tokio::test]
    async fn a_field_that_looks_like_a_credential_is_told_unless_it_is_mapped() {
        let other_tool = || rotated().field("new", "SMTP_PASSWORD", "password-of-NEW").field("old", "pass", "x");
        let [note] = report_in(other_tool()).await.notes.try_into().unwrap();
        assert!(note.to_string().contains("{fields: {SMTP_PASSWORD: smtp_password}}"), "{note}");
        assert!(!note.to_string().contains("password-of"), "{note}");
        let mapped = other_tool().fields(r#"{"SMTP_PASSWORD":"smtp_password"}"#);
        assert_eq!(report_in(mapped).await.notes, []);
    }

    #[tokio::test]
    async fn two_passwords_of_one_key_are_told_and_none_is_shown() {
        let aws = rotated().version("edited", &[AWSCURRENT], "NEW").field("edited", "SMTPPassword", "raw");
        let [note] = report_in(aws).await.notes.try_into().unwrap();
        let note = note.to_string();
        assert!(
            note.contains("version new") && note.contains("different passwords") && !note.contains("raw"),
            "{note}"
        );
    }

    #[tokio::test]
    async fn a_completed_rotation_that_an_edit_opened_again_is_told_as_that() {
        let aws = rotated()
            .version("new", &[AWSPENDING, AWSPREVIOUS, DEPLOYING, TOLD, contract::DONE], "NEW")
            .version("old", &["custom"], "OLD")
            .version("edited", &[AWSCURRENT], "NEW");
        let Next::Fail { refusal } = report_in(aws).await.next else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::WasComplete);
        assert!(refusal.to_string().contains("recover"), "{refusal}");
    }

    #[tokio::test]
    async fn a_user_whom_aws_has_put_in_quarantine_is_told_first() {
        let report = report_in(rotated().quarantined().field("new", "password", "x")).await;
        let [first, _] = report.notes.try_into().unwrap();
        let first = first.to_string();
        assert!(
            first.contains("AWSCompromisedKeyQuarantineV3") && first.contains("`deployer rotate --leaked KEY`"),
            "{first}"
        );
        let denied = rotated().fault("ListAttachedUserPolicies", Fault::RefusedAs("AccessDenied"));
        let [note] = report_in(denied).await.notes.try_into().unwrap();
        assert!(note.to_string().contains("not known") && note.to_string().contains("AccessDenied"), "{note}");
    }

    #[tokio::test]
    async fn a_key_that_somebody_made_active_again_is_not_called_an_orphan() {
        let report = report_in(rotated().label("old", "INACTIVE/OLD/2023-11-20T00:00:00Z")).await;
        let KeyVerdict::MustStay { way_out, .. } = &report.keys[1].verdict else { panic!("{report:?}") };
        assert_eq!(*way_out, None);
    }

    #[tokio::test]
    async fn within_the_grace_the_way_out_and_the_end_of_it_are_told() {
        let report = report_in(rotated().keep_previous(Duration::from_hours(24 * 36_500))).await;
        let KeyVerdict::MustStay { until, way_out, .. } = &report.keys[1].verdict else { panic!("{report:?}") };
        assert_eq!((until, *way_out), (&report.grace_ends, Some(WayOut::Leaked)));
        let Next::Fail { refusal } = &report.next else { panic!("{report:?}") };
        assert_eq!((refusal.kind, &refusal.until), (RefusalKind::NoSafeSlot, until));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_as_such_and_the_rest_is_still_told() {
        let report = report_in(rotated().malformed_version("odd", &["odd"])).await;
        let odd = report.versions.iter().find(|version| version.version == "odd").unwrap();
        assert!(odd.problem.as_deref().is_some_and(|it| it.contains("JSON") && !it.contains("hunter2")), "{odd:?}");
        assert!(
            report
                .keys
                .iter()
                .all(|key| matches!(&key.verdict, KeyVerdict::MustStay { reason, .. } if reason.contains("odd")))
        );
        assert!(matches!(&report.next, Next::Fail { refusal } if refusal.kind == RefusalKind::MalformedSecret));
        assert_eq!(report.versions.len(), 3);

        let report = report_in(rotated().fault("ListAccessKeys", Fault::RefusedAs("AccessDenied"))).await;
        assert_eq!((report.keys.len(), report.versions.len(), report.hosts.len()), (0, 2, 1));
        let Next::Fail { refusal } = &report.next else { panic!("{report:?}") };
        assert!(refusal.kind == RefusalKind::Aws && refusal.found.contains("iam:ListAccessKeys"), "{refusal}");

        let report = report_in(rotated().fault("GetSecretValue", Fault::RefusedAs("AccessDeniedException"))).await;
        assert_eq!((report.keys.len(), report.versions.len(), report.hosts.len()), (2, 2, 1));
        assert!(matches!(&report.next, Next::Fail { refusal } if refusal.kind == RefusalKind::Aws), "{report:?}");
        assert!(report.hides_a_key() && report.keys[1].last_used.is_some(), "{report:?}");

        let report = report_in(rotated().fault("GetAccessKeyLastUsed", Fault::RefusedAs("AccessDenied"))).await;
        assert_eq!((report.keys.len(), report.keys[0].active), (2, true));
        assert_eq!(report.keys[1].last_use(), "its last use is not known");
        assert!(matches!(&report.next, Next::Fail { refusal } if refusal.found.contains("iam:GetAccessKeyLastUsed")));

        let report = report_in(rotated().fault("DescribeInstanceInformation", Fault::RefusedAs("AccessDenied"))).await;
        assert!(!report.hosts[0].online && report.hosts[0].status.contains("AccessDenied"), "{report:?}");
        assert_eq!(report.keys.len(), 2);
    }

    #[tokio::test]
    async fn each_call_that_iam_denies_is_told_as_data() {
        assert_eq!(report_in(rotated()).await.denied, Some(vec![]));
        for (action, call) in [
            ("secretsmanager:GetSecretValue", "GetSecretValue"),
            ("iam:ListAccessKeys", "ListAccessKeys"),
            ("iam:GetUser", "GetUser"),
            ("iam:GetAccessKeyLastUsed", "GetAccessKeyLastUsed"),
            ("iam:ListAttachedUserPolicies", "ListAttachedUserPolicies"),
            ("ssm:DescribeInstanceInformation", "DescribeInstanceInformation"),
        ] {
            let denied = report_in(rotated().fault(call, Fault::RefusedAs("AccessDenied"))).await.denied.unwrap();
            let actions: Vec<_> = denied.iter().map(|denial| denial.action.as_str()).collect();
            assert_eq!(actions, [action]);
            assert!(denied[0].cause.contains("AccessDenied"), "{denied:?}");
            let down = report_in(rotated().fault(call, Fault::RefusedAs("NoSuchEntity"))).await;
            assert_eq!(down.denied, Some(vec![]), "{call}");
        }
    }

    #[tokio::test]
    async fn what_a_rotation_would_fail_of_is_told_with_the_errors_type() {
        for (aws, kind) in [
            (rotated().fault("GetUser", Fault::RefusedAs("NoSuchEntity")), RefusalKind::UserMissing),
            (rotated().fault("ListAccessKeys", Fault::RefusedAs("NoSuchEntity")), RefusalKind::UserMissing),
            (rotated().user_serves("eu-west-1/other"), RefusalKind::UserServesAnother),
            (rotated().rotation_is_off(), RefusalKind::RotationDisabled),
            (rotated().sender("nobody"), RefusalKind::TestMailMalformed),
        ] {
            let report = report_in(aws).await;
            assert!(
                matches!(&report.next, Next::Fail { refusal } if refusal.kind == kind),
                "{kind}: {:?}",
                report.next
            );
        }
    }

    #[tokio::test]
    async fn a_user_that_is_not_there_is_told_once_and_without_a_question_of_quarantine() {
        let mut aws = rotated();
        for call in ["GetUser", "ListAccessKeys", "ListAttachedUserPolicies"] {
            aws = aws.fault(call, Fault::RefusedAs("NoSuchEntity"));
        }
        let report = report_in(aws).await;
        let Next::Fail { refusal } = &report.next else { panic!("{report:?}") };
        assert_eq!(refusal.kind, RefusalKind::UserMissing);
        assert!(refusal.next[0].to_string().contains("deployer apply"), "{refusal}");
        assert_eq!((report.notes.as_slice(), report.keys.len()), ([].as_slice(), 0));
    }

    #[tokio::test]
    async fn an_overdue_rotation_is_told() {
        let report = report_in(rotated().next_rotation(LONG_AGO)).await;
        assert!(report.overdue.unwrap().to_string().contains("never attempted"));
    }

    /// What createSecret then does, told in the same words.
    async fn done_by_create_secret(aws: &FakeAws) -> Next {
        let before = aws.active_keys();
        let pending = aws.labels("next");
        assert_eq!(pending, [AWSPENDING]);
        let done =
            aws.take_as("next", Step::Create, async |rotation, secret| create_secret::run(rotation, secret).await);
        match done.await {
            Err(error) => fails(&error),
            Ok(()) if aws.count("CreateAccessKey") == 1 => {
                let after = aws.active_keys();
                Next::MakeKey { frees: before.into_iter().filter(|key| !after.contains(key)).collect() }
            }
            Ok(()) if aws.count("PutSecretValue") == 1 => {
                Next::RollForward { version: "told".into(), key: aws.value("next").access_key_id }
            }
            Ok(()) => Next::Resume { key: aws.value("next").access_key_id },
        }
    }

    #[tokio::test]
    async fn what_the_report_says_of_a_rotation_is_what_createsecret_does() {
        let open = || rotated().version("new", &[AWSCURRENT, DEPLOYING, TOLD], "NEW").confirmed();
        let told = || rotated().version("new", &[AWSCURRENT], "NEW").keys(&["NEW", "TOLD"]);
        let mut seen = BTreeSet::new();
        for aws in [
            open().empty_version("next", &[AWSPENDING]),
            open().empty_version("next", &[AWSPENDING]).keys(&["NEW"]),
            open().empty_version("next", &[AWSPENDING]).used_before("OLD", 60),
            open().version("next", &[AWSPENDING], "OLD"),
            open().version("next", &[AWSPENDING], "GONE"),
            told().version("told", &[DEPLOYING], "TOLD").empty_version("next", &[AWSPENDING]),
            told().version("told", &[DEPLOYING, AWSPREVIOUS], "TOLD").empty_version("next", &[AWSPENDING]),
        ] {
            let report = aws.ask(async |invocation| run(invocation, false).await).await.unwrap();
            assert_eq!(report.open.as_deref(), Some("next"));
            assert_eq!(report.next, done_by_create_secret(&aws).await);
            seen.insert(format!("{:?}", report.next).chars().take(60).collect::<String>());
        }
        assert_eq!(seen.len(), 7, "each case is one of its own: {seen:?}");
    }

    #[tokio::test]
    async fn what_ses_refuses_of_a_new_key_proves_nothing() {
        let refused = || Login::Refused("535".into());
        assert!(matches!(not_yet(refused()), Login::Unclear(words) if words.starts_with("535 (which a new key")));
        assert_eq!(not_yet(Login::Accepted), Login::Accepted);
        let now = SystemTime::now();
        let key = |age, active| AccessKey { id: "KEY".into(), active, created: Some(now - Duration::from_secs(age)) };
        let aws = FakeAws::new();
        let asked = aws.ask(async |invocation| {
            let is_new = |age, active| is_new(invocation, &[key(age, active)], "KEY");
            assert!(is_new(0, true) && is_new(LOGIN_GATE_SECONDS - 5, true));
            assert!(!is_new(LOGIN_GATE_SECONDS + 5, true) && !is_new(0, false));
            Ok(())
        });
        asked.await.unwrap();
    }

    #[tokio::test]
    async fn each_credential_that_a_host_may_be_using_is_tried_once_and_no_other() {
        let aws = rotated().version("edited", &[AWSPENDING], "NEW").version("told", &[DEPLOYING], "TOLD");
        let report = aws.ask(async |invocation| run(invocation, true).await).await.unwrap();
        for version in &report.versions {
            let is_tried = version.version != "old";
            assert_eq!(version.login, is_tried.then_some(Login::Accepted), "{version:?}");
        }
        let for_createsecret = 1;
        assert_eq!(aws.asked_ses(), Count { greetings: for_createsecret, logins: 2, mails: 0 });
    }
}
