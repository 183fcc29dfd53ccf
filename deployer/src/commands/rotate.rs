//! `deployer rotate`: rotates the credential now, and waits until it is done. It asks the function first whether that would
//! succeed, and starts nothing if not.

use std::time::{Duration, Instant, SystemTime};

use aws_smithy_types::DateTime;
use contract::{AWSCURRENT, Command, KeyVerdict, Next, Report, Text, text};

use super::{
    each::for_each_deployment,
    ended::{Done, Shown},
    rotating::{check_its_way, current_key, read, refusal, rotate},
    session::Session,
    watched::wait_while_tested,
};
use crate::{cli::RotateArgs, config::Rotation, date::rfc3339, rotation::function, screen::Screen};

pub(super) async fn run(screen: &Screen, args: &RotateArgs) -> Result<Done, Shown> {
    for_each_deployment(screen, &args.target.config, async |session: Session| {
        wait_while_tested(&session).await?;
        let report = read(&session).await?;
        session.or_show(refusal(&session, &report).map_or(Ok(()), Err))?;
        session.or_show(check_its_way(&session).await)?;
        let rotation = &session.deployment.config.rotation;
        let notes = untold(&session, &report).into_iter().chain(next_fails(rotation, &report, SystemTime::now()));
        notes.for_each(|note| session.screen.note(note));
        let began = Instant::now();
        let version = rotate(&session, &report, args.watch, args.patience).await?;
        let secret = &session.deployment.names.secret;
        let (sentence, next) = if let Some(key) = kept_key(&report) {
            let sentence = format!(
                "Rotation complete: every host has confirmed access key {key}, which secret {secret} had already"
            );
            (sentence, text![Command::deployer("rotate"), " makes a new access key now"])
        } else {
            // Nothing of the rotation depends on it.
            let after = function::report(&session.aws, &session.deployment, false).await.ok();
            // Secrets Manager may still answer from before.
            let is_new = |after: &Report| after.labelled(AWSCURRENT).is_some_and(|current| current.version == version);
            let after = after.filter(is_new);
            let notes = after.iter().flat_map(|after| after.notes.iter().cloned());
            for note in notes.chain(previous_key(&report, after.as_ref())) {
                session.screen.note(note);
            }
            let next = text![Command::deployer("status"), " shows the keys, and when the previous one goes"];
            (format!("Rotation complete: secret {secret} has a new credential"), next)
        };
        session.screen.complete(&sentence, began.elapsed(), &next);
        Ok(Done::Changes)
    })
    .await
}

/// The key of AWSCURRENT, if the rotation only tells the hosts of it.
fn kept_key(before: &Report) -> Option<&str> {
    let key = current_key(before)?;
    matches!(&before.next, Next::RollForward { key: told, .. } if told == key).then_some(key)
}

/// Rotating does not delete a leaked key at once; say so. Of one that was Inactive or deleted before, there is nothing to say.
///
/// How long the key stays the function knows: the file may declare another time, and not be applied.
fn previous_key(before: &Report, after: Option<&Report>) -> Option<Text> {
    let key = current_key(before)?;
    before.keys.iter().find(|it| it.key == key && it.active)?;
    let verdict = after.and_then(|after| after.keys.iter().find(|it| it.key == key)).map(|it| &it.verdict);
    let stays = match verdict {
        Some(KeyVerdict::MayGo(_)) => "goes with the next daily upkeep".to_owned(),
        Some(KeyVerdict::MustStay { until: Some(until), .. }) => {
            format!("stays usable until {until} at least (rotation.keep_previous)")
        }
        _ => "stays usable for now".to_owned(),
    };
    Some(text![
        format!("access key {key}, in use until now, {stays}. If it leaked, "),
        Command::rotate_leaked(key),
        " deletes it now"
    ])
}

/// Hosts that the file names and the function does not tell, because the file was not applied since.
fn untold(session: &Session, report: &Report) -> Option<Text> {
    let in_file = session.deployment.config.instance.iter().flat_map(|instance| &instance.ids);
    let untold = in_file.filter(|id| !report.hosts.iter().any(|host| host.instance == id.as_str()));
    let untold: Vec<_> = untold.map(ToString::to_string).collect();
    (!untold.is_empty()).then(|| {
        text![
            format!("this rotation does not tell {}: the function learns of it by ", untold.join(" and ")),
            Command::deployer("apply")
        ]
    })
}

