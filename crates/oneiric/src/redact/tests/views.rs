//! Texts that are not what they show: coloured, with numbered lines, JSON that is text, addresses that are escaped.

use super::*;

fn assert_forms(forms: &[(&str, &str)]) {
    for (text, out) in forms {
        let (text, out) = (plain(text), plain(out));
        assert_eq!(redacted(&text), out, "{text:?}");
        assert_eq!(redacted(&out), out);
    }
}

#[test]
fn colours_hide_no_secret_and_stay_around_it() {
    assert_forms(&[
        ("\x1b[1mgh~p_16C7e42F292c6912E7710c838347Ae178B4a\x1b[0m", "\x1b[1m[redacted:github-token]\x1b[0m"),
        ("gh~p_\x1b[1m16C7e42F292c6912E7710c\x1b[0m838347Ae178B4a", "[redacted:github-token]"),
        ("\\u001b[1mAK~IAIOSFODNN7EXAMPLE\\u001b[0m", "\\u001b[1m[redacted:aws-key]\\u001b[0m"),
        ("\\\\x1B[1mAK~IAIOSFODNN7EXAMPLE\\\\x1B[0m", "\\\\x1B[1m[redacted:aws-key]\\\\x1B[0m"),
        ("\\033[1mAK~IAIOSFODNN7EXAMPLE\\033[0m", "\\033[1m[redacted:aws-key]\\033[0m"),
        ("\\e[31;1mAK~IAIOSFODNN7EXAMPLE\\e[m", "\\e[31;1m[redacted:aws-key]\\e[m"),
        ("^[[1mAK~IAIOSFODNN7EXAMPLE^[[0m", "^[[1m[redacted:aws-key]^[[0m"),
        ("\x1b[1mset-cookie\x1b[0m: sid=abc123; x\ny", "\x1b[1mset-cookie\x1b[0m: [redacted:cookie]\ny"),
        ("\x1b[1mx-api-key\x1b[0m: Vk01pass", "\x1b[1mx-api-key\x1b[0m: [redacted:api-key]"),
        (
            "\x1b[3mpassword\x1b[0m\x1b[2m=\x1b[0m\"two words\" \x1b[3mx\x1b[0m",
            "\x1b[3mpassword\x1b[0m\x1b[2m=\x1b[0m\"[redacted:password]\" \x1b[3mx\x1b[0m",
        ),
        (
            "DB_\x1b[01;31m\x1b[KPASSWORD\x1b[m\x1b[K=Vk01pass!",
            "DB_\x1b[01;31m\x1b[KPASSWORD\x1b[m\x1b[K=[redacted:password]",
        ),
        (
            "\x1b[34;1m\"password\"\x1b[0m\x1b[39m:\x1b[0m \x1b[32m\"Vk01pass!\"\x1b[0m",
            "\x1b[34;1m\"password\"\x1b[0m\x1b[39m:\x1b[0m \x1b[32m\"[redacted:password]\"\x1b[0m",
        ),
        ("\x1b[32mpassword:\x1b(B\x1b[m Vk01pass!", "\x1b[32mpassword:\x1b(B\x1b[m [redacted:password]"),
        // Moved apart, and beside what is not shown.
        ("ada\x1b[5;10HAK~IAIOSFODNN7EXAMPLE", "ada\x1b[5;10H[redacted:aws-key]"),
        (
            "\x1b]133;A\x07password:\x1b]133;B\x07 Vk01pass! \x1b]8;;https://ada:Vk02pass!@h/x\x1b\\x",
            "\x1b]133;A\x07password:\x1b]133;B\x07 [redacted:password] \x1b]8;;https://ada:[redacted:password]@h/x\x1b\\x",
        ),
    ]);
}

