-- Saved searches: a question under a name, of the principal that saved it. Shared ones are for everyone who may see the whole log.
CREATE TABLE saved_search (
    id          TEXT PRIMARY KEY,          -- random
    principal   TEXT NOT NULL,             -- as the access log names it
    name        TEXT NOT NULL,
    query       TEXT,                      -- the query
    state       TEXT,                      -- what the search page restores: the part of its address after the path
    shared      INTEGER NOT NULL,          -- 1 if others see it
    created_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Lists the searches of a principal, and counts them: there is a limit for each.
CREATE INDEX saved_search_principal ON saved_search (principal, created_us);

-- Lists the shared ones.
CREATE INDEX saved_search_shared ON saved_search (created_us) WHERE shared;
