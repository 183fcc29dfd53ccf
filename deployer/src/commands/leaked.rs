//! `deployer rotate --leaked KEY`: replaces an access key that leaked, where it is in use, and deletes it as soon as every host has
//! the new one.

use std::time::Duration;

use contract::{AWSCURRENT, AWSPENDING, Command, DEPLOYING, KeyReport, Next, Report, TOLD, text};
use tokio::time::Instant;

use super::{
    approve::approve,
    each::{for_each, load_what_is_valid, read_each},
    ended::{Done, Shown, show},
    rotating::{check_its_way, current_key, read, refusal, rotate},
    session::{Session, check_key_id},
    watched::stand_still,
};
use crate::{
    cli::RotateArgs,
    config::Config,
    date,
    error::{Error, ErrorKind},
    rotation::{
        diagnosis::{self, Obstacle},
        function,
    },
    screen::Screen,
};

/// A rotation that was given up may have left hosts with the key that leaked. The first rotation then continues with it, and the
/// second one replaces it.
const MOST_ROTATIONS: usize = 2;

/// For how long the function may read older labels than those that ended the rotation.
const CONSISTENT_WITHIN: Duration = Duration::from_secs(20);

const POLL_EVERY: Duration = Duration::from_secs(2);

pub(super) async fn run(screen: &Screen, args: &RotateArgs, leaked: &str) -> Result<Done, Shown> {
    check_key_id(screen, "--leaked", leaked)?;
    let (mut configs, has_mistakes) = load_what_is_valid(screen, &args.target.config)?;
    if configs.is_empty() {
        return Err(Shown::FAILED);
    }
    if configs.len() > 1 || has_mistakes {
        configs = of_the_key(screen, leaked, configs).await?;
    }
    for_each(screen, configs, async |session: Session| replace(&session, args, leaked).await).await
}

/// The deployment whose user has the key. One that cannot be read or asked does not keep another's key from being replaced.
async fn of_the_key(screen: &Screen, leaked: &str, mut configs: Vec<Config>) -> Result<Vec<Config>, Shown> {
    let mut has_it = Vec::new();
    let asked = read_each(screen, configs.clone(), async |session: Session| {
        if function::find_key(&read(&session).await?, leaked).is_ok() {
            has_it.push((session.deployment.config.name.clone(), session.deployment.config.region.clone()));
        }
        Ok(Done::NothingToDo)
    })
    .await;
    configs.retain(|config| has_it.iter().any(|(name, region)| (name, region) == (&config.name, &config.region)));
    if configs.is_empty() {
        asked?;
        let error = Error::new(format!("no IAM user of these deployments has access key {leaked}"));
        let hint = text![
            "it is deleted already, or any other user has it: if it is of this account, the answer of ",
            Command::aws(&["iam", "get-access-key-last-used", "--access-key-id", leaked]),
            " names the user"
        ];
        return Err(show(screen, &error.of_kind(ErrorKind::Refused).hint(hint)));
    }
    Ok(configs)
}

async fn replace(session: &Session, args: &RotateArgs, leaked: &str) -> Result<Done, Shown> {
    // A rotation that runs may replace the key, or somebody else just does so: there is nothing to refuse.
    session.or_show(stand_still(session).await)?;
    let mut report = read(session).await?;
    let key = session.or_show(function::find_key(&report, leaked))?.clone();
    let mut timeline = Timeline::of(&key);
    session.screen.note(described(&key));
    for rotations in 0..=MOST_ROTATIONS {
        let is_used = may_be_used(&report, leaked);
        if is_used && rotations == MOST_ROTATIONS {
            break;
        }
        if is_used {
            session.or_show(check_its_way(session).await)?;
        }
        let others = make_way(session, &report, leaked, is_used)?;
        if !args.auto_approve && (rotations == 0 || !others.is_empty()) {
            approve(session, &question(&report, leaked, is_used, &others), &["rotate", "--leaked", leaked], rotations)
                .await?;
        }
        if !is_used {
            break;
        }
        for other in &others {
            delete(session, other, &mut timeline).await?;
        }
        if !others.is_empty() {
            report = read(session).await?;
            session.or_show(refusal(session, &report).map_or(Ok(()), Err))?;
        }
        let (users, names) = match report.hosts.as_slice() {
            [] => ("programs", "AWSCURRENT names"),
            _ => ("hosts", "every host has"),
        };
        timeline.add(format!("a rotation starts, because {users} may use {leaked}"));
        let version = rotate(session, &report, args.watch, args.patience).await?;
        report = read_once_current(session, &version).await?;
        let now = current_key(&report).unwrap_or("none");
        timeline.add(format!("{names} access key {now}"));
    }
    delete(session, leaked, &mut timeline).await?;
    for entry in timeline.0 {
        session.screen.note(entry);
    }
    session.screen.done(&format!("Access key {leaked} is deleted. SES may accept it for some seconds more."));
    Ok(Done::Changes)
}

