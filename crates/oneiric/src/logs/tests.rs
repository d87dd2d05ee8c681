#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use regex::Regex;
use tracing::subscriber::with_default;
use tracing::{debug, error, info, info_span, warn};

use super::*;
use crate::clock::{ManualClock, Timestamp};

struct Place {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-11-22T12:00:00Z").unwrap()));
        Self { dir: tempfile::tempdir().unwrap(), clock }
    }

    fn config(&self) -> LogConfig {
        LogConfig { clock: self.clock.clone(), ..LogConfig::new("app", Some(self.dir.path().join("logs"))) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("logs/app.log")
    }

    fn log(&self, config: LogConfig, what: impl FnOnce()) -> String {
        let (subscriber, guard) = subscriber(config);
        with_default(subscriber, what);
        assert_eq!(guard.problem(), None);
        fs::read_to_string(self.path()).unwrap_or_default()
    }
}

#[test]
fn a_line_has_time_level_target_message_and_fields() {
    let place = Place::new();
    let text = place.log(place.config(), || {
        info!(session_id = "abc123", count = 3, ok = true, path = "/a b", "session \"started\"\nnow");
        debug!("too fine");
    });
    assert_eq!(
        text,
        "time=2026-11-22T12:00:00.000000Z level=INFO target=oneiric::logs::tests msg=\"session \\\"started\\\"\\nnow\" \
         session_id=abc123 count=3 ok=true path=\"/a b\"\n"
    );
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn fields_of_the_spans_around_an_event_are_on_its_line() {
    let place = Place::new();
    let text = place.log(place.config(), || {
        info_span!("session", session_id = "abc123").in_scope(|| warn!(step = 1, "slow"));
    });
    assert!(text.ends_with("msg=\"slow\" session_id=abc123 step=1\n"), "{text}");
}

#[test]
fn json_lines_hold_the_same() {
    let place = Place::new();
    let text =
        place.log(LogConfig { format: Format::Json, ..place.config() }, || info!(session_id = "abc123", "started"));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (line["session_id"].as_str(), line["msg"].as_str(), line["level"].as_str()),
        (Some("abc123"), Some("started"), Some("INFO"))
    );
}

#[test]
fn secrets_never_reach_the_file() {
    for format in [Format::Logfmt, Format::Json] {
        let place = Place::new();
        let text = place.log(LogConfig { format, ..place.config() }, || {
            info!(password = "hunter2", url = "postgres://ada:hunter2@h/x", "ran mysql -phunter2");
            info_span!("x", api_key = "hunter2").in_scope(|| error!("Authorization: Bearer hunter2"));
        });
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("[redacted:password]"), "{text}");
    }
}

/// Keeps the readable form of the last event.
struct Readable(Arc<std::sync::Mutex<String>>);

impl<S: Subscriber> Layer<S> for Readable {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        *self.0.lock().unwrap() = fields.readable(event.metadata());
    }
}

#[test]
fn a_readable_line_is_level_message_and_fields_and_cannot_steer_the_terminal() {
    let last = Arc::new(std::sync::Mutex::new(String::new()));
    with_default(tracing_subscriber::registry().with(Readable(last.clone())), || {
        info!("Ready to accept connections");
        assert_eq!(*last.lock().unwrap(), "[INFO] Ready to accept connections\n");
        warn!(port = 8678, why = "in use", "cannot listen\u{1b}[2J");
        assert_eq!(*last.lock().unwrap(), "[WARN] cannot listen\u{fffd}[2J port=8678 why=\"in use\"\n");
    });
}

#[test]
fn without_a_directory_there_is_no_file_and_levels_are_those_of_the_terminal() {
    let place = Place::new();
    let (subscriber, guard) = subscriber(LogConfig { dir: None, stderr: Some(LevelFilter::WARN), ..place.config() });
    assert_eq!(guard.path(), None);
    with_default(subscriber, || {
        assert!(tracing::enabled!(tracing::Level::WARN));
        assert!(!tracing::enabled!(tracing::Level::INFO));
    });
}

#[test]
fn a_file_that_somebody_else_moved_away_is_begun_anew() {
    let place = Place::new();
    let text = place.log(place.config(), || {
        info!("one");
        fs::rename(place.path(), place.path().with_extension("old")).unwrap();
        info!("two");
    });
    assert!(text.contains("\"two\"") && !text.contains("\"one\""), "{text}");
}

#[test]
fn a_full_file_is_rotated_and_only_so_many_are_kept() {
    let place = Place::new();
    let config = LogConfig { max_bytes: 300, keep: 2, ..place.config() };
    place.log(config, || (0..20).for_each(|number| info!(number, "some words to fill the file with")));
    let names: Vec<bool> = ["app.log", "app.log.1", "app.log.2", "app.log.3"]
        .iter()
        .map(|name| place.path().with_file_name(name).exists())
        .collect();
    assert_eq!(names, [true, true, true, false]);
    let lines = read(&place.path(), &Filter::default()).unwrap();
    let numbers: Vec<&str> = lines.iter().map(|line| line.rsplit('=').next().unwrap()).collect();
    assert_eq!(numbers, ["14", "15", "16", "17", "18", "19"]);
}

