//! The values of a YAML document with their places, before their types are checked.

use std::fmt;

/// A value, and where it is.
pub(super) struct Node {
    pub(super) found: Found,
    pub(super) at: At,
}

impl Node {
    /// The text, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.found {
            Found::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A range of bytes of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl At {
    /// Its first character, to mark what is missing there or has many lines.
    pub(super) fn beginning(self) -> Self {
        Self { end: self.start, ..self }
    }
}

/// What YAML makes of a value, by the rules of YAML 1.2: `yes`, `no`, `on`, `1_000` and dates are text.
pub(super) enum Found {
    /// Text, quoted or not.
    Text(String),
    /// A number; none if it is negative or not whole, since no key accepts such a number.
    Number(Option<u64>),
    /// `true` or `false`.
    Flag(bool),
    /// A key without a value, `~` or `null`.
    Nothing,
    /// Items in their order.
    List(Vec<Node>),
    /// Keys and values in their order.
    Map(Vec<(Node, Node)>),
    /// YAML that is not accepted. Its problem has been recorded.
    Refused,
}

impl Found {
    /// A plain scalar's value, by the core schema (YAML 1.2.2, section 10.3.2).
    pub(super) fn plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Nothing,
            "true" | "True" | "TRUE" => Self::Flag(true),
            "false" | "False" | "FALSE" => Self::Flag(false),
            _ => number(text).map_or_else(|| Self::Text(text.to_owned()), Self::Number),
        }
    }
}

/// The outer `None`: not a number. The inner `None`: a number that is negative or not whole.
#[expect(clippy::option_option, reason = "text and an unusable number are two different results")]
fn number(text: &str) -> Option<Option<u64>> {
    let digits = |prefix: &str, radix: u32| {
        let rest = text.strip_prefix(prefix)?;
        (!rest.is_empty() && rest.chars().all(|c| c.is_digit(radix))).then(|| u64::from_str_radix(rest, radix).ok())
    };
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_infinite = text.len() <= unsigned.len() + 1 && [".inf", ".Inf", ".INF"].contains(&unsigned);
    let is_special = is_infinite || [".nan", ".NaN", ".NAN"].contains(&text);
    // Rust reads the same decimal numbers, and also some words, which these characters leave out.
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) && text.parse::<f64>().is_ok();
    digits("", 10)
        .or_else(|| digits("+", 10))
        .or_else(|| digits("0x", 16))
        .or_else(|| digits("0o", 8))
        .or((is_special || is_decimal).then_some(None))
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Nothing | Self::Refused => "nothing",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of keys",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_is_what_yaml_1_2_says() {
        for text in [
            "yes",
            "no",
            "on",
            "1_000",
            "2026-01-31",
            "1:30",
            "0b1",
            "0x",
            "inf",
            "nan",
            "+",
            ".",
            "e3",
            "1e",
            "++.inf",
            "TrUe",
            "12a",
        ] {
            assert!(matches!(Found::plain(text), Found::Text(_)), "{text}");
        }
        for (text, value) in [("0", 0), ("012", 12), ("+5", 5), ("0x1F", 31), ("0o17", 15)] {
            assert!(matches!(Found::plain(text), Found::Number(Some(number)) if number == value), "{text}");
        }
        for text in ["-5", "1.10", ".5", "1.", "1e3", "-.inf", ".nan", "99999999999999999999"] {
            assert!(matches!(Found::plain(text), Found::Number(None)), "{text}");
        }
    }
}
