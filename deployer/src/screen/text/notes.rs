use contract::{Text, printable};

use super::{style::YELLOW, wrap::push_wrapped};

/// A paragraph for each note.
pub(super) fn push_notes(text: &mut String, columns: usize, notes: &[Text], config: Option<&str>) {
    for note in notes {
        push_note(text, columns, 0, note, config);
    }
}

pub(super) fn push_note(text: &mut String, columns: usize, indent: usize, note: &Text, config: Option<&str>) {
    push_wrapped(text, columns, indent, &format!("{YELLOW}note:{YELLOW:#} {}", printable(&note.render(config))));
}
