//! Sessions that are opened and ended by hand, and figures by the zone of who asks.

use serde_json::{Value, json};
use testkit::{Finished, Server, TestHome, git};

use crate::sample::types;

fn buddy(home: &TestHome, args: &[&str]) -> Finished {
    home.session_buddy(args).run()
}

fn started(home: &TestHome, args: &[&str]) -> String {
    let tree =
        Some(home.work().join("shop")).filter(|tree| tree.is_dir()).unwrap_or_else(|| git::repository(home, "shop"));
    let answer = home.session_buddy([&["session", "start", "--json"], args].concat()).cwd(tree).run();
    answer.expect_success().json()["session_id"].as_str().unwrap().to_owned()
}

fn session(home: &TestHome, id: &str) -> Value {
    buddy(home, &["get-session", id, "--format", "json"]).expect_success().json()
}

#[test]
fn a_session_is_opened_and_ended_by_hand_with_a_server_and_without() {
    let home = TestHome::new();
    for served in [false, true] {
        let server = served.then(|| Server::start(&home));
        for (status, stored, reason) in
            [("completed", "ended", "completed"), ("failed", "failed", "exit"), ("cancelled", "ended", "cancelled")]
        {
            let id = started(&home, &["--note", "what for"]);
            let open = session(&home, &id);
            assert_eq!((&open["status"], &open["session_type"]), (&json!("active"), &json!("manual")), "{open}");
            assert_eq!((&open["project"], &open["component"]), (&json!("shop"), &json!("session-buddy")));
            let beginning = &id[..id.len() - 1];
            let end = ["session", "end", beginning, "--status", status, "--note", "why it ended"];
            assert_eq!(buddy(&home, &end).expect_success().stdout, format!("Session {id} ended\n"));
            assert_eq!(session(&home, &id)["status"], stored);
            let brief = buddy(&home, &["resume", &id]);
            let brief = &brief.expect_success().stdout;
            assert!(brief.contains("Purpose: what for [") && brief.contains(": why it ended ["), "{brief}");
            let events = home.events(&id);
            assert_eq!(types(&events), ["session_start", "session_end"]);
            assert_eq!(
                (&events[1]["data"]["reason"], &events[1]["data"]["note"]),
                (&json!(reason), &json!("why it ended"))
            );
            let again = buddy(&home, &end);
            assert_eq!(again.expect_success().stdout, format!("Session {id} had ended already\n"));
            assert_eq!(home.events(&id).len(), 2);
        }
        if let Some(server) = server {
            server.stop();
        }
    }
}

#[test]
fn what_cannot_be_opened_or_ended_by_hand_says_why() {
    let home = TestHome::new();
    let id = started(&home, &["--id", "release-42", "--project", "engine", "--component", "make"]);
    assert_eq!((id.as_str(), &session(&home, &id)["project"]), ("release-42", &json!("engine")));
    buddy(&home, &["session", "start", "--id", "release-42"])
        .expect_code(5)
        .expect_one_clear_line(&["release-42", "exists"]);
    assert_eq!(home.events(&id).len(), 1);
    buddy(&home, &["session", "start", "--id", "a b"]).expect_code(2).expect_one_clear_line(&["--id"]);
    buddy(&home, &["session", "start", "--component", "a b"]).expect_code(2).expect_one_clear_line(&["--component"]);
    buddy(&home, &["session", "end", "nothing-like-it"]).expect_code(4).expect_one_clear_line(&["nothing-like-it"]);
    buddy(&home, &["session", "end", &id, "--status", "asleep"]).expect_code(2);
}

#[test]
fn days_are_those_of_the_reader_unless_another_zone_is_asked_for() {
    let home = TestHome::new();
    started(&home, &[]);
    let asked = |zone: Option<&str>, var: &str| {
        let mut args = vec!["analytics", "sessions", "--format", "json"];
        args.extend(zone.iter().flat_map(|zone| ["--timezone", zone]));
        home.session_buddy(args).var("TZ", var).run().expect_success().json()
    };
    // Fourteen hours ahead and ten behind, by rules that need no table of names: never the same day as each other.
    let (ahead, behind) = (asked(Some("XXX-14"), "UTC"), asked(Some("XXX+10"), "UTC"));
    let busy = |found: &Value| {
        let days = found["by_day"].as_array().unwrap();
        days.iter().find(|day| day["sessions"] == 1).unwrap()["day"].as_str().unwrap().to_owned()
    };
    assert_ne!(busy(&ahead), busy(&behind), "{ahead} {behind}");
    let hours: u64 = ahead["by_hour"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!((ahead["by_hour"].as_array().unwrap().len(), hours), (24, 1));
    assert_eq!(busy(&asked(None, "XXX-14")), busy(&ahead), "the reader's own zone is the default");
    buddy(&home, &["analytics", "--timezone", "Mars/Olympus"]).expect_code(2).expect_one_clear_line(&["Mars/Olympus"]);
    let server = Server::start(&home);
    assert_eq!(busy(&asked(Some("XXX+10"), "UTC")), busy(&behind), "a server answers the same");
    assert_eq!(busy(&asked(None, "XXX-14")), busy(&ahead), "the reader's zone, not the server's");
    let utc = server.get("/api/v1/analytics").json();
    assert_eq!(utc["timezone"], "UTC", "{utc}");
    assert_eq!(server.get("/api/v1/analytics?timezone=Mars").status, 400);
    server.stop();
}
