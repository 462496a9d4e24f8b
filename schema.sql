-- The log of an orgtrail data directory, `orgtrail.db`, in reading order.
--
-- This file is the truth: the search index beside it, and whatever else follows the log, can be made again from here.
-- Times are integers, in microseconds since 1970 (`_us`) or in whole seconds (`_s`), UTC. Nothing is ever deleted from
-- `event` or `source`.

-- Who this log is. One row a fact.
--   log_id: a UUID, made with the file. Whatever was derived from another log is known by it, and made again.
--   restored_from, restored_us: of a log that was restored from a copy: the id that the copied log had, and when it was restored.
--   sweeps, backfill_since: what the service last meant to do, spelled as in its configuration: `15m 1h 24h 7d`, `540d`. For
--   those who ask what is proven, which depends on it.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Which program run has added which events: each run that added any has a row. An older copy of the log that has grown since
-- has other runs, so an index that was made of another state of the log is noticed.
CREATE TABLE run (
    first_seq INTEGER PRIMARY KEY,         -- the first event that it added
    id        TEXT NOT NULL
) STRICT;

-- The upstream logs ever followed, one row each, under a small number for use in the other tables.
CREATE TABLE source (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,  -- `organizations/ID` or `accounts/ID`
    organization    TEXT,                  -- the id of the organization an account was found in; NULL when configured by itself
    label           TEXT,                  -- what upstream calls it
    first_seen_us   INTEGER NOT NULL,
    created_us      INTEGER,               -- when upstream says that the account was made
    left_us         INTEGER,               -- when its organization no longer listed it, as two complete lists say; NULL while it does
    newest_us       INTEGER,               -- the latest `time_us` among its events
    events          INTEGER NOT NULL DEFAULT 0,
    unlisted_us     INTEGER,               -- when the first complete list of its organization without it was read; NULL while it is listed
    newest_seq      INTEGER,               -- the last place among its events; NULL until one comes, after an upgrade too
    -- The times of the first and the last of its events whose bodies were erased; NULL: none was.
    erased_first_us INTEGER,
    erased_last_us  INTEGER
) STRICT;

-- The organizations' lists of accounts. Until one was read completely, nobody knows which sources there are.
CREATE TABLE account_list (
    organization  TEXT PRIMARY KEY,        -- its id
    wanted        INTEGER NOT NULL,        -- 1 while all accounts of the organization are to be followed
    read_us       INTEGER                  -- when the last complete reading began; NULL when there was none
) STRICT, WITHOUT ROWID;

-- The names that upstream's lists gave a source: a row for each time it was another one.
CREATE TABLE source_label (
    source    INTEGER NOT NULL REFERENCES source (id),
    since_us  INTEGER NOT NULL,            -- when a list first gave it
    label     TEXT NOT NULL,
    PRIMARY KEY (source, since_us)
) STRICT, WITHOUT ROWID;

-- The organizations' members: a row for each time that one was otherwise, so that it can be told who an actor is, and who
-- it was. Those who left keep their rows.
CREATE TABLE member (
    organization  TEXT NOT NULL,           -- its id
    id            TEXT NOT NULL,           -- the membership's, upstream
    since_us      INTEGER NOT NULL,        -- when a list first told of it so
    until_us      INTEGER,                 -- when a list no longer did; NULL while it does
    user_id       TEXT,                    -- what entries have as `actor.id`
    email         TEXT,
    name          TEXT,
    status        TEXT,                    -- `active`, `pending` and so on, in upstream's words
    two_factor    INTEGER,                 -- 1 when the user signs in with a second factor
    joined        TEXT,                    -- when the membership was made, as upstream wrote it
    PRIMARY KEY (organization, id, since_us)
) STRICT, WITHOUT ROWID;

-- Who is this actor? Asked for every event that is shown.
CREATE INDEX member_user ON member (user_id);
CREATE INDEX member_email ON member (email COLLATE NOCASE);

