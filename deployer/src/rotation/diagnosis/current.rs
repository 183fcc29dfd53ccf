//! What AWSCURRENT names cannot be used: hosts cannot send with it.

use contract::{AWSCURRENT, Command, DEPLOYING, RefusalKind, Report, TOLD, Text, VersionReport};

use super::{
    credential::{Credential, credential},
    next::{mended_by_a_rotation, person_about_next, would_fail},
    obstacle::{Obstacle, obstacle, refusal, why_a_new_one_would_fail},
    remedy::{Diagnosis, Remedy, Way, again, curable, was_an_accident},
    told::move_between,
};

/// Mail is down: before everything else.
pub(super) fn current_is_inactive(report: &Report) -> Option<Diagnosis> {
    let version = report.labelled(AWSCURRENT)?;
    let now = credential(report, version);
    let Credential::Inactive(key) = now else { return None };
    let found = now.why_no_mail()?;
    // Somebody moved AWSCURRENT onto a key that was Inactive, or made the key Inactive after a rollback.
    if let Some(told) = report.labelled(TOLD)
        && let Credential::Works(works) = credential(report, told)
        && works != key
    {
        let move_it = Way {
            when: format!("if the hosts use access key {works}, which every host has confirmed and SES accepts"),
            command: move_between(report, AWSCURRENT, version, told),
            waits: false,
        };
        return Some(Diagnosis::Person { found: found.into(), ways: vec![move_it, was_an_accident(key)] });
    }
    let leaked =
        if obstacle(report) == Some(Obstacle::NoSafeSlot) {
            // It makes room itself: nobody can send with it, and there is no slot for its successor.
            Way {
            when:
                "if somebody made it Inactive because it leaked (then run recover again: it gives the hosts a new one)"
                    .to_owned(),
            command: Command::delete_key(&report.user, key), waits: false }
        } else {
            let when = "if somebody made it Inactive because it leaked".to_owned();
            Way { when, command: Command::rotate_leaked(key), waits: false }
        };
    Some(Diagnosis::Person { found: found.into(), ways: vec![leaked, was_an_accident(key)] })
}

/// Somebody stored a value that is no credential. No host can use it, and a rotation refuses it.
pub(super) fn a_value_is_unusable(report: &Report) -> Option<Diagnosis> {
    if let Some((current, problem)) = report.labelled(AWSCURRENT).and_then(with_problem) {
        let found = format!("the value of AWSCURRENT's version {} cannot be used: {problem}", current.version);
        let works = |version: &&VersionReport| matches!(credential(report, version), Credential::Works(_));
        let Some(told) = [TOLD, DEPLOYING].iter().filter_map(|label| report.labelled(label)).find(works) else {
            let found = match why_a_new_one_would_fail(report) {
                None => found.into(),
                Some(why) => Text::from(format!("{found}. A rotation would fail: ")).then(why),
            };
            return Some(person_about_next(report, found));
        };
        let found = format!(
            "{found}. The hosts were told of version {}{}, which works; the other value stays stored, as AWSPREVIOUS",
            told.version,
            credential(report, told).in_brackets()
        );
        let (from, to) = (current.version.clone(), told.version.clone());
        return Some(curable(found, Remedy::MoveLabel { label: AWSCURRENT, from, to }, []));
    }
    let refused = refusal(report).filter(|refusal| refusal.kind == RefusalKind::MalformedSecret)?;
    // That of an open rotation is given up with it.
    let (version, _) =
        report.versions.iter().filter(|it| Some(&it.version) != report.open.as_ref()).find_map(with_problem)?;
    let without = version.labels.iter().map(|label| Way {
        when: format!("if nobody needs version {}, take {label} off it", version.version),
        command: Command::move_label(&report.secret, label, Some(&version.version), None),
        waits: false,
    });
    let found = would_fail(refused.finding().into());
    Some(Diagnosis::Person { found, ways: without.chain([again()]).collect() })
}

fn with_problem(version: &VersionReport) -> Option<(&VersionReport, &str)> {
    version.problem.as_deref().map(|problem| (version, problem))
}

pub(super) fn current_does_not_work(report: &Report) -> Option<Diagnosis> {
    let version = report.labelled(AWSCURRENT)?;
    let now = credential(report, version);
    if let Credential::Unclear { words, .. } = now {
        let found = format!("SES gave no answer to the credential of AWSCURRENT{}: {words}", now.in_brackets());
        return Some(Diagnosis::Person { found: found.into(), ways: vec![again()] });
    }
    let found = now.why_no_mail()?;
    Some(mended_by_a_rotation(report, &found, ""))
}
