//! What is shown of a hit: the part of its text where most of the query stands, on one safe line.

use crate::search::rank::Ranker;
use crate::search::text::each_text;

/// Longest excerpt in characters.
pub const MAX_EXCERPT_CHARS: usize = 240;
/// Bytes that one window of matches may span.
const WINDOW_BYTES: usize = 180;
/// Bytes of context before the first match.
const LEAD_BYTES: usize = 40;

/// An excerpt and the matches in it, as character positions (start, end excluded).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// One line; control characters are escaped.
    pub text: String,
    /// In order, without overlap.
    pub matches: Vec<[usize; 2]>,
}

/// The best excerpt of a JSON document's strings.
pub fn excerpt(ranker: &mut Ranker<'_>, json: &str) -> Excerpt {
    let mut best = Best { weight: -1.0, text: String::new(), from: 0, spans: Vec::new() };
    each_text(json, &mut |text| {
        let mut spans = ranker.spans(text);
        spans.sort_unstable();
        let (weight, from) = best_window(ranker, &spans);
        if weight > best.weight && !text.trim().is_empty() {
            best = Best { weight, text: text.to_owned(), from, spans };
        }
    });
    cut(&best)
}

struct Best {
    weight: f64,
    text: String,
    from: usize,
    spans: Vec<(usize, usize, usize)>,
}

/// The window that holds the most weight of distinct terms, and where it begins.
fn best_window(ranker: &Ranker<'_>, spans: &[(usize, usize, usize)]) -> (f64, usize) {
    let mut best = (0.0, 0);
    for (index, &(from, ..)) in spans.iter().enumerate() {
        let mut seen = 0_u64;
        let mut weight = 0.0;
        for &(_, end, term) in spans[index..].iter().take_while(|(start, ..)| *start < from + WINDOW_BYTES) {
            if end <= from + WINDOW_BYTES && seen >> term & 1 == 0 {
                seen |= 1 << term;
                weight += ranker.weight(term);
            }
        }
        if weight > best.0 {
            best = (weight, from);
        }
    }
    best
}

fn cut(best: &Best) -> Excerpt {
    let text = best.text.trim_end();
    let begin = lead(text, best.from);
    let mut out = Excerpt::default();
    let mut chars = 0;
    let push = |piece: &str, out: &mut Excerpt, chars: &mut usize| {
        out.text.push_str(piece);
        *chars += piece.chars().count();
    };
    if begin > 0 {
        push("…", &mut out, &mut chars);
    }
    let mut piece = String::new();
    for (offset, c) in text[begin..].char_indices() {
        let at = begin + offset;
        piece.clear();
        if c.is_control() || is_invisible(c) {
            piece.extend(c.escape_default())
        } else {
            piece.push(c)
        }
        let width = piece.chars().count();
        let last = at + c.len_utf8() == text.len();
        if chars + width + usize::from(!last) > MAX_EXCERPT_CHARS {
            push("…", &mut out, &mut chars);
            break;
        }
        if best.spans.iter().any(|&(start, end, _)| (start..end).contains(&at)) {
            match out.matches.last_mut() {
                Some(previous) if previous[1] == chars && !starts_here(best, at) => previous[1] = chars + width,
                _ => out.matches.push([chars, chars + width]),
            }
        }
        push(&piece, &mut out, &mut chars);
    }
    out
}

fn starts_here(best: &Best, at: usize) -> bool {
    let begins = best.spans.iter().any(|&(start, ..)| start == at);
    begins && !best.spans.iter().any(|&(start, end, _)| start < at && at < end)
}

/// Characters that change how others are shown, or that cannot be seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Some context before `from`, from the beginning of a word.
fn lead(text: &str, from: usize) -> usize {
    if from <= LEAD_BYTES {
        return 0;
    }
    let floor = text.floor_char_boundary(from - LEAD_BYTES);
    text[floor..from].char_indices().find(|(_, c)| c.is_whitespace()).map_or(floor, |(at, c)| floor + at + c.len_utf8())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::search::query::Query;
    use crate::search::rank::Collection;

    fn of(query: &str, text: &str) -> Excerpt {
        let query = Query::parse(query).unwrap();
        let frequencies = vec![1.0; query.terms.len()];
        let collection = Collection { documents: 100.0, average_length: 8.0, frequencies };
        let json = serde_json::json!({ "a": "no", "text": text }).to_string();
        excerpt(&mut Ranker::new(&query, &collection), &json)
    }

    fn marked(excerpt: &Excerpt) -> Vec<String> {
        let chars: Vec<char> = excerpt.text.chars().collect();
        excerpt.matches.iter().map(|[from, to]| chars[*from..*to].iter().collect()).collect()
    }

    #[test]
    fn the_window_with_most_of_the_query_is_shown() {
        let text = format!("alpha {} alpha beta done {}", "filler ".repeat(100), "tail ".repeat(100));
        let shown = of("alpha beta", &text);
        assert!(
            shown.text.chars().count() <= MAX_EXCERPT_CHARS && shown.text.starts_with('…') && shown.text.ends_with('…')
        );
        assert_eq!(marked(&shown), ["alpha", "beta"]);
    }

    #[test]
    fn control_characters_are_escaped_and_positions_still_fit() {
        let shown = of("größe", "a\u{1b}[31mb\n\u{202e}Größe ändern");
        assert_eq!(shown.text, "a\\u{1b}[31mb\\n\\u{202e}Größe ändern");
        assert_eq!(marked(&shown), ["Größe"]);
    }

    #[test]
    fn characters_that_cannot_be_seen_are_escaped_and_joiners_are_kept() {
        for hidden in [
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{2060}',
            '\u{2064}',
            '\u{206f}',
            '\u{fffa}',
            '\u{e0041}',
            '\u{e007f}',
        ] {
            let shown = of("word", &format!("a{hidden} word"));
            assert_eq!(shown.text, format!("a{} word", hidden.escape_default()));
            assert_eq!(marked(&shown), ["word"]);
        }
        // What writes letters and emoji stays.
        for kept in ["می\u{200c}خواهم", "👩\u{200d}💻", "✅\u{fe0f}", "אָ", "e\u{301}"] {
            assert_eq!(of("word", &format!("{kept} word")).text, format!("{kept} word"));
        }
    }

    #[test]
    fn overlapping_matches_are_one() {
        assert_eq!(marked(&of("get_user", "call getUserName now")), ["get", "User"]);
        assert_eq!(marked(&of("東京都", "私は東京都に住む")), ["東京都"]);
    }
}
