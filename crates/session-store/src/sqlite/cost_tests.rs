//! What queries cost is counted in rows and steps, not in time: it must not grow with the archive.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oneiric::clock::Timestamp;
use oneiric::event::EventBatch;
use oneiric::id::SessionId;
use rusqlite::{Connection, StatementStatus, params_from_iter};
use serde_json::json;

use super::room::{Room, command, event, start};
use super::search::{NEWEST, scope};
use super::{events, sessions};
use crate::{Page, SearchFilter, SearchRequest, SessionFilter, SessionStatus, Store, Unknown};

/// Sessions of two components, two types, ten projects; one in three ended.
fn archive(sessions: usize) -> Room {
    let room = Room::new();
    let store = room.open();
    let mut batches = Vec::new();
    for n in 0..sessions {
        let component = if n % 2 == 0 { "mahavishnu" } else { "session-buddy" };
        let kind = if n % 4 < 2 { "admin_shell" } else { "mcp_client" };
        let mut events = vec![
            event(&format!("s{n}"), "session_start", n as i64, start(component, kind, &format!("p{}", n % 10))),
            command(&format!("c{n}"), "common words here"),
        ];
        if n % 3 == 0 {
            events.push(event(&format!("x{n}"), "session_end", n as i64 + 1, json!({ "status": "ended" })));
        }
        batches.push(EventBatch { session_id: SessionId::parse(format!("session-{n:06}")).unwrap(), events });
    }
    store.ingest(&batches, Unknown::Open).unwrap();
    room
}

/// Steps of SQLite's machine for a list of 20; it must neither sort nor look at other rows.
fn steps(raw: &Connection, filter: &SessionFilter) -> i32 {
    let (sql, values) = sessions::list_sql(filter, Page::first(20));
    let mut statement = raw.prepare(&sql).unwrap();
    let rows = statement.query_map(params_from_iter(values), |_| Ok(())).unwrap().count();
    assert_eq!(rows, 20, "{filter:?}");
    assert_eq!(statement.get_status(StatementStatus::Sort), 0, "{filter:?}");
    assert!(statement.get_status(StatementStatus::FullscanStep) <= 20, "{filter:?}");
    statement.get_status(StatementStatus::VmStep)
}

#[test]
fn a_list_with_any_single_filter_costs_the_same_in_a_larger_archive() {
    let (small, large) = (archive(300), archive(1500));
    let (small, large) = (small.raw(), large.raw());
    let any = SessionFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for filter in [
        any(),
        SessionFilter { session_type: text("mcp_client"), ..any() },
        SessionFilter { component: text("mahavishnu"), ..any() },
        SessionFilter { component: text("mahavishnu"), session_type: text("mcp_client"), ..any() },
        SessionFilter { status: Some(SessionStatus::Ended), ..any() },
        SessionFilter { status: Some(SessionStatus::Active), ..any() },
        SessionFilter { project: text("p3"), ..any() },
        SessionFilter { repository: text("/r/p3/.git"), ..any() },
        SessionFilter { worktree: text("/r/p3"), ..any() },
        SessionFilter { since: Timestamp::parse("2026-11-22T18:01:00Z"), ..any() },
        SessionFilter { until: Timestamp::parse("2026-11-22T18:03:00Z"), ..any() },
    ] {
        assert_eq!(steps(&small, &filter), steps(&large, &filter), "{filter:?}");
    }
}

#[test]
fn events_and_candidates_come_in_the_order_of_an_index() {
    let room = archive(30);
    let raw = room.raw();
    for sql in [events::OF_SESSION, events::OF_SESSION_BEHIND, events::OF_ALL, events::OF_TYPE, NEWEST] {
        let plan: Vec<String> = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap().raw_query_plan();
        assert!(!plan.is_empty() && !plan.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}

trait QueryPlan {
    /// The plan's lines; parameters stay NULL.
    fn raw_query_plan(&mut self) -> Vec<String>;
}

impl QueryPlan for rusqlite::Statement<'_> {
    fn raw_query_plan(&mut self) -> Vec<String> {
        let mut rows = self.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get(3).unwrap());
        }
        lines
    }
}

#[test]
fn telling_a_broad_filter_from_a_narrow_one_costs_the_same_in_a_larger_archive() {
    let filter = SearchFilter { component: Some("mahavishnu".to_owned()), ..SearchFilter::default() };
    let steps = |sessions: usize| {
        let room = archive(sessions);
        let mut raw = room.raw();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        raw.progress_handler(
            1,
            Some(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                false
            }),
        )
        .unwrap();
        assert_eq!(scope::seqs(&raw, &filter, 40).unwrap(), None);
        count.load(Ordering::Relaxed)
    };
    let few = steps(300);
    assert!(few > 0);
    assert_eq!(few, steps(1500));
}

#[test]
fn totals_read_as_many_rows_in_a_larger_archive() {
    let rows = |sessions: usize| {
        let room = archive(sessions);
        room.raw().query_row("SELECT count(*) FROM counters", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows(60), rows(240));
}

#[test]
fn opening_an_up_to_date_file_writes_nothing() {
    let room = archive(5);
    let before = std::fs::metadata(room.path()).unwrap().modified().unwrap();
    let bytes = std::fs::read(room.path()).unwrap();
    let store = room.open();
    assert_eq!(store.search(&SearchRequest::text("common").limit(3), None).unwrap().hits.len(), 3);
    drop(store);
    assert_eq!(std::fs::read(room.path()).unwrap(), bytes);
    assert_eq!(std::fs::metadata(room.path()).unwrap().modified().unwrap(), before);
}
