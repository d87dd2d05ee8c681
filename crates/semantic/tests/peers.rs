//! The hub and Ollama as they are on bad days: a server that answers what a test wants.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use oneiric::clock::{ManualClock, Timestamp};
use oneiric::fault::FaultKind;
use semantic::ollama::Ollama;
use semantic::{Embedder, OllamaSettings, models};

/// Longer than any peer here needs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Request {
    line: String,
    range: Option<usize>,
    body: String,
}

/// What a peer answers: status, further header lines, body; more is promised than sent when the last is true.
type Answer = (u16, String, Vec<u8>, bool);

/// A body after which nothing comes, and the connection stays open.
const STALLED: &[u8] = b"{\"embeddings\":[[1.0,";

/// A peer on a free port; its thread ends with the test's process.
fn peer(answer: impl Fn(&Request) -> Answer + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stalled = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut request = Request { line: String::new(), range: None, body: String::new() };
            if reader.read_line(&mut request.line).unwrap_or(0) == 0 {
                continue;
            }
            let mut length = 0;
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).unwrap_or(0) <= 2 {
                    break;
                }
                let header = header.trim().to_lowercase();
                if let Some(value) = header.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if let Some(value) = header.strip_prefix("range: bytes=") {
                    request.range = value.trim_end_matches('-').parse().ok();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request.body = String::from_utf8(body).unwrap();
            let (status, headers, body, cut) = answer(&request);
            let promised = if cut { body.len() + 100 } else { body.len() };
            let head =
                format!("HTTP/1.1 {status} X\r\n{headers}content-length: {promised}\r\nconnection: close\r\n\r\n");
            // A client that has heard enough hangs up.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            if body == STALLED {
                stalled.push(stream);
            }
        }
    });
    base
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    (200, String::new(), body.into(), false)
}

const TAGS: &str =
    r#"{"models":[{"name":"other:latest","digest":"bb"},{"name":"nomic-embed-text:latest","digest":"0a109f422b47"}]}"#;

fn ollama(base: &str, clock: &Arc<ManualClock>) -> oneiric::fault::Result<Ollama> {
    let settings = OllamaSettings { base_url: base.to_owned(), model: "nomic-embed-text".to_owned() };
    Ollama::open(settings, Arc::clone(clock) as _)
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_micros(0)))
}

/// As many vectors as there are inputs.
fn vectors(body: &str, one: &str) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let count = body["input"].as_array().unwrap().len();
    format!(r#"{{"embeddings":[{}]}}"#, vec![one; count].join(",")).into_bytes()
}

#[test]
fn ollamas_vectors_come_at_length_one_with_the_purpose_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let base = peer(move |request| {
        if request.line.starts_with("GET /api/tags") {
            return ok(TAGS);
        }
        told.lock().unwrap().push(request.body.clone());
        ok(vectors(&request.body, "[3.0, 0.0, 4.0]"))
    });
    let model = ollama(&base, &clock()).unwrap();
    assert_eq!((model.identity().digest.as_str(), model.identity().dimensions), ("0a109f422b47", 3));
    assert_eq!(model.embed(&["one", "two"]).unwrap(), [[0.6, 0.0, 0.8], [0.6, 0.0, 0.8]]);
    model.embed_query("what").unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen[1].contains("search_document: two") && seen[2].contains("search_query: what"));
}

