//! Which names say that what they name is secret.

use super::languages;

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Password,
    /// `pass`, `pwd`: also the name of things that are no secret, so the value must look like one.
    MaybePassword,
    Secret,
    Key,
    /// `STORAGE_KEY`, `app_key`: also what a program looks things up by, so the value must look like a key.
    MaybeKey,
    Token,
    /// `token` alone: also what a parser makes, so the value must look like a secret.
    MaybeToken,
    /// `sig`, `signature`: of a URL, or of a function.
    Signature,
    /// `PASSWORD_DB`, `TOKEN_GITHUB`: also constants about secrets, so the value must look made up.
    MaybeSecret,
    Credential,
    Authorization,
    Cookie,
}

impl Class {
    /// The kind in `[redacted:<kind>]`.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Password | Self::MaybePassword => "password",
            Self::Secret | Self::MaybeSecret => "secret",
            Self::Key | Self::MaybeKey => "api-key",
            Self::Token | Self::MaybeToken | Self::Signature => "token",
            Self::Credential => "credential",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
        }
    }
}

/// Words after the one that counts, which change nothing: `PASSWORD_PROD`, `secretValue`.
const TRAILING: &[&str] = &[
    "value",
    "val",
    "prod",
    "production",
    "staging",
    "stage",
    "dev",
    "test",
    "qa",
    "uat",
    "ci",
    "old",
    "new",
    "base",
    "raw",
    "plain",
    "plaintext",
    "text",
    "string",
    "str",
    "b64",
    "base64",
    "primary",
    "secondary",
    "default",
    "main",
    "local",
    "live",
    "sandbox",
    "current",
    "previous",
    "v",
];

/// Words before `key` that make it a secret one.
const SECRET_KEYS: &[&str] = &[
    "api",
    "access",
    "secret",
    "private",
    "signing",
    "encryption",
    "master",
    "jwt",
    "hmac",
    "aes",
    "unseal",
    "recovery",
    "decryption",
    "openai",
    "anthropic",
];

/// Words after the first of these in a constant's name that make it one about secrets: `PASSWORD_MIN_LENGTH`.
const ABOUT: &[&str] = &[
    "file",
    "path",
    "dir",
    "name",
    "env",
    "id",
    "count",
    "limit",
    "ttl",
    "url",
    "uri",
    "length",
    "len",
    "size",
    "type",
    "policy",
    "min",
    "max",
    "expiry",
    "expires",
    "expiration",
    "lifetime",
    "timeout",
    "prefix",
    "header",
    "field",
    "issuer",
    "audience",
    "endpoint",
    "algorithm",
    "enabled",
    "required",
    "reset",
    "provider",
    "store",
    "version",
    "interval",
    "regex",
    "pattern",
    "arn",
    "ref",
    "mode",
    "prompt",
    "hash",
    "host",
    "port",
    "server",
    "service",
    "manager",
    "index",
    "kind",
    "class",
    "error",
    "age",
    "days",
    "rounds",
    "cost",
    "salt",
    "bits",
];

/// Words in which `pass`, `pwd` or `pw` is not set apart.
const JOINED: &[&str] =
    &["adminpass", "rootpass", "storepass", "keypass", "mypass", "dbpwd", "userpwd", "bindpw", "rootpw"];

/// Words before `key` that make it a secret one or the name of something: whose it is, and what it is for.
const MAYBE_KEYS: &[&str] = &[
    "account",
    "auth",
    "shared",
    "service",
    "storage",
    "consumer",
    "client",
    "webhook",
    "admin",
    "deploy",
    "crypto",
    "subscription",
    "vault",
    "license",
    "functions",
    "ssh",
    "app",
    "session",
    "stripe",
    "sendgrid",
    "mailgun",
    "twilio",
    "google",
    "gemini",
    "maps",
    "mapbox",
    "datadog",
    "algolia",
    "azure",
    "groq",
    "mistral",
    "deepseek",
    "instrumentation",
];

/// Words before `token` that make it one of a parser, a page or a model.
const HARMLESS_TOKENS: &[&str] = &[
    "next",
    "current",
    "last",
    "prev",
    "previous",
    "unexpected",
    "expected",
    "start",
    "end",
    "stop",
    "eos",
    "bos",
    "pad",
    "unk",
    "mask",
    "cancellation",
    "cancel",
    "first",
    "peek",
    "lookahead",
    "of",
    "the",
    "a",
    "this",
    "invalid",
    "page",
    "continuation",
    "per",
    "each",
    "no",
    "one",
    "sep",
    "missing",
    "bad",
    "any",
    "same",
    "input",
    "output",
    "special",
];

