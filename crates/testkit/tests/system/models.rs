//! Models over the real program: a hub that is slow, lies or hangs, `kill -9` at any moment, damage, one model for another.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::hub::{Hub, Manner};
use testkit::{Chance, Server, TestHome, eventually, model, scan, soon};

/// Rows of the made model's words: weights of about two and a half megabytes.
const ROWS: usize = 20_000;

fn home() -> TestHome {
    TestHome::patient()
        .with_var("SESSION_BUDDY_EMBEDDING_MODEL", "tiny")
        .with_var("SESSION_BUDDY_MODELS__PATIENCE_SECONDS", "1")
}

fn at_hub(hub: &Hub) -> TestHome {
    home().with_var("SESSION_BUDDY_MODELS__HUB_URL", hub.url())
}

const PULL: [&str; 4] = ["models", "pull", "makers/tiny", "--accept-digest"];

fn incoming(home: &TestHome) -> PathBuf {
    home.session_buddy_home().join("models/.incoming-tiny")
}

fn import(home: &TestHome, salt: u64, rows: usize) -> Vec<String> {
    let folder = model::folder(&home.work(), &format!("made-{salt}"), rows, salt);
    ["models", "import", "--name", "tiny", "--accept-digest", &folder.to_string_lossy()].map(str::to_owned).to_vec()
}

fn verified(home: &TestHome) {
    let done = home.session_buddy(["models", "verify"]).run();
    assert!(done.expect_success().stdout.contains("✓ tiny: whole, and it works"), "{done}");
}

fn digest(home: &TestHome) -> String {
    let list = home.session_buddy(["models", "list", "--format", "json"]).run().expect_success().json();
    list["models"][0]["digest"].as_str().unwrap_or_default().to_owned()
}

