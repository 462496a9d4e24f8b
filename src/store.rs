//! The log: one SQLite file with every entry, the scanned windows of each source, and the calls that were spent.
//!
//! Plain synchronous Rust. One connection writes, inside immediate transactions; others read, each question a snapshot
//! (WAL). A commit is on disk before it returns (`synchronous = FULL`). Every change goes through `Store::change` as
//! a named step: it is one transaction, and a test can make it fail. All SQL of the project lives in
//! this module and below it.
//!
//! It does not depend on HTTP, on the search index, or on the clock: times are arguments.

mod access;
mod address;
mod aims;
pub mod alerts;
mod bodies;
mod connect;
mod copy;
mod damage;
mod damage_notes;
mod erased;
mod error;
mod events;
mod followers;
mod handle;
mod holder;
mod holdings;
mod identity;
mod imports;
mod lateness;
mod ledger;
mod ledger_rows;
mod newest;
mod open_window;
mod opening;
mod outbox;
mod people;
mod pieces;
mod quotas;
mod reading;
mod restored;
mod runs;
mod schema;
mod scrub;
mod shown;
mod size;
mod sources;
pub mod steps;
#[cfg(test)]
mod tests;
pub mod time_limit;
mod visibility;
mod window_id;
mod windows;
mod writing;

pub use self::access::{
    ACCESS_FILE_NAME, AccessChange, AccessEntry, AccessFilter, AccessLine, AccessPage, AccessStore,
    MAX_ALL_SEARCHES, MAX_PARAMETERS_LEN, MAX_SEARCHES, NewSearch, NewToken, SESSION_HOURS,
    SavedSearch, SearchPlace, SearchesOf, TokenRow,
};
pub use self::connect::{FILE_NAME, PARTIAL_NAME};
pub use self::copy::CopyProgress;
pub use self::damage::{Damage, MAX_DAMAGED, NotRepaired};
pub use self::erased::Erased;
pub use self::error::{DiskProblem, StoreError};
pub use self::events::Page;
pub use self::followers::Checkpoint;
pub use self::handle::Store;
pub use self::holder::{Holder, announced};
pub use self::holdings::{EntryKey, Held, Holding};
pub use self::imports::Imported;
pub use self::ledger::{LastBackfill, LastLive, Progress};
pub use self::open_window::{BadAnswers, GapCause, OpenWindow, Then, WindowPiece};
pub use self::outbox::{
    Attempt, AttemptSaved, Content, DeadLetter, Decided, DestinationState, MAX_DEAD_LETTERS,
    Message, MessageKind, NextDelivery, Outgoing, SendPolicy, Subscription,
};
pub use self::people::{KnownPerson, MemberRow, NameRow, Who};
pub use self::quotas::QuotaRow;
pub use self::reading::unreadable;
pub use self::restored::RestoreDir;
pub use self::scrub::{DamagedEvent, PutBack, ScrubState, Scrubbed};
pub use self::sources::{AccountList, AccountListRead, Followed, SourceRow, SourceSeen};
pub use self::visibility::{Lateness, Visibility};
pub use self::window_id::WindowId;
pub use self::writing::Appended;
