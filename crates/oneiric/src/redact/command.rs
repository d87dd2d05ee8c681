//! Secrets among the arguments of known programs, where no name says what they are: `mysql -psecret`,
//! `curl -u user:password`.

use super::{MARK, Span, judge, prose, structure};

/// Where a program takes its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `-pVALUE`.
    Attached,
    /// `-p VALUE`, `-xp VALUE`.
    Separate,
    /// Both.
    Either,
    /// The first word that is no option.
    First,
    /// The last word, where one of the options was given, if there are any.
    Last,
    /// Every word that is no option.
    Each,
}

/// What of the value is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// What follows the first of these: `user:password`, `user%password`, `pass:password`.
    After(&'static str),
    /// The same up to the last `@`: `user/password@host`.
    Login(&'static str),
    /// What stands between the first of these and the end, or the last `@` if there is one: `user/password`.
    Account(&'static str),
    /// The whole, where it does not look like a word: what programs' names are followed by in prose.
    Shaped,
    /// What follows the first of these, where it does not look like a word.
    ShapedAfter(&'static str),
}

/// A program, and an option of it that takes a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// How the program's name begins.
    pub program: &'static str,
    /// How it may end: one of these, or in any way.
    ends: &'static [&'static str],
    /// A word that must follow among its arguments.
    with: &'static str,
    options: &'static [&'static str],
    form: Form,
    part: Part,
}

const fn rule(program: &'static str, options: &'static [&'static str], form: Form, part: Part) -> Rule {
    Rule { program, ends: &[""], with: "", options, form, part }
}

const fn family(
    program: &'static str,
    ends: &'static [&'static str],
    options: &'static [&'static str],
    form: Form,
    part: Part,
) -> Rule {
    Rule { program, ends, with: "", options, form, part }
}

const fn login(program: &'static str) -> Rule {
    Rule { program, ends: &[""], with: "login", options: &["-p"], form: Form::Either, part: Part::Whole }
}

const ANY: &[&str] = &["*"];

