use std::{
    fmt,
    path::{Path, PathBuf},
};

use contract::{is_hazard, printable};
use serde_saphyr::Location;

/// The configuration cannot be used.
///
/// `Display` is the whole text for the terminal: every mistake that was found, each with its place, the line itself
/// and what to write instead.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// Limit on the mistakes that are kept: a person corrects the first ones, and most others follow from those.
pub(super) const MAX_PROBLEMS: usize = 50;

impl ConfigError {
    /// `problems` has at least one. Those beyond [`MAX_PROBLEMS`] are dropped.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.truncate(MAX_PROBLEMS);
        Self { problems }
    }

    /// Takes the problems out, to report them together with those of other files.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        if self.problems.len() == MAX_PROBLEMS {
            write!(f, "\n\nThese are {MAX_PROBLEMS} mistakes; no more are shown.")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One mistake: what is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Problem {
    message: String,
    place: Option<Box<Place>>,
    hint: String,
}

impl Problem {
    /// A mistake at a place of a source.
    pub(super) fn at(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: quoting(&message.into()), place: Some(Box::new(place)), hint: quoting(&hint.into()) }
    }

    /// Line and column, to sort by.
    pub(super) fn position(&self) -> (usize, usize) {
        self.place.as_ref().map_or((0, 0), |place| (place.line, place.column))
    }

    /// A mistake of a file or folder as a whole.
    pub(super) fn of_file(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            return write!(f, "error: {}\n\nhint: {}", printable(&self.message), printable(&self.hint));
        };
        write!(f, "error: {}\n{place}\n\nhint: {}", printable(&self.message), printable(&self.hint))
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
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// As the user named it.
    pub(super) path: &'a Path,
    /// Without a byte order mark.
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The place of something that the YAML library located.
    pub(super) fn place(&self, at: Location) -> Place {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        self.place_of(number(at.line()), number(at.column()), number(at.span().len()))
    }

    /// The place at a line and a column, both from 1, with a width in characters.
    pub(super) fn place_of(&self, line: usize, column: usize, width: usize) -> Place {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let (marked, length) = (column.saturating_sub(1), text.chars().count());
        let skipped = if length > SHOWN_LINE { marked.saturating_sub(SHOWN_LINE / 2) } else { 0 };
        Place {
            path: self.path.to_owned(),
            line,
            column,
            width: width.clamp(1, length.saturating_sub(marked).max(1)),
            shown: without_credentials(text).chars().skip(skipped).take(SHOWN_LINE).collect(),
            skipped,
        }
    }

    /// The characters of a scalar as they stand in the file, quotes included.
    pub(super) fn verbatim(&self, at: Location) -> &str {
        let bytes = at.span().byte_offset().zip(at.span().byte_len());
        let range = bytes.and_then(|(start, len)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(len).ok()?)?)
        });
        range.and_then(|range| self.text.get(range)).unwrap_or_default().trim_end()
    }
}

/// A part of one line of a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    path: PathBuf,
    line: usize,
    column: usize,
    width: usize,
    /// The part of the line around it, without credentials.
    shown: String,
    /// How many characters of the line come before that part.
    skipped: usize,
}

impl Place {
    /// `file:line:column`, as terminals and editors link it.
    pub(super) fn link(&self) -> String {
        format!("{}:{}:{}", self.path.display(), self.line, self.column)
    }

    /// What is shown of the line from this place on.
    pub(super) fn text(&self) -> &str {
        let before = self.column.saturating_sub(1).saturating_sub(self.skipped);
        self.shown.char_indices().nth(before).map_or("", |(at, _)| &self.shown[at..])
    }

    /// The place's first character, to mark what is missing there or has many lines.
    pub(super) fn beginning(self) -> Self {
        Self { width: 1, ..self }
    }
}

/// Limit on the characters of a line that are shown: a file that a program wrote may be one long line.
const SHOWN_LINE: usize = 110;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = in_columns(&self.shown);
        let marked = self.column.saturating_sub(1).saturating_sub(self.skipped);
        let carets = "^".repeat(self.width.min(SHOWN_LINE.saturating_sub(marked)).max(1));

        let margin = " ".repeat(self.line.to_string().len());
        writeln!(f, "{margin}--> {}", self.link())?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{} | {}", self.line, shown.trim_end())?;
        write!(f, "{margin} | {}{carets}", " ".repeat(marked))
    }
}

/// The text without what a terminal would obey, one column for each character, so that a caret stays below its place.
fn in_columns(text: &str) -> String {
    let visible = |c: char| match c {
        '\t' => '→',
        c if is_hazard(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(visible).collect()
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
