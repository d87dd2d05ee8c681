//! What somebody may have meant by a word that nothing holds: a word at one or two slips of the pen, or one that it is a
//! part of.
//!
//! A slip is one letter more, less or other, or two neighbours swapped. Words of four to seven letters are forgiven one,
//! longer ones two.

/// Shortest word that is taken for a slip.
pub const MIN_SLIP_CHARS: usize = 4;
/// Shortest word that is forgiven two slips.
pub const MIN_TWO_SLIPS_CHARS: usize = 8;
/// Shortest part of a word that is looked for inside of others.
pub const MIN_PART_CHARS: usize = 3;
/// Longest word that is taken for a slip.
const MAX_SLIP_CHARS: usize = 24;
/// Stands for the end of a word among its letters; no word holds it.
const END: char = '·';

/// How many slips `word` is forgiven. Numbers and names with digits are meant as they are.
#[must_use]
pub fn forgiven(word: &str) -> usize {
    let letters = word.chars().count();
    if letters > MAX_SLIP_CHARS || !word.chars().all(char::is_alphabetic) {
        return 0;
    }
    usize::from(letters >= MIN_SLIP_CHARS) + usize::from(letters >= MIN_TWO_SLIPS_CHARS)
}

/// All words at one slip of the pen from `word` (ASCII letters only; others have none): two swapped, one left out, one
/// other, one more. Likelier slips first.
#[must_use]
pub fn slips(word: &str) -> Vec<String> {
    if forgiven(word) == 0 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return Vec::new();
    }
    let bytes = word.as_bytes();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for at in 1..bytes.len() {
        let mut swapped = bytes.to_vec();
        swapped.swap(at - 1, at);
        found.push(swapped);
    }
    for at in (0..=bytes.len()).rev() {
        for letter in b'a'..=b'z' {
            let mut more = bytes.to_vec();
            more.insert(at, letter);
            found.push(more);
        }
    }
    for at in (0..bytes.len()).rev() {
        let mut less = bytes.to_vec();
        less.remove(at);
        found.push(less);
    }
    for at in (0..bytes.len()).rev() {
        for letter in b'a'..=b'z' {
            let mut other = bytes.to_vec();
            other[at] = letter;
            found.push(other);
        }
    }
    let mut words: Vec<String> = Vec::with_capacity(found.len());
    let mut seen = std::collections::HashSet::new();
    for one in found.into_iter().filter_map(|one| String::from_utf8(one).ok()) {
        if one != word && seen.insert(one.clone()) {
            words.push(one);
        }
    }
    words
}

/// `word` with neighbours swapped, at one place or at two. These share the fewest letters in a row with it.
#[must_use]
pub fn swaps(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut found = Vec::new();
    for first in 1..letters.len() {
        let mut once = letters.clone();
        once.swap(first - 1, first);
        found.push(once.iter().collect());
        if forgiven(word) > 1 {
            for second in first + 2..letters.len() {
                let mut twice = once.clone();
                twice.swap(second - 1, second);
                found.push(twice.into_iter().collect());
            }
        }
    }
    found
}

/// How many slips lie between two words; `None` when they are more than `most`.
#[must_use]
pub fn distance(one: &str, other: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut line = vec![row + 1; b.len() + 1];
        for (column, against) in b.iter().enumerate() {
            let other = above[column] + usize::from(letter != against);
            let mut best = other.min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && *letter == b[column - 1] && a[row - 1] == *against {
                best = best.min(before[column - 1] + 1);
            }
            line[column + 1] = best;
        }
        if line.iter().min().is_some_and(|least| *least > most) {
            return None;
        }
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().filter(|slips| *slips <= most)
}

/// Every three letters in a row of `word`, its ends counted as letters.
#[must_use]
pub fn letters(word: &str) -> Vec<String> {
    let padded: Vec<char> = std::iter::once(END).chain(word.chars()).chain(std::iter::once(END)).collect();
    distinct(&padded)
}

/// Every three letters in a row that a word with this part holds.
#[must_use]
pub fn letters_inside(part: &str) -> Vec<String> {
    distinct(&part.chars().collect::<Vec<char>>())
}

fn distinct(chars: &[char]) -> Vec<String> {
    let mut found: Vec<String> = chars.windows(3).map(|three| three.iter().collect()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_slip_is_among_them() {
        for slip in ["serch", "saerch", "searchh", "seatch", "earch"] {
            assert!(slips(slip).contains(&"search".to_owned()), "{slip}");
        }
        assert!(slips("abc").is_empty() && slips("größe").is_empty() && slips("x1y2").is_empty());
        assert!(!slips("search").contains(&"search".to_owned()));
    }

    #[test]
    fn slips_are_counted_with_swapped_neighbours_as_one() {
        for (one, other, slips) in [
            ("backup", "bakcup", 1),
            ("database", "dtaabsae", 2),
            ("größe", "grösse", 2),
            ("größe", "gröse", 1),
            ("scheduler", "schdeulr", 2),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(one, other, 2), Some(slips), "{one} {other}");
            assert_eq!(distance(other, one, 2), Some(slips), "{one} {other}");
        }
        assert_eq!(distance("backup", "restore", 2), None);
        assert_eq!(distance("ab", "abcde", 2), None);
    }

    #[test]
    fn what_is_forgiven_grows_with_the_word() {
        assert_eq!(["abc", "abcd", "abcdefg", "abcdefgh", "abcd1", "größe"].map(forgiven), [0, 1, 1, 2, 0, 1]);
    }

    #[test]
    fn two_swaps_are_found_though_they_leave_no_three_letters_in_a_row() {
        let shared = letters("database").iter().filter(|three| letters("dtaabsae").contains(three)).count();
        assert_eq!(shared, 0);
        assert!(swaps("dtaabsae").contains(&"database".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn two_slips_leave_three_letters_in_a_row_unless_both_are_swaps(
            word in "[a-e]{8,12}", at in 0_usize..8, letter in 0_u8..26, swap in 1_usize..8,
        ) {
            let mut slipped: Vec<char> = word.chars().collect();
            slipped[at] = char::from(b'a' + letter);
            slipped.swap(swap - 1, swap);
            let slipped: String = slipped.into_iter().collect();
            let known = letters(&word);
            assert!(distance(&word, &slipped, 2).is_some());
            assert!(letters(&slipped).iter().any(|three| known.contains(three)), "{word} {slipped}");
        }
    }
}
