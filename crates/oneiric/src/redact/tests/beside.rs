//! Secrets that something else in the same object, list, document or statement tells of.

use super::*;

fn data(mut value: Value) -> Value {
    Redactor::standard().value(&mut value);
    let once = value.clone();
    assert_eq!(Redactor::standard().value(&mut value), 0, "{once}");
    once
}

#[test]
fn other_fields_of_an_object_tell_what_is_secret() {
    let password = "[redacted:password]";
    for (value, clean) in [
        (
            json!({"program": "curl", "args": ["-u", "ada:Bs01pass!"]}),
            json!({"program": "curl", "args": ["-u", "ada:[redacted:password]"]}),
        ),
        (
            json!({"command": "/usr/bin/mysql", "arguments": ["-uroot", "-pBs01pass!", "shop"]}),
            json!({"command": "/usr/bin/mysql", "arguments": ["-uroot", "-p[redacted:password]", "shop"]}),
        ),
        (json!({"field": "password", "value": "Bs01pass!"}), json!({"field": "password", "value": password})),
        (json!({"id": "password", "value": "Bs01pass!"}), json!({"id": "password", "value": password})),
        (json!({"label": "Password", "value": "Bs01pass!"}), json!({"label": "Password", "value": password})),
        (json!({"variable": "DB_PASSWORD", "value": "x1"}), json!({"variable": "DB_PASSWORD", "value": password})),
        (json!({"ref": "password", "text": "Bs01pass!"}), json!({"ref": "password", "text": password})),
        (json!({"name": "password", "text": "Bs01pass!"}), json!({"name": "password", "text": password})),
        (json!({"selector": "#password", "text": "Bs01pass!"}), json!({"selector": "#password", "text": password})),
        (
            json!({"selector": "input[name='password']", "text": "Bs01pass!"}),
            json!({"selector": "input[name='password']", "text": password}),
        ),
        (
            json!({"ParameterKey": "DBPassword", "ParameterValue": "Bs01pass!"}),
            json!({"ParameterKey": "DBPassword", "ParameterValue": password}),
        ),
        (
            json!({"Name": "/shop/db", "Type": "SecureString", "Value": "Bs01pass!"}),
            json!({"Name": "/shop/db", "Type": "SecureString", "Value": "[redacted:secret]"}),
        ),
        (json!({"Name": "/db/password", "Value": "Bs01pass!"}), json!({"Name": "/db/password", "Value": password})),
        (
            json!({"kind": "Secret", "data": {"shop": "QnMwMXBhc3Mh"}, "stringData": {"a": "two words"}, "type": "Opaque"}),
            json!({"kind": "Secret", "data": {"shop": "[redacted:secret]"}, "stringData": {"a": "[redacted:secret]"}, "type": "Opaque"}),
        ),
    ] {
        assert_eq!(redacted(&value.to_string()), clean.to_string());
        assert_eq!(data(value), clean);
    }
}

#[test]
fn lines_of_a_key_are_taken_out_of_a_list() {
    let label = |word: &str| format!("-----{word} RSA PRIVATE KEY-----");
    let (begin, end) = (label("BEGIN"), label("END"));
    let body = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDkv11xYzQ7wPmL", "vk11=="];
    let mark = "[redacted:private-key]";
    let lines = json!({"lines": ["it is", begin, body[0], body[1], end, "and", begin, "go on"]});
    let clean = json!({"lines": ["it is", mark, mark, mark, mark, "and", begin, "go on"]});
    assert_eq!(data(lines), clean);
    assert_eq!(data(json!([begin, body[0], body[1]])), json!([mark, mark, mark]));
}

#[test]
fn fields_that_tell_of_no_secret_leave_data_alone() {
    for value in [
        json!({"program": "cargo", "args": ["test", "-p", "shop"]}),
        json!({"command": "mysql", "args": ["-u", "root", "-p", "shop"]}),
        json!({"id": "password", "label": "Password", "text": "Enter your password"}),
        json!({"id": "token", "type": "Keyword", "value": "const"}),
        json!({"label": "Password", "value": "password"}),
        json!({"selector": "#user", "text": "Bs01pass!"}),
        json!({"name": "Sign in", "selector": "button.password-reset > span", "text": "Reset it"}),
        json!({"kind": "ConfigMap", "data": {"shop": "open at 9"}}),
        json!({"kind": "Secret", "metadata": {"name": "shop2"}, "type": "Opaque"}),
    ] {
        assert_eq!(data(value.clone()), value);
        assert_eq!(redacted(&value.to_string()), value.to_string());
    }
}

