//! What people see of sessions: ids, worktrees, pipes, file modes.

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::mcp::{self, Revision};
use testkit::{Server, TestHome, git, scan};

use crate::sample::{id, session_start, types};

#[test]
fn an_unknown_session_id_is_told_with_the_nearest_ids_by_every_door() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    for _ in 0..2 {
        home.mahavishnu(["shell", "-c", "exit"]).run().expect_success();
    }
    let known = id(&home.sessions(&[])[0]);
    // One character is wrong.
    let mut wrong = known.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == '0' { '1' } else { '0' });
    for command in ["get-session", "list-events"] {
        let args = if command == "list-events" { vec![command, "--session-id", &wrong] } else { vec![command, &wrong] };
        let done = home.session_buddy(&args).run();
        done.expect_code(4).expect_one_clear_line(&[&format!("Invalid session ID '{wrong}'"), &known]);
    }
    for tool in ["get_session", "list_events"] {
        let result = server.tool(tool, json!({ "session_id": wrong }));
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(result["structuredContent"]["code"], "not_found", "{result}");
        assert!(result["structuredContent"]["message"].as_str().unwrap().starts_with("Invalid session ID"), "{result}");
        assert!(result.to_string().contains(&known), "the nearest id is missing: {result}");
    }
    let end = server.tool(
        "track_session_end",
        json!({ "session_id": wrong, "timestamp": "2026-11-20T12:00:00Z", "event_type": "session_end" }),
    );
    assert_eq!(end["structuredContent"]["status"], "not_found", "{end}");
    server.stop();
    // Without a server the command says the same.
    home.session_buddy(["get-session", &wrong])
        .run()
        .expect_code(4)
        .expect_one_clear_line(&["Invalid session ID", &known]);
}

#[test]
fn a_prefix_is_an_id_when_it_is_unambiguous_and_names_the_candidates_when_not() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    for session in ["alpha-1", "alpha-2", "beta-1"] {
        let mut start = session_start(&format!("start-{session}"), 0);
        start["session_id"] = json!(session);
        let tracked = server.tool("track_session_start", start);
        assert_eq!(tracked["structuredContent"]["session_id"], session, "{tracked}");
    }
    let shown = home.session_buddy(["get-session", "bet", "--format", "json"]).run();
    assert_eq!(shown.expect_success().json()["session_id"], "beta-1");
    let done = home.session_buddy(["get-session", "alpha"]).run();
    assert!(done.code.is_some_and(|code| code == 2 || code == 4 || code == 5), "{done}");
    done.expect_one_clear_line(&["alpha-1", "alpha-2"]);
    assert_eq!(
        home.session_buddy(["get-session", "alpha-1", "--format", "json"]).run().expect_success().json()["session_id"],
        "alpha-1"
    );
}

