//! The terminal that standard output and standard error may be.

use std::{
    env,
    io::{IsTerminal, stderr},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use terminal_size::{Height, Width, terminal_size_of};

/// Whether a display can move the cursor there. `TERM=dumb` says that it cannot.
pub(super) fn can_be_drawn_on() -> bool {
    stderr().is_terminal() && env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb")
}

/// A longer line is hard to read, however wide the terminal is.
const WIDEST: usize = 120;

/// A narrower terminal breaks the lines itself.
const NARROWEST: usize = 40;

/// Columns of a line for people.
pub(super) fn columns(stream: &(impl AsFd + IsTerminal)) -> usize {
    let shown = stream.is_terminal().then(|| size_of(stream).0);
    fitting(env::var("COLUMNS").ok().as_deref(), shown)
}

/// The variable COLUMNS decides, as in other tools, and then the terminal. Elsewhere a line is as long as it is, so that a log can be
/// searched.
fn fitting(variable: Option<&str>, terminal: Option<usize>) -> usize {
    let wanted = variable.and_then(|columns| columns.parse().ok());
    wanted.or(terminal.map(|columns| columns.min(WIDEST))).map_or(usize::MAX, |columns| columns.max(NARROWEST))
}

/// Columns and rows of the terminal that standard error is.
pub(super) fn size() -> (usize, usize) {
    size_of(&stderr())
}

/// Columns and rows; those of a VT100 if the terminal does not say.
fn size_of(terminal: &impl AsFd) -> (usize, usize) {
    let size = terminal_size_of(terminal).filter(|(Width(columns), _)| *columns > 0);
    size.map_or((80, 24), |(Width(columns), Height(rows))| (columns.into(), rows.into()))
}

/// While it lives, the terminal does not write `^C` if somebody presses Ctrl-C. That would move the display, which then clears the wrong
/// lines. Whatever is typed is still shown, also if the program is killed and this stays so.
#[derive(Debug)]
pub(super) struct WithoutKeys(Termios);

impl WithoutKeys {
    /// None if the terminal cannot be asked.
    pub(super) fn begin() -> Option<Self> {
        let before = tcgetattr(stderr()).ok()?;
        let mut without = before.clone();
        without.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(stderr(), OptionalActions::Now, &without).ok()?;
        Some(Self(before))
    }
}

impl Drop for WithoutKeys {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(stderr(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_terminal_or_what_somebody_wants_and_elsewhere_they_are_not_broken() {
        assert_eq!(
            [fitting(None, Some(80)), fitting(None, Some(300)), fitting(None, Some(3))],
            [80, WIDEST, NARROWEST]
        );
        assert_eq!([fitting(Some("100"), Some(80)), fitting(Some("100"), None)], [100, 100]);
        assert_eq!([fitting(Some("wide"), Some(80)), fitting(None, None)], [80, usize::MAX]);
    }
}
