#![allow(clippy::unwrap_used)]

use super::*;

fn terms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    Analyser::default().analyse(text, |token| {
        found.push(token.term.to_owned());
        true
    });
    found
}

fn shares(a: &str, b: &str) -> bool {
    let of_b = terms(b);
    terms(a).iter().any(|term| of_b.contains(term))
}

#[test]
fn identifiers_count_as_a_whole_and_by_their_parts() {
    assert_eq!(terms("getUserName"), ["get", "user", "name", "getusername"].map(stemmed));
    for spelling in ["get_user_name", "get-user-name", "GetUserName", "GET_USER_NAME", "get.user.name"] {
        assert_eq!(terms(spelling), terms("getUserName"), "{spelling}");
    }
}

fn stemmed(word: &str) -> String {
    let mut buffer = String::new();
    stem(word, &mut buffer).to_owned()
}

#[test]
fn capitals_and_digits_cut_where_a_reader_would() {
    assert_eq!(terms("HTTPServer"), ["http", "server", "httpserver"]);
    assert_eq!(terms("URLs"), ["url"]);
    assert_eq!(terms("sha256"), ["sha", "256", "sha256"]);
    assert_eq!(terms("a1b2c3d4e5f6"), ["a1b2c3d4e5f6"]);
}

#[test]
fn paths_have_their_identifiers_and_themselves_as_wholes() {
    assert_eq!(terms("src/user_list.rs"), ["src", "user", "list", "rs", "userlist", "srcuserlistrs"].map(stemmed));
    assert_eq!(terms("std::fs::File"), ["std", "fs", "file", "stdfsfile"].map(stemmed));
    assert_eq!(terms("The end. Next"), ["the", "end", "next"]);
}

#[test]
fn text_without_spaces_becomes_pairs_that_every_part_of_it_shares() {
    assert_eq!(terms("東京都"), ["東京", "京都", "都"]);
    assert_eq!(terms("東"), ["東"]);
    assert_eq!(terms("Rust言語"), ["rust", "言語", "語"]);
    assert!(shares("データベースが壊れた", "ベース"));
    assert!(shares("세션이 저장되었습니다", "저장"));
}

#[test]
fn decomposed_text_meets_composed_text() {
    assert_eq!(terms("cafe\u{301}"), terms("café"));
    assert_eq!(terms("\u{304b}\u{3099}\u{304e}"), terms("がぎ"));
    assert_eq!(terms("\u{1112}\u{1161}\u{11ab}"), terms("한"));
}

#[test]
fn diacritics_and_widths_are_folded() {
    assert_eq!(terms("Größe"), terms("GROSSE"));
    assert_eq!(terms("Ｒｕｓｔ　２０２４"), ["rust", "2024"]);
    assert_eq!(terms("naïve Łódź"), ["naiv", "lodz"]);
}

#[test]
fn english_endings_meet_and_short_words_stay() {
    for (a, b) in [
        ("error", "errors"),
        ("query", "queries"),
        ("hike", "hiking"),
        ("stop", "stopped"),
        ("match", "matches"),
        ("parse", "parsed"),
        ("commit", "committing"),
        ("pass", "passes"),
    ] {
        assert_eq!(terms(a), terms(b), "{a} {b}");
    }
    for word in ["ps", "css", "os", "bus", "this", "red", "bed", "string", "status"] {
        assert_eq!(terms(word), [word], "{word}");
    }
}

#[test]
fn long_and_odd_tokens_are_cut_and_stay_searchable() {
    let long = "x".repeat(10_000);
    assert_eq!(terms(&long), ["x".repeat(MAX_TERM_BYTES)]);
    let camel = "aB".repeat(5_000);
    assert_eq!(terms(&camel).len(), 1);
    assert!(terms("🦀 \u{1b}[31m !!! ---").iter().all(|term| term == "31" || term == "m" || term == "31m"));
}

#[test]
fn offsets_point_at_the_text() {
    let text = "Öffne das_Fenster jetzt";
    let mut spans = Vec::new();
    Analyser::default().analyse(text, |token| {
        spans.push(text[token.start..token.end].to_owned());
        true
    });
    assert_eq!(spans, ["Öffne", "das", "Fenster", "das_Fenster", "jetzt"]);
}

proptest::proptest! {
    #[test]
    fn any_text_gives_terms_that_an_index_takes(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
        Analyser::default().analyse(&text, |token| {
            assert!(!token.term.is_empty() && token.term.len() <= MAX_TERM_BYTES);
            assert!(token.term.bytes().all(|b| b.is_ascii_alphanumeric() || b >= 0x80), "{:?}", token.term);
            assert!(text.is_char_boundary(token.start) && text.is_char_boundary(token.end) && token.start < token.end);
            true
        });
    }
}

#[test]
fn letters_that_are_others_only_by_place_points_carrier_width_or_shape_are_the_same() {
    for (one, other) in [
        ("ΟΔΟΣ", "οδός"),
        ("σοφὸς", "ΣΟΦΟΣ"),
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("ｳﾞｧｲｵﾘﾝ", "ヴァイオリン"),
        ("ハ\u{309a}ン", "ﾊﾟﾝ"),
        ("\u{627}\u{654}حمد", "أحمد"),
        ("مُحَمَّد", "محمد"),
        ("محـــمد", "محمد"),
        ("سؤال", "سو\u{654}ال"),
        ("שָׁלוֹם", "שלום"),
        ("ﬁle", "file"),
        ("oﬃce", "office"),
        ("٢٠٢٦", "2026"),
        ("۱۲", "12"),
    ] {
        assert_eq!(terms(one), terms(other), "{one} {other}");
    }
    // Others stay what they are.
    for (one, other) in [("ي", "ى"), ("ο", "ω"), ("ハ", "バ"), ("ה", "ח")] {
        assert_ne!(terms(one), terms(other), "{one} {other}");
    }
    assert_eq!(terms("a־b"), ["a", "b"], "a sign between words of Hebrew is none of their points");
}

#[test]
fn words_that_are_folded_as_ever_have_no_earlier_term() {
    for word in ["backup", "größe", "резервное", "東京", "cafe\u{301}", "한글", "שלום", "محمد", "utf8"]
    {
        assert_eq!(term_before(word, &terms(word)[0]), None, "{word}");
    }
    for (word, before) in [("οδός", "οδος"), ("أحمد", "أحمد"), ("ﾃﾞ", "ﾃﾞ"), ("ﾃﾞｰ", "ﾃﾞ"), ("٢٠", "٢٠"), ("ﬁle", "ﬁle")]
    {
        assert_eq!(term_before(word, &terms(word)[0]).as_deref(), Some(before), "{word}");
    }
}
