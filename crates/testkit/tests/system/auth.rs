//! Who may call: bad tokens by every door, scopes, and the audit log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock, Timestamp};
use oneiric::secret::Secret;
use oneiric::token::{Algorithm, Claims, MAX_TOKEN_BYTES, Scope, mint, mint_with};
use serde_json::{Value, json};
use testkit::http::{self, Answer};
use testkit::mcp::{self, Revision};
use testkit::{Server, TestHome};

use crate::sample::{at, session_start};

const SECRET: &str = "pC4vN8qLr2Zx7TtYw9Kd3Hs6Bf1Gj5Me0Ua";
const HOUR: Duration = Duration::from_secs(3600);

fn guarded() -> TestHome {
    TestHome::new().with_var("SESSION_BUDDY_SECRET", SECRET)
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn claims(scopes: &[Scope]) -> Claims {
    Claims::new("ada", "mahavishnu", "session-buddy", scopes)
}

fn good(scopes: &[Scope]) -> String {
    mint(&Secret::new(SECRET), &claims(scopes), now(), HOUR).unwrap()
}

/// Every way in which a token can be bad, and a word of the reason.
fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let secret = Secret::new(SECRET);
    let from = |claims: &Claims, at: Timestamp| mint(&secret, claims, at, HOUR).unwrap();
    let all = claims(&Scope::ALL);
    let token = good(&Scope::ALL);
    let part = |index: usize| token.split('.').nth(index).unwrap().to_owned();
    let mut tampered = part(1);
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'B' } else { 'A' });
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", part(1));
    let rsa = format!("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}", part(1), part(2));
    vec![
        ("nonsense", "invalid".into(), "malformed"),
        ("no signature", format!("{}.{}.", part(0), part(1)), "token"),
        ("algorithm none", none, "algorithm"),
        ("public-key algorithm", rsa, "algorithm"),
        (
            "another secret",
            mint(&Secret::new("another-secret-another-secret-42"), &all, now(), HOUR).unwrap(),
            "signature",
        ),
        ("tampered claims", format!("{}.{tampered}.{}", part(0), part(2)), "token"),
        ("expired", from(&all, now().minus(2 * HOUR)), "expired"),
        ("made in the future", from(&all, now().plus(HOUR)), "not valid yet"),
        ("another audience", from(&Claims { aud: "akosha".into(), ..all.clone() }, now()), "audience"),
        ("another issuer", from(&Claims { iss: "stranger".into(), ..all.clone() }, now()), "issuer"),
        ("no subject", from(&Claims { sub: String::new(), ..all }, now()), "sub"),
        ("oversized", "a".repeat(MAX_TOKEN_BYTES + 1), "too long"),
    ]
}

fn rest(port: u16, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    http::exchange(port, format!("{request}\r\n").as_bytes()).unwrap()
}

fn post_mcp(port: u16, revision: Revision, message: &Value, authorization: &[&str]) -> Answer {
    let owned = mcp::headers(revision, message);
    let mut headers: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.extend(authorization.iter().map(|value| ("Authorization", *value)));
    http::post(port, "/mcp", &headers, message.to_string().as_bytes()).unwrap()
}

fn audit(home: &TestHome) -> Vec<String> {
    let path = home.session_buddy_home().join("logs/audit.log");
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// One more line, which is a refusal for this reason and holds nothing of the token.
fn expect_one_line(home: &TestHome, before: usize, door: &str, why: &str, token: &str, case: &str) {
    let lines = audit(home);
    assert_eq!(lines.len(), before + 1, "{case}: one line each: {lines:?}");
    let line = &lines[before];
    assert!(line.contains("outcome=denied") && line.contains(&format!("door={door}")), "{case}: {line}");
    assert!(line.contains(why), "{case}: {line}");
    let piece = token.rsplit('.').next().unwrap_or(token);
    assert!(piece.len() < 12 || !line.contains(piece), "{case}: the token stands in {line}");
    assert!(!line.contains(SECRET));
}

fn expect_challenge(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 401, "{case}: {answer:?}");
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{case}: {answer:?}");
}

#[test]
fn every_bad_token_is_refused_by_every_door_with_one_line_each() {
    let home = guarded();
    let server = Server::start(&home);
    for (case, token, why) in bad_tokens() {
        let bearer = format!("Bearer {token}");
        let before = audit(&home).len();
        let answer = rest(server.port(), &[("Authorization", &bearer)]);
        expect_challenge(&answer, case);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{case}");
        assert_eq!(
            (answer.json()["status"].as_u64(), answer.json()["code"].as_str()),
            (Some(401), Some("unauthorized"))
        );
        expect_one_line(&home, before, "rest", why, &token, case);
        for revision in Revision::ALL {
            let call = mcp::tool_call(revision, 1, "list_sessions", json!({}));
            let before = audit(&home).len();
            expect_challenge(&post_mcp(server.port(), revision, &call, &[&bearer]), case);
            expect_one_line(&home, before, "mcp", why, &token, case);
            let call = mcp::tool_call(revision, 1, "list_sessions", json!({ "token": token }));
            expect_challenge(&post_mcp(server.port(), revision, &call, &[]), case);
            expect_one_line(&home, before + 1, "mcp", why, &token, case);
        }
        // An argument on a command line is bounded by the system, so the longest goes by the variable.
        let before = audit(&home).len();
        let finished = home.session_buddy(["list-sessions"]).var("SESSION_BUDDY_TOKEN", &token).run();
        finished.expect_code(1).expect_one_clear_line(&["401 Unauthorized"]);
        expect_one_line(&home, before, "cli", why, &token, case);
    }
    let file = home.session_buddy_home().join("logs/audit.log");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    server.stop();
}

