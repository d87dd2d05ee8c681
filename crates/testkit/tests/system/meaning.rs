//! Search by meaning with the real model: vectors made in the background, kills at any moment, a damaged file.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Server, TestHome, eventually};

/// Events that are stored before vectors are made of them.
const EVENTS: usize = 240;
/// Time for all vectors on a busy machine.
const ALL_MADE: Duration = Duration::from_secs(180);

/// A home with the model in it; `None`, said aloud, where there is no model to import.
fn home_with_model() -> Option<TestHome> {
    let Some(source) = std::env::var_os("TESTKIT_MODEL").map(PathBuf::from) else {
        assert!(std::env::var_os("CI").is_none(), "TESTKIT_MODEL is not set: scripts/test gets the model and sets it");
        eprintln!("SKIPPED: TESTKIT_MODEL is not set, so nothing was tested over the real model");
        return None;
    };
    let home = TestHome::new();
    let source = source.to_string_lossy().into_owned();
    home.session_buddy(["models", "import", &source]).run().expect_success();
    Some(home)
}

fn fill(server: &Server, events: usize) {
    let subjects = ["the login form", "a database index", "the release notes", "an image decoder", "the payment queue"];
    let session =
        server.tool("add_message", json!({ "session_id": "notes", "text": "the cat sleeps on the warm roof" }));
    let session = &session["structuredContent"]["session_id"];
    assert!(session.is_string(), "{session}");
    let events: Vec<Value> = (0..events)
        .map(|number| {
            let text = format!("step {number}: look at {} and write down what happened there", subjects[number % 5]);
            json!({
                "event_id": format!("e-{number}"), "event_type": "message",
                "timestamp": "2026-11-22T18:00:00Z", "data": { "text": text },
            })
        })
        .collect();
    let receipt = server.tool("track_events", json!({ "session_id": session, "events": events }));
    assert_eq!(receipt["structuredContent"]["accepted"], events.len(), "{receipt}");
}

/// Events that have vectors, and those that there are, as health tells.
fn progress(server: &Server) -> Option<(u64, u64)> {
    let health = server.tool("health_check", json!({})).to_string();
    let told = health.split("semantic_index: ").nth(1)?;
    let mut numbers = told.split(" of ").map(|part| part.split(' ').next().unwrap_or_default().replace(',', ""));
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn expect_complete(server: &Server) {
    eventually(ALL_MADE, "all vectors to be made", || {
        progress(server).filter(|(done, all)| *all > EVENTS as u64 && done == all)
    });
}

fn best(server: &Server, query: &str, search_type: &str) -> (String, String) {
    let answer = server.tool("search", json!({ "query": query, "search_type": search_type }));
    let answer = &answer["structuredContent"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&answer["mode"]), text(&answer["hits"][0]["excerpt"]))
}

#[test]
fn vectors_survive_kills_at_any_moment_and_a_damaged_file_is_made_again() {
    let Some(home) = home_with_model() else { return };
    let server = Server::start(&home);
    fill(&server, EVENTS);
    let mut seen = 0;
    let mut server = Some(server);
    for kill in 0..6_u64 {
        let running = server.take().unwrap_or_else(|| Server::start(&home));
        let more = eventually(ALL_MADE, "some more vectors", || {
            progress(&running).map(|(done, _)| done).filter(|done| *done > seen || *done > EVENTS as u64)
        });
        assert!(more >= seen, "{more} after {seen}: what was made is kept");
        seen = more;
        // The moment of the kill is the test's input, not a wait for something.
        std::thread::sleep(Duration::from_millis(37 * kill));
        running.kill();
    }
    let server = Server::start(&home);
    expect_complete(&server);
    let cat = "a pet dozing on top of the house";
    assert_eq!(best(&server, cat, "semantic"), ("semantic".into(), "the cat sleeps on the warm roof".into()));
    assert_eq!(best(&server, cat, "hybrid"), ("hybrid".into(), "the cat sleeps on the warm roof".into()));
    assert_eq!(best(&server, "cat", "text").0, "text");
    server.stop();

    // Without a server, a command asks the same vectors.
    let found = home.session_buddy(["search", cat, "--format", "json"]).run().json();
    assert_eq!(
        (&found["mode"], &found["hits"][0]["excerpt"]),
        (&json!("hybrid"), &json!("the cat sleeps on the warm roof"))
    );

    let file = home.session_buddy_home().join("vectors.db");
    // Newer pages may stand in the log: it is part of what is damaged.
    for log in ["vectors.db-wal", "vectors.db-shm"] {
        let _ = std::fs::remove_file(file.with_file_name(log));
    }
    let length = std::fs::metadata(&file).unwrap().len();
    let opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    opened.write_all_at(&vec![0xa5; length as usize / 2], length / 4).unwrap();
    drop(opened);
    let server = Server::start(&home);
    expect_complete(&server);
    assert!(server.tool("health_check", json!({})).to_string().contains("made again"));
    assert_eq!(best(&server, cat, "semantic").1, "the cat sleeps on the warm roof");
    server.stop();
}

#[test]
fn without_a_model_text_search_answers_and_names_the_command_that_mends_it() {
    let home = TestHome::new();
    home.session_buddy(["add-message", "--session", "notes", "late trains"]).run().expect_success();
    let found = home.session_buddy(["search", "trains", "--format", "json"]).run().json();
    assert_eq!(found["mode"], "text");
    assert!(found["note"].as_str().unwrap().contains("session-buddy models pull"), "{found}");
    assert!(!home.session_buddy_home().join("vectors.db").exists());
}