-- When each organization's list of members was last read, and when that was last all of it.
CREATE TABLE member_list (
    organization  TEXT PRIMARY KEY,
    read_us       INTEGER NOT NULL,
    complete_us   INTEGER                  -- NULL when no complete list was read yet
) STRICT, WITHOUT ROWID;

-- Trained compression dictionaries. A row of `event` names the one it needs: it is deleted only when no row does any more.
CREATE TABLE dictionary (
    id            INTEGER PRIMARY KEY,
    trained_us    INTEGER NOT NULL,
    sample_ratio  REAL NOT NULL,           -- compressed / raw over its own samples: what it is later held against
    content       BLOB NOT NULL,
    sha256        BLOB                     -- of `content`; NULL when it was trained by version 1 of this schema
) STRICT;

-- The events that a dictionary was trained from: it has parts of their bodies. One without rows here was trained by an earlier
-- version of this program.
CREATE TABLE dictionary_sample (
    dictionary  INTEGER NOT NULL REFERENCES dictionary (id),
    seq         INTEGER NOT NULL,
    PRIMARY KEY (dictionary, seq)
) STRICT, WITHOUT ROWID;

-- The retention policies that bodies were erased by, one row for each source and span.
CREATE TABLE erasure_policy (
    id      INTEGER PRIMARY KEY,
    source  TEXT,                          -- the source it is for; NULL: every source without one of its own
    events  TEXT NOT NULL                  -- how long bodies are kept, as configured: `30d`
) STRICT;

-- Legal holds: nothing that one covers is erased until it is released. Rows stay.
CREATE TABLE hold (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    query       TEXT,                      -- the entries it covers, as a question; NULL: all
    sources     TEXT NOT NULL,             -- their sources, one a line; empty: all
    since_us    INTEGER,                   -- their times: from here on …
    before_us   INTEGER,                   -- … and before this
    reason      TEXT NOT NULL,
    created_by  TEXT NOT NULL,             -- the principal
    created_us  INTEGER NOT NULL,          -- what `now` is in its question
    released_us INTEGER                    -- NULL while it is in force
) STRICT;

-- A name is given again only after its release.
CREATE UNIQUE INDEX hold_name ON hold (name) WHERE released_us IS NULL;

-- Every entry upstream ever showed, in the order of arrival. Rows are lean and have no index for searching: questions go
-- to the search index, and come back as a list of `seq`.
CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,      -- 1, 2, 3 …, without holes
    source       INTEGER NOT NULL REFERENCES source (id),
    identity     BLOB NOT NULL,            -- what the entry is known by within its source; see src/store/identity.rs
    revision     INTEGER NOT NULL,         -- 0; 1 and more for the same id with other content
    time_us      INTEGER,                  -- `action.time`; NULL when it cannot be read
    received_us  INTEGER NOT NULL,
    problem      TEXT,                     -- why the entry cannot be understood
    from_logpush INTEGER NOT NULL,         -- 1 when the entry was made from a line of Logpush; 0 when the API sent it
    sha256       BLOB NOT NULL,            -- of the entry's bytes
    dictionary   INTEGER NOT NULL,         -- for `body`; 0 for none
    body         BLOB NOT NULL,            -- the entry's bytes, exactly as the API sent them, one zstd frame; empty when it was erased
    erased_us    INTEGER,                  -- when the body was erased; NULL while it is held
    erased_by    INTEGER REFERENCES erasure_policy (id), -- the policy that it was erased by
    canonical_sha256 BLOB,                 -- of the erased entry's canonical form: other bytes with that content are no revision; NULL while the body is held
    is_history   INTEGER NOT NULL DEFAULT 0 -- 1 when it was backfilled or imported
) STRICT;

-- Is this entry held already? Asked for every entry that arrives.
CREATE UNIQUE INDEX event_identity ON event (source, identity, revision);

-- The followers of the log that keep their checkpoint in this file. It is saved in the transaction of their effect.
CREATE TABLE follower (
    name    TEXT PRIMARY KEY,
    seq     INTEGER NOT NULL,              -- the last event that it has finished
    sha256  BLOB                           -- of that event's bytes; NULL when its row could not be read
) STRICT, WITHOUT ROWID;

