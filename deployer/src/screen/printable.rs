//! Makes text of others printable: of AWS, of hosts and scripts, of SES, and of the file.

use std::borrow::Cow;

/// The text without anything that could change how the terminal shows the rest: escape codes, other control characters, line
/// breaks and overrides of the writing direction are shown as Rust escapes (`\u{1b}`).
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hazard) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hazard(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

/// Control characters, and Unicode's directional formatting characters (UAX #9, section 2).
fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_the_terminal_is_shown_and_not_done() {
        let forged = "ok\u{1b}[2J\r\nerror: none\u{202e}\u{9b}";
        assert_eq!(printable(forged), r"ok\u{1b}[2J\r\nerror: none\u{202e}\u{9b}");
        assert_eq!(printable("as it is: é → ✓"), "as it is: é → ✓");
    }
}
