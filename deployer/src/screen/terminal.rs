//! The terminal that standard error may be.

use std::{
    env,
    io::{IsTerminal as _, stderr},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use terminal_size::{Height, Width, terminal_size_of};

/// Whether a display can move the cursor there. `TERM=dumb` says that it cannot.
pub(super) fn can_be_drawn_on() -> bool {
    stderr().is_terminal() && env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb")
}

/// Columns and rows; those of a VT100 if the terminal does not say.
pub(super) fn size() -> (usize, usize) {
    let size = terminal_size_of(stderr()).filter(|(Width(columns), _)| *columns > 0);
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
