-- The archive: finished sessions with their events, moved as they are. `seq` is kept, so the search index still finds them.
-- Columns and their order are those of the live tables, and what is added there is added here.

CREATE TABLE archived_sessions (
    session_id TEXT PRIMARY KEY NOT NULL,
    component TEXT NOT NULL,
    session_type TEXT NOT NULL,
    start_time TIMESTAMP NOT NULL,
    end_time TIMESTAMP,
    duration_seconds REAL,
    command_count INTEGER NOT NULL DEFAULT 0,
    metadata TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    status TEXT NOT NULL DEFAULT 'ended' CHECK (status IN ('ended', 'failed', 'stale')),
    event_count INTEGER NOT NULL DEFAULT 0,
    error_count INTEGER NOT NULL DEFAULT 0,
    last_event_time TIMESTAMP,
    project TEXT,
    repository TEXT,
    worktree TEXT,
    branch TEXT,
    commit_id TEXT,
    dirty INTEGER,
    hostname TEXT,
    username TEXT,
    pid INTEGER,
    process TEXT,
    cwd TEXT,
    shell_type TEXT,
    start_event_id TEXT,
    end_event_id TEXT,
    archived_at TIMESTAMP NOT NULL
);

CREATE INDEX idx_archived_sessions_start_time ON archived_sessions(start_time);
CREATE INDEX idx_archived_sessions_project ON archived_sessions(project, start_time);
CREATE INDEX idx_archived_sessions_component ON archived_sessions(component, start_time);

CREATE TABLE archived_events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    data TEXT,
    sequence INTEGER,
    received_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (session_id) REFERENCES archived_sessions(session_id)
);

CREATE INDEX idx_archived_events_session_id ON archived_events(session_id, timestamp, sequence);

INSERT INTO retention (table_name, keep_days, rule) VALUES
    ('archived_sessions', NULL, 'until restored or deleted by a rule of retention.*'),
    ('archived_events', NULL, 'with their session');
