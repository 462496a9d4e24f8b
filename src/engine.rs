//! Engines: what finds events. A closed choice, behind one [`View`] of the log at one place.
//!
//! An engine holds what can be searched of each event, and answers with places in the log; the log has the events. Whatever
//! is asked carries who asks ([`Caller`]): the scope is a part of the question, never a filter on its answer.
//!
//! What a question means is written in [`crate::query`]; the values of an event are made here, once for all engines
//! ([`entry_of`]). Each engine is a module of its own, the only one that knows its technology; the others know nothing of it.

mod ask;
mod budget;
mod error;
mod hit;
mod matches;
pub mod memory;
mod ranking;
mod recent;
mod scope;
pub mod tantivy;
mod values;
mod view;

use tokio::sync::watch;

use self::tantivy::Index;
use crate::position::Seq;

pub use self::ask::{Ask, Caller};
pub use self::budget::{Budget, Reserved};
pub use self::error::{EngineError, OutOfMemory};
pub use self::hit::{Hit, Order, Range, ValueCount};
pub use self::matches::Matches;
pub use self::memory::Memory;
pub use self::ranking::{Rank, RankedValues, Ranking, ValuesOf};
pub use self::recent::{Following, Recent};
pub use self::scope::Scope;
pub use self::values::{counted, counted_values_of, entry_of, kind_of, text_of};
pub use self::view::View;

/// Which engine answers. A clone is another handle to the same one.
#[derive(Clone)]
pub enum Engine {
    /// The index in the data directory.
    Tantivy(Index),
    /// Events in memory: what others are compared with, in tests.
    #[doc(hidden)]
    Memory(Memory),
}

impl Engine {
    /// What can be asked now. It stays the same while events arrive.
    #[must_use]
    pub fn view(&self) -> View {
        match self {
            Self::Tantivy(index) => index.snapshot().into(),
            Self::Memory(memory) => memory.snapshot().into(),
        }
    }

    /// The engine's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tantivy(_) => "tantivy",
            Self::Memory(_) => "memory",
        }
    }

    /// The version of its software.
    #[must_use]
    pub fn version(&self) -> &'static str {
        match self {
            Self::Tantivy(_) => Index::VERSION,
            Self::Memory(_) => env!("CARGO_PKG_VERSION"),
        }
    }

    /// Whether questions can be asked: it was opened once.
    #[must_use]
    pub fn is_available(&self) -> bool {
        match self {
            Self::Tantivy(index) => index.is_available(),
            Self::Memory(_) => true,
        }
    }

    /// Whether it is being filled anew and has not caught up with what the log held then.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        match self {
            Self::Tantivy(index) => index.is_rebuilding(),
            Self::Memory(_) => false,
        }
    }

    /// The bytes of its files on this machine; `None` for an engine that has none.
    #[must_use]
    pub fn file_bytes(&self) -> Option<u64> {
        match self {
            Self::Tantivy(index) => Some(index.file_bytes()),
            Self::Memory(_) => None,
        }
    }

    /// Announces the last event that can be found. A missed announcement is found by looking again.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<Seq> {
        match self {
            Self::Tantivy(index) => index.commits(),
            Self::Memory(memory) => watch::Sender::new(memory.snapshot().seq()).subscribe(),
        }
    }

    /// The newest events, kept in memory while a tail is open; `None` for an engine that keeps none.
    #[must_use]
    pub fn recent(&self) -> Option<&Recent> {
        match self {
            Self::Tantivy(index) => Some(index.recent()),
            Self::Memory(_) => None,
        }
    }
}