/// At most this many words at the end of a name are looked at.
const WORDS: usize = 4;

/// What `name` promises, in running text.
pub(super) fn classify(name: &str) -> Option<Class> {
    let name = name.trim_start_matches('-');
    let mut words = [""; WORDS];
    let mut count = 0;
    for word in last_words(name) {
        if count == 0 && TRAILING.iter().any(|trailing| word.eq_ignore_ascii_case(trailing)) && word.len() < name.len()
        {
            continue;
        }
        words[count] = word;
        count += 1;
        if count == WORDS {
            break;
        }
    }
    let [last, before, ..] = words;
    let is = |word: &str| last.eq_ignore_ascii_case(word);
    let ends = |suffix: &str| ends_with(last, suffix);
    if ["password", "passwd", "passphrase", "passwort", "passcode", "passw"].into_iter().any(ends) {
        return Some(Class::Password);
    }
    if is("requirepass") || is("masterauth") || is("userpass") || is("dbpass") {
        return Some(Class::Password);
    }
    // The program is called `sshpass`.
    if is("pass") || is("pwd") || is("pw") || JOINED.iter().any(|word| is(word)) || last == "SSHPASS" {
        return Some(Class::MaybePassword);
    }
    if ends("secret") {
        // Of Kubernetes' charts: the name of a secret that exists.
        if before.eq_ignore_ascii_case("existing") {
            return None;
        }
        return Some(Class::Secret);
    }
    if ends("token") {
        let harmless = HARMLESS_TOKENS.iter().any(|word| before.eq_ignore_ascii_case(word));
        let bare = is("token") && before.is_empty();
        return Some(if bare || harmless { Class::MaybeToken } else { Class::Token });
    }
    let joined = ["apikey", "accesskey", "secretkey", "privatekey", "accountkey", "authkey", "signingkey", "masterkey"];
    if joined.into_iter().any(ends) || (is("key") && SECRET_KEYS.iter().any(|word| before.eq_ignore_ascii_case(word))) {
        return Some(Class::Key);
    }
    // Those of WordPress.
    let word_press = ["AUTH", "IN", "NONCE"].contains(&before) && matches!(last, "KEY" | "SALT");
    if word_press && (last == "SALT" || before != "AUTH") {
        return Some(Class::MaybeKey);
    }
    if is("key") && MAYBE_KEYS.iter().any(|word| before.eq_ignore_ascii_case(word)) {
        return Some(Class::MaybeKey);
    }
    if is("sig") || is("signature") {
        return Some(Class::Signature);
    }
    if is("credential") || is("credentials") || is("creds") {
        return Some(Class::Credential);
    }
    if is("authorization") {
        return Some(Class::Authorization);
    }
    if is("cookie") || is("cookies") {
        return Some(Class::Cookie);
    }
    if is("pat")
        && ["github", "gh", "gitlab", "azure", "ado", "ext"].iter().any(|word| before.eq_ignore_ascii_case(word))
    {
        return Some(Class::Token);
    }
    if is("psk") {
        return Some(Class::MaybePassword);
    }
    if is("auth") && before.eq_ignore_ascii_case("rediscli") {
        return Some(Class::Password);
    }
    // `.npmrc` says `_auth=`.
    if is("auth") && name.ends_with("_auth") && before.is_empty() {
        return Some(Class::Credential);
    }
    let repeated = (is("confirmation") || is("confirm")) && ends_with(before, "password");
    (repeated || fronted(name)).then_some(Class::MaybeSecret)
}

/// Whether a constant's name says first what it holds and then of what: `PASSWORD_DB`, `API_KEY_OPENAI`.
fn fronted(name: &str) -> bool {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) || name.len() > 64 {
        return false;
    }
    let mut words =
        name.split('_').skip_while(|word| !matches!(*word, "PASSWORD" | "TOKEN" | "SECRET" | "APIKEY" | "KEY"));
    let first = words.next();
    let key = first != Some("KEY") || name.contains("API_KEY_");
    let mut rest = words.peekable();
    first.is_some()
        && key
        && rest.peek().is_some()
        && !rest.any(|word| ABOUT.iter().any(|about| word.eq_ignore_ascii_case(about)))
}

