//! The way of an event from a recorder to whoever keeps it, with keepers that answer, refuse, hang and vanish.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneiric::clock::SystemClock;
use oneiric::event::{
    BatchReceipt, CommandData, Environment, Event, EventBatch, EventType, Rejection, SessionStart, UserIdentity,
};
use oneiric::id::{EventId, SessionId};
use oneiric::recorder::{Captured, Outcome, Recorder, RecorderConfig};
use oneiric::redact::Redactor;
use oneiric::spool::{DeliveryError, Entry, EntryKind, EventSink, SpoolFile, depth, drain, orphans};
use proptest::prelude::*;

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Keeps,
    Down,
    Hangs,
    /// Stores, and then the answer gets lost.
    StoresAndDies,
    RejectsMessages,
}

struct Keeper {
    mood: Mutex<Mood>,
    kept: Mutex<BTreeMap<EventId, Event>>,
    calls: AtomicUsize,
}

impl Keeper {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(mood), kept: Mutex::default(), calls: AtomicUsize::new(0) })
    }

    fn types(&self) -> Vec<String> {
        let mut events: Vec<Event> = self.kept.lock().unwrap().values().cloned().collect();
        events.sort_by_key(|event| (event.timestamp, event.sequence));
        events.iter().map(|event| event.event_type.to_string()).collect()
    }
}

impl EventSink for Keeper {
    fn deliver(&self, batch: &EventBatch, limit: Duration) -> Result<BatchReceipt, DeliveryError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Down => return Err(DeliveryError::Unreachable("Connection refused".into())),
            Mood::Hangs => {
                std::thread::sleep(limit);
                return Err(DeliveryError::TimedOut("no answer".into()));
            }
            _ => {}
        }
        let mut receipt = BatchReceipt::default();
        let mut kept = self.kept.lock().unwrap();
        for event in &batch.events {
            if mood == Mood::RejectsMessages && event.event_type.as_str() == EventType::MESSAGE {
                receipt.rejected.push(Rejection { event_id: event.event_id.to_string(), reason: "no messages".into() });
            } else if kept.insert(event.event_id.clone(), event.clone()).is_none() {
                receipt.accepted += 1;
            } else {
                receipt.duplicates += 1;
            }
        }
        if mood == Mood::StoresAndDies { Err(DeliveryError::TimedOut("died".into())) } else { Ok(receipt) }
    }
}

fn config(dir: &Path) -> RecorderConfig {
    RecorderConfig {
        enabled: true,
        spool_dir: dir.join("spool"),
        max_size: 1000,
        flush_interval: Duration::from_secs(5),
        exit_deadline: Duration::from_millis(500),
        checkpoint_interval: Duration::from_secs(60),
        output_cap: 64,
    }
}

fn start() -> SessionStart {
    SessionStart {
        event_version: "1.0".into(),
        component_name: "tester".into(),
        session_type: "admin_shell".into(),
        shell_type: None,
        pid: 1,
        process: None,
        user: UserIdentity { username: "ada".into(), home: "/home/ada".into() },
        hostname: "host".into(),
        environment: Environment { platform: "linux".into(), cwd: "/".into(), python_version: None },
        project: None,
        repository: None,
        metadata: serde_json::Map::new(),
    }
}

fn recorder(config: RecorderConfig, keeper: &Arc<Keeper>) -> Recorder {
    let sink: Arc<dyn EventSink> = Arc::clone(keeper) as Arc<dyn EventSink>;
    Recorder::start(config, start(), sink, Arc::new(SystemClock), Arc::new(Redactor::standard()))
}

fn run(recorder: &Recorder, command: &str) {
    let pending = recorder.begin(command, "expression");
    recorder.finish(pending, done(""));
}

fn done(output: &str) -> Outcome {
    let output = Captured { excerpt: output.into(), total_bytes: output.len() as u64 };
    Outcome { exit_code: Some(0), outcome: "completed", error: None, output, cwd: None }
}

fn drain_into(dir: &Path, keeper: &Arc<Keeper>) -> oneiric::spool::DrainReport {
    drain(&dir.join("spool"), keeper.as_ref(), &SystemClock, Duration::from_secs(10))
}