/// Why the rotation on schedule fails that comes after this one: the key that this one supersedes is kept until then, and has the slot.
///
/// Only of a cron(), and before its window opens: AWS counts a rate() from the last rotation, and does not say whether a rotation by hand
/// takes the place of the window that is open.
fn next_fails(rotation: &Rotation, report: &Report, now: SystemTime) -> Option<Text> {
    let (key, next) = (current_key(report)?, report.next_rotation.as_ref()?);
    let supersedes = match &report.next {
        Next::MakeKey { .. } => true,
        Next::RollForward { key: new, .. } | Next::Resume { key: new } => new != key,
        Next::Fail { .. } => false,
    };
    if !supersedes
        || rotation.schedule.fixed_period().is_some()
        || !report.keys.iter().any(|it| it.key == key && it.active)
    {
        return None;
    }
    let at = |after: Duration| rfc3339(DateTime::from(now + after));
    let window = rotation.window.unwrap_or_else(|| rotation.schedule.default_window());
    let kept_until = at(rotation.keep_previous);
    // Dates in RFC 3339, in UTC and whole seconds: their order is that of the strings.
    (at(window) < *next && *next < kept_until).then(|| {
        format!(
            "the rotation on schedule after this one, by {next}, will fail: access key {key}, in use until now, stays until {kept_until} at \
             least (rotation.keep_previous), and IAM allows a user no third one. If the schedule is early enough, let it rotate instead"
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_smithy_types::date_time::Format;
    use contract::VersionReport;

    use super::*;
    use crate::{config::parse, rotation::fixture};

    #[test]
    fn a_rotation_right_before_a_window_says_that_the_one_on_schedule_fails() {
        let rotation = |rotation: &str| {
            let yaml = format!(
                "name: m\nregion: eu-west-1\nsecret: {{name: s}}\niam_user: {{name: u}}\nrotation: {{{rotation}}}\n"
            );
            parse(Path::new("m.yaml"), &yaml).unwrap().remove(0).rotation
        };
        let version = VersionReport {
            version: "v".into(),
            labels: vec![AWSCURRENT.into()],
            created: None,
            key: Some("AKIA1".into()),
            problem: None,
            login: None,
        };
        let stays = KeyVerdict::MustStay { reason: "in use".into(), until: None, way_out: None };
        let report = fixture::report(vec![version], vec![fixture::key("AKIA1", stays)]);
        let report = Report { next_rotation: Some("2026-02-01T06:00:00Z".into()), ..report };
        let at = |date: &str| SystemTime::try_from(DateTime::from_str(date, Format::DateTime).unwrap()).unwrap();
        let on_the_first = rotation("schedule: cron(0 2 1 * ? *), window: 4h, keep_previous: 24h");

        let told = next_fails(&on_the_first, &report, at("2026-02-01T01:00:00Z")).unwrap().to_string();
        for part in ["by 2026-02-01T06:00:00Z, will fail", "AKIA1", "stays until 2026-02-02T01:00:00Z"] {
            assert!(told.contains(part), "{told}");
        }
        let of = |rotation: &Rotation, report: &Report, date| next_fails(rotation, report, at(date)).is_some();
        assert!(!of(&on_the_first, &report, "2026-01-30T01:00:00Z"), "the key may go before");
        assert!(!of(&on_the_first, &report, "2026-02-01T03:00:00Z"), "the window is open");
        assert!(!of(&on_the_first, &report, "2026-02-03T03:00:00Z"), "the date is past");
        let every_month = rotation("schedule: rate(30 days), window: 4h, keep_previous: 24h");
        assert!(!of(&every_month, &report, "2026-02-01T01:00:00Z"), "the days count from this rotation");
        let told_already = Next::RollForward { version: "v".into(), key: "AKIA1".into() };
        let same_key = Report { next: told_already, ..report.clone() };
        assert!(!of(&on_the_first, &same_key, "2026-02-01T01:00:00Z"), "it supersedes no key");
        let without = Report { keys: vec![], ..report };
        assert!(!of(&on_the_first, &without, "2026-02-01T01:00:00Z"), "the key is deleted");
    }
}
