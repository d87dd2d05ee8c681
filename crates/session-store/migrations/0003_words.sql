-- The words that events hold, so that a part of a word and a slip of the pen find it. Derived: learnt after the events are
-- stored, from their texts, up to the counter `words_through`; removed and learnt again at any time.
-- Deleting events empties it; searches ask event_search whether a word still stands anywhere.

CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);

-- Which words hold which three letters; the two ends of a word count as letters. Made by the program, as event_search is.
CREATE VIRTUAL TABLE word_letters USING fts5(
    letters, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);

INSERT INTO retention (table_name, keep_days, rule) VALUES
    ('words', NULL, 'derived; learnt again after events were deleted'),
    ('word_letters', NULL, 'with their word; derived');
