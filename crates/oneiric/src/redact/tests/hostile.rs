//! Text made to break the rules, and random text.

use proptest::prelude::*;

use super::*;

/// Long texts of each of these cost no more than so much work a byte, and do not grow.
pub(super) fn assert_linear(patterns: &[&str]) {
    for pattern in patterns {
        let text = pattern.repeat(150_000 / pattern.len());
        effort::spent();
        let once = redacted(&text);
        let (effort, most) = (effort::spent(), text.len() * 512);
        assert!(effort <= most, "{pattern:.40}: {effort}");
        assert!(once.len() <= text.len() * 8, "{pattern:.40}");
    }
}

#[test]
fn hostile_text_takes_time_in_proportion_to_its_length() {
    // What is counted is bounded; where nothing counts, a quadratic slip is unbearable to run.
    let cut = "token=a".repeat(570) + "(" + &")".repeat(4000);
    assert_linear(&[
        &cut,
        "eyJ-",
        "eyJ_eyJ",
        "password=$(",
        "password={{",
        "api_key=/",
        "token=http://",
        "token=(",
        "token=f(",
        "token: ",
        "token: '",
        "cookie:",
        "authorization:a ",
        "${token:-",
        "password=[redacted:",
        " token: |\n  [redacted:\n",
        "-----BEGIN!-----END-----q8Xz4LmT9vKw2RbN6pYc ",
        "password=\"",
        "-----BEGIN!",
        "-----BEGIN",
        "sk-ant-",
        "://",
        "eyJ.eyJ",
        "curl curl ",
        "curl -u ",
        "secretsecret",
        "Authorization: ",
        "key: |\n",
        "a1B2",
        "[redacted:",
        "password:",
        "\\\\\\\"password\\\\\\\":",
        "-----END PRIVATE",
        "bearer a",
        "password='\\",
        "login password ",
        "export token token ",
        "chpasswd",
        "echo |chpasswd",
        "sudo -S <<< ",
        "password='\n",
        "token:\n ",
        "password=a\"",
        "password='a'\"",
        "PASSWORD=a \n",
        "password: &a ",
        "password:  #\n",
        "token=f(a)",
        "token = f('",
        "token=a.",
        "token: Some(",
        "senha ",
        "mot de passe : ",
        "creds: a / ",
        "password has been set to ",
        "AUTH a\n",
        "basic_auth(a,",
        "set_token(",
    ]);
}

#[test]
fn public_keys_are_passed_once_however_many_random_words_follow() {
    let text = "-----BEGIN A-----\n-----END A-----\n".repeat(2000) + &"q8Xz4LmT9vKw2RbN6pYc ".repeat(2000);
    effort::spent();
    let once = redacted(&text);
    assert_eq!(once.matches("[redacted:high-entropy]").count(), 2000);
    assert!(effort::spent() <= text.len());
}

#[test]
fn keys_that_differ_in_their_secrets_alone_stay_apart_and_short() {
    let mut map: Map<String, Value> = (0..2000).map(|number| (format!("://:{number}@"), Value::from(number))).collect();
    map.insert("://:[redacted:password]@'1".to_owned(), Value::from("taken"));
    effort::spent();
    assert_eq!(Redactor::standard().map(&mut map), 2000);
    assert!(effort::spent() <= 2000 * 1000);
    assert_eq!(map.len(), 2001);
    assert_eq!(map["://:[redacted:password]@'1"], "taken");
    assert!(map.keys().all(|key| key.len() <= 40));
    let once = map.clone();
    assert_eq!(Redactor::standard().map(&mut map), 0);
    assert_eq!(map, once);
}

#[test]
fn a_long_value_is_taken_out_whole() {
    let long = "abc123".repeat(600);
    for (text, rest) in [
        (format!("password={long} x"), "password=[redacted:password] x"),
        (format!("<password>{long}</password>"), "<password>[redacted:password]</password>"),
        (format!("password=f(1){long} x"), "password=[redacted:password] x"),
        (format!("\"password\": \"{long}\"!"), "\"password\": \"[redacted:password]\"!"),
        (format!("Cookie: a={long}\nx"), "Cookie: [redacted:cookie]\nx"),
    ] {
        assert_eq!(redacted(&text), rest);
    }
}

