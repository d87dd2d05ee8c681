//! What somebody may have meant by a word that nothing holds: one letter more, less or other, two swapped, or the word
//! that it is a part of.

/// Shortest word that is taken for a slip.
pub const MIN_SLIP_CHARS: usize = 4;
/// Shortest part of a word that is looked for inside of others.
pub const MIN_PART_CHARS: usize = 3;

/// All words at one slip of the pen from `word` (ASCII letters and digits only; others have none): two swapped, one
/// left out, one other, one more. Likelier slips first.
#[must_use]
pub fn slips(word: &str) -> Vec<String> {
    if word.chars().count() < MIN_SLIP_CHARS || word.len() > 24 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
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
}
