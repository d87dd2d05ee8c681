//! Files that are not as they were written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testkit::{Server, TestHome};

use crate::sample::{commands, id, types};

/// Leaves a session with these commands on the spool: no server runs.
fn leave_on_spool(home: &TestHome, input: &str) {
    let mut shell = home.mahavishnu(["shell"]).spawn();
    for line in input.lines() {
        shell.send(line).unwrap();
    }
    shell.send("print(\"do\" + \"ne\")").unwrap();
    while !shell.next_line(std::time::Duration::from_secs(20)).expect("the shell runs").contains("done") {}
    shell.kill();
}

#[test]
fn a_damaged_spool_line_costs_itself_alone_and_is_kept_aside() {
    let home = TestHome::new();
    leave_on_spool(&home, "print(1)\nprint(2)\nprint(3)");
    let spool = &home.waiting_spools()[0];
    let text = fs::read_to_string(spool).unwrap();
    // Both lines of the second command: its begin and its event.
    let damaged: String = text
        .split_inclusive('\n')
        .map(|line| if line.contains("print(2)") { line.replace("print", "prinT") } else { line.into() })
        .collect();
    assert_ne!(damaged, text);
    fs::write(spool, format!("{damaged}\0\0\0 no newline at the end")).unwrap();
    let sessions = home.sessions(&[]);
    assert_eq!(commands(&home.events(&id(&sessions[0]))), ["print(1)", "print(3)", "print(\"do\" + \"ne\")"]);
    assert!(home.waiting_spools().is_empty());
    let kept = fs::read_dir(home.spool().join("quarantine")).unwrap().flatten().next().expect("the lines are kept");
    let kept = String::from_utf8_lossy(&fs::read(kept.path()).unwrap()).into_owned();
    assert!(kept.contains("prinT(2)") && kept.contains("no newline at the end"), "{kept}");
}

#[test]
fn a_spool_whose_first_line_is_gone_still_gives_its_events() {
    let home = TestHome::new();
    leave_on_spool(&home, "print(1)");
    let spool = &home.waiting_spools()[0];
    let text = fs::read_to_string(spool).unwrap();
    fs::write(spool, text.split_once('\n').unwrap().1).unwrap();
    let sessions = home.sessions(&["--component", "*"]);
    assert_eq!(sessions.len(), 1);
    assert_eq!(commands(&home.events(&id(&sessions[0]))), ["print(1)", "print(\"do\" + \"ne\")"]);
}

#[test]
fn what_is_no_spool_file_in_the_spool_hurts_nobody() {
    let home = TestHome::new();
    leave_on_spool(&home, "print(1)");
    fs::write(home.spool().join("not a session id.spool"), "hello").unwrap();
    fs::write(home.spool().join("abc.spool"), [0_u8, 159, 146, 150, 10, 10]).unwrap();
    fs::write(home.spool().join("empty.spool"), "").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", home.spool().join("link.spool")).unwrap();
    let sessions = home.sessions(&[]);
    assert_eq!(types(&home.events(&id(&sessions[0]))), ["session_start", "command", "command"]);
    assert!(Path::new("/etc/hostname").exists());
    let mut server = Server::start(&home);
    server.expect_healthy("foreign files in the spool");
}

/// Bytes, inode and modification time of a file.
fn look(path: &Path) -> (Vec<u8>, u64) {
    (fs::read(path).unwrap(), fs::metadata(path).unwrap().ino())
}

fn home_with_data() -> TestHome {
    let home = TestHome::patient();
    let server = Server::start(&home);
    for _ in 0..3 {
        let input: String = (0..100).map(|number| format!("print({number}, \"{}\")\n", "w".repeat(300))).collect();
        home.mahavishnu(["shell"]).stdin(input).run().expect_success();
    }
    server.stop();
    home
}

#[test]
fn a_database_with_a_foreign_header_is_named_and_left_as_it_is() {
    let home = home_with_data();
    let database = home.database();
    let mut bytes = fs::read(&database).unwrap();
    bytes[..100].fill(b'#');
    fs::write(&database, &bytes).unwrap();
    let before = look(&database);
    for args in
        [vec!["list-sessions"], vec!["list-events"], vec!["search", "print"], vec!["start"], vec!["get-session", "x"]]
    {
        let done = home.session_buddy(args).run();
        done.expect_code(6).expect_one_clear_line(&["sessions.db"]);
        assert_eq!(look(&database), before, "the file was touched: {done}");
    }
    let health = home.session_buddy(["health"]).run();
    assert!(health.code.is_some_and(|code| code != 0), "{health}");
    // The shell goes on and keeps what it has.
    home.mahavishnu(["shell", "-c", "print(1)"]).run().expect_success().expect_no_internals();
    assert_eq!(home.waiting_spools().len(), 1);
}

#[test]
fn a_database_with_garbage_in_its_middle_is_told_and_not_made_worse() {
    let home = home_with_data();
    let database = home.database();
    let mut bytes = fs::read(&database).unwrap();
    let length = bytes.len();
    assert!(length > 64 * 1024, "the database is too small for this test: {length}");
    bytes[8192..length - 4096].fill(0xA5);
    fs::write(&database, &bytes).unwrap();
    let inode = fs::metadata(&database).unwrap().ino();
    for args in [vec!["list-sessions"], vec!["list-events"], vec!["search", "print"]] {
        let done = home.session_buddy(args).run();
        done.expect_code(6).expect_one_clear_line(&["sessions.db"]);
        let after = fs::read(&database).unwrap();
        assert!(
            after.len() >= length && after[8192..length - 4096].iter().all(|byte| *byte == 0xA5),
            "it was written to: {done}"
        );
        assert_eq!(fs::metadata(&database).unwrap().ino(), inode, "it was replaced: {done}");
    }
}

#[test]
fn an_empty_file_becomes_a_database_and_a_directory_in_its_place_is_named() {
    let home = TestHome::new();
    fs::create_dir_all(home.session_buddy_home()).unwrap();
    fs::write(home.database(), "").unwrap();
    assert!(home.sessions(&[]).is_empty());
    fs::remove_file(home.database()).unwrap();
    for end in ["sessions.db-wal", "sessions.db-shm"] {
        let _ = fs::remove_file(home.session_buddy_home().join(end));
    }
    fs::create_dir(home.database()).unwrap();
    home.session_buddy(["list-sessions"]).run().expect_code(3).expect_one_clear_line(&["sessions.db", "folder"]);
}

#[test]
fn a_settings_file_that_does_not_parse_is_named_with_its_line() {
    let home = TestHome::new();
    fs::create_dir_all(home.session_buddy_home()).unwrap();
    fs::write(home.session_buddy_home().join("config.yaml"), "server:\n  port: [\n").unwrap();
    home.session_buddy(["list-sessions"]).run().expect_code(3).expect_one_clear_line(&["config.yaml"]);
    fs::write(home.session_buddy_home().join("config.yaml"), "server:\n  porto: 1\n").unwrap();
    home.session_buddy(["list-sessions"]).run().expect_code(3).expect_one_clear_line(&["config.yaml", "porto"]);
}
