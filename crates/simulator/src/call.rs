//! A request, as the routes know it and as the simulator remembers it.

use axum::http::Method;
use chrono::{DateTime, Utc};

use super::faults::RequestFaults;

/// A request as the simulator remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// When it came, by the simulator's clock.
    pub at: DateTime<Utc>,
    /// `GET`, `POST`, …
    pub method: String,
    /// What was asked for, from `/client/v4` on.
    pub path_and_query: String,
    /// How it was answered.
    pub status: u16,
    /// Whose it was: a hash of the token and never the token; empty when there was none.
    pub credential: String,
    /// Whether it came although its credential had been told to wait, and the wait was not over. A client that
    /// keeps its word has none of these.
    pub while_told_to_wait: bool,
}

/// The request that a route answers.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Which request of the simulator's life it is.
    pub(crate) number: u64,
    pub(crate) at: DateTime<Utc>,
    /// Upstream's id for it.
    pub(crate) ray: String,
    /// The hash of its token or key.
    pub(crate) credential: String,
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    /// What was called, without `/client/v4` and without its parameters.
    pub(crate) path: String,
    /// The name that the caller's program gives itself.
    pub(crate) user_agent: Option<String>,
    pub(crate) faults: RequestFaults,
}

/// How a caller says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// By a bearer token.
    Token,
    /// By an e-mail address and the key that belongs to it.
    Key {
        /// The address.
        email: String,
    },
}
