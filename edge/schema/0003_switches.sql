-- Models that share one voice on a station (failover): their segments and gaps stand under one name,
-- "imu>camera>iot"; a segment's modality lists the sensors that lived, in order: imu+camera,imu.

CREATE TABLE switches (
    -- From at_us on other models are heard.
    station  TEXT NOT NULL,
    bundle   TEXT NOT NULL,     -- name of the models together
    session  INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    before   TEXT NOT NULL,     -- names of the models heard until then, joined by +; empty: none was
    after    TEXT NOT NULL,     -- those heard from then on; empty: all are silent
    PRIMARY KEY (station, bundle, session, at_us)
) STRICT, WITHOUT ROWID;

CREATE VIEW turns AS
-- How long models were heard; a session's last turn goes as far as its segments are certain.
WITH ends AS (
    SELECT station, bundle, session, max(end_us) AS end_us FROM segments
    GROUP BY station, bundle, session
)
SELECT s.station, s.bundle, s.session, s.after AS model,
       strftime('%Y-%m-%d %H:%M:%f', s.at_us / 1e6, 'unixepoch') AS start_utc,
       s.at_us AS start_us,
       coalesce(lead(s.at_us) OVER (PARTITION BY s.station, s.bundle, s.session ORDER BY s.at_us),
                max(coalesce(e.end_us, s.at_us), s.at_us)) AS end_us
FROM switches AS s
LEFT JOIN ends AS e ON e.station = s.station AND e.bundle = s.bundle AND e.session = s.session;
