//! A command line as words, with the quoting and the comments that every system shell has.

/// Splits at blanks outside quotes. `'…'` is literal; in `"…"` and outside a backslash takes the next character's meaning.
/// A word that begins with `#` begins a comment, which goes to the end of the line.
///
/// # Errors
/// A sentence when a quotation is not closed.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '#' if word.is_none() => break,
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a quotation that begins with ' is not closed".into()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a quotation that begins with \" is not closed".into()),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a quotation that begins with \" is not closed".into()),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_system_shell_makes_of_them() {
        assert_eq!(words("list-repos  --tag python").unwrap(), ["list-repos", "--tag", "python"]);
        assert_eq!(
            words("x '{\"limit\": 5}' \"a \\\" b\" c\\ d ''").unwrap(),
            ["x", "{\"limit\": 5}", "a \" b", "c d", ""]
        );
        assert_eq!(words("list-repos a#b '#c'  # it's a comment").unwrap(), ["list-repos", "a#b", "#c"]);
        assert_eq!(words(" ").unwrap(), Vec::<String>::new());
        assert!(words("a 'b").is_err());
        assert!(words("a \"b\\").is_err());
    }
}