/// All rules.
pub(super) const RULES: &[Rule] = &[
    family(
        "mysql",
        &["", "dump", "admin", "import", "show", "check", "pump", "slap", "binlog", "sh"],
        &["-p"],
        Form::Attached,
        Part::Whole,
    ),
    family("mariadb", &["", "-dump", "-admin", "-import", "-show", "-check"], &["-p"], Form::Attached, Part::Whole),
    rule("mysqladmin", &["password"], Form::Separate, Part::Whole),
    rule("sshpass", &["-p"], Form::Either, Part::Whole),
    rule("curl", &["-u", "--user", "-U", "--proxy-user"], Form::Either, Part::After(":")),
    rule("curl", &["-b", "--cookie"], Form::Either, Part::After("=")),
    rule("curl", &["-E", "--cert"], Form::Either, Part::ShapedAfter(":")),
    rule("curl", &["-x", "--proxy"], Form::Either, Part::Login(":")),
    family("http", &["", "s"], &["-a", "--auth"], Form::Either, Part::After(":")),
    rule("redis-cli", &["-a"], Form::Separate, Part::Whole),
    rule("redis-cli", &["AUTH", "auth"], Form::Last, Part::Whole),
    rule("valkey-cli", &["-a"], Form::Separate, Part::Whole),
    rule("valkey-cli", &["AUTH", "auth"], Form::Last, Part::Whole),
    // In a session of theirs.
    rule("AUTH", &[], Form::Last, Part::Shaped),
    family(
        "mongo",
        &["", "sh", "dump", "restore", "export", "import", "stat", "top", "files"],
        &["-p"],
        Form::Either,
        Part::Whole,
    ),
    family(
        "ldap",
        &["search", "add", "modify", "delete", "passwd", "whoami", "compare", "modrdn"],
        &["-w"],
        Form::Either,
        Part::Whole,
    ),
    rule("smbclient", &["-U"], Form::Separate, Part::After("%")),
    family("7z", &["", "a", "r", "z"], &["-p"], Form::Attached, Part::Whole),
    rule("zip", &["-P"], Form::Separate, Part::Whole),
    rule("unzip", &["-P"], Form::Separate, Part::Whole),
    rule("sqlcmd", &["-P"], Form::Either, Part::Whole),
    rule("cqlsh", &["-p"], Form::Separate, Part::Whole),
    rule("ipmitool", &["-P"], Form::Separate, Part::Whole),
    rule("lftp", &["-u"], Form::Separate, Part::After(",")),
    rule("ssh-keygen", &["-N", "-P"], Form::Separate, Part::Whole),
    rule("twine upload", &["-p"], Form::Either, Part::Whole),
    rule("poetry publish", &["-p"], Form::Either, Part::Whole),
    rule("openssl", &["-passin", "-passout", "-pass"], Form::Separate, Part::After("pass:")),
    rule("openssl passwd", &["-1", "-5", "-6", "-apr1"], Form::Last, Part::Whole),
    rule("htpasswd", &["-b"], Form::Last, Part::Whole),
    rule("rabbitmqctl", &["add_user", "change_password"], Form::Last, Part::Shaped),
    rule("net user", &[], Form::Last, Part::Shaped),
    rule("cargo login", &[], Form::First, Part::Shaped),
    rule("sqlplus", &[], Form::First, Part::Account("/")),
    family("exp", &["", "dp"], &[], Form::First, Part::Login("/")),
    family("imp", &["", "dp"], &[], Form::First, Part::Login("/")),
    rule("mysqlsh", &[], Form::First, Part::Login(":")),
    rule("vault login", &[], Form::First, Part::Shaped),
    rule("vault operator unseal", &[], Form::First, Part::Shaped),
    family("vault kv p", &["ut", "atch"], &[], Form::Each, Part::After("=")),
    rule("ngrok config add-authtoken", &[], Form::First, Part::Whole),
    // Of `poetry config` and `composer config`.
    family("http-basic.", ANY, &[], Form::Last, Part::Shaped),
    rule("bundle config", &[], Form::Last, Part::ShapedAfter(":")),
    rule("fly secrets set", &[], Form::Each, Part::After("=")),
    rule("flyctl secrets set", &[], Form::Each, Part::After("=")),
    rule("supabase secrets set", &[], Form::Each, Part::After("=")),
    rule("doppler secrets set", &[], Form::Each, Part::After("=")),
    rule("infisical secrets set", &[], Form::Each, Part::After("=")),
    rule("kubectl", &["--from-literal"], Form::Separate, Part::After("=")),
    rule("openssl enc", &["-k"], Form::Separate, Part::Whole),
    rule("mc alias set", &[], Form::Last, Part::Shaped),
    rule("cf auth", &[], Form::Last, Part::Shaped),
    rule("wpa_passphrase", &[], Form::Last, Part::Shaped),
    rule("ConvertTo-SecureString", &[], Form::First, Part::Whole),
    rule("gh secret set", &["--body", "-b"], Form::Either, Part::Whole),
    rule("put-parameter", &["--value"], Form::Separate, Part::Whole),
    rule("keyvault secret set", &["--value"], Form::Separate, Part::Whole),
    login("docker"),
    login("podman"),
    login("helm"),
    login("az"),
    login("oc"),
    login("skopeo"),
    login("buildah"),
    login("nerdctl"),
    login("crane"),
    login("oras"),
    login("cosign"),
];

/// A command is followed at most this far.
const MAX_COMMAND: usize = 64 * 1024;

