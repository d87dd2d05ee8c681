//! Every setting of Session-Buddy. `config`, the variables and the reference page are all made from this table.

use oneiric::settings::rows::{
    ALLOW_INSECURE_BIND, ALLOWED_HOSTS, LOG_LEVEL, TOKEN_ALGORITHM, TOKEN_LIFE, also, named, spec,
};
use oneiric::settings::{Catalog, Kind, Spec};
use oneiric_server::mcp::Profile;

/// Port that clients expect.
pub const DEFAULT_PORT: u16 = 8678;

/// `settings/session-buddy.yaml`, `~/.session-buddy/config.yaml`, `SESSION_BUDDY_*`.
pub static CATALOG: Catalog = Catalog { product: "session-buddy", env_prefix: "SESSION_BUDDY", specs: SPECS };

static SPECS: &[Spec] = &[
    spec(
        "mode",
        Kind::Choice(&["standard", "lite"]),
        "standard",
        "standard keeps sessions on disk, lite in memory only",
    ),
    named(spec("server.host", Kind::Text, "127.0.0.1", "Address the server listens on"), &["SESSION_BUDDY_HOST"]),
    named(
        spec(
            "server.port",
            Kind::Int { min: 0, max: 65_535 },
            "8678",
            "Port the server listens on; 0 takes a free one",
        ),
        &["SESSION_BUDDY_PORT"],
    ),
    spec(
        "server.transport",
        Kind::Choice(&["auto", "http", "stdio"]),
        "auto",
        "auto serves MCP over standard input when a client is there, else HTTP",
    ),
    ALLOWED_HOSTS,
    ALLOW_INSECURE_BIND,
    named(
        spec(
            "database.type",
            Kind::Choice(&["sqlite", "postgresql"]),
            "sqlite",
            "Kind of database; this version keeps SQLite only",
        ),
        &["SESSION_BUDDY_DB_TYPE"],
    ),
    named(
        spec("database.path", Kind::Path, "sessions.db", "SQLite file; by default in the home"),
        &["SESSION_BUDDY_DB_PATH"],
    ),
    named(
        spec("database.host", Kind::Text, "localhost", "PostgreSQL host (not used by this version)"),
        &["SESSION_BUDDY_DB_HOST"],
    ),
    named(
        spec("database.port", Kind::Int { min: 1, max: 65_535 }, "5432", "PostgreSQL port (not used by this version)"),
        &["SESSION_BUDDY_DB_PORT"],
    ),
    named(
        spec("database.database", Kind::Text, "session_buddy", "PostgreSQL database (not used by this version)"),
        &["SESSION_BUDDY_DB_NAME"],
    ),
    named(
        spec("database.user", Kind::Text, "session_buddy", "PostgreSQL user (not used by this version)"),
        &["SESSION_BUDDY_DB_USER"],
    ),
    spec(
        "database.password_env",
        Kind::Text,
        "SESSION_BUDDY_DB_PASSWORD",
        "Variable that holds the PostgreSQL password (not used by this version)",
    ),
    named(
        spec(
            "database.sslmode",
            Kind::Choice(&["disable", "prefer", "require", "verify-ca", "verify-full"]),
            "verify-full",
            "TLS to PostgreSQL (not used by this version)",
        ),
        &["SESSION_BUDDY_DB_SSLMODE"],
    ),
    spec(
        "database.pool_size",
        Kind::Int { min: 1, max: 1_000 },
        "10",
        "PostgreSQL connections (not used by this version)",
    ),
    spec(
        "database.max_overflow",
        Kind::Int { min: 0, max: 1_000 },
        "20",
        "Extra PostgreSQL connections (not used by this version)",
    ),
    named(
        spec("database.password", Kind::Secret, "", "PostgreSQL password (not used by this version)"),
        &["SESSION_BUDDY_DB_PASSWORD"],
    ),
    spec(
        "cache.size",
        Kind::Int { min: 100, max: 10_000_000 },
        "1000",
        "SQLite page cache of a connection, in pages of 4 KiB",
    ),
    Profile::SETTING,
    spec(
        "backup.keep_days",
        Kind::Int { min: 0, max: 36_500 },
        "30",
        "Days that 'backup prune' keeps backups; the newest that can be restored is always kept",
    ),
    spec(
        "retention.days",
        Kind::Int { min: 0, max: 36_500 },
        "0",
        "Days after which 'retention apply' deletes finished sessions; 0 keeps them",
    ),
    spec(
        "retention.projects",
        Kind::TextList,
        "",
        "The same by project, such as scratch=14,ledger=keep, where keep means all of that project",
    ),
    spec(
        "retention.events",
        Kind::TextList,
        "",
        "Days after which 'retention apply' deletes events of a type from finished sessions, such as command=90",
    ),
    spec("auth.enabled", Kind::Bool, "false", "Ask callers for a token; a secret alone turns this on"),
    named(
        spec(
            "auth.secret",
            Kind::Secret,
            "",
            "Signs and checks tokens; at least 32 characters, the same on both sides",
        ),
        &["SESSION_BUDDY_SECRET"],
    ),
    TOKEN_ALGORITHM,
    TOKEN_LIFE,
    spec("token", Kind::Secret, "", "Token that commands send to a running server instead of making one"),
    spec(
        "capture.spools",
        Kind::TextList,
        "",
        "Spool folders to take events from; by default this home's and Mahavishnu's",
    ),
    spec(
        "session_tracking.auto_init",
        Kind::Bool,
        "true",
        "Open a session for an MCP client that connects from a git repository",
    ),
    spec("session_tracking.auto_cleanup", Kind::Bool, "true", "End that session when the client goes"),
    spec(
        "session_tracking.idle_timeout",
        Kind::Int { min: 1, max: 86_400 },
        "1800",
        "Seconds of silence after which an HTTP client has gone that has no connection (revision 2026-07-28), or whose process is not known",
    ),
    named(
        spec(
            "semantic_search.enabled",
            Kind::Bool,
            "true",
            "Search by meaning too, once a model is there ('session-buddy models pull')",
        ),
        &["SESSION_BUDDY_SEMANTIC_SEARCH"],
    ),
    named(
        spec(
            "semantic_search.model",
            Kind::Text,
            "all-MiniLM-L6-v2",
            "Model of this machine that turns texts into vectors",
        ),
        &["SESSION_BUDDY_EMBEDDING_MODEL"],
    ),
    spec(
        "semantic_search.similarity_threshold",
        Kind::Fraction,
        "",
        "Least cosine similarity of what is found by meaning alone. Unset, hits need only be related at all (0.15): \
         all-MiniLM-L6-v2 gives short texts that answer a question 0.3 to 0.6, so 0.7 leaves hardly any",
    ),
    spec(
        "intelligence.enabled",
        Kind::Bool,
        "false",
        "Let Ollama turn texts into vectors instead of the model of this machine",
    ),
    spec("intelligence.embedding_model", Kind::Text, "nomic-embed-text", "Ollama's model for that"),
    spec("intelligence.ollama_base_url", Kind::Url, "http://localhost:11434", "Where Ollama is"),
    spec("models.hub_url", Kind::Url, "https://huggingface.co", "Where 'models pull' gets models from"),
    spec(
        "models.patience_seconds",
        Kind::Int { min: 1, max: 3_600 },
        "30",
        "How long 'models pull' waits for a hub that sends nothing before it asks again",
    ),
    also(
        named(
            spec("akosha.enabled", Kind::Bool, "false", "Send sessions on to Akosha (not done by this version)"),
            &["SESSION_BUDDY_SYNC__AKOSHA_ENABLED"],
        ),
        &["sync.akosha_enabled"],
    ),
    also(
        named(
            spec("akosha.url", Kind::Url, "http://localhost:8682/mcp", "Akosha (not used by this version)"),
            &["SESSION_BUDDY_SYNC__AKOSHA_URL"],
        ),
        &["sync.akosha_url"],
    ),
    also(
        spec(
            "sync.interval",
            Kind::Int { min: 1, max: 86_400 },
            "300",
            "Seconds between syncs (not used by this version)",
        ),
        &["sync.sync_interval"],
    ),
    also(
        named(
            spec(
                "crackerjack.enabled",
                Kind::Bool,
                "false",
                "Take test results from Crackerjack (not done by this version)",
            ),
            &["SESSION_BUDDY_INTEGRATIONS__CRACKERJACK_ENABLED"],
        ),
        &["integrations.crackerjack_enabled"],
    ),
    also(
        named(
            spec("crackerjack.url", Kind::Url, "http://localhost:8676/mcp", "Crackerjack (not used by this version)"),
            &["SESSION_BUDDY_INTEGRATIONS__CRACKERJACK_URL"],
        ),
        &["integrations.crackerjack_url"],
    ),
    LOG_LEVEL,
];
