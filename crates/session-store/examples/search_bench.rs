//! Measures the store on a generated archive: `search_bench FOLDER [EVENTS]`. Run it with `--release`.
//!
//! Prints ingestion beside a raw loop over the same statements, listing, and search latencies.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneiric::clock::{SystemClock, Timestamp};
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::id::{EventId, SessionId};
use serde_json::{Map, json};
use session_store::sqlite::{Options, SqliteStore};
use session_store::{Page, SearchFilter, SearchRequest, SessionFilter, Store, Unknown};

const WORDS: usize = 40_000;
const SESSION_EVENTS: usize = 20;

/// SplitMix64: small, and the same archive every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
    /// Ranks as words of a language have them: the first is very common, most are rare.
    fn zipf(&mut self) -> usize {
        let u = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((WORDS as f64).powf(u) - 1.0) as usize
    }
}

fn word(rank: usize) -> String {
    const SYLLABLES: [&str; 16] =
        ["ka", "lo", "mi", "ren", "tor", "su", "vel", "dan", "pri", "zo", "han", "bek", "qui", "for", "net", "gul"];
    let mut n = rank + 17;
    let mut out = String::new();
    while n > 0 {
        out.push_str(SYLLABLES[n % 16]);
        n /= 16;
    }
    out
}

struct Archive {
    random: Random,
    made: usize,
}

impl Archive {
    fn start(&mut self, id: &SessionId, at: Timestamp) -> Event {
        let project = format!("project{}", self.random.below(50));
        let data = json!({
            "event_version": "1.0", "component_name": if self.random.below(10) == 0 { "session-buddy" } else { "mahavishnu" },
            "session_type": "admin_shell", "pid": 4242, "user": { "username": "ada", "home": "/home/ada" },
            "hostname": "box", "environment": { "platform": "linux-x86_64", "cwd": format!("/home/ada/{project}") },
            "project": project, "metadata": { "session": id.as_str() },
        });
        event(EventType::SESSION_START, at, 0, data.as_object().unwrap().clone())
    }

    fn command(&mut self, at: Timestamp, sequence: u64) -> Event {
        let count = 6 + self.random.below(19);
        let mut text = String::new();
        for _ in 0..count {
            let rank = self.random.zipf();
            text.push_str(&word(rank));
            text.push(' ');
        }
        if self.random.below(10) == 0 {
            text.push_str("everytenth ");
        }
        if self.random.below(4) == 0 {
            text.push_str("everyfourth");
        }
        let mut data = Map::new();
        data.insert("command".into(), text.into());
        data.insert("kind".into(), "statement".into());
        data.insert("outcome".into(), "completed".into());
        data.insert("exit_code".into(), 0.into());
        data.insert("duration_ms".into(), json!(1.5));
        event(EventType::COMMAND, at, sequence, data)
    }

    /// Sessions with their events, about `events` in all.
    fn batches(&mut self, events: usize) -> Vec<EventBatch> {
        let mut out = Vec::new();
        let mut left = events;
        while left > 0 {
            let base = Timestamp::from_micros(1_780_000_000_000_000 + self.made as i64 * 3_000_000);
            let session_id = SessionId::generate(base);
            let count = SESSION_EVENTS.min(left);
            let mut batch = vec![self.start(&session_id, base)];
            for sequence in 1..count {
                let at = base.plus(Duration::from_millis(sequence as u64 * 50));
                batch.push(self.command(at, sequence as u64));
            }
            self.made += count;
            left -= count;
            out.push(EventBatch { session_id, events: batch });
        }
        out
    }
}

