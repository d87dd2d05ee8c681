//! What a query asks for: words, `"phrases"`, `prefix*` and `-exclusions`.
//!
//! There is no syntax to get wrong: whatever is none of these counts as words.

use oneiric::fault::{Fault, Result};

use crate::analysis::{Analyser, Kind, stem, term_before};
use crate::search::stop::is_stop;

/// Longest query in bytes.
pub const MAX_QUERY_BYTES: usize = 4096;
/// Terms that a query may have; further words are left out, with a note.
pub const MAX_QUERY_TERMS: usize = 48;
/// Words with signs that a query may have.
const MAX_SIGNED: usize = 8;
/// Shortest beginning that `*` completes. Shorter ones would match a good part of everything.
pub const MIN_PREFIX_CHARS: usize = 2;

/// What stands after an apostrophe in English.
const APOSTROPHE_RESTS: [&str; 7] = ["s", "t", "re", "ve", "ll", "d", "m"];

/// A term of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As the index holds it.
    pub term: String,
    /// As it was written, folded.
    pub surface: String,
    /// Whether longer words count.
    pub prefix: bool,
    /// Other words that count as this one: what it is a part of, or a slip for, and what earlier versions stored it as.
    pub also: Vec<Also>,
}

/// A word that counts as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Also {
    /// As the index holds it.
    pub term: String,
    /// The word, folded.
    pub surface: String,
    /// Whether it counts half: beside the word as it was written.
    pub half: bool,
}

impl Term {
    /// Index terms that words beginning with this one may be stored under, beside those that begin with it.
    ///
    /// The index holds stems: `runn*` must also find `running`, which it holds as `run`.
    #[must_use]
    pub fn prefix_stems(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut buffer = String::new();
        for ending in ["", "s", "es", "d", "ed", "g", "ng", "ing"] {
            let word = format!("{}{ending}", self.surface);
            let stemmed = stem(&word, &mut buffer);
            if !stemmed.starts_with(&self.surface) && !found.iter().any(|known| known == stemmed) {
                found.push(stemmed.to_owned());
            }
        }
        found
    }
}

/// One thing that a matching text must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Indices into [`Query::terms`]: all of them, or…
    pub parts: Vec<usize>,
    /// …this one, which is the parts written together.
    pub whole: Option<usize>,
    /// Whether the parts must follow each other.
    pub phrase: bool,
}

/// A parsed query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Distinct terms.
    pub terms: Vec<Term>,
    /// What a match holds.
    pub clauses: Vec<Clause>,
    /// What a match does not hold.
    pub excluded: Vec<Clause>,
    /// Terms that only make a match better.
    pub bonus: Vec<usize>,
    /// Words with the signs that belong to them, as they were written: `c++`, `C#`, `.env`, and emoji. The index does not know
    /// signs; a match that has these, too, holds everything.
    pub signed: Vec<String>,
    /// Whether words were left out.
    pub shortened: bool,
}

