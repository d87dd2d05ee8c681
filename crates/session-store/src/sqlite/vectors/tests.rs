#![allow(clippy::unwrap_used)]

use oneiric::fault::FaultKind;

use super::*;
use crate::vectors::NewEntry;

fn model(digest: &str) -> VectorModel {
    VectorModel { name: "m".into(), digest: digest.into(), dimensions: 64, shape: 1 }
}

fn hash(text: u8) -> TextHash {
    [text; 16]
}

fn batch(texts: &[u8], from: i64) -> VectorBatch {
    VectorBatch {
        vectors: texts
            .iter()
            .map(|&text| NewVector { hash: hash(text), stored: vec![text; 68], code: vec![text; 18] })
            .collect(),
        refused: Vec::new(),
        entries: texts
            .iter()
            .zip(from + 1..)
            .map(|(&text, seq)| NewEntry { seq, piece: 0, mark: seq * 10, hash: hash(text) })
            .collect(),
        from,
        watermark: from + texts.len() as i64,
    }
}

fn entries(vectors: &SqliteVectors, generation: i64) -> Vec<(i64, u32)> {
    let mut found = Vec::new();
    vectors.entries(generation, 0, &mut |entry| found.push((entry.seq, entry.place))).unwrap();
    found
}

fn codes(vectors: &SqliteVectors, generation: i64) -> Vec<u8> {
    let mut found = Vec::new();
    vectors.codes(generation, 0, &mut |_, bytes| found.extend(bytes.chunks(18).map(|code| code[0]))).unwrap();
    found
}

#[test]
fn equal_texts_share_a_vector_and_a_batch_that_comes_too_late_is_refused() {
    let vectors = SqliteVectors::in_memory().unwrap();
    let first = vectors.generation(&model("a")).unwrap();
    assert!(first.active && first.watermark == 0);
    vectors.append(first.id, &batch(&[7, 8, 7], 0)).unwrap();
    assert_eq!(entries(&vectors, first.id), [(1, 0), (2, 1), (3, 0)]);
    assert_eq!(codes(&vectors, first.id), [7, 8]);
    assert_eq!(vectors.append(first.id, &batch(&[9], 0)).unwrap_err().kind(), FaultKind::Conflict);
    assert_eq!(vectors.known(first.id, &[hash(8), hash(9)]).unwrap(), [true, false]);
    assert_eq!(vectors.marks(first.id, &[2, 9]).unwrap(), [Some(20), None]);
    let mut read = Vec::new();
    vectors.stored(first.id, &[1, 5], &mut |index, bytes| read.push((index, bytes[0]))).unwrap();
    assert_eq!(read, [(0, 8)]);
}

#[test]
fn many_vectors_fill_blocks_in_order() {
    let vectors = SqliteVectors::in_memory().unwrap();
    let first = vectors.generation(&model("a")).unwrap();
    let mut from = 0;
    for part in 0..5_u32 {
        let texts: Vec<u32> = (part * 700..part * 700 + 700).collect();
        let named = |text: u32| {
            let mut hash = [0; 16];
            hash[..4].copy_from_slice(&text.to_le_bytes());
            hash
        };
        let one = VectorBatch {
            vectors: texts
                .iter()
                .map(|&text| NewVector { hash: named(text), stored: vec![0; 68], code: vec![(text % 251) as u8; 18] })
                .collect(),
            refused: Vec::new(),
            entries: Vec::new(),
            from,
            watermark: from + 700,
        };
        vectors.append(first.id, &one).unwrap();
        from += 700;
    }
    assert_eq!(codes(&vectors, first.id), (0..3_500_u32).map(|text| (text % 251) as u8).collect::<Vec<_>>());
    let mut firsts = Vec::new();
    vectors.codes(first.id, 2_100, &mut |first, _| firsts.push(first)).unwrap();
    assert_eq!(firsts, [2_048, 3_072]);
}

#[test]
fn a_new_generation_takes_over_at_once_and_the_old_one_goes_in_steps() {
    let vectors = SqliteVectors::in_memory().unwrap();
    let old = vectors.generation(&model("a")).unwrap();
    vectors.append(old.id, &batch(&[1, 2, 3], 0)).unwrap();
    let new = vectors.generation(&model("b")).unwrap();
    assert!(!new.active);
    assert_eq!(vectors.elsewhere(new.id, &hash(1)).unwrap(), None, "vectors of another model are never taken");
    let again = vectors.begin(&model("a")).unwrap();
    assert_eq!(vectors.elsewhere(again.id, &hash(2)).unwrap().unwrap().stored, vec![2; 68]);
    vectors.append(new.id, &batch(&[4], 0)).unwrap();
    let refusing = VectorBatch { refused: vec![hash(8), hash(9)], from: 3, watermark: 4, ..VectorBatch::default() };
    vectors.append(old.id, &refusing).unwrap();
    assert_eq!(vectors.known(old.id, &[hash(1), hash(9), hash(10)]).unwrap(), [true, true, false]);
    assert_eq!(vectors.generations().unwrap().iter().map(|one| one.refused).collect::<Vec<_>>(), [2, 0, 0]);
    vectors.activate(new.id).unwrap();
    let left = vectors.generations().unwrap();
    assert_eq!(left.iter().map(|one| (one.id, one.active)).collect::<Vec<_>>(), [(new.id, true)]);
    assert_eq!(vectors.append(again.id, &batch(&[4], 0)).unwrap_err().kind(), FaultKind::Conflict);
    let mut steps = 0;
    while vectors.sweep(2).unwrap() {
        steps += 1;
    }
    assert!(steps > 4, "{steps}");
    assert_eq!(entries(&vectors, new.id), [(1, 0)]);
    assert!(entries(&vectors, old.id).is_empty());
    assert_eq!(vectors.known(old.id, &[hash(1), hash(9)]).unwrap(), [false, false]);
}

