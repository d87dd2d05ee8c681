//! Tables that fit the terminal: cells wrap on a terminal, and stay on one line when another program reads.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, TableStyle, Width,
};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal::{Terminal, printable};

/// A table of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    numeric: Vec<usize>,
    optional: Vec<usize>,
    brief: Vec<usize>,
}

/// Columns that a brief one gets at least.
const BRIEF: usize = 18;

impl Table {
    /// A table with these column titles.
    pub fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Aligns column `index` to the right.
    #[must_use]
    pub fn numeric(mut self, index: usize) -> Self {
        self.numeric.push(index);
        self
    }

    /// Columns that a narrow terminal can do without, the first to go first: better fewer columns than broken ids.
    #[must_use]
    pub fn optional(mut self, indices: impl IntoIterator<Item = usize>) -> Self {
        self.optional.extend(indices);
        self
    }

    /// Columns whose beginning is enough: on a terminal their cells are cut rather than wrapped.
    #[must_use]
    pub fn brief(mut self, indices: impl IntoIterator<Item = usize>) -> Self {
        self.brief.extend(indices);
        self
    }

    /// Adds a row; missing cells are empty, additional ones are dropped.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| printable(&cell.into())).collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
    }

    /// A table of `rows` (JSON objects) with a column for each of `columns`: (title, key).
    #[must_use]
    pub fn of_objects(rows: &[Value], columns: &[(&str, &str)]) -> Self {
        let mut table = Self::new(columns.iter().map(|(title, _)| *title));
        for (index, (_, key)) in columns.iter().enumerate() {
            let mut values = rows.iter().filter_map(|row| row.get(key)).filter(|value| !value.is_null()).peekable();
            if values.peek().is_some() && values.all(Value::is_number) {
                table.numeric.push(index);
            }
        }
        for row in rows {
            table.row(columns.iter().map(|(_, key)| row.get(key).map(cell_text).unwrap_or_default()));
        }
        table
    }

    /// Number of rows below the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text for `terminal`, without a line feed at its end.
    #[must_use]
    pub fn render(&self, terminal: Terminal) -> String {
        let columns = self.columns_for(terminal.width);
        let room = terminal.width.map_or(usize::MAX, |width| self.room(&columns, usize::from(width)));
        let pick = |cells: &[String]| {
            let cell = |index: &usize| match self.brief.contains(index) {
                true => cut(&cells[*index], room),
                false => cells[*index].clone(),
            };
            columns.iter().map(cell).collect::<Vec<_>>()
        };
        let header = pick(&self.header);
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE);
        table.set_header(&header);
        table.add_rows(self.rows.iter().map(|row| pick(row)));
        match terminal.width {
            Some(width) => {
                table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
                let lower: Vec<u16> = header.iter().map(|title| least_width(title, width)).collect();
                let least: usize = lower.iter().map(|&lower| usize::from(lower) + 1).sum::<usize>() + 1;
                for (index, lower) in lower.into_iter().enumerate() {
                    if least <= usize::from(width)
                        && let Some(column) = table.column_mut(index)
                    {
                        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(lower)));
                    }
                }
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for (place, index) in columns.iter().enumerate() {
            if self.numeric.contains(index)
                && let Some(column) = table.column_mut(place)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Columns of the terminal that a column would like, with padding on both sides and one border.
    fn natural(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| &row[index]).chain([&self.header[index]]);
        cells.map(|cell| cell.width()).max().unwrap_or(0) + 3
    }

    /// What is left for the text of each brief column when the other ones have what they like.
    fn room(&self, columns: &[usize], width: usize) -> usize {
        let (brief, others): (Vec<usize>, Vec<usize>) = columns.iter().partition(|index| self.brief.contains(index));
        let taken = 1 + others.into_iter().map(|index| self.natural(index)).sum::<usize>();
        (width.saturating_sub(taken) / brief.len().max(1)).saturating_sub(3).max(BRIEF)
    }

    /// The columns that are shown at `width`: optional ones go until the rest fits on one line a row.
    fn columns_for(&self, width: Option<u16>) -> Vec<usize> {
        let natural = |index: usize| {
            let natural = self.natural(index);
            if self.brief.contains(&index) { natural.min(BRIEF + 3) } else { natural }
        };
        let mut columns: Vec<usize> = (0..self.header.len()).collect();
        let Some(width) = width else { return columns };
        let mut total = 1 + columns.iter().map(|&index| natural(index)).sum::<usize>();
        for &index in &self.optional {
            if total <= usize::from(width) {
                break;
            }
            columns.retain(|&column| column != index);
            total -= natural(index);
        }
        columns
    }

    /// The table as CSV (RFC 4180) with a header line, without a line feed at its end.
    #[must_use]
    pub fn csv(&self) -> String {
        let line = |cells: &[String]| cells.iter().map(|cell| csv_field(cell)).collect::<Vec<_>>().join(",");
        std::iter::once(&self.header).chain(&self.rows).map(|row| line(row)).collect::<Vec<_>>().join("\n")
    }
}

