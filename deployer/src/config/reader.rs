//! Reads values of one type each, and collects what is wrong with them.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{
    duration::{self, DAY, DurationText},
    leaf::{Leaf, Optional, Required},
    nearest::nearest,
    node::{At, Found, Node},
    problem::{Code, Problem, Problems, Source},
    text::InvalidValue,
};

const NO_VALUE: &str = "write a value after the colon, or remove the key if it is optional";

/// What is refused with a line break before the quote's end.
pub(super) const NO_LINE_BREAK: &str =
    "take the line break at its end away, which YAML's `|` and `>` leave: write the value on the line of its key";

/// Reads the values of one document. If a method returns `None`, it has recorded a problem.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    /// The problems that were found so far.
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Records the problem of a value that the key does not accept.
    pub(super) fn refuse<V>(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) -> Option<V> {
        self.refuse_as(Code::InvalidValue, at, message, hint);
        None
    }

    /// Records a problem of another sort.
    pub(super) fn refuse_as(&mut self, code: Code, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.add(|| {
            let (message, hint) = (message.into(), hint.into());
            // The message quotes what is refused.
            let hint = match invisible(&message) {
                Some(name) => format!("delete the invisible character in it, {name}; or {hint}"),
                None if message.contains("\n`") => format!("{NO_LINE_BREAK}; or {hint}"),
                None => hint,
            };
            Problem::at(self.source.place(at), code, message, hint)
        });
    }

    /// Records that a key has no effect, because of what the file says elsewhere.
    pub(super) fn no_effect(&mut self, at: At, key: &str, because: &str, hint: impl Into<String>) {
        self.refuse_as(Code::NoEffect, at, format!("`{key}` has no effect {because}"), hint);
    }

    /// Records that a value does not fit another one.
    pub(super) fn conflict<V>(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) -> Option<V> {
        self.refuse_as(Code::Conflict, at, message, hint);
        None
    }

    /// Records that what is `at` a place was at another one before.
    pub(super) fn is_there_twice(&mut self, at: At, first: At, message: String) {
        let source = self.source;
        self.problems.add(|| {
            Problem::at(source.place(at), Code::Duplicate, message, "remove one of the two")
                .beside(source.place(first), "the first one")
        });
    }

    /// Records the problem of a value that its checked type refuses.
    pub(super) fn accept<V>(&mut self, at: At, result: Result<V, InvalidValue>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => self.refuse(at, error.message, error.hint),
        }
    }

    /// Records the problem of a value of another type.
    pub(super) fn refuse_type<V>(&mut self, key: &str, node: &Node, expected: &str, hint: &str) -> Option<V> {
        match &node.found {
            Found::Refused => {}
            Found::Nothing => self.refuse_as(Code::WrongType, node.at, format!("`{key}` has no value"), NO_VALUE),
            found => {
                let message = format!("`{key}` must be {expected}, not {found}");
                self.refuse_as(Code::WrongType, node.at, message, hint);
            }
        }
        None
    }

    /// Text that is not empty.
    pub(super) fn text<'n>(&mut self, key: &str, leaf: &'n Node) -> Option<&'n str> {
        match self.text_or_empty(key, leaf)? {
            "" => self.refuse(leaf.at, format!("`{key}` is empty"), NO_VALUE),
            text => Some(text),
        }
    }

    /// Text, which may be empty.
    ///
    /// A number, true or false needs quotes: another program that reads the file would not see its characters (`012` is
    /// 12, `1.10` is 1.1).
    pub(super) fn text_or_empty<'n>(&mut self, key: &str, leaf: &'n Node) -> Option<&'n str> {
        match &leaf.found {
            Found::Text(text) => Some(text),
            Found::Number(_) | Found::Flag(_) => {
                let hint = format!("put it in quotes: \"{}\"", self.source.verbatim(leaf.at));
                self.refuse_type(key, leaf, "text", &hint)
            }
            _ => self.refuse_type(key, leaf, "text", "write text, in quotes if in doubt"),
        }
    }

    /// Text of a checked type.
    pub(super) fn parsed<V>(&mut self, key: &str, leaf: &Leaf<String>) -> Option<V>
    where
        V: FromStr<Err = InvalidValue>,
    {
        // Quotes alone would not help.
        if matches!(leaf.found, Found::Number(_) | Found::Flag(_))
            && let Err(InvalidValue { hint, .. }) = self.source.verbatim(leaf.at).parse::<V>()
        {
            return self.refuse_type(key, leaf, "text", &hint);
        }
        let result = self.text(key, leaf)?.parse();
        self.accept(leaf.at, result)
    }

    /// One of a few words.
    pub(super) fn choice<V: Copy>(&mut self, key: &str, leaf: &Node, choices: &[(&str, V)]) -> Option<V> {
        let text = self.text(key, leaf)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words = || choices.iter().map(|(word, _)| *word);
        let hint = match nearest(text, words()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", words().collect::<Vec<_>>().join(", ")),
        };
        self.refuse(leaf.at, format!("`{key}` cannot be `{text}`"), hint)
    }

    /// A duration with its unit.
    pub(super) fn duration(&mut self, key: &str, leaf: &Leaf<DurationText>) -> Option<Duration> {
        match &leaf.found {
            Found::Text(_) => {
                let result = duration::parse(self.text(key, leaf)?);
                self.accept(leaf.at, result)
            }
            Found::Number(Some(number)) => self.refuse(
                leaf.at,
                format!("`{key}` has no unit"),
                format!("write {number}s, {number}m, {number}h or {number}d for seconds, minutes, hours or days"),
            ),
            _ => self.refuse_type(key, leaf, "a duration", "write 30s, 2m, 24h or 30d"),
        }
    }

    /// A duration that may be left out.
    pub(super) fn duration_or(
        &mut self,
        key: &str,
        leaf: &Optional<Leaf<DurationText>>,
        default: &str,
    ) -> Option<Duration> {
        leaf.get().map_or_else(|| duration::parse(default).ok(), |leaf| self.duration(key, leaf))
    }

    /// Whole days, and where they were given. `expected` ends a hint: which numbers of days are accepted.
    pub(super) fn days(
        &mut self,
        key: &str,
        leaf: &Optional<Leaf<DurationText>>,
        default: &str,
        expected: &str,
    ) -> Option<(u64, Option<At>)> {
        let hint = format!("write whole days, {expected}");
        match leaf.get().map(|leaf| (leaf, &leaf.found)) {
            Some((leaf, Found::Number(Some(number)))) => {
                let hint = if *number == 0 { hint } else { format!("write {number}d") };
                return self.refuse(leaf.at, format!("`{key}` has no unit"), hint);
            }
            Some((leaf, Found::Text(text))) if !text.is_empty() => {
                if let Err(InvalidValue { message, .. }) = duration::parse(text) {
                    return self.refuse(leaf.at, message, hint);
                }
            }
            _ => {}
        }
        let duration = self.duration_or(key, leaf, default)?;
        let at = leaf.get().map(|leaf| leaf.at);
        if !duration.as_secs().is_multiple_of(DAY.as_secs()) {
            return self.refuse(at?, format!("`{key}` is not in whole days"), hint);
        }
        Some((duration.as_secs() / DAY.as_secs(), at))
    }

    /// True or false, and nothing else.
    pub(super) fn flag(&mut self, key: &str, leaf: &Leaf<bool>) -> Option<bool> {
        match &leaf.found {
            Found::Flag(flag) => Some(*flag),
            _ => self.refuse_type(key, leaf, "true or false", "write true or false, without quotes"),
        }
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &str, leaf: &Leaf<u32>, range: RangeInclusive<u32>) -> Option<u32> {
        let hint = format!("write a number from {} to {}, without unit or quotes", range.start(), range.end());
        match &leaf.found {
            Found::Number(number) => {
                let number = number.and_then(|number| u32::try_from(number).ok()).filter(|n| range.contains(n));
                let refused = format!("`{key}` cannot be {}", self.source.verbatim(leaf.at));
                number.or_else(|| self.refuse(leaf.at, refused, hint))
            }
            _ => self.refuse_type(key, leaf, "a whole number", &hint),
        }
    }

    /// A list of different checked texts, at least one and no more than a limit.
    pub(super) fn list<V>(
        &mut self,
        key: &str,
        leaf: &Leaf<Vec<String>>,
        limit: usize,
        check: impl Fn(&str) -> Result<V, InvalidValue>,
    ) -> Option<Vec<V>> {
        let items = match &leaf.found {
            Found::List(items) => items,
            Found::Text(text) => {
                return self.refuse(leaf.at, format!("`{key}` must be a list"), format!("write [\"{text}\"]"));
            }
            _ => return self.refuse_type(key, leaf, "a list", "write [a, b], or one `- ` line per item"),
        };
        if items.is_empty() {
            return self.refuse(leaf.at, format!("`{key}` is an empty list"), "add an item, or remove the key");
        }
        if items.len() > limit {
            let message = format!("`{key}` has {} items", items.len());
            return self.refuse(leaf.at, message, format!("write at most {limit}"));
        }
        let mut texts = BTreeMap::new();
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = self.text(&format!("{key}[{index}]"), item) else { continue };
            match texts.insert(text, item.at) {
                Some(first) => self.is_there_twice(item.at, first, format!("`{text}` is listed twice")),
                None => values.extend(self.accept(item.at, check(text))),
            }
        }
        (values.len() == items.len()).then_some(values)
    }
}

