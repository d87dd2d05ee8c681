use super::*;

const TEXT: &str = "\
# Our repositories
roles:
  - name: lib
  - name: app
repos:
  # The core comes first.
  - name: core
    path: /core   # never moves
    role: lib

  - {name: shop, path: /shop, role: app, depends_on: [core]}
  # Pages
  - role: app
    name: site
    path: /site
# The end
";

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(text: Option<&str>) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(world.places().home).unwrap();
        if let Some(text) = text {
            std::fs::write(world.file(), text).unwrap();
        }
        world
    }

    fn places(&self) -> Places {
        Places { cwd: self.dir.path().join("w"), home: self.dir.path().join("home"), user_home: self.dir.path().into() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("home/repos.yaml")
    }

    fn change(&self, work: impl FnOnce(&mut Editor) -> Result<()>) -> Result<String> {
        let mut editor = Editor::open(&self.places())?;
        work(&mut editor)?;
        editor.save()?;
        Ok(std::fs::read_to_string(self.file()).unwrap())
    }
}

fn new(name: &str, role: &str) -> NewRepository {
    NewRepository { name: name.into(), path: format!("/{name}"), role: role.into(), ..NewRepository::default() }
}

#[test]
fn an_added_entry_comes_last_and_all_else_stays_as_it_is() {
    let entry = NewRepository {
        tags: vec!["rust".into(), "yes".into()],
        description: "Says: \"hi\"".into(),
        depends_on: vec!["core".into()],
        nickname: Some("t".into()),
        ..new("tool", "app")
    };
    let text = World::new(Some(TEXT)).change(|editor| editor.add(&entry)).unwrap();
    let added = "  - name: tool\n    path: /tool\n    nickname: t\n    role: app\n    tags: [rust, \"yes\"]\n    description: \"Says: \\\"hi\\\"\"\n    depends_on: [core]\n";
    assert_eq!(text, TEXT.replace("# The end\n", &format!("{added}# The end\n")));
}

#[test]
fn a_removed_entry_goes_alone() {
    let text = World::new(Some(TEXT)).change(|editor| editor.remove("site").map(drop)).unwrap();
    assert_eq!(text, TEXT.replace("  - role: app\n    name: site\n    path: /site\n", ""));
    let text = World::new(Some(TEXT)).change(|editor| editor.remove("shop").map(drop)).unwrap();
    assert_eq!(text, TEXT.replace("  - {name: shop, path: /shop, role: app, depends_on: [core]}\n", ""));
    let fault = World::new(Some(TEXT)).change(|editor| editor.remove("core").map(drop)).unwrap_err();
    assert_eq!(fault.message(), "shop depends on core");
}

#[test]
fn lists_are_begun_and_emptied() {
    let world = World::new(None);
    let first = world.change(|editor| editor.add(&new("a", "app"))).unwrap();
    assert!(first.ends_with("repos:\n  - name: a\n    path: /a\n    role: app\n"), "{first}");
    let empty = world.change(|editor| editor.remove("a").map(drop)).unwrap();
    assert!(empty.ends_with("repos: []\n"), "{empty}");
    assert_eq!(world.change(|editor| editor.add(&new("a", "app"))).unwrap(), first);
    for text in [
        "",
        "repos:\n",
        "version: 3\n",
        "repos: [] # none yet\n",
        "repos:\n- {name: b, path: /b, role: x}\n",
        "repos:\r\n  - {name: b, path: /b, role: x}\r\n",
    ] {
        let text = World::new(Some(text)).change(|editor| editor.add(&new("a", "app"))).unwrap();
        assert!(text.contains("- name: a"), "{text}");
    }
}

#[test]
fn what_cannot_be_edited_safely_is_left_alone() {
    for text in ["repos: [{name: b, path: /b, role: x}]\n", "{repos: []}\n"] {
        let world = World::new(Some(text));
        assert!(
            world.change(|editor| editor.add(&new("a", "app"))).unwrap_err().message().contains("safely"),
            "{text}"
        );
        assert_eq!(std::fs::read_to_string(world.file()).unwrap(), text);
    }
}

#[test]
fn names_roles_and_dependencies_are_checked_before_anything_is_written() {
    let world = World::new(Some(TEXT));
    for entry in [
        new("core", "lib"),
        new("a b", "lib"),
        new("a", "none"),
        NewRepository { depends_on: vec!["nothing".into()], ..new("a", "lib") },
        NewRepository { nickname: Some("site".into()), ..new("a", "lib") },
    ] {
        let fault = world.change(|editor| editor.add(&entry)).unwrap_err();
        assert!(!fault.message().contains(".yaml:"), "{fault}");
    }
    assert_eq!(std::fs::read_to_string(world.file()).unwrap(), TEXT);
}

#[test]
fn access_rights_and_links_stay() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(None);
    let real = world.dir.path().join("real.yaml");
    std::fs::write(&real, TEXT).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&real, world.file()).unwrap();
    world.change(|editor| editor.add(&new("tool", "app"))).unwrap();
    assert!(std::fs::symlink_metadata(world.file()).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o644);
}
