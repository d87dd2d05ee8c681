//! Secrets that programs hand on: wrapped, given to what sets them, beside a user's name.

use super::*;

#[test]
fn a_secret_that_is_handed_on_is_taken_out_and_a_word_is_not() {
    for text in [
        "password: Some(\"Winter2024!\")",
        "let password = String::from(\"Winter2024!\");",
        "Config { user: \"ada\", token: Some(\"Winter2024!\") }",
        "password = SecretString::new(\"Winter2024!\".into())",
        "api_key = Some(Box::new(\"Winter2024!\"))",
        "var password string = \"Winter2024!\"",
        "char password[32] = \"Winter2024!\";",
        "password := []byte(\"Winter2024!\")",
        "const secret = Buffer.from('Winter2024!');",
        "#define DB_PASS \"Winter2024!\"",
        "setPassword(\"Winter2024!\")",
        "user.set_password('Winter2024!')",
        "options.password(\"Winter2024!\")",
        "    .with_password(\"Winter2024!\")",
        "client.setToken(\"Winter2024!\")",
        "req.SetBasicAuth(\"ada\", \"Winter2024!\")",
        "requests.get(u, auth=HTTPBasicAuth('ada','Winter2024!'))",
        "requests.get(u, auth=('ada', 'Winter2024!'))",
        "get(u).basic_auth(\"ada\", Some(\"Winter2024!\"))",
        "get(u).bearer_auth(\"Winter2024!\")",
        "password_confirmation: 'Winter2024!'",
    ] {
        let out = redacted(text);
        assert!(!out.contains("Winter2024") && out.contains("[redacted:"), "{text} became {out}");
        assert_eq!(redacted(&out), out);
        let word = text.replace("Winter2024!", "Password");
        if !["var ", "char "].iter().any(|form| text.starts_with(form)) {
            assert_eq!(redacted(&word), word);
        }
    }
    for text in [
        "password = env::var(\"DB_PASSWORD2\")",
        "getPassword(\"db2-prod1\")",
        "get_secret(\"my-secret-1\")",
        "lexer.token(\"utf8mb4\")",
        "assert_eq!(passValue('user+1:a+b'), 1)",
        "password(\"must be 8 characters\")",
        "#define MAX_TOKENS \"many\"",
        "password_confirmation: same",
        "basic_auth(user, password) and auth=(user, password)",
    ] {
        assert_eq!(redacted(text), text);
    }
}
