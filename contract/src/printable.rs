//! Makes text of others printable: of AWS, of hosts and scripts, of SES, and of a file.

use std::{borrow::Cow, fmt::Write as _};

/// Characters of a foreign text that are shown. Neither a script nor a service may fill a screen, a log or a mail.
const LONGEST: usize = 4000;

/// A text of others for one line: escape codes, other control characters, line breaks and overrides of the writing direction are shown
/// as Rust escapes (`\u{1b}`), so that none can change how the rest is shown, or forge another line. A long text is cut.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(LONGEST).map(|(end, _)| end);
    if end.is_none() && !text.chars().any(is_hazard) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len().min(2 * LONGEST));
    for c in text[..end.unwrap_or(text.len())].chars() {
        if is_hazard(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    if let Some(end) = end {
        let _ = write!(clean, "… ({} more characters)", text[end..].chars().count());
    }
    Cow::Owned(clean)
}

/// A text of ours of several lines, in which texts of others may stand: each line is made printable.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON in which what could change a terminal is escaped, also where JSON would not need it. It says the same.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hazard) {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        // Every hazard has four hexadecimal digits, and JSON has escaped the line breaks.
        if is_hazard(c) {
            let _ = write!(clean, "\\u{:04x}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// Control characters, line separators, and Unicode's directional formatting characters (UAX #9, section 2).
#[must_use]
pub fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_the_terminal_is_shown_and_not_done() {
        let forged = "ok\u{1b}[2J\r\nerror: none\u{202e}\u{9b}\u{2028}";
        assert_eq!(printable(forged), r"ok\u{1b}[2J\r\nerror: none\u{202e}\u{9b}\u{2028}");
        assert_eq!(printable("as it is: é → ✓"), "as it is: é → ✓");
    }

    #[test]
    fn a_long_text_is_cut() {
        let cut = printable(&"é".repeat(LONGEST + 7)).into_owned();
        assert!(cut.starts_with("éé") && cut.ends_with("é… (7 more characters)"), "{cut}");
    }

    #[test]
    fn json_says_the_same_in_characters_that_no_terminal_obeys() {
        let text = "\u{9b}31m\u{7f}\u{202e}";
        let json = serde_json::json!(text).to_string();
        let clean = printable_json(&json);
        assert!(clean.is_ascii() && !clean.chars().any(is_hazard), "{clean}");
        assert_eq!(serde_json::from_str::<String>(&clean).unwrap(), text);
    }
}
