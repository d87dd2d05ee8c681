#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::fault::{Fault, FaultKind};

static KEEPER: Catalog = Catalog {
    product: "keeper",
    env_prefix: "KEEPER",
    specs: &[
        spec("host", Kind::Text, "127.0.0.1", &[], &["server.host"]),
        spec("port", Kind::Int { min: 1, max: 65535 }, "8678", &[], &["server.port"]),
        spec("auth.enabled", Kind::Bool, "false", &[], &[]),
        spec("auth.secret", Kind::Secret, "", &["KEEPER_SECRET"], &[]),
        spec("auth.algorithm", Kind::Choice(&["HS256", "HS384", "HS512"]), "HS256", &[], &[]),
        spec("session.checkpoint_interval", Kind::Int { min: 10, max: 600 }, "60", &[], &[]),
        spec("intelligence.enabled", Kind::Bool, "true", &["KEEPER_SEMANTIC_SEARCH"], &["semantic_search.enabled"]),
        spec("intelligence.embedding_model", Kind::Text, "", &["KEEPER_EMBEDDING_MODEL"], &["semantic_search.model"]),
        spec("sync.peer_enabled", Kind::Bool, "false", &["KEEPER_PEER_ENABLED"], &[]),
        spec("sync.peer_url", Kind::Url, "http://localhost:8682/mcp", &["KEEPER_PEER_URL"], &[]),
        spec("sync.sync_interval", Kind::Int { min: 1, max: 86400 }, "300", &[], &[]),
        spec("database.type", Kind::Choice(&["sqlite", "postgresql"]), "sqlite", &[], &[]),
        spec("database.path", Kind::Path, "sessions.db", &["KEEPER_DB_PATH"], &[]),
        spec("database.database", Kind::Text, "", &[], &[]),
        spec("database.url", Kind::Url, "", &[], &[]),
        spec("metrics.port", Kind::Int { min: 1, max: 65535 }, "9090", &["PROMETHEUS_METRICS_PORT"], &[]),
        spec("session.env", Kind::TextList, "SHELL, TERM", &[], &[]),
    ],
};

const fn spec(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    env: &'static [&'static str],
    aliases: &'static [&'static str],
) -> Spec {
    Spec { path, kind, default, env, aliases, doc: "what it does" }
}

