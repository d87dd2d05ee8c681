//! The admin shell over the real binary: objects, magics, figures and pages, and input that would break a lesser shell.

use std::time::Duration;

use testkit::{TestHome, git};

fn manifest(home: &TestHome, names: &[&str]) {
    let mut text = String::from("repos:\n");
    for name in names {
        let dir = git::repository(home, name);
        text.push_str(&format!("  - {{name: {name}, path: {}, role: service, tags: [rust]}}\n", dir.display()));
    }
    std::fs::create_dir_all(home.mahavishnu_home()).unwrap();
    std::fs::write(home.mahavishnu_home().join("repos.yaml"), text).unwrap();
}

fn shell(home: &TestHome, code: &str) -> testkit::Finished {
    home.mahavishnu(["shell", "-c", code]).run()
}

#[test]
fn objects_have_fields_and_workflows_can_be_looked_at() {
    let home = TestHome::new();
    manifest(&home, &["shop", "mill"]);
    home.mahavishnu(["sweep", "--", "echo", "from the <step>"]).run().expect_success();
    home.mahavishnu(["sweep", "--repo", "mill", "--", "false"]).run().expect_code(1);
    let seen = shell(&home, "repos['shop'].path; workflows[0].status; workflows[-1].steps; app.version; len(repos())");
    seen.expect_success();
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert!(lines[0].ends_with("shop\""), "{}", seen.stdout);
    assert_eq!((lines[1], lines[2], lines[4]), ("\"failed\"", "2", "2"), "{}", seen.stdout);
    let seen = shell(&home, "w = workflows[1].id\n%workflow 0\n");
    seen.expect_code(1);
    let listed = home.mahavishnu(["workflow", "list", "--format", "json"]).run().json();
    let id = listed[1]["id"].as_str().unwrap().to_owned();
    let seen = shell(&home, &format!("%workflow {id}"));
    assert!(seen.stdout.contains("from the <step>") && seen.stdout.contains("completed"), "{}", seen.stdout);
    let seen = shell(&home, "%timeit -n 2 len(ps())\n%history -g TIME*ps");
    seen.expect_success();
    assert!(seen.stdout.contains("a run (best") && seen.stdout.contains("%timeit -n 2"), "{}", seen.stdout);
    let seen = shell(&home, "repos['sho'].path");
    seen.expect_code(1);
    assert!(seen.stderr.contains("did you mean") || seen.stderr.contains("shop"), "{}", seen.stderr);
}

#[test]
fn figures_and_the_page_come_from_the_database() {
    let home = TestHome::new();
    manifest(&home, &["shop"]);
    home.mahavishnu(["sweep", "--", "echo", "<script>alert(1)</script>"]).run().expect_success();
    home.mahavishnu(["sweep", "--", "sh", "-c", "exit 3 # <script>"]).run().expect_code(1);
    let rows = home.mahavishnu(["metrics", "--range", "1h", "--metric", "workflows", "--format", "json"]).run().json();
    let of = |state: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["labels"]["status"] == state);
        row.and_then(|row| row["value"].as_f64())
    };
    assert_eq!((of("completed"), of("failed")), (Some(1.0), Some(1.0)), "{rows}");
    let text = home.mahavishnu(["metrics", "--format", "prometheus"]).run();
    assert!(text.stdout.contains("mahavishnu_repository_failed{repository=\"shop\"} 1"), "{}", text.stdout);
    let refused = home.mahavishnu(["metrics", "--metric", "nonsense"]).run();
    assert!(refused.code != Some(0) && refused.stderr.contains("step_seconds"), "{refused}");
    home.mahavishnu(["report", "--range", "30d", "--output", "report.html"]).run().expect_success();
    let page = std::fs::read_to_string(home.work().join("report.html")).unwrap();
    assert!(page.contains("class=\"cols\"") && !page.contains("<script"), "{page}");
    let refused = home.mahavishnu(["report", "--output", "/nowhere/report.html"]).run();
    assert!(refused.code != Some(0) && refused.stderr.contains("/nowhere/report.html"), "{refused}");
}

#[test]
fn what_would_hang_or_break_a_shell_ends_its_entry_and_the_next_one_runs() {
    let home = TestHome::new().with_var("MAHAVISHNU_SHELL_TIME_LIMIT", "1");
    let script = "x = = 1\n\
                  def f(n):\n    return f(n + 1)\n\n\
                  f(0)\n\
                  def spin():\n    for a in range(1000000000):\n        for b in range(1000000000):\n            pass\n\n\
                  spin()\n\
                  y = 'a' * 3000000000\n\
                  z = [0] * 3000000000\n\
                  'b' * 200000\n\
                  print('still here')\n";
    let seen = home.mahavishnu(["shell"]).stdin(script).run();
    assert!(seen.stdout.contains("still here"), "{}", seen.everything());
    for words in ["syntax error", "at 1:5", "time limit", "use a loop"] {
        assert!(seen.stderr.contains(words), "{words}: {}", seen.stderr);
    }
    assert!(seen.stdout.contains("bytes in all"), "a huge value is cut");
    seen.expect_no_internals();
}