/// Says what comes next. Returns the keys that have to go before a rotation, or refuses one that could not end.
fn make_way(session: &Session, report: &Report, leaked: &str, is_used: bool) -> Result<Vec<String>, Shown> {
    if !is_used {
        let who = if report.hosts.is_empty() {
            "whoever has not read AWSCURRENT since it was superseded stops sending"
        } else {
            "every host has confirmed another one, and whoever still uses this one stops sending"
        };
        session.screen.note(format!("this run deletes access key {leaked}, whatever its last use: {who}"));
        return Ok(vec![]);
    }
    let others: Vec<_> = in_the_way(report, leaked).collect();
    if others.is_empty() {
        session.or_show(refusal(session, report).map_or(Ok(()), Err))?;
    }
    for other in &others {
        session.screen.note(format!(
            "{}. It is in its grace, and the new key needs its slot: it is deleted first, and any host that still uses it stops \
             sending",
            described(other)
        ));
    }
    session.screen.note(if report.hosts.is_empty() {
        format!(
            "programs may use access key {leaked}: a rotation replaces it. It is deleted right after that, whatever its last use: a program \
             that has not read AWSCURRENT again by then stops sending"
        )
    } else {
        format!(
            "hosts may use access key {leaked}: a rotation replaces it. It is deleted as soon as every host has the new one, whatever its \
             last use"
        )
    });
    Ok(others.into_iter().map(|key| key.key.clone()).collect())
}

/// Whether a label says so, the labels do not agree on what the hosts have, or what they name could not be read.
fn may_be_used(report: &Report, key: &str) -> bool {
    let named = |label: &str| report.labelled(label).and_then(|version| version.key.as_deref());
    let current = named(AWSCURRENT);
    report.hides_a_key()
        || [AWSCURRENT, TOLD, DEPLOYING, AWSPENDING].into_iter().any(|label| named(label) == Some(key))
        || [TOLD, DEPLOYING].into_iter().any(|label| named(label) != current)
}

/// Other keys that have to go because the new key needs their slot, and that only their grace keeps.
fn in_the_way<'a>(report: &'a Report, leaked: &'a str) -> impl Iterator<Item = &'a KeyReport> {
    let needs_a_slot = diagnosis::obstacle(report) == Some(Obstacle::NoSafeSlot);
    let is_in_grace = move |key: &&KeyReport| key.only_its_grace_keeps_it() && key.key != leaked;
    report.keys.iter().filter(move |_| needs_a_slot).filter(is_in_grace)
}

fn described(report: &KeyReport) -> String {
    let KeyReport { key, active, created, .. } = report;
    let state = if *active { "Active" } else { "Inactive" };
    let created = created.as_deref().unwrap_or("at an unknown date");
    format!("access key {key} is {state}, was made {created}, {}", report.last_use())
}

/// Names every key that goes, and the one that hosts have in the end.
fn question(report: &Report, leaked: &str, is_used: bool, others: &[String]) -> String {
    if !is_used {
        let kept = current_key(report).map_or_else(String::new, |key| format!(", and keep {key}, which is in use"));
        return format!("Delete access key {leaked}{kept}?");
    }
    let first = if others.is_empty() {
        "Rotate".to_owned()
    } else {
        format!("Delete access key {}, rotate", others.join(" and "))
    };
    let to = match &report.next {
        Next::RollForward { key, .. } | Next::Resume { key } if key != leaked => format!("access key {key}"),
        _ => "a new access key".to_owned(),
    };
    format!("{first} to {to}, and then delete access key {leaked}?")
}