#[test]
fn an_older_ollama_is_asked_text_by_text() {
    let base = peer(|request| match request.line.split(' ').nth(1).unwrap() {
        "/api/tags" => ok(TAGS),
        "/api/embeddings" => ok(r#"{"embedding":[0.0, 2.0]}"#),
        _ => (404, String::new(), b"404 page not found".to_vec(), false),
    });
    let model = ollama(&base, &clock()).unwrap();
    assert_eq!(model.embed(&["one", "two", "three"]).unwrap().len(), 3);
}

#[test]
fn an_ollama_without_the_model_or_without_sense_is_said_in_one_line() {
    let fault = ollama(&peer(|_| ok(r#"{"models":[]}"#)), &clock()).err().unwrap();
    assert_eq!(fault.kind(), FaultKind::NotFound);
    assert_eq!(fault.advice(), Some("get it: ollama pull nomic-embed-text"));
    assert_eq!(ollama("http://127.0.0.1:1", &clock()).err().unwrap().kind(), FaultKind::Unavailable);
    for (bad, cut) in [
        (r#"{"embeddings":[[0.0, 0.0]]}"#, false),
        (r#"{"embeddings":[[NaN, 1.0]]}"#, false),
        (r#"{"embeddings":[[1e60, 1.0]]}"#, false),
        (r#"{"embeddings":[]}"#, false),
        (r#"{"embeddings":[[1.0],[1.0]]}"#, false),
        (r#"{"embeddings":[[1.0, 2.0]"#, true),
        ("<html>", false),
    ] {
        let base = peer(
            move |request| {
                if request.line.contains("tags") { ok(TAGS) } else { (200, String::new(), bad.into(), cut) }
            },
        );
        let fault = ollama(&base, &clock()).err().unwrap();
        assert_eq!(fault.kind(), FaultKind::Unavailable, "{bad}");
        assert!(!fault.to_string().contains('\n'));
    }
}

#[test]
fn a_question_to_an_ollama_that_stalls_is_given_up_and_the_model_loaded_meanwhile() {
    let (tell, told) = std::sync::mpsc::channel();
    let base = peer(move |request| {
        if request.line.contains("tags") {
            return ok(TAGS);
        }
        tell.send(request.body.clone()).unwrap();
        if request.body.contains("search_query") {
            return (200, String::new(), STALLED.to_vec(), true);
        }
        ok(vectors(&request.body, "[1.0, 0.0]"))
    });
    let model = ollama(&base, &clock()).unwrap();
    assert!(told.recv().unwrap().contains("a probe"));
    let fault = model.embed_query("what").unwrap_err();
    assert!(fault.message().contains("in time"), "{fault}");
    assert!(told.recv().unwrap().contains("search_query"));
    assert!(told.recv().unwrap().contains("a probe"), "the model is loaded while nobody waits");
}

#[test]
fn an_ollama_that_fails_is_left_alone_and_asked_again_later() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let base = peer(move |request| {
        if request.line.contains("tags") {
            return ok(TAGS);
        }
        // The first is the probe; then comes a bad time.
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 4.. => ok(vectors(&request.body, "[1.0, 0.0]")),
            _ => (200, String::new(), b"{".to_vec(), true),
        }
    });
    let clock = clock();
    let model = ollama(&base, &clock).unwrap();
    for _ in 0..3 {
        let fault = model.embed_query("x").unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unavailable);
    }
    let before = asked.load(Ordering::SeqCst);
    assert!(model.embed_query("x").unwrap_err().message().contains("asked again in 30 s"));
    assert_eq!(asked.load(Ordering::SeqCst), before, "nothing was asked");
    clock.advance(Duration::from_secs(31));
    assert_eq!(model.embed_query("x").unwrap().len(), 2);
}

const NAN: &[u8] = br#"{"error":"failed to encode response: json: unsupported value: NaN"}"#;

#[test]
fn a_text_that_ollama_refuses_costs_no_other_text_its_vector_and_no_question_its_answer() {
    let refusing = |refused: &'static str| {
        peer(move |request| match request {
            request if request.line.contains("tags") => ok(TAGS),
            request if request.body.contains(refused) => (500, String::new(), NAN.to_vec(), false),
            request => ok(vectors(&request.body, "[1.0, 0.0]")),
        })
    };
    let model = ollama(&refusing("poison"), &clock()).unwrap();
    let texts = ["one", "two", "poison", "four", "five", "poisonous", "seven"];
    for _ in 0..3 {
        let each = model.embed_each(&texts).unwrap();
        let refused: Vec<&str> =
            texts.iter().zip(&each).filter(|(_, each)| each.is_err()).map(|(text, _)| *text).collect();
        assert_eq!(refused, ["poison", "poisonous"]);
        assert!(each[2].as_ref().unwrap_err().contains("unsupported value: NaN"));
        assert!(model.embed_query("poison").is_err());
    }
    assert_eq!(model.embed_query("what").unwrap().len(), 2);

    // Whatever else is refused: the model is what does not work.
    let model = ollama(&refusing("document: o"), &clock()).unwrap();
    assert!(model.embed_each(&["one"]).unwrap()[0].is_err());
    let asked = Arc::new(AtomicUsize::new(0));
    let base = peer(move |request| {
        if request.line.contains("tags") {
            return ok(TAGS);
        }
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => ok(vectors(&request.body, "[1.0, 0.0]")),
            _ => (500, String::new(), br#"{"error":"out of memory"}"#.to_vec(), false),
        }
    });
    let fault = ollama(&base, &clock()).unwrap().embed_each(&["one", "two"]).unwrap_err();
    assert!(fault.message().contains("out of memory"), "{fault}");
}

#[test]
fn a_download_goes_on_where_it_ended_and_a_wrong_file_is_thrown_away() {
    let hits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&hits);
    let hub = peer(move |request| {
        seen.lock().unwrap().push((request.line.split(' ').nth(1).unwrap().to_owned(), request.range));
        let whole = b"0123456789".to_vec();
        if request.line.contains("config") {
            return (404, String::new(), Vec::new(), false);
        }
        match request.range {
            None if request.line.contains("safetensors") => (200, String::new(), whole[..4].to_vec(), true),
            None => ok(whole),
            Some(from) => (206, format!("content-range: bytes {from}-9/10\r\n"), whole[from..].to_vec(), false),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let fault = models::pull(folder.path(), "all-MiniLM-L6-v2", &hub, false, PATIENCE, &mut |_, _, _| ()).unwrap_err();
    assert!(fault.message().contains("is not that of all-MiniLM-L6-v2"), "{fault}");
    let hits = hits.lock().unwrap();
    let path = "/sentence-transformers/all-MiniLM-L6-v2/resolve/main/model.safetensors".to_owned();
    assert!(hits.contains(&(path.clone(), None)) && hits.contains(&(path, Some(4))), "{hits:?}");
    assert!(models::list(folder.path()).is_empty());
    assert!(!folder.path().join(".incoming-all-MiniLM-L6-v2").exists());
}

#[test]
fn an_unknown_model_is_not_asked_for_and_a_hub_that_is_away_names_another_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut quiet = |_: &str, _: u64, _: u64| ();
    for name in ["all-mini", "some/model", "../x", "a/../b"] {
        let fault = models::pull(folder.path(), name, "http://127.0.0.1:1", false, PATIENCE, &mut quiet).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::User, "{name}: {fault}");
    }
    let fault =
        models::pull(folder.path(), "all-MiniLM-L6-v2", "http://127.0.0.1:1", false, PATIENCE, &mut quiet).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.advice().unwrap().contains("models import"));
}
