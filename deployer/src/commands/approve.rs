//! Asks a person before something changes.

use std::io::IsTerminal as _;

use contract::{Command, text};

use super::{ended::Shown, session::Session};
use crate::{
    aws::Identity,
    error::{Error, ErrorKind},
    read_once,
    screen::Screen,
};

/// How the run of a plan is approved.
pub(super) struct Approval<'a> {
    /// The verb, and the flags that decide what the run does.
    pub(super) typed: &'a [&'a str],
    /// The plan that was given in place of CONFIG, if one was.
    pub(super) plan_file: Option<&'a str>,
    /// What a person has to type.
    pub(super) answer: &'a str,
    /// Nobody is asked.
    pub(super) auto_approve: bool,
    /// `--delete-leftovers`: the deployment's name, typed by who lets a run delete most of what its record names.
    pub(super) delete_leftovers: Option<&'a str>,
    /// The value of `--purge-secret`: the secret's name, typed by who lets a run delete it for good.
    pub(super) purge_secret: Option<&'a str>,
}

/// Asks for a yes. `typed` are the words that were typed, without `deployer` and `--auto-approve`; `done_before` is how many changes
/// this run has made already.
pub(super) async fn approve(
    session: &Session,
    question: &str,
    typed: &[&str],
    done_before: usize,
) -> Result<(), Shown> {
    approve_by(session, question, &Approval::by_yes(typed), done_before).await
}

impl<'a> Approval<'a> {
    /// A person is asked for a yes.
    pub(super) fn by_yes(typed: &'a [&'a str]) -> Self {
        Self { typed, plan_file: None, answer: "yes", auto_approve: false, delete_leftovers: None, purge_secret: None }
    }

    /// The verb that was typed.
    pub(super) fn verb(&self) -> &'a str {
        self.typed.first().copied().unwrap_or_default()
    }

    /// What was typed, and further words, as a command.
    pub(super) fn again_with(&self, more: &[&str]) -> Command {
        match self.plan_file {
            Some(plan) => Command::complete(&[self.typed, more, &[plan]].concat()),
            None => Command::words(&[self.typed, more].concat()),
        }
    }
}

/// Asks, unless nobody is to be asked.
pub(super) async fn approve_by(
    session: &Session,
    question: &str,
    approval: &Approval<'_>,
    done_before: usize,
) -> Result<(), Shown> {
    if approval.auto_approve {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let error =
            Error::new("nobody can approve this: standard input is not a terminal").of_kind(ErrorKind::Declined);
        let approved = approval.again_with(&["--auto-approve"]);
        return session.or_show(Err(error.hint(text![format!("to answer yes to \"{question}\", run "), approved])));
    }
    let alias = read_once::account_alias(&session.aws).await;
    if Screen::ask(question, &place(session, alias.as_deref()), approval.answer) {
        return Ok(());
    }
    let refused = Error::new("not approved, so it was not done").of_kind(ErrorKind::Declined);
    session.or_show(Err(if done_before == 0 {
        refused
    } else {
        let again = approval.again_with(&[]);
        refused.of_kind(ErrorKind::Partial).hint(text![
            "what was done before stays done; ",
            again,
            " continues from here"
        ])
    }))
}

/// Where it would be done, and as whom: the account's number alone says little to a person.
fn place(session: &Session, alias: Option<&str>) -> String {
    let Identity { account_id, arn, .. } = &session.identity;
    let alias = alias.map_or_else(String::new, |alias| format!(" ({alias})"));
    format!("account {account_id}{alias}, {}, as {arn}", session.deployment.config.region)
}
