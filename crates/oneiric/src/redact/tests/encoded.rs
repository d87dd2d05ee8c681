//! Secrets that were encoded, and secrets in the path of an address.

use super::*;

/// The base64 of `text`, which tests write in clear.
fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            out.push(char::from(DIGITS[usize::try_from((bits >> (18 - 6 * digit)) & 63).unwrap()]));
        }
        out.push_str(&"=".repeat(3 - three.len()));
    }
    out
}

#[test]
fn a_secret_is_found_in_base64_and_readable_text_without_one_is_left() {
    let label = |kind: &str| (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let body = "MIIEpAIBAAKCAQEA75abcdefghijk0123456789ABCDEFGHIJKLMNOPQRSTUVWXY\nabcd==";
    let block = |kind: &str| format!("{}\n{body}\n{}\n", label(kind).0, label(kind).1);
    let key = base64(&block("RSA PRIVATE KEY"));
    let address = base64("postgres://ada:Winter2024!@db.example.org/shop");
    let login = base64("ada:Vk08pass");
    for (text, secret) in [
        (format!("    client-key-data: {key}\n"), &key),
        (format!("  tls.key: {}\n", &key[..60]), &key),
        (format!("SSH_KEY_B64={key}"), &key),
        (format!("{{\"db-uri\":\"{address}\"}}"), &address),
        (format!("data:\n  DB_URI: {address}\n"), &address),
        (format!("{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{login}\"}}}}}}"), &login),
        (format!("{{\"auths\": {{\"ghcr.io\": {{\n  \"auth\": \"{login}\"\n}}}}}}"), &login),
        (format!("{{\\\"auth\\\": \\\"{login}\\\"}}"), &login),
    ] {
        let out = redacted(&text);
        assert!(!out.contains(&secret[..14]), "{out}");
        assert!(out.contains("[redacted:"), "{out}");
        assert_eq!(redacted(&out), out);
    }
    let certificate = base64(&block("CERTIFICATE"));
    let words = base64("The quick brown fox jumps over the lazy dog, again and again.");
    let twice = base64(&words);
    for text in [
        format!("certificate-authority-data: {certificate}"),
        format!("message: {words} and {twice}"),
        "\"auth\": \"basic\", \"auth\": \"bm90aGluZyBoZXJl\", \"auth\":".to_owned(),
    ] {
        assert_eq!(redacted(&text), text);
    }
}

#[test]
fn secrets_in_the_path_of_an_address_are_taken_out() {
    for (text, out) in [
        (
            "curl https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9/sendMessage?a=1",
            "curl https://api.telegram.org/bot[redacted:bot-token]/sendMessage?a=1",
        ),
        (
            "https://hooks.slack.com/workflows/T0123/A0123/123456/AbCdEfGh1234 ok",
            "https://hooks.slack.com/workflows/[redacted:webhook] ok",
        ),
        ("https://hooks.slack.com/triggers/T0123/123456/AbCdEf", "https://hooks.slack.com/triggers/[redacted:webhook]"),
        (
            "https://outlook.office.com/webhook/0a1b2c3d-0a1b@9f8e7d6c-1b/IncomingWebhook/0123456789abcdef/77",
            "https://outlook.office.com/webhook/[redacted:webhook]",
        ),
        (
            "https://x.example.org/a/IncomingWebhook/0123456789abcdef/77?x",
            "https://x.example.org/a/IncomingWebhook/[redacted:webhook]?x",
        ),
    ] {
        assert_eq!(redacted(text), out);
        assert_eq!(redacted(out), out);
    }
    for text in [
        "https://example.org/bots/bot12/bottom",
        "src/bot1234567:12",
        "https://hooks.slack.com/workflows/ and /IncomingWebhook/ are documented",
        "https://docs.google.com/document/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit",
    ] {
        assert_eq!(redacted(text), text);
    }
}
