use std::os::unix::fs::PermissionsExt;

use oneiric::fault::FaultKind;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((1_780_000_000 + second) * 1_000_000)
}

fn table() -> (tempfile::TempDir, Workflows) {
    let dir = tempfile::tempdir().unwrap();
    let table = Workflows::at(dir.path().join("home/mahavishnu.db"));
    (dir, table)
}

#[test]
fn reading_what_is_not_there_creates_nothing() {
    let (dir, table) = table();
    assert!(table.list(Which::All, 10).unwrap().is_empty());
    assert!(table.counts().unwrap().is_empty());
    assert_eq!(table.get("x").unwrap_err().kind(), FaultKind::NotFound);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_workflow_goes_from_pending_over_running_to_its_end() {
    let (_dir, table) = table();
    let id = table.create("cargo test", "shell", at(0)).unwrap();
    assert_eq!(table.get(&id).unwrap().status, Status::Pending);
    table.start(&id, at(1)).unwrap();
    table.advance(&id, 0.5).unwrap();
    assert_eq!(table.list(Which::Active, 10).unwrap()[0].progress, 0.5);
    table.finish(&id, Status::Failed, Some(101), Some("tests failed"), at(9)).unwrap();
    let workflow = table.get(&id[..20]).unwrap();
    assert_eq!((workflow.status, workflow.exit_code, workflow.progress), (Status::Failed, Some(101), 0.5));
    assert_eq!((workflow.started_at, workflow.ended_at), (Some(at(1)), Some(at(9))));
    assert_eq!(table.list(Which::Failed, 10).unwrap(), [workflow]);
    assert_eq!(table.counts().unwrap(), [(Status::Failed, 1)]);
}

#[test]
fn what_has_ended_stays_as_it_ended() {
    let (_dir, table) = table();
    let id = table.create("x", "r", at(0)).unwrap();
    table.finish(&id, Status::Cancelled, None, None, at(1)).unwrap();
    assert_eq!(table.start(&id, at(2)).unwrap_err().kind(), FaultKind::Conflict);
    assert_eq!(table.finish(&id, Status::Completed, None, None, at(2)).unwrap_err().kind(), FaultKind::Conflict);
    assert_eq!(table.advance("nothing", 1.0).unwrap_err().kind(), FaultKind::NotFound);
    assert_eq!(table.get(&id).unwrap().status, Status::Cancelled);
}

#[test]
fn the_newest_come_first_and_the_oldest_go() {
    let (_dir, table) = table();
    let old = table.create("old", "r", at(0)).unwrap();
    table.finish(&old, Status::Completed, Some(0), None, at(1)).unwrap();
    let open = table.create("open", "r", at(2)).unwrap();
    let late = at(0).plus(RETENTION + Duration::from_secs(60));
    let new = table.create("new", "r", late).unwrap();
    let ids: Vec<String> = table.list(Which::All, 10).unwrap().into_iter().map(|workflow| workflow.id).collect();
    assert_eq!(ids, [new, open], "what still runs is kept however old it is");
}

#[test]
fn the_file_is_private_and_a_foreign_one_is_refused() {
    let (_dir, table) = table();
    table.create("x", "r", at(0)).unwrap();
    assert_eq!(std::fs::metadata(table.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let connection = Connection::open(table.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(table.list(Which::All, 1).unwrap_err().kind(), FaultKind::Config);
    drop(connection);
    std::fs::write(table.path(), "this is no database at all, and long enough to be looked at as one").unwrap();
    let fault = table.list(Which::All, 1).unwrap_err();
    assert!(fault.message().ends_with("is damaged or no database"), "{fault}");
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let (_dir, table) = table();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let table = table.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    let id = table.create(&format!("{writer}.{n}"), "r", at(n)).unwrap();
                    table.start(&id, at(n)).unwrap();
                }
            });
        }
    });
    assert_eq!(table.counts().unwrap(), [(Status::Running, 160)]);
}
