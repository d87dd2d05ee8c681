//! `.env` files: assignments as a shell reads them, without ever running anything.

use std::collections::BTreeMap;

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub name: String,
    pub value: String,
    pub line: usize,
}

/// A line that cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub line: usize,
    pub name: String,
    pub why: String,
}

/// Reads the assignments to names that are `wanted`; all other lines are none of our business, whatever they hold.
/// `variables` gives what `$NAME` stands for, after the file's own earlier assignments.
pub(super) fn parse(
    text: &str,
    wanted: impl Fn(&str) -> bool,
    variables: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Assignment>, Refusal> {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim_start_matches('\u{feff}').trim();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((name, rest)) = line.split_once('=') else { continue };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || !wanted(name) {
            continue;
        }
        let lookup = |wanted: &str| own.get(wanted).cloned().or_else(|| variables(wanted));
        let value = value(rest, lookup).map_err(|why| Refusal { line: index + 1, name: name.to_owned(), why })?;
        own.insert(name.to_owned(), value.clone());
        found.push(Assignment { name: name.to_owned(), value, line: index + 1 });
    }
    Ok(found)
}

fn value(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    loop {
        match chars.peek().copied() {
            None => return Ok(out),
            Some(blank) if blank.is_whitespace() => {
                // Only a comment may follow the value.
                let rest: String = chars.collect();
                let rest = rest.trim_start();
                return match rest.is_empty() || rest.starts_with('#') {
                    true => Ok(out),
                    false => Err("holds a blank: put it in quotes".to_owned()),
                };
            }
            Some('\'') => {
                chars.next();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => out.push(c),
                        None => return Err("has no closing quote on its line".to_owned()),
                    }
                }
            }
            Some('"') => {
                chars.next();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => out.push(c),
                            Some(c) => out.extend(['\\', c]),
                            None => return Err("has no closing quote on its line".to_owned()),
                        },
                        Some('$') => out.push_str(&expansion(&mut chars, &lookup)?),
                        Some('`') => return Err(NO_COMMANDS.to_owned()),
                        Some(c) => out.push(c),
                        None => return Err("has no closing quote on its line".to_owned()),
                    }
                }
            }
            Some('\\') => {
                chars.next();
                out.extend(chars.next());
            }
            Some('$') => {
                chars.next();
                out.push_str(&expansion(&mut chars, &lookup)?);
            }
            Some('`') => return Err(NO_COMMANDS.to_owned()),
            Some(c) => {
                chars.next();
                out.push(c);
            }
        }
    }
}

const NO_COMMANDS: &str = "holds a command, and commands in .env are never run: put its output there, or single quotes \
                           around the text";

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What follows a `$`.
fn expansion(chars: &mut Chars<'_>, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let braced = match chars.peek() {
        Some('(') => return Err(NO_COMMANDS.to_owned()),
        Some('{') => {
            chars.next();
            true
        }
        Some(c) if c.is_ascii_alphabetic() || *c == '_' => false,
        _ => return Ok("$".to_owned()),
    };
    let mut name = String::new();
    while let Some(c) = chars.next_if(is_name) {
        name.push(c);
    }
    if braced && chars.next() != Some('}') {
        return Err(format!("holds ${{{name}…, and only the plain form ${{NAME}} is known"));
    }
    lookup(&name)
        .ok_or_else(|| format!("holds ${name}, which is not set: put single quotes around the text if it is meant"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, Refusal> {
        let variables = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
        let found = parse(text, |name| name.starts_with("APP_"), variables)?;
        Ok(found.into_iter().map(|one| (one.name, one.value)).collect())
    }

    fn one(line: &str) -> String {
        read(line).unwrap().pop().unwrap().1
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        for (line, value) in [
            ("APP_A=true", "true"),
            ("export APP_A=\"HS256\"", "HS256"),
            ("  export   APP_A='a b'  ", "a b"),
            ("APP_A=3000 # the port", "3000"),
            ("APP_A=a#b", "a#b"),
            ("APP_A=\"a # b\" # c", "a # b"),
            ("APP_A=\"$HOME/.app/x.db\"", "/home/ada/.app/x.db"),
            ("APP_A=${HOME}/x", "/home/ada/x"),
            ("APP_A='$HOME $(date) `id`'", "$HOME $(date) `id`"),
            ("APP_A=\"a\\\"b\\$HOME\"", "a\"b$HOME"),
            ("APP_A=cost$5", "cost$5"),
            ("APP_A=", ""),
            ("APP_A=a'b c'd", "ab cd"),
            ("\u{feff}APP_A=1\r", "1"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
    }

    #[test]
    fn earlier_lines_can_be_referred_to() {
        assert_eq!(one("APP_DIR=/srv\nAPP_DB=\"$APP_DIR/x.db\""), "/srv/x.db");
    }

    #[test]
    fn commands_are_refused_with_their_line_and_never_run() {
        for line in ["APP_A=$(id)", "APP_A=\"x$(id)\"", "APP_A=`id`", "APP_A=\"`id`\""] {
            let refusal = read(&format!("# first\n{line}")).unwrap_err();
            assert_eq!((refusal.line, refusal.name.as_str()), (2, "APP_A"));
            assert!(refusal.why.contains("never run"), "{}", refusal.why);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["APP_A=a b", "APP_A=\"open", "APP_A='open", "APP_A=$UNSET", "APP_A=${HOME:-x}", "APP_A=\"x\\"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_of_others_are_passed_over_whatever_they_hold() {
        assert_eq!(read("OTHER=$(rm -rf x)\nnonsense\n=\n#APP_A=1\nKEY=\"open\nAPP-A=1\n").unwrap(), []);
    }
}
