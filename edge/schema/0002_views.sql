-- Questions that analysts ask. Names end in their unit: _s seconds, _us microseconds since 1970,
-- _utc text. The label Null, in any case, means that nothing nameable was going on.

CREATE VIEW segments_readable AS
-- Every segment, with times to read: 2026-03-14 09:26:53.589.
SELECT id, station, bundle, modality, session, level, label, parent,
       strftime('%Y-%m-%d %H:%M:%f', start_us / 1e6, 'unixepoch') AS start_utc,
       strftime('%Y-%m-%d %H:%M:%f', end_us / 1e6, 'unixepoch') AS end_utc,
       (end_us - start_us) / 1e6 AS duration_s,
       confidence, observed, state,
       strftime('%Y-%m-%d %H:%M:%f', emitted_us / 1e6, 'unixepoch') AS emitted_utc
FROM segments;

CREATE VIEW operations AS
-- The segments of each model's coarsest level.
SELECT s.id, s.station, s.bundle, s.session, s.level, s.label, s.start_us, s.end_us, s.state,
       m.first_label
FROM segments AS s
JOIN models AS m ON m.name = s.bundle AND m.sha256 = s.model_sha256
WHERE s.level = m.first_level;

CREATE VIEW operation_durations AS
-- How long operations take, by label; only those seen from beginning to end.
WITH ranked AS (
    SELECT station, bundle, label, (end_us - start_us) / 1e6 AS duration_s,
           row_number() OVER (PARTITION BY station, bundle, label
                              ORDER BY end_us - start_us) AS rank,
           count(*) OVER (PARTITION BY station, bundle, label) AS size
    FROM operations
    WHERE state = 'closed'
)
SELECT station, bundle, label,
       count(*) AS count,
       avg(duration_s) AS mean_s,
       avg(CASE WHEN rank IN ((size + 1) / 2, (size + 2) / 2) THEN duration_s END) AS median_s,
       min(duration_s) AS min_s,
       max(duration_s) AS max_s
FROM ranked
GROUP BY station, bundle, label;

CREATE VIEW cycle_times AS
-- One box a row: from one beginning of the model's first operation to its next beginning after
-- any other operation. A session's last cycle has no known end and is left out.
WITH named AS (
    SELECT station, bundle, session, label, first_label, start_us,
           lag(label) OVER (PARTITION BY station, session, bundle ORDER BY start_us) AS before
    FROM operations
    WHERE lower(label) <> 'null'
),
starts AS (
    SELECT station, bundle, session, start_us,
           lead(start_us) OVER lane AS end_us,
           row_number() OVER lane AS cycle
    FROM named
    WHERE label = first_label AND before IS NOT label
    WINDOW lane AS (PARTITION BY station, session, bundle ORDER BY start_us)
)
SELECT station, bundle, session, cycle,
       strftime('%Y-%m-%d %H:%M:%f', start_us / 1e6, 'unixepoch') AS start_utc,
       start_us, end_us, (end_us - start_us) / 1e6 AS cycle_s
FROM starts
WHERE end_us IS NOT NULL;

CREATE VIEW throughput_per_hour AS
-- Cycles that ended in each hour. An hour in which none ended has no row.
SELECT station, bundle,
       strftime('%Y-%m-%d %H:00', end_us / 1000000, 'unixepoch') AS hour_utc,
       count(*) AS cycles,
       avg(cycle_s) AS mean_cycle_s
FROM cycle_times
GROUP BY station, bundle, hour_utc;

CREATE VIEW transitions AS
-- What follows what, how often, and as which share of all that follows.
WITH pairs AS (
    SELECT station, bundle, level, label,
           lead(label) OVER (PARTITION BY station, session, bundle, level
                             ORDER BY start_us) AS next_label
    FROM segments
),
counted AS (
    SELECT station, bundle, level, label, next_label, count(*) AS count
    FROM pairs
    WHERE next_label IS NOT NULL
    GROUP BY station, bundle, level, label, next_label
)
SELECT station, bundle, level, label, next_label, count,
       1.0 * count / sum(count) OVER (PARTITION BY station, bundle, level, label) AS share
FROM counted;

