-- A file of this folder, once released, is never edited: a change is the next number.

CREATE TABLE outbox (
    -- What the broker shall hear and has not taken yet: written with the rows that it tells of.
    id       TEXT NOT NULL,   -- of the segment
    type     TEXT NOT NULL,   -- new, end
    topic    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    PRIMARY KEY (id, type)
) STRICT, WITHOUT ROWID;
