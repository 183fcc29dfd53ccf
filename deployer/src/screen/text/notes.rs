use std::fmt::Write as _;

use contract::{Text, printable};

use super::style::YELLOW;

/// A line for each note.
pub(super) fn push_notes(text: &mut String, notes: &[Text], config: Option<&str>) {
    for note in notes {
        let _ = writeln!(text, "{YELLOW}note:{YELLOW:#} {}", printable(&note.render(config)));
    }
}