/// A working directory and a user's home of their own.
struct Place {
    _dir: tempfile::TempDir,
    from: Surroundings,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cwd, user_home) = (dir.path().join("work"), dir.path().join("ada"));
        fs::create_dir_all(cwd.join("settings")).unwrap();
        fs::create_dir_all(user_home.join(".keeper")).unwrap();
        Self { from: Surroundings { cwd, user_home, ..Surroundings::default() }, _dir: dir }
    }

    fn with(self, file: &str, text: &str) -> Self {
        let path = match file.strip_prefix("~/") {
            Some(below) => self.from.user_home.join(below),
            None => self.from.cwd.join(file),
        };
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.from.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    fn arg(mut self, name: &str, value: &str) -> Self {
        self.from.args.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Settings {
        Settings::load(&KEEPER, &self.from).unwrap()
    }

    fn fault(&self) -> Fault {
        Settings::load(&KEEPER, &self.from).unwrap_err()
    }
}

#[test]
fn without_any_layer_the_defaults_hold() {
    let place = Place::new();
    let settings = place.load();
    assert_eq!((settings.int("port"), settings.text("host")), (8678, "127.0.0.1"));
    assert!(!settings.bool("auth.enabled") && settings.secret("auth.secret").is_none());
    assert_eq!(settings.home().root(), place.from.user_home.join(".keeper"));
    assert_eq!(settings.path("database.path"), place.from.user_home.join(".keeper/sessions.db"));
    assert_eq!(settings.list("session.env"), ["SHELL", "TERM"]);
    assert_eq!(settings.opt_text("database.url"), None);
    assert_eq!(settings.source("port"), "default");
    assert!(!settings.is_given("port"));
}

#[test]
fn each_layer_covers_the_ones_below_and_is_named_as_the_source() {
    let key = "session.checkpoint_interval";
    let mut place = Place::new().with("settings/keeper.yaml", "session:\n  checkpoint_interval: 11\n");
    let seen = |place: &Place| (place.load().int(key), place.load().source(key).to_owned());
    assert_eq!(seen(&place), (11, "settings/keeper.yaml".to_owned()));
    place = place.with("~/.keeper/config.yaml", "session: {checkpoint_interval: 12}\n");
    assert_eq!(seen(&place), (12, "~/.keeper/config.yaml".to_owned()));
    place = place.with(".env", "# x\nexport KEEPER_SESSION_CHECKPOINT_INTERVAL=\"13\"\n");
    assert_eq!(seen(&place), (13, ".env line 2, KEEPER_SESSION_CHECKPOINT_INTERVAL".to_owned()));
    place = place.var("KEEPER_SESSION_CHECKPOINT_INTERVAL", "14");
    assert_eq!(seen(&place), (14, "environment KEEPER_SESSION_CHECKPOINT_INTERVAL".to_owned()));
    place = place.arg(key, "15");
    assert_eq!(seen(&place), (15, "command line".to_owned()));
}

#[test]
fn every_form_of_a_variables_name_works() {
    for (name, value, path, shown) in [
        ("KEEPER_AUTH_ENABLED", "yes", "auth.enabled", "true"),
        ("KEEPER_AUTH__ENABLED", "ON", "auth.enabled", "true"),
        ("KEEPER_INTELLIGENCE__ENABLED", "0", "intelligence.enabled", "false"),
        ("KEEPER_SEMANTIC_SEARCH", "off", "intelligence.enabled", "false"),
        ("KEEPER_SEMANTIC_SEARCH__MODEL", "m", "intelligence.embedding_model", "m"),
        ("KEEPER_PORT", "3000", "port", "3000"),
        ("KEEPER_SERVER__PORT", "3001", "port", "3001"),
        ("KEEPER_SERVER_PORT", "3002", "port", "3002"),
        ("PROMETHEUS_METRICS_PORT", "9191", "metrics.port", "9191"),
        ("KEEPER_AUTH_ALGORITHM", "hs512", "auth.algorithm", "HS512"),
        ("KEEPER_AUTH_SECRET", "x", "auth.secret", "********"),
        ("KEEPER_SECRET", "x", "auth.secret", "********"),
        ("KEEPER_SESSION_ENV", "A,B", "session.env", "A, B"),
        ("KEEPER_SESSION_ENV", "[\"A\"]", "session.env", "A"),
    ] {
        let settings = Place::new().var(name, value).load();
        let row = settings.rows().into_iter().find(|row| row.path == path).unwrap();
        assert_eq!((row.shown.as_str(), row.source), (shown, format!("environment {name}")), "{name}");
    }
}

#[test]
fn the_exact_form_wins_over_the_flat_one_and_an_empty_variable_is_none() {
    let settings = Place::new().var("KEEPER_AUTH__SECRET", "one").var("KEEPER_SECRET", "two").load();
    assert_eq!(settings.secret("auth.secret").unwrap().expose(), "one");
    assert!(!Place::new().var("KEEPER_PORT", "").load().is_given("port"));
    assert!(!Place::new().var("KEEPER_NO__SUCH", "").load().is_given("port"));
}

#[test]
fn both_shapes_of_the_yaml_files_load() {
    let place = Place::new()
        .with("settings/keeper.yaml", "semantic_search:\n  enabled: false\n  model: \"all-MiniLM-L6-v2\"\n")
        .with("~/.keeper/config.yaml", "intelligence:\n  embedding_model: nomic\n");
    let settings = place.load();
    assert!(!settings.bool("intelligence.enabled"));
    assert_eq!(settings.text("intelligence.embedding_model"), "nomic");
}

#[test]
fn keys_below_a_section_may_stand_without_indentation() {
    let text = "# comment\nsync:\npeer_enabled: true\npeer_url: \"http://h:1/mcp\"\nsync_interval: 30 # seconds\n\
                database:\ntype: \"postgresql\"\ndatabase: \"kept\"\nserver:\nport: 99\nauth:\nenabled: true\n";
    let settings = Place::new().with("settings/keeper.yaml", text).load();
    assert!(settings.bool("sync.peer_enabled") && settings.bool("auth.enabled"));
    assert_eq!((settings.int("sync.sync_interval"), settings.int("port")), (30, 99));
    assert_eq!((settings.text("database.type"), settings.text("database.database")), ("postgresql", "kept"));
}

#[test]
fn empty_files_and_empty_sections_are_fine() {
    for text in ["", "\n# only a comment\n", "---\n", "auth:\n", "auth: {}\n", "auth:\n  enabled:\n", "null\n"] {
        let settings = Place::new().with("settings/keeper.yaml", text).load();
        assert!(!settings.is_given("auth.enabled"), "{text:?}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_file_line_key_and_what_is_allowed() {
    for (text, parts) in [
        (
            "session:\n  checkpont_interval: 60\n",
            &["line 2", "'session.checkpont_interval'", "did you mean 'session.checkpoint_interval'"][..],
        ),
        ("session:\n  checkpoint_interval: 5\n", &["line 2", "a whole number from 10 to 600, not 5"]),
        ("session:\n  checkpoint_interval: \"60\"\n", &["line 2", "a whole number from 10 to 600, not '60'"]),
        ("session:\n  checkpoint_interval: 60.5\n", &["not 60.5"]),
        ("port: 99999999999999999999\n", &["from 1 to 65535"]),
        ("auth:\n  enabled: maybe\n", &["'auth.enabled'", "true or false", "'maybe'"]),
        ("auth:\n  algorithm: none\n", &["one of HS256, HS384, HS512"]),
        ("auth:\n  secret: [a]\n", &["'auth.secret'", "a list"]),
        ("auth: true\n", &["'auth' must be a section"]),
        ("auth:\n  enabled: {x: 1}\n", &["'auth.enabled'", "not a section"]),
        ("databse:\n  x: 1\n", &["line 1", "unknown key 'databse'", "did you mean 'database'?"]),
        ("unheard_of:\n  x: 1\n", &["line 1", "unknown key 'unheard_of'", "known are auth, database"]),
        ("auth_enabled: true\n", &["did you mean 'auth.enabled'"]),
        ("port: 1\nport: 2\n", &["line 2", "'port' stands here a second time"]),
        ("auth:\n  enabled: true\nauth:\n  enabled: true\n", &["line 4", "second time"]),
        ("server:\n  port: 1\nport: 2\n", &["line 3", "same setting as 'server.port' in line 2"]),
        ("- a\n- b\n", &["must hold keys"]),
        ("port: [1\n", &["line"]),
        ("sync:\n  peer_url: localhost\n", &["a URL such as", "'localhost'"]),
    ] {
        let fault = Place::new().with("settings/keeper.yaml", text).fault();
        let shown = fault.to_string();
        assert_eq!(fault.kind(), FaultKind::Config, "{shown}");
        assert!(shown.starts_with("settings/keeper.yaml"), "{shown}");
        for part in parts {
            assert!(shown.contains(part), "{text:?} gave {shown:?}, without {part:?}");
        }
        assert!(!shown.contains('\n'), "{shown:?}");
    }
}

#[test]
fn a_wrong_variable_is_refused_with_its_name_and_what_is_allowed() {
    let shown = |name: &str, value: &str| Place::new().var(name, value).fault().to_string();
    assert_eq!(
        shown("KEEPER_PORT", "http"),
        "environment KEEPER_PORT must be a whole number from 1 to 65535, not 'http'"
    );
    let unknown = shown("KEEPER_AUTH__ENABLD", "true");
    assert!(
        unknown.contains("KEEPER_AUTH__ENABLD is no setting of keeper; did you mean KEEPER_AUTH__ENABLED?"),
        "{unknown}"
    );
    let place = Place::new().with(".env", "A=1\nKEEPER_SECRET=$(id)\n");
    assert!(place.fault().to_string().contains(".env line 2: KEEPER_SECRET holds a command"), "{}", place.fault());
    let argument = Place::new().arg("prot", "1").fault();
    assert_eq!((argument.kind(), argument.advice()), (FaultKind::User, Some("did you mean 'port'?")));
}

#[test]
fn a_flat_variable_that_we_do_not_know_may_be_somebody_elses() {
    assert!(Settings::load(&KEEPER, &Place::new().var("KEEPER_URL", "http://x").from).is_ok());
    assert!(Settings::load(&KEEPER, &Place::new().var("KEEPERS__X", "1").from).is_ok());
}

#[test]
fn a_file_that_others_may_write_is_refused_unless_it_says_nothing_to_us() {
    let place = Place::new().with("settings/keeper.yaml", "port: 1\n");
    let open_to_all = |path: PathBuf| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    open_to_all(place.from.cwd.join("settings/keeper.yaml"));
    assert!(place.fault().to_string().contains("chmod go-w"), "{}", place.fault());

    let place = Place::new().with(".env", "OTHER=1\n");
    open_to_all(place.from.cwd.join(".env"));
    assert_eq!(place.load().int("port"), 8678);
    let place = place.with(".env", "KEEPER_PORT=1\n");
    open_to_all(place.from.cwd.join(".env"));
    assert!(place.fault().to_string().contains("chmod go-w"));
}

#[test]
fn the_home_moves_by_its_variable_also_from_dot_env() {
    let place = Place::new().var("KEEPER_HOME", "~/elsewhere");
    assert_eq!(place.load().home().root(), place.from.user_home.join("elsewhere"));
    let place = Place::new().with(".env", "KEEPER_HOME=here\n").with("settings/keeper.yaml", "");
    fs::create_dir(place.from.cwd.join("here")).unwrap();
    let place = place.with("here/config.yaml", "port: 7\n");
    assert_eq!(place.load().int("port"), 7);
}

#[test]
fn configured_paths_are_relative_to_the_working_directory() {
    let place = Place::new().var("KEEPER_DB_PATH", "x/y.db");
    assert_eq!(place.load().path("database.path"), place.from.cwd.join("x/y.db"));
    let place = Place::new().with(".env", "KEEPER_DB_PATH=\"$HOME/.keeper/z.db\"");
    assert_eq!(place.load().path("database.path"), place.from.user_home.join(".keeper/z.db"));
}

#[test]
fn rows_show_flat_names_and_sources_and_no_secret() {
    let place = Place::new()
        .var("KEEPER_AUTH_SECRET", "hunter2")
        .var("KEEPER_DATABASE_URL", "postgres://ada:hunter2@db/x")
        .var("KEEPER_TOKEN", "hunter2");
    let settings = place.load();
    let oneiric = Settings::load(&ONEIRIC, &place.from).unwrap();
    let rows = settings.rows_with(&oneiric);
    let line = |flat: &str| rows.iter().find(|row| row.flat == flat).map(|row| row.shown.clone());
    assert_eq!(line("auth_secret").as_deref(), Some("********"));
    assert_eq!(line("database_url").as_deref(), Some("postgres://ada:********@db/x"));
    assert_eq!(line("event_buffer_max_size").as_deref(), Some("1000"));
    assert!(!format!("{rows:?} {settings:?} {:?}", place.from).contains("hunter2"));
    assert_eq!(settings.variable("KEEPER_TOKEN"), Some("hunter2"));
    assert_eq!(settings.variable("KEEPER_NONE"), None);
}

#[test]
fn the_shared_settings_come_from_their_own_files_and_variables() {
    let place =
        Place::new().with("settings/oneiric.yaml", "event_buffer:\n  max_size: 7\n  flush_interval: 5  # seconds\n");
    let place = place.var("ONEIRIC_EVENT_BUFFER_ENABLED", "false");
    let settings = Settings::load(&ONEIRIC, &place.from).unwrap();
    assert_eq!((settings.int("event_buffer.max_size"), settings.bool("event_buffer.enabled")), (7, false));
}
