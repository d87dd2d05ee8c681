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
