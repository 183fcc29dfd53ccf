//! The last look at what is shown: whatever a text of others brought with it, no code but our own colours reaches a terminal, and no
//! glyph that its locale cannot show.

use std::borrow::Cow;

use contract::is_hazard;

use super::text::style;

/// Our own glyphs, and how they are written in ASCII.
const GLYPHS: [(char, &str); 5] = [('…', "..."), ('→', "->"), ('✓', "ok"), ('✗', "x"), ('⟳', "*")];

/// The text with line breaks and our own colours. Every other control character is shown as an escape, and without `utf8` every
/// character that is not ASCII too.
pub(super) fn shown(text: &str, utf8: bool) -> Cow<'_, str> {
    let is_strange = |c: char| is_hazard(c) && c != '\n' || !utf8 && !c.is_ascii();
    if !text.chars().any(is_strange) {
        return Cow::Borrowed(text);
    }
    let ours = style::codes();
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code = ours.iter().find(|code| rest.starts_with(code.as_str()));
        let taken = code.map_or(c.len_utf8(), String::len);
        let glyph = GLYPHS.iter().find(|(glyph, _)| *glyph == c);
        match (code, glyph) {
            (None, Some((_, ascii))) if !utf8 => clean.push_str(ascii),
            (None, _) if is_strange(c) => clean.extend(c.escape_default()),
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
        assert_eq!(shown(&text, true), expected);
    }

    #[test]
    fn where_the_locale_is_not_utf8_every_character_is_ascii() {
        let red = style::RED;
        let text = format!("{red}✓{red:#} a → b … é\n");
        assert_eq!(shown(&text, false), format!("{red}ok{red:#} a -> b ... {}\n", r"\u{e9}"));
        assert_eq!(shown(&text, true), text);
    }
}
