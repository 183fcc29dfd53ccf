//! A text in a line.

use contract::Text;
use schemars::JsonSchema;
use serde::Serialize;

/// A text, with the commands in it.
#[derive(Serialize, JsonSchema)]
pub(in crate::screen) struct TextLine {
    message: String,
    /// The commands in it, ready to be run by a POSIX shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

impl TextLine {
    pub(super) fn new(text: &Text, config: Option<&str>) -> Self {
        let commands = text.commands().map(|command| command.in_shell(config)).collect();
        Self { message: text.render(config), commands }
    }

    pub(super) fn all<'a>(texts: impl IntoIterator<Item = &'a Text>, config: Option<&str>) -> Vec<Self> {
        texts.into_iter().map(|text| Self::new(text, config)).collect()
    }
}