-- The transparency logs that were made of this log: a row for each name that was ever used. Of the log that this one was restored from,
-- the rows stay: what they say was shown to others, so no other tree may be signed under these names.
CREATE TABLE evidence_log (
    number    INTEGER PRIMARY KEY,         -- in the order of their beginning
    origin    TEXT NOT NULL UNIQUE,        -- the name that its checkpoints have
    log_id    TEXT NOT NULL,               -- the log's id when they were signed
    leaves    INTEGER NOT NULL,            -- how many leaves the newest checkpoint has that was shown
    sha256    BLOB,                        -- of the event of the last of them; NULL when its row could not be read, and of a log of statements
    run       TEXT,                        -- the program run that added that event, likewise
    shown     TEXT NOT NULL,               -- that checkpoint, with its signatures
    cosigned  TEXT                         -- the newest checkpoint that the quorum of witnesses has signed
) STRICT;

-- How many events of each source and UTC day (of their time, or of when they were received if they have none) the newest checkpoint of
-- the log of events speaks for.
CREATE TABLE evidence_day (
    source    TEXT NOT NULL,               -- its name
    day       INTEGER NOT NULL,            -- counted from 1970 on
    entries   INTEGER NOT NULL,
    PRIMARY KEY (source, day)
) STRICT, WITHOUT ROWID;

-- What coverage claimed of each source's day: the leaves of the log of statements. None is changed or deleted; a newer one of the same
-- day has a higher number.
CREATE TABLE statement (
    number    INTEGER PRIMARY KEY,         -- 1, 2, 3 …, without holes
    source    TEXT NOT NULL,
    day       INTEGER NOT NULL,
    added_us  INTEGER NOT NULL,
    leaf      BLOB NOT NULL                -- canonical JSON; see src/evidence/leaf.rs
) STRICT;

-- What was claimed last of each day?
CREATE INDEX statement_day ON statement (source, day, number);

-- The rules of alerts: one row for each version of what decides a rule's matches, and which events it has judged. What remembers
-- which pairs were seen before is among them, as a rule of its own.
CREATE TABLE alert_rule (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,
    hash       BLOB NOT NULL,              -- of what decides its matches
    judged     INTEGER NOT NULL,           -- it has judged every event up to this `seq` …
    live_from  INTEGER NOT NULL,           -- … and every event after this one
    left_at    INTEGER,                    -- the checkpoint when it was taken out of use; NULL while it is in use
    noticed    INTEGER NOT NULL DEFAULT 0, -- it has judged every notice up to this number
    noticed_before INTEGER NOT NULL DEFAULT 0, -- the notices up to this number were there before it
    dropped    INTEGER NOT NULL DEFAULT 0  -- 1: another version took its place, and its matches are being deleted; 2: they are deleted
) STRICT;

-- Which number has this version? A version that was dropped comes back as a new one.
CREATE UNIQUE INDEX alert_rule_version ON alert_rule (id, hash) WHERE dropped = 0;

-- The matches of correlations: entries that a rule matches which the correlation names. Times that ties are ordered by, groups and
-- values are kept as what tells them apart, not as what they say.
CREATE TABLE alert_match (
    rule        INTEGER NOT NULL REFERENCES alert_rule (number), -- the correlation
    group_hash  BLOB NOT NULL,             -- of the group
    time_us     INTEGER NOT NULL,          -- the event's time, or when it was received if it has none
    tie         BLOB NOT NULL,             -- orders matches of one time: source, identity and content hash
    seq         INTEGER NOT NULL,
    named       INTEGER NOT NULL,          -- which of the rules that the correlation names matched, from 0
    value_hash  BLOB,                      -- of the value that is counted; NULL when it is missing or nothing is counted
    late_s      INTEGER NOT NULL,          -- how long after its time the event was received
    PRIMARY KEY (rule, group_hash, time_us, tie, seq, named)
) STRICT, WITHOUT ROWID;

