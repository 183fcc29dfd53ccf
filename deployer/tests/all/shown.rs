//! What a person was shown, without what varies from run to run.

use std::collections::BTreeMap;

use crate::sandbox::Sandbox;

/// Compares a text with its snapshot.
macro_rules! assert_shown {
    ($name:expr, $sandbox:expr, $text:expr) => {
        crate::shown::filters($sandbox).bind(|| insta::assert_snapshot!($name, crate::shown::with_numbered_ids($text)))
    };
}
pub(crate) use assert_shown;

/// The one list of what varies.
pub(crate) fn filters(sandbox: &Sandbox) -> insta::Settings {
    let folder = sandbox.path("").to_str().unwrap().replace('.', r"\.");
    let mut settings = insta::Settings::clone_current();
    for (varies, name) in [
        (folder.as_str(), "FOLDER/"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"),
        (r"\(\d+ (s|min|h|days) ago\)", "(AGE ago)"),
        (r"\d+ s old", "AGE old"),
        (r"\(\d+\.\d s\)", "(TIME)"),
        (r"smtp-[A-Za-z0-9]{6}\b", "smtp-SUFFIX"),
        (r"(after|in) \d+ s\b", "$1 TIME"),
        // The first of them, in the order of their ids.
        (r"VERSION-\d+ cannot be read", "VERSION cannot be read"),
    ] {
        settings.add_filter(varies, name);
    }
    settings
}

/// Access keys and versions, numbered as they first appear: which of them is meant is what matters.
pub(crate) fn with_numbered_ids(text: &str) -> String {
    let text = &without_request_ids(&without_order_of_keys(text));
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

/// They look like versions, and would be numbered as such.
fn without_request_ids(text: &str) -> String {
    let mut parts = text.split("(request ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "(request ID)" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// The function names both keys in the order of their ids, which are random.
fn without_order_of_keys(text: &str) -> String {
    let (begin, end) = ("neither may go: ", "; no key was made");
    match text.split_once(begin).and_then(|(head, rest)| Some((head, rest.split_once(end)?.1))) {
        Some((head, tail)) => format!("{head}{begin}BOTH KEYS{end}{}", without_order_of_keys(tail)),
        None => text.to_owned(),
    }
}
