-- Sessions, their events, and what is derived from them.
-- Times are text of one width (2026-11-22T18:09:36.123456Z): text order is time order, and SQLite's date functions read it.

CREATE TABLE sessions (
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
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'ended', 'failed', 'stale')),
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
    -- NULL while only later events of the session have arrived.
    start_event_id TEXT,
    end_event_id TEXT
);

-- Each filter of the list reads its own rows, newest first, and no others.
CREATE INDEX idx_sessions_start_time ON sessions(start_time);
CREATE INDEX idx_sessions_session_type ON sessions(session_type, start_time);
CREATE INDEX idx_sessions_component ON sessions(component, start_time);
CREATE INDEX idx_sessions_component_type ON sessions(component, session_type, start_time);
CREATE INDEX idx_sessions_status ON sessions(status, start_time);
CREATE INDEX idx_sessions_project ON sessions(project, start_time);
CREATE INDEX idx_sessions_repository ON sessions(repository, start_time);
CREATE INDEX idx_sessions_worktree ON sessions(worktree, start_time);

CREATE TABLE session_events (
    -- Explicit, so that VACUUM keeps it: the search index refers to it.
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    data TEXT,
    sequence INTEGER,
    received_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (session_id) REFERENCES sessions(session_id)
);

CREATE INDEX idx_session_events_session_id ON session_events(session_id, timestamp, sequence);

-- Inverted index: which events hold which terms. The terms are made by the program, so any SQLite can open the file.
-- Positions, lengths and texts are not kept: the few candidates of a search are analysed again from session_events.
CREATE VIRTUAL TABLE event_search USING fts5(
    terms, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);

-- Time range of each run of 1024 seq, so that a search within a time range reads only the runs that overlap it.
CREATE TABLE event_blocks (
    block INTEGER PRIMARY KEY,
    first_time TIMESTAMP NOT NULL,
    last_time TIMESTAMP NOT NULL
);

-- Totals kept in the transaction that changes them, so that metrics cost the same at any size.
CREATE TABLE counters (
    name TEXT NOT NULL,
    component TEXT NOT NULL,
    label TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, component, label)
) WITHOUT ROWID;

-- How long the rows of each table are kept; NULL means until they are archived or deleted by hand.
CREATE TABLE retention (
    table_name TEXT PRIMARY KEY NOT NULL,
    keep_days INTEGER,
    rule TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO retention (table_name, keep_days, rule) VALUES
    ('sessions', NULL, 'until archived'),
    ('session_events', NULL, 'with their session'),
    ('event_search', NULL, 'with their event; derived, can be rebuilt'),
    ('event_blocks', NULL, 'derived, one row for 1024 events'),
    ('counters', NULL, 'bounded by the number of components'),
    ('retention', NULL, 'one row a table'),
    ('schema_migrations', NULL, 'one row a migration');