#[test]
fn a_short_session_is_delivered_in_one_call_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let recorder = recorder(config(dir.path()), &keeper);
    run(&recorder, "ps()");
    let report = recorder.close("exit", "ended", 0);
    assert_eq!((report.pending, report.lost, report.error), (0, 0, None));
    assert_eq!(keeper.types(), ["session_start", "command", "session_end"]);
    assert_eq!(keeper.calls.load(Ordering::SeqCst), 1);
    assert_eq!(depth(&dir.path().join("spool")).files, 0);
}

#[test]
fn no_secret_of_a_session_start_reaches_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let token = ["gh", "p_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    let mut start = start();
    start.environment.cwd = format!("/home/ada/d-{token}");
    start.project = Some(format!("d-{token}"));
    start.metadata.insert("argv".into(), serde_json::json!(["curl", "-u", "ada:Av03pass"]));
    let sink: Arc<dyn EventSink> = Arc::clone(&keeper) as Arc<dyn EventSink>;
    let redactor = Arc::new(Redactor::standard());
    let recorder = Recorder::start(config(dir.path()), start, sink, Arc::new(SystemClock), redactor);
    let files: Vec<_> =
        std::fs::read_dir(dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let spooled: String =
        files.iter().filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(spooled.contains("/home/ada/d-[redacted:github-token]"), "{spooled}");
    assert!(!spooled.contains(&token) && !spooled.contains("Av03pass"), "{spooled}");
    assert!(spooled.contains("\"component_name\":\"tester\"") && spooled.contains("\"hostname\":\"host\""));
    let _ = recorder.close("exit", "ended", 0);
}

#[test]
fn a_session_that_nobody_took_is_delivered_by_the_next_one_who_comes() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Down);
    let recorder = recorder(config(dir.path()), &keeper);
    run(&recorder, "ps()");
    assert!(orphans(&dir.path().join("spool")).is_empty(), "a living session's file is nobody else's");
    let report = recorder.close("exit", "ended", 0);
    assert_eq!((report.pending, report.lost), (3, 0));
    assert!(report.error.unwrap().contains("Connection refused"));
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    let report = drain_into(dir.path(), &keeper);
    assert_eq!((report.sessions, report.events, report.left, report.error), (1, 3, 0, None));
    assert_eq!(keeper.types(), ["session_start", "command", "session_end"]);
    assert_eq!(depth(&dir.path().join("spool")).files, 0);
}

#[test]
fn a_receiver_that_hangs_costs_the_first_exit_its_deadline_and_the_next_ones_almost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Hangs);
    let first = recorder(config(dir.path()), &keeper).close("exit", "ended", 0);
    assert_eq!(first.pending, 2);
    assert!(dir.path().join("spool/.receiver-slow").exists());
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    drain_into(dir.path(), &keeper);
    assert_eq!(keeper.types(), ["session_start", "session_end"]);
    let next = recorder(config(dir.path()), &keeper).close("exit", "ended", 0);
    assert_eq!(next.pending, 0);
    assert!(!dir.path().join("spool/.receiver-slow").exists(), "an answer takes the mark away");
}

#[test]
fn an_answer_that_gets_lost_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::StoresAndDies);
    let recorder = recorder(config(dir.path()), &keeper);
    run(&recorder, "ps()");
    let _ = recorder.close("exit", "ended", 0);
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    let report = drain_into(dir.path(), &keeper);
    assert_eq!((report.events, report.duplicates), (0, 3));
    assert_eq!(keeper.types(), ["session_start", "command", "session_end"]);
}

#[test]
fn a_command_during_which_the_shell_died_is_known_with_unknown_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Down);
    let recorder = recorder(config(dir.path()), &keeper);
    run(&recorder, "ps()");
    let _pending = recorder.begin("!reboot", "system");
    let spool = dir.path().join("spool");
    let file =
        std::fs::read_dir(&spool).unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_some()).unwrap();
    // A copy is what a process leaves behind that dies at this very moment.
    let left = dir.path().join("after/spool");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::copy(&file, left.join(file.file_name().unwrap())).unwrap();
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    let report = drain_into(&dir.path().join("after"), &keeper);
    assert_eq!(report.events, 3);
    let kept = keeper.kept.lock().unwrap();
    let reboot = kept.values().find(|event| event.data.get("command").is_some_and(|c| c == "!reboot")).unwrap();
    let data: CommandData = serde_json::from_value(reboot.data.clone().into()).unwrap();
    assert_eq!((data.outcome.as_str(), data.exit_code), ("unknown", None));
}