fn event(kind: &'static str, timestamp: Timestamp, sequence: u64, data: Map<String, serde_json::Value>) -> Event {
    Event {
        event_id: EventId::generate(timestamp),
        event_type: EventType::known(kind),
        timestamp,
        sequence: Some(sequence),
        data,
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder");
    let events: usize = arguments.next().map_or(2_000_000, |text| text.parse().expect("a number"));
    std::fs::create_dir_all(&folder).unwrap();
    let folder = Path::new(&folder);
    ingestion(folder);
    let path = folder.join(format!("archive-{events}.db"));
    fill(&path, events);
    let began = Instant::now();
    let store = SqliteStore::open(&path, Options::new(Arc::new(SystemClock))).unwrap();
    println!("open                         {:>9.3} ms", ms(began.elapsed()));
    let mut times: Vec<f64> = (0..30)
        .map(|_| {
            let began = Instant::now();
            drop(SqliteStore::open(&path, Options::new(Arc::new(SystemClock))).unwrap());
            ms(began.elapsed())
        })
        .collect();
    print_times("open again", &mut times);
    list(&store);
    searches(&store);
    println!("resident                     {:>9.1} MB", resident());
}

fn fill(path: &Path, events: usize) {
    if path.exists() {
        return;
    }
    let store = SqliteStore::open(path, Options::new(Arc::new(SystemClock))).unwrap();
    let mut archive = Archive { random: Random(7), made: 0 };
    let began = Instant::now();
    let mut done = 0;
    while done < events {
        let part = 5_000.min(events - done);
        let receipts = store.ingest(&archive.batches(part), Unknown::Open).unwrap();
        assert!(receipts.iter().all(|receipt| receipt.rejected.is_empty() && receipt.duplicates == 0));
        done += part;
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes = store.info().unwrap().database_bytes;
    println!("fill {events}: {seconds:.1} s, {:.0} events/s, {} MB", events as f64 / seconds, bytes / 1_000_000);
}

/// `ingest` of one session's events in batches, and the same rows by prepared statements alone.
fn ingestion(folder: &Path) {
    for size in [1, 50, 500, 2_000] {
        let rounds = (40_000 / size).min(2_000);
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for _ in 0..3 {
            ours.push(ours_rate(folder, size, rounds));
            raw.push(raw_rate(folder, size, rounds));
        }
        let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        println!(
            "ingest batches of {size:<5}      {:>9.0} events/s   raw {:>9.0}   ratio {:.2}",
            best(&ours),
            best(&raw),
            best(&ours) / best(&raw)
        );
    }
}

fn one_session(size: usize, rounds: usize) -> Vec<EventBatch> {
    let mut archive = Archive { random: Random(3), made: 0 };
    let base = Timestamp::from_micros(1_780_000_000_000_000);
    let session_id = SessionId::generate(base);
    let mut sequence = 0;
    let mut batches =
        vec![EventBatch { session_id: session_id.clone(), events: vec![archive.start(&session_id, base)] }];
    for _ in 0..rounds {
        let events = (0..size)
            .map(|_| {
                sequence += 1;
                archive.command(base.plus(Duration::from_millis(sequence)), sequence)
            })
            .collect();
        batches.push(EventBatch { session_id: session_id.clone(), events });
    }
    batches
}

fn fresh(folder: &Path, name: &str) -> std::path::PathBuf {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("{name}{ending}")));
    }
    folder.join(name)
}

fn ours_rate(folder: &Path, size: usize, rounds: usize) -> f64 {
    let path = fresh(folder, "ours.db");
    let store = SqliteStore::open(&path, Options::new(Arc::new(SystemClock))).unwrap();
    let batches = one_session(size, rounds);
    store.ingest(&batches[..1], Unknown::Refuse).unwrap();
    let began = Instant::now();
    for batch in &batches[1..] {
        store.ingest(std::slice::from_ref(batch), Unknown::Refuse).unwrap();
    }
    (size * rounds) as f64 / began.elapsed().as_secs_f64()
}