impl Query {
    /// Understands `text`.
    ///
    /// # Errors
    /// [`oneiric::fault::FaultKind::User`] when it is too long or holds nothing to look for.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(Fault::user(format!("the query has {} bytes, more than {MAX_QUERY_BYTES}", text.len()))
                .hint("search for a few of its words"));
        }
        let mut query = Self::default();
        let mut analyser = Analyser::default();
        let mut aside = Vec::new();
        for piece in pieces(text) {
            if piece.is_aside(&mut analyser) {
                aside.push(piece);
            } else {
                query.add(&mut analyser, piece);
            }
        }
        if query.clauses.is_empty() {
            // A query of nothing else means these words.
            aside.into_iter().for_each(|piece| query.add(&mut analyser, piece));
        }
        if !query.clauses.is_empty() {
            return Ok(query);
        }
        Err(if query.excluded.is_empty() {
            Fault::user("the query holds no word to search for").hint("give at least one letter or digit")
        } else {
            Fault::user("the query only says what not to find").hint("add a word to search for")
        })
    }

    fn term(&mut self, token: &Owned, prefix: bool) -> Option<usize> {
        let before = token.before.iter().map(|term| Also { term: term.clone(), surface: term.clone(), half: false });
        let (term, surface) = (token.term.clone(), token.surface.clone());
        let wanted = Term { term, surface, prefix, also: before.collect() };
        if let Some(index) = self.terms.iter().position(|known| *known == wanted) {
            return Some(index);
        }
        if self.terms.len() == MAX_QUERY_TERMS {
            self.shortened = true;
            return None;
        }
        self.terms.push(wanted);
        Some(self.terms.len() - 1)
    }

    fn add(&mut self, analyser: &mut Analyser, piece: Piece<'_>) {
        let (mut words, pairs, wholes) = tokens(analyser, piece.text);
        if !piece.phrase && piece.text.contains(['\'', '’']) && words.len() > 1 {
            // Of `Ada's`, only the name is looked for.
            let first = words[0].start;
            words.retain(|word| word.start == first || !APOSTROPHE_RESTS.contains(&word.surface.as_str()));
        }
        let span = words.first().map(|first| first.start).zip(words.last().map(|last| last.end));
        let mut clauses = Vec::new();
        if piece.phrase {
            let mut all: Vec<Owned> = words.into_iter().chain(pairs.into_iter().flatten()).collect();
            all.sort_by_key(|token| token.start);
            clauses.extend(self.clause(&all, true, false));
        } else {
            let prefix = piece.prefix && pairs.is_empty();
            let whole = wholes.iter().find(|whole| Some((whole.start, whole.end)) == span && !prefix);
            if let Some(mut clause) = self.clause(&words, false, prefix) {
                clause.whole = whole.and_then(|whole| self.term(whole, false));
                clauses.push(clause);
            }
            for run in &pairs {
                // A single character stands at the beginning of some pair wherever it occurs.
                let single = run.len() == 1 && run[0].surface.chars().count() == 1;
                clauses.extend(self.clause(run, !single, single));
            }
        }
        if piece.excluded {
            self.excluded.extend(clauses);
            return;
        }
        if !piece.phrase && !piece.prefix && self.signed.len() < MAX_SIGNED {
            self.signed.extend(signed(piece.text, span));
        }
        for clause in clauses {
            if !self.clauses.contains(&clause) {
                self.clauses.push(clause);
            }
        }
        for whole in &wholes {
            if let Some(index) = self.term(whole, false)
                && !self.bonus.contains(&index)
            {
                self.bonus.push(index);
            }
        }
    }

    fn clause(&mut self, tokens: &[Owned], phrase: bool, prefix: bool) -> Option<Clause> {
        let mut parts = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            let open = prefix
                && place + 1 == tokens.len()
                && (token.pair || token.surface.chars().count() >= MIN_PREFIX_CHARS);
            match self.term(token, open) {
                Some(index) => parts.push(index),
                None => break,
            }
        }
        let phrase = phrase && parts.len() > 1;
        (!parts.is_empty()).then_some(Clause { parts, whole: None, phrase })
    }
}

/// The part of a piece that its signs belong to; `span` is where its words stand.
fn signed(text: &str, span: Option<(usize, usize)>) -> Option<String> {
    let emoji = |c: char| matches!(u32::from(c), 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f000..=0x1faff);
    let Some((start, end)) = span else {
        let flag = |c: &char| matches!(u32::from(*c), 0x1f1e6..=0x1f1ff);
        let mut signs = text.chars().filter(|c| emoji(*c));
        let mut found: String = signs.next().into_iter().collect();
        // A flag is two letters of a country; half of one is that of many.
        found.extend(found.chars().next().filter(flag).and(signs.next().filter(flag)));
        return (!found.is_empty()).then_some(found);
    };
    let behind = text[end..].bytes().take(2).take_while(|byte| matches!(byte, b'+' | b'#')).count();
    let alone =
        !text[end + behind..].contains(['+', '#']) && text[start..end].bytes().all(|byte| byte.is_ascii_alphanumeric());
    let dotted = start == 1 && text.starts_with('.');
    match (behind > 0 && alone, dotted) {
        (true, _) => Some(text[start..end + behind].to_owned()),
        (_, true) => Some(text[..end].to_owned()),
        _ => None,
    }
}