/// What `name` promises as the key of an object, where it also may be several: `passwords`, `api_keys`.
pub(super) fn classify_any(name: &str) -> Option<Class> {
    if name.len() > 128 {
        return None;
    }
    let class = classify(name).filter(|class| {
        // As keys these hold signatures of functions and parsers' positions as often as secrets.
        *class != Class::Signature
    });
    let class = class.or_else(|| {
        let single = name.strip_suffix(['s', 'S'])?;
        classify(single).filter(|class| matches!(class, Class::Password | Class::Secret | Class::Key | Class::MaybeKey))
    });
    class.or_else(|| languages::is_name(name).then_some(Class::MaybeSecret))
}

fn ends_with(word: &str, suffix: &str) -> bool {
    word.len() >= suffix.len() && word.as_bytes()[word.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
}

/// The words of a name from its end: split where case, separators or digits split them; numbers are left out.
fn last_words(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let mut end = bytes.len();
    std::iter::from_fn(move || {
        while end > 0 && !bytes[end - 1].is_ascii_alphabetic() {
            end -= 1;
        }
        if end == 0 {
            return None;
        }
        let mut start = end - 1;
        while start > 0 {
            let (left, here) = (bytes[start - 1], bytes[start]);
            let joined = left.is_ascii_alphabetic()
                && !(left.is_ascii_lowercase() && here.is_ascii_uppercase())
                // `APIKey`: the last capital before small letters begins a word.
                && !(left.is_ascii_uppercase()
                    && here.is_ascii_uppercase()
                    && bytes.get(start + 1).is_some_and(|next| start + 1 < end && next.is_ascii_lowercase()));
            if !joined {
                break;
            }
            start -= 1;
        }
        let word = name.get(start..end).unwrap_or_default();
        end = start;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_style() {
        for (name, class) in [
            ("password", Class::Password),
            ("DB_PASSWORD", Class::Password),
            ("dbPassword", Class::Password),
            ("PGPASSWORD", Class::Password),
            ("spring.datasource.password", Class::Password),
            ("--admin-password", Class::Password),
            ("PASSWORD_PROD", Class::Password),
            ("password2", Class::Password),
            ("MYSQL_PASS", Class::MaybePassword),
            ("SSHPASS", Class::MaybePassword),
            ("DBPWD", Class::MaybePassword),
            ("STRIPE_KEY", Class::MaybeKey),
            ("PASSWORD_DB", Class::MaybeSecret),
            ("API_KEY_OPENAI", Class::MaybeSecret),
            ("AZURE_DEVOPS_EXT_PAT", Class::Token),
            ("client_secret", Class::Secret),
            ("clientSecret", Class::Secret),
            ("AWS_SECRET_ACCESS_KEY", Class::Key),
            ("SECRET_KEY_BASE", Class::Key),
            ("apiKey", Class::Key),
            ("APIKey", Class::Key),
            ("X-Api-Key", Class::Key),
            ("AccountKey", Class::MaybeKey),
            ("SharedAccessKey", Class::Key),
            ("GITHUB_TOKEN", Class::Token),
            ("_authToken", Class::Token),
            ("authtoken", Class::Token),
            ("STORAGE_KEY", Class::MaybeKey),
            ("X-Amz-Signature", Class::Signature),
            ("token", Class::MaybeToken),
            ("next_token", Class::MaybeToken),
            ("Proxy-Authorization", Class::Authorization),
            ("Set-Cookie", Class::Cookie),
            ("_auth", Class::Credential),
        ] {
            assert_eq!(classify(name), Some(class), "{name}");
        }
    }

    #[test]
    fn names_that_only_sound_like_secrets_are_not() {
        for name in [
            "token_count",
            "max_tokens",
            "tokens",
            "secret_name",
            "password_env",
            "password_file",
            "PASSWORD_FILE",
            "TOKEN_TTL_SECONDS",
            "DB_PASSWORD_MIN_LENGTH",
            "KEY_UP",
            "existingSecret",
            "output_path",
            "key",
            "keyboard",
            "public_key",
            "primary_key",
            "author",
            "bypass",
            "compass",
            "tokenizer",
            "secretary",
            "passed",
            "key_id",
            "token_type",
            "secrets_path",
            "auth",
            "monkey",
            "cache_key",
            "cookie_name",
            "v",
            "",
            "-",
        ] {
            assert_eq!(classify(name), None, "{name}");
        }
        assert_eq!(classify_any("passwords"), Some(Class::Password));
        assert_eq!(classify_any("tokens"), None);
    }
}