#[test]
fn secrets_in_commands_output_and_metadata_never_reach_the_spool() {
    let secret = "ghp_Zx81mQp4T7uLw2Vb9KsY6NcR3dJhFgE5aXo0";
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Down);
    let mut config = config(dir.path());
    config.output_cap = 200;
    let recorder = recorder(config, &keeper);
    let pending = recorder.begin(&format!("!curl -H 'Authorization: Bearer {secret}' x"), "system");
    let mut outcome = done(&format!("{} token {secret}", "x".repeat(180)));
    outcome.error = Some(format!("failed with {secret}"));
    recorder.finish(pending, outcome);
    let mut note = serde_json::Map::new();
    note.insert("text".into(), format!("my key is {secret}").into());
    recorder.record(EventType::known(EventType::MESSAGE), note);
    let _ = recorder.close("exit", "ended", 0);
    for file in std::fs::read_dir(dir.path().join("spool")).unwrap().flatten().filter(|f| f.path().is_file()) {
        let text = String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned();
        assert!(!text.contains(&secret[..12]), "{text}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_damaged_line_goes_to_the_quarantine_and_the_rest_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Down);
    let recorder = recorder(config(dir.path()), &keeper);
    run(&recorder, "first()");
    run(&recorder, "second()");
    let _ = recorder.close("exit", "ended", 0);
    let spool = dir.path().join("spool");
    let file =
        std::fs::read_dir(&spool).unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_some()).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(7).rposition(|window| window == b"first()").unwrap();
    bytes[at] ^= 0x20;
    bytes.extend_from_slice(b"0badcafe {\"torn");
    std::fs::write(&file, &bytes).unwrap();
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    let report = drain_into(dir.path(), &keeper);
    // The begin line of first() is whole, so the command is known, though not how it ended.
    assert_eq!((report.sessions, report.events, report.quarantined.len()), (1, 4, 1));
    let quarantine = std::fs::read_to_string(&report.quarantined[0]).unwrap();
    assert!(quarantine.contains("First()") && quarantine.contains("torn"), "{quarantine}");
    assert_eq!(keeper.types(), ["session_start", "command", "command", "session_end"]);
}

#[test]
fn what_a_keeper_will_never_take_is_kept_in_the_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::RejectsMessages);
    let recorder = recorder(config(dir.path()), &keeper);
    let mut note = serde_json::Map::new();
    note.insert("text".into(), "remember me".into());
    recorder.record(EventType::known(EventType::MESSAGE), note);
    assert_eq!(recorder.sync(Duration::from_secs(5)).pending, 0);
    let warnings = recorder.take_warnings();
    assert!(warnings.iter().any(|line| line.contains("rejected")), "{warnings:?}");
    let _ = recorder.close("exit", "ended", 0);
    let files: Vec<_> = std::fs::read_dir(dir.path().join("spool/quarantine")).unwrap().flatten().collect();
    assert!(std::fs::read_to_string(files[0].path()).unwrap().contains("remember me"));
}

#[test]
fn without_a_writable_spool_events_wait_in_memory_up_to_the_limit_and_the_rest_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spool"), "a file stands in the way").unwrap();
    let keeper = Keeper::new(Mood::Down);
    let mut config = config(dir.path());
    config.max_size = 4;
    let recorder = recorder(config, &keeper);
    for _ in 0..5 {
        run(&recorder, "ps()");
    }
    let stats = recorder.stats();
    assert_eq!((stats.accepted, stats.dropped), (4, 2));
    let warnings = recorder.take_warnings();
    assert!(warnings[0].contains("cannot write the spool"), "{warnings:?}");
    assert!(warnings[1].contains("not recorded"), "{warnings:?}");
    *keeper.mood.lock().unwrap() = Mood::Keeps;
    assert_eq!(recorder.sync(Duration::from_secs(5)).pending, 0);
    assert_eq!(keeper.types(), ["session_start", "command", "command", "command"]);
    assert_eq!(recorder.close("exit", "ended", 0).lost, 0);
}

