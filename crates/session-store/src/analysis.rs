//! Turns text into search terms, the same way for what is stored and for what is asked.
//!
//! Identifiers and paths count as a whole and by their parts (`getUserName`, `get_user_name` and `get-user-name` share
//! both), English endings are taken off lightly, diacritics and widths are folded, and Chinese, Japanese and Korean
//! text becomes overlapping pairs of characters. Terms hold letters and digits only.

mod fold;
mod stem;

use fold::{Class, class};
pub use stem::stem;

/// Longest term in bytes; what is longer is cut, and so found by its beginning.
pub const MAX_TERM_BYTES: usize = 64;
/// Terms that one event may have. The rest of a longer text is stored and shown, but not searched.
pub const MAX_TERMS: usize = 4096;
/// Letter-to-digit changes that still count as parts (`sha256sum`); more look like a hash and stay whole.
const MAX_DIGIT_CUTS: usize = 2;
/// Parts of one whole; a longer path is found by its parts.
const MAX_WHOLE_PARTS: usize = 16;

/// A term in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What the index holds: folded and, for English words, without its ending.
    pub term: &'a str,
    /// The folded word itself.
    pub surface: &'a str,
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Place in the order of parts; a whole stands at its first part's place.
    pub position: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word, or a part of an identifier or path.
    Part,
    /// An identifier or path of several parts, written together.
    Whole,
    /// Two neighbours in a text without spaces, or a single character that stands alone.
    Pair,
    /// The last character of a run of pairs, so that every single character begins some term.
    Last,
}

#[derive(Clone, Copy)]
struct Part {
    from: usize,
    to: usize,
    start: usize,
    end: usize,
    /// Number of the identifier within the chunk: `/`, `:` and `.` begin another one.
    group: usize,
}

/// Makes tokens; keeps its buffers between texts.
#[derive(Default)]
pub struct Analyser {
    folded: String,
    parts: Vec<Part>,
    stemmed: String,
    position: u32,
}

impl Analyser {
    /// Begins another document: positions start at 0.
    pub fn reset(&mut self) {
        self.position = 0;
    }

    /// A gap, so that no phrase reaches from one text into the next.
    pub fn gap(&mut self) {
        self.position = self.position.saturating_add(8);
    }