fn nothing_left(home: &TestHome) {
    let left: Vec<_> = scan::tree(&home.session_buddy_home().join("models"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".incoming-tiny/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_pull_that_was_killed_goes_on_where_it_ended() {
    let hub = Hub::of(model::files(ROWS, 1), Manner::Slowly(20_000));
    let home = at_hub(&hub);
    let part = incoming(&home).join("model.safetensors");
    let mut chance = Chance::printed("kills of a pull");
    let mut had = 0;
    for _ in 0..3 {
        let mut pull = home.session_buddy(PULL).spawn_without_input();
        let enough = had + 50_000 + chance.below(300_000);
        soon("a part of the model", || fs::metadata(&part).is_ok_and(|meta| meta.len() > enough) || pull.has_ended());
        pull.kill();
        had = fs::metadata(&part).unwrap().len();
        assert!(home.session_buddy(["models", "list"]).run().expect_success().stderr.contains("There is no model"));
    }
    hub.behaves(Manner::Well);
    let done = home.session_buddy(PULL).run();
    assert!(done.expect_success().stdout.contains("tiny is in "), "{done}");
    let asked = hub.asked();
    let last = asked.iter().rev().find(|(file, _)| file == "model.safetensors").unwrap();
    assert_eq!(last.1, usize::try_from(had).ok(), "{asked:?}");
    verified(&home);
    nothing_left(&home);
}

#[test]
fn a_hub_that_ends_early_or_falls_silent_is_asked_for_the_rest() {
    for manner in [Manner::EndsAfter(900_000), Manner::SilentAfter(1_500_000), Manner::WithoutRange(500_000)] {
        let hub = Hub::of(model::files(ROWS, 1), manner);
        let home = at_hub(&hub);
        home.session_buddy(PULL).limit(Duration::from_secs(60)).run().expect_success();
        verified(&home);
        let rest = hub.asked().iter().filter(|(_, from)| from.is_some()).count();
        assert_eq!(rest > 0, !matches!(manner, Manner::WithoutRange(_)), "{manner:?}: {:?}", hub.asked());
    }
}

#[test]
fn a_hub_that_hangs_or_lies_is_given_up_with_one_line_and_the_model_that_was_there_stays() {
    let hub = Hub::of(model::files(ROWS, 2), Manner::SilentAfter(0));
    let home = at_hub(&hub);
    home.session_buddy(import(&home, 1, 0)).run().expect_success();
    let before = digest(&home);
    let hung = home.session_buddy(PULL).limit(Duration::from_secs(60)).run();
    hung.expect_code(6).expect_one_clear_line(&["nothing came for 1 s", "models import"]);
    hub.behaves(Manner::EndsAfter(0));
    home.session_buddy(PULL)
        .limit(Duration::from_secs(60))
        .run()
        .expect_code(6)
        .expect_one_clear_line(&["it ended after", "models import"]);
    hub.behaves(Manner::SaysLess);
    let short = home.session_buddy(PULL).run();
    short.expect_code(2).expect_one_clear_line(&["tiny", "bytes"]);
    nothing_left(&home);
    // Under a known name, other bytes are refused.
    hub.behaves(Manner::Well);
    let wrong = home.session_buddy(["models", "pull", "all-MiniLM-L6-v2"]).run();
    wrong.expect_code(2).expect_one_clear_line(&["is not that of all-MiniLM-L6-v2", "--accept-digest"]);
    let missing = home.session_buddy(["models", "pull", "makers/tiny"]).run();
    missing.expect_code(2).expect_one_clear_line(&["not a known model", "--accept-digest"]);
    drop(hub);
    let away = home.session_buddy(PULL).limit(Duration::from_secs(60)).run();
    away.expect_code(6).expect_one_clear_line(&["cannot get", "models import"]);
    assert_eq!(digest(&home), before);
    verified(&home);
}

#[test]
fn an_import_that_was_killed_leaves_the_old_model_or_the_new_one_whole() {
    let home = home();
    let (old, new) = (import(&home, 1, ROWS), import(&home, 2, ROWS));
    home.session_buddy(&old).run().expect_success();
    let first = digest(&home);
    let mut chance = Chance::printed("kills of an import");
    let mut seen = Vec::new();
    for round in 0..10 {
        let mut running = home.session_buddy(if round % 2 == 0 { &new } else { &old }).spawn_without_input();
        // The moment of the kill is the test's input, not a wait for something.
        std::thread::sleep(Duration::from_millis(chance.below(400)));
        running.kill();
        verified(&home);
        seen.push(digest(&home) == first);
    }
    eprintln!("the first model was there after a kill: {seen:?}");
    home.session_buddy(&new).run().expect_success();
    assert_ne!(digest(&home), first);
    nothing_left(&home);
}

#[test]
fn a_damaged_model_is_named_by_every_command_that_meets_it_and_words_are_still_found() {
    let home = home();
    home.session_buddy(import(&home, 1, 0)).run().expect_success();
    let table = home.session_buddy(["models", "list"]).run();
    assert!(table.expect_success().stdout.contains("in use"), "{table}");
    let csv = home.session_buddy(["models", "list", "--format", "csv"]).run();
    assert!(csv.expect_success().stdout.starts_with("name,digest,dimensions,bytes,in_use,problem\ntiny,"), "{csv}");
    home.session_buddy(["add-message", "--session", "notes", "late trains"]).run().expect_success();
    let weights = home.session_buddy_home().join("models/tiny/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    home.session_buddy(["models", "verify"]).run().expect_code(6).expect_one_clear_line(&["changed", "models pull"]);
    bytes.truncate(at);
    fs::write(&weights, bytes).unwrap();
    home.session_buddy(["models", "verify"]).run().expect_code(6).expect_one_clear_line(&["damaged", "models pull"]);
    let found = home.session_buddy(["search", "trains", "--format", "json"]).run();
    assert_eq!(found.expect_success().json()["hits"].as_array().map(Vec::len), Some(1), "{found}");
    home.session_buddy(["models", "verify", "nobody"]).run().expect_code(4).expect_no_internals();
    for wrong in ["/nowhere", "/etc/hostname"] {
        home.session_buddy(["models", "import", wrong]).run().expect_no_internals();
    }
    home.session_buddy(["models", "import", "/nowhere"]).run().expect_code(4).expect_one_clear_line(&["/nowhere"]);
}

/// Events that have vectors of the model that grows, and those that there are.
fn made(server: &Server) -> Option<(u64, u64)> {
    let health = server.tool("health_check", json!({})).to_string();
    let told = health.split("semantic_index: ").nth(1)?;
    let mut numbers = told.split(" of ").map(|part| part.split(' ').next().unwrap_or_default().replace(',', ""));
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn mode(server: &Server) -> Value {
    let found = server.tool("search", json!({ "query": "step in the log", "search_type": "semantic" }));
    assert!(found["structuredContent"]["hits"].as_array().is_some_and(|hits| !hits.is_empty()), "{found}");
    found["structuredContent"]["mode"].clone()
}

#[test]
fn while_vectors_of_a_second_model_grow_the_first_answers_and_kills_cost_nothing_that_was_made() {
    const EVENTS: usize = 3_000;
    let limit = Duration::from_secs(300);
    let home = home();
    home.session_buddy(import(&home, 1, 0)).run().expect_success();
    let server = Server::start(&home);
    let session = server.tool("add_message", json!({ "session_id": "notes", "text": "the first step" }));
    let session = &session["structuredContent"]["session_id"];
    for part in 0..EVENTS / 500 {
        let events: Vec<Value> = (0..500)
            .map(|number| {
                let number = part * 500 + number;
                json!({ "event_id": format!("e{number}"), "event_type": "message", "timestamp": "2026-11-22T18:00:00Z",
                    "data": { "text": format!("step {number} {}", "of the long way to the end ".repeat(8)) } })
            })
            .collect();
        let receipt = server.tool("track_events", json!({ "session_id": session, "events": events }));
        assert_eq!(receipt["structuredContent"]["accepted"], 500, "{receipt}");
    }
    let all_made = |server: &Server| made(server).filter(|(done, all)| *all > EVENTS as u64 && done == all);
    eventually(limit, "vectors of the first model", || all_made(&server));
    server.stop();
    let other = model::folder(&home.work(), "other", 0, 2).to_string_lossy().into_owned();
    home.session_buddy(["models", "import", "--name", "second", "--accept-digest", &other]).run().expect_success();
    let home = home.with_var("SESSION_BUDDY_EMBEDDING_MODEL", "second");
    let mut chance = Chance::printed("kills while vectors grow");
    for _ in 0..5 {
        let server = Server::start(&home);
        assert_eq!(mode(&server), "semantic", "the first model answers");
        // The moment of the kill is the test's input, not a wait for something.
        std::thread::sleep(Duration::from_millis(chance.below(300)));
        server.kill();
    }
    let server = Server::start(&home);
    assert_eq!(mode(&server), "semantic");
    eventually(limit, "vectors of the second model", || all_made(&server));
    assert_eq!(mode(&server), "semantic");
    eventually(limit, "health to name the second model", || {
        server.tool("health_check", json!({})).to_string().contains("second").then_some(())
    });
    server.stop();
}
