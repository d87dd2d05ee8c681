//! The admin shell over the real binary: objects, magics, figures and pages, and input that would break a lesser shell.

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
    assert!(page.contains("<svg") && !page.contains("<script"), "{page}");
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