#[test]
fn two_worktrees_of_one_repository_are_seen_together_and_apart() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let main = git::repository(&home, "billing");
    let other = git::worktree(&home, &main, "billing-hotfix");
    let stranger = git::repository(&home, "storefront");
    std::fs::write(other.join("README.md"), "changed\n").unwrap();
    for dir in [&main, &other, &stranger] {
        home.mahavishnu(["shell", "-c", "exit"]).cwd(dir.clone()).run().expect_success();
    }
    server.expect_all_delivered(&home);
    let by_worktree = |dir: &std::path::Path| -> Value {
        let found = home.sessions(&["--worktree", &dir.to_string_lossy()]);
        assert_eq!(found.len(), 1, "{}: {found:?}", dir.display());
        home.session_buddy(["get-session", &id(&found[0]), "--format", "json"]).run().expect_success().json()
    };
    let (first, second) = (by_worktree(&main), by_worktree(&other));
    assert_eq!(first["metadata"]["git_branch"], "main");
    assert_eq!(second["metadata"]["git_branch"], "billing-hotfix");
    // From either worktree the repository means both.
    for dir in [&main, &other] {
        let together = home.sessions(&["--repository", &dir.to_string_lossy()]);
        assert_eq!(together.len(), 2, "{together:?}");
    }
    assert_eq!(home.sessions(&["--repository", &stranger.to_string_lossy()]).len(), 1);
    assert!(second.to_string().contains("\"dirty\":true"), "{second}");
    assert!(first.to_string().contains("\"dirty\":false"), "{first}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = TestHome::patient();
    let _server = Server::start(&home);
    let input: String = (0..400).map(|number| format!("print({number}, \"{}\")\n", "v".repeat(400))).collect();
    home.mahavishnu(["shell"]).stdin(input).run().expect_success();
    let lines = [
        "session-buddy list-sessions --limit 100",
        "session-buddy list-events --limit 1000 --format json",
        "session-buddy search print --search-type text --limit 100",
        "session-buddy config",
        "mahavishnu config",
        "mahavishnu shell -c 'print(\"y\" * 200000)'",
    ];
    for line in lines {
        let done = home.sh(&format!("{{ {line}; echo \"code $?\" >&2; }} | head -c 1 > /dev/null")).run();
        assert!(done.stderr.contains("code 0"), "{line}: {done}");
        assert_eq!(done.stderr.lines().count(), 1, "{line} complained: {done}");
    }
    home.sh("session-buddy list-sessions --limit 100 | head -1").run().expect_success();
}

#[test]
fn everything_in_the_homes_is_private() {
    let home = TestHome::patient();
    // A generous umask, as servers are often started with.
    home.sh("umask 000; session-buddy start --detach && mahavishnu shell -c 'ps(); sync()'").run().expect_success();
    let input = "ps()\n!true\nexit\n";
    home.sh(&format!("umask 000; printf '{input}' | mahavishnu shell")).run().expect_success();
    home.sh("umask 000; session-buddy mcp stop && mahavishnu shell -c 'ps()' && session-buddy list-sessions")
        .run()
        .expect_success();
    for root in [home.session_buddy_home(), home.mahavishnu_home()] {
        let open = scan::open_to_others(&root);
        assert!(open.is_empty(), "others can touch {open:?}");
    }
}

#[test]
fn output_is_for_machines_when_asked_and_errors_never_mix_with_it() {
    let home = TestHome::patient();
    let _server = Server::start(&home);
    let _ = home.mahavishnu(["shell", "-c", "ps(); 1/0"]).run();
    for args in [["list-sessions", "--format", "json"], ["list-events", "--format", "json"]] {
        let done = home.session_buddy(args).run();
        assert!(done.expect_success().json().is_array(), "{done}");
        assert_eq!(done.stderr, "", "{done}");
    }
    let csv = home.session_buddy(["list-sessions", "--format", "csv"]).run();
    assert_eq!(csv.expect_success().stdout.lines().count(), 2, "{csv}");
    let wrong = home.session_buddy(["list-sessions", "--format", "xml"]).run();
    wrong.expect_code(2);
    assert_eq!(wrong.stdout, "", "{wrong}");
    home.session_buddy(["no-such-command"]).run().expect_code(2);
    home.mahavishnu(["no-such-command"]).run().expect_code(2);
}

#[test]
fn sessions_whose_process_is_gone_are_stale_and_living_ones_are_active() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let mut alive = home.mahavishnu(["shell"]).spawn();
    let mut killed = home.mahavishnu(["shell"]).spawn();
    for shell in [&mut alive, &mut killed] {
        shell.send("print(\"re\" + \"ady\")").unwrap();
        while !shell.next_line(std::time::Duration::from_secs(20)).expect("the shell runs").contains("ready") {}
    }
    testkit::soon("both sessions to be active", || home.sessions(&["--status", "active"]).len() == 2);
    killed.kill();
    testkit::soon("the killed one to be stale", || home.sessions(&["--status", "stale"]).len() == 1);
    assert_eq!(home.sessions(&["--status", "active"]).len(), 1);
    alive.send("exit").unwrap();
    assert!(alive.wait(std::time::Duration::from_secs(10)).success());
    assert_eq!(home.sessions(&["--status", "ended"]).len(), 1);
    server.stop();
}

