//! The colours of text. Nothing is said by colour alone.

use anstyle::{AnsiColor, Style};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(in crate::screen) const RED: Style = AnsiColor::Red.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// What these styles write to a terminal.
pub(in crate::screen) fn codes() -> Vec<String> {
    let styles = [BOLD, GREEN, YELLOW, RED, CYAN];
    styles.into_iter().flat_map(|style| [format!("{style}"), format!("{style:#}")]).collect()
}
