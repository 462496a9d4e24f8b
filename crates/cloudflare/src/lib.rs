//! The wire forms of Cloudflare's API, as far as orgtrail reads or serves them.
//!
//! A client, the simulated upstream and a server share these types, so that they cannot disagree about a form.
//! What a program writes is exact. What it reads may come in any shape: members missing, null, or of another type.
//! Nothing here makes a call, keeps state or reads a clock.
//!
//! A request: [`source`] names the log, [`request`] has the parameters of a page and their limits, [`filter`] the filters.
//! An answer: [`envelope`] is around every result, [`paging`] says where the next page begins, [`error`] what went wrong.
//! Results: entries stay JSON text ([`json`] reads it), [`account`] and [`member`] are items of an organization's lists.

pub mod account;
pub mod coverage;
pub mod envelope;
pub mod error;
pub mod filter;
pub mod json;
pub mod listing;
pub mod member;
pub mod paging;
pub mod parameters;
pub mod product;
pub mod request;
pub mod source;
pub mod token;
