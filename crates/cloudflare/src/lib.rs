//! The wire forms of Cloudflare's API, as far as orgtrail reads or serves them.
//!
//! Clients, the simulated upstream and servers share these types, so that they cannot disagree about a form.
//! Nothing here makes a call, keeps state or reads a clock.

pub mod filter;
pub mod json;
pub mod member;
pub mod source;
