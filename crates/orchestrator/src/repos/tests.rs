use super::*;

const GOOD: &str = "\
roles:
  - {name: manager, description: Keeps things, capabilities: [sessions, search]}
  - name: tool
repos:
  - name: session-buddy
    path: ../session-buddy
    package: session_buddy
    nickname: buddy
    role: manager
    tags: [rust, mcp]
    description: Keeps sessions
  - name: shell
    path: ~/shell
    role: tool
    tags: [rust]
    depends_on: [session-buddy]
    status: active
  - name: other
    path: /srv/other
    role: tool
";

fn parse(text: &str) -> Result<Manifest> {
    Manifest::parse(text, Path::new("/w/settings/ecosystem.yaml"), Path::new("/home/ada"))
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let fault = parse(text).unwrap_err();
    assert_eq!(fault.message(), format!("/w/settings/ecosystem.yaml:{message}"), "{text}");
    assert_eq!(fault.kind(), oneiric::fault::FaultKind::Config);
}

#[test]
fn paths_are_absolute_relative_to_the_manifest_or_to_the_users_home() {
    let manifest = parse(GOOD).unwrap();
    let paths: Vec<_> = manifest.repos.iter().map(|repo| repo.path.to_string_lossy().into_owned()).collect();
    assert_eq!(paths, ["/w/session-buddy", "/home/ada/shell", "/srv/other"]);
    assert_eq!(manifest.roles[0].capabilities, ["sessions", "search"]);
}

#[test]
fn tags_and_roles_select() {
    let manifest = parse(GOOD).unwrap();
    let names = |tag, role| -> Vec<&str> {
        manifest.select(tag, role).unwrap().into_iter().map(|repo| repo.name.as_str()).collect()
    };
    assert_eq!(names(None, None), ["session-buddy", "shell", "other"]);
    assert_eq!(names(Some("rust"), None), ["session-buddy", "shell"]);
    assert_eq!(names(Some("rust"), Some("tool")), ["shell"]);
    assert_eq!(names(Some("mcp"), Some("tool")), Vec::<&str>::new());
    let fault = manifest.select(Some("python"), None).unwrap_err();
    assert_eq!(fault.to_string(), "no repository has the tag 'python'; there are: mcp, rust");
    assert!(manifest.select(None, Some("tolo")).is_err());
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    refused(
        "repos:\n  - name: a\n    path: /a\n    role: x\n  - name: a\n    path: /b\n    role: x\n",
        "5: repository 'a' is listed twice, first on line 2",
    );
    refused(
        "roles: [{name: tool}]\nrepos:\n  - name: a\n    path: /a\n    role: tolo\n",
        "5: repository 'a' has the unknown role 'tolo'",
    );
    refused("repos:\n  - name: a b\n    path: /a\n    role: x\n", "2: 'a b' is no name of a repository");
    refused("roles: [{name: x}, {name: x}]\n", "1: role 'x' is listed twice");
    refused("repos:\n  - name: a\n    path: ''\n    role: x\n", "3: the path of repository 'a' is empty");
    refused(
        "repos:\n  - {name: a, path: /a, role: x}\n  - name: b\n    path: /b\n    nickname: a\n    role: x\n",
        "5: the nickname 'a' of repository 'b' is the name of one on line 2",
    );
    refused(
        "repos:\n  - {name: a, path: /a, role: x, nickname: c}\n  - name: c\n    path: /b\n    role: x\n",
        "3: the name 'c' is the nickname of repository 'a' on line 2",
    );
    refused(
        "repos:\n  - {name: a, path: /a, role: x, nickname: c}\n  - {name: b, path: /b, role: x, nickname: c}\n",
        "3: the nickname 'c' of repository 'b' is that of 'a' on line 2, too",
    );
    refused(
        "repos:\n  - {name: a, path: /a/x, role: x}\n  - name: b\n    path: /a/./y/../x/\n    role: x\n",
        "4: repository 'b' has the path of 'a' on line 2: /a/x",
    );
    assert!(parse("repos:\n  - {name: a, path: /a, role: x, nickname: a}\n").is_ok());
}

#[test]
fn what_is_no_text_and_what_is_not_there_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places { cwd: dir.path().join("w"), home: dir.path().into(), user_home: dir.path().into() };
    let file = dir.path().join("repos.yaml");
    std::fs::write(&file, b"repos:\n  - name: a\n    description: caf\xe9\n").unwrap();
    let fault = Manifest::load(&places).unwrap_err();
    assert!(fault.message().starts_with(&format!("{}:3: ", file.display())), "{fault}");
    std::fs::write(&file, "repos:\n  - name: a\n    path: gone\n    role: x\n  - {name: b, path: ., role: x}\n")
        .unwrap();
    let manifest = Manifest::load(&places).unwrap();
    let missing: Vec<Option<String>> = manifest.repos.iter().map(|repo| manifest.missing(repo)).collect();
    let gone = dir.path().join("gone");
    assert_eq!(missing, [Some(format!("{}:3: {} does not exist", file.display(), gone.display())), None]);
}

#[test]
fn dependencies_exist_and_make_no_circle() {
    let repo =
        |name: &str, needs: &str| format!("  - {{name: {name}, path: /{name}, role: x, depends_on: [{needs}]}}\n");
    let text = format!("repos:\n{}{}{}", repo("a", "b"), repo("b", "c"), repo("c", "b"));
    refused(&text, "4: depends_on goes in a circle: b → c → b");
    refused(&format!("repos:\n{}", repo("a", "a")), "2: depends_on goes in a circle: a → a");
    refused(&format!("repos:\n{}", repo("a", "z")), "2: repository 'a' depends on 'z', which is not listed");
    let many: String = (0..2000).map(|n| repo(&format!("r{n}"), &format!("r{}", n + 1))).collect();
    let text = format!("repos:\n{many}{}", repo("r2000", ""));
    assert_eq!(parse(&text).unwrap().repos.len(), 2001);
}

#[test]
fn wrong_keys_and_types_name_their_line() {
    for (text, line) in [
        ("repos:\n  - name: a\n    path: /a\n    role: x\n    tag: [b]\n", 5),
        ("repos:\n  - name: a\n    path: /a\n    role: x\n    tags: 3\n", 5),
        ("repos: [\n", 1),
    ] {
        let fault = parse(text).unwrap_err();
        assert!(fault.message().starts_with("/w/settings/ecosystem.yaml:"), "{fault}");
        let place: u64 =
            fault.message()["/w/settings/ecosystem.yaml:".len()..].split(':').next().unwrap().parse().unwrap();
        assert!(place.abs_diff(line) <= 1, "{fault}");
    }
}

#[test]
fn an_empty_manifest_has_no_repositories() {
    for text in ["", "# nothing\n", "repos: []\n", "version: 3\nrepos: []\n"] {
        assert!(parse(text).unwrap().repos.is_empty(), "{text}");
    }
}

#[test]
fn the_first_place_that_has_a_manifest_counts() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places { cwd: dir.path().join("w"), home: dir.path().join("home"), user_home: dir.path().into() };
    assert_eq!(Manifest::load(&places).unwrap(), Manifest::default());
    assert!(Manifest::how_to_begin(&places).contains("settings/ecosystem.yaml"));
    for (place, name) in places.candidates().iter().zip(["c", "b", "a"]).rev() {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, format!("repos: [{{name: {name}, path: /x, role: r}}]")).unwrap();
        assert_eq!(Manifest::load(&places).unwrap().repos[0].name, name);
        assert_eq!(Manifest::load(&places).unwrap().source.as_deref(), Some(place.as_path()));
    }
}
