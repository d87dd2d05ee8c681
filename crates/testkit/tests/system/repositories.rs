//! The manifest kept by commands, and how repositories stand, over real ones.

use std::fs;

use testkit::TestHome;
use testkit::git::{git, repository};

#[test]
fn repositories_are_found_added_shown_and_removed() {
    let home = TestHome::new();
    let shop = repository(&home, "src/shop");
    let _ = repository(&home, "src/core");
    fs::create_dir_all(home.work().join("src/empty")).unwrap();
    std::os::unix::fs::symlink(home.work(), home.work().join("src/loop")).unwrap();

    let found = home.mahavishnu(["repos", "scan", "src", "--format", "json"]).run();
    found.expect_success();
    assert_eq!(found.json().as_array().unwrap().len(), 2, "{found}");
    home.mahavishnu(["repos", "scan", "src", "--add", "--tag", "rust"]).run().expect_success();
    let again = home.mahavishnu(["repos", "scan", "src", "--add", "--format", "json"]).run();
    again.expect_success();
    assert!(again.json().as_array().unwrap().iter().all(|row| row["result"] == "known"), "{again}");

    fs::write(shop.join("new.txt"), "x").unwrap();
    fs::write(shop.join("README.md"), "changed").unwrap();
    let status = home.mahavishnu(["repos", "status", "--tag", "rust", "--format", "json"]).run();
    status.expect_success();
    let rows = status.json();
    assert_eq!((&rows[0]["name"], &rows[0]["standing"]), (&"core".into(), &"clean".into()), "{status}");
    assert_eq!((&rows[1]["branch"], &rows[1]["standing"]), (&"main".into(), &"changed".into()), "{status}");
    assert_eq!((rows[1]["changed"].as_i64(), rows[1]["untracked"].as_i64()), (Some(1), Some(1)), "{status}");
    assert_eq!(rows[1]["commit"]["subject"], "first");

    home.mahavishnu(["repos", "remove", "core"]).run().expect_success();
    let left = home.mahavishnu(["list-repos", "--format", "csv"]).run();
    assert!(left.stdout.contains("shop") && !left.stdout.contains("core"), "{left}");
}

#[test]
fn folders_that_are_not_there_are_told_with_the_line_of_the_manifest() {
    let home = TestHome::new();
    let shop = repository(&home, "shop");
    fs::create_dir_all(home.mahavishnu_home()).unwrap();
    let file = home.mahavishnu_home().join("repos.yaml");
    let list = format!(
        "repos:\n- {{name: shop, path: {}, role: app}}\n- name: gone\n  path: /no/such/folder\n  role: app\n",
        shop.display()
    );
    fs::write(&file, &list).unwrap();
    let place = format!("{}:4: /no/such/folder does not exist", file.display());
    let listed = home.mahavishnu(["list-repos"]).run();
    assert!(listed.expect_success().stderr.contains(&place), "{listed}");
    assert!(!listed.stdout.contains("Nickname"), "{listed}");
    let status = home.mahavishnu(["repos", "status", "--format", "json"]).run();
    assert_eq!(status.expect_code(1).json()[1]["note"], place.as_str(), "{status}");
    fs::write(&file, list.replace("name: gone", "name: gone\n  nickname: away")).unwrap();
    let listed = home.mahavishnu(["list-repos"]).run();
    assert!(listed.expect_success().stdout.contains("Nickname") && listed.stdout.contains("away"), "{listed}");
    fs::write(&file, list.replace("/no/such/folder", &shop.display().to_string())).unwrap();
    let twice = home.mahavishnu(["list-repos"]).run();
    twice.expect_code(3).expect_no_internals();
    assert!(twice.stderr.contains(":4: ") && twice.stderr.contains("on line 2"), "{twice}");
}

#[test]
fn distance_and_trouble_of_repositories_are_told() {
    let home = TestHome::new();
    let origin = repository(&home, "origin");
    let copy = home.work().join("copy");
    git(&home, &home.work(), &["clone", "-q", &origin.to_string_lossy(), &copy.to_string_lossy()]);
    fs::write(origin.join("more"), "x").unwrap();
    git(&home, &origin, &["add", "."]);
    git(&home, &origin, &["commit", "-q", "-m", "second"]);
    let _ = repository(&home, "gone");
    let _ = repository(&home, "plain");
    for name in ["copy", "gone", "plain"] {
        home.mahavishnu(["repos", "add", name]).run().expect_success();
    }
    fs::remove_dir_all(home.work().join("gone")).unwrap();
    fs::remove_dir_all(home.work().join("plain/.git")).unwrap();
    fs::write(copy.join(".git/index.lock"), "").unwrap();
    let status = home.mahavishnu(["repos", "status", "--fetch", "--format", "json"]).run();
    status.expect_code(1);
    let rows = status.json();
    assert_eq!((rows[0]["behind"].as_i64(), rows[0]["ahead"].as_i64()), (Some(1), Some(0)), "{status}");
    assert!(rows[0]["under_way"].as_str().unwrap().contains("lock"), "{status}");
    assert_eq!((&rows[1]["standing"], &rows[2]["standing"]), (&"missing".into(), &"no_repository".into()), "{status}");

    let swept = home.mahavishnu(["sweep", "--format", "json", "--", "false"]).run();
    swept.expect_code(1);
    let steps = swept.json()["steps"].clone();
    assert!(steps[0]["note"].as_str().unwrap().contains("index.lock"), "{swept}");
    assert!(steps[1]["note"].as_str().unwrap().contains("gone"), "{swept}");
}

#[test]
fn what_is_no_repository_or_listed_already_is_refused_and_the_file_stays() {
    let home = TestHome::new();
    let shop = repository(&home, "shop");
    fs::create_dir_all(shop.join("inner")).unwrap();
    fs::create_dir_all(home.work().join("plain")).unwrap();
    home.mahavishnu(["repos", "add", "shop", "--name", "shop"]).run().expect_success();
    let file = home.mahavishnu_home().join("repos.yaml");
    let before = fs::read_to_string(&file).unwrap();
    for (args, part) in [
        (vec!["repos", "add", "shop"], "listed already"),
        (vec!["repos", "add", "shop/inner"], "inside of a repository"),
        (vec!["repos", "add", "plain"], "no git repository"),
        (vec!["repos", "add", "nothing"], "no such file"),
        (vec!["repos", "remove", "nothing"], "no repository is called"),
    ] {
        let done = home.mahavishnu(args).run();
        assert!(done.stderr.contains(part) && !done.stderr.contains("panicked"), "{done}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn lists_of_other_tools_are_imported_with_the_lines_of_what_is_missing() {
    let home = TestHome::new();
    let _ = repository(&home, "a");
    let _ = repository(&home, "b");
    fs::write(home.work().join(".mrconfig"), "[a]\ncheckout = x\n[b]\ncheckout = x\n[missing]\ncheckout = x\n")
        .unwrap();
    let done = home.mahavishnu(["repos", "import", ".mrconfig", "--format", "json"]).run();
    done.expect_code(1);
    let rows = done.json();
    assert_eq!((&rows[0]["result"], &rows[2]["result"]), (&"added".into(), &"refused".into()), "{done}");
    assert_eq!(rows[2]["line"].as_i64(), Some(5), "{done}");
}
