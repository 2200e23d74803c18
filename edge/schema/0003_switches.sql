-- Models that take turns on one station (failover): their segments and gaps stand under one name,
-- "imu>camera>iot", best first; a segment's modality lists those that made it, in order: imu,camera.

CREATE TABLE switches (
    -- From at_us on another model is heard.
    station  TEXT NOT NULL,
    bundle   TEXT NOT NULL,     -- name of the models together
    session  INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    before   TEXT NOT NULL,     -- name of the model heard until then; empty: none was
    after    TEXT NOT NULL,     -- name of the model heard from then on; empty: all are silent
    PRIMARY KEY (station, bundle, session, at_us)
) STRICT, WITHOUT ROWID;

CREATE VIEW turns AS
-- How long each model was heard; a session's last turn ends with its last segment.
WITH ends AS (
    SELECT station, bundle, session, max(end_us) AS end_us FROM segments
    GROUP BY station, bundle, session
)
SELECT s.station, s.bundle, s.session, s.after AS model,
       strftime('%Y-%m-%d %H:%M:%f', s.at_us / 1e6, 'unixepoch') AS start_utc,
       s.at_us AS start_us,
       coalesce(lead(s.at_us) OVER (PARTITION BY s.station, s.bundle, s.session ORDER BY s.at_us),
                e.end_us) AS end_us
FROM switches AS s
LEFT JOIN ends AS e ON e.station = s.station AND e.bundle = s.bundle AND e.session = s.session;