#[test]
fn several_writers_of_one_file_lose_no_line_and_mix_none() {
    let place = Place::new();
    let config = LogConfig { max_bytes: 20_000, keep: 50, ..place.config() };
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let config = config.clone();
            scope.spawn(move || {
                let (subscriber, _guard) = subscriber(config);
                with_default(subscriber, || {
                    (0..250).for_each(|number| info!(writer, number, "a line of one of several writers"))
                });
            });
        }
    });
    let lines = read(&place.path(), &Filter::default()).unwrap();
    assert_eq!(lines.len(), 1000);
    let mut seen: Vec<&str> = lines.iter().map(|line| line.split_once("writer=").unwrap().1).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
}

#[test]
fn a_log_that_cannot_be_written_is_a_remark_and_no_failure() {
    let place = Place::new();
    fs::write(place.dir.path().join("logs"), "in the way").unwrap();
    let (subscriber, guard) = subscriber(place.config());
    with_default(subscriber, || info!("lost"));
    assert!(guard.problem().unwrap().contains("cannot write"));
}

#[test]
fn lines_are_read_by_level_age_pattern_and_number() {
    let place = Place::new();
    place.log(place.config(), || {
        info!("one");
        place.clock.advance(Duration::from_secs(3600));
        error!("two level=INFO");
        place.clock.advance(Duration::from_secs(3600));
        info!("three");
        warn!("four");
    });
    let messages = |filter: Filter| -> Vec<String> {
        let lines = read(&place.path(), &filter).unwrap();
        lines.iter().map(|line| line.split_once("msg=").unwrap().1.to_owned()).collect()
    };
    let level = |level| Filter { level: parse_level(level), ..Filter::default() };
    assert_eq!(messages(level("ERROR")), ["\"two level=INFO\""]);
    assert_eq!(messages(level("warning")).len(), 2);
    let now = Timestamp::parse("2026-11-22T14:00:00Z").unwrap();
    let since = Filter { since: crate::moment::parse("90m", now).ok(), ..Filter::default() };
    assert_eq!(messages(since).len(), 3);
    assert_eq!(messages(Filter { grep: Some(Regex::new("\"(one|four)\"").unwrap()), ..Filter::default() }).len(), 2);
    assert_eq!(messages(Filter { limit: Some(2), ..Filter::default() }), ["\"three\"", "\"four\""]);
    assert_eq!(read(&place.path().with_file_name("absent.log"), &Filter::default()).unwrap(), Vec::<String>::new());
}

#[test]
fn following_goes_on_through_rotation_and_waits_for_whole_lines() {
    let place = Place::new();
    let path = place.path();
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut follow = Follow::from_end(&path, Filter::default());
    assert_eq!(follow.poll().unwrap(), Vec::<String>::new());
    fs::write(&path, "a\nb").unwrap();
    assert_eq!(follow.poll().unwrap(), ["a"]);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"c\nd\n").unwrap();
    fs::rename(&path, path.with_extension("log.1")).unwrap();
    fs::write(&path, "e\n").unwrap();
    assert_eq!(follow.poll().unwrap(), ["bc", "d", "e"]);
    fs::write(&path, "").unwrap();
    assert_eq!(follow.poll().unwrap(), Vec::<String>::new());
    fs::write(&path, "f\n").unwrap();
    assert_eq!(follow.poll().unwrap(), ["f"]);
}

#[test]
fn a_typed_filter_names_the_part_that_is_not_understood() {
    let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
    let filter = Filter::typed(Some("error"), Some("24h"), Some("a+"), 0, now).unwrap();
    assert_eq!((filter.since, filter.limit), (Timestamp::parse("2026-11-21T12:00:00Z"), None));
    assert!(Filter::typed(None, None, Some("("), 5, now).unwrap_err().to_string().contains("--grep"));
    let refused = Filter::typed(None, Some("soon"), None, 5, now).unwrap_err();
    assert!(refused.message().starts_with("--since: ") && refused.message().contains("soon"), "{refused}");
    assert!(refused.advice().is_some(), "{refused}");
}

#[test]
fn lines_are_read_again_for_people_whatever_stands_in_them() {
    let read = |line: &str| readable(line).unwrap_or_else(|| panic!("{line}"));
    let line = "time=2026-11-22T10:00:00.000000Z level=WARN target=a::b msg=\"it \\\"broke\\\"\\n= x\" kind=user path=\"a b\"\n";
    let told = read(line);
    assert_eq!((told.level.as_str(), told.message.as_str()), ("WARN", "it \"broke\"\n= x"));
    assert_eq!(told.fields, ["kind=user", "path=\"a b\""]);
    let json =
        r#"{"kind":"user","level":"WARN","msg":"it broke","target":"a::b","time":"2026-11-22T10:00:00.000000Z"}"#;
    let told = read(json);
    assert_eq!((told.message.as_str(), told.fields), ("it broke", vec!["kind=\"user\"".to_owned()]));
    for nothing in ["", "x", "level=INFO msg=\"no time\"", "{", "time=now level=INFO msg=\"x\"", "a=\"", "=\"\\"] {
        assert_eq!(readable(nothing), None, "{nothing}");
    }
}
