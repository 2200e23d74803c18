-- A file of this folder, once released, is never edited: a change is the next number.

CREATE TABLE unsynced_sessions (
    -- Sessions whose times may be by the board's own clock, from when nothing vouched for it. Their
    -- rows are set right once it is set; what proves to have been right is no longer listed.
    station   TEXT NOT NULL,
    session   INTEGER NOT NULL,
    boot_id   TEXT NOT NULL,              -- of the board's start
    base_us   INTEGER NOT NULL,           -- UTC less the time since that start, as the rows have it
    shift_us  INTEGER NOT NULL DEFAULT 0, -- what was added to all times of the session; 0: nothing yet
    settled   INTEGER NOT NULL DEFAULT 0, -- 1: the clock was synced since
    PRIMARY KEY (station, session)
) STRICT, WITHOUT ROWID;

DROP VIEW segments_readable;

CREATE VIEW segments_readable AS
-- Every segment, with times to read: 2026-03-14 09:26:53.589.
SELECT s.id, s.station, s.bundle, s.modality, s.session, s.level, s.label, s.parent,
       strftime('%Y-%m-%d %H:%M:%f', s.start_us / 1e6, 'unixepoch') AS start_utc,
       strftime('%Y-%m-%d %H:%M:%f', s.end_us / 1e6, 'unixepoch') AS end_utc,
       (s.end_us - s.start_us) / 1e6 AS duration_s,
       s.confidence, s.observed, s.state,
       strftime('%Y-%m-%d %H:%M:%f', s.emitted_us / 1e6, 'unixepoch') AS emitted_utc,
       CASE WHEN u.session IS NULL THEN 'synced'
            WHEN u.shift_us <> 0 THEN 'repaired'
            ELSE 'unsynced' END AS clock
FROM segments AS s
LEFT JOIN unsynced_sessions AS u ON u.station = s.station AND u.session = s.session;
