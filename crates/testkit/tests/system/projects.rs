//! Two projects in one store: what is asked of one says nothing of the other, by any door.

use serde_json::{Value, json};
use testkit::mcp::{self, Revision};
use testkit::{Server, TestHome, git};

use crate::sample::id;

/// Words that only one project's texts hold; both have "deploy".
const WORDS: [(&str, &str); 2] = [("orchard", "quincewood"), ("harbour", "lanternfish")];

/// A home with a session of each project, in a repository of its name, and the ids of both.
fn two_projects() -> (TestHome, [String; 2]) {
    let home = TestHome::new();
    let ids = WORDS.map(|(project, word)| {
        let tree = git::repository(&home, project);
        let opened = home.session_buddy(["session", "start", "--json"]).cwd(&tree).run().expect_success().json();
        let id = id(&opened);
        for text in [format!("deploy of {word} begun"), format!("deploy failed: {word} is out of reach")] {
            home.session_buddy(["add-message", "--session", &id, &text]).run().expect_success();
        }
        let checkpoint = [
            "checkpoint",
            "--session",
            &id,
            "--note",
            &format!("deploy {word} again"),
            "--file",
            &format!("{word}.rs"),
        ];
        home.session_buddy(checkpoint).cwd(&tree).run().expect_success();
        let tested = ["store-test-result", "--session", &id, "--result", "failed", &format!("tests/{word}.rs")];
        home.session_buddy(tested).run().expect_success();
        id
    });
    (home, ids)
}

/// `text` tells of the project `own` of [`WORDS`], and of the other nothing.
fn expect_own(text: &str, own: usize, what: &str) {
    let (other, word) = WORDS[1 - own];
    assert!(text.contains(WORDS[own].1), "{what} tells nothing of its own project: {text}");
    assert!(!text.contains(other) && !text.contains(word), "{what} tells of the other project: {text}");
}

fn ask(server: &Server, method: &str, params: Value) -> Value {
    let revision = Revision::V2025_11_25;
    let answer = mcp::post(server.port(), revision, &mcp::request(revision, 1, method, params)).message();
    answer.get("result").cloned().unwrap_or_else(|| panic!("{method}: {answer}"))
}

#[test]
fn briefs_prompts_and_resources_of_one_project_say_nothing_of_another() {
    let (home, ids) = two_projects();
    for with_server in [false, true] {
        let server = with_server.then(|| Server::start(&home));
        for (own, (project, _)) in WORDS.iter().enumerate() {
            let tree = home.work().join(project);
            let named = home.session_buddy(["resume", &ids[own]]).run();
            expect_own(&named.expect_success().stdout, own, "resume by id");
            let here = home.session_buddy(["resume"]).cwd(tree).run();
            expect_own(&here.expect_success().stdout, own, "resume of a directory");
            for kind in ["text", "hybrid"] {
                let search = ["search", "deploy", "--search-type", kind, "--project", project, "--format", "json"];
                let found = home.session_buddy(search).run();
                expect_own(&found.expect_success().stdout, own, "search");
            }
            let Some(server) = &server else { continue };
            let brief = server.tool("resume_context", json!({ "session_id": ids[own], "max_tokens": 4_000 }));
            expect_own(&brief.to_string(), own, "resume_context");
            for prompt in ["resume", "handoff", "review"] {
                for arguments in [json!({ "project": project }), json!({ "session": ids[own] })] {
                    let written = ask(server, "prompts/get", json!({ "name": prompt, "arguments": arguments }));
                    expect_own(&written.to_string(), own, prompt);
                }
            }
            for uri in [format!("session://{}/events", ids[own]), format!("session://{}", ids[own])] {
                let read = ask(server, "resources/read", json!({ "uri": uri })).to_string();
                if uri.ends_with("/events") {
                    expect_own(&read, own, &uri);
                }
                let (other, word) = WORDS[1 - own];
                assert!(read.contains(project) && !read.contains(other) && !read.contains(word), "{uri}: {read}");
            }
            let query = format!("/api/v1/search?query=deploy&search_type=text&project={project}");
            expect_own(&server.get(&query).body, own, "search by REST");
            let listed = server.get(&format!("/api/v1/sessions?project={project}")).body;
            assert!(listed.contains(&ids[own]) && !listed.contains(&ids[1 - own]), "{listed}");
        }
        if let Some(server) = server {
            server.stop();
        }
    }
}

#[test]
fn a_project_that_only_the_other_knows_words_of_finds_nothing() {
    let (home, _) = two_projects();
    let server = Server::start(&home);
    for (own, (project, _)) in WORDS.iter().enumerate() {
        // The word itself, a slip in it, and a part of it: none is looked up among another project's words.
        let word = WORDS[1 - own].1;
        let slip = format!("{}x{}", &word[..3], &word[4..]);
        for query in [word, &slip, &word[2..]] {
            let asked = json!({ "query": query, "search_type": "text", "filters": { "project": project } });
            let found = server.tool("search", asked)["structuredContent"].take();
            assert_eq!(found["hits"], json!([]), "{query} in {project}: {found}");
            assert!(query == word || !found.to_string().contains(word), "{query} in {project}: {found}");
        }
    }
    server.stop();
}