    /// Calls `emit` for every token of `text` until it answers `false`.
    pub fn analyse(&mut self, text: &str, mut emit: impl FnMut(Token<'_>) -> bool) -> bool {
        let mut chars = text.char_indices().peekable();
        while let Some(&(start, c)) = chars.peek() {
            let more = match class(c) {
                Class::Ideograph => self.pairs(text, &mut chars, &mut emit),
                Class::Lower | Class::Upper | Class::Digit => self.chunk(text, start, &mut chars, &mut emit),
                Class::Mark | Class::Joint | Class::PathJoint | Class::Separator => {
                    chars.next();
                    true
                }
            };
            if !more {
                return false;
            }
        }
        true
    }

    /// A run of ideographs, kana or syllables: overlapping pairs.
    fn pairs(
        &mut self,
        text: &str,
        chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
        emit: &mut impl FnMut(Token<'_>) -> bool,
    ) -> bool {
        self.folded.clear();
        self.parts.clear();
        let mut before = None;
        while let Some(&(start, c)) = chars.peek() {
            match class(c) {
                Class::Ideograph => {
                    let from = self.folded.len();
                    let end = start + c.len_utf8();
                    let c = fold::full_width(c);
                    if let Some(last) = before
                        && let Some(joined) = fold::compose(last, c)
                    {
                        self.folded.pop();
                        self.folded.push(joined);
                        before = Some(joined);
                        if let Some(part) = self.parts.last_mut() {
                            part.to = self.folded.len();
                            part.end = end;
                        }
                    } else {
                        self.folded.push(c);
                        before = Some(c);
                        self.parts.push(Part { from, to: self.folded.len(), start, end, group: 0 });
                    }
                }
                Class::Mark => {}
                _ => break,
            }
            chars.next();
        }
        debug_assert!(self.parts.last().is_none_or(|part| part.end <= text.len()));
        for window in 0..self.parts.len() {
            let first = self.parts[window];
            let (second, kind) = match self.parts.get(window + 1) {
                Some(second) => (*second, Kind::Pair),
                None if self.parts.len() == 1 => (first, Kind::Pair),
                None => (first, Kind::Last),
            };
            let term = &self.folded[first.from..second.to];
            let position = self.position;
            self.position = self.position.saturating_add(1);
            if !emit(Token { term, surface: term, start: first.start, end: second.end, position, kind }) {
                return false;
            }
        }
        true
    }

    /// A run of letters, digits and joints: words, identifiers, paths.
    fn chunk(
        &mut self,
        text: &str,
        begin: usize,
        chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
        emit: &mut impl FnMut(Token<'_>) -> bool,
    ) -> bool {
        if let Some(word) = plain_word(&text[begin..]) {
            chars.nth(word.len() - 1);
            let term = stem(word, &mut self.stemmed);
            let position = self.position;
            self.position = self.position.saturating_add(1);
            return emit(Token {
                term,
                surface: word,
                start: begin,
                end: begin + word.len(),
                position,
                kind: Kind::Part,
            });
        }
        self.folded.clear();
        self.parts.clear();
        let mut group = 0;
        let mut run = begin;
        let mut end = begin;
        let mut joints = 0_usize;
        let mut path = false;
        while let Some(&(at, c)) = chars.peek() {
            match class(c) {
                Class::Lower | Class::Upper | Class::Digit => {
                    if joints > 0 {
                        self.split_run(&text[run..end], run, group);
                        group += usize::from(path);
                        run = at;
                        joints = 0;
                        path = false;
                    }
                    end = at + c.len_utf8();
                }
                Class::Mark if joints == 0 => end = at + c.len_utf8(),
                Class::Joint if joints == 0 => joints = 1,
                // `::` and `//` join too; a longer row of signs does not.
                Class::PathJoint if joints < 2 && (joints == 0 || path) => {
                    joints += 1;
                    path = true;
                }
                _ => break,
            }
            chars.next();
        }
        self.split_run(&text[run..end], run, group);
        self.emit_chunk(emit)
    }

    /// Cuts one run of letters and digits at changes of case and kind, and folds it.
    fn split_run(&mut self, run: &str, offset: usize, group: usize) {
        let simple = run.len() > MAX_TERM_BYTES || digit_cuts(run) > MAX_DIGIT_CUTS;
        let mut from = self.folded.len();
        let mut start = 0;
        let mut previous = Class::Separator;
        let mut upper_run = 0_usize;
        let mut chars = run.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let current = class(c);
            if current == Class::Mark {
                continue;
            }
            let next = chars.peek().map(|&(_, next)| class(next));
            let cut = !simple
                && at > start
                && match (previous, current) {
                    (Class::Lower, Class::Upper) => true,
                    (Class::Digit, Class::Lower | Class::Upper) | (Class::Lower | Class::Upper, Class::Digit) => true,
                    // The last capital of `HTTPServer` begins the next word; `URLs` stays whole.
                    (Class::Upper, Class::Upper) => {
                        upper_run >= 1 && next == Some(Class::Lower) && !plural_capitals(&run[at + c.len_utf8()..])
                    }
                    _ => false,
                };
            if cut {
                self.parts.push(Part { from, to: self.folded.len(), start: offset + start, end: offset + at, group });
                from = self.folded.len();
                start = at;
                upper_run = 0;
            }
            upper_run = if current == Class::Upper { upper_run + 1 } else { 0 };
            previous = current;
            fold::fold_into(c, &mut self.folded);
        }
        if self.folded.len() > from {
            let end = offset + run.len();
            self.parts.push(Part { from, to: self.folded.len(), start: offset + start, end, group });
        }
    }

    fn emit_chunk(&mut self, emit: &mut impl FnMut(Token<'_>) -> bool) -> bool {
        let first_position = self.position;
        for part in &self.parts {
            let surface = cut(&self.folded[part.from..part.to]);
            let term = stem(surface, &mut self.stemmed);
            let position = self.position;
            self.position = self.position.saturating_add(1);
            if !emit(Token { term, surface, start: part.start, end: part.end, position, kind: Kind::Part }) {
                return false;
            }
        }
        let count = self.parts.len();
        if count < 2 {
            return true;
        }
        let mut begin = 0;
        while begin < count {
            let group = self.parts[begin].group;
            let after = (begin..count).find(|&index| self.parts[index].group != group).unwrap_or(count);
            if after - begin > 1 && !self.whole(begin, after, first_position, emit) {
                return false;
            }
            begin = after;
        }
        // The path itself, when it is more than one identifier.
        self.parts[count - 1].group == 0 || self.whole(0, count, first_position, emit)
    }

    fn whole(&mut self, begin: usize, after: usize, base: u32, emit: &mut impl FnMut(Token<'_>) -> bool) -> bool {
        let (first, last) = (self.parts[begin], self.parts[after - 1]);
        let surface = &self.folded[first.from..last.to];
        if surface.len() > MAX_TERM_BYTES || after - begin > MAX_WHOLE_PARTS {
            return true;
        }
        // Stemmed like a word, because somebody may write it as one: `getusername`.
        let term = stem(surface, &mut self.stemmed);
        let position = base.saturating_add(u32::try_from(begin).unwrap_or(u32::MAX));
        emit(Token { term, surface, start: first.start, end: last.end, position, kind: Kind::Whole })
    }
}

/// The word that `text` begins with, when it is one of a to z and stands alone: it has no parts and is its own folding, as
/// most words are.
fn plain_word(text: &str) -> Option<&str> {
    let length = text.bytes().take_while(u8::is_ascii_lowercase).count();
    let alone =
        text[length..].bytes().next().is_none_or(|next| next.is_ascii() && class(char::from(next)) == Class::Separator);
    (1..=MAX_TERM_BYTES).contains(&length).then(|| &text[..length]).filter(|_| alone)
}

/// The term of a word of a query as earlier versions stored it; `None` where that is `term`.
#[must_use]
pub fn term_before(word: &str, term: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let (mut folded, mut buffer) = (String::new(), String::new());
    // Kana of half width stood with their voice marks apart, in pairs as all others.
    let most = if word.starts_with(|c| matches!(c, '\u{ff66}'..='\u{ff9f}')) { 2 } else { usize::MAX };
    word.chars().take(most).for_each(|c| fold::fold_as_before(c, &mut folded));
    let before = stem(cut(&folded), &mut buffer);
    (!before.is_empty() && before != term).then(|| before.to_owned())
}

fn plural_capitals(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('s') && chars.next().is_none_or(|c| class(c) != Class::Lower)
}

fn digit_cuts(run: &str) -> usize {
    let mut cuts = 0;
    let mut previous = None;
    for c in run.chars() {
        let digit = class(c) == Class::Digit;
        cuts += usize::from(previous.is_some_and(|was| was != digit));
        previous = Some(digit);
    }
    cuts
}

fn cut(term: &str) -> &str {
    if term.len() <= MAX_TERM_BYTES { term } else { &term[..term.floor_char_boundary(MAX_TERM_BYTES)] }
}

#[cfg(test)]
#[path = "analysis/tests.rs"]
mod tests;
