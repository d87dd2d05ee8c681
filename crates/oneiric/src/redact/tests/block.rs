//! Key blocks among other blocks, cut off, and talked about.

use super::*;

const KEY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDkv11xYzQ7wPmL\nR2s0vk11aBcD/eFgHiJkLmNoPqRsTuVwXyZ0123456789+abcdefghijklmnopqr\nvk11==";
const CERTIFICATE: &str =
    "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\nRTESMBAGA1UEChMJQmFsdGltb3Jl";

/// Labels are put together here, so that no scanner takes this file for a leak.
fn block(label: &str, body: &str) -> String {
    format!("{}\n{body}\n-----END {label}-----", begin(label))
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

#[test]
fn a_private_key_is_taken_out_whatever_block_stands_before_it() {
    let key = block("PRIVATE KEY", KEY);
    let logged = key.replace('\n', "\napp_1  | ");
    for text in [
        format!("{}\n{CERTIFICATE}\n{key}\nafter it", begin("CERTIFICATE")),
        format!("{}\n{key}\nafter it", block("CERTIFICATE", CERTIFICATE)),
        format!("it says {} first, then comes\n{key}\nafter it", begin("CERTIFICATE")),
        format!("grep -c -----BEGIN a.pem\n2\n{key}\nafter it"),
        format!("look for {} in it:\n{key}\nafter it", begin("PRIVATE KEY")),
        format!("{}\n{KEY}\n{key}\nafter it", begin("RSA PRIVATE KEY")),
        format!("{}\nafter it", block("RSA PRIVATE KEY", &format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES,0\n\n{KEY}"))),
        format!("{logged}\nafter it"),
        format!("  1\t{}\nafter it", key.replace('\n', "\n  2\t")),
        format!("KEY={}\nafter it", key.replace('\n', " ")),
        format!("{{\"key\":\"{}\\n\"}}\nafter it", key.replace('\n', "\\n")),
        format!("k = \"{}\\n\";\nafter it", key.replace('\n', "\\n\" +\n    \"")),
        format!("{}\nafter it", key.replace('\n', "<br>")),
        format!("{}\nafter it", key.replace('\n', "\r\n")),
        format!("{}\nafter it", key.replace('\n', "%0A").replace(' ', "%20")),
    ] {
        let out = redacted(&text);
        assert!(!KEY.split('\n').any(|line| out.contains(line)), "{text}\nbecame\n{out}");
        assert!(out.ends_with("\nafter it"), "{text}\nbecame\n{out}");
        assert_eq!(redacted(&out), out);
    }
}

#[test]
fn a_certificate_stays_and_so_does_what_stands_between_blocks() {
    let certificate = block("CERTIFICATE", CERTIFICATE);
    let public = block("PUBLIC KEY", CERTIFICATE);
    for text in [
        format!("{certificate}\n{certificate}\n{public}"),
        format!("{}\n{}\n{certificate}", begin("CERTIFICATE"), &CERTIFICATE[..64]),
        format!("k = \"-----BEGIN {0}-----\\n{{body}}\\n-----END {0}-----\\n\";", "PRIVATE KEY"),
        format!("the file starts with {} or with {}\nand more", begin("PRIVATE KEY"), begin("RSA PRIVATE KEY")),
        format!("if text.contains(\"{}\") {{\n    return true;\n}}\n{certificate}", begin("PRIVATE KEY")),
        format!("grep -l '{}' *.pem\ncargo test -p shop\n{certificate}", begin("PRIVATE KEY")),
        format!("no line says -----END {}-----", "PRIVATE KEY"),
    ] {
        assert_eq!(redacted(&text), text);
    }
    // What follows such words is no certificate.
    let text = format!("{}\nq8Xz4LmT9vKw2RbN6pYc", begin("CERTIFICATE"));
    assert_eq!(redacted(&text), format!("{}\n[redacted:high-entropy]", begin("CERTIFICATE")));
    let key = block("PRIVATE KEY", KEY);
    assert_eq!(
        redacted(&format!("{certificate}\n{key}\n{certificate}")),
        format!("{certificate}\n[redacted:private-key]\n{certificate}")
    );
    // A key that was cut off ends where something else goes on.
    let cut = format!("{}\n{KEY}\n$ ls -la /etc\ntotal 12 files here\n{certificate}", begin("PRIVATE KEY"));
    assert_eq!(redacted(&cut), format!("[redacted:private-key]\n$ ls -la /etc\ntotal 12 files here\n{certificate}"));
}