/// The ceiling: same tables, indexes and durability, rows and search terms ready made.
fn raw_rate(folder: &Path, size: usize, rounds: usize) -> f64 {
    let path = fresh(folder, "raw.db");
    let batches = one_session(size, rounds);
    {
        let store = SqliteStore::open(&path, Options::new(Arc::new(SystemClock))).unwrap();
        store.ingest(&batches[..1], Unknown::Refuse).unwrap();
    }
    let rows: Vec<Vec<[String; 5]>> = batches[1..]
        .iter()
        .map(|batch| {
            let row = |event: &Event| {
                let data = serde_json::to_string(&event.data).unwrap();
                let text = event.data["command"].as_str().unwrap();
                let terms = format!(
                    "{text} statement completed \u{e003}0a1b2c3d \u{e001}0a1b2c3d \u{e002}0a1b2c3d \u{e000}0a1b2c3d"
                );
                [event.event_id.as_str().into(), "command".into(), event.timestamp.to_string(), data, terms]
            };
            batch.events.iter().map(row).collect()
        })
        .collect();
    let session = batches[0].session_id.as_str();
    let mut connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4096; PRAGMA temp_store = MEMORY")
        .unwrap();
    let mut seq = 10_i64;
    let began = Instant::now();
    for batch in &rows {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO session_events (seq, event_id, session_id, event_type, timestamp, data, sequence, received_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5)")
                .unwrap();
            let mut index =
                transaction.prepare_cached("INSERT INTO event_search (rowid, terms) VALUES (?1, ?2)").unwrap();
            for row in batch {
                seq += 1;
                insert.execute((seq, &row[0], session, &row[1], &row[2], &row[3], seq)).unwrap();
                index.execute((seq, &row[4])).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    (size * rounds) as f64 / began.elapsed().as_secs_f64()
}

fn list(store: &SqliteStore) {
    let filters = [
        ("list 100 newest", SessionFilter::default()),
        (
            "list 100 of a component",
            SessionFilter { component: Some("session-buddy".into()), ..SessionFilter::default() },
        ),
        ("list 100 of a project", SessionFilter { project: Some("project7".into()), ..SessionFilter::default() }),
    ];
    for (name, filter) in filters {
        let mut times = Vec::new();
        for _ in 0..50 {
            let began = Instant::now();
            assert_eq!(store.sessions(&filter, Page::first(100)).unwrap().len(), 100);
            times.push(ms(began.elapsed()));
        }
        print_times(name, &mut times);
    }
    let mut times: Vec<f64> = (0..50)
        .map(|_| {
            let began = Instant::now();
            store.counts().unwrap();
            ms(began.elapsed())
        })
        .collect();
    print_times("counts", &mut times);
}

fn searches(store: &SqliteStore) {
    let mut random = Random(11);
    let mut query = |words: usize, from: usize, to: usize| {
        (0..words).map(|_| word(from + random.below(to - from))).collect::<Vec<_>>().join(" ")
    };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for words in 2..=4 {
        groups.push((format!("{words} words, any"), (0..60).map(|_| query(words, 0, WORDS)).collect()));
        groups.push((format!("{words} words, common"), (0..60).map(|_| query(words, 20, 400)).collect()));
        groups.push((format!("{words} words, very common"), (0..60).map(|_| query(words, 0, 20)).collect()));
    }
    groups.push(("every tenth".into(), vec!["everytenth".into(); 20]));
    groups.push(("every fourth".into(), vec!["everyfourth".into(); 20]));
    groups.push(("tenth and fourth".into(), vec!["everytenth everyfourth".into(); 20]));
    groups.push((
        "tenth and a rare word".into(),
        (0..40).map(|_| format!("everytenth {}", query(1, 20_000, WORDS))).collect(),
    ));
    groups.push((
        "tenth, fourth, common".into(),
        (0..40).map(|_| format!("everytenth everyfourth {}", query(1, 0, 50))).collect(),
    ));
    groups.push(("phrase of common".into(), (0..40).map(|_| format!("\"{}\"", query(2, 0, 20))).collect()));
    groups.push(("prefix of 4".into(), (0..40).map(|_| format!("{}*", &query(1, 0, WORDS)[..4])).collect()));
    groups.push(("prefix of 2".into(), (0..40).map(|_| format!("{}*", &query(1, 0, WORDS)[..2])).collect()));
    groups
        .push(("common without fourth".into(), (0..40).map(|_| format!("{} -everyfourth", query(1, 0, 50))).collect()));
    for (name, queries) in groups {
        let mut times = Vec::new();
        let mut hits = 0;
        for text in &queries {
            let began = Instant::now();
            hits += store.search(&SearchRequest::text(text), None).unwrap().hits.len();
            times.push(ms(began.elapsed()));
        }
        print!("{hits:>5} hits ");
        print_times(&name, &mut times);
    }
    let old = Timestamp::from_micros(1_780_000_000_000_000 + 30_000_000_000);
    let filters = [
        ("in a project", SearchFilter { project: Some("project7".into()), ..SearchFilter::default() }),
        ("long ago", SearchFilter { until: Some(old), ..SearchFilter::default() }),
        ("of a rare type", SearchFilter { event_type: Some("error".into()), ..SearchFilter::default() }),
    ];
    for (name, filter) in filters {
        let mut times = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            store.search(&SearchRequest::text("everytenth everyfourth").within(filter.clone()), None).unwrap();
            times.push(ms(began.elapsed()));
        }
        print_times(name, &mut times);
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn print_times(name: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    println!("{name:<28} p50 {:>8.3} ms   p95 {:>8.3} ms   max {:>8.3} ms", at(0.5), at(0.95), at(1.0));
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1000.0
}
