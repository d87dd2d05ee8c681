-- Vectors of texts: derived data in a file of its own, which is made again when it is damaged or of another version.

CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    digest TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    -- building, active, dropped
    state TEXT NOT NULL,
    watermark INTEGER NOT NULL DEFAULT 0,
    vectors INTEGER NOT NULL DEFAULT 0,
    entries INTEGER NOT NULL DEFAULT 0,
    removals INTEGER NOT NULL DEFAULT 0
);

-- id is generation << 40 | place, so that a vector is found without an index and a generation is a range.
CREATE TABLE vectors (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);

-- Texts that a generation's model refuses stand under its negative number, with place 0.
CREATE TABLE texts (
    generation INTEGER NOT NULL, hash BLOB NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (generation, hash)
) WITHOUT ROWID;

-- Codes of 1024 vectors a row; id is generation << 40 | number of the block.
CREATE TABLE codes (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);

-- Pieces of events; id is generation << 40 | number in the order of adding.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, seq INTEGER NOT NULL, piece INTEGER NOT NULL,
    mark INTEGER NOT NULL, place INTEGER NOT NULL
);

CREATE INDEX idx_entries_seq ON entries(generation, seq, mark);

CREATE TABLE retention (table_name TEXT PRIMARY KEY NOT NULL, keep_days INTEGER, rule TEXT NOT NULL) WITHOUT ROWID;

INSERT INTO retention (table_name, keep_days, rule) VALUES
    ('generations', NULL, 'one row a model and version'),
    ('vectors', NULL, 'with their generation; derived'),
    ('texts', NULL, 'with their generation; derived'),
    ('codes', NULL, 'with their generation; derived'),
    ('entries', NULL, 'with their event; derived'),
    ('retention', NULL, 'one row a table');