#[test]
fn lists_documents_and_statements_tell_what_is_secret_in_a_text() {
    for (text, out) in [
        (
            "passwords:\n  - Bs01pass!\nother:\n  - Bs02pass!",
            "passwords:\n  - [redacted:password]\nother:\n  - Bs02pass!",
        ),
        ("passwords: [Bs01pass!, 'Bs02']", "passwords: [[redacted:password], 'Bs02']"),
        ("passwords:\n- Bs01pass! # x\n- x", "passwords:\n- [redacted:password] # x\n- x"),
        ("secrets:\n  db: Bs01pass!\n  name: shop\n", "secrets:\n  db: [redacted:secret]\n  name: shop\n"),
        ("api_keys = [\"Bs01pass!\"]", "api_keys = [\"[redacted:api-key]\"]"),
        (
            "data:\n  shop: QnMwMXBhc3Mh\n  f: |\n    one\n\n    two\nkind: Secret\ntype: Opaque\n---\ndata:\n  a: b",
            "data:\n  shop: [redacted:secret]\n  f: |\n    [redacted:secret]\nkind: Secret\ntype: Opaque\n---\ndata:\n  a: b",
        ),
        (
            "kind: Secret\nstringData:\n  f: \"two words\"\n  g: {{ .Values.x }}\nmetadata:\n  name: x",
            "kind: Secret\nstringData:\n  f: \"[redacted:secret]\"\n  g: {{ .Values.x }}\nmetadata:\n  name: x",
        ),
        (
            "items:\n- data:\n    a: QnMwMXBhc3Mh\n  kind: Secret\n- data:\n    b: open at 9\n  kind: ConfigMap\n",
            "items:\n- data:\n    a: [redacted:secret]\n  kind: Secret\n- data:\n    b: open at 9\n  kind: ConfigMap\n",
        ),
        (
            "Content-Disposition: form-data; name=\"password\"\r\n\r\nBs01 pass!\r\n--b--",
            "Content-Disposition: form-data; name=\"password\"\r\n\r\n[redacted:password]\r\n--b--",
        ),
        ("<key>password</key>\n  <string>Bs01</string>", "<key>password</key>\n  <string>[redacted:password]</string>"),
        (
            "<name>db.password</name>\n<value>Bs01</value>",
            "<name>db.password</name>\n<value>[redacted:password]</value>",
        ),
        ("  ~ password = \"Bs01\" -> \"Bs02\" # x", "  ~ password = \"[redacted:password]\" # x"),
        (
            "INSERT INTO users (name, password) VALUES ('ada','Bs01, x'), ('bob', 'it''s 2'); select 'x'",
            "INSERT INTO users (name, password) VALUES ('ada','[redacted:password]'), ('bob', '[redacted:password]'); select 'x'",
        ),
        (
            "insert into `t` (`id`, `api_token`, `c`)\nvalues (1, 'abc123def', NOW()), (f('x', 2), 'abc123abc', 'q')",
            "insert into `t` (`id`, `api_token`, `c`)\nvalues (1, '[redacted:token]', NOW()), (f('x', 2), '[redacted:token]', 'q')",
        ),
    ] {
        assert_eq!(redacted(text), out);
        assert_eq!(redacted(out), out);
    }
}

#[test]
fn lists_documents_and_statements_without_secrets_stay() {
    for text in [
        "secrets:\n  - db_password\n  - source: x1\n    target: y2\n",
        "secrets:\n  db:\n    file: ./db2.txt\n  name: shop-2\n",
        "api_keys:\n- v2alpha1\n- prod-key-2\n",
        "passwords: [list]\nsecrets: []\npasswords:\n\nBs01pass! is none",
        "kind: SecretList\ndata:\n  a: b\n",
        "the kind: Secret\ndata:\n  a: b\n",
        "kind: Secret\ndata:\n  {name}.json: \"{content}\"\n",
        "<key>passwordRules</key><string>minlength: 8</string>",
        "INSERT INTO users (name, mail) VALUES ('ada', 'ada@example.org')",
        "INSERT INTO users (name, password) VALUES (?, ?), (:name, :password)",
        "insert into the password field",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn hostile_lists_and_statements_take_time_in_proportion_to_their_length() {
    hostile::assert_linear(&[
        "passwords:\n - ",
        "passwords: [",
        "secrets:\n  a: ",
        "kind: Secret\n",
        "kind: Secret\ndata:\n a: |\n",
        "  kind: Secret\n",
        "insert into t(password) values (",
        "insert into t(password) values ('",
        "insert into t(",
        "<key>token</key><string>",
        "form-data; name=\"token\"\n\n",
        "token = \"a\" -> \"",
    ]);
    // Data, too.
    let key =
        json!({"lines": vec!["-----BEGIN PRIVATE KEY-----"; 5000], "command": "mysql", "args": vec!["mysql -p"; 5000]});
    effort::spent();
    data(key);
    assert!(effort::spent() <= 5000 * 40 * 512);
}