async fn delete(session: &Session, key: &str, timeline: &mut Timeline) -> Result<(), Shown> {
    session.or_show(function::delete_leaked(&session.aws, &session.deployment, key).await)?;
    timeline.add(format!("access key {key} is deleted"));
    Ok(())
}

/// The report once it knows that a version is AWSCURRENT: Secrets Manager's reads are eventually consistent.
async fn read_once_current(session: &Session, version: &str) -> Result<Report, Shown> {
    let began = Instant::now();
    loop {
        let report = read(session).await?;
        if report.labelled(AWSCURRENT).is_some_and(|current| current.version == version) {
            return Ok(report);
        }
        if began.elapsed() > CONSISTENT_WITHIN {
            let error =
                Error::new(format!("the rotation has completed, and no read shows version {version} as AWSCURRENT"));
            return session.or_show(Err(error.hint("run the command again: the leaked key is not deleted yet")));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// What happened when, for the report on the incident. Dates are RFC 3339, UTC.
struct Timeline(Vec<String>);

impl Timeline {
    fn of(key: &KeyReport) -> Self {
        let made = key.created.iter().map(|date| format!("{date}  access key {} was made", key.key));
        let used =
            key.last_used.iter().map(|date| format!("{date}  access key {} was last used, as IAM knows", key.key));
        Self(made.chain(used).collect())
    }

    fn add(&mut self, what: impl AsRef<str>) {
        self.0.push(format!("{}  {}", date::now(), what.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use contract::VersionReport;

    use super::*;
    use crate::rotation::fixture;

    fn report(next: Next) -> Report {
        let report = include_str!("../../../contract/golden/0.1.0/report.json");
        let contract::Answer::Done(report) = serde_json::from_str::<contract::Answer<Report>>(report).unwrap() else {
            panic!("it is a report");
        };
        Report { next, ..report }
    }

    /// Nobody knows which key the hosts have then.
    #[test]
    fn while_a_value_that_hosts_may_have_cannot_be_read_every_key_may_be_used() {
        let labels = [AWSCURRENT, DEPLOYING, TOLD].map(str::to_owned).to_vec();
        let (version, key) = ("now".to_owned(), Some("NOW".to_owned()));
        let now = VersionReport { version, labels, created: None, key, problem: None, login: None };
        let mut report = fixture::report(vec![now], vec![]);
        assert!(!may_be_used(&report, "OTHER") && may_be_used(&report, "NOW"));
        for version in &mut report.versions {
            (version.key, version.problem) = (None, Some("DecryptionFailure".into()));
        }
        assert!(may_be_used(&report, "OTHER"));
    }

    #[test]
    fn the_question_names_the_keys_that_go_and_the_one_that_stays_or_is_made() {
        let new = report(Next::MakeKey { frees: vec![] });
        let current = current_key(&new).unwrap().to_owned();
        let other = ["OTHER".to_owned()];
        for (report, is_used, others, expected) in [
            (&new, true, &[][..], "Rotate to a new access key, and then delete access key LEAKED?".to_owned()),
            (
                &new,
                true,
                &other[..],
                "Delete access key OTHER, rotate to a new access key, and then delete access key LEAKED?".to_owned(),
            ),
            (&new, false, &[][..], format!("Delete access key LEAKED, and keep {current}, which is in use?")),
            (
                &report(Next::Resume { key: "STORED".into() }),
                true,
                &[][..],
                "Rotate to access key STORED, and then delete access key LEAKED?".to_owned(),
            ),
            (
                &report(Next::Resume { key: "LEAKED".into() }),
                true,
                &[][..],
                "Rotate to a new access key, and then delete access key LEAKED?".to_owned(),
            ),
        ] {
            assert_eq!(question(report, "LEAKED", is_used, others), expected);
        }
    }
}
