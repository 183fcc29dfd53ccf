//! Reads values of one type each, and collects what is wrong with them.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use serde_saphyr::Location;

use super::{
    duration::{self, DurationText},
    leaf::{Found, Leaf, Optional},
    problem::{MAX_PROBLEMS, Problem, Source},
    text::InvalidValue,
    yaml::nearest,
};

const NO_VALUE: &str = "write a value after the colon, or remove the key if it is optional";

/// Reads the values of one file. If a method returns `None`, it has recorded a problem.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    /// The problems that were found so far.
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Records a problem.
    pub(super) fn refuse<V>(&mut self, at: Location, message: impl Into<String>, hint: impl Into<String>) -> Option<V> {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::at(self.source.place(at), message, hint));
        }
        None
    }

    /// Records the problem of a value that its checked type refuses.
    pub(super) fn accept<V>(&mut self, at: Location, result: Result<V, InvalidValue>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => self.refuse(at, error.message, error.hint),
        }
    }

    fn refuse_type<V>(&mut self, key: &str, at: Location, expected: &str, found: &Found, hint: &str) -> Option<V> {
        if matches!(found, Found::Nothing) {
            return self.refuse(at, format!("`{key}` has no value"), NO_VALUE);
        }
        self.refuse(at, format!("`{key}` must be {expected}, not {found}"), hint)
    }

    /// Text that is not empty.
    pub(super) fn text<'l, T>(&mut self, key: &str, leaf: &'l Leaf<T>) -> Option<&'l str> {
        match self.text_or_empty(key, leaf)? {
            "" => self.refuse(leaf.at, format!("`{key}` is empty"), NO_VALUE),
            text => Some(text),
        }
    }

    /// Text, which may be empty.
    ///
    /// A number, true or false needs quotes: another program that reads the file would not see its characters (`012` is
    /// 12, `1.10` is 1.1).
    pub(super) fn text_or_empty<'l, T>(&mut self, key: &str, leaf: &'l Leaf<T>) -> Option<&'l str> {
        match &leaf.found {
            Found::Text(text) => Some(text),
            found @ (Found::Number(_) | Found::Flag(_)) => {
                let hint = format!("put it in quotes: \"{}\"", self.source.verbatim(leaf.at));
                self.refuse_type(key, leaf.at, "text", found, &hint)
            }
            found => self.refuse_type(key, leaf.at, "text", found, "write text, in quotes if in doubt"),
        }
    }

    /// Text of a checked type.
    pub(super) fn parsed<V>(&mut self, key: &str, leaf: &Leaf<String>) -> Option<V>
    where
        V: FromStr<Err = InvalidValue>,
    {
        let result = self.text(key, leaf)?.parse();
        self.accept(leaf.at, result)
    }

    /// One of a few words.
    pub(super) fn choice<V: Copy>(&mut self, key: &str, leaf: &Leaf<String>, choices: &[(&str, V)]) -> Option<V> {
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
            found => self.refuse_type(key, leaf.at, "a duration", found, "write 30s, 2m, 24h or 30d"),
        }
    }

    /// True or false, and nothing else.
    pub(super) fn flag(&mut self, key: &str, leaf: &Leaf<bool>) -> Option<bool> {
        match &leaf.found {
            Found::Flag(flag) => Some(*flag),
            found => self.refuse_type(key, leaf.at, "true or false", found, "write true or false, without quotes"),
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
            found => self.refuse_type(key, leaf.at, "a whole number", found, &hint),
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
            found => return self.refuse_type(key, leaf.at, "a list", found, "write [a, b], or one `- ` line per item"),
        };
        if items.is_empty() {
            return self.refuse(leaf.at, format!("`{key}` is an empty list"), "add an item, or remove the key");
        }
        if items.len() > limit {
            let message = format!("`{key}` has {} items", items.len());
            return self.refuse(leaf.at, message, format!("write at most {limit}"));
        }
        let mut texts = Vec::new();
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = self.text(&format!("{key}[{index}]"), item) else { continue };
            if texts.contains(&text) {
                self.refuse::<V>(item.at, format!("`{text}` is listed twice"), "remove one of the two");
            }
            texts.push(text);
            values.extend(self.accept(item.at, check(text)));
        }
        (values.len() == items.len()).then_some(values)
    }
}

/// Reads an optional key. Returns the default if the key is missing.
pub(super) fn or_default<L, V>(leaf: &Optional<L>, default: V, read: impl FnOnce(&L) -> Option<V>) -> Option<V> {
    leaf.get().map_or(Some(default), read)
}

/// Reads an optional key without a default. The outer `None`: a problem was recorded. The inner `None`: the key is missing.
#[expect(clippy::option_option, reason = "wrong, missing and given are three different results")]
pub(super) fn if_given<L, V>(leaf: &Optional<L>, read: impl FnOnce(&L) -> Option<V>) -> Option<Option<V>> {
    leaf.get().map_or(Some(None), |leaf| read(leaf).map(Some))
}
