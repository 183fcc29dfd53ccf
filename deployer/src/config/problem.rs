//! What is wrong with a configuration, as data: the screen renders it for people, for programs and for GitHub.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::is_hazard;
use schemars::JsonSchema;
use serde::Serialize;

use super::node::At;

/// The configuration cannot be used: every mistake that was found in it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError(Problems);

impl ConfigError {
    /// The mistakes, in the order of files and places.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0.shown
    }

    /// How many more there are.
    pub(crate) fn more(&self) -> usize {
        self.0.more
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(problem.into())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { shown: vec![problem], more: 0 }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems().iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {} ({})", problem.place, problem.message, problem.hint)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Limit on the mistakes of one file that are kept. A file that a program wrote may have thousands.
const MAX_PROBLEMS: usize = 50;

/// The mistakes that were found so far, and how many more there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Problems {
    shown: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Adds a mistake of a file of which no more than [`MAX_PROBLEMS`] are kept.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> Problem) {
        if self.shown.len() < MAX_PROBLEMS { self.shown.push(problem()) } else { self.more += 1 }
    }

    /// Adds mistakes that have a limit of their own: those of one file never hide those of the next one.
    pub(super) fn append(&mut self, others: Self) {
        self.more += others.more;
        self.shown.extend(others.shown);
    }

    /// How many were found.
    pub(super) fn count(&self) -> usize {
        self.shown.len() + self.more
    }

    /// In the order of their places, if all are of one file.
    #[must_use]
    pub(super) fn sorted(mut self) -> Self {
        self.shown.sort_by_key(|problem| problem.place.spot.as_ref().map(|spot| (spot.line, spot.column)));
        self
    }

    /// The value, unless there is a mistake.
    pub(super) fn or<T>(self, value: T) -> Result<T, ConfigError> {
        if self.count() == 0 { Ok(value) } else { Err(ConfigError(self)) }
    }
}

/// The sort of a mistake, for programs. The names are a part of `--json`: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The file or folder cannot be read.
    Unreadable,
    /// The file is not UTF-8 text.
    Encoding,
    /// The file is not YAML.
    Syntax,
    /// YAML that a configuration may not use: an anchor, an alias, a merge key, a tag.
    UnsupportedYaml,
    /// The file, a document or the folder has no deployment.
    Empty,
    /// The file is larger, or its values are nested deeper, than that of any person.
    TooLarge,
    /// The file is for another version of the deployer.
    Version,
    /// No key has this name here.
    UnknownKey,
    /// A key that has to be there is not.
    MissingKey,
    /// A key, or an item of a list, is there twice.
    Duplicate,
    /// The value is of another type, such as a number instead of text.
    WrongType,
    /// The value is not one that the key accepts.
    InvalidValue,
    /// The key has no effect beside another one.
    NoEffect,
    /// Values of several keys do not fit each other.
    Conflict,
    /// Two deployments have the same name, secret or user.
    Shared,
    /// AWS would refuse what follows from the file, because it is too long.
    AwsLimit,
}

/// One mistake: what is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// One sentence without a full stop.
    pub(crate) message: String,
    pub(crate) place: Place,
    /// Another place that belongs to it, and what is there.
    pub(crate) other: Option<Box<(Place, &'static str)>>,
    /// What to write instead.
    pub(crate) hint: String,
}

impl Problem {
    pub(super) fn at(place: Place, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (quoting(&message.into()), quoting(&hint.into()));
        Self { code, message, place, other: None, hint }
    }

    /// A mistake of a file or folder as a whole.
    pub(super) fn of_file(file: &Path, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::at(Place { file: file.to_owned(), spot: None }, code, message, hint)
    }

    #[must_use]
    pub(super) fn beside(mut self, other: Place, what: &'static str) -> Self {
        self.other = Some(Box::new((other, what)));
        self
    }
}

/// Limit on the characters of a message or a hint.
const SHOWN_TEXT: usize = 1000;

/// A text that may quote the file, where somebody may have pasted a credential, or a value of any length. A credential is
/// masked before the text is cut: a part of one would not be recognised.
fn quoting(text: &str) -> String {
    let masked = without_credentials(text);
    match masked.char_indices().nth(SHOWN_TEXT) {
        Some((end, _)) => format!("{}…", &masked[..end]),
        None => masked,
    }
}

/// A file's path and text, in which places are found.
#[derive(Clone)]
pub(super) struct Source<'a> {
    /// As the user named it.
    pub(super) path: &'a Path,
    /// Without a byte order mark.
    pub(super) text: &'a str,
    /// The text as it may be shown.
    shown: Arc<str>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        let visible = |c: char| if is_hazard(c) && !is_space(c) { char::REPLACEMENT_CHARACTER } else { c };
        let shown = without_credentials(text).chars().map(visible).collect::<String>();
        Self { path, text, shown: shown.into() }
    }

    /// The first line of what is there, at least one character wide.
    pub(super) fn place(&self, at: At) -> Place {
        let start = self.text.floor_char_boundary(at.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let marked = (start - line_start).min(line.len());
        let end = line.floor_char_boundary(at.end.saturating_sub(line_start).max(marked));
        Place {
            file: self.path.to_owned(),
            spot: Some(Box::new(Spot {
                line: self.text[..line_start].matches('\n').count() + 1,
                column: line[..marked].chars().count() + 1,
                width: line[marked..end].trim_end().chars().count().max(1),
                text: Arc::clone(&self.shown),
            })),
        }
    }

    /// The characters of a scalar as they stand in the file, quotes included.
    pub(super) fn verbatim(&self, at: At) -> &'a str {
        self.text.get(at.start..at.end).unwrap_or_default().trim_end()
    }
}

/// White space that no terminal takes amiss, or that `lines` takes away.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

/// A file or folder, or a part of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As the user named it.
    pub(crate) file: PathBuf,
    /// None: the file as a whole.
    pub(crate) spot: Option<Box<Spot>>,
}

/// A part of one line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// In characters, at least 1.
    pub(crate) width: usize,
    /// The whole text, without credentials, and with nothing that a terminal would obey.
    text: Arc<str>,
}

impl Spot {
    /// The line as it may be shown: without credentials, and with nothing but tabs that a terminal would obey.
    pub(crate) fn line_text(&self) -> &str {
        self.text.lines().nth(self.line - 1).unwrap_or_default()
    }
}

impl fmt::Debug for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// `file:line:column`, as terminals and editors link it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match &self.spot {
            Some(spot) => write!(f, ":{}:{}", spot.line, spot.column),
            None => Ok(()),
        }
    }
}

/// The text with a `*` for every character of what may be a credential.
///
/// Somebody may have pasted a secret access key (40 characters) or an SMTP password (44) instead of an id. Neither may
/// reach a terminal or a CI log.
fn without_credentials(text: &str) -> String {
    let of_credential = |c: char| c.is_ascii_alphanumeric() || "/+=".contains(c);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.find(|c| !of_credential(c)).unwrap_or(rest.len()));
        let (other, after) = after.split_at(after.find(of_credential).unwrap_or(after.len()));
        let is_mixed = run.contains(|c: char| c.is_ascii_lowercase()) && run.contains(|c: char| c.is_ascii_uppercase());
        if (40..=44).contains(&run.len()) && is_mixed {
            masked.push_str(&"*".repeat(run.len()));
        } else {
            masked.push_str(run);
        }
        masked.push_str(other);
        rest = after;
    }
    masked
}
