//! Secrets among the arguments of known programs, where no name says what they are: `mysql -psecret`,
//! `curl -u user:password`.

use super::{MARK, Span, structure};

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `-pVALUE`.
    Attached,
    /// `-p VALUE`.
    Separate,
    /// Both.
    Either,
}

/// What of the value is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// What follows the first of these: `user:password`, `user%password`.
    After(u8),
}

/// A program, and an option of it that takes a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// How the program's name begins.
    pub program: &'static str,
    /// A word that must follow among its arguments.
    with: &'static str,
    options: &'static [&'static str],
    form: Form,
    part: Part,
}

const fn rule(program: &'static str, options: &'static [&'static str], form: Form, part: Part) -> Rule {
    Rule { program, with: "", options, form, part }
}

const fn login(program: &'static str) -> Rule {
    Rule { program, with: "login", options: &["-p"], form: Form::Either, part: Part::Whole }
}

/// All rules.
pub(super) const RULES: &[Rule] = &[
    rule("mysql", &["-p"], Form::Attached, Part::Whole),
    rule("mariadb", &["-p"], Form::Attached, Part::Whole),
    rule("sshpass", &["-p"], Form::Either, Part::Whole),
    rule("curl", &["-u", "--user", "-U", "--proxy-user"], Form::Either, Part::After(b':')),
    rule("http", &["-a", "--auth"], Form::Either, Part::After(b':')),
    rule("redis-cli", &["-a"], Form::Separate, Part::Whole),
    rule("mongo", &["-p"], Form::Separate, Part::Whole),
    rule("ldap", &["-w"], Form::Separate, Part::Whole),
    rule("smbclient", &["-U"], Form::Separate, Part::After(b'%')),
    rule("7z", &["-p"], Form::Attached, Part::Whole),
    rule("zip", &["-P"], Form::Separate, Part::Whole),
    rule("unzip", &["-P"], Form::Separate, Part::Whole),
    rule("sqlcmd", &["-P"], Form::Either, Part::Whole),
    rule("cqlsh", &["-p"], Form::Separate, Part::Whole),
    rule("ipmitool", &["-P"], Form::Separate, Part::Whole),
    rule("lftp", &["-u"], Form::Separate, Part::After(b',')),
    login("docker"),
    login("podman"),
    login("helm"),
    login("az"),
    login("oc"),
    login("skopeo"),
    login("buildah"),
];

/// A command is followed at most this far.
const MAX_COMMAND: usize = 4096;

impl Rule {
    /// Adds the secrets of the command whose program's name begins at `at`; says where the command ends.
    pub(super) fn find(&self, text: &[u8], at: usize, spans: &mut Vec<Span>) -> usize {
        let starts_word = at == 0
            || matches!(
                text[at - 1],
                b' ' | b'\t' | b'\n' | b'/' | b';' | b'|' | b'&' | b'(' | b'"' | b'\'' | b'`' | b'!'
            );
        let name_end = at + text[at..].iter().take(64).take_while(|byte| !byte.is_ascii_whitespace()).count();
        if !starts_word || !matches!(text.get(name_end), Some(b' ' | b'\t')) {
            return at;
        }
        let end = command_end(text, name_end);
        let mut words = Words { text, at: name_end, end };
        let mut allowed = self.with.is_empty();
        while let Some((start, stop)) = words.next() {
            let word = &text[start..stop];
            allowed |= word == self.with.as_bytes();
            if !allowed {
                continue;
            }
            let value = self.options.iter().find_map(|option| {
                let option = option.as_bytes();
                let rest = word.strip_prefix(option)?;
                match (rest, self.form) {
                    ([], Form::Separate | Form::Either) => words.next(),
                    // Long options take a value behind `=`.
                    ([b'=', ..], Form::Separate | Form::Either) => Some((start + option.len() + 1, stop)),
                    ([_, ..], Form::Attached | Form::Either) if option.len() == 2 => Some((start + 2, stop)),
                    _ => None,
                }
            });
            let Some((start, stop)) = value else { continue };
            spans.extend(self.secret(text, start, stop));
        }
        end
    }

    fn secret(&self, text: &[u8], start: usize, stop: usize) -> Option<Span> {
        let quoted = |byte: u8| matches!(byte, b'"' | b'\'');
        let (mut start, mut stop) = (start, stop);
        while start < stop && quoted(text[start]) {
            start += 1;
        }
        while stop > start && (quoted(text[stop - 1]) || text[stop - 1] == b'\\') {
            stop -= 1;
        }
        if let Part::After(separator) = self.part {
            start += text[start..stop].iter().position(|byte| *byte == separator)? + 1;
        }
        let secret = &text[start..stop];
        (!secret.is_empty() && !structure::is_reference(secret) && !secret.starts_with(MARK.as_bytes()))
            .then_some(Span { start, end: stop, kind: "password" })
    }
}

/// Where a simple command ends: at a line's end or at what joins commands, outside of quotes.
fn command_end(text: &[u8], from: usize) -> usize {
    let limit = text.len().min(from + MAX_COMMAND);
    let mut quote = None;
    let mut at = from;
    while at < limit {
        match (quote, text[at]) {
            (_, b'\\') => at += 1,
            (None, b'\n' | b'|' | b';' | b'&') | (_, b'\n') => return at,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    at.min(limit)
}

/// Words of a command; quotes keep blanks together and stay part of the word.
struct Words<'t> {
    text: &'t [u8],
    at: usize,
    end: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        while self.at < self.end && self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        let start = self.at;
        let mut quote = None;
        while self.at < self.end {
            match (quote, self.text[self.at]) {
                (None, byte) if byte.is_ascii_whitespace() => break,
                (_, b'\\') => self.at += 1,
                (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.end);
        (start < self.at).then_some((start, self.at))
    }
}
