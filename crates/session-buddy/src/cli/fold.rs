//! Long lines for a terminal: broken between words, the parts set in below their beginning.

use unicode_width::UnicodeWidthChar;

/// The lines of `text`, none wider than `width` where it has blanks to break at; what goes on is set in by `indent` cells.
/// Styles (`ESC [ … m`) take no room.
#[must_use]
pub(super) fn fold(text: &str, width: u16, indent: usize) -> String {
    let width = usize::from(width).max(indent + 20);
    let mut folded = String::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive('\n') {
        let mut column = 0;
        let mut begun = false;
        for part in line.split_inclusive(' ') {
            let word = part.trim_end_matches([' ', '\n']);
            let cells = cells(word);
            if begun && column + cells > width {
                folded.truncate(folded.trim_end_matches(' ').len());
                folded.push('\n');
                folded.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            begun |= !word.is_empty();
            folded.push_str(part);
            column += cells + part.len() - word.len();
        }
    }
    folded
}

/// Cells that `word` takes.
fn cells(word: &str) -> usize {
    let mut style = false;
    let mut cells = 0;
    for character in word.chars() {
        match character {
            '\u{1b}' => style = true,
            'm' if style => style = false,
            _ if style => {}
            _ => cells += character.width().unwrap_or(0),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_go_on_below_their_beginning() {
        assert_eq!(fold("  one two three four five\nsix\n", 22, 2), "  one two three four\n  five\nsix\n");
        assert_eq!(fold("short\n\nlines\n", 80, 2), "short\n\nlines\n");
        assert_eq!(fold("", 80, 2), "");
    }

    #[test]
    fn styles_take_no_room_and_wide_letters_take_two() {
        let bold = "\u{1b}[1mone\u{1b}[0m two three four five";
        assert_eq!(fold(bold, 23, 0), bold);
        assert_eq!(fold("仓库仓库 仓库仓库仓库 ab", 22, 2), "仓库仓库 仓库仓库仓库\n  ab");
    }

    #[test]
    fn a_word_that_fits_nowhere_stays_whole() {
        let address = "a".repeat(50);
        assert_eq!(fold(&format!("see {address} there"), 30, 2), format!("see\n  {address}\n  there"));
    }
}
