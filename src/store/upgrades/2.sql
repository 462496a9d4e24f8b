-- Version 1 to 2.

-- A CHECK cannot be changed in place, so `window` is made anew.
CREATE TABLE window_2 (
    id         INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES source (id),
    kind       TEXT NOT NULL CHECK (kind IN ('live', 'sweep', 'backfill')),
    since_s    INTEGER NOT NULL,
    before_s   INTEGER NOT NULL CHECK (before_s > since_s),
    cursor     TEXT,
    began_us   INTEGER NOT NULL,
    sealed_us  INTEGER,
    waited_us  INTEGER NOT NULL DEFAULT 0,
    outcome    TEXT CHECK (outcome IN ('sealed', 'too_large', 'unreadable', 'foreign', 'unproven')),
    settles    INTEGER NOT NULL DEFAULT 0,
    merged     INTEGER NOT NULL DEFAULT 0,
    page_limit INTEGER,
    resumed_s  INTEGER,
    empty_pages INTEGER NOT NULL DEFAULT 0,
    bad_answers INTEGER NOT NULL DEFAULT 0,
    bad_for_us INTEGER NOT NULL DEFAULT 0,
    bad_at_us  INTEGER,
    restarts   INTEGER NOT NULL DEFAULT 0,
    pages      INTEGER NOT NULL DEFAULT 0,
    entries    INTEGER NOT NULL DEFAULT 0,
    new        INTEGER NOT NULL DEFAULT 0,
    revisions  INTEGER NOT NULL DEFAULT 0,
    CHECK ((sealed_us IS NULL) = (outcome IS NULL))
) STRICT;
INSERT INTO window_2 (id, source, kind, since_s, before_s, cursor, began_us, sealed_us, waited_us, outcome, merged,
                      restarts, pages, entries, new, revisions)
SELECT id, source, kind, since_s, before_s, cursor, began_us, sealed_us, waited_us, outcome, merged,
       restarts, pages, entries, new, revisions
FROM window;
DROP TABLE window;
ALTER TABLE window_2 RENAME TO window;
CREATE UNIQUE INDEX window_open ON window (source, kind) WHERE sealed_us IS NULL;
CREATE INDEX window_source ON window (source, since_s);

-- Damage: what was found, and how far the log was checked.
ALTER TABLE dictionary ADD COLUMN sha256 BLOB;
-- Version 1 did not write down which events came from files: any of them may have.
CREATE TABLE imported (
    first_seq  INTEGER PRIMARY KEY,
    last_seq   INTEGER NOT NULL
) STRICT;
INSERT INTO imported (first_seq, last_seq) SELECT min(seq), max(seq) FROM event HAVING count(*) > 0;
CREATE TABLE damaged (
    seq       INTEGER PRIMARY KEY,
    problem   TEXT NOT NULL,
    found_us  INTEGER NOT NULL,
    source    INTEGER,
    at_us     INTEGER
) STRICT;
CREATE INDEX damaged_at ON damaged (source, at_us);
CREATE TABLE repaired (
    seq       INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE scrub (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    position  INTEGER NOT NULL,
    full_us   INTEGER
) STRICT;
ALTER TABLE scan_twin ADD COLUMN time_s INTEGER;
-- An account has left after two complete lists without it.
ALTER TABLE source ADD COLUMN unlisted_us INTEGER;
ALTER TABLE source ADD COLUMN newest_seq INTEGER;
UPDATE source SET unlisted_us = left_us;
CREATE TABLE account_list (
    organization  TEXT PRIMARY KEY,
    wanted        INTEGER NOT NULL,
    read_us       INTEGER
) STRICT, WITHOUT ROWID;
ALTER TABLE member_list ADD COLUMN complete_us INTEGER;

-- How late entries became visible of late, by the kind of scan that first showed them.
CREATE TABLE visibility (
    source      INTEGER NOT NULL REFERENCES source (id),
    found       TEXT NOT NULL CHECK (found IN ('live', 'sweep')),
    bucket      INTEGER NOT NULL,
    entries     REAL NOT NULL,
    longest_us  INTEGER NOT NULL,
    PRIMARY KEY (source, found, bucket)
) STRICT, WITHOUT ROWID;
-- A wait becomes a length. Version 1 stored its end alone; when it was received is not known, so that it is cut to the five
-- minutes that upstream blocks for. The spent budget is cut to the same.
CREATE TABLE quota_2 (
    credential  TEXT PRIMARY KEY,
    saved_us    INTEGER NOT NULL,
    spent_us    INTEGER NOT NULL,
    wait_us     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO quota_2 (credential, saved_us, spent_us, wait_us)
SELECT credential, now_us, max(0, min(spent_us - now_us, 300000000)), max(0, min(blocked_us - now_us, 300000000))
FROM quota, (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now_us);
DROP TABLE quota;
ALTER TABLE quota_2 RENAME TO quota;

-- Bodies may be erased; their rows stay. Only new files return their space page by page (auto_vacuum): an older one would have
-- to be rewritten as a whole for that.
CREATE TABLE erasure_policy (
    id      INTEGER PRIMARY KEY,
    source  TEXT,
    events  TEXT NOT NULL
) STRICT;
ALTER TABLE event ADD COLUMN erased_us INTEGER;
ALTER TABLE event ADD COLUMN erased_by INTEGER REFERENCES erasure_policy (id);
ALTER TABLE event ADD COLUMN canonical_sha256 BLOB;

-- Checkpoints of followers.
CREATE TABLE follower (
    name    TEXT PRIMARY KEY,
    seq     INTEGER NOT NULL,
    sha256  BLOB
) STRICT, WITHOUT ROWID;
-- Which program run has added which events.
CREATE TABLE run (
    first_seq INTEGER PRIMARY KEY,
    id        TEXT NOT NULL
) STRICT;
