//! orgtrail keeps a Cloudflare organization's audit trail.

pub mod clock;
pub mod command;
pub mod config;
pub mod durable;
pub mod event;
pub mod field;
pub mod filter;
pub mod health;
pub mod http;
pub mod import;
pub mod index;
pub mod indexing;
pub mod json;
pub mod poll;
pub mod position;
pub mod query;
pub mod search;
pub mod service;
pub mod sim;
pub mod span;
pub mod status;
pub mod store;
pub mod task;
pub mod terminal;
pub mod upstream;
pub mod wording;
