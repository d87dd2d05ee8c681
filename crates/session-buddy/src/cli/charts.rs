//! Bars for a terminal: a label, its value, and a bar as long as the value is.

/// A row of a chart.
pub(super) struct Bar {
    /// What it is of.
    pub(super) label: String,
    /// How much.
    pub(super) value: u64,
    /// Part of it that is shown as bad.
    pub(super) bad: u64,
}

/// Longest bar, in cells.
const LONGEST: usize = 60;
/// Eighths of a cell.
const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The rows as lines of at most `width` cells; with `colour`, the bad part of a bar is red.
#[must_use]
pub(super) fn bars(rows: &[Bar], width: u16, colour: bool) -> String {
    let chars = |text: &str| text.chars().count();
    let label = rows.iter().map(|row| chars(&row.label)).max().unwrap_or(0);
    let number = rows.iter().map(|row| digits(row.value)).max().unwrap_or(1);
    let most = rows.iter().map(|row| row.value).max().unwrap_or(0).max(1);
    let room = usize::from(width).saturating_sub(label + number + 4).clamp(8, LONGEST);
    let mut text = String::new();
    for row in rows {
        let pad = " ".repeat(label - chars(&row.label));
        let bar = line(row.value, most, room);
        let bar = if colour && row.bad > 0 { red_end(&bar, row) } else { bar };
        let made = format!("  {}{pad} {:>number$} {bar}", row.label, row.value);
        text.push_str(made.trim_end());
        text.push('\n');
    }
    text
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn line(value: u64, most: u64, room: usize) -> String {
    if value == 0 {
        return String::new();
    }
    let eighths = (value as f64 / most as f64 * (room * 8) as f64).round() as usize;
    // What is there is seen.
    let eighths = eighths.max(1);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8]);
    }
    bar
}

fn red_end(bar: &str, row: &Bar) -> String {
    let cells = bar.chars().count();
    let red = ((row.bad.min(row.value) as f64 / row.value.max(1) as f64) * cells as f64).ceil() as usize;
    let (good, bad) = bar.char_indices().nth(cells - red).map_or((bar, ""), |(at, _)| bar.split_at(at));
    format!("{good}\u{1b}[31m{bad}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: u64) -> Bar {
        Bar { label: label.into(), value, bad: 0 }
    }

    #[test]
    fn bars_are_as_long_as_their_values_and_fit_the_width() {
        let text = bars(&[bar("mon", 16), bar("tuesday", 8), bar("wed", 0), bar("thu", 1)], 32, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("  mon     16 {}", "█".repeat(19)));
        assert_eq!(lines[1], format!("  tuesday  8 {}▌", "█".repeat(9)));
        assert_eq!((lines[2], lines[3]), ("  wed      0", "  thu      1 █▎"));
        assert!(lines.iter().all(|line| line.chars().count() <= 32), "{text}");
    }

    #[test]
    fn the_bad_part_is_red_only_where_colours_are_welcome() {
        let rows = [Bar { label: "a".into(), value: 4, bad: 1 }];
        assert!(!bars(&rows, 40, false).contains('\u{1b}'));
        assert!(bars(&rows, 40, true).contains("\u{1b}[31m"));
    }

    #[test]
    fn nothing_and_huge_numbers_make_no_trouble() {
        assert_eq!(bars(&[], 80, true), "");
        assert!(bars(&[bar("x", u64::MAX), bar("y", 1)], 0, false).lines().count() == 2);
    }
}