#[test]
fn forgotten_events_are_gone_and_those_to_make_again_move_the_watermark_back() {
    let vectors = SqliteVectors::in_memory().unwrap();
    let first = vectors.generation(&model("a")).unwrap();
    vectors.append(first.id, &batch(&[1, 2, 3, 4, 5], 0)).unwrap();
    vectors.forget(first.id, &[2], false).unwrap();
    assert_eq!(entries(&vectors, first.id), [(1, 0), (3, 2), (4, 3), (5, 4)]);
    vectors.forget(first.id, &[4], true).unwrap();
    let now = vectors.generation(&model("a")).unwrap();
    assert_eq!((now.watermark, now.removals), (3, 2));
    vectors.append(first.id, &batch(&[6], 3)).unwrap();
    assert_eq!(entries(&vectors, first.id), [(1, 0), (3, 2), (4, 5)]);
    assert_eq!(vectors.marks_from(first.id, 2, 1).unwrap(), [(3, 30)]);
}

/// A file that holds one vector.
fn file_of_one() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let made = SqliteVectors::open(&path).unwrap();
    let first = made.generation(&model("a")).unwrap();
    made.append(first.id, &batch(&[1], 0)).unwrap();
    (folder, path)
}

#[test]
fn a_damaged_file_is_made_again_and_one_of_something_else_is_left_alone() {
    let (folder, path) = file_of_one();
    let again = SqliteVectors::open(&path).unwrap();
    assert_eq!((again.replaced(), again.generations().unwrap().len()), (None, 1));
    drop(again);
    std::fs::write(&path, b"this is no database, but it is long enough to look like one to nobody at all ".repeat(60))
        .unwrap();
    let replaced = SqliteVectors::open(&path).unwrap();
    assert!(replaced.replaced().is_some());
    assert!(replaced.generations().unwrap().is_empty());
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let refused = SqliteVectors::open(&other).err().unwrap();
    assert_eq!(refused.kind(), FaultKind::Config);
    assert!(other.exists());
}

#[test]
fn a_look_tells_of_a_damaged_file_and_changes_nothing() {
    let (_folder, path) = file_of_one();
    assert_eq!(SqliteVectors::look(&path).unwrap(), None);
    let sound = std::fs::read(&path).unwrap();
    let mut torn = sound.clone();
    torn[100..200].fill(0xa5);
    for broken in [b"this is no database at all, whatever its name may say ".repeat(60), torn] {
        std::fs::write(&path, &broken).unwrap();
        assert!(SqliteVectors::look(&path).unwrap().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), broken);
    }
    std::fs::write(&path, sound).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 77).unwrap();
    assert!(SqliteVectors::look(&path).unwrap().unwrap().contains("version 77"));
    std::fs::write(&path, b"").unwrap();
    assert_eq!(SqliteVectors::look(&path).unwrap(), None);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn vectors_of_events_that_are_gone_are_found_and_taken_away() {
    use std::sync::Arc;

    use oneiric::clock::{ManualClock, Timestamp};
    use oneiric::event::{Event, EventBatch, EventType};
    use oneiric::id::{EventId, SessionId};

    use crate::sqlite::{Options, SqliteStore};
    use crate::{Store, Unknown};

    let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
    let store = SqliteStore::in_memory(Options::new(Arc::new(ManualClock::at(now)))).unwrap();
    let event = |number: usize| Event {
        event_id: EventId::parse(format!("e{number}")).unwrap(),
        event_type: EventType::known("command"),
        timestamp: now,
        sequence: None,
        data: serde_json::Map::new(),
    };
    let events = (0..3).map(event).collect();
    let session_id = SessionId::parse("s").unwrap();
    store.ingest(&[EventBatch { session_id, events }], Unknown::Open).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let vectors = SqliteVectors::open(&path).unwrap();
    let (first, second) = (vectors.generation(&model("a")).unwrap(), vectors.generation(&model("b")).unwrap());
    vectors.append(first.id, &batch(&[1, 2, 3, 4, 5], 0)).unwrap();
    vectors.append(second.id, &batch(&[1, 2], 2)).unwrap_err();
    vectors.append(second.id, &batch(&[1, 2, 3, 4], 0)).unwrap();
    let orphans = SqliteVectors::orphans(&path, &store).unwrap();
    assert_eq!(orphans, [(first.id, vec![4, 5]), (second.id, vec![4])].into());
    vectors.forget_orphans(&orphans).unwrap();
    assert!(SqliteVectors::orphans(&path, &store).unwrap().is_empty());
    assert_eq!(entries(&vectors, first.id), [(1, 0), (2, 1), (3, 2)]);
}
