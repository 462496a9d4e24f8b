//! Upstream to log: what each source shows, window by window, page by page.
//!
//! One poller for each credential, which owns its budget and its sources. Its turn is one call: choose what is most
//! urgent ([`Poller::next_turn`]), make the call and keep what came ([`Turn::perform`]), and note how it went
//! ([`Poller::record_outcome`]). [`Poller::run`] does nothing but that, with a few turns under way at once.
//!
//! All that matters is in the log: each turn reads from there how far its source has come, so that a crash, a lost answer or
//! another process's doing means "do the last step again" and nothing else. It does not know who follows the log.

mod bad_answer;
mod choose;
mod claim;
mod counts;
mod credential;
mod credential_health;
mod error;
mod followed;
mod foreign;
mod history;
mod list_schedule;
mod next_window;
mod outcome;
mod overlap;
mod pace;
mod paging;
mod places;
mod poller;
mod recovery;
mod scan;
mod schedule;
mod settings;
mod shares;
mod skew;
mod turn;
mod upstream_proof;
mod verify;

pub use self::error::TurnError;
pub use self::history::{HistoryEnd, Reached};
pub use self::overlap::Overlap;
pub use self::poller::{Next, Poller};
pub use self::settings::{Following, Settings};
pub use self::turn::{Outcome, Turn};
pub use self::verify::{
    Difference, Differs, LeftOut, Repair, UpstreamComparison, Verify, VerifyError, VerifyEvent,
    WaitToRetry,
};
pub use crate::ledger::BackfillSince;
