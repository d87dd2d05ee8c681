//! Every setting of Mahavishnu. `config`, the variables and the reference page are all made from this table.
//!
//! A setting whose text says "not done by this version" is read and checked, so that a file written for a later version
//! loads, and does nothing.

use oneiric::settings::rows::{
    ALLOW_INSECURE_BIND, ALLOWED_HOSTS, LOG_LEVEL, TOKEN_ALGORITHM, TOKEN_LIFE, named, spec,
};
use oneiric::settings::{Catalog, Kind, Spec};
use oneiric_server::mcp::Profile;

/// `settings/mahavishnu.yaml`, `~/.mahavishnu/config.yaml`, `MAHAVISHNU_*`.
pub(crate) static CATALOG: Catalog = Catalog { product: "mahavishnu", env_prefix: "MAHAVISHNU", specs: SPECS };

static SPECS: &[Spec] = &[
    spec("host", Kind::Text, "127.0.0.1", "Address of the server"),
    spec("port", Kind::Int { min: 0, max: 65_535 }, "8680", "Port of the server; 0 takes a free one"),
    spec("debug", Kind::Bool, "false", "Log everything, as log_level = DEBUG does"),
    LOG_LEVEL,
    spec("log.format", Kind::Choice(&["logfmt", "json"]), "logfmt", "How lines of the log look"),
    spec(
        "log.dir",
        Kind::Path,
        "",
        "Folder of the log; by default /var/log/mahavishnu when that can be written, else the home's logs",
    ),
    spec("trace_sessions", Kind::Bool, "false", "Log every step of a session's life as TRACE lines"),
    spec("token", Kind::Secret, "", "Token for commands that ask for one, in place of --token"),
    spec("auth.enabled", Kind::Bool, "false", "Ask for a token on the command line"),
    spec("auth.secret", Kind::Secret, "", "Signs and checks tokens; at least 32 characters"),
    TOKEN_ALGORITHM,
    TOKEN_LIFE,
    ALLOWED_HOSTS,
    ALLOW_INSECURE_BIND,
    Profile::SETTING,
    spec(
        "workflows.parallel",
        Kind::Int { min: 0, max: 1_000 },
        "0",
        "Most processes that steps of workflows run at the same time; 0 is two for each processor",
    ),
    spec("session.enabled", Kind::Bool, "true", "Record admin-shell sessions"),
    spec(
        "session.checkpoint_interval",
        Kind::Int { min: 10, max: 600 },
        "60",
        "Seconds between checkpoints while commands run",
    ),
    spec(
        "session.output_bytes",
        Kind::Int { min: 0, max: 1_048_576 },
        "4096",
        "Bytes of a command's output that are kept",
    ),
    spec(
        "session.exit_deadline_ms",
        Kind::Int { min: 0, max: 60_000 },
        "250",
        "Longest wait for delivery at the shell's end",
    ),
    spec("session_buddy.url", Kind::Url, "", "Session-Buddy's address; by default that of its running server"),
    named(
        spec("session_buddy.host", Kind::Text, "127.0.0.1", "Session-Buddy's host, when no url is set"),
        &["SESSION_BUDDY_HOST"],
    ),
    named(
        spec(
            "session_buddy.port",
            Kind::Int { min: 0, max: 65_535 },
            "8678",
            "Session-Buddy's port, when no url is set; 0 is that of its running server",
        ),
        &["SESSION_BUDDY_PORT"],
    ),
    named(
        spec(
            "session_buddy.home",
            Kind::Path,
            "~/.session-buddy",
            "Session-Buddy's home, where its running server is found",
        ),
        &["SESSION_BUDDY_HOME"],
    ),
    named(
        spec("session_buddy.secret", Kind::Secret, "", "Session-Buddy's secret; by default auth_secret"),
        &["SESSION_BUDDY_AUTH_SECRET", "SESSION_BUDDY_SECRET"],
    ),
    spec(
        "session_buddy.timeout_ms",
        Kind::Int { min: 10, max: 60_000 },
        "2000",
        "Longest wait for Session-Buddy's answer to a question",
    ),
    spec(
        "shell.time_limit",
        Kind::Int { min: 0, max: 86_400 },
        "300",
        "Seconds that one statement may run; 0 leaves it to Ctrl-C",
    ),
    spec("shell.history", Kind::Bool, "true", "Keep the shell's history, redacted, in the home"),
    named(
        spec("observability.metrics_enabled", Kind::Bool, "false", "Serve metrics (not done by this version)"),
        &["PROMETHEUS_METRICS_ENABLED"],
    ),
    named(
        spec(
            "observability.metrics_port",
            Kind::Int { min: 1, max: 65_535 },
            "9090",
            "Port of the metrics (not done by this version)",
        ),
        &["PROMETHEUS_METRICS_PORT"],
    ),
    named(
        spec("observability.metrics_path", Kind::Text, "/metrics", "Path of the metrics (not done by this version)"),
        &["PROMETHEUS_METRICS_PATH"],
    ),
    spec("observability.tracing_enabled", Kind::Bool, "false", "Send traces (not done by this version)"),
    named(
        spec(
            "observability.otlp_endpoint",
            Kind::Url,
            "http://localhost:4317",
            "Where traces go (not done by this version)",
        ),
        &["OTEL_EXPORTER_OTLP_ENDPOINT"],
    ),
    named(
        spec("observability.service_name", Kind::Text, "mahavishnu", "Name in traces (not done by this version)"),
        &["OTEL_SERVICE_NAME"],
    ),
    named(
        spec("observability.traces_exporter", Kind::Text, "otlp", "Exporter of traces (not done by this version)"),
        &["OTEL_TRACES_EXPORTER"],
    ),
    spec(
        "terminal.enabled",
        Kind::Bool,
        "false",
        "Let workers have terminals (profile terminal); the admin shell needs none",
    ),
    spec(
        "terminal.adapter_preference",
        Kind::Choice(&["auto", "tmux", "pty", "iterm2", "mcpretentious"]),
        "auto",
        "Kind of those terminals: auto is tmux when it is there, else a pty (iterm2 and mcpretentious are not done by this version)",
    ),
    spec("terminal.default_columns", Kind::Int { min: 20, max: 1_000 }, "120", "Their columns"),
    spec("terminal.default_rows", Kind::Int { min: 5, max: 1_000 }, "40", "Their rows"),
    spec("worktrees.max_per_repo", Kind::Int { min: 1, max: 1_000 }, "32", "Most worktrees of tasks in one repository"),
    spec(
        "worktrees.min_free_mb",
        Kind::Int { min: 0, max: 10_000_000 },
        "1024",
        "Megabytes of the disk that making a worktree must leave free",
    ),
    spec("secrets.enabled", Kind::Bool, "false", "Rotate secrets (not done by this version)"),
    spec(
        "secrets.default_provider",
        Kind::Choice(&["file"]),
        "file",
        "Where rotated secrets are (not done by this version)",
    ),
    spec("secrets.storage_path", Kind::Path, "data/secrets", "Folder of rotated secrets (not done by this version)"),
    spec(
        "secrets.rotation_interval_days",
        Kind::Int { min: 1, max: 3_650 },
        "90",
        "Days between rotations (not done by this version)",
    ),
    spec("runtime_monitoring.enabled", Kind::Bool, "false", "Watch the runtime (not done by this version)"),
    spec("runtime_monitoring.falco_enabled", Kind::Bool, "false", "Take Falco's alerts (not done by this version)"),
    spec("rate_limit.enabled", Kind::Bool, "true", "Limit requests (not done by this version)"),
    spec(
        "rate_limit.user_requests_per_minute",
        Kind::Int { min: 1, max: 1_000_000 },
        "60",
        "Limit of a user (not done by this version)",
    ),
    spec(
        "rate_limit.ip_requests_per_minute",
        Kind::Int { min: 1, max: 1_000_000 },
        "30",
        "Limit of an address (not done by this version)",
    ),
    spec("rate_limit.ip_ban_enabled", Kind::Bool, "true", "Ban addresses (not done by this version)"),
    spec(
        "rate_limit.ip_ban_threshold",
        Kind::Int { min: 1, max: 1_000 },
        "5",
        "Violations until a ban (not done by this version)",
    ),
    spec(
        "rate_limit.ip_ban_duration",
        Kind::Int { min: 1, max: 31_536_000 },
        "300",
        "Seconds of a ban (not done by this version)",
    ),
    spec("rate_limit.exempt_ips", Kind::TextList, "", "Addresses without limit (not done by this version)"),
    spec("adapters.prefect_enabled", Kind::Bool, "false", "Hand work to Prefect"),
    named(
        spec("adapters.prefect_url", Kind::Url, "http://127.0.0.1:4200/api", "Prefect's address"),
        &["PREFECT_API_URL"],
    ),
    named(
        spec(
            "adapters.prefect_auth",
            Kind::Secret,
            "",
            "What Prefect asks for: user:password of a server, or the key of Prefect Cloud",
        ),
        &["PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"],
    ),
    spec(
        "adapters.prefect_liveness_seconds",
        Kind::Int { min: 0, max: 31_536_000 },
        "0",
        "Seconds after which a run of Prefect that runs without writing anything counts as crashed; 0 is never",
    ),
    spec("adapters.llamaindex_enabled", Kind::Bool, "false", "Hand work to LlamaIndex"),
    spec("adapters.llamaindex_url", Kind::Url, "http://127.0.0.1:8080", "Address of LlamaIndex's workflow server"),
    spec("adapters.llamaindex_auth", Kind::Secret, "", "Token for LlamaIndex's workflow server, when it asks for one"),
    spec(
        "adapters.llamaindex_liveness_seconds",
        Kind::Int { min: 0, max: 31_536_000 },
        "1800",
        "Seconds after which a run of LlamaIndex that runs without an event counts as crashed; 0 is never",
    ),
    spec("adapters.agno_enabled", Kind::Bool, "false", "Hand work to Agno"),
    spec("adapters.agno_url", Kind::Url, "http://127.0.0.1:7777", "Address of Agno's AgentOS"),
    named(
        spec("adapters.agno_auth", Kind::Secret, "", "Security key of Agno's AgentOS, when it asks for one"),
        &["OS_SECURITY_KEY"],
    ),
    spec(
        "adapters.agno_liveness_seconds",
        Kind::Int { min: 0, max: 31_536_000 },
        "3600",
        "Seconds after which a run of Agno that runs without any sign counts as crashed; 0 is never",
    ),
    spec(
        "adapters.poll_seconds",
        Kind::Int { min: 1, max: 3_600 },
        "2",
        "Longest time between two looks at a run of another engine",
    ),
    spec(
        "adapters.doubt_seconds",
        Kind::Int { min: 5, max: 86_400 },
        "120",
        "Seconds of silence after which a run counts as crashed when its engine was started anew or nobody takes its runs",
    ),
    spec(
        "adapters.patience_seconds",
        Kind::Int { min: 5, max: 86_400 },
        "300",
        "Seconds that an engine may give no sensible answer about a run",
    ),
    spec(
        "adapters.cancel_seconds",
        Kind::Int { min: 1, max: 86_400 },
        "60",
        "Seconds that a run which was asked to stop may take to say that it has",
    ),
];