#[test]
fn a_recorder_that_is_off_writes_and_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let recorder = recorder(RecorderConfig { enabled: false, ..config(dir.path()) }, &keeper);
    run(&recorder, "ps()");
    let _ = recorder.close("exit", "ended", 0);
    assert_eq!(keeper.calls.load(Ordering::SeqCst), 0);
    assert!(!dir.path().join("spool").exists());
}

#[test]
fn a_long_session_delivers_everything_and_keeps_its_file_small() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let mut config = config(dir.path());
    config.max_size = 200;
    let recorder = recorder(config, &keeper);
    for round in 0..10 {
        for number in 0..300 {
            run(&recorder, &format!("step({round}, {number}, \"{}\")", "x".repeat(200)));
        }
        assert_eq!(recorder.sync(Duration::from_secs(10)).pending, 0);
        assert!(depth(&dir.path().join("spool")).bytes < 1024 * 1024);
    }
    let _ = recorder.close("exit", "ended", 0);
    assert_eq!(keeper.types().len(), 3002);
    assert_eq!(depth(&dir.path().join("spool")).files, 0);
}

#[test]
fn a_batch_larger_than_the_window_still_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let mut config = config(dir.path());
    config.output_cap = 8 * 1024 * 1024;
    let recorder = recorder(config, &keeper);
    let pending = recorder.begin("!cat big", "system");
    recorder.finish(pending, done(&"lorem ipsum ".repeat(300_000)));
    run(&recorder, "ps()");
    assert_eq!(recorder.sync(Duration::from_secs(10)).pending, 0);
    let _ = recorder.close("exit", "ended", 0);
    assert_eq!(keeper.types(), ["session_start", "command", "command", "session_end"]);
}

#[test]
fn two_who_drain_at_once_deliver_everything_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let down = Keeper::new(Mood::Down);
    for _ in 0..20 {
        let recorder = recorder(config(dir.path()), &down);
        run(&recorder, "ps()");
        let _ = recorder.close("exit", "ended", 0);
    }
    let keeper = Keeper::new(Mood::Keeps);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drain_into(dir.path(), &keeper));
        }
    });
    assert_eq!(keeper.kept.lock().unwrap().len(), 60);
    assert_eq!(depth(&dir.path().join("spool")).files, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever byte a crash tears the file at, whole lines are delivered and the torn one is kept.
    #[test]
    fn a_file_cut_anywhere_loses_no_whole_line(cut in 0.0_f64..1.0, count in 1_usize..12) {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        let id = SessionId::parse("cut").unwrap();
        let mut file = SpoolFile::create(&spool, &id).unwrap();
        let mut ends = vec![];
        for number in 0..count {
            let event = Event {
                event_id: EventId::parse(format!("e{number}")).unwrap(),
                event_type: EventType::known(EventType::MESSAGE),
                timestamp: oneiric::clock::Timestamp::from_micros(0),
                sequence: Some(number as u64),
                data: serde_json::Map::new(),
            };
            file.append(&Entry { kind: EntryKind::Event, event }).unwrap();
            ends.push(file.len());
        }
        let length = (file.len() as f64 * cut) as u64;
        drop(file);
        std::fs::OpenOptions::new().write(true).open(spool.join("cut.spool")).unwrap().set_len(length).unwrap();
        let keeper = Keeper::new(Mood::Keeps);
        let report = drain_into(dir.path(), &keeper);
        let whole = ends.iter().filter(|&&end| end <= length).count();
        prop_assert_eq!(report.events, whole);
        let torn = length > 0 && !ends.contains(&length);
        prop_assert_eq!(report.quarantined.len(), usize::from(torn));
    }
}

#[test]
fn a_file_of_garbage_is_kept_whole_in_the_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::File::create(spool.join("bad.spool")).unwrap().write_all(&[0xff, 0, 10, 7, 7, 7]).unwrap();
    let keeper = Keeper::new(Mood::Keeps);
    let report = drain_into(dir.path(), &keeper);
    assert_eq!((report.events, report.sessions), (0, 1));
    assert_eq!(std::fs::read(&report.quarantined[0]).unwrap(), [0xff, 0, 10, 7, 7, 7, 10]);
}
