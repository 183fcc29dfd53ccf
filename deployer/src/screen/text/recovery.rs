//! How a rotation stands, and what is wrong with it.

use std::{fmt::Write as _, time::SystemTime};

use contract::{AWSCURRENT, AWSPENDING, DEPLOYING, KeyReport, KeyVerdict, Login, Report, VersionReport, printable};

use super::{
    notes::push_notes,
    style::{BOLD, GREEN, RED, YELLOW},
};
use crate::{date::distance, deployment::Deployment, rotation::diagnosis::Diagnosis};

pub(in crate::screen) fn report(
    deployment: &Deployment,
    report: &Report,
    config_path: Option<&str>,
    now: SystemTime,
) -> String {
    let config = &deployment.config;
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", config.name, config.region);
    push_notes(&mut text, &report.notes, config_path);
    let rotation = if report.rotation_enabled { "enabled" } else { "not enabled" };
    let last = report.last_rotated.as_deref().unwrap_or("never");
    let next = report.next_rotation.as_ref().map_or("not scheduled".to_owned(), |date| format!("by {date}"));
    let _ = writeln!(text, "rotation    {rotation}; last completed {last}, next {next}");
    let mut versions: Vec<_> = report.versions.iter().collect();
    versions.sort_by_key(|version| rank(version));
    for found in versions {
        let _ =
            writeln!(text, "version     {} {}: {}", found.version, printable(&found.labels.join(", ")), version(found));
    }
    let mut keys: Vec<_> = report.keys.iter().collect();
    keys.sort_by(|a, b| (&a.created, &a.key).cmp(&(&b.created, &b.key)));
    for found in keys {
        let _ = writeln!(text, "access key  {} {}", found.key, key(found, now));
    }
    for host in &report.hosts {
        let _ = writeln!(text, "host        {} {}", printable(&host.instance), printable(&host.status));
    }
    text
}

/// The version in use first, as in a person's mind.
fn rank(version: &VersionReport) -> usize {
    let order = [AWSCURRENT, AWSPENDING, DEPLOYING];
    order.iter().position(|label| version.labels.iter().any(|it| it == label)).unwrap_or(order.len())
}

fn version(version: &VersionReport) -> String {
    let made = version.created.as_ref().map_or_else(String::new, |date| format!("made {date}, "));
    if let Some(problem) = &version.problem {
        return format!("{made}{RED}{}{RED:#}", printable(problem));
    }
    let Some(key) = &version.key else { return format!("{made}no credential") };
    match &version.login {
        Some(Login::Accepted) => format!("{made}access key {key}, {GREEN}SES accepts it{GREEN:#}"),
        Some(Login::Refused(words)) => {
            format!("{made}access key {key}, {RED}SES does not accept it{RED:#}: {}", printable(words))
        }
        Some(Login::Unclear(words)) => {
            format!("{made}access key {key}, {RED}SES does not say whether it accepts it{RED:#}: {}", printable(words))
        }
        None => format!("{made}access key {key}"),
    }
}

fn key(key: &KeyReport, now: SystemTime) -> String {
    let (state, style) = if key.active { ("Active", GREEN) } else { ("Inactive", YELLOW) };
    let made = key
        .created
        .as_ref()
        .map_or_else(|| "made at an unknown date".to_owned(), |date| format!("made {date}{}", distance(date, now)));
    let used = key.last_used.as_ref().map_or_else(|| "never used".to_owned(), |date| format!("last used {date}"));
    let verdict = match &key.verdict {
        KeyVerdict::MayGo(reason) => format!("may go: {}", printable(reason)),
        KeyVerdict::MustStay { reason, .. } => format!("stays: {}", printable(reason)),
    };
    format!("{style}{state}{style:#}, {made}, {used}; {verdict}")
}

pub(in crate::screen) fn diagnosis(diagnosis: &Diagnosis, config: Option<&str>) -> String {
    match diagnosis {
        Diagnosis::Healthy { note } => {
            let note = note.as_ref().map_or_else(String::new, |note| {
                format!("{YELLOW}note:{YELLOW:#} {}\n", printable(&note.render(config)))
            });
            format!("\n{note}{GREEN}Healthy.{GREEN:#} Nothing has to be done.\n")
        }
        Diagnosis::Curable { found, first, then } => {
            let mut text =
                format!("\n{YELLOW}Found:{YELLOW:#} {}.\n{BOLD}Remedy:{BOLD:#}\n", printable(&found.render(config)));
            for (at, remedy) in std::iter::once(first).chain(then).enumerate() {
                let _ = writeln!(text, "  {}. {} ({})", at + 1, printable(&remedy.sentence()), remedy.call());
            }
            text.push('\n');
            text
        }
        Diagnosis::Person { found, ways } => {
            let mut text = format!("\n{RED}Found:{RED:#} {}.\n", printable(&found.render(config)));
            for way in ways {
                let _ = writeln!(text, "  {}:\n    {}", printable(&way.when), printable(&way.command.in_shell(config)));
            }
            text
        }
    }
}
