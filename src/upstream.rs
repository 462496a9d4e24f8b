//! Cloudflare's API, as much of it as we read: one page of an audit log, one page of an organization's accounts or members.
//!
//! A call needs a [`Permit`] from the credential's [`Quota`], so none can be made outside it. Answers are taken as they may
//! come: the cursor in either of two places, `result: null`, a failure under a 200, HTML under a 5xx, a body cut short.
//! Errors are named by what the caller does about them. Entries are handed on as the bytes that came; every other text of
//! upstream's passes a mask first, which hides credentials.
//!
//! It does not know windows' meaning, what is kept, or when to try again.

mod answer;
mod client;
mod envelope;
mod error;
mod fullness;
mod lists;
mod log;
mod quota;
mod recent_calls;

pub use self::client::{MAX_PAGE_BYTES, ReadToken, Timeouts, Upstream};
pub use self::error::UpstreamError;
pub use self::fullness::Fullness;
pub use self::lists::{AccountsPage, MembersPage};
pub use self::log::LogPage;
pub use self::quota::{Permit, Quota, Saved, Spent};