-- Alerts. Rows stay: one that was disproved is `retracted`.
CREATE TABLE alert (
    number        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    rule          INTEGER NOT NULL REFERENCES alert_rule (number), -- the version that judged it last
    rule_id       TEXT NOT NULL,
    title         TEXT NOT NULL,
    level         TEXT NOT NULL,
    tags          TEXT NOT NULL,           -- a JSON array
    reads_bodies  INTEGER NOT NULL,        -- 1 when the rule reads bodies
    grouped_by    TEXT NOT NULL,           -- the group, a JSON object
    state         TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed', 'retracted')),
    first_us      INTEGER NOT NULL,
    last_us       INTEGER NOT NULL,
    raised_us     INTEGER NOT NULL,
    late_s        INTEGER NOT NULL,
    events        INTEGER NOT NULL,        -- how many
    summary       TEXT NOT NULL,
    assignee      TEXT,
    is_history    INTEGER NOT NULL,        -- 1 while all that raised it was backfilled, imported, or there before the rule
    changed_us    INTEGER NOT NULL         -- its last `moment_us` in `alert_log`
) STRICT;

-- Lists, the ones raised last first.
CREATE INDEX alert_raised ON alert (raised_us, id);
-- What did this version raise? Asked when another one takes its place.
CREATE INDEX alert_judged ON alert (rule, state);

-- The events of alerts.
CREATE TABLE alert_event (
    alert    INTEGER NOT NULL REFERENCES alert (number),
    time_us  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (alert, time_us, seq)
) STRICT, WITHOUT ROWID;

-- Which alerts is this event in? Asked when its body is erased.
CREATE INDEX alert_event_seq ON alert_event (seq);

-- The sources of the events of alerts: who may not see one of them does not see the alert.
CREATE TABLE alert_source (
    alert   INTEGER NOT NULL REFERENCES alert (number),
    source  TEXT NOT NULL,
    PRIMARY KEY (alert, source)
) STRICT, WITHOUT ROWID;

-- What has become of alerts.
CREATE TABLE alert_change (
    alert     INTEGER NOT NULL REFERENCES alert (number),
    number    INTEGER NOT NULL,            -- 1, 2, 3 …
    at_us     INTEGER NOT NULL,
    who       TEXT,                        -- NULL: the service
    state     TEXT NOT NULL,
    reason    TEXT,
    assignee  TEXT,
    PRIMARY KEY (alert, number)
) STRICT, WITHOUT ROWID;

-- The changes of all alerts in order, for those who follow them. All changes of one transaction have one `moment_us`, and one transaction
-- changes an alert once: so a place in this order tells nothing about how many changes there were before it.
CREATE TABLE alert_log (
    moment_us  INTEGER NOT NULL,           -- when, or a microsecond after the moment before if the clock has not gone on
    alert      TEXT NOT NULL,              -- the alert's id
    change     TEXT NOT NULL CHECK (change IN ('raised', 'updated', 'retracted')),
    PRIMARY KEY (moment_us, alert)
) STRICT, WITHOUT ROWID;

-- Events that no rule has judged because they are damaged. They are judged when they can be read again.
CREATE TABLE alert_skipped (
    seq  INTEGER PRIMARY KEY
) STRICT;

-- When each pair of an actor and something it used occurred first, over all sources, in event time, and in which events: as of now, and as of
-- each event before. Pairs are kept as keyed hashes.
CREATE TABLE first_seen (
    pair      INTEGER NOT NULL,            -- what the actor is paired with; see src/detect/pairs.rs
    pair_hash BLOB NOT NULL,
    first_us  INTEGER NOT NULL,            -- the event's time
    seq       INTEGER NOT NULL,            -- an event that had the pair at that time, and none of the events before it earlier
    until_seq INTEGER,                     -- the first event that has it earlier; NULL while there is none
    PRIMARY KEY (pair, pair_hash, seq)
) STRICT, WITHOUT ROWID;
-- Which events of a range of time had a pair for the first time, as of some event? Asked by questions with `first_seen`.
CREATE INDEX first_seen_at ON first_seen (pair, first_us, seq, until_seq);

