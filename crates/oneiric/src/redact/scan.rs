//! One pass over a text: the prefilter says where a rule has to look, the rules say what is a secret.

use std::borrow::Cow;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

use super::{
    MARK, Span, assign, block, command, dsn, effort, entropy, json, languages, manifest, names, prefix, rows, several,
    statement, stdin, structure, view, wrapped,
};

/// What a match of the prefilter calls for.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    Name,
    Prefix(usize),
    Command(usize),
    Stdin(usize),
    Mark,
    Escape,
    Url,
    EncodedUrl,
    Jwt,
    KeyBegin,
    KeyEnd,
    Bearer,
    Basic,
    Webhook,
    DiscordWebhook,
    Bot,
    Auth,
    IdentifiedBy,
    IdentifiedWith,
    Protocol,
    Oracle,
    PgPass,
    Login,
    Handed,
    Language,
    Insert,
    Manifest,
    /// What counts in data alone.
    Data,
}

const STRUCTURES: &[(&str, Trigger)] = &[
    (MARK, Trigger::Mark),
    ("://", Trigger::Url),
    ("%3A%2F%2F", Trigger::EncodedUrl),
    ("eyJ", Trigger::Jwt),
    ("-----BEGIN", Trigger::KeyBegin),
    ("-----END", Trigger::KeyEnd),
    ("bearer ", Trigger::Bearer),
    ("basic ", Trigger::Basic),
    ("hooks.slack.com/services/", Trigger::Webhook),
    ("hooks.slack.com/workflows/", Trigger::Webhook),
    ("hooks.slack.com/triggers/", Trigger::Webhook),
    ("/api/webhooks/", Trigger::DiscordWebhook),
    ("office.com/webhook/", Trigger::Webhook),
    ("office.com/webhookb2/", Trigger::Webhook),
    ("/IncomingWebhook/", Trigger::Webhook),
    ("/bot", Trigger::Bot),
    ("\"auth\"", Trigger::Auth),
    ("\"auth\\\"", Trigger::Auth),
    ("identified by ", Trigger::IdentifiedBy),
    ("identified with ", Trigger::IdentifiedWith),
    ("@tcp(", Trigger::Protocol),
    ("@unix(", Trigger::Protocol),
    ("oracle:thin:", Trigger::Oracle),
    (":5432:", Trigger::PgPass),
    (":5433:", Trigger::PgPass),
    (":5434:", Trigger::PgPass),
    (":6432:", Trigger::PgPass),
    (":15432:", Trigger::PgPass),
    (":*:", Trigger::PgPass),
    ("basicauth(", Trigger::Login),
    ("basic_auth(", Trigger::Login),
    ("auth=(", Trigger::Login),
    ("auth = (", Trigger::Login),
    ("bearer_auth(", Trigger::Handed),
    ("insert into ", Trigger::Insert),
    ("kind: secret", Trigger::Manifest),
    ("SecureString", Trigger::Data),
];

/// Parts of names; which names they make is decided by [`names`].
const NAMES: &[&str] = &[
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "key",
    "credential",
    "creds",
    "authorization",
    "cookie",
    "_auth",
    "sig",
    "_pat",
    "masterauth",
    "_salt",
    "psk",
];

struct Prefilter {
    automaton: AhoCorasick,
    triggers: Vec<Trigger>,
}

