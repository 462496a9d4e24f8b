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
-- The transparency logs that were made of this log.
CREATE TABLE evidence_log (
    number    INTEGER PRIMARY KEY,
    origin    TEXT NOT NULL UNIQUE,
    log_id    TEXT NOT NULL,
    leaves    INTEGER NOT NULL,
    sha256    BLOB,
    run       TEXT,
    shown     TEXT NOT NULL,
    cosigned  TEXT
) STRICT;
-- What is claimed of the days of sources.
CREATE TABLE evidence_day (
    source    TEXT NOT NULL,
    day       INTEGER NOT NULL,
    entries   INTEGER NOT NULL,
    PRIMARY KEY (source, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE statement (
    number    INTEGER PRIMARY KEY,
    source    TEXT NOT NULL,
    day       INTEGER NOT NULL,
    added_us  INTEGER NOT NULL,
    leaf      BLOB NOT NULL
) STRICT;
CREATE INDEX statement_day ON statement (source, day, number);
-- Rules, what they match, and alerts. Of events that were stored before, it is not known whether they were backfilled.
ALTER TABLE event ADD COLUMN is_history INTEGER NOT NULL DEFAULT 0;
CREATE TABLE alert_rule (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,
    hash       BLOB NOT NULL,
    judged     INTEGER NOT NULL,
    live_from  INTEGER NOT NULL,
    left_at    INTEGER,
    noticed    INTEGER NOT NULL DEFAULT 0,
    noticed_before INTEGER NOT NULL DEFAULT 0,
    dropped    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX alert_rule_version ON alert_rule (id, hash) WHERE dropped = 0;
CREATE TABLE alert_match (
    rule        INTEGER NOT NULL REFERENCES alert_rule (number),
    group_hash  BLOB NOT NULL,
    time_us     INTEGER NOT NULL,
    tie         BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    named       INTEGER NOT NULL,
    value_hash  BLOB,
    late_s      INTEGER NOT NULL,
    PRIMARY KEY (rule, group_hash, time_us, tie, seq, named)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert (
    number        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    rule          INTEGER NOT NULL REFERENCES alert_rule (number),
    rule_id       TEXT NOT NULL,
    title         TEXT NOT NULL,
    level         TEXT NOT NULL,
    tags          TEXT NOT NULL,
    reads_bodies  INTEGER NOT NULL,
    grouped_by    TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed', 'retracted')),
    first_us      INTEGER NOT NULL,
    last_us       INTEGER NOT NULL,
    raised_us     INTEGER NOT NULL,
    late_s        INTEGER NOT NULL,
    events        INTEGER NOT NULL,
    summary       TEXT NOT NULL,
    assignee      TEXT,
    is_history    INTEGER NOT NULL,
    changed_us    INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_raised ON alert (raised_us, id);
CREATE INDEX alert_judged ON alert (rule, state);
CREATE TABLE alert_event (
    alert    INTEGER NOT NULL REFERENCES alert (number),
    time_us  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (alert, time_us, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_source (
    alert   INTEGER NOT NULL REFERENCES alert (number),
    source  TEXT NOT NULL,
    PRIMARY KEY (alert, source)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_change (
    alert     INTEGER NOT NULL REFERENCES alert (number),
    number    INTEGER NOT NULL,
    at_us     INTEGER NOT NULL,
    who       TEXT,
    state     TEXT NOT NULL,
    reason    TEXT,
    assignee  TEXT,
    PRIMARY KEY (alert, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_log (
    moment_us  INTEGER NOT NULL,
    alert      TEXT NOT NULL,
    change     TEXT NOT NULL CHECK (change IN ('raised', 'updated', 'retracted')),
    PRIMARY KEY (moment_us, alert)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_skipped (
    seq  INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE first_seen (
    pair      INTEGER NOT NULL,
    pair_hash BLOB NOT NULL,
    first_us  INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    until_seq INTEGER,
    PRIMARY KEY (pair, pair_hash, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX first_seen_at ON first_seen (pair, first_us, seq, until_seq);

-- What the service noticed about its sources and this log.
CREATE TABLE notice (
    number     INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('source_silent', 'coverage_gap', 'entry_disappeared', 'log_damaged')),
    source     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    noticed_us INTEGER NOT NULL,
    ended_us   INTEGER,
    content    TEXT NOT NULL,
    summary    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX notice_lasts ON notice (kind, source, subject) WHERE ended_us IS NULL;
CREATE TABLE sweep_scan (
    number    INTEGER PRIMARY KEY,
    window    INTEGER UNIQUE,
    source    INTEGER NOT NULL REFERENCES source (id),
    upto_seq  INTEGER NOT NULL,
    since_s   INTEGER,
    before_s  INTEGER
) STRICT;
CREATE TABLE sweep_shown (
    sweep     INTEGER NOT NULL REFERENCES sweep_scan (number),
    identity  BLOB NOT NULL,
    PRIMARY KEY (sweep, identity)
) STRICT, WITHOUT ROWID;
CREATE TABLE source_hour (
    source    INTEGER NOT NULL REFERENCES source (id),
    hour      INTEGER NOT NULL,
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- Where alerts are sent, and what became of each message.
CREATE TABLE destination (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    level      INTEGER NOT NULL,
    rules      TEXT NOT NULL,
    history    INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0,
    failing_us INTEGER,
    failed_us  INTEGER,
    wait_us    INTEGER NOT NULL DEFAULT 0,
    error      TEXT
) STRICT;
CREATE TABLE message (
    id         INTEGER PRIMARY KEY,
    webhook_id TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL CHECK (kind IN ('raised', 'updated', 'retracted', 'digest')),
    alert      TEXT,
    rule       TEXT NOT NULL,
    grouped_by TEXT NOT NULL,
    at_us      INTEGER NOT NULL,
    raised_us  INTEGER NOT NULL,
    content    TEXT NOT NULL
) STRICT;
CREATE INDEX message_alert ON message (alert, id);
CREATE INDEX message_rule ON message (rule, raised_us);
CREATE TABLE delivery (
    destination INTEGER NOT NULL REFERENCES destination (id),
    message     INTEGER NOT NULL REFERENCES message (id),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'suppressed', 'in_digest', 'given_up', 'retracted')),
    digest      INTEGER REFERENCES message (id),
    queued_us   INTEGER NOT NULL,
    not_before_us INTEGER,
    attempts    INTEGER NOT NULL DEFAULT 0,
    tried_us    INTEGER,
    done_us     INTEGER,
    error       TEXT,
    PRIMARY KEY (destination, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_pending ON delivery (destination, message) WHERE state = 'pending';
CREATE INDEX delivery_digest ON delivery (destination, digest) WHERE digest IS NOT NULL;
CREATE INDEX delivery_message ON delivery (message);

-- Legal holds.
CREATE TABLE hold (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    query       TEXT,
    sources     TEXT NOT NULL,
    since_us    INTEGER,
    before_us   INTEGER,
    reason      TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_us  INTEGER NOT NULL,
    released_us INTEGER
) STRICT;
CREATE UNIQUE INDEX hold_name ON hold (name) WHERE released_us IS NULL;

-- Retention: where bodies were erased, and what is still to be removed of them.
ALTER TABLE source ADD COLUMN erased_first_us INTEGER;
ALTER TABLE source ADD COLUMN erased_last_us INTEGER;
CREATE TABLE dictionary_sample (
    dictionary  INTEGER NOT NULL REFERENCES dictionary (id),
    seq         INTEGER NOT NULL,
    PRIMARY KEY (dictionary, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_event_seq ON alert_event (seq);
CREATE TABLE erased_document (
    seq       INTEGER PRIMARY KEY
) STRICT;