-- What the service noticed about its sources and this log, for rules with `service: orgtrail`: a row is one state from its beginning to its
-- end. See src/store/notices.rs.
CREATE TABLE notice (
    number     INTEGER PRIMARY KEY,        -- 1, 2, 3 …, in the order in which they were noticed
    kind       TEXT NOT NULL CHECK (kind IN ('source_silent', 'coverage_gap', 'entry_disappeared', 'log_damaged')),
    source     TEXT NOT NULL,              -- the name of the source that it is about; empty when that is not known
    subject    TEXT NOT NULL,              -- what tells it from others of its kind and source
    noticed_us INTEGER NOT NULL,
    ended_us   INTEGER,                    -- NULL while it lasts
    content    TEXT NOT NULL,              -- what rules see, as JSON
    summary    TEXT NOT NULL               -- what alerts say after the rule's title
) STRICT;
-- Does it last already?
CREATE UNIQUE INDEX notice_lasts ON notice (kind, source, subject) WHERE ended_us IS NULL;

-- Sweeps whose entries are compared with what is held when they are sealed.
CREATE TABLE sweep_scan (
    number    INTEGER PRIMARY KEY,
    window    INTEGER UNIQUE,              -- the open window; NULL when it is sealed, and the comparison is due
    source    INTEGER NOT NULL REFERENCES source (id),
    upto_seq  INTEGER NOT NULL,            -- the last event that was held when the sweep began
    since_s   INTEGER,                     -- what was read; NULL while it is open
    before_s  INTEGER
) STRICT;

-- The identities that these sweeps have shown. Emptied when they are compared or begin again.
CREATE TABLE sweep_shown (
    sweep     INTEGER NOT NULL REFERENCES sweep_scan (number),
    identity  BLOB NOT NULL,
    PRIMARY KEY (sweep, identity)
) STRICT, WITHOUT ROWID;

