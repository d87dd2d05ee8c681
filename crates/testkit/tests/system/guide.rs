//! The deployment guide from its section 3 to its section 4.4, in one go and to the letter: its own port, its own paths below
//! the home, no setting but the home itself.

use testkit::{TestHome, git, network};

/// What the guide tells to type. Lines that wait stand where a person would.
const SCRIPT: &str = r#"
set -e
session-buddy --help > /dev/null
session-buddy --version
nohup session-buddy mcp start > "$HOME/session-buddy.log" 2>&1 &
echo $! > "$HOME/session-buddy.pid"
trap 'kill $(cat "$HOME/session-buddy.pid") 2> /dev/null || true' EXIT
tries=0
until curl -sf http://127.0.0.1:8678/health; do
  tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.05
done
echo
echo "== three lines"
head -n 3 "$HOME/session-buddy.log"
echo "== step 4"
mahavishnu shell <<'SHELL'
ps()  # Show workflows (if any)
%repos  # List repositories
exit  # Exit shell
SHELL
session-buddy list-sessions --type admin_shell --limit 5
mahavishnu mcp start --detach > /dev/null
trap 'kill $(cat "$HOME/session-buddy.pid") 2> /dev/null || true; mahavishnu mcp stop > /dev/null 2>&1 || true' EXIT
echo "== 4.1"
mahavishnu mcp health
session-buddy health
mahavishnu test-session-tracking
echo "== 4.2"
mahavishnu shell <<'SHELL'
%repos
exit
SHELL
session-buddy list-sessions --type admin_shell --limit 1
mahavishnu shell <<'SHELL'
ps()
top()
errors(5)
exit
SHELL
SESSION_ID=$(session-buddy list-sessions --type admin_shell --limit 1 --format json | jq -r '.[0].session_id')
echo "== events"
session-buddy list-events --session-id $SESSION_ID
echo "== metadata"
session-buddy get-session $SESSION_ID --format json | jq -c '[.component, .session_type, .command_count, .metadata.git_branch, (.metadata.env | type)]'
echo "== 4.3"
mahavishnu shell -c "exit"
session-buddy list-sessions --limit 100 > /dev/null
session-buddy search "workflow orchestration"
echo "== 4.4"
mahavishnu shell -c "ps(); top(); sync()" && \
session-buddy list-sessions --type admin_shell --limit 1 && \
echo "✓ E2E test passed"
echo "== verification"
mahavishnu mcp health && \
session-buddy health && \
mahavishnu test-session-tracking && \
echo "✓ Deployment verified"
echo "== end"
session-buddy mcp stop
"#;

#[test]
fn the_guide_works_to_the_letter() {
    let mut home = TestHome::patient();
    for name in ["SESSION_BUDDY_PORT", "SESSION_BUDDY_HOME", "MAHAVISHNU_HOME", "ONEIRIC_HOME"] {
        home.clear_var(name);
    }
    for tool in ["curl", "jq", "nohup"] {
        assert_eq!(
            home.sh(&format!("command -v {tool}")).run().code,
            Some(0),
            "{tool} is missing: scripts/test installs it"
        );
    }
    let repository = git::repository(&home, "billing");
    let mut words = network::private(8678);
    words.extend(["sh", "-c", SCRIPT]);
    let done = home.program(words[0], &words[1..]).cwd(repository).run();
    done.expect_success().expect_no_internals();
    let part = |title: &str| {
        let after = done.stdout.split(&format!("== {title}\n")).nth(1).unwrap_or_else(|| panic!("no {title}: {done}"));
        after.split("\n== ").next().unwrap_or_default()
    };
    let three = "[INFO] Starting Session-Buddy MCP server on 127.0.0.1:8678\n[INFO] Session tracking enabled\n\
        [INFO] Ready to accept connections";
    assert_eq!(part("three lines"), three);
    assert!(
        done.stdout.contains("\"status\":\"healthy\"") || done.stdout.contains("\"status\": \"healthy\""),
        "{done}"
    );
    for line in [
        "✓ Mahavishnu MCP server: healthy",
        "✓ Session-Buddy MCP server: healthy",
        "✓ Database: connected",
        "✓ Session tracking: enabled",
        "✓ Session-Buddy MCP: connected",
        "✓ Session tracking: operational",
        "✓ Event capture: working",
    ] {
        assert!(part("4.1").contains(line), "'{line}' is missing: {done}");
    }
    // Five rows between three frame lines and a header.
    assert_eq!(part("events").trim_end().lines().filter(|line| line.starts_with('│')).count(), 1 + 5, "{done}");
    assert_eq!(part("metadata").trim(), r#"["mahavishnu","admin_shell",3,"main","object"]"#);
    assert!(part("4.4").trim_end().ends_with("✓ E2E test passed"), "{done}");
    assert!(part("verification").trim_end().ends_with("✓ Deployment verified"), "{done}");
}
