//! What an event changed of its resource: the state after it compared with the state before.
//!
//! A state is known from an event in up to three ways, the best first: `resource.value` is the resource itself; the response
//! is the resource as the change left it; the request is what was sent. Only states that are known in the same way are
//! compared: a response has members that no request has.
//!
//! * A failed action, and one that only reads, changes nothing.
//! * A successful delete leaves an empty state: everything that was last known is removed.
//! * Of a request alone only what was sent is known. A PUT or a create replaces what was sent before; any other request
//!   is added to it, and what it does not name stays.
//!
//! States are gathered by going through a resource's events in order ([`States::take`]); it does not know where they come
//! from.

mod form;
mod leaves;
mod state;
mod states;
mod told;

pub use self::form::{Against, Diff, Difference, MAX_DIFFERENCES, Shown};
pub(super) use self::states::States;

#[cfg(test)]
mod tests;
