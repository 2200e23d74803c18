-- A file of this folder, once released, is never edited: a change is the next number.

CREATE TABLE log_events (
    -- What befell the log itself, so that nobody takes it for what happened at a station.
    event     TEXT NOT NULL,     -- set_aside, broken_off, waited, migrated
    at_us     INTEGER NOT NULL,
    until_us  INTEGER,           -- NULL: it was a moment
    detail    TEXT NOT NULL
) STRICT;

-- With rows that fit into a page: as an index, WITHOUT ROWID, it would spill long ones over.
ALTER TABLE outbox RENAME TO outbox_before;

CREATE TABLE outbox (
    -- What the broker shall hear and has not taken yet: written with the rows that it tells of.
    id       TEXT NOT NULL,   -- of the segment
    type     TEXT NOT NULL,   -- new, end
    topic    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    PRIMARY KEY (id, type)
) STRICT;

INSERT INTO outbox SELECT id, type, topic, payload FROM outbox_before;

DROP TABLE outbox_before;
