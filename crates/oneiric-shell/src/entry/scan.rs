//! Where a piece of text ends: quotes, brackets and comments, and nothing of grammar.

/// What ends a run of code outside quotes and brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Line,
    LineOrSemicolon,
}

/// What is still open at the end of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Open {
    brackets: usize,
    quote: bool,
    backslash: bool,
}

/// Whether an entry can run, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can run.
    Complete,
    /// A bracket, a quotation or a line is open.
    Open,
    /// An indented block may go on.
    Block,
}

/// Says whether more lines are needed.
#[must_use]
pub fn completeness(entry: &str) -> Completeness {
    examine(entry).0
}

/// The same, and whether only a closing bracket or quotation mark can change it.
pub(crate) fn examine(entry: &str) -> (Completeness, bool) {
    let mut at = 0;
    let mut open = Open::default();
    let mut last_line = "";
    let mut in_block = false;
    while at < entry.len() {
        let end;
        let line_start = at;
        let first = entry[at..].trim_start_matches([' ', '\t']).chars().next();
        let indented = entry[at..].starts_with([' ', '\t']);
        if matches!(first, Some('%' | '!' | '?')) && !indented {
            end = line_end(entry, at);
            open = Open { backslash: end == entry.len() && entry[at..end].ends_with('\\'), ..Open::default() };
            in_block = false;
        } else {
            (end, open) = scan_code(entry, at, Stop::Line);
        }
        let line = &entry[line_start..end];
        if !line.trim().is_empty() {
            last_line = line;
            let header = without_comment(line).trim_end().ends_with(':');
            if !matches!(first, Some('%' | '!' | '?')) || indented {
                in_block = header || (indented && in_block);
            }
        }
        at = end + 1;
    }
    if open.brackets > 0 || open.quote || open.backslash {
        return (Completeness::Open, !open.backslash);
    }
    if without_comment(last_line).trim_end().ends_with(':') && in_block {
        return (Completeness::Open, false);
    }
    // A blank line after a block ends it, as in every prompt for a language of this kind.
    let ended = entry.ends_with('\n');
    (if in_block && !ended { Completeness::Block } else { Completeness::Complete }, false)
}

/// The brackets of `text`, but those in strings and comments.
fn brackets(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(c) = text[at..].chars().next() {
            match c {
                '"' | '\'' => at = quote_end(text, at).0,
                '#' => at = line_end(text, at),
                _ => at += c.len_utf8(),
            }
            if matches!(c, '(' | '[' | '{' | ')' | ']' | '}') {
                return Some(c);
            }
        }
        None
    })
}

/// Deepest nesting of brackets in `text`.
pub(crate) fn nesting(text: &str) -> usize {
    let mut depth = 0_usize;
    let depths = brackets(text).map(|c| {
        depth = if matches!(c, '(' | '[' | '{') { depth + 1 } else { depth.saturating_sub(1) };
        depth
    });
    depths.max().unwrap_or(0)
}

/// Brackets that are closed in `text` and not opened there.
pub(crate) fn only_closed(text: &str) -> usize {
    let (mut open, mut closed) = (0_usize, 0);
    for c in brackets(text) {
        match c {
            '(' | '[' | '{' => open += 1,
            _ if open > 0 => open -= 1,
            _ => closed += 1,
        }
    }
    closed
}

/// End of the line that `start` is in, lines that end with a backslash going on in the next.
pub(super) fn line_end(text: &str, start: usize) -> usize {
    let mut at = start;
    loop {
        match text[at..].find('\n') {
            None => return text.len(),
            Some(offset) if text[..at + offset].ends_with('\\') => at += offset + 1,
            Some(offset) => return at + offset,
        }
    }
}

