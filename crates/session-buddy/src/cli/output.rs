//! How results are printed: tables as wide as the terminal, JSON, CSV.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{
    Cell, Color, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Row, Table, TableStyle,
};
use oneiric::fault::{Fault, Result};
use serde::Serialize;

use super::fold::fold;

/// Shape of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

/// Single lines all round, as the guide draws them.
const BOX: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// Width when nobody says.
const DEFAULT_WIDTH: u16 = 80;

/// Longest text that does not break around a column of long ones: an id that is made here has 36, a caller's own may have more.
const LONGEST: u16 = 40;

/// Writes `text` to standard output. A reader that left early is no failure.
///
/// # Errors
/// Unavailable when it cannot be written, as on a full disk.
pub(super) fn emit(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Fault::unavailable(format!("cannot write the output: {}", oneiric::paths::plain(&error)))),
    }
}

/// Says something beside the data.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`emit`].
pub(super) fn emit_json(value: &impl Serialize) -> Result<ExitCode> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Fault::internal(format!("cannot write JSON: {error}")))?;
    text.push('\n');
    emit(&text)
}

/// How this terminal is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Columns.
    pub(super) width: u16,
    /// Whether colours are welcome.
    pub(super) colour: bool,
    /// Whether long cells wrap; another program reads lines.
    pub(super) wrap: bool,
}

impl Screen {
    /// The terminal on standard output; `columns` is the variable `COLUMNS`, `no_colour` whether `NO_COLOR` is set.
    #[must_use]
    pub(super) fn new(columns: Option<&str>, no_colour: bool) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let measured = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|width| *width > 0);
        let named = columns.and_then(|columns| columns.parse().ok()).filter(|width| *width > 0);
        Self { width: measured.or(named).unwrap_or(DEFAULT_WIDTH), colour: terminal && !no_colour, wrap: terminal }
    }

    /// Lines for people; on a terminal they break between words.
    #[must_use]
    pub(super) fn lines(&self, text: String) -> String {
        if self.wrap { fold(&text, self.width, 2) } else { text }
    }

    /// A table of `rows` under `headers`.
    #[must_use]
    pub(super) fn table(&self, headers: &[&str], rows: Vec<Vec<Cell>>) -> String {
        self.drawn(headers, rows, None, |_, _| false)
    }

    /// The same, with a first column that never breaks: what stands there is copied into another command.
    #[must_use]
    pub(super) fn table_of_names(&self, headers: &[&str], rows: Vec<Vec<Cell>>) -> String {
        self.drawn(headers, rows, None, |column, _| column == 0)
    }

    /// A table around column `text`, which takes the room that the others leave: they do not break, and on a terminal a row
    /// ends after `lines` lines with an ellipsis.
    #[must_use]
    pub(super) fn table_around(&self, text: usize, lines: usize, headers: &[&str], rows: Vec<Vec<Cell>>) -> String {
        self.drawn(headers, rows, Some(lines).filter(|_| self.wrap), |column, width| column != text && width <= LONGEST)
    }

    /// `whole` says of a column and the width of its content whether it stays unbroken.
    fn drawn(
        &self,
        headers: &[&str],
        rows: Vec<Vec<Cell>>,
        lines: Option<usize>,
        whole: impl Fn(usize, u16) -> bool,
    ) -> String {
        let mut table = Table::new();
        table.load_style(BOX);
        if self.wrap {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(headers.to_vec());
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for row in rows {
            let mut row = Row::from(row);
            if let Some(lines) = lines {
                row.max_height(lines);
            }
            table.add_row(row);
        }
        let widths = table.column_max_content_widths();
        for (column, _) in widths.iter().enumerate().filter(|(column, width)| whole(*column, **width)) {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        format!("{table}\n")
    }

    /// A cell whose colour says how things are.
    #[must_use]
    pub(super) fn status(&self, text: &str) -> Cell {
        let colour = match text {
            "active" => Some(Color::Green),
            "failed" => Some(Color::Red),
            "stale" => Some(Color::Yellow),
            _ => None,
        };
        match colour {
            Some(colour) if self.colour => Cell::new(text).fg(colour),
            _ => Cell::new(text),
        }
    }
}

/// A cell of text that came from elsewhere: no control character reaches the terminal.
#[must_use]
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(plain(text))
}

/// Text without control characters, and without those that turn the direction of what follows them.
#[must_use]
pub(super) fn plain(text: &str) -> String {
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if (c.is_control() && c != '\n') || turns(c) { ' ' } else { c }).collect()
}

/// Lines of comma-separated values (RFC 4180, with line feeds).
#[must_use]
pub(super) fn csv(headers: &[&str], rows: &[Vec<String>]) -> String {
    let quoted = |field: &str| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let mut text = headers.join(",");
    text.push('\n');
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn commas_quotes_and_line_ends_survive_csv() {
        let rows = [vec!["a,b".into(), "say \"x\"".into(), "two\nlines".into(), "plain".into()]];
        assert_eq!(csv(&["w", "x", "y", "z"], &rows), "w,x,y,z\n\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",plain\n");
    }

    #[test]
    fn a_table_is_drawn_with_single_lines_and_control_characters_stay_out() {
        let screen = Screen { width: 60, colour: false, wrap: true };
        let name = "sessions-20261122-193045.before-restore.db";
        let row = || vec![cell(name), cell("2026-11-22 19:30:45"), cell("12.5 MiB, incomplete")];
        let headers = ["Name", "Written", "Size"];
        assert!(!screen.table(&headers, vec![row()]).contains(name));
        assert!(screen.table_of_names(&headers, vec![row()]).contains(name), "a name is copied whole");
        let table = screen.table(&["Session ID", "Events"], vec![vec![cell("abc\u{1b}[31m"), cell("12")]]);
        assert_eq!(
            table,
            "┌────────────┬────────┐\n│ Session ID ┆ Events │\n".replace('┆', "│")
                + "├────────────┼────────┤\n│ abc [31m   │ 12     │\n└────────────┴────────┘\n"
        );
    }
}