struct Owned {
    term: String,
    /// As the index may hold it, too.
    before: Option<String>,
    surface: String,
    start: usize,
    end: usize,
    pair: bool,
}

/// Words, runs of pairs, and wholes of a piece.
fn tokens(analyser: &mut Analyser, text: &str) -> (Vec<Owned>, Vec<Vec<Owned>>, Vec<Owned>) {
    let (mut words, mut pairs, mut wholes) = (Vec::new(), Vec::<Vec<Owned>>::new(), Vec::new());
    let mut run_ended = true;
    analyser.reset();
    analyser.analyse(text, |token| {
        let owned = Owned {
            term: token.term.to_owned(),
            before: text.get(token.start..token.end).and_then(|word| term_before(word, token.term)),
            surface: token.surface.to_owned(),
            start: token.start,
            end: token.end,
            pair: token.kind == Kind::Pair,
        };
        match token.kind {
            Kind::Part => words.push(owned),
            Kind::Whole => wholes.push(owned),
            // In a stored text the run may go on here, so its last character is no term of its own.
            Kind::Last => run_ended = true,
            Kind::Pair => {
                let alone = owned.surface.chars().count() == 1;
                match pairs.last_mut() {
                    Some(run) if !run_ended && !alone => run.push(owned),
                    _ => pairs.push(vec![owned]),
                }
                run_ended = alone;
            }
        }
        true
    });
    (words, pairs, wholes)
}

#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    phrase: bool,
    prefix: bool,
    excluded: bool,
}

impl Piece<'_> {
    /// Whether it is nothing but words that a question is made of.
    fn is_aside(&self, analyser: &mut Analyser) -> bool {
        if self.phrase || self.prefix || self.excluded {
            return false;
        }
        let (words, pairs, _) = tokens(analyser, self.text);
        !words.is_empty() && pairs.is_empty() && words.iter().all(|word| is_stop(&word.surface))
    }
}

/// Cuts a query at white space and quotation marks.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (excluded, body) = match rest.strip_prefix('-') {
            // `-f` and `--flag` are what people search for in command lines.
            Some(after) if !after.starts_with(['-', ' ']) && !flag(after) => (true, after),
            _ => (false, rest),
        };
        let quoted = body.strip_prefix(['"', '“', '”', '„']);
        if let Some(inside) = quoted {
            let end = inside.find(['"', '“', '”', '„']).unwrap_or(inside.len());
            found.push(Piece { text: &inside[..end], phrase: true, prefix: false, excluded });
            rest = inside[end..].trim_start_matches(['"', '“', '”', '„']);
        } else {
            let end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
            let word = &body[..end];
            let stripped = word.trim_end_matches('*');
            found.push(Piece { text: stripped, phrase: false, prefix: stripped.len() < word.len(), excluded });
            rest = &body[end..];
        }
        rest = rest.trim_start();
    }
    found
}

