//! Takes light English endings off: plurals, `-ing`, `-ed`, a last `e`, `y` as `i`.
//!
//! These are the inflection steps of Porter's algorithm (1980) and no others, so that words of different meaning stay
//! apart. Short words and anything with a digit or a letter beyond a to z stay as they are: `ps`, `css`, `args2`.
//! The ranking prefers the word as written, so that a shared stem costs no precision.

/// The stem of a folded word; `buffer` is scratch.
pub fn stem<'a>(word: &'a str, buffer: &'a mut String) -> &'a str {
    let bytes = word.as_bytes();
    if !(4..=24).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_lowercase) {
        return word;
    }
    let after_plural = plural(bytes);
    let (base, inflected) = inflection(&bytes[..after_plural]);
    let mut length = base;
    if inflected {
        length = undouble(&bytes[..length]);
    }
    // `hike`, `hiking` and `hiked` meet without their last e.
    if length >= 4 && bytes[length - 1] == b'e' && has_vowel(&bytes[..length - 1]) {
        length -= 1;
    }
    let ends_in_y = length >= 4 && bytes[length - 1] == b'y' && !vowel(bytes, length - 2);
    if ends_in_y {
        buffer.clear();
        buffer.push_str(&word[..length - 1]);
        buffer.push('i');
        return buffer;
    }
    &word[..length]
}

fn vowel(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => true,
        b'y' => at > 0 && !vowel(word, at - 1),
        _ => false,
    }
}

fn has_vowel(word: &[u8]) -> bool {
    (0..word.len()).any(|at| vowel(word, at))
}

/// Length without a plural ending.
fn plural(word: &[u8]) -> usize {
    let length = word.len();
    if !word.ends_with(b"s") {
        return length;
    }
    if word.ends_with(b"ies") {
        // `queries` and `query` meet at `queri`.
        return if length > 4 { length - 2 } else { length - 1 };
    }
    if [&b"sses"[..], b"ches", b"shes", b"xes", b"zes"].iter().any(|ending| word.ends_with(ending)) && length > 4 {
        return length - 2;
    }
    if [&b"ss"[..], b"us", b"is"].iter().any(|ending| word.ends_with(ending)) {
        return length;
    }
    length - 1
}

/// Length without `-ing` or `-ed`, and whether one was there.
fn inflection(word: &[u8]) -> (usize, bool) {
    for ending in [&b"ing"[..], b"ed"] {
        if word.ends_with(ending) {
            let base = word.len() - ending.len();
            if base >= 3 && has_vowel(&word[..base]) {
                return (base, true);
            }
        }
    }
    (word.len(), false)
}

/// `stopp` of `stopping` becomes `stop`; `l`, `s` and `z` stay doubled (`falling`, `passing`).
fn undouble(word: &[u8]) -> usize {
    let length = word.len();
    let doubled = length >= 3 && word[length - 1] == word[length - 2];
    if doubled && !matches!(word[length - 1], b'l' | b's' | b'z') && !vowel(word, length - 1) {
        length - 1
    } else {
        length
    }
}
