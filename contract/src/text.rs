use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Command;

/// A sentence, or a part of one, in which commands stand as data. Made by [`crate::text!`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text(Vec<Piece>);

/// A piece of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Words as they are shown.
    Words(String),
    /// A command, shown in back-quotes.
    Command(Command),
}

/// A [`Text`] from its pieces, in order: words and [`Command`]s.
///
/// ```
/// use contract::{Command, text};
/// let text = text!["run ", Command::deployer("recover"), " first"];
/// assert_eq!(text.to_string(), "run `deployer recover` first");
/// ```
#[macro_export]
macro_rules! text {
    ($($piece:expr),* $(,)?) => { $crate::Text::new(vec![$($crate::Piece::from($piece)),*]) };
}

impl Text {
    /// The text of these pieces.
    #[must_use]
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    /// The text as it is shown. `config`, if given, is the CONFIG that a command of the deployer's has to name.
    #[must_use]
    pub fn render(&self, config: Option<&str>) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Command(command) => format!("`{}`", command.in_shell(config)),
        };
        self.0.iter().map(piece).collect()
    }

    /// The commands in it, in order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Words(_) => None,
            Piece::Command(command) => Some(command),
        })
    }

    /// This text and then that one.
    #[must_use]
    pub fn then(mut self, next: impl Into<Self>) -> Self {
        self.0.extend(next.into().0);
        self
    }

    /// These texts as one, with words between them.
    #[must_use]
    pub fn join(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        texts.into_iter().fold(
            Self::default(),
            |all, next| {
                if all.0.is_empty() { next } else { all.then(between).then(next) }
            },
        )
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(None))
    }
}

impl<T: Into<Piece>> From<T> for Text {
    fn from(piece: T) -> Self {
        Self(vec![piece.into()])
    }
}

impl From<&str> for Piece {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl From<String> for Piece {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<Command> for Piece {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_in_a_text_names_the_configuration_that_was_given() {
        let text = text!["look, then run ", Command::deployer("rotate"), format!(", not {}", "this")];
        assert_eq!(text.render(Some("prod.yaml")), "look, then run `deployer rotate prod.yaml`, not this");
        assert_eq!(text.to_string(), "look, then run `deployer rotate`, not this");
    }

    #[test]
    fn texts_are_joined_with_words_between_them() {
        let texts = ["one", "two", "three"].map(Text::from);
        assert_eq!(Text::join(texts, "; ").to_string(), "one; two; three");
        assert_eq!(Text::join([], "; "), Text::default());
    }
}
