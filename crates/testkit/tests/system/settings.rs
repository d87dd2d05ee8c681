//! Settings as the programs take them: what is said of them, and where they lead.

use testkit::TestHome;

#[test]
fn health_says_that_auth_is_on_and_cannot_be() {
    let home = TestHome::new();
    for (name, value) in [("AUTH_ENABLED", "true"), ("AUTH_SECRET", "same-secret-on-both-sides")] {
        let health = home.session_buddy(["health"]).var(&format!("SESSION_BUDDY_{name}"), value).run();
        let line = health.stdout.lines().find(|line| line.contains("Authentication")).unwrap_or_default().to_owned();
        assert!(line.starts_with("✗ Authentication: broken ("), "{health}");
    }
    let off = home.session_buddy(["health"]).run();
    assert!(off.stdout.contains("- Authentication: disabled (auth_enabled = false)"), "{off}");
}

#[test]
fn a_home_that_no_shell_expanded_is_the_users_home() {
    let home = TestHome::new();
    // As `export $(cat .env | xargs)` leaves it.
    let said = home
        .session_buddy(["add-message", "--session", "p", "hello"])
        .var("SESSION_BUDDY_DB_PATH", "$HOME/own/kept.db")
        .cwd(home.work())
        .run();
    said.expect_success();
    assert!(home.user().join("own/kept.db").exists(), "{said}");
    assert!(!home.work().join("$HOME").exists(), "{said}");
}

#[test]
fn settings_are_shown_to_whoever_holds_a_token() {
    let home = TestHome::new();
    let shown = home.session_buddy(["config", "--token", "abc"]).run();
    assert!(shown.expect_success().stdout.contains("server_port"), "{shown}");
}
