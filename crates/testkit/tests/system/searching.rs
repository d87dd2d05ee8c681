//! What people see of searches: hits by session, words with slips, bounded answers, and measured quality.

use serde_json::{Value, json};
use testkit::{Server, TestHome};

const SESSIONS: &str = r#"{"conversation":"trip","session":"trip/1","started_at":"1:56 pm on 8 May, 2023","turns":[{"id":"trip/1:1","speaker":"Ada","text":"We fired the blue bowl in the new kiln."},{"id":"trip/1:2","speaker":"Bob","text":"Did the glaze hold?"}]}
{"conversation":"trip","session":"trip/2","started_at":"2023-06-09T10:00:00Z","turns":[{"id":"trip/2:1","speaker":"Ada","text":"The train to Lisbon was late."}]}
"#;

const QUESTIONS: &str = r#"{"conversation":"trip","question":"What did Ada fire in the kiln?","category":4,"evidence_turns":["trip/1:1"],"evidence_sessions":["trip/1"]}
{"conversation":"trip","question":"Which train was late?","category":1,"evidence_turns":["trip/2:1"],"evidence_sessions":["trip/2"]}
"#;

#[test]
fn quality_is_measured_on_data_with_known_answers_and_leaves_nothing_behind() {
    let home = TestHome::patient();
    let data = home.root().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("sessions.jsonl"), SESSIONS).unwrap();
    std::fs::write(data.join("queries.jsonl"), QUESTIONS).unwrap();
    let folder = data.to_str().unwrap();
    for by in ["session", "event"] {
        let done = home.session_buddy(["eval", folder, "--search-type", "text", "--by", by, "--format", "json"]).run();
        let answer: Value = serde_json::from_str(&done.expect_success().stdout).unwrap();
        assert_eq!((&answer["by"], &answer["pool"]), (&json!(by), &json!("conversation")));
        let rows = answer["figures"][0]["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3, "all, and each category: {answer}");
        assert!(
            rows.iter().all(|row| row["hit_1"].as_f64() == Some(1.0) && row["mrr"].as_f64() == Some(1.0)),
            "{answer}"
        );
    }
    let listed = home.session_buddy(["list-sessions", "--format", "json"]).run();
    assert!(!listed.expect_success().stdout.contains("evaluation"), "the user's own sessions stay apart");
    let bad = data.join("bad.jsonl");
    std::fs::write(&bad, "{\"conversation\":1}\n").unwrap();
    home.session_buddy(["eval", bad.to_str().unwrap()])
        .run()
        .expect_code(2)
        .expect_one_clear_line(&["bad.jsonl, line 1"]);
    // A question that cannot be asked is one that nothing was found for; one without an answer in the data is left out.
    let odd = data.join("odd.jsonl");
    let question = |text: &str, session: &str| {
        format!(r#"{{"conversation":"trip","question":"{text}","category":1,"evidence_sessions":["{session}"]}}"#)
    };
    let eval = || home.session_buddy(["eval", odd.to_str().unwrap(), "--search-type", "text", "--format", "json"]);
    std::fs::write(&odd, [SESSIONS, &question("???", "trip/1"), "\n", &question("train", "trip/9")].concat()).unwrap();
    let measured = eval().run();
    assert!(measured.stderr.contains("1 question is left out"), "{measured}");
    let figures = measured.expect_success().json()["figures"][0]["rows"][0].clone();
    assert_eq!((figures["questions"].as_u64(), figures["hit_1"].as_f64()), (Some(1), Some(0.0)), "{figures}");
    std::fs::write(&odd, [SESSIONS, &question("train", "trip/9")].concat()).unwrap();
    eval().run().expect_code(2).expect_one_clear_line(&["nothing can be measured"]);
    home.session_buddy(["eval", "/nonexistent"]).run().expect_code(4).expect_one_clear_line(&["/nonexistent"]);
}

#[test]
fn a_search_goes_on_by_cursor_through_every_door_while_events_are_added() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let note = |n: usize| json!({ "session_id": "engine", "text": format!("deploy number {n}") });
    let tool = |name: &str, arguments: Value| server.tool(name, arguments)["structuredContent"].take();
    (0..25).for_each(|n| assert!(tool("add_message", note(n))["event_id"].is_string()));
    let ids = |answer: &Value| -> Vec<String> {
        let hits = answer["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["event_id"].as_str().unwrap().to_owned()).collect()
    };
    let question = json!({ "query": "deploy", "search_type": "text", "limit": 10 });
    let first = tool("search", question.clone());
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    assert!(tool("add_message", note(100))["event_id"].is_string());
    let mut second = question.clone();
    second["cursor"] = json!(cursor);
    second["max_tokens"] = json!(100_000);
    let second = tool("search", second);
    let path = format!("/api/v1/search?query=deploy&search_type=text&limit=10&cursor={cursor}");
    let by_rest: Value = server.get(&path).json();
    assert_eq!(ids(&by_rest), ids(&second));
    let next = by_rest["next"].as_str().unwrap();
    let third: Value = server.get(next).json();
    let mut all = [ids(&first), ids(&second), ids(&third)].concat();
    assert_eq!((all.len(), third["next_cursor"].is_null()), (25, true), "{third}");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 25, "no hit twice, and none that came later");

    // On the command line, also where the range is said in days.
    let search = ["search", "deploy", "--search-type", "text", "--since", "1d", "--limit", "20", "--format", "json"];
    let shown: Value = serde_json::from_str(&home.session_buddy(search).run().expect_success().stdout).unwrap();
    let cursor = shown["next_cursor"].as_str().unwrap();
    let rest = home.session_buddy([&search[..], &["--cursor", cursor]].concat()).run();
    let rest: Value = serde_json::from_str(&rest.expect_success().stdout).unwrap();
    assert_eq!((ids(&rest).len(), rest["next_cursor"].is_null()), (6, true));
    // A date is no span: it means the same by the next page, and another one is another question.
    let since = |date: &str, more: &[&str]| {
        let mut search = search.map(str::to_owned);
        search[5] = date.to_owned();
        home.session_buddy(search.iter().map(String::as_str).chain(more.iter().copied())).run()
    };
    since("2020-01-01", &["--cursor", cursor]).expect_code(2).expect_one_clear_line(&["another question"]);
    let shown: Value = serde_json::from_str(&since("2020-01-01", &[]).expect_success().stdout).unwrap();
    let dated = shown["next_cursor"].as_str().unwrap();
    since("2020-01-01", &["--cursor", dated]).expect_success();
    since("2020-01-02", &["--cursor", dated]).expect_code(2).expect_one_clear_line(&["another question"]);
    let other = home.session_buddy(["search", "another", "--search-type", "text", "--cursor", cursor]).run();
    other.expect_code(2).expect_one_clear_line(&["another question"]);
    home.session_buddy(["search", "deploy", "--cursor", "zz"]).run().expect_code(2).expect_one_clear_line(&["cursor"]);
}