/// End of a magic or a command line, without and with its comment: it ends at `;` or the line's end outside quotes, and a
/// `#` after a blank begins a comment.
pub(super) fn plain_end(text: &str, start: usize) -> (usize, usize) {
    let limit = text[start..].find('\n').map_or(text.len(), |offset| start + offset);
    let bytes = text.as_bytes();
    let mut at = start;
    while at < limit {
        match bytes[at] {
            b';' => return (at, at),
            b'#' if at > start && bytes[at - 1].is_ascii_whitespace() => return (at, limit),
            quote @ (b'"' | b'\'') => {
                // An apostrophe without a partner is a character like any other.
                at = text[at + 1..limit].find(char::from(quote)).map_or(at + 1, |offset| at + offset + 2);
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (limit, limit)
}

/// End of a run of code.
pub(super) fn code_end(text: &str, start: usize, stop: Stop) -> usize {
    scan_code(text, start, stop).0
}

fn scan_code(text: &str, start: usize, stop: Stop) -> (usize, Open) {
    let mut open = Open::default();
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '\n' if open.brackets == 0 => return (at, open),
            ';' if open.brackets == 0 && stop == Stop::LineOrSemicolon => return (at, open),
            '"' | '\'' => {
                let (end, closed) = quote_end(text, at);
                open.quote = !closed;
                at = end;
                continue;
            }
            '#' => {
                at = text[at..].find('\n').map_or(text.len(), |offset| at + offset);
                continue;
            }
            '(' | '[' | '{' => open.brackets += 1,
            ')' | ']' | '}' => open.brackets = open.brackets.saturating_sub(1),
            '\\' if text[at + 1..].starts_with('\n') => {
                at += 2;
                open.backslash = at >= text.len();
                continue;
            }
            '\\' if at + 1 == text.len() => open.backslash = true,
            _ => {}
        }
        at += c.len_utf8();
    }
    (text.len(), open)
}

/// End of a quotation that begins at `start`, and whether it is closed or need not be: a quotation in single quotes ends
/// with its line whatever happens, and the parser says what is wrong with it.
fn quote_end(text: &str, start: usize) -> (usize, bool) {
    let quote = &text[start..=start];
    let triple = quote.repeat(3);
    let (mark, lines) = if text[start..].starts_with(&triple) { (triple.as_str(), true) } else { (quote, false) };
    let mut at = start + mark.len();
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with(mark) {
            return (at + mark.len(), true);
        }
        match c {
            '\n' if !lines => return (at, true),
            '\\' => {
                let escaped = text[at + 1..].chars().next().map_or(0, char::len_utf8);
                at += 1 + escaped;
            }
            _ => at += c.len_utf8(),
        }
    }
    (text.len(), !lines)
}

fn without_comment(line: &str) -> &str {
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        match c {
            '"' | '\'' => at = quote_end(line, at).0,
            '#' => return &line[..at],
            _ => at += c.len_utf8(),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &str, expected: Completeness) {
        assert_eq!(completeness(entry), expected, "{entry:?}");
    }

    #[test]
    fn simple_entries_are_complete() {
        for entry in ["", "ps()", "x = 1; y = 2", "%repos", "!ls", "print('(')", "for x in y: print(x)", ")", "'open"] {
            check(entry, Completeness::Complete);
        }
    }

    #[test]
    fn brackets_quotations_and_backslashes_wait() {
        for entry in
            ["ps(", "[1,\n", "x = {", "'''a", "x = '''a\nb", "x = 1 + \\", "!echo \\", "def f():", "if x: # why"]
        {
            check(entry, Completeness::Open);
        }
    }

    #[test]
    fn a_block_waits_for_a_blank_line() {
        check("for x in y:\n    print(x)", Completeness::Block);
        check("for x in y:\n    print(x)\n", Completeness::Complete);
        check("if x:\n    a()\nelse:\n    b()", Completeness::Block);
        check("def f():\n    if x:\n        y()\n    return z", Completeness::Block);
        check("for x in y:\n    z()\nps()", Completeness::Complete);
    }

    #[test]
    fn a_colon_in_a_slice_or_a_dictionary_opens_no_block() {
        check("x[1:]", Completeness::Complete);
        check("{'a':", Completeness::Open);
        check("s = 'a:'", Completeness::Complete);
    }

    #[test]
    fn nesting_counts_what_the_parser_would_descend_into() {
        assert_eq!(nesting("f([{}])"), 3);
        assert_eq!(nesting("'((((' # [[["), 0);
        assert_eq!((only_closed("a)).b[0]"), only_closed("f(')')"), only_closed("x) # )")), (2, 0, 1));
    }
}
