-- Feeds of alerts: each has two URLs, for Atom and JSON Feed, that hold a secret. A row goes when its feed is revoked.
CREATE TABLE feed (
    name          TEXT PRIMARY KEY,
    hash          BLOB NOT NULL,           -- SHA-256 of the secret in its URLs
    rules         TEXT NOT NULL,           -- alerts of these rules, a list in JSON; empty: all
    levels        TEXT NOT NULL,           -- alerts of these levels, a list in JSON; empty: all
    states        TEXT NOT NULL,           -- alerts in these states, a list in JSON; empty: all
    sources       TEXT NOT NULL,           -- the sources it is limited to, one a line; empty: all
    bodies        INTEGER NOT NULL,        -- 1 if it has alerts of rules that read bodies
    created_us    INTEGER NOT NULL,
    last_used_us  INTEGER                  -- to about a minute
) STRICT, WITHOUT ROWID;