#[test]
fn numbers_of_lines_stand_in_nothings_way() {
    assert_forms(&[
        ("1→password:\n2→  Vk01pass!\n3→x: 1", "1→password:\n2→  [redacted:password]\n3→x: 1"),
        (
            "Here it is:\n     8\t- name: DB_PASSWORD\n     9\t  value: Vk01pass!\n",
            "Here it is:\n     8\t- name: DB_PASSWORD\n     9\t  value: [redacted:password]\n",
        ),
        ("1:password:\n2:  Vk01pass!", "1:password:\n2:  [redacted:password]"),
        (
            " 9 | {\n10 |  \"passwords\": [\n11 |   \"Vk01pass!\"]}",
            " 9 | {\n10 |  \"passwords\": [\n11 |   \"[redacted:password]\"]}",
        ),
    ]);
}

#[test]
fn json_in_a_text_is_read_as_data_and_the_rest_of_it_stays() {
    assert_forms(&[
        ("{\"passwords\":[\"Vk01pass!\"]}", "{\"passwords\":[\"[redacted:password]\"]}"),
        ("{\"password\":[\"Vk01pass!\"]}", "{\"password\":[\"[redacted:password]\"]}"),
        ("{\"secrets\":{\"db\":\"Vk01pass!\"}}", "{\"secrets\":{\"db\":\"[redacted:secret]\"}}"),
        (
            "{\"db_password\":{\"sensitive\":true,\"value\":\"Vk01pass!\"}}",
            "{\"db_password\":{\"sensitive\":true,\"value\":\"[redacted:password]\"}}",
        ),
        ("{\"token\":{\"value\":\"Vk01pass!\"}}", "{\"token\":{\"value\":\"[redacted:token]\"}}"),
        (
            "{\"value\":\"Vk01\",\"name\":\"DB_PASSWORD\"}",
            "{\"value\":\"[redacted:password]\",\"name\":\"DB_PASSWORD\"}",
        ),
        (
            "{ \"z\": 1.50,\t\"api_keys\":\n[ \"Vk01p\\u00e4ss\\/\" , \"ü\"], \"a\":\"\\/ü\" }",
            "{ \"z\": 1.50,\t\"api_keys\":\n[ \"[redacted:api-key]\" , \"ü\"], \"a\":\"\\/ü\" }",
        ),
        // A line each, behind other words, cut off, broken.
        ("{\"a\":1}\n{\"passwords\":[\"Vk01\"]}\n", "{\"a\":1}\n{\"passwords\":[\"[redacted:password]\"]}\n"),
        ("data: {\"passwords\":[\"Vk01\"]}\n", "data: {\"passwords\":[\"[redacted:password]\"]}\n"),
        ("{\"passwords\":[\"Vk01\",\"Vk", "{\"passwords\":[\"[redacted:password]\",\"[redacted:password]"),
        ("{\"passwords\":[\"Vk01\", oops", "{\"passwords\":[\"[redacted:password]\", oops"),
        // In each other.
        (
            "{\"body\":\"{\\\"argv\\\":[\\\"mysql\\\",\\\"-uroot\\\",\\\"-pVk01pass!\\\"]}\"}",
            "{\"body\":\"{\\\"argv\\\":[\\\"mysql\\\",\\\"-uroot\\\",\\\"-p[redacted:password]\\\"]}\"}",
        ),
        (
            "{\"b\":\"{\\\"password\\\": \\\"a\\\\\\\"bVk01pass!\\\"}\"}",
            "{\"b\":\"{\\\"password\\\": \\\"[redacted:password]\\\"}\"}",
        ),
        (
            "x \"{\\\"password\\\": \\\"a\\\\\\\"bVk01pass!\\\", \\\"x\\\": 1}\"",
            "x \"{\\\"password\\\": \\\"[redacted:password]\\\", \\\"x\\\": 1}\"",
        ),
        (
            "{\"content\":\"password: |\\n  Vk01pass!\\nport: 1\"}",
            "{\"content\":\"password: |\\n  [redacted:password]\\nport: 1\"}",
        ),
        (
            "{\"command\":\"curl -u \\\"ada:Vk01 pass!\\\" x\"}",
            "{\"command\":\"curl -u \\\"ada:[redacted:password]\\\" x\"}",
        ),
        (
            "{\"command\":\"docker login --password-stdin <<EOF\\nVk01\\nEOF\\nls",
            "{\"command\":\"docker login --password-stdin <<EOF\\n[redacted:password]\\nEOF\\nls",
        ),
        ("{\\\"o\\\":\\\"password: Vk01pass!\\\"}", "{\\\"o\\\":\\\"password: [redacted:password]\\\"}"),
        ("{\"Authorization\":\"Bearer Vk01pass\"}", "{\"Authorization\":\"Bearer [redacted:authorization]\"}"),
    ]);
}

