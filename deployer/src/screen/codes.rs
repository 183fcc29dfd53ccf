//! The last look at what is shown: whatever a text of others brought with it, no code but our own colours reaches a terminal.

use std::borrow::Cow;

use contract::is_hazard;

use super::text::style;

/// The text with line breaks and our own colours, and every other control character shown as an escape.
pub(super) fn only_ours(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_hazard(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let ours = style::codes();
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code = ours.iter().find(|code| rest.starts_with(code.as_str()));
        let taken = code.map_or(c.len_utf8(), String::len);
        match code {
            None if is_hazard(c) && c != '\n' => clean.extend(c.escape_default()),
            _ => clean.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_colours_stay_and_every_other_code_is_shown() {
        let red = style::RED;
        let text = format!("{red}error:{red:#} one\ntwo\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\r");
        let expected = format!("{red}error:{red:#} one\ntwo{}", r"\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\r");
        assert_eq!(only_ours(&text), expected);
    }
}
