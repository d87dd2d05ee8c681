//! Search by meaning with a model that Ollama runs, on its good and its bad days.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::ollama::{Manner, Ollama};
use testkit::{Server, TestHome, eventually, http};

/// Time for vectors on a busy machine, also when the server has to wait before it tries again.
const MADE: Duration = Duration::from_secs(90);

fn tell(server: &Server, session: &str, texts: &[&str]) {
    let opened = server.tool("add_message", json!({ "session_id": session, "text": format!("{session} begins") }));
    let session_id = &opened["structuredContent"]["session_id"];
    let event = |(number, text): (usize, &&str)| {
        json!({
            "event_id": format!("{session}.{number}"), "event_type": "message",
            "timestamp": "2026-11-22T18:00:00Z", "data": { "text": text },
        })
    };
    let events: Vec<Value> = texts.iter().enumerate().map(event).collect();
    let receipt = server.tool("track_events", json!({ "session_id": session_id, "events": events }));
    assert_eq!(receipt["structuredContent"]["accepted"], texts.len(), "{receipt}");
}

fn search(server: &Server, arguments: &Value) -> Value {
    server.tool("search", arguments.clone())["structuredContent"].clone()
}

/// The report's line of this name.
fn line(server: &Server, name: &str) -> Option<String> {
    let health = server.tool("health_check", json!({}));
    let parts = health["structuredContent"]["parts"].as_array().cloned().unwrap_or_default();
    let part = parts.into_iter().find(|part| part["name"] == name)?;
    Some(format!("{} ({})", part["word"].as_str()?, part["fact"].as_str()?))
}

/// The line about vectors, once they are complete and it says `what`.
fn complete(server: &Server, what: &str) -> String {
    eventually(MADE, &format!("all vectors, and {what:?}"), || {
        line(server, "Semantic index").filter(|line| line.starts_with("complete") && line.contains(what))
    })
}

fn remove_vectors(home: &TestHome) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.session_buddy_home().join(format!("vectors.db{end}")));
    }
}

#[test]
fn an_event_that_ollama_refuses_takes_meaning_from_no_other_event_and_from_no_search() {
    let ollama = Ollama::start(Manner { refuses: Some("poison"), ..Manner::well("one") });
    let home = ollama.home();
    let server = Server::start(&home);
    tell(&server, "fruit", &["first apples", "second bananas"]);
    tell(&server, "snake", &["a poisonous snake"]);
    tell(&server, "tree", &["last mango trees"]);
    complete(&server, "the model refused 1 text, which is found by its words alone");
    // A question with that word is refused like a text, and disturbs no other.
    for _ in 0..4 {
        let found = search(&server, &json!({ "query": "poisonous" }));
        assert_eq!((&found["mode"], &found["hits"][0]["event_id"]), (&json!("text"), &json!("snake.0")), "{found}");
    }
    for (number, query) in ["mangoes", "apples", "bananas"].into_iter().enumerate() {
        let found = search(&server, &json!({ "query": query }));
        assert_eq!(found["mode"], "hybrid", "{number} {found}");
    }
    assert_eq!(search(&server, &json!({ "query": "mango" }))["hits"][0]["event_id"], "tree.0");
    server.stop();
}

#[test]
fn an_ollama_that_does_not_answer_delays_no_report_and_is_no_failure_of_the_database() {
    let ollama = Ollama::start(Manner { silent: true, ..Manner::well("one") });
    let home = ollama.home();
    let mut server = Server::start(&home);
    tell(&server, "fruit", &["first apples"]);
    let off = || line(&server, "Semantic search").filter(|line| line.contains("in time"));
    let told = eventually(MADE, "the look at Ollama", off);
    assert!(told.contains("text search answers meanwhile"), "{told}");
    let asked = ollama.asked();
    let answer = search(&server, &json!({ "query": "apples" }));
    assert_eq!((&answer["mode"], answer["hits"].as_array().map(Vec::len)), (&json!("text"), Some(1)), "{answer}");
    for _ in 0..20 {
        server.expect_healthy("a look while Ollama hangs");
    }
    assert!(ollama.asked() <= asked + 3, "reports and searches ask Ollama nothing themselves");
    ollama.behaves(Manner::well("one"));
    complete(&server, "");
    assert_eq!(search(&server, &json!({ "query": "apples" }))["mode"], "hybrid");
    server.stop();
}