CREATE VIEW idle_time AS
-- Seconds of each hour without an operation: the model said Null (null_s), or nothing, since its
-- inputs were silent (unseen_s). Both within a session; what lies between sessions is not known.
WITH RECURSIVE lane AS (
    SELECT station, bundle, label, start_us, end_us,
           lead(start_us) OVER (PARTITION BY station, session, bundle ORDER BY start_us) AS next_us
    FROM operations
),
pauses AS (
    SELECT station, bundle, start_us, end_us, 1 AS is_null FROM lane WHERE lower(label) = 'null'
    UNION ALL
    SELECT station, bundle, end_us, next_us, 0 FROM lane WHERE next_us > end_us
),
pieces AS (  -- cut at full hours
    SELECT station, bundle, is_null, start_us / 3600000000 AS hour, start_us, end_us FROM pauses
    UNION ALL
    SELECT station, bundle, is_null, hour + 1, (hour + 1) * 3600000000, end_us
    FROM pieces
    WHERE end_us > (hour + 1) * 3600000000
),
lengths AS (
    SELECT station, bundle, is_null, hour,
           (min(end_us, (hour + 1) * 3600000000) - start_us) / 1e6 AS length_s
    FROM pieces
)
SELECT station, bundle,
       strftime('%Y-%m-%d %H:00', hour * 3600, 'unixepoch') AS hour_utc,
       sum(length_s) AS idle_s,
       sum(length_s * is_null) AS null_s,
       sum(length_s * (1 - is_null)) AS unseen_s
FROM lengths
GROUP BY station, bundle, hour;

CREATE VIEW label_agreement AS
-- The share of their common time in which two models of one session say the same.
WITH lanes AS (
    SELECT station, session, bundle, level FROM segments
    GROUP BY station, session, bundle, level
),
overlaps AS (  -- segments of a lane do not overlap: one covers a's start, others begin within a
    SELECT la.station, la.session, la.level, la.bundle AS bundle_a, lb.bundle AS bundle_b,
           a.label = b.label AS is_equal,
           min(a.end_us, b.end_us) - max(a.start_us, b.start_us) AS overlap_us
    FROM lanes AS la
    JOIN lanes AS lb ON lb.station = la.station AND lb.session = la.session
        AND lb.level = la.level AND lb.bundle > la.bundle
    CROSS JOIN segments AS a ON a.station = la.station AND a.session = la.session
        AND a.bundle = la.bundle AND a.level = la.level
    CROSS JOIN segments AS b ON b.station = la.station AND b.session = la.session
        AND b.bundle = lb.bundle AND b.level = la.level
        AND b.start_us < a.end_us AND b.end_us > a.start_us
        AND b.start_us >= coalesce(
            (SELECT max(c.start_us) FROM segments AS c
             WHERE c.station = la.station AND c.session = la.session
               AND c.bundle = lb.bundle AND c.level = la.level AND c.start_us <= a.start_us),
            a.start_us)
)
SELECT station, session, level, bundle_a, bundle_b,
       sum(overlap_us) / 1e6 AS common_s,
       1.0 * sum(overlap_us * is_equal) / sum(overlap_us) AS agreement
FROM overlaps
GROUP BY station, session, level, bundle_a, bundle_b;

CREATE VIEW actions_in_operations AS
-- Every segment below the coarsest level, with the operation that it shares most time with: where
-- a group has several rows, SQLite takes them all from the one with the maximum.
WITH most AS (
    SELECT a.id, a.station, a.bundle, a.session, a.level, a.label AS action, a.parent,
           o.label AS operation, o.id AS operation_id, a.start_us, a.end_us,
           max(min(a.end_us, o.end_us) - max(a.start_us, o.start_us)) AS overlap_us
    FROM segments AS a
    CROSS JOIN models AS m ON m.name = a.bundle AND m.sha256 = a.model_sha256
    LEFT JOIN segments AS o ON o.station = a.station AND o.session = a.session
        AND o.bundle = a.bundle AND o.level = m.first_level
        AND o.start_us < a.end_us AND o.end_us > a.start_us
        AND o.start_us >= coalesce(  -- the operation during which the action began
            (SELECT max(c.start_us) FROM segments AS c
             WHERE c.station = a.station AND c.session = a.session
               AND c.bundle = a.bundle AND c.level = m.first_level AND c.start_us <= a.start_us),
            a.start_us)
    WHERE a.level <> m.first_level
    GROUP BY a.rowid
)
SELECT id, station, bundle, session, level, action, parent, operation, operation_id,
       start_us, end_us, (end_us - start_us) / 1e6 AS duration_s,
       1.0 * overlap_us / (end_us - start_us) AS share
FROM most;