/// Most memory that a running process has had, in MiB.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Time for what a busy machine does slowly.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn values_that_would_take_all_memory_are_refused_and_the_next_entry_runs() {
    let home = TestHome::new();
    let mut shell = home.mahavishnu(["shell"]).spawn();
    let refused = [
        "'x' * 1000000000",
        "('x' * 1000000) * 2000000000",
        "[0] * 2000000000",
        "list(range(2000000000))",
        "sorted(range(2000000000), reverse = True)",
        "s = 'x'\nfor i in range(60):\n    s = s + s\n",
        "s = 'x'\nfor i in range(60):\n    s += s\n",
        "s = 'abc'\ns *= 2000000000",
        "('%s' * 1000) % tuple(['x' * 1000000] * 1000)",
        "[text * 1000000 for text in ['x'] * 100000]",
        "','.join(['x' * 1000000] * 1000)",
        "('a' * 100000).replace('a', 'b' * 100000)",
        "('{0}' * 1000).format('x' * 1000000)",
    ];
    for entry in refused {
        shell.send(entry).unwrap();
    }
    // What is small is as it was.
    shell.send("s = 'ab'; s *= 2; s + 'c'; 7 % 4; '%s!' % 'x'; [1] + [2]; list(range(3))").unwrap();
    shell.send("('a' + '-').join(['b', 'c']).replace('-', '+').format(); struct(join = len).join('abc')").unwrap();
    shell.send("'a' + 1").unwrap();
    shell.send("1 .join([])").unwrap();
    shell.send("len('x' * 1000); print('still here')").unwrap();
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("still here")) {
        lines.push(shell.next_line(LIMIT).expect("it still runs"));
    }
    let memory = most_memory(shell.id());
    assert!(memory < 1_200, "{memory} MiB");
    let seen: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    assert_eq!(seen, ["\"ababc\"", "3", "\"x!\"", "[1, 2]", "[0, 1, 2]", "\"ba+c\"", "3", "1000", "still here"]);
    shell.close_stdin();
    assert_eq!(shell.wait(LIMIT).code(), Some(0));
    let (_, errors) = shell.rest();
    assert_eq!(errors.matches("takes more memory than code may have").count(), refused.len(), "{errors}");
    assert!(errors.contains("Operation `+` not supported for types `string` and `int`"), "{errors}");
    assert!(!errors.contains("sum__") && !errors.contains("panicked"), "{errors}");
}

#[test]
fn input_of_any_length_and_any_bytes_takes_bounded_memory_and_ends_as_documented() {
    let home = TestHome::new();
    let run = |input: Vec<u8>| home.mahavishnu(["shell"]).stdin(input).limit(LIMIT).run();
    for (input, code, out, err) in [
        (b"def f():\r\n    return 7\r\n\r\nf()\r\n".to_vec(), 0, "7\n", ""),
        (b"print('\xff\xfe')\n\xff = 1\nprint(3)\n".to_vec(), 0, "3\n", "syntax error"),
        (b"x = 1\0\nprint('a\0b'); print(4)\n".to_vec(), 0, "a\u{fffd}b\n4\n", "at 1:6"),
        (b"for i in range(2):\n    print(i)".to_vec(), 0, "0\n1\n", ""),
        (b"x = [1,\n2".to_vec(), 1, "", "unexpected new line"),
        (b"x = '''abc\n".to_vec(), 1, "", "unfinished string"),
        (format!("x = '{}'\nprint(5)\n", "a".repeat(1_000_000)).into(), 0, "5\n", "at most 128 KiB, not 977"),
        (format!("x = [\n{}]\nprint(6)\n", "1,\n".repeat(100_000)).into(), 1, "", "nothing more is read"),
        (format!("{}print(7)\n", "%who;".repeat(2_000)).into(), 0, "7\n", ""),
        (format!("x = 1{}\nx\n", "+1".repeat(50_000)).into(), 0, "50001\n", ""),
        (format!("{}\nprint(8)\n", "(".repeat(90_000)).into(), 1, "", "nested deeper than 100"),
        (b"exit(3)\nprint(9)\n".to_vec(), 3, "", ""),
    ] {
        let done = run(input);
        done.expect_code(code).expect_no_internals();
        assert!(done.stdout.ends_with(out) && done.stderr.contains(err), "{out}{err}: {}", done.stderr);
    }
    // A line without an end: what is not held cannot take memory.
    let mut shell = home.mahavishnu(["shell"]).spawn();
    let mut pipe = shell.take_stdin();
    let feeder = std::thread::spawn(move || {
        let piece = vec![b'a'; 1 << 20];
        while std::io::Write::write_all(&mut pipe, &piece).is_ok() {}
    });
    assert_eq!(shell.wait(LIMIT).code(), Some(1));
    feeder.join().unwrap();
    assert!(shell.rest().1.contains("nothing more is read"));
}