#[test]
fn a_shell_that_is_told_to_end_takes_its_command_along_and_closes_its_session() {
    for (signal, name, code) in [(Signal::TERM, "SIGTERM", 143), (Signal::HUP, "SIGHUP", 129)] {
        let home = TestHome::patient();
        let server = Server::start(&home);
        // The number makes this command unlike any other on the machine.
        let number = format!("61.{}", home.port());
        let mut shell = home.mahavishnu(["shell", "-c", &format!("!sleep {number}")]).spawn();
        let runs = || home.program("pgrep", ["-f", &format!("^sleep {number}$")]).run().code == Some(0);
        testkit::soon("the command", runs);
        shell.signal(signal);
        let status = shell.wait(std::time::Duration::from_secs(10));
        assert_eq!(status.code(), Some(code), "{signal:?}: {status}");
        testkit::soon("the command's end", || !runs());
        server.expect_all_delivered(&home);
        let session = &home.sessions(&[])[0];
        assert_eq!(session["status"], "ended", "{session}");
        let events = home.events(&id(session));
        assert_eq!(types(&events), ["session_start", "command", "session_end"], "{events:?}");
        assert_eq!(events[2]["data"]["reason"], name, "{events:?}");
        server.stop();
    }
}

#[test]
fn a_command_that_outlives_its_shell_is_known_and_its_outcome_is_not() {
    let home = TestHome::patient();
    let server = Server::start(&home);
    let ready = home.work().join("ready");
    let command = format!("!trap '' TERM INT; touch {}; sleep 8", ready.display());
    let mut shell = home.mahavishnu(["shell", "-c", &command]).spawn();
    testkit::soon("the command", || ready.exists());
    shell.signal(Signal::TERM);
    assert_eq!(shell.wait(std::time::Duration::from_secs(5)).code(), Some(143));
    server.expect_all_delivered(&home);
    let events = home.events(&id(&home.sessions(&[])[0]));
    assert_eq!(types(&events), ["session_start", "command", "session_end"], "{events:?}");
    assert_eq!((&events[1]["data"]["command"], &events[1]["data"]["outcome"]), (&json!(command), &json!("unknown")));
}

#[test]
fn resources_are_listed_once_each_while_sessions_begin() {
    let home = TestHome::new();
    let server = Server::start(&home);
    let begin = |second: u64| {
        let begun = server.tool("track_session_start", session_start(&format!("start-{second}"), second));
        format!("session://{}", begun["structuredContent"]["session_id"].as_str().unwrap())
    };
    let list = |cursor: Option<&str>| {
        let asked = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let revision = Revision::V2025_11_25;
        mcp::post(server.port(), revision, &mcp::request(revision, 1, "resources/list", asked)).message()
    };
    let addresses = |page: &Value| -> Vec<String> {
        let listed = page["result"]["resources"].as_array().unwrap_or_else(|| panic!("{page}"));
        listed.iter().map(|resource| resource["uri"].as_str().unwrap().to_owned()).collect()
    };
    let mut begun: Vec<String> = (0..60).map(begin).collect();
    let first = list(None);
    begin(100);
    let cursor = first["result"]["nextCursor"].as_str().unwrap();
    let second = list(Some(cursor));
    begun.reverse();
    assert_eq!([addresses(&first), addresses(&second)].concat(), begun);
    assert!(second["result"]["nextCursor"].is_null(), "{second}");
    for wrong in ["50", "x", &cursor[1..]] {
        let refused = list(Some(wrong));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("cursor"), "{refused}");
    }
    server.stop();
}