#[test]
fn no_token_and_two_tokens_are_refused_and_health_stays_open() {
    let home = guarded();
    let server = Server::start(&home);
    assert_eq!(server.get("/health").status, 200);
    let bearer = format!("Bearer {}", good(&[Scope::Read]));
    for headers in [
        vec![],
        vec![("Authorization", bearer.as_str()), ("Authorization", bearer.as_str())],
        vec![("Authorization", "Basic YWRhOnB3")],
        vec![("Authorization", "Bearer")],
    ] {
        let before = audit(&home).len();
        expect_challenge(&rest(server.port(), &headers), &format!("{headers:?}"));
        assert_eq!(audit(&home).len(), before + 1, "{headers:?}");
    }
    for path in ["/metrics", "/api/v1/openapi.json", "/api/v1/nothing", "/mcp"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    // Nothing of the body matters before the token is good.
    for body in ["{", "[]", "\u{0}"] {
        let answer =
            http::post(server.port(), "/mcp", &[("Content-Type", "application/json")], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 401, "{body}");
        let answer = http::post(server.port(), "/api/v1/sessions", &[], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 401, "{body}");
    }
    server.stop();
}

#[test]
fn scopes_decide_by_every_door_and_changing_acts_are_written_down() {
    let home = guarded();
    let server = Server::start(&home);
    let reader = format!("Bearer {}", good(&[Scope::Read]));
    let writer = format!("Bearer {}", good(&[Scope::Write]));
    let start = || session_start("scopes", 0);
    for revision in Revision::ALL {
        let call = mcp::tool_call(revision, 1, "track_session_start", start());
        let before = audit(&home).len();
        let refused = post_mcp(server.port(), revision, &call, &[&reader]);
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.header("www-authenticate").unwrap().contains("scope=\"write\""), "{refused:?}");
        let line = audit(&home)[before].clone();
        assert!(
            line.contains("outcome=denied") && line.contains("who=ada") && line.contains("what=track_session_start")
        );
        assert_eq!(post_mcp(server.port(), revision, &call, &[&writer]).status, 200);
        let line = audit(&home)[before + 1].clone();
        assert!(
            line.contains("outcome=allowed") && line.contains("who=ada") && line.contains("from=127.0.0.1:"),
            "{line}"
        );
        let line = audit(&home)[before + 2].clone();
        assert!(line.contains("outcome=done") && line.contains("what=track_session_start"), "{line}");
        let call = mcp::tool_call(revision, 1, "track_session_end", json!({ "session_id": "nobody" }));
        post_mcp(server.port(), revision, &call, &[&writer]);
        let lines = audit(&home).split_off(before + 3);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("outcome=failed") && lines[1].contains("why="), "{lines:?}");
    }
    let body = json!({ "component_name": "curl" }).to_string();
    let post = |token: &str| {
        let headers = [("Content-Type", "application/json"), ("Authorization", token)];
        http::post(server.port(), "/api/v1/sessions", &headers, body.as_bytes()).unwrap()
    };
    let refused = post(&reader);
    assert_eq!((refused.status, refused.json()["scope"].as_str()), (403, Some("write")), "{refused:?}");
    assert_eq!(post(&writer).status, 201);
    assert!(audit(&home).last().unwrap().contains("what=\"POST /api/v1/sessions\""));
    assert_eq!(rest(server.port(), &[("Authorization", &reader)]).status, 200);
    // Reading leaves no line.
    assert!(audit(&home).last().unwrap().contains("what=\"POST /api/v1/sessions\""));
    let token = good(&[Scope::Read]);
    let session = ["add-message", "--session", "curl", "x"];
    home.session_buddy(["list-sessions", "--token", token.as_str()]).run().expect_success();
    let refused = home.session_buddy(session.iter().chain(&["--token", token.as_str()])).run();
    refused.expect_code(1).expect_one_clear_line(&["403", "'write'"]);
    server.stop();
    // Without a server it is the same.
    home.session_buddy(["list-sessions", "--token", token.as_str()]).run().expect_success();
    home.session_buddy(["list-sessions", "--token", "invalid"]).run().expect_code(1);
    home.session_buddy(session.iter().chain(&["--token", token.as_str()])).run().expect_code(1);
}