#[test]
fn json_at_every_depth_is_read() {
    let mut text = json!({"passwords": ["Vk01pass!"], "x": "\\ü/"});
    for _ in 0..4 {
        text = json!({"body": text.to_string(), "n": 1.5});
        let out = redacted(&text.to_string());
        assert!(!out.contains("Vk01"), "{out}");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
    }
}

#[test]
fn json_that_only_names_things_stays() {
    for text in [
        "{\"csrf_token\":\"c\",\"progressToken\":\"t\"}",
        "{\"GetApiKeys\":{\"limit_key\":\"limit\",\"result_key\":\"items\"}}",
        "{\"MasterUserPassword\":[\"MasterUsername\"],\"output_token\":[\"NextMarker\",\"NextVersionIdMarker\"]}",
        "{\"token\":{\"type\":\"Keyword\",\"value\":\"const\"},\"secrets\":{\"db\":{\"file\":\"./db.txt\"}}}",
        "{\"required\":[\"username\",\"password\"],\"properties\":{\"password\":{\"type\":\"string\"}}}",
        "{\"listPasswords\":{\"shape\":\"PasswordListInput\"}}",
        "fn f() {\"password\"; } [secrets] {token}",
        "let escape = \"\\x1b[\"; // password, \\e[a-z]token",
    ] {
        assert_eq!(redacted(text), text);
    }
    let help = json!({"SERVICE CREDENTIALS": "They are of use for\nthose who ask. ".repeat(50)}).to_string();
    assert_eq!(redacted(&help), help);
}

#[test]
fn escaped_addresses_lose_their_passwords() {
    assert_forms(&[
        ("https:\\/\\/ada:Vk01pass!@h\\/x", "https:\\/\\/ada:[redacted:password]@h\\/x"),
        (
            "https:\\/\\/hooks.slack.com\\/services\\/T00000000\\/B00000000\\/XXXXabcd1234\\n",
            "https:\\/\\/hooks.slack.com\\/services\\/[redacted:webhook]\\n",
        ),
        ("u=postgres%3A%2F%2Fada%3AVk01pass%21%40h%2Fdb&x", "u=postgres%3A%2F%2Fada%3A[redacted:password]%40h%2Fdb&x"),
        ("next=https%3A%2F%2Fexample.org%3A8080%2Fa%40b", "next=https%3A%2F%2Fexample.org%3A8080%2Fa%40b"),
    ]);
}

#[test]
fn long_commands_and_values_are_followed() {
    let (words, letters) = ("abc de ".repeat(800), "abc123".repeat(20_000));
    for (text, out) in [
        (format!("curl -d '{words}' -u ada:Vk01 x"), format!("curl -d '{words}' -u ada:[redacted:password] x")),
        (format!("mysql -e '{words}' -pVk01 x"), format!("mysql -e '{words}' -p[redacted:password] x")),
        (format!("password=\"{words}\"!"), "password=\"[redacted:password]\"!".to_owned()),
        // Longer than any that is followed: all of the line.
        (format!("password=\"{letters}\"!\nx"), "password=\"[redacted:password]\nx".to_owned()),
        (format!("<password>{letters}</password>\nx"), "<password>[redacted:password]\nx".to_owned()),
        (format!("Cookie: a={letters}; b\nx"), "Cookie: [redacted:cookie]\nx".to_owned()),
    ] {
        assert_eq!(redacted(&text), out);
    }
}