#[test]
fn hostile_forms_take_time_in_proportion_to_their_length() {
    for pattern in [
        "password for ",
        "password is ",
        "password 'x' \\\n",
        "--password \\\n",
        "token `\n",
        "api key ",
        "\"token\",\n",
        "'--password', '",
        "name: token\n",
        "name=\"token\",",
        "| token |",
        "<token a",
        "<token>\n",
        "'password=' ",
        "password='x''",
        "PASSWORD_",
        "sudo -p sudo -u ",
        "|passwd ",
        "chpasswd <<a\n",
        "secret set <<",
        "user a\npassword b\n",
        "git config token ",
        "\"curl\",\"-u\",",
        "'htpasswd',",
        "htpasswd -b ",
        "openssl passwd -6 \\\n",
        "a:b@tcp(",
        "oracle:thin:a/",
        "a:5432:a:b:",
        "identified with a",
        "%22token%22%3A%22",
        "passphrase: a\n",
    ] {
        let text = pattern.repeat(60_000 / pattern.len());
        let once = redacted(&text);
        assert!(once.len() <= text.len() * 8, "{pattern}");
    }
}

proptest! {
    #[test]
    fn any_text_survives_and_a_second_redaction_changes_nothing(text in any::<String>()) {
        let once = redacted(&text);
        prop_assert_eq!(redacted(&once), once);
    }

    #[test]
    fn pieces_in_any_order_survive_and_a_second_redaction_changes_nothing(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("password"), Just("="), Just(": "), Just("\""), Just("'"), Just("\\"), Just(" "), Just("\n"),
                Just("Authorization"), Just("Bearer "), Just("curl -u "), Just("mysql -p"), Just("://"), Just("@"),
                Just("[redacted:"), Just("]"), Just("-----BEGIN PRIVATE KEY-----"), Just("-----END"), Just("token"),
                Just("${"), Just(":-"), Just("}"), Just("abc123def456"), Just("q8Xz4LmT9vKw2RbN6pYc"), Just("ключ"),
                Just("|\n  "), Just("cookie"), Just("&"), Just(","), Just("eyJhbGciOiJI."), Just("login "), Just("<"),
                Just("echo "), Just("|"), Just("chpasswd"), Just("sudo -S"), Just("--password-stdin"),
                Just("**"), Just("api key"), Just(" is "), Just(" for x: "), Just("name"), Just("value"), Just("Vk05pass!"),
                Just("PASSWORD_DB"), Just("<<EOF\n"), Just("\nEOF"), Just("@tcp("), Just("%22%3A%22"), Just("htpasswd -b "),
                Just(" || "), Just("passphrase"), Just("''"), Just("\\\n"), Just("]]>"), Just("<![CDATA["), Just(">"), Just("<<< "),
            ],
            0..24,
        )
    ) {
        let text = pieces.concat();
        let once = redacted(&text);
        prop_assert_eq!(redacted(&once), once, "{:?}", text);
    }

    #[test]
    fn a_planted_password_is_gone_whatever_stands_around_it(
        before in "[a-z0-9 ,.]{0,20}",
        name in "(DB_|app\\.|my-)?(password|PASSWORD|client_secret|apiKey|access_token)",
        join in "(=|: | = |:)",
        quote in prop_oneof![Just(""), Just("\""), Just("'")],
        secret in "[a-z][a-zA-Z0-9!@#%^+]{6,30}[0-9]",
        after in "( [a-z ]{0,20})?",
    ) {
        let text = format!("{before} {name}{join}{quote}{secret}{quote}{after}");
        prop_assert!(!redacted(&text).contains(&secret), "{:?} became {:?}", text, redacted(&text));
    }
}

#[test]
fn nearly_every_random_token_is_found_by_its_randomness() {
    const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const URL_SAFE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 40).unwrap()
    };
    for (alphabet, length, least) in [(BASE62, 24, 975), (BASE62, 32, 985), (URL_SAFE, 43, 985), (BASE64, 40, 985)] {
        let tokens: Vec<String> =
            (0..1000).map(|_| (0..length).map(|_| char::from(alphabet[random() % alphabet.len()])).collect()).collect();
        let found = tokens.iter().filter(|token| redacted(&format!("echo {token}")) != format!("echo {token}")).count();
        assert!(found >= least, "{found} of 1000 with {length} characters");
    }
}

#[test]
fn a_token_that_happens_to_have_no_digit_is_found_and_a_name_is_not() {
    let redactor = Redactor::standard();
    for token in [["gl", "pat-LubgoZemaACcBcRscLCd"], ["sk", "_live_hrQMNPSFyenXCTxeWHJAULyV"]] {
        let token = token.concat();
        assert!(!redactor.text(&format!("!echo \"{token}\" > /dev/null")).contains(&token), "{token}");
    }
    for name in ["sk_live_key_of_the_shop", "hf_transformers_cache_folder"] {
        assert_eq!(redactor.text(name), name);
    }
}
