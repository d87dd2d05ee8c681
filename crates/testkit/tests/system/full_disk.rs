//! Disks that are full or read-only.

use serde_json::json;
use testkit::disk::{SmallDisk, inside_mount_namespace};
use testkit::{Server, TestHome, soon};

use crate::sample::{command, commands, id, session_start};

/// Room for both homes.
const KIB: u32 = 16 * 1024;

#[test]
fn a_shell_on_a_full_disk_says_so_once_and_loses_nothing_when_room_comes_back_before_it_ends() {
    if !inside_mount_namespace(
        "full_disk::a_shell_on_a_full_disk_says_so_once_and_loses_nothing_when_room_comes_back_before_it_ends",
    ) {
        return;
    }
    let disk = SmallDisk::of_kib(KIB);
    let home = TestHome::below(disk.root().join("all"));
    let mut server = Server::start(&home);
    let limit = std::time::Duration::from_secs(20);
    let mut shell = home.mahavishnu(["shell"]).spawn();
    let mut say = |text: &str, seen: &str| {
        shell.send(text).unwrap();
        while !shell.next_line(limit).expect("the shell runs").contains(seen) {}
    };
    say("print(\"be\" + \"fore\")", "before");
    let ballast = disk.fill();
    for number in 0..20 {
        // Long enough that what waits has no room in the file's last page.
        say(&format!("print(\"{}\" and \"du\" + \"ring-{number}\")", "x".repeat(1000)), &format!("during-{number}"));
    }
    assert!(!server.has_ended(), "the server ended because the disk is full");
    drop(ballast);
    say("print(\"af\" + \"ter\")", "after");
    shell.send("exit").unwrap();
    let status = shell.wait(limit);
    let (_, stderr) = shell.rest();
    assert!(status.success(), "{status}: {stderr}");
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("spool")).collect();
    assert_eq!(warnings.len(), 1, "one clear line: {stderr}");
    assert!(warnings[0].contains("no space") || warnings[0].contains("full"), "{stderr}");
    server.expect_all_delivered(&home);
    server.expect_healthy("a full disk");
    let events = home.events(&id(&home.sessions(&[])[0]));
    let stored = commands(&events);
    assert_eq!(stored.len(), 22, "{stored:?}");
}

#[test]
fn with_session_buddys_disk_full_the_shell_keeps_its_events_until_there_is_room() {
    if !inside_mount_namespace(
        "full_disk::with_session_buddys_disk_full_the_shell_keeps_its_events_until_there_is_room",
    ) {
        return;
    }
    let home = TestHome::patient();
    std::fs::create_dir_all(home.session_buddy_home()).unwrap();
    let disk = SmallDisk::mount(&home.session_buddy_home(), KIB);
    let mut server = Server::start(&home);
    home.mahavishnu(["shell", "-c", "ps()"]).run().expect_success();
    let known = id(&home.sessions(&[])[0]);
    let ballast = disk.fill();
    let input: String = (0..200).map(|number| format!("print({number}, \"{}\")\n", "y".repeat(5000))).collect();
    let shell = home.mahavishnu(["shell"]).stdin(input).run();
    shell.expect_success().expect_no_internals();
    assert!(!server.has_ended(), "the server ended because its disk is full");
    assert_eq!(home.waiting_spools().len(), 1, "what was not stored waits in the spool: {shell}");
    let events: Vec<_> = (0..200).map(|number| command(&format!("e-{number}"), number, &"z".repeat(5000))).collect();
    let refused = server.tool("track_events", json!({ "session_id": known, "events": events }));
    assert_eq!(refused["isError"], true, "{refused}");
    assert_eq!(refused["structuredContent"]["code"], "unavailable", "{refused}");
    let message = refused["structuredContent"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("full") || message.contains("space"), "{refused}");
    drop(ballast);
    server.expect_all_delivered(&home);
    server.expect_healthy("a full disk");
    let sessions = home.sessions(&["--type", "admin_shell"]);
    assert_eq!(sessions.len(), 2);
    let counts: Vec<usize> = sessions.iter().map(|session| commands(&home.events(&id(session))).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 201, "{counts:?}");
}

#[test]
fn a_server_that_cannot_write_its_home_does_not_start_and_says_why() {
    if !inside_mount_namespace("full_disk::a_server_that_cannot_write_its_home_does_not_start_and_says_why") {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.session_buddy_home()).unwrap();
    let disk = SmallDisk::mount(&home.session_buddy_home(), KIB);
    disk.set_read_only(true);
    let done = home.session_buddy(["start"]).run();
    done.expect_code(6).expect_one_clear_line(&[".session-buddy", "read-only"]);
    disk.set_read_only(false);
    let ballast = disk.fill();
    let done = home.session_buddy(["start"]).run();
    done.expect_code(6).expect_one_clear_line(&[".session-buddy", "space"]);
    drop(ballast);
    Server::start(&home).stop();
}

