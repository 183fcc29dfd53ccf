//! Asks a person before something changes.

use std::io::IsTerminal as _;

use contract::{Command, text};

use super::session::{Session, Shown};
use crate::{
    error::{Error, ErrorKind},
    screen::Screen,
};

/// The command of these words.
pub(super) fn command(words: &[&str]) -> Command {
    Command::Deployer(words.iter().map(|&word| word.to_owned()).collect())
}

/// Asks. `typed` are the words that were typed, without `deployer` and `--auto-approve`; `done_before` is how many changes this run has
/// made already.
pub(super) fn approve(session: &Session, question: &str, typed: &[&str], done_before: usize) -> Result<(), Shown> {
    if !std::io::stdin().is_terminal() {
        let error =
            Error::new("nobody can approve this: standard input is not a terminal").of_kind(ErrorKind::Declined);
        let approved = command(&[typed, &["--auto-approve"]].concat());
        return session.fail(Err(error.hint(text!["read what is shown above, then run ", approved])));
    }
    if Screen::ask(question) {
        return Ok(());
    }
    let refused = Error::new("not approved, so it was not done").of_kind(ErrorKind::Declined);
    session.fail(Err(if done_before == 0 {
        refused
    } else {
        let again = command(typed);
        refused.hint(text!["what was done before stays done; ", again, " continues from here"])
    }))
}