/// A character that nobody sees, or that looks like a space: a web page or a word processor adds such ones to what is copied.
pub(super) fn invisible(text: &str) -> Option<String> {
    text.chars().find_map(|c| {
        let name = match c {
            '\u{a0}' => "a no-break space",
            '\u{ad}' => "a soft hyphen",
            '\u{200b}' => "a zero-width space",
            '\u{200c}' | '\u{200d}' => "a zero-width joiner",
            '\u{2060}' => "a word joiner",
            '\u{feff}' => "a byte order mark",
            '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => "a space of another width",
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                "a mark of the writing direction"
            }
            _ => return None,
        };
        Some(format!("{name} (U+{:04X})", u32::from(c)))
    })
}

/// Reads a key that has to be there.
pub(super) fn required<L, V>(key: &Required<L>, read: impl FnOnce(&L) -> Option<V>) -> Option<V> {
    key.get().and_then(read)
}

/// Reads an optional key. Returns the default if the key is missing.
pub(super) fn or_default<L, V>(key: &Optional<L>, default: V, read: impl FnOnce(&L) -> Option<V>) -> Option<V> {
    if_given(key, read).map(|value| value.unwrap_or(default))
}

/// Reads an optional group. If the group is missing, all of its keys are.
pub(super) fn group<G: Default, V>(key: &Optional<G>, read: impl FnOnce(&G) -> Option<V>) -> Option<V> {
    match key {
        Optional::Missing => read(&G::default()),
        Optional::Refused => None,
        Optional::Given(group) => read(group),
    }
}

/// Reads an optional key without a default. The outer `None`: a problem was recorded. The inner `None`: the key is missing.
#[expect(clippy::option_option, reason = "wrong, missing and given are three different results")]
pub(super) fn if_given<L, V>(key: &Optional<L>, read: impl FnOnce(&L) -> Option<V>) -> Option<Option<V>> {
    match key {
        Optional::Missing => Some(None),
        Optional::Refused => None,
        Optional::Given(value) => read(value).map(Some),
    }
}
