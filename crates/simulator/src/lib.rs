//! Simulates Cloudflare's API: organizations with their accounts, members, and audit logs of any length.
//!
//! It speaks upstream's wire forms over real HTTP, keeps upstream's limits, and misbehaves on request. The demo, the
//! `simulate` command and the tests all use this one, so what they show cannot drift apart. Everything in it follows
//! from a seed: history is computed from an entry's number and never stored, so that ten million entries cost nothing
//! until they are read. It knows nothing of who reads it, and nothing of how that reader stores what it reads.
//!
//! In reading order: `chance` draws; `world` and `people` say who there is; `timeline` when things happen; `catalogue`
//! what can happen; `history` draws the entry of a number, `entry` and `json_writer` write it; `log` and `logs` merge
//! entries, and `lateness` holds some back; `directory` has what calls change. `simulator` is the state of all that.
//! Requests come in through `request_layer`, which asks `quota` and `faults`, and go by `routes` to `organizations`,
//! `accounts` and `members`, whose changes `call_log` writes into a log, and to `audit`, whose parts are `parameters`,
//! `page_request`, `filter`, `resource`, `log_reader` and `cursor`. Lists are cut by `listing`; answers leave by
//! `responses` and `refusal`. `entries` reads a log without HTTP.

mod accounts;
mod audit;
mod call;
mod call_log;
mod catalogue;
mod chance;
mod changes;
mod config;
mod cursor;
mod directory;
mod entries;
mod entry;
mod faults;
mod filter;
mod history;
mod json_writer;
mod lateness;
mod listing;
mod log;
mod log_reader;
mod logs;
mod members;
mod organizations;
mod page_request;
mod parameters;
mod people;
mod quota;
mod refusal;
mod request_layer;
mod resource;
mod responses;
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
