//! Searches for words that nothing holds: slips of the pen, and words that nobody ever wrote.

use super::Bench;
use super::corpus::{Corpus, Dice};
use super::database::{Filled, grouped};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::hybrid::{MOST_HYBRID, MOST_TEXT, Query, Way, ask};
use super::search::of_event;
use crate::Result;
use crate::http::Connection;

/// Letters of a word that is forgiven one slip, and of one that is forgiven two.
const ONE_SLIP: usize = 5;
const TWO_SLIPS: usize = 9;
/// Words of a query that nothing holds.
const STRANGE: usize = 4;

const WAYS: [Way; 2] =
    [Way { mode: "text", filter: None, most: MOST_TEXT }, Way { mode: "hybrid", filter: None, most: MOST_HYBRID }];

/// Queries of one kind.
struct Kind {
    what: &'static str,
    make: fn(&Corpus, u64, &mut Dice) -> String,
}

const KINDS: [Kind; 4] = [
    Kind {
        what: "a word with one slip",
        make: |corpus, events, dice| slipped(&word(corpus, events, ONE_SLIP, dice), dice),
    },
    Kind {
        what: "a word with two slips",
        make: |corpus, events, dice| slipped(&slipped(&word(corpus, events, TWO_SLIPS, dice), dice), dice),
    },
    Kind { what: "a slip beside words that are held", make: beside },
    Kind { what: "four words that nothing holds", make: strange },
];

/// Measures over what `home` holds, through a server that has answered already.
pub(super) fn measure(bench: &Bench, home: &Filled, connection: &mut Connection) -> Result<Vec<Figure>> {
    let count = bench.runs(100, 5);
    let mut figures = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let mut dice = Dice::new(0x511b + number as u64);
        for way in &WAYS {
            let mut times = Vec::new();
            // Each way asks its own: the vectors of the last questions are kept.
            for _ in 0..count {
                let words = (kind.make)(&bench.corpus, home.events(), &mut dice);
                times.push(ask(connection, &Query { words, project: String::new() }, way)?.0);
            }
            let what = format!("search over MCP: {}, {}", way.mode, kind.what);
            let work = format!("{count} queries, {} chunks", grouped(super::hybrid::chunks(bench)));
            let figure = Figure::new(what, work, Unit::Milliseconds, Spread::of_times(&times));
            figures.push(figure.limit(Limit::most(At::P95, way.most)));
        }
    }
    Ok(figures)
}

/// A word in plain letters that an event holds, at least so long.
fn word(corpus: &Corpus, events: u64, letters: usize, dice: &mut Dice) -> String {
    loop {
        let (_, words) = of_event(corpus, events, dice, &|_| true);
        let plain = |word: &&str| word.len() >= letters && word.bytes().all(|byte| byte.is_ascii_lowercase());
        if let Some(word) = words.split(' ').find(plain) {
            return word.to_owned();
        }
    }
}

/// Words of one event, the first plain one of which has a slip.
fn beside(corpus: &Corpus, events: u64, dice: &mut Dice) -> String {
    loop {
        let (_, words) = of_event(corpus, events, dice, &|_| true);
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let plain = |word: &&mut String| word.len() >= ONE_SLIP && word.bytes().all(|byte| byte.is_ascii_lowercase());
        if let Some(word) = words.iter_mut().find(plain) {
            *word = slipped(word, dice);
            return words.join(" ");
        }
    }
}

/// Words of letters as they come.
fn strange(_: &Corpus, _: u64, dice: &mut Dice) -> String {
    let word = |dice: &mut Dice| (0..6 + dice.below(6)).map(|_| letter(dice)).collect::<String>();
    (0..STRANGE).map(|_| word(dice)).collect::<Vec<_>>().join(" ")
}

/// `word` with one letter more, less or other, or two swapped; never its first, so that it stays likely.
fn slipped(word: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + dice.below(letters.len() as u64 - 2) as usize;
    match dice.below(4) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letter(dice)),
        _ => letters[at] = letter(dice),
    }
    letters.into_iter().collect()
}

fn letter(dice: &mut Dice) -> char {
    char::from(b'a' + dice.below(26) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_changes_little() {
        let mut dice = Dice::new(7);
        for _ in 0..200 {
            let slip = slipped("workspace", &mut dice);
            assert!(slip.starts_with('w') && (8..=10).contains(&slip.len()), "{slip}");
        }
    }
}