#[test]
fn views_of_hostile_texts_take_time_in_proportion_to_their_length() {
    hostile::assert_linear(&[
        "\x1b[1m",
        "\x1b[1mpassword",
        "\x1b\x1b[1m[1m",
        "\\u001b",
        "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\e",
        "\x1b]",
        "\x1b]0;\x07password=",
        "1\tpassword\n",
        "1→token:\n2→1→token:\n",
        "{\"token\":",
        "{\"token\":[\"a 1\",",
        "{\"token",
        "[{\"token\":1},",
        "[[[[token",
        "{\"password\":\"\\\"{\\\"",
        "\"{\\\"token\\\":\\\"",
        "{\"a b\":\"token \\n\"}\n",
        "https:\\/\\/a:",
        "hooks.slack.com\\/services\\/",
        "a%3A%2F%2F",
        "%3A%2F%2Fa%3A",
        "<token>a",
        "curl -u 'a ",
        "api_key=\"a a",
    ]);
    // JSON in JSON: each text is as long as what its escapes leave.
    let mut text = "{\"token\":\"a\"}".to_owned();
    while text.len() < 150_000 {
        text = json!([text, text]).to_string();
    }
    effort::spent();
    redacted(&text);
    assert!(effort::spent() <= text.len() * 512);
}

proptest::proptest! {
    #[test]
    fn views_in_any_order_survive_and_a_second_redaction_changes_nothing(
        pieces in proptest::collection::vec(
            proptest::sample::select(&[
                "password", "=", ": ", "\"", "'", "\\", " ", "\n", "{", "}", "[", "]", ",", "{\"", "\":\"", "\x1b[1m", "\x1b",
                "\x1b]0;", "\x07", "\\u001b[0m", "\\e[K", "[redacted:", "[redacted:password]", "1→", "\n2→", "\\u00", "\\ud83d", "ü",
                "passwords", "token", "value", "name", "Vk05pass!", "curl -u ", "mysql", "-p", "%3A%2F%2F", "%3A", "%40", ":\\/\\/",
                "@", "\\n", "AK", "q8Xz4LmT9vKw2RbN6pYc", "42", "key", "[\"", "\",\"", "args", "program", "lines", "kind", "Secret",
                "data", "passwords:\n  - ", "secrets:\n  a: ", "insert into t (password) values (", ")", "-> ", "<key>", "</key>",
                "<string>", "</string>", "form-data; name=\"password\"\r\n\r\n",
            ][..]),
            0..24,
        )
    ) {
        let text = pieces.concat();
        let once = redacted(&text);
        proptest::prop_assert_eq!(redacted(&once), once, "{:?}", text);
    }
}

#[test]
fn what_follows_an_escape_may_be_anything() {
    for text in
        ["\x1b(é and é", "\x1b(", "a\x1b(→", "{\"token\": 1, \"out\": \"x \\u001b(é\"}", "\x1b[é", "\x1b]é\x07ü"]
    {
        assert_eq!(redacted(text), text, "{text:?}");
    }
    assert_eq!(redacted("\x1b(Bghp_16C7e42F292c6912E7710c838347Ae178B4a"), "\x1b(B[redacted:github-token]");
}

#[test]
fn lists_of_settings_in_long_lines_keep_what_is_harmless() {
    for length in 440..620 {
        for gap in ["", " "] {
            let line = |secret: &str| {
                let head = "x".repeat(length);
                let rest = ["LANG=C.UTF-8", secret, "APP_MODE=prod"].map(|one| format!("\"{one}\""));
                format!("{{\"Cmd\":\"{head}\",\"Env\":[{}]}}", rest.join(&format!(",{gap}")))
            };
            assert_eq!(redacted(&line("API_TOKEN=Qz7Rk2Wm9Xt4")), line("API_TOKEN=[redacted:token]"), "{length}");
            assert_eq!(
                redacted(&line("DB_PASSWORD=Qz7Rk2Wm9Xt4")),
                line("DB_PASSWORD=[redacted:password]"),
                "{length}"
            );
        }
    }
}
