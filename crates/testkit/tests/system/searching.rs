//! What people see of searches: hits by session, words with slips, bounded answers, and measured quality.

use serde_json::{Value, json};
use testkit::TestHome;

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
    home.session_buddy(["eval", "/nonexistent"]).run().expect_code(4).expect_one_clear_line(&["/nonexistent"]);
}