#[test]
fn a_call_whose_parameters_cannot_be_read_is_not_made_with_lesser_scopes() {
    let home = guarded();
    let server = Server::start(&home);
    let reader = format!("Bearer {}", good(&[Scope::Read]));
    for revision in Revision::ALL {
        for odd in [
            json!({ "io.modelcontextprotocol/protocolVersion": 5 }),
            json!({ "io.modelcontextprotocol/clientInfo": {}, "io.modelcontextprotocol/clientinfo": {} }),
        ] {
            let mut call = mcp::tool_call(revision, 1, "create_backup", json!({}));
            for (name, value) in odd.as_object().unwrap() {
                call["params"]["_meta"][name] = value.clone();
            }
            // One of the names becomes the same as the other only here: a map cannot hold one twice.
            let body = call.to_string().replace("clientinfo", "clientInfo");
            let owned = mcp::headers(revision, &call);
            let mut headers: Vec<(&str, &str)> =
                owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            headers.push(("Authorization", &reader));
            let answer = http::post(server.port(), "/mcp", &headers, body.as_bytes()).unwrap();
            assert_eq!(answer.json()["error"]["code"], -32602, "{body}: {answer:?}");
        }
    }
    assert!(!home.session_buddy_home().join("backups").exists(), "a backup was made for somebody who may only read");
    server.stop();
}

#[test]
fn callers_that_use_the_same_idempotency_key_get_a_session_each() {
    let home = guarded();
    let server = Server::start(&home);
    let make = |subject: &str| {
        let claims = Claims::new(subject, "mahavishnu", "session-buddy", &[Scope::Write]);
        let bearer = format!("Bearer {}", mint(&Secret::new(SECRET), &claims, now(), HOUR).unwrap());
        let headers =
            [("Content-Type", "application/json"), ("Authorization", &bearer), ("Idempotency-Key", "deploy-1")];
        let body = json!({ "component_name": subject }).to_string();
        http::post(server.port(), "/api/v1/sessions", &headers, body.as_bytes()).unwrap().json()["session_id"].clone()
    };
    assert_eq!(make("ada"), make("ada"));
    assert_ne!(make("ada"), make("grace"));
    server.stop();
}

#[test]
fn generated_tokens_open_what_they_say() {
    let home = guarded();
    let server = Server::start(&home);
    let token = |args: &[&str]| {
        let args = ["generate-token"].iter().chain(args);
        home.session_buddy(args).run().expect_success().stdout.trim().to_owned()
    };
    for args in [vec![], vec!["--scopes", "read", "--expires", "5m"], vec!["--scopes", "admin", "--subject", "bo"]] {
        let bearer = format!("Bearer {}", token(&args));
        assert_eq!(rest(server.port(), &[("Authorization", &bearer)]).status, 200, "{args:?}");
    }
    for name in Algorithm::NAMES {
        let algorithm = Algorithm::parse(name).unwrap();
        let token = mint_with(algorithm, &Secret::new(SECRET), &claims(&[Scope::Read]), now(), HOUR).unwrap();
        assert_eq!(rest(server.port(), &[("Authorization", &format!("Bearer {token}"))]).status, 200, "{name}");
    }
    let other = format!("Bearer {}", token(&["--audience", "akosha"]));
    assert_eq!(rest(server.port(), &[("Authorization", &other)]).status, 401);
    for wrong in ["0s", "nonsense", "900d"] {
        home.session_buddy(["generate-token", "--expires", wrong]).run().expect_code(2);
    }
    server.stop();
    home.session_buddy(["generate-token"])
        .without_var("SESSION_BUDDY_SECRET")
        .run()
        .expect_code(3)
        .expect_one_clear_line(&["SESSION_BUDDY_SECRET"]);
    let _ = at(0);
}

#[test]
fn a_commands_token_is_judged_by_what_the_command_does() {
    let home = guarded();
    let id = "by-hand".to_owned();
    home.session_buddy(["session", "start", "--id", &id]).run().expect_success();
    let run = |scopes: &[Scope], args: &[&str]| {
        let token = good(scopes);
        home.session_buddy(args.iter().copied().chain(["--token", &token])).run()
    };
    run(&[Scope::Read], &["session", "links", &id]).expect_success();
    run(&[Scope::Read], &["doctor"]).expect_success();
    for args in [&["doctor", "--fix"][..], &["models", "import", "nowhere"], &["session", "end", &id]] {
        run(&[Scope::Read], args).expect_code(1).expect_one_clear_line(&["403", "lacks the scope"]);
    }
    run(&[Scope::Admin], &["doctor", "--fix"]).expect_success();
    // A variable of a script that is empty is no right to everything.
    home.session_buddy(["backup", "create", "--token", ""]).run().expect_code(1).expect_one_clear_line(&["401"]);
    home.session_buddy(["backup", "create"]).run().expect_success();
}
