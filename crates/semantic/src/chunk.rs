//! Cuts long texts into pieces that fit a model's window, at ends of lines, sentences or words.

use std::ops::Range;

/// Bytes that are looked at for one piece, at first and at most; a piece of prose of 254 word pieces has about 1,100.
const FIRST_LOOK: usize = 4_096;
const LAST_LOOK: usize = 65_536;

/// Byte ranges of `text`, each with at most `limit` word pieces, each but the first beginning a little before the end of
/// the one before. `ends` gives the end of every word piece of a text as a byte offset, in order. Memory and time are
/// bounded by a look's size for a piece, whatever the text's length.
pub(crate) fn cut(text: &str, limit: usize, ends: impl Fn(&str) -> Vec<usize>) -> Vec<Range<usize>> {
    let whole = trimmed(text, 0..text.len());
    let mut pieces = Vec::new();
    let mut start = whole.start;
    while start < whole.end {
        let (end, room) = fitting(&text[start..whole.end], limit.max(1), &ends);
        let full = start + end;
        if full >= whole.end {
            pieces.push(start..whole.end);
            break;
        }
        let end = start + good_end(&text[start..full]);
        let piece = trimmed(text, start..end);
        if !piece.is_empty() {
            pieces.push(piece);
        }
        // An eighth again, from the beginning of a word; always ahead of where this piece began.
        let back = text.floor_char_boundary(end - room.min((end - start) / 8));
        let word = text[back..end].find(char::is_whitespace).map_or(end, |gap| back + gap);
        start = trimmed(text, word.max(start + 1).min(end)..whole.end).start;
    }
    pieces
}

/// How far `text` fits into `limit` word pieces, and how many bytes an eighth of these take.
fn fitting(text: &str, limit: usize, ends: &impl Fn(&str) -> Vec<usize>) -> (usize, usize) {
    let mut look = FIRST_LOOK;
    loop {
        let seen = &text[..text.floor_char_boundary(look)];
        let found = ends(seen);
        if found.len() > limit {
            let end = found[limit - 1].clamp(1, seen.len());
            let end = seen.ceil_char_boundary(end);
            return (end, end - found[limit - 1 - limit / 8].min(end));
        }
        if seen.len() == text.len() || look >= LAST_LOOK {
            return (seen.len(), seen.len() / 8);
        }
        look *= 4;
    }
}

/// The last good place to stop in the second half of `text`: after a line, a sentence, or a word; else its end.
fn good_end(text: &str) -> usize {
    let half = text.ceil_char_boundary(text.len() / 2);
    let tail = &text[half..];
    let after = |found: Option<usize>, length: usize| found.map(|at| half + at + length);
    let sentence = ['.', '!', '?', ';']
        .into_iter()
        .filter_map(|mark| tail.rmatch_indices(mark).map(|(at, _)| at + 1).find(|at| tail[*at..].starts_with(' ')))
        .max();
    let wide = tail.rfind(['。', '！', '？']).map(|at| at + '。'.len_utf8());
    after(tail.rfind('\n'), 1)
        .or_else(|| after(sentence.max(wide), 0))
        .or_else(|| after(tail.rfind(char::is_whitespace), 0))
        .filter(|end| *end > 0)
        .unwrap_or(text.len())
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..(start + part.trim().len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A word piece is a run of up to four bytes without space.
    fn ends(text: &str) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut run = 0;
        for (at, letter) in text.char_indices() {
            let after = at + letter.len_utf8();
            if letter.is_whitespace() {
                run = 0;
                continue;
            }
            if run == 0 || run >= 4 {
                ends.push(after);
                run = 0;
            } else if let Some(last) = ends.last_mut() {
                *last = after;
            }
            run += letter.len_utf8();
        }
        ends
    }

    #[test]
    fn what_fits_is_one_piece_and_space_is_none() {
        assert_eq!(cut("  two words ", 10, ends).as_slice(), std::slice::from_ref(&(2..11)));
        assert!(cut(" \n\t ", 10, ends).is_empty());
        assert!(cut("", 10, ends).is_empty());
    }

    #[test]
    fn long_text_is_cut_at_lines_and_sentences() {
        let text = "The build broke. It was the linker! Then we fixed it.\nNow it is green again and all of it passes.";
        let pieces: Vec<&str> = cut(text, 16, ends).into_iter().map(|range| &text[range]).collect();
        assert_eq!(pieces[0], "The build broke. It was the linker! Then we fixed it.");
        assert_eq!(&text[cut(text, 12, ends)[0].clone()], "The build broke. It was the linker!");
        assert!(pieces.last().unwrap().ends_with("passes."));
    }

    #[test]
    fn a_text_without_any_space_is_cut_all_the_same() {
        for text in ["x".repeat(300_000), "漢字".repeat(50_000)] {
            let pieces = cut(&text, 254, ends);
            assert_eq!(pieces.last().unwrap().end, text.len());
            assert!(pieces.len() < text.len() / 100);
        }
    }

    proptest! {
        #[test]
        fn every_word_is_in_some_piece_and_every_piece_fits(text in "[a-c .\n漢é]{0,600}", limit in 2_usize..40) {
            let pieces = cut(&text, limit, ends);
            let mut seen = 0;
            for piece in &pieces {
                prop_assert!(ends(&text[piece.clone()]).len() <= limit + 1);
                prop_assert!(text[seen.min(piece.start)..piece.start].trim().is_empty());
                prop_assert!(piece.end > seen);
                seen = piece.end;
            }
            prop_assert!(text[seen..].trim().is_empty());
        }
    }
}
