//! The live display: on a terminal, what runs now is shown below what has been printed. It only reads events, and leaves nothing behind.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use textwrap::{Options, WordSplitter};

use super::{
    codes, locale,
    terminal::{self, WithoutKeys},
};
use crate::{engine::events::Event, interrupt};

use self::running::Running;

mod running;

/// How often the clock and the spinner move.
const TICK: Duration = Duration::from_millis(125);

const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠛"];
const ASCII_SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// Where a display may be. All clones of a screen share it, so that whatever prints a line makes room for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<Mutex<Option<Shown>>>);

#[derive(Clone, Debug)]
struct Shown {
    bar: ProgressBar,
    running: Arc<Mutex<Running>>,
    /// Until the display ends.
    _without_keys: Option<Arc<WithoutKeys>>,
}

/// While it lives, the display is shown.
#[derive(Debug)]
pub(crate) struct Live(Option<Place>);

impl Place {
    /// Begins a display, unless there is one.
    pub(super) fn begin(&self, title: &str) -> Live {
        if self.shown().is_some() {
            return Live::none();
        }
        let running = Arc::new(Mutex::new(Running::new(title, Instant::now())));
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style(&running));
        bar.enable_steady_tick(TICK);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Shown { bar, running, _without_keys: WithoutKeys::begin().map(Arc::new) });
        let place = self.clone();
        interrupt::before_exit(move || place.end());
        Live(Some(self.clone()))
    }

    /// Shows what an event says about what runs; false if there is no display.
    pub(super) fn on(&self, event: &Event) -> bool {
        let shown = self.shown();
        if let Some(Shown { running, .. }) = &shown {
            running.lock().unwrap_or_else(PoisonError::into_inner).on(event, Instant::now());
        }
        shown.is_some()
    }

    /// Runs `print` where its lines stay above the display.
    pub(super) fn above(&self, print: impl FnOnce()) {
        // Until it is printed, the display does not end: that would clear the wrong lines.
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Shown { bar, .. }) => bar.suspend(print),
            None => print(),
        }
    }

    fn shown(&self) -> Option<Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Shown { bar, .. }) = place.take() {
            bar.finish_and_clear();
        }
    }
}

impl Live {
    /// No display.
    pub(super) fn none() -> Self {
        Self(None)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.end();
        }
    }
}

/// The whole display is one field, which is written anew whenever it is drawn.
fn style(running: &Arc<Mutex<Running>>) -> ProgressStyle {
    let (running, began) = (Arc::clone(running), Instant::now());
    let spinner: &'static [&'static str] = if locale::is_utf8() { &SPINNER } else { &ASCII_SPINNER };
    let draw = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
        let now = Instant::now();
        let ticks = now.duration_since(began).as_millis() / TICK.as_millis();
        let turn = usize::try_from(ticks).unwrap_or_default() % spinner.len();
        let lines = running.lock().unwrap_or_else(PoisonError::into_inner).lines(now);
        let _ = to.write_str(&frame(&lines, spinner[turn], terminal::size(), locale::is_utf8()));
    };
    // The template is ours and has one key.
    ProgressStyle::with_template("{display}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("display", draw)
}

/// Long lines are broken and not cut; what is more than the terminal has is left out at the end.
fn frame(lines: &[String], spinner: &str, (columns, rows): (usize, usize), utf8: bool) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let indent = " ".repeat(line.len() - words.len());
        let first = if at == 0 { format!("{spinner} ") } else { indent.clone() };
        let rest = format!("{indent}  ");
        let options = Options::new(columns.saturating_sub(1).max(1))
            .initial_indent(&first)
            .subsequent_indent(&rest)
            .word_splitter(WordSplitter::NoHyphenation);
        let _ = writeln!(text, "{}", textwrap::fill(words, options));
    }
    let text = codes::shown(&text, utf8).into_owned();
    text.lines().take(rows.saturating_sub(2).max(1)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_broken_and_not_cut_and_the_frame_is_lower_than_the_terminal() {
        let name = "a-name-of-some-length ".repeat(6);
        let lines = ["running".to_owned(), format!("  {name}")];
        let shown = frame(&lines, "|", (40, 24), false);
        assert!(shown.lines().all(|line| line.len() < 40), "{shown}");
        assert_eq!(shown.matches("a-name-of-some-length").count(), 6, "{shown}");
        assert_eq!(frame(&lines, "|", (40, 4), false).lines().count(), 2);
    }

    #[test]
    fn without_utf8_the_frame_is_ascii() {
        assert!(frame(&["waits … → ✓".to_owned()], "/", (80, 24), false).is_ascii());
    }
}
