-- Who may ask, and who asked what: `access.db` in the data directory.
--
-- It is a file of its own for three reasons. A question is recorded before it is answered, and must not wait for the
-- poller's transaction. Commands create and revoke tokens while the service runs. A copy of the log carries no tokens.
-- Times are integers, in microseconds since 1970, UTC.

-- API tokens. A row stays for ever, so that the access log can be read.
CREATE TABLE token (
    id            TEXT PRIMARY KEY,        -- public: names the token in lists and in the access log
    name          TEXT NOT NULL,           -- what its creator called it
    hash          BLOB NOT NULL UNIQUE,    -- SHA-256 of the token; finds the token that a request sent
    permissions   TEXT NOT NULL,           -- `search,export`: the scopes
    sources       TEXT NOT NULL,           -- the sources it is limited to, one a line; empty: all
    bodies        INTEGER NOT NULL,        -- 1 if it may see requests, responses and values
    created_us    INTEGER NOT NULL,
    expires_us    INTEGER,                 -- NULL: never
    last_used_us  INTEGER,                 -- to about a minute
    revoked_us    INTEGER
) STRICT, WITHOUT ROWID;

-- Sessions of browsers: each stands for the token that began it, and ends with it.
CREATE TABLE session (
    hash        BLOB PRIMARY KEY,          -- SHA-256 of the cookie's value
    token       TEXT NOT NULL REFERENCES token (id),
    created_us  INTEGER NOT NULL,
    expires_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Finds the sessions that have ended.
CREATE INDEX session_end ON session (expires_us);

-- Finds the sessions of a token, the oldest first: there is a limit for each token.
CREATE INDEX session_token ON session (token, created_us);

-- The access log. Rows are only added; those older than `http.access_log` are deleted.
CREATE TABLE access (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were recorded; never given twice
    time_us      INTEGER NOT NULL,         -- when the request began
    principal    TEXT NOT NULL,            -- `token:ID`, `access:E-MAIL`, `feed:NAME`, `local`, `system`, or `nobody`
    address      TEXT,                     -- of the client; NULL for commands
    action       TEXT NOT NULL,            -- `search`, `export`, `token.create`, `refused` …
    route        TEXT NOT NULL,            -- the pattern of the route, or the command
    parameters   TEXT NOT NULL,            -- as they were sent, credentials masked and cut to a limit
    results      INTEGER,                  -- how many things the answer has; NULL where that says nothing, or is not known yet
    duration_ms  INTEGER,                  -- NULL while an answer is streamed
    status       INTEGER                   -- of HTTP; NULL for commands
) STRICT;

-- Serves retention: the rows before a time.
CREATE INDEX access_time ON access (time_us);
