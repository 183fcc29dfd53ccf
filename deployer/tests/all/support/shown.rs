//! Snapshots of what a person is shown, without what varies from run to run.

use std::collections::BTreeMap;

use contract::Report;

use super::sandbox::{Ran, Sandbox};

/// Compares a text with its snapshot.
macro_rules! assert_shown {
    ($name:expr, $sandbox:expr, $text:expr) => {
        crate::support::shown::filters($sandbox)
            .bind(|| insta::assert_snapshot!($name, crate::support::shown::without_random_ids($text)))
    };
}
pub(crate) use assert_shown;

/// Compares a stuck state with its snapshot `state_NAME`: what `recover` prints of it, and the function's report.
pub(super) fn show_state(name: &str, sandbox: &Sandbox, recover: &Ran, report: Report) {
    let Ran { code, stdout, stderr } = recover;
    let report = serde_json::to_value(without_order(report)).unwrap();
    let text = format!("{stdout}\n{stderr}exit code {code}\n\nThe function's report:\n{report:#}\n");
    let mut settings = filters(sandbox);
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(format!("state_{name}"), without_random_ids(&text)));
}

// Everything that varies is below: first what depends on random ids, then what a pattern can tell.

/// A report whose lists are in the order of what is shown of their items. The function's order is that of random ids.
fn without_order(mut report: Report) -> Report {
    report.versions.sort_by(|a, b| a.labels.cmp(&b.labels));
    report.keys.sort_by(|a, b| a.created.cmp(&b.created));
    report
}

/// A text in which no random id, and nothing that follows from one, is left.
pub(crate) fn without_random_ids(text: &str) -> String {
    // Numbers come last: a request's id has the form of a version's, and keys are numbered in the order in which they appear.
    [without_request_ids, with_numbered_ids].iter().fold(text.to_owned(), |text, step| step(&text))
}

fn without_request_ids(text: &str) -> String {
    let mut parts = text.split("(request ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "(request ID)" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// Numbers access keys and versions as they first appear: a reader has to know only which are the same.
fn with_numbered_ids(text: &str) -> String {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut counts = [0, 0];
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let (count, kind) = match word {
            _ if word.len() == 20 && word.starts_with("AKIA") => (&mut counts[0], "KEY"),
            // A random one, and not AWS's example.
            _ if uuid::Uuid::try_parse(word).is_ok_and(|id| id.get_version_num() == 4) => (&mut counts[1], "VERSION"),
            _ => continue,
        };
        names.entry(word).or_insert_with(|| {
            *count += 1;
            format!("{kind}-{count}")
        });
    }
    names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
}

/// Patterns of what varies, each with what stands for it in a snapshot.
pub(crate) fn filters(sandbox: &Sandbox) -> insta::Settings {
    let folder = sandbox.path("").to_str().unwrap().replace('.', r"\.");
    let mut settings = insta::Settings::clone_current();
    for (varies, name) in [
        (folder.as_str(), "FOLDER/"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        // A slow machine.
        (r"  … \S+ has had no answer from [^\n]*\n", ""),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"),
        (r"\(\d+ (s|min|h|days) ago\)", "(AGE ago)"),
        (r"\([\d.]+ (s|min)\)\.", "(TIME)."),
        (r"\d+ (s|min|h|days) old", "AGE old"),
        (r"\(\d+\.\d s\)", "(TIME)"),
        (r"smtp-[A-Za-z0-9]{6}\b", "smtp-SUFFIX"),
        (r"(after|in) \d+ s\b", "$1 TIME"),
        // The error names the first of several versions, in the order of their ids.
        (r"VERSION-\d+ cannot be read", "VERSION cannot be read"),
    ] {
        settings.add_filter(varies, name);
    }
    settings
}