/// Forty events, all with vectors, and a search by meaning of which the answer is the first page; with what asks for the next.
fn two_pages(server: &Server) -> Value {
    let texts: Vec<String> = (0..40).map(|number| format!("fruit number {number}")).collect();
    tell(server, "fruit", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    complete(server, "");
    let first = search(server, &json!({ "query": "fruit", "limit": 8 }));
    assert_eq!(first["mode"], "hybrid", "{first}");
    json!({ "query": "fruit", "limit": 8, "cursor": first["next_cursor"] })
}

#[test]
fn a_page_by_meaning_is_refused_while_ollama_is_away_and_the_same_when_it_is_back() {
    let ollama = Ollama::start(Manner::well("one"));
    let home = ollama.home();
    let server = Server::start(&home);
    let second = two_pages(&server);
    let page = search(&server, &second);
    assert_eq!(page["mode"], "hybrid");
    ollama.behaves(Manner { silent: true, ..Manner::well("one") });
    let refused = || Some(server.tool("search", second.clone())).filter(|answer| answer["isError"] == true);
    let said = eventually(MADE, "a page that cannot be made", refused).to_string();
    assert!(said.contains("found by meaning") && said.contains("without the cursor"), "{said}");
    ollama.behaves(Manner::well("one"));
    let again = || Some(search(&server, &second)).filter(|page| !page["mode"].is_null());
    assert_eq!(eventually(MADE, "the page again", again)["hits"], page["hits"]);
    server.stop();
}

#[test]
fn words_answer_while_a_new_model_sees_everything_and_pages_of_the_earlier_one_are_refused() {
    let ollama = Ollama::start(Manner::well("one"));
    let home = ollama.home();
    let server = Server::start(&home);
    let second = two_pages(&server);
    ollama.behaves(Manner { refuses: Some("number"), ..Manner::well("two") });
    let words = || line(&server, "Semantic index").filter(|line| line.contains("words alone answer meanwhile"));
    eventually(MADE, "the new model to begin", words);
    complete(&server, "the model refused 40 texts");
    let refused = server.tool("search", second).to_string();
    assert!(refused.contains("have been replaced since"), "{refused}");
    server.stop();
}

#[test]
fn vectors_that_are_removed_under_a_running_server_are_made_again() {
    let ollama = Ollama::start(Manner::well("one"));
    let home = ollama.home();
    let server = Server::start(&home);
    tell(&server, "fruit", &["first apples"]);
    complete(&server, "");
    remove_vectors(&home);
    complete(&server, "");
    assert_eq!(search(&server, &json!({ "query": "apples" }))["mode"], "hybrid");
    server.stop();
}

#[test]
fn the_password_of_ollamas_address_is_told_nobody() {
    let mut home = Ollama::start(Manner::well("one")).home();
    home.set_var("SESSION_BUDDY_INTELLIGENCE__OLLAMA_BASE_URL", "http://ada:hunter2hunter@127.0.0.1:9");
    home.set_var("SESSION_BUDDY_MODELS__HUB_URL", "http://ada:hunter2hunter@127.0.0.1:9");
    let server = Server::start(&home);
    tell(&server, "fruit", &["first apples"]);
    let found = search(&server, &json!({ "query": "apples" })).to_string();
    assert!(found.contains("Ollama at http://ada:"), "{found}");
    let health = eventually(MADE, "the look at Ollama", || {
        line(&server, "Semantic search").filter(|line| line.contains("Ollama at"))
    });
    let whole = http::get(server.port(), "/health").map(|answer| answer.body).unwrap_or_default();
    let models = home.session_buddy(["models", "list"]).run();
    let pulled = home.session_buddy(["models", "pull"]).run();
    for told in [found, health, whole, format!("{models:?}"), format!("{pulled:?}")] {
        assert!(!told.contains("hunter2"), "{told}");
    }
    server.stop();
}
