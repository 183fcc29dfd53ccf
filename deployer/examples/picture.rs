//! Draws what a terminal shows as an SVG. `picture COLUMNS < RECORDING > PICTURE`: a recording is all that was written to the terminal.

#![expect(unused_crate_dependencies, reason = "Cargo gives an example every dependency of the crate")]

use std::{
    error::Error,
    fmt::Write as _,
    io::{Read as _, Write as _, stdin, stdout},
};

use anstyle::{Ansi256Color, Color, RgbColor, Style};
use vt100::{Cell, Parser, Screen};

/// Higher than any recording: nothing scrolls away.
const ROWS: u16 = 500;

/// Pixels of a column of the font that `anstyle-svg` names.
const COLUMN: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let columns: u16 = std::env::args().nth(1).ok_or("say how many columns the terminal has")?.parse()?;
    let mut recording = Vec::new();
    stdin().read_to_end(&mut recording)?;
    let mut terminal = Parser::new(ROWS, columns, 0);
    terminal.process(&recording);
    let picture = anstyle_svg::Term::new().min_width_px(usize::from(columns) * COLUMN);
    stdout().write_all(picture.render_svg(&styled(terminal.screen(), columns)).as_bytes())?;
    Ok(())
}

/// The screen as lines with colours, and without any other code.
fn styled(screen: &Screen, columns: u16) -> String {
    let rows = (0..ROWS).map(|row| {
        let cells = (0..columns).filter_map(|column| screen.cell(row, column));
        let (mut line, mut last) = (String::new(), Style::new());
        for cell in cells {
            let style = style(cell);
            if style != last {
                let _ = write!(line, "{last:#}{style}");
                last = style;
            }
            line.push_str(if cell.has_contents() { cell.contents() } else { " " });
        }
        let _ = write!(line, "{last:#}");
        line.trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

fn style(cell: &Cell) -> Style {
    let colour = match cell.fgcolor() {
        vt100::Color::Default => None,
        vt100::Color::Idx(index) => {
            let colour = Ansi256Color(index);
            Some(colour.into_ansi().map_or(Color::Ansi256(colour), Color::Ansi))
        }
        vt100::Color::Rgb(red, green, blue) => Some(Color::Rgb(RgbColor(red, green, blue))),
    };
    let style = Style::new().fg_color(colour);
    if cell.bold() { style.bold() } else { style }
}