impl Rule {
    /// Adds the secrets of the command whose program's name begins at `at`; says where the command ends.
    pub(super) fn find(&self, text: &[u8], at: usize, spans: &mut Vec<Span>) -> usize {
        let behind_program = at + self.program.len();
        let in_name = |byte: &&u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'');
        let rest = text[behind_program..].iter().take(64).take_while(in_name).count();
        let name_end = behind_program + rest;
        let ending = &text[behind_program..name_end];
        let ending = ending.strip_suffix(b".exe").unwrap_or(ending);
        let known = self.ends == ANY || self.ends.iter().any(|end| end.as_bytes() == ending);
        // What is said in a session stands behind its prompt.
        let said = self.program.bytes().all(|byte| byte.is_ascii_uppercase());
        let prompt = || matches!(text[..at], [] | [.., b'\n'] | [.., b'>', b' ']);
        if !starts_word(text, at) || !known || (said && !prompt()) {
            return at;
        }
        let (list, end) = match text.get(name_end) {
            Some(b' ' | b'\t') => (false, command_end(text, name_end)),
            // `["curl", "-u", …]`
            Some(quote @ (b'"' | b'\''))
                if text.get(name_end + 1) == Some(&b',') && text[..at].ends_with(&[*quote]) =>
            {
                (true, list_end(text, name_end + 1))
            }
            _ => return at,
        };
        let mut words = Words { text, at: name_end + usize::from(list), end, list };
        match self.form {
            Form::First => spans.extend(self.first(text, &mut words)),
            Form::Last => spans.extend(self.last(text, &mut words)),
            Form::Each => {
                while let Some((start, stop)) = words.next() {
                    if text[start] != b'-' {
                        spans.extend(self.secret(text, start, stop));
                    }
                }
            }
            _ => self.options(text, &mut words, spans),
        }
        end
    }

    fn options(&self, text: &[u8], words: &mut Words<'_>, spans: &mut Vec<Span>) {
        let mut allowed = self.with.is_empty();
        while let Some((start, stop)) = words.next() {
            let word = &text[start..stop];
            allowed |= word == self.with.as_bytes();
            if !allowed {
                continue;
            }
            let value = self.options.iter().find_map(|option| {
                let option = option.as_bytes();
                let separate = matches!(self.form, Form::Separate | Form::Either);
                if separate && ends_group(word, option) {
                    return words.next();
                }
                match word.strip_prefix(option)? {
                    [] if separate => words.next(),
                    // Long options take a value behind `=`.
                    [b'=', ..] if separate => Some((start + option.len() + 1, stop)),
                    [_, ..] if self.form != Form::Separate && option.len() == 2 => Some((start + 2, stop)),
                    _ => None,
                }
            });
            let Some((start, stop)) = value else { continue };
            spans.extend(self.secret(text, start, stop));
        }
    }

    fn first(&self, text: &[u8], words: &mut Words<'_>) -> Option<Span> {
        let (start, stop) =
            std::iter::from_fn(|| words.next()).find(|(start, stop)| !text[*start..*stop].starts_with(b"-"))?;
        self.secret(text, start, stop)
    }

    fn last(&self, text: &[u8], words: &mut Words<'_>) -> Option<Span> {
        let mut given = self.options.is_empty();
        let mut last = None;
        while let Some((start, stop)) = words.next() {
            let word = &text[start..stop];
            if matches!(word, [b'<' | b'>' | b'#' | b')' | b'`', ..] | [b'1' | b'2', b'>', ..]) {
                break;
            }
            let option = matches!(word.first(), Some(b'-' | b'/'));
            let named = self.options.iter().any(|wanted| {
                let wanted = wanted.as_bytes();
                // `-nbB` holds `-b`.
                word == wanted || (wanted.len() == 2 && is_group(word) && word.contains(&wanted[1]))
            });
            given |= named;
            if named {
                last = None;
            } else if !(option && last.is_some()) {
                last = Some((start, stop)).filter(|_| !option);
            }
        }
        let (start, stop) = last.filter(|_| given)?;
        self.secret(text, start, stop)
    }

    fn secret(&self, text: &[u8], start: usize, stop: usize) -> Option<Span> {
        let (mut start, mut stop) = unquoted(text, start, stop);
        let (separator, login) = match self.part {
            Part::After(separator) | Part::ShapedAfter(separator) => (Some(separator), None),
            Part::Login(separator) => (Some(separator), Some(true)),
            Part::Account(separator) => (Some(separator), Some(false)),
            Part::Whole | Part::Shaped => (None, None),
        };
        if let Some(separator) = separator {
            let word = &text[start..stop];
            let front = structure::find(word, separator.as_bytes())?;
            // A URL has a rule of its own, and `/nolog` names no user.
            if login.is_some() && (front == 0 || word[front..].starts_with(b"://")) {
                return None;
            }
            start += front + separator.len();
        }
        if let Some(host) = login {
            let at = text[start..stop].iter().rposition(|byte| *byte == b'@').map(|at| start + at);
            stop = if host { at? } else { at.unwrap_or(stop) };
        }
        (start, stop) = unquoted(text, start, stop);
        let secret = &text[start..stop];
        if secret.is_empty()
            || judge::is_reference(secret, false)
            || secret.starts_with(MARK.as_bytes())
            || (matches!(self.part, Part::Shaped | Part::ShapedAfter(_))
                && !prose::is_shaped(secret)
                && !prose::is_long_key(secret))
        {
            return None;
        }
        Some(Span { start, end: stop, kind: "password" })
    }
}