#[test]
fn the_database_on_a_read_only_disk_can_still_be_read() {
    if !inside_mount_namespace("full_disk::the_database_on_a_read_only_disk_can_still_be_read") {
        return;
    }
    let home = TestHome::new();
    std::fs::create_dir_all(home.session_buddy_home()).unwrap();
    let disk = SmallDisk::mount(&home.session_buddy_home(), KIB);
    let server = Server::start(&home);
    let _ = server.tool("track_session_start", session_start("start", 0));
    server.stop();
    disk.set_read_only(true);
    assert_eq!(home.sessions(&[]).len(), 1);
    disk.set_read_only(false);
    let _ballast = disk.fill();
    assert_eq!(home.sessions(&[]).len(), 1);
}

#[test]
fn a_shell_whose_home_is_read_only_works_says_so_once_and_is_delivered_while_it_lives() {
    if !inside_mount_namespace(
        "full_disk::a_shell_whose_home_is_read_only_works_says_so_once_and_is_delivered_while_it_lives",
    ) {
        return;
    }
    let home = TestHome::patient();
    std::fs::create_dir_all(home.mahavishnu_home()).unwrap();
    let disk = SmallDisk::mount(&home.mahavishnu_home(), KIB);
    let server = Server::start(&home);
    disk.set_read_only(true);
    let done = home.mahavishnu(["shell", "-c", "print(6 * 7)"]).run();
    done.expect_success().expect_one_clear_line(&["spool", "read-only"]);
    assert!(done.stdout.contains("42"), "{done}");
    let sessions = home.sessions(&[]);
    assert_eq!(sessions.len(), 1, "memory delivers what the disk could not take");
    assert_eq!(commands(&home.events(&id(&sessions[0]))), ["print(6 * 7)"]);
    server.stop();
    // With nobody to take the events they are lost, which is said and is not success.
    let done = home.mahavishnu(["shell", "-c", "print(6 * 7)"]).run();
    assert!(done.stdout.contains("42"), "{done}");
    assert!(done.stderr.contains("lost"), "{done}");
    done.expect_code(6).expect_no_internals();
}

#[test]
fn a_full_disk_at_the_end_of_a_shell_without_server_is_told_with_what_it_cost() {
    if !inside_mount_namespace("full_disk::a_full_disk_at_the_end_of_a_shell_without_server_is_told_with_what_it_cost")
    {
        return;
    }
    let disk = SmallDisk::of_kib(KIB);
    let home = TestHome::below(disk.root().join("all"));
    let limit = std::time::Duration::from_secs(20);
    let mut shell = home.mahavishnu(["shell"]).spawn();
    shell.send("print(\"be\" + \"fore\")").unwrap();
    while !shell.next_line(limit).expect("the shell runs").contains("before") {}
    let ballast = disk.fill();
    for number in 0..20 {
        shell.send(&format!("print(\"{}\" and \"du\" + \"ring-{number}\")", "x".repeat(1000))).unwrap();
        while !shell.next_line(limit).expect("the shell runs").contains(&format!("during-{number}")) {}
    }
    shell.send("exit").unwrap();
    let status = shell.wait(limit);
    let (_, stderr) = shell.rest();
    assert_eq!(status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("lost"), "{stderr}");
    drop(ballast);
    let server = Server::start(&home);
    soon("what was acknowledged before to be stored", || home.waiting_spools().is_empty());
    let stored = home.events(&id(&home.sessions(&[])[0]));
    assert!(commands(&stored).contains(&"print(\"be\" + \"fore\")"), "{stored:?}");
    server.stop();
}

#[test]
fn a_limit_on_the_size_of_files_is_told_like_a_full_disk_and_nothing_is_lost() {
    let home = TestHome::patient();
    home.session_buddy(["session", "start", "--id", "limited", "--project", "p"]).run().expect_success();
    let script = r#"ulimit -f 600
n=0
text=$(printf '%03000d' 0)
while session-buddy add-message --session limited "$text" > out 2> told; do
    n=$((n + 1))
    [ $n -lt 400 ] || exit 9
done
session-buddy add-message --session limited "$text" > out 2> told
echo "$n $?"
cat told
(ulimit -f 0; mahavishnu shell -c 'print("still" + " runs")') || [ $? = 6 ]"#;
    let told = home.sh(script).run();
    let (said, rest) = told.expect_success().stdout.split_once('\n').unwrap();
    let (stored, code) = said.split_once(' ').unwrap();
    assert_eq!(code, "6", "{told}");
    assert!(rest.contains("limit on the size of files") && rest.contains("ulimit -f"), "{told}");
    assert!(rest.contains("still runs") && told.stderr.contains("too large"), "{told}");
    let session = home.session_buddy(["get-session", "limited", "--format", "json"]).run().expect_success().json();
    assert_eq!(session["event_count"].as_u64(), stored.parse::<u64>().ok().map(|stored| stored + 1), "{session}");
    home.session_buddy(["add-message", "--session", "limited", "after"]).run().expect_success();
}