/// `None` would mean that the constant patterns do not build; then every text is looked at by entropy alone.
fn prefilter() -> Option<&'static Prefilter> {
    static PREFILTER: OnceLock<Option<Prefilter>> = OnceLock::new();
    PREFILTER
        .get_or_init(|| {
            let mut patterns: Vec<Cow<'static, str>> = Vec::new();
            let mut triggers = Vec::new();
            let mut add = |pattern: &'static str, trigger| {
                patterns.push(Cow::Borrowed(pattern));
                triggers.push(trigger);
                // As PHP writes JSON.
                if pattern.contains('/') && matches!(trigger, Trigger::Url | Trigger::Webhook | Trigger::DiscordWebhook)
                {
                    patterns.push(Cow::Owned(pattern.replace('/', "\\/")));
                    triggers.push(trigger);
                }
            };
            STRUCTURES.iter().for_each(|(pattern, trigger)| add(pattern, *trigger));
            view::WRITTEN.iter().for_each(|pattern| add(pattern, Trigger::Escape));
            NAMES.iter().for_each(|name| add(name, Trigger::Name));
            languages::WORDS.iter().for_each(|word| add(word, Trigger::Language));
            prefix::RULES.iter().enumerate().for_each(|(index, rule)| add(rule.prefix, Trigger::Prefix(index)));
            command::RULES.iter().enumerate().for_each(|(index, rule)| add(rule.program, Trigger::Command(index)));
            stdin::READERS.iter().enumerate().for_each(|(index, reader)| add(reader.words, Trigger::Stdin(index)));
            let automaton = AhoCorasickBuilder::new()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(patterns.iter().map(|pattern| pattern.as_bytes()))
                .ok()?;
            Some(Prefilter { automaton, triggers })
        })
        .as_ref()
}

/// The secrets in `text`: in order, apart from each other, at the bounds of characters.
pub(super) fn find(text: &str) -> Vec<Span> {
    find_in(text, false, 0)
}

/// Texts in texts are followed so deep: JSON in JSON, what was coloured twice.
const MAX_DEPTH: usize = 6;

/// [`find`]; `decoded` says that `text` was written as base64, and that what it holds in base64 is not looked at. `depth` is in
/// how many texts it stands.
fn find_in(text: &str, decoded: bool, depth: usize) -> Vec<Span> {
    let mut scan = Scan::new(text);
    let plain = |coloured: bool| view::View::plain(text, coloured).filter(|_| depth < MAX_DEPTH);
    let in_view = |view: view::View| {
        let found = find_in(&view.text, decoded, depth + 1);
        let spans = found.into_iter().filter_map(|span| view.original(span)).collect();
        Scan { spans, ..Scan::new(text) }.finish(text)
    };
    let mut coloured = false;
    if let Some(prefilter) = prefilter() {
        for found in prefilter.automaton.find_overlapping_iter(text) {
            match prefilter.triggers[found.pattern().as_usize()] {
                Trigger::Escape if coloured => {}
                Trigger::Escape => {
                    coloured = true;
                    if let Some(view) = plain(true) {
                        return in_view(view);
                    }
                }
                trigger => {
                    scan.told |= !matches!(trigger, Trigger::Name | Trigger::Mark);
                    scan.look(trigger, found.start(), found.end());
                }
            }
        }
    }
    if scan.told
        && !coloured
        && let Some(view) = plain(false)
    {
        return in_view(view);
    }
    if scan.told && depth < MAX_DEPTH {
        scan.spans.extend(json::secrets(text, &|inner| find_in(inner, decoded, depth + 1)));
    }
    scan.random(decoded);
    scan.finish(text)
}

/// The secrets in `text` that the rules of programs find.
pub(super) fn commands(text: &str) -> Vec<Span> {
    let mut scan = Scan::new(text);
    if let Some(prefilter) = prefilter() {
        for found in prefilter.automaton.find_overlapping_iter(text) {
            let trigger = prefilter.triggers[found.pattern().as_usize()];
            if matches!(trigger, Trigger::Command(_)) {
                scan.look(trigger, found.start(), found.end());
            }
        }
    }
    scan.finish(text)
}

/// Whether `text` holds a token that its own shape tells. A digest behind `key-` and a version may be the id of something
/// else.
pub(super) fn holds_token(text: &str) -> bool {
    let Some(prefilter) = prefilter() else { return false };
    let text = text.as_bytes();
    prefilter.automaton.find_overlapping_iter(text).any(|found| match prefilter.triggers[found.pattern().as_usize()] {
        Trigger::Prefix(index) => {
            let rule = &prefix::RULES[index];
            !matches!(rule.prefix, "key-" | "v1.0-") && rule.end(text, found.start()).is_some()
        }
        Trigger::Jwt => structure::jwt(text, found.start()).is_ok(),
        _ => false,
    })
}

