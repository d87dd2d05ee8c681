//! Secrets in data: lists of words, objects under names of secrets, names beside their values.

use super::*;

fn data(mut value: Value) -> Value {
    Redactor::standard().value(&mut value);
    let once = value.clone();
    assert_eq!(Redactor::standard().value(&mut value), 0, "{once}");
    assert_eq!(value, once);
    once
}

#[test]
fn words_of_a_command_are_read_as_one() {
    for (words, clean) in [
        (json!(["--password", "Av01pass!"]), json!(["--password", "[redacted:password]"])),
        (json!(["x", "--api-key", "two words", "y"]), json!(["x", "--api-key", "[redacted:api-key]", "y"])),
        (json!(["mysql", "-uroot", "-pAv02pass!"]), json!(["mysql", "-uroot", "-p[redacted:password]"])),
        (
            json!(["/usr/bin/curl", "-u", "ada:Av 03\"pass!", "x"]),
            json!(["/usr/bin/curl", "-u", "ada:[redacted:password]", "x"]),
        ),
        (
            json!(["env", "A=ä", "sshpass", "-p", "ü;Pl06"]),
            json!(["env", "A=ä", "sshpass", "-p", "[redacted:password]"]),
        ),
        (
            json!(["docker", "login", "-u", "ada", "-p", "x1"]),
            json!(["docker", "login", "-u", "ada", "-p", "[redacted:password]"]),
        ),
        (
            json!([["X-Api-Key", "av11abc123"], ["Accept", "a1"]]),
            json!([["X-Api-Key", "[redacted:api-key]"], ["Accept", "a1"]]),
        ),
        (
            json!(["Host", "x", "Authorization", "Bearer abc", "Accept", "*"]),
            json!(["Host", "x", "Authorization", "[redacted:authorization]", "Accept", "*"]),
        ),
        (json!(["password", "Av01pass!"]), json!(["password", "[redacted:password]"])),
        (json!(["sh", "-c", "tool --token abc123"]), json!(["sh", "-c", "tool --token [redacted:token]"])),
    ] {
        assert_eq!(data(words), clean);
    }
}

#[test]
fn lists_of_names_and_plain_commands_stay() {
    for words in [
        json!({"required": ["username", "password", "email", "token2"]}),
        json!(["password", "email"]),
        json!(["--token", "--verbose"]),
        json!(["--no-password", "host"]),
        json!(["--password", "$PASS"]),
        json!(["--password-file", "/run/p"]),
        json!(["curl", "-u", "$USER:$PASS", "https://x"]),
        json!(["mysql", "-u", "root", "-p", "shop"]),
        json!(["curl is great", "it says -u or -p", 5, null]),
        json!(["cargo", "test", "-p", "shop"]),
        json!(["token1", "token2"]),
        json!(["pass", "mail2"]),
    ] {
        assert_eq!(data(words.clone()), words);
    }
}

#[test]
fn what_stands_in_an_object_under_the_name_of_a_secret_is_one() {
    for (value, clean) in [
        (
            json!({"db_password": {"sensitive": true, "type": "string", "value": "Av04pass!"}}),
            json!({"db_password": {"sensitive": true, "type": "string", "value": "[redacted:password]"}}),
        ),
        (
            json!({"secrets": {"db": "Av05pass!", "name": "shop"}}),
            json!({"secrets": {"db": "[redacted:secret]", "name": "shop"}}),
        ),
        (
            json!({"passwords": {"ada": "one", "n": {"x": "y"}}}),
            json!({"passwords": {"ada": "[redacted:password]", "n": {"x": "y"}}}),
        ),
        (json!({"api_keys": [{"value": "abc123"}]}), json!({"api_keys": [{"value": "[redacted:api-key]"}]})),
        (json!({"token": {"value": "abc123def456"}}), json!({"token": {"value": "[redacted:token]"}})),
        (json!({"token": {"value": ["a1b2c3"]}}), json!({"token": {"value": ["[redacted:token]"]}})),
        (
            json!({"pass": 90_612_345, "secret": 12_345_678}),
            json!({"pass": "[redacted:password]", "secret": "[redacted:secret]"}),
        ),
        (
            json!({"Name": "DB_PASSWORD", "Value": "Av08pass!"}),
            json!({"Name": "DB_PASSWORD", "Value": "[redacted:password]"}),
        ),
        (json!({"Key": "API_TOKEN", "Value": "av08"}), json!({"Key": "API_TOKEN", "Value": "[redacted:token]"})),
        (
            json!({"KEY": "A", "NAME": "DB_PASSWORD", "VALUE": "x1"}),
            json!({"KEY": "A", "NAME": "DB_PASSWORD", "VALUE": "[redacted:password]"}),
        ),
        (
            json!({"auths": {"ghcr.io": {"auth": "YWRhOlZrMDhwYXNz"}}}),
            json!({"auths": {"ghcr.io": {"auth": "[redacted:basic-auth]"}}}),
        ),
    ] {
        assert_eq!(data(value), clean);
    }
}

#[test]
fn what_only_describes_or_counts_stays() {
    for value in [
        json!({"tokens": {"input": 12, "output": "1200", "total": 1_234_567}}),
        json!({"token": {"type": "Keyword", "value": "const"}}),
        json!({"pass": 12, "fail": 0, "secret": 1, "secrets": 3, "token": 123_456_789}),
        json!({"passwords": {"reset": "Your password has been reset!", "minimum": 8}}),
        json!({"secrets": {"db": {"file": "./db.txt"}, "path": "kv/db", "cert": "/run/secrets/cert"}}),
        json!({"password": {"type": "string", "minLength": 8}}),
        json!({"Name": "PLAIN", "Value": "abc"}),
        json!({"auth": "basic", "auths": {"x": {"auth": "token"}}}),
    ] {
        assert_eq!(data(value.clone()), value);
    }
}
