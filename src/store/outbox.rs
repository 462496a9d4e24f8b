//! The outbox: alerts on their way to their destinations.
//!
//! Whoever changes an alert calls `enqueue::enqueue` in the same transaction, so that an alert and its messages exist together or not
//! at all. There is one row for each change of an alert (`message`), and one for each destination that takes it (`delivery`).
//! What is next for a destination is decided when the messages before it are done (`next`): only then is it known what
//! was really sent. An attempt is counted before it is made, so a message that may have arrived is never taken back in silence.

mod decide;
mod destinations;
mod digest;
pub(super) mod enqueue;
mod listing;
mod message;
mod next;
mod outcome;
mod pattern;
mod queue;
mod suppress;
#[cfg(test)]
mod tests;

pub use self::destinations::{Destination, DestinationState};
pub use self::listing::{DeadLetter, MAX_DEAD_LETTERS};
pub use self::message::{Message, MessageKind};
pub use self::next::{Decided, Next};
pub use self::outcome::{Attempt, AttemptSaved};
pub use self::queue::{Content, Outgoing, SendPolicy};
