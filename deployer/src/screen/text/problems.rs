//! Mistakes in the configuration, as rustc shows them: the place, the line with an underline, and what to write instead.

use std::{collections::BTreeSet, fmt::Write as _, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use contract::printable;

use super::{
    style::{BOLD, CYAN, RED},
    wrap::push_wrapped,
};
use crate::config::{ConfigError, Place, Problem, Spot};

/// The library's own colours are brighter than ours, and only ours reach the terminal.
const RENDERER: Renderer = Renderer::styled().error(RED).emphasis(BOLD).line_num(CYAN).context(CYAN);

/// A longer line of a file is shown around its mistake.
const LONGEST_LINE: usize = 120;

/// A blank line separates each mistake from the next one, and from their number.
pub(in crate::screen) fn config_error(error: &ConfigError, columns: usize) -> String {
    let problem = |it| problem(it, columns);
    let mut text = error.problems().iter().map(problem).collect::<Vec<_>>().join("\n");
    if error.problems().len() > 1 {
        let _ = writeln!(text, "\n{}", count(error));
    }
    text
}

fn problem(Problem { message, place, other, hint, .. }: &Problem, columns: usize) -> String {
    let renderer = RENDERER.term_width(columns.min(LONGEST_LINE));
    let title = Level::ERROR.primary_title(printable(message));
    let shown = match (snippet(place, AnnotationKind::Primary, None), other.as_deref()) {
        (Some(primary), None) => renderer.render(&[title.element(primary)]),
        (Some(primary), Some((other, what))) => {
            let context = snippet(other, AnnotationKind::Context, Some(what));
            renderer.render(&[title.element(primary).elements(context)])
        }
        // The message names the file.
        (None, _) => format!("{RED}error{RED:#}{BOLD}: {}{BOLD:#}", printable(message)),
    };
    // The library pads the lines of a margin.
    let mut lines = shown.lines().map(str::trim_end);
    let mut text = String::new();
    push_wrapped(&mut text, columns, 0, lines.next().unwrap_or_default());
    lines.for_each(|line| text.extend([line, "\n"]));
    text.push('\n');
    push_wrapped(&mut text, columns, 0, &format!("{CYAN}hint:{CYAN:#} {}", printable(hint)));
    text
}

fn snippet<'a>(
    place: &'a Place,
    kind: AnnotationKind,
    label: Option<&'static str>,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let spot = place.spot.as_ref()?;
    let snippet = Snippet::source(spot.line_text()).line_start(spot.line);
    let path = place.file.to_string_lossy();
    Some(snippet.path(printable(&path).into_owned()).annotation(kind.span(bytes(spot, spot.line_text())).label(label)))
}

/// The part of its line that is underlined.
fn bytes(Spot { column, width, .. }: &Spot, line: &str) -> Range<usize> {
    let byte = |character: usize| line.char_indices().nth(character).map_or(line.len(), |(at, _)| at);
    byte(column - 1)..byte(column - 1 + width)
}

fn count(error: &ConfigError) -> String {
    let shown = error.problems().len();
    let files: BTreeSet<_> = error.problems().iter().map(|problem| &problem.place.file).collect();
    let place = match files.first() {
        Some(file) if files.len() == 1 => printable(&file.to_string_lossy()).into_owned(),
        _ => format!("{} files", files.len()),
    };
    match error.more() {
        0 => format!("{shown} errors in {place}"),
        more => format!("{} errors in {place}; {shown} are shown", shown + more),
    }
}
