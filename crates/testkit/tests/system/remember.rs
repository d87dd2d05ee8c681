//! Messages, test results, checkpoints, links and briefs, over the real programs, with a server and without.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::mcp::{Revision, StdioClient};
use testkit::{Finished, Server, TestHome, git};

use crate::sample::{id, types};

fn buddy(home: &TestHome, args: &[&str]) -> Finished {
    home.session_buddy(args).run()
}

fn json_of(home: &TestHome, args: &[&str]) -> Value {
    buddy(home, args).expect_success().json()
}

#[test]
fn the_guides_message_finds_its_project_or_opens_it_with_a_server_and_without() {
    let home = TestHome::new();
    let line = r#"session-buddy add-message --session "my-project" "Manual test passed""#;
    home.sh(line).run().expect_success();
    let server = Server::start(&home);
    home.sh(line).run().expect_success();
    server.stop();
    home.sh(line).run().expect_success();
    let sessions = home.sessions(&[]);
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!((&sessions[0]["project"], &sessions[0]["session_type"]), (&json!("my-project"), &json!("manual")));
    assert_eq!(types(&home.events(&id(&sessions[0]))), ["session_start", "message", "message", "message"]);
}

#[test]
fn a_message_that_cannot_be_stored_says_why_in_one_line() {
    let home = TestHome::new();
    buddy(&home, &["add-message", "--session", "019ab3f2", "x"]).expect_code(4).expect_one_clear_line(&["019ab3f2"]);
    buddy(&home, &["add-message", "--session", "p", " "]).expect_code(2).expect_one_clear_line(&["text is empty"]);
    buddy(&home, &["add-message", "--session", "p"]).expect_code(2);
    home.session_buddy(["add-message", "--session", "p", "-"])
        .stdin(vec![0xff, 0xfe])
        .run()
        .expect_code(2)
        .expect_one_clear_line(&["not UTF-8"]);
    home.session_buddy(["add-message", "--session", "p", "-"])
        .stdin("x".repeat(1 << 20))
        .run()
        .expect_code(2)
        .expect_one_clear_line(&["more than"]);
    assert!(home.sessions(&[]).is_empty());
}

#[test]
fn what_a_shell_did_can_be_gone_on_from_with_every_line_cited() {
    let home = TestHome::new();
    let tree = git::repository(&home, "shop");
    let _ = home.mahavishnu(["shell", "-c", "print(1); nosuchthing()"]).cwd(&tree).run();
    let session = id(&home.sessions(&[])[0]);
    let checkpoint = [
        "checkpoint",
        "--session",
        &session,
        "--note",
        "parser half done",
        "--todo",
        "write docs",
        "--file",
        "src/a.rs",
    ];
    let made = home.session_buddy(checkpoint).cwd(&tree).run();
    assert!(made.expect_success().stdout.contains("Git: "), "{made}");
    buddy(
        &home,
        &["store-test-result", "--session", &session, "--result", "failed", "--message", "left != right", "tests/a.rs"],
    )
    .expect_success();
    std::fs::write(tree.join("new.txt"), "x").unwrap();
    // Without an id, the repository of the directory says which session is meant.
    let brief = home.session_buddy(["resume", "--max-tokens", "900"]).cwd(&tree).run();
    let text = brief.expect_success().stdout.clone();
    for part in [
        "nosuchthing()",
        "parser half done",
        "- [ ] write docs",
        "src/a.rs",
        "tests/a.rs failed",
        "uncommitted changes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.len() <= 900 * 4);
    let events = home.events(&session);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("## ")) {
        let cited = line.rsplit_once('[').and_then(|(_, id)| id.strip_suffix(']')).unwrap();
        assert!(events.iter().any(|event| event["event_id"] == cited), "{line}");
    }
    // A client that only came and went is nothing to go on from.
    let mut client = StdioClient::start(&home.session_buddy(["start", "--mode=standard", "--mcp"]).cwd(&tree));
    client.handshake();
    client.tool(Revision::V2025_11_25, "health_check", json!({}));
    client.process.close_stdin();
    client.process.wait(Duration::from_secs(20));
    let again = home.session_buddy(["resume"]).cwd(&tree).run();
    assert_eq!(again.expect_success().stdout.lines().next(), brief.stdout.lines().next());
    home.session_buddy(["resume"]).run().expect_code(2).expect_one_clear_line(&["no git repository"]);
    let long = home.session_buddy(["add-message", "--session", "x", "-"]).stdin("é".repeat(200_000)).run();
    long.expect_code(2).expect_one_clear_line(&["more than"]);
    buddy(&home, &["resume", "nobody"]).expect_code(4).expect_one_clear_line(&["nobody"]);
}

#[test]
fn a_checkpoint_in_a_repository_opens_its_session_when_there_is_none() {
    let home = TestHome::new();
    let tree = git::repository(&home, "shop");
    let args = ["checkpoint", "--note", "begun", "--json"];
    let first = home.session_buddy(args).cwd(&tree).run().expect_success().json();
    let second = home.session_buddy(args).cwd(&tree).run().expect_success().json();
    assert_eq!((&first["opened"], &second["opened"]), (&json!(true), &json!(false)));
    assert_eq!(first["session_id"], second["session_id"]);
    assert_eq!(home.sessions(&[])[0]["project"], "shop");
}

#[test]
fn links_are_seen_from_both_sides_and_in_the_session() {
    let home = TestHome::new();
    for project in ["one", "two"] {
        buddy(&home, &["add-message", "--session", project, "x"]).expect_success();
    }
    let find = |project: &str| id(&home.sessions(&["--project", project])[0]);
    let (one, two) = (find("one"), find("two"));
    buddy(&home, &["session", "link", &two, &one, "--kind", "continues"]).expect_success();
    let links = json_of(&home, &["session", "links", &one, "--format", "json"]);
    assert_eq!((&links[0]["relation"], &links[0]["session_id"]), (&json!("continued by"), &json!(two)));
    let shown = buddy(&home, &["get-session", &two]);
    assert!(shown.expect_success().stdout.contains(&format!("continues {one}")), "{shown}");
    buddy(&home, &["session", "link", &one, &one]).expect_code(2).expect_one_clear_line(&["itself"]);
}

#[test]
fn the_seeds_test_result_is_stored_by_the_tool() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let tool = |name: &str, arguments: Value| server.tool(name, arguments)["structuredContent"].clone();
    let opened = tool("add_message", json!({ "session_id": "web", "text": "begin" }));
    let session = opened["session_id"].as_str().unwrap().to_owned();
    let arguments = json!({ "session_id": session, "test_file": "test_auth.py", "result": "passed", "coverage": 95, "duration_ms": 1234 });
    let stored = tool("store_test_result", arguments);
    assert_eq!(stored["stored"], json!(true), "{stored}");
    let brief = tool("resume_context", json!({ "session_id": session, "max_tokens": 500 }));
    assert!(brief["brief"].as_str().unwrap().contains("test_auth.py passed, 95% covered"), "{brief}");
    server.stop();
}