/// As much of `text` as fits into so many columns, with a sign that there is more.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// A column narrower than its title's longest word would break the title inside a word.
fn least_width(title: &str, table: u16) -> u16 {
    let word = title.split(' ').map(|word| word.chars().count()).max().unwrap_or(1);
    u16::try_from(word + 2).unwrap_or(u16::MAX).min(table / 4).max(3)
}

const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// How a JSON value stands in a cell: text bare, lists joined by commas, nothing for null.
#[must_use]
pub fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell_text).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn repositories() -> Table {
        let rows = [
            json!({"name": "session-buddy", "role": "manager", "tags": ["rust", "mcp"], "commits": 1204,
                   "description": "Keeps what was done in a shell, finds it again and tells what it means"}),
            json!({"name": "日本語", "role": "tool", "tags": [], "commits": 7, "description": "全角文字の幅を数える道具です"}),
            json!({"name": "evil\u{1b}[31m", "role": null, "tags": ["a"], "commits": 0, "description": "line\nfeed"}),
        ];
        Table::of_objects(
            &rows,
            &[
                ("Name", "name"),
                ("Role", "role"),
                ("Tags", "tags"),
                ("Commits", "commits"),
                ("Description", "description"),
            ],
        )
    }

    fn at(width: u16) -> String {
        repositories().render(Terminal { width: Some(width), colour: false })
    }

    #[test]
    fn a_table_fits_80_columns() {
        insta::assert_snapshot!(at(80));
    }

    #[test]
    fn a_table_fits_160_columns() {
        insta::assert_snapshot!(at(160));
    }

    #[test]
    fn rows_stay_on_one_line_when_another_program_reads() {
        let text = repositories().render(Terminal::PLAIN);
        assert_eq!(text.lines().count(), 3 + 3 + 1, "{text}");
        assert!(text.contains("finds it again and tells what it means │"));
    }

    #[test]
    fn a_narrow_terminal_goes_without_optional_columns_and_a_wide_one_shows_all() {
        let mut table = Table::new(["ID", "Type", "Status", "Events"]).numeric(3).optional([1]);
        table.row(["01a204bc-6ed0-798b-af20-3700d81995ac", "admin_shell", "active", "7"]);
        let at = |width| table.render(Terminal { width: Some(width), colour: false });
        assert!(at(60).contains("700d81995ac │ active │      7 │") && !at(60).contains("admin_shell"), "{}", at(60));
        assert!(at(80).contains("admin_shell"), "{}", at(80));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 60, 80, 120, 160] {
            for line in at(width).lines() {
                let columns: usize =
                    line.chars().map(|c| if ('\u{3000}'..'\u{a000}').contains(&c) { 2 } else { 1 }).sum();
                assert!(columns <= usize::from(width), "{columns} > {width}: {line}");
            }
        }
    }

    #[test]
    fn a_brief_column_is_cut_to_what_the_others_leave() {
        let mut table = Table::new(["ID", "Task", "Status", "Time"]).optional([3]).brief([1]);
        table.row(["1", "for repository in one two three; do echo 日本語 $repository; done", "completed", "0:00:01"]);
        let at = |width| table.render(Terminal { width: Some(width), colour: false });
        assert!(at(60).contains("for repository in one two th…") && at(60).contains("0:00:01"), "{}", at(60));
        assert_eq!(at(60).lines().count(), 5, "{}", at(60));
        assert!(at(40).contains("for repository in…") && !at(40).contains("0:00:01"), "{}", at(40));
        assert!(at(200).contains("done │") && table.csv().contains("$repository; done"), "{}", at(200));
        assert!(table.render(Terminal::PLAIN).contains("done │"));
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let mut table = Table::new(["a", "b"]);
        table.row(["x,y", "say \"hi\""]);
        assert_eq!(table.csv(), "a,b\n\"x,y\",\"say \"\"hi\"\"\"");
    }
}
