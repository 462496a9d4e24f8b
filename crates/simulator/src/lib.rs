//! A stand-in for Cloudflare's API: organizations with their accounts, members, and audit logs of any length.
//!
//! It speaks upstream's wire forms over real HTTP, keeps upstream's limits, and misbehaves on request. The demo, the
//! `simulate` command and the tests all use this one, so what they show cannot drift apart. Everything in it follows
//! from a seed: history is computed from an entry's number and never stored, so that ten million entries cost nothing
//! until they are read. It knows nothing of who reads it, and nothing of how that reader stores what it reads.
//!
//! In reading order: `chance` draws; `world` and `people` say who there is; `timeline` when things happen;
//! `catalogue` what can happen; `history` draws the entry of a number, `entry` and `pen` write it; `log` and `logs` merge
//! entries and `lateness` holds some back; `directory` holds what calls change. Requests come in through `door`, which
//! asks `quota` and `faults`, and go on to `organizations`, `accounts`, `members`, each change of which `record` tells in
//! a log, and to `audit`, whose parts are `parameters`, `question`, `filter`, `resource`, `reader` and `cursor`; lists
//! are cut by `listing`, and answers leave in an `envelope`. `entries` goes around all of that.

mod accounts;
mod audit;
mod call;
mod catalogue;
mod chance;
mod config;
mod cursor;
mod directory;
mod door;
mod entries;
mod entry;
mod envelope;
mod faults;
mod filter;
mod history;
mod lateness;
mod listing;
mod log;
mod logs;
mod members;
mod organizations;
mod parameters;
mod pen;
mod people;
mod question;
mod quota;
mod reader;
mod record;
mod refusal;
mod resource;
mod routes;
mod simulator;
mod sync;
mod timeline;
mod world;

#[cfg(test)]
mod tests;

pub use call::SeenRequest;
pub use config::{Bounds, Lag, SimConfig};
pub use entries::Entries;
pub use faults::Faults;
pub use orgtrail_cloudflare::paging::CursorForm;
pub use simulator::Simulator;