/// Whether a program's name may begin at `at`.
fn starts_word(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|at| text[at]) else { return true };
    let escaped = at >= 2 && text[at - 2] == b'\\' && matches!(before, b'n' | b't' | b'r');
    escaped || b" \t\n/\\;|&({\"'`!".contains(&before)
}

/// Whether a word is some short options in one: `-sSu`.
fn is_group(word: &[u8]) -> bool {
    word.len() <= 8 && matches!(word, [b'-', letters @ ..] if letters.iter().all(u8::is_ascii_alphabetic))
}

/// Whether short options in one word end in the one that takes a value: `-sSu user:password`.
fn ends_group(word: &[u8], option: &[u8]) -> bool {
    matches!(option, [b'-', letter] if word.len() > 2 && is_group(word) && word.ends_with(&[*letter]))
}

/// Without quotes around, and what escapes them.
fn unquoted(text: &[u8], start: usize, stop: usize) -> (usize, usize) {
    let quoted = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\');
    let front = text[start..stop].iter().take_while(|byte| quoted(byte)).count();
    let back = text[start + front..stop].iter().rev().take_while(|byte| quoted(byte)).count();
    (start + front, stop - back)
}

/// Where a simple command ends: at a line's end that is not continued, or at what joins commands, outside of quotes.
fn command_end(text: &[u8], from: usize) -> usize {
    let limit = text.len().min(from + MAX_COMMAND);
    let mut quote = None;
    let mut at = from;
    while at < limit {
        match (quote, text[at]) {
            (_, b'\\') => at += continued(text, at).max(2) - 1,
            (None, b'`' | b'^') => at += continued(text, at).max(1) - 1,
            (None, b'\n' | b'|' | b';' | b'&') | (_, b'\n') => return at,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    at.min(limit)
}

/// Where a list ends: at its bracket outside of quotes.
fn list_end(text: &[u8], from: usize) -> usize {
    let mut quote = None;
    let limit = text.len().min(from + MAX_COMMAND);
    for (at, byte) in text.iter().enumerate().take(limit).skip(from) {
        match (quote, *byte) {
            (None, b']' | b')' | b'}') => return at,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    limit
}

/// The length of what continues a line at `at`: a backslash, or behind a blank the `` ` `` of PowerShell or the `^` of
/// Windows, with the line break. None is 0.
pub(super) fn continued(text: &[u8], at: usize) -> usize {
    let blank_before = || at.checked_sub(1).is_some_and(|before| matches!(text[before], b' ' | b'\t' | b'='));
    match &text[at..text.len().min(at + 3)] {
        [b'\\', b'\n', ..] => 2,
        [b'\\', b'\r', b'\n'] => 3,
        [b'`' | b'^', b'\n', ..] if blank_before() => 2,
        [b'`' | b'^', b'\r', b'\n'] if blank_before() => 3,
        _ => 0,
    }
}

/// Words of a command; quotes keep blanks together and stay part of the word. In a list commas stand between them, and
/// quotes around each are no part of it.
struct Words<'t> {
    text: &'t [u8],
    at: usize,
    end: usize,
    list: bool,
}

impl Words<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        while self.at < self.end {
            let byte = self.text[self.at];
            let blank = usize::from(byte.is_ascii_whitespace() || (self.list && byte == b','));
            match blank.max(continued(self.text, self.at)) {
                0 => break,
                length => self.at += length,
            }
        }
        let start = self.at;
        let mut quote = None;
        while self.at < self.end {
            match (quote, self.text[self.at]) {
                (None, byte) if byte.is_ascii_whitespace() || (self.list && byte == b',') => break,
                (_, b'\\') => self.at += 1,
                (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.end);
        let word = if self.list && start < self.at { unquoted(self.text, start, self.at) } else { (start, self.at) };
        (start < self.at).then_some(word)
    }
}
