//! Lines that fit the screen. A name or a command stays whole, so that it can be searched and copied.

use std::fmt::Write as _;

use textwrap::{Options, WordSeparator, WordSplitter, core::display_width};

/// Appends a paragraph. Its further lines are indented by two more columns.
pub(super) fn push_wrapped(text: &mut String, columns: usize, indent: usize, paragraph: &str) {
    push_hanging(text, columns, &" ".repeat(indent), &" ".repeat(indent + 2), paragraph);
}

/// Appends a paragraph after `first`. Its further lines begin below its first word.
pub(super) fn push_below(text: &mut String, columns: usize, first: &str, paragraph: &str) {
    push_hanging(text, columns, first, &" ".repeat(display_width(first)), paragraph);
}

/// Appends a paragraph after `first`; its further lines stand after `rest`. Colours take no columns.
pub(super) fn push_hanging(text: &mut String, columns: usize, first: &str, rest: &str, paragraph: &str) {
    let options = Options::new(columns)
        .initial_indent(first)
        .subsequent_indent(rest)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    let whole = with_whole_commands(paragraph.trim_end());
    let _ = writeln!(text, "{}", textwrap::fill(&whole, options).replace(WITHIN_COMMAND, " "));
}

/// Stands for a space at which no line ends, and is as wide as one. One in a text of others is shown as a space.
const WITHIN_COMMAND: char = '\u{a0}';

/// Commands stand between back-quotes.
fn with_whole_commands(paragraph: &str) -> String {
    let parts = paragraph.split('`').enumerate();
    let joined = parts.map(|(at, part)| if at % 2 == 1 { part.replace(' ', "\u{a0}") } else { part.to_owned() });
    joined.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_between_words_and_never_within_a_command_or_a_name() {
        let mut text = String::new();
        push_wrapped(
            &mut text,
            24,
            2,
            "as a person would, run `deployer apply --during-rotation` on a-name-that-is-longer-than-24",
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "  as a person would, run",
                "    `deployer apply --during-rotation`",
                "    on",
                "    a-name-that-is-longer-than-24"
            ]
        );

        // The spaces of a command are counted too.
        text.clear();
        push_wrapped(&mut text, 20, 0, "`deployer plan a b` shows it");
        assert_eq!(text, "`deployer plan a b`\n  shows it\n");
    }
}
