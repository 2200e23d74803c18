-- What the board saw, and how well it could see. Times are microseconds since 1970, UTC, and end
-- in _us; intervals are half open: [start_us, end_us). A file of this folder, once released, is
-- never edited: a change is the next number.

CREATE TABLE stations (
    -- The site configuration at the station's latest start.
    station     TEXT PRIMARY KEY,
    site        TEXT NOT NULL,
    node        TEXT NOT NULL,     -- the board
    bundles     TEXT NOT NULL,     -- names of its models, joined by commas
    started_us  INTEGER NOT NULL
) STRICT;

CREATE TABLE models (
    -- Every model that the board ever ran, by name and content.
    name         TEXT NOT NULL,    -- of the bundle: imu, camera
    sha256       TEXT NOT NULL,    -- of the manifest, which holds the hashes of all other files
    modality     TEXT NOT NULL,    -- imu, camera, iot, or several joined by +
    engine       TEXT NOT NULL,    -- that ran it last
    manifest     TEXT NOT NULL CHECK (json_valid(manifest)),
    loaded_us    INTEGER NOT NULL, -- last
    first_level  TEXT GENERATED ALWAYS AS (json_extract(manifest, '$.levels[0].name')) STORED,
                                   -- its coarsest level: operation
    first_label  TEXT GENERATED ALWAYS AS (
        CASE WHEN lower(json_extract(manifest, '$.levels[0].labels[0]')) = 'null'
             THEN json_extract(manifest, '$.levels[0].labels[1]')
             ELSE json_extract(manifest, '$.levels[0].labels[0]') END) STORED,
                                   -- the label with which a cycle begins: Picking
    PRIMARY KEY (name, sha256)
) STRICT;

CREATE TABLE segments (
    -- One stretch of one label, as one model saw it. Written when it begins, again when it ends.
    id            TEXT NOT NULL,    -- hash of the primary key
    station       TEXT NOT NULL,
    bundle        TEXT NOT NULL,    -- name of the model
    model_sha256  TEXT NOT NULL,    -- which model of that name
    modality      TEXT NOT NULL,    -- what the model looks at
    session       INTEGER NOT NULL, -- counts a station's stretches from first reading to end
    level         TEXT NOT NULL,    -- operation, action
    label         TEXT NOT NULL,
    parent        TEXT NOT NULL,    -- label of the level above; empty on the first level
    start_us      INTEGER NOT NULL,
    end_us        INTEGER NOT NULL, -- while open: as far as was certain when it began
    confidence    REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1.001), -- mean probability
    observed      REAL NOT NULL CHECK (observed BETWEEN 0 AND 1.001),   -- share really measured
    state         TEXT NOT NULL CHECK (state IN ('open', 'closed', 'interrupted')),
    emitted_us    INTEGER NOT NULL, -- when the board first knew what stands here
    CHECK (end_us > start_us),
    -- Not id: hashes lie scattered in an index, and a batch would rewrite a page for every row.
    PRIMARY KEY (station, session, bundle, level, start_us),
    FOREIGN KEY (bundle, model_sha256) REFERENCES models (name, sha256)
) STRICT;

CREATE TABLE gaps (
    -- Times in which a model's inputs were silent: nothing was seen, so nothing is claimed.
    station   TEXT NOT NULL,
    bundle    TEXT NOT NULL,
    session   INTEGER NOT NULL,
    start_us  INTEGER NOT NULL,
    end_us    INTEGER,             -- NULL until the inputs return
    reason    TEXT NOT NULL,
    PRIMARY KEY (station, bundle, session, start_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_states (
    -- What each device said in each session.
    station     TEXT NOT NULL,
    device      TEXT NOT NULL,
    session     INTEGER NOT NULL,
    adapter     TEXT NOT NULL,     -- its kind: imu, pose, state, event
    placement   TEXT NOT NULL,     -- where it sits: right_wrist
    status      TEXT NOT NULL,     -- online, stopped, offline; unknown: it never said
    boot        TEXT NOT NULL,     -- its latest
    first_us    INTEGER,           -- event time of its first reading; NULL: there was none
    last_us     INTEGER,           -- event time of its newest reading; NULL: there was none
    messages    INTEGER NOT NULL,
    samples     INTEGER NOT NULL,
    rejected    INTEGER NOT NULL,  -- payloads that could not be used
    duplicated  INTEGER NOT NULL,  -- payloads that had come before
    lost        INTEGER NOT NULL,  -- sequence numbers that never came
    late        INTEGER NOT NULL,  -- readings that came after their time was closed
    PRIMARY KEY (station, device, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    -- What the program needs to go on where it stopped; of no use to analysts.
    station   TEXT PRIMARY KEY,
    session   INTEGER NOT NULL,
    saved_us  INTEGER NOT NULL,
    content   BLOB NOT NULL
) STRICT;

CREATE INDEX segments_by_time ON segments (station, level, start_us);