/// Up to where each kind of rule has already looked, so that no part of a text is looked at again and again.
struct Until {
    mark: usize,
    name: usize,
    token: usize,
    jwt: usize,
    key: usize,
    rows: usize,
    manifest: usize,
    commands: [usize; command::RULES.len()],
}

impl Default for Until {
    fn default() -> Self {
        Self { mark: 0, name: 0, token: 0, jwt: 0, key: 0, rows: 0, manifest: 0, commands: [0; command::RULES.len()] }
    }
}

struct Scan<'t> {
    text: &'t [u8],
    spans: Vec<Span>,
    /// Certificates and public keys: random, and no secret.
    public: Vec<(usize, usize)>,
    until: Until,
    /// Whether anything was met that the data around it may say more of.
    told: bool,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        let (spans, public, until) = (Vec::new(), Vec::new(), Until::default());
        Self { text: text.as_bytes(), spans, public, until, told: false }
    }
}

impl Scan<'_> {
    fn look(&mut self, trigger: Trigger, start: usize, end: usize) {
        if start < self.until.mark {
            return;
        }
        let text = self.text;
        let found = match trigger {
            Trigger::Escape | Trigger::Data => None,
            Trigger::Mark => {
                let kind = text[end..]
                    .iter()
                    .take(32)
                    .take_while(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9'));
                let close = end + kind.count();
                if text.get(close) == Some(&b']') {
                    self.until.mark = close + 1;
                }
                None
            }
            Trigger::Name => self.name(start, end),
            Trigger::Prefix(index) if start >= self.until.token => {
                let rule = &prefix::RULES[index];
                rule.end(text, start).map(|end| Span { start, end, kind: rule.kind })
            }
            Trigger::Jwt if start >= self.until.token.max(self.until.jwt) => match structure::jwt(text, start) {
                Ok(span) => Some(span),
                Err(until) => {
                    self.until.jwt = until;
                    None
                }
            },
            Trigger::Prefix(_) | Trigger::Jwt => None,
            Trigger::Command(index) => {
                if start >= self.until.commands[index] {
                    self.until.commands[index] = command::RULES[index].find(text, start, &mut self.spans);
                }
                None
            }
            Trigger::Stdin(index) => stdin::secret(text, start, end, &stdin::READERS[index]),
            Trigger::Url => structure::url_password(text, end),
            Trigger::EncodedUrl => structure::encoded_url_password(text, end),
            Trigger::KeyBegin => self.key_begin(start),
            Trigger::KeyEnd => {
                let closed = start < self.until.key;
                if closed { None } else { block::ending(text, start) }
            }
            Trigger::Bearer => structure::bearer(text, start),
            Trigger::Basic => structure::basic(text, start),
            Trigger::Webhook => structure::webhook(text, end),
            Trigger::DiscordWebhook => structure::discord_webhook(text, end),
            Trigger::IdentifiedWith => statement::identified_with(text, end),
            Trigger::Protocol => dsn::before_protocol(text, start),
            Trigger::Oracle => dsn::oracle(text, end),
            Trigger::PgPass => dsn::pgpass(text, start, end),
            Trigger::Login => wrapped::login(text, end),
            Trigger::Handed => wrapped::literal(text, end, names::Class::Token),
            Trigger::Language => languages::value(text, start, end),
            Trigger::Insert => {
                if start >= self.until.rows {
                    self.until.rows = rows::find(text, end, &mut self.spans);
                }
                None
            }
            Trigger::Manifest => {
                if start >= self.until.manifest {
                    self.until.manifest = manifest::find(text, start, &mut self.spans);
                }
                None
            }
            Trigger::Bot => structure::bot(text, end),
            Trigger::Auth => structure::docker_auth(text, end),
            Trigger::IdentifiedBy => assign::value(text, start, end - 1, names::Class::Password),
        };
        if let Some(span) = found {
            if matches!(trigger, Trigger::Prefix(_) | Trigger::Jwt) {
                self.until.token = span.end;
            }
            self.spans.push(span);
        }
    }

    fn name(&mut self, start: usize, end: usize) -> Option<Span> {
        if start < self.until.name {
            return None;
        }
        const MAX_NAME: usize = 128;
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let left = self.text[..start].iter().rev().take(MAX_NAME).take_while(|byte| in_name(byte)).count();
        let right = self.text[end..].iter().take(MAX_NAME).take_while(|byte| in_name(byte)).count();
        let (mut start, end) = (start - left, end + right);
        // The letter of an escaped line break is no part of the name that follows it.
        if start > 0 && self.text[start - 1] == b'\\' && matches!(self.text[start], b'n' | b't' | b'r') {
            start += 1;
        }
        self.until.name = end;
        let name = std::str::from_utf8(&self.text[start..end]).ok()?;
        self.told |= names::classify_any(name).is_some();
        if let Some(class) = several::class(name) {
            several::find(self.text, start, end, class, &mut self.spans);
            return None;
        }
        let span = self.given(end, |text| assign::named(text, start, end))?;
        self.until.name = span.end;
        Some(span)
    }

    /// What is given to the name that ends at `end`. What comes soon after the name decides whether that is a secret: a
    /// long text that is none would else be followed again from every name in it.
    fn given(&self, end: usize, value: impl Fn(&[u8]) -> Option<Span>) -> Option<Span> {
        const SOON: usize = 512;
        let left = self.text.len() - end;
        effort::spend(left.min(SOON));
        // An element ends at its closing tag and nowhere before, so none is followed from inside another.
        if left <= SOON || self.text[end] == b'>' {
            return value(self.text).map(|span| self.to_its_end(end, span));
        }
        let first = value(&self.text[..end + SOON])?;
        let all = value(self.text);
        effort::spend(all.map_or(assign::MAX_VALUE, |span| span.end - end));
        Some(self.to_its_end(end, all.unwrap_or(first)))
    }

    /// A value of the name that ends at `end`, to the end of its line when it is longer than what is followed.
    fn to_its_end(&self, end: usize, span: Span) -> Span {
        if span.end < end + assign::MAX_VALUE {
            return span;
        }
        let rest = &self.text[span.end..];
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        effort::spend(line);
        Span { end: span.end + line, ..span }
    }

    fn key_begin(&mut self, start: usize) -> Option<Span> {
        if start < self.until.key {
            return None;
        }
        let block = block::beginning(self.text, start);
        self.until.key = block.end;
        if !block.private {
            self.public.push((block.start, block.end));
            return None;
        }
        block.filled.then_some(Span { start, end: block.end, kind: "private-key" })
    }

    fn random(&mut self, decoded: bool) {
        let Self { text, spans, public, .. } = self;
        // Both come in order, so that each block is passed once.
        let mut blocks = public.iter().peekable();
        let secret = |plain: &str| !decoded && !find_in(plain, true, MAX_DEPTH).is_empty();
        entropy::scan(text, secret, |start, end| {
            while blocks.next_if(|(_, to)| *to < end).is_some() {
                effort::spend(1);
            }
            if blocks.peek().is_none_or(|(from, _)| start < *from) {
                let start = telegram_bot(text, start, end).unwrap_or(start);
                spans.push(Span { start, end, kind: "high-entropy" });
            }
        });
    }

    fn finish(self, text: &str) -> Vec<Span> {
        let mut spans = self.spans;
        if spans.is_empty() {
            return spans;
        }
        for span in &mut spans {
            span.start = text.floor_char_boundary(span.start);
            span.end = text.ceil_char_boundary(span.end);
        }
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut apart: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match apart.last_mut() {
                Some(last) if span.start < last.end => last.end = last.end.max(span.end),
                _ => apart.push(span),
            }
        }
        apart
    }
}

/// Where the number before the secret of a Telegram bot begins: `123456789:AA…`.
fn telegram_bot(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let colon = start.checked_sub(1).filter(|at| text[*at] == b':' && end - start == 35)?;
    let digits = text[..colon].iter().rev().take(12).take_while(|byte| byte.is_ascii_digit()).count();
    (8..=11).contains(&digits).then_some(colon - digits)
}
