//! Tokens, sessions, saved searches, feeds of alerts and the access log, in a file beside the log: `access.db`.
//!
//! Why it is a file of its own is explained in `access/schema.sql`.

mod database;
mod entries;
mod feeds;
mod reserve;
mod searches;
mod sessions;
mod tokens;

pub use self::database::{ACCESS_FILE_NAME, AccessStore};
pub use self::entries::{
    AccessChange, AccessEntry, AccessFilter, AccessLine, AccessPage, MAX_PARAMETERS_LEN,
};
pub use self::feeds::{FeedRefusal, FeedRow, MAX_FEEDS, NewFeed};
pub use self::searches::{
    MAX_ALL_SEARCHES, MAX_SEARCHES, NewSearch, SavedSearch, SearchPlace, SearchesOf,
};
pub use self::sessions::SESSION_HOURS;
pub use self::tokens::{NewToken, TokenRow};