-- The hours since 1970 in which sources had entries, of the last weeks: how long they are silent usually.
CREATE TABLE source_hour (
    source    INTEGER NOT NULL REFERENCES source (id),
    hour      INTEGER NOT NULL,
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- The events that came from files, by their places: a file's entries may be in any order of time.
CREATE TABLE imported (
    first_seq  INTEGER PRIMARY KEY,
    last_seq   INTEGER NOT NULL
) STRICT;

-- Events that were found damaged, with what is wrong: see src/store/scrub.rs. A row goes when the event is found whole again.
CREATE TABLE damaged (
    seq       INTEGER PRIMARY KEY,
    problem   TEXT NOT NULL,
    found_us  INTEGER NOT NULL,
    -- What its row says, where it can be read: its source, and the time by which it is ordered.
    source    INTEGER,
    at_us     INTEGER
) STRICT;
CREATE INDEX damaged_at ON damaged (source, at_us);

-- Events whose body was put back, until the index has made their documents again.
CREATE TABLE repaired (
    seq       INTEGER PRIMARY KEY
) STRICT;

-- Events whose body was erased, until the index has no documents of them.
CREATE TABLE erased_document (
    seq       INTEGER PRIMARY KEY
) STRICT;

-- How far the log has been checked against its hashes. At most one row.
CREATE TABLE scrub (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    position  INTEGER NOT NULL,            -- the last `seq` that the present pass has checked
    full_us   INTEGER                      -- when the last full pass ended; NULL when there was none
) STRICT;

-- The ledger: scans of stretches of a source's time, `[since_s, before_s)`. A sealed one is a fact: what upstream showed of the
-- stretch at `began_us` is held. What that proves is computed (src/ledger.rs) and written down nowhere else. Old sealed
-- windows are merged; then each bound holds for every moment of the stretch.
CREATE TABLE window (
    id         INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES source (id),
    kind       TEXT NOT NULL CHECK (kind IN ('live', 'sweep', 'backfill')),
    since_s    INTEGER NOT NULL,
    before_s   INTEGER NOT NULL CHECK (before_s > since_s),
    cursor     TEXT,                       -- where the scan goes on; NULL at its start and when it is over
    began_us   INTEGER NOT NULL,           -- when the scan began, or began again; merged: no later than the last scans of all of it
    sealed_us  INTEGER,                    -- when its last page was kept, NULL while it is open; merged: no earlier than the first seals of all of it
    waited_us  INTEGER NOT NULL DEFAULT 0, -- merged: how long after its first seal the last scan of each moment began, at least
    outcome    TEXT CHECK (outcome IN ('sealed', 'too_large', 'unreadable', 'foreign', 'unproven')), -- NULL while it is open; all but the first prove nothing: an entry in it cannot be read, or is another log's
    settles    INTEGER NOT NULL DEFAULT 0, -- 1 when it was read from another orgtrail that would read it again itself
    merged     INTEGER NOT NULL DEFAULT 0, -- 1 when it speaks for several scans, or for a part of one
    page_limit INTEGER,                    -- the `limit` of its scan, which stays the same from cursor to cursor; NULL: the configured page size
    resumed_s  INTEGER,                    -- from when on it is asked for, when a scan goes on without a cursor from the last time it was shown; NULL: from `since_s`
    empty_pages INTEGER NOT NULL DEFAULT 0, -- empty pages with a cursor, in a row
    bad_answers INTEGER NOT NULL DEFAULT 0, -- answers that could not be used, in a row
    bad_for_us INTEGER NOT NULL DEFAULT 0, -- how long they have come, as far as a program ran that saw them
    bad_at_us  INTEGER,                    -- when the last of them came, by the steady clock of the program that saw it
    restarts   INTEGER NOT NULL DEFAULT 0, -- times a cursor was refused or led nowhere
    pages      INTEGER NOT NULL DEFAULT 0, -- this and the following: since the scan began; merged: of all its scans
    entries    INTEGER NOT NULL DEFAULT 0,
    new        INTEGER NOT NULL DEFAULT 0,
    revisions  INTEGER NOT NULL DEFAULT 0,
    CHECK ((sealed_us IS NULL) = (outcome IS NULL))
) STRICT;

-- The scan to go on with. A source has at most one open window of each kind.
CREATE UNIQUE INDEX window_open ON window (source, kind) WHERE sealed_us IS NULL;

-- All that is known of a source's stretches: it is read together, and kept short.
CREATE INDEX window_source ON window (source, since_s);

-- How late entries were that came after their stretch was first sealed: a histogram for each source. The bucket says in which
-- of the growing spans the lateness lies; see src/store/lateness.rs.
CREATE TABLE lateness (
    source      INTEGER NOT NULL REFERENCES source (id),
    bucket      INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    longest_us  INTEGER NOT NULL,          -- the longest in the bucket, exactly
    PRIMARY KEY (source, bucket)
) STRICT, WITHOUT ROWID;

-- How late entries became visible of late: from an entry's time to the scan that first showed it, by the kind of scan. Old
-- counts are halved again and again; see src/store/lateness.rs.
CREATE TABLE visibility (
    source      INTEGER NOT NULL REFERENCES source (id),
    found       TEXT NOT NULL CHECK (found IN ('live', 'sweep')),
    bucket      INTEGER NOT NULL,
    entries     REAL    NOT NULL,
    longest_us  INTEGER NOT NULL,          -- the longest in the bucket, exactly
    PRIMARY KEY (source, found, bucket)
) STRICT, WITHOUT ROWID;

-- How many equal entries without an id an open scan has shown so far: as many are kept as one scan showed at most.
-- Emptied when the window is sealed or its scan begins again.
CREATE TABLE scan_twin (
    window    INTEGER NOT NULL REFERENCES window (id),
    identity  BLOB NOT NULL,
    shown     INTEGER NOT NULL,
    time_s    INTEGER,                     -- their time, if it can be read: those from `resumed_s` on are counted again
    PRIMARY KEY (window, identity)
) STRICT, WITHOUT ROWID;

-- The cursors an open scan was given, by the beginning of their SHA-256: one that comes again leads in a circle. Emptied as
-- `scan_twin` is.
CREATE TABLE scan_cursor (
    window  INTEGER NOT NULL REFERENCES window (id),
    cursor  BLOB NOT NULL,
    PRIMARY KEY (window, cursor)
) STRICT, WITHOUT ROWID;

-- What a credential has spent and how long it must wait, so that a restart spends nothing twice. Lengths from the time of
-- saving: a moment in the future, stored while the clock was wrong, would silence the credential until then.
CREATE TABLE quota (
    credential  TEXT PRIMARY KEY,          -- its name in the configuration, never the secret
    saved_us    INTEGER NOT NULL,          -- when the row was saved
    spent_us    INTEGER NOT NULL,          -- for how long from then on its requests so far use up their pace
    wait_us     INTEGER NOT NULL           -- for how long from then on no call may be made
) STRICT, WITHOUT ROWID;

-- Where alerts are sent: the destinations of the configuration, and those that it once had.
CREATE TABLE destination (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    level      INTEGER NOT NULL,           -- alerts of this level and above: 0 informational to 4 critical
    rules      TEXT NOT NULL,              -- the ids of its rules with wildcards, a list in JSON; empty: all
    history    INTEGER NOT NULL,           -- 1: alerts of backfilled and imported entries as well
    active     INTEGER NOT NULL,           -- 1 while it is configured
    failures   INTEGER NOT NULL DEFAULT 0, -- attempts that failed in a row
    failing_us INTEGER,                    -- when the first of them began
    failed_us  INTEGER,                    -- when the last of them ended
    wait_us    INTEGER NOT NULL DEFAULT 0, -- for how long from then on nothing is tried
    error      TEXT                        -- why the last attempt failed; NULL after a success
) STRICT;

-- What there is to send, in the order of sending: a row for each change of an alert, and for each digest.
CREATE TABLE message (
    id         INTEGER PRIMARY KEY,
    webhook_id TEXT NOT NULL UNIQUE,       -- the same through retries and restarts; receivers know a repetition by it
    kind       TEXT NOT NULL CHECK (kind IN ('raised', 'updated', 'retracted', 'digest')),
    alert      TEXT,                       -- the alert's id; NULL for a digest
    rule       TEXT NOT NULL,              -- the rule's id
    grouped_by TEXT NOT NULL,              -- the alert's group, as JSON: `{}` without one
    at_us      INTEGER NOT NULL,           -- when the change was made; when a digest began
    raised_us  INTEGER NOT NULL,           -- when the alert was raised; of a digest: its first alert
    content    TEXT NOT NULL               -- the alert as it was then, as JSON; of a digest: its rule
) STRICT;

-- Which messages of this alert were sent?
CREATE INDEX message_alert ON message (alert, id);
-- Was an alert of this rule and group sent lately? How many of this rule?
CREATE INDEX message_rule ON message (rule, raised_us);

-- What became of each message at each destination that takes it.
CREATE TABLE delivery (
    destination INTEGER NOT NULL REFERENCES destination (id),
    message     INTEGER NOT NULL REFERENCES message (id),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'suppressed', 'in_digest', 'given_up', 'retracted')),
    digest      INTEGER REFERENCES message (id), -- the digest that has it
    queued_us   INTEGER NOT NULL,          -- when it began to wait; again when it was replayed
    not_before_us INTEGER,                 -- of a digest: when it is complete
    attempts    INTEGER NOT NULL DEFAULT 0, -- counted before each attempt, which a crash may cut short
    tried_us    INTEGER,                   -- when the last one began
    done_us     INTEGER,                   -- when it left the state `pending`
    error       TEXT,                      -- why the last one failed
    PRIMARY KEY (destination, message)
) STRICT, WITHOUT ROWID;

-- What is next, and what has waited longest?
CREATE INDEX delivery_pending ON delivery (destination, message) WHERE state = 'pending';
-- Which alerts are in this digest?
CREATE INDEX delivery_digest ON delivery (destination, digest) WHERE digest IS NOT NULL;
-- What may be forgotten?
CREATE INDEX delivery_message ON delivery (message);
