//! Secrets that say by their first letters what they are.

/// Which characters may follow the prefix.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    Alnum,
    /// Letters, digits, `-` and `_`.
    Word,
    /// The same and `.`.
    Dotted,
    Hex,
    /// Capital letters and digits.
    Upper,
}

impl Tail {
    const fn allows(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

/// A prefix and what follows it: at least `min` characters, so that a cut-off token is found as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub prefix: &'static str,
    pub kind: &'static str,
    tail: Tail,
    min: usize,
    max: usize,
    /// The tail must hold a digit, or capital and small letters: else it is a name.
    mixed: bool,
}

const fn rule(prefix: &'static str, kind: &'static str, tail: Tail, min: usize) -> Rule {
    Rule { prefix, kind, tail, min, max: usize::MAX, mixed: true }
}

const fn exact(prefix: &'static str, kind: &'static str, tail: Tail, length: usize) -> Rule {
    Rule { prefix, kind, tail, min: length, max: length, mixed: false }
}

/// All prefixes. A longer one that another begins with needs no place before it: every match is looked at.
pub(super) const RULES: &[Rule] = &[
    exact("AKIA", "aws-key", Tail::Upper, 16),
    exact("ASIA", "aws-key", Tail::Upper, 16),
    exact("ABIA", "aws-key", Tail::Upper, 16),
    exact("ACCA", "aws-key", Tail::Upper, 16),
    rule("ghp_", "github-token", Tail::Alnum, 16),
    rule("gho_", "github-token", Tail::Alnum, 16),
    rule("ghu_", "github-token", Tail::Alnum, 16),
    rule("ghs_", "github-token", Tail::Alnum, 16),
    rule("ghr_", "github-token", Tail::Alnum, 16),
    rule("github_pat_", "github-token", Tail::Word, 16),
    rule("glpat-", "gitlab-token", Tail::Dotted, 12),
    rule("gldt-", "gitlab-token", Tail::Word, 12),
    rule("glrt-", "gitlab-token", Tail::Dotted, 12),
    rule("glcbt-", "gitlab-token", Tail::Word, 12),
    rule("glptt-", "gitlab-token", Tail::Word, 12),
    rule("glsoat-", "gitlab-token", Tail::Word, 12),
    rule("xoxb-", "slack-token", Tail::Word, 8),
    rule("xoxp-", "slack-token", Tail::Word, 8),
    rule("xoxa-", "slack-token", Tail::Word, 8),
    rule("xoxr-", "slack-token", Tail::Word, 8),
    rule("xoxs-", "slack-token", Tail::Word, 8),
    rule("xoxc-", "slack-token", Tail::Word, 8),
    rule("xoxd-", "slack-token", Tail::Word, 8),
    rule("xoxe.", "slack-token", Tail::Dotted, 8),
    rule("xoxe-", "slack-token", Tail::Word, 8),
    rule("xapp-", "slack-token", Tail::Word, 8),
    rule("sk_live_", "stripe-key", Tail::Word, 10),
    rule("sk_test_", "stripe-key", Tail::Word, 10),
    rule("rk_live_", "stripe-key", Tail::Word, 10),
    rule("rk_test_", "stripe-key", Tail::Word, 10),
    rule("whsec_", "stripe-key", Tail::Word, 16),
    rule("sk-proj-", "openai-key", Tail::Word, 16),
    rule("sk-svcacct-", "openai-key", Tail::Word, 16),
    rule("sk-admin-", "openai-key", Tail::Word, 16),
    rule("sk-ant-", "anthropic-key", Tail::Word, 12),
    rule("sk-or-", "api-key", Tail::Word, 20),
    rule("sk-", "openai-key", Tail::Alnum, 20),
    rule("AIza", "google-key", Tail::Word, 30),
    rule("GOCSPX-", "google-secret", Tail::Word, 20),
    rule("ya29.", "google-token", Tail::Word, 20),
    rule("npm_", "npm-token", Tail::Alnum, 24),
    rule("pypi-", "pypi-token", Tail::Word, 40),
    rule("hf_", "huggingface-token", Tail::Alnum, 20),
    rule("api_org_", "huggingface-token", Tail::Alnum, 20),
    rule("SG.", "sendgrid-key", Tail::Dotted, 30),
    exact("SK", "twilio-key", Tail::Hex, 32),
    rule("dop_v1_", "digitalocean-token", Tail::Hex, 24),
    rule("doo_v1_", "digitalocean-token", Tail::Hex, 24),
    rule("dor_v1_", "digitalocean-token", Tail::Hex, 24),
    rule("dapi", "databricks-token", Tail::Hex, 30),
    rule("hvs.", "vault-token", Tail::Word, 16),
    rule("hvb.", "vault-token", Tail::Word, 16),
    rule("hvr.", "vault-token", Tail::Word, 16),
    rule("shpat_", "shopify-token", Tail::Hex, 24),
    rule("shpca_", "shopify-token", Tail::Hex, 24),
    rule("shppa_", "shopify-token", Tail::Hex, 24),
    rule("shpss_", "shopify-token", Tail::Hex, 24),
    rule("dp.pt.", "doppler-token", Tail::Alnum, 24),
    rule("dp.st.", "doppler-token", Tail::Dotted, 24),
    rule("dp.ct.", "doppler-token", Tail::Alnum, 24),
    rule("dp.sa.", "doppler-token", Tail::Alnum, 24),
    rule("lin_api_", "linear-key", Tail::Alnum, 20),
    rule("lin_oauth_", "linear-key", Tail::Alnum, 20),
    rule("dckr_pat_", "docker-token", Tail::Word, 16),
    rule("dckr_oat_", "docker-token", Tail::Word, 16),
    rule("AGE-SECRET-KEY-1", "age-key", Tail::Upper, 30),
    rule("ATATT3", "atlassian-token", Tail::Word, 30),
    rule("ATCTT3", "atlassian-token", Tail::Word, 30),
    rule("ATBB", "bitbucket-token", Tail::Alnum, 28),
    rule("figd_", "figma-token", Tail::Word, 24),
    rule("pul-", "pulumi-token", Tail::Hex, 40),
    rule("rubygems_", "rubygems-key", Tail::Hex, 32),
    rule("cio", "crates-token", Tail::Alnum, 32),
    rule("NRAK-", "newrelic-key", Tail::Upper, 20),
    rule("sntrys_", "sentry-token", Tail::Word, 24),
    rule("sntryu_", "sentry-token", Tail::Hex, 32),
    rule("glsa_", "grafana-token", Tail::Word, 24),
    rule("glc_", "grafana-token", Tail::Word, 32),
    rule("PMAK-", "postman-key", Tail::Word, 32),
    rule("sq0csp-", "square-secret", Tail::Word, 20),
    rule("sq0atp-", "square-token", Tail::Word, 20),
    rule("xkeysib-", "brevo-key", Tail::Word, 32),
    exact("key-", "mailgun-key", Tail::Hex, 32),
    rule("nfp_", "netlify-token", Tail::Alnum, 24),
    rule("sbp_", "supabase-token", Tail::Hex, 32),
    rule("pscale_tkn_", "planetscale-token", Tail::Word, 24),
    rule("pscale_pw_", "planetscale-key", Tail::Word, 24),
    rule("ntn_", "notion-token", Tail::Alnum, 32),
    rule("gsk_", "groq-key", Tail::Alnum, 32),
    rule("xai-", "xai-key", Tail::Alnum, 32),
    rule("pplx-", "perplexity-key", Tail::Alnum, 32),
    rule("r8_", "replicate-token", Tail::Alnum, 32),
    rule("tskey-", "tailscale-key", Tail::Word, 16),
    rule("LTAI", "alibaba-key", Tail::Alnum, 16),
    rule("v1.0-", "cloudflare-key", Tail::Word, 60),
    rule("cfut_", "cloudflare-token", Tail::Word, 24),
    rule("cfat_", "cloudflare-token", Tail::Word, 24),
];

impl Rule {
    /// The end of the secret whose prefix stands at `start`.
    pub(super) fn end(&self, text: &[u8], start: usize) -> Option<usize> {
        let from = start + self.prefix.len();
        // The prefilter does not look at case, and a prefix inside a longer word is none.
        if text.get(start..from)? != self.prefix.as_bytes() || follows_word(text, start) {
            return None;
        }
        let count = |tail: &[u8]| tail.iter().take_while(|byte| self.tail.allows(**byte)).count();
        let beginning = count(&text[from..text.len().min(from + 512)]);
        if self.mixed && is_name(&text[from..from + beginning]) {
            return None;
        }
        let length = if beginning < 512 { beginning } else { count(&text[from..]) };
        (self.min..=self.max).contains(&length).then_some(from + length)
    }
}

/// Whether a tail is a name, however long: without a digit, and all in one case. Of twenty random letters and digits
/// three in a hundred have no digit, but practically all have both cases.
fn is_name(tail: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| tail.iter().any(test);
    !(has(u8::is_ascii_digit) || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
}

/// Whether the character before `start` belongs to the same word. An escaped line break or tab does not:
/// `…\nghp_` in JSON text.
pub(super) fn follows_word(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).map(|at| text[at]) else { return false };
    if !before.is_ascii_alphanumeric() {
        return false;
    }
    let escaped = start >= 2 && text[start - 2] == b'\\' && matches!(before, b'n' | b't' | b'r');
    // Percent-encoded punctuation: `%3Dghp_`.
    let encoded =
        start >= 3 && text[start - 3] == b'%' && text[start - 2].is_ascii_hexdigit() && before.is_ascii_hexdigit();
    !(escaped || encoded)
}
