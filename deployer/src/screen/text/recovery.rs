//! How a rotation stands, and what is wrong with it.

use std::{fmt::Write as _, time::SystemTime};

use contract::{
    AWSCURRENT, AWSPENDING, DEPLOYING, KeyReport, KeyVerdict, Login, Report, Text, VersionReport, printable,
};

use super::{
    notes::{push_note, push_notes},
    style::{BOLD, GREEN, RED, YELLOW},
    wrap::{push_below, push_wrapped},
};
use crate::{date::with_distance, deployment::Deployment, rotation::diagnosis::Diagnosis};

/// Columns of the subjects.
const SUBJECT: usize = 12;

pub(in crate::screen) fn report(
    deployment: &Deployment,
    report: &Report,
    config_path: Option<&str>,
    now: SystemTime,
    columns: usize,
) -> String {
    let config = &deployment.config;
    let mut text = format!("{BOLD}{}{BOLD:#} in {}\n\n", config.name, config.region);
    push_notes(&mut text, columns, &report.notes, config_path);
    let rotation = if report.rotation_enabled { "enabled" } else { "not enabled" };
    let last = report.last_rotated.as_deref().unwrap_or("never");
    let next = report.next_rotation.as_ref().map_or("not scheduled".to_owned(), |date| format!("by {date}"));
    let mut row = |subject: &str, line: &str| push_below(&mut text, columns, &format!("{subject:SUBJECT$}"), line);
    row("rotation", &format!("{rotation}; last completed {last}, next {next}"));
    let mut versions: Vec<_> = report.versions.iter().collect();
    versions.sort_by_key(|version| rank(version));
    for found in versions {
        row("version", &format!("{} {}: {}", found.version, printable(&found.labels.join(", ")), version(found)));
    }
    let mut keys: Vec<_> = report.keys.iter().collect();
    keys.sort_by(|a, b| (&a.created, &a.key).cmp(&(&b.created, &b.key)));
    for found in keys {
        row("access key", &format!("{} {}", found.key, key(found, now)));
    }
    for host in &report.hosts {
        row("host", &format!("{} {}", printable(&host.instance), printable(&host.status)));
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
        .map_or_else(|| "made at an unknown date".to_owned(), |date| format!("made {}", with_distance(date, now)));
    let used = key.last_use();
    let verdict = match &key.verdict {
        KeyVerdict::MayGo(reason) => format!("may go: {}", printable(reason)),
        KeyVerdict::MustStay { reason, .. } => format!("stays: {}", printable(reason)),
    };
    format!("{style}{state}{style:#}, {made}, {used}; {verdict}")
}

pub(in crate::screen) fn diagnosis(diagnosis: &Diagnosis, config: Option<&str>, columns: usize) -> String {
    let mut text = "\n".to_owned();
    let found = |found: &Text| printable(&format!("{}.", found.render(config))).into_owned();
    match diagnosis {
        Diagnosis::Healthy { note } => {
            if let Some(note) = note {
                push_note(&mut text, columns, 0, note, config);
            }
            let _ = writeln!(text, "{GREEN}Healthy.{GREEN:#} The rotation needs nothing.");
        }
        Diagnosis::Curable { found: wrong, first, then } => {
            push_wrapped(&mut text, columns, 0, &format!("{YELLOW}Found:{YELLOW:#} {}", found(wrong)));
            let _ = writeln!(text, "{BOLD}Remedy:{BOLD:#}");
            for (at, remedy) in std::iter::once(first).chain(then).enumerate() {
                let sentence = format!("{} ({})", printable(&remedy.sentence()), remedy.call());
                push_below(&mut text, columns, &format!("  {}. ", at + 1), &sentence);
            }
            text.push('\n');
        }
        Diagnosis::Person { found: wrong, ways } => {
            push_wrapped(&mut text, columns, 0, &format!("{RED}Found:{RED:#} {}", found(wrong)));
            for way in ways {
                push_wrapped(&mut text, columns, 2, &format!("{}:", printable(&way.when)));
                // Whole, so that it can be copied.
                let _ = writeln!(text, "    {}", printable(&way.command.in_shell(config)));
            }
        }
    }
    text
}