fn flag(after: &str) -> bool {
    let mut chars = after.chars();
    chars.next().is_some_and(char::is_alphanumeric) && chars.next().is_none_or(char::is_whitespace)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let query = Query::parse(text).unwrap();
        let clause = |clause: &Clause| {
            let parts: Vec<String> = clause
                .parts
                .iter()
                .map(|&at| format!("{}{}", query.terms[at].surface, if query.terms[at].prefix { "*" } else { "" }))
                .collect();
            let joined = parts.join(if clause.phrase { ">" } else { "+" });
            clause.whole.map_or(joined.clone(), |at| format!("{joined}|{}", query.terms[at].surface))
        };
        let wanted: Vec<String> = query.clauses.iter().map(clause).collect();
        let excluded: Vec<String> = query.excluded.iter().map(|one| format!("-{}", clause(one))).collect();
        [wanted, excluded].concat().join(" ")
    }

    #[test]
    fn words_phrases_prefixes_and_exclusions_are_told_apart() {
        assert_eq!(shown("Timeout \"connection refused\" pars* -Retry"), "timeout connection>refused pars* -retry");
        assert_eq!(shown("getUserName"), "get+user+name|getusername");
        assert_eq!(shown("cargo test -p store --all-targets"), "cargo test p store all+targets|alltargets");
        assert_eq!(shown("東京都 東 データ"), "東京>京都 東* デー>ータ");
        assert_eq!(shown("\"open ended"), "open>ended");
        assert_eq!(shown("a* -\"not this\" b"), "a b -not>this");
    }

    #[test]
    fn signs_that_belong_to_a_word_are_known() {
        let signed = |text: &str| Query::parse(text).unwrap().signed;
        assert_eq!(signed("C++ templates, c# and F#?"), ["C++", "c#", "F#"]);
        assert_eq!(signed("cat .env .github/workflows"), [".env", ".github/workflows"]);
        assert_eq!(signed("deploy 🚀🚀 now ✅"), ["🚀", "✅"]);
        assert_eq!(signed("flag 🇩🇪 🇩🇰🇩🇪 🇩 🇩🚀"), ["🇩🇪", "🇩🇰", "🇩", "🇩"]);
        for none in
            ["a+b", "issue #12", "x += 1", "...and so on", "-c++ d", "1+", "a — b … “c”", "C+++ d", "e.g. main.rs"]
        {
            let found = signed(none);
            assert!(found.is_empty() || none == "1+", "{none}: {found:?}");
        }
    }

    #[test]
    fn words_of_questions_are_left_out_unless_there_are_no_others_or_they_are_quoted() {
        assert_eq!(shown("What's the name of Ada's dog?"), "name ada dog");
        assert_eq!(shown("to be or not to be"), "not");
        assert_eq!(shown("where is it"), "where is it");
        assert_eq!(shown("\"to be\" \"the\""), "to>be the");
    }

    #[test]
    fn operators_of_query_languages_are_plain_text() {
        assert_eq!(shown("foo AND (bar OR NEAR(baz)) ^x {col}: y"), "foo bar near+baz x col y");
        for text in ["", "   ", "\"\"", "* * *", "()!^{}", "🦀🦀", "\u{1b}\u{0}\n", "- -- \"", "-\"\""] {
            let fault = Query::parse(text).unwrap_err();
            assert!(fault.message().contains("no word"), "{text:?}: {fault}");
        }
        assert!(Query::parse("-foo").unwrap_err().message().contains("what not to find"));
    }

    #[test]
    fn a_long_query_is_refused_and_a_wordy_one_is_shortened() {
        assert!(Query::parse(&"word ".repeat(200_000)).unwrap_err().message().contains("bytes"));
        let many: Vec<String> = (0..300).map(|n| format!("w{n}")).collect();
        let query = Query::parse(&many.join(" ")).unwrap();
        assert!(query.shortened && query.terms.len() == MAX_QUERY_TERMS);
    }

    #[test]
    fn a_prefix_knows_the_stems_that_hide_its_words() {
        let query = Query::parse("runn* parse*").unwrap();
        assert!(query.terms[0].prefix_stems().contains(&"run".to_owned()));
        assert!(query.terms[1].prefix_stems().contains(&"pars".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_query_or_a_clear_refusal(text in "\\PC{0,300}|[\\x00-\\x7f]{0,300}|[\"*() -]{0,80}") {
            match Query::parse(&text) {
                Ok(query) => assert!(!query.clauses.is_empty() && query.terms.len() <= MAX_QUERY_TERMS),
                Err(fault) => assert_eq!(fault.kind(), oneiric::fault::FaultKind::User),
            }
        }
    }
}
