//! A scan that is not finished, and how a scan can end.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Row;

use super::window_id::WindowId;
use crate::position::{Cursor, Window};

/// A scan that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    /// Its number.
    pub id: WindowId,
    /// The stretch that will be proven.
    pub window: Window,
    /// The cursor of the next page; `None` at the start.
    pub cursor: Option<Cursor>,
    /// From when on it is asked for, when the scan goes on without a cursor from the last time that was shown; `None`: from its
    /// beginning.
    pub resumed: Option<DateTime<Utc>>,
    /// The `limit` of its cursor; `None` while there is none, or when it was not written down.
    pub limit: Option<u32>,
    /// Empty pages with a cursor, in a row.
    pub empty_pages: u32,
    /// Whether it has shown an entry with neither id nor time: when that is shown again, it could not be told from an equal one.
    pub has_nameless: bool,
    /// How often the scan had to start over.
    pub restarts: u32,
}

/// Why a range became a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// An entry in it is too large to take.
    TooLarge,
    /// An answer about it is not JSON, or there is no way to read all of it.
    Unreadable,
    /// Upstream shows entries of another log there, and none of this one.
    Foreign,
    /// Upstream is another orgtrail that has not proven it, between stretches that it has.
    Unproven,
}

impl GapCause {
    /// What happened, for people.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::TooLarge => "an entry is too large to take",
            Self::Unreadable => "an answer is an error or not JSON, or cannot be read to its end",
            Self::Foreign => "upstream shows the entries of another log",
            Self::Unproven => "the orgtrail that is polled has not proven it",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::TooLarge,
        Self::Unreadable,
        Self::Foreign,
        Self::Unproven,
    ];

    /// Its name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
            Self::Unproven => "unproven",
        }
    }

    /// The cause of that name in the ledger.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

/// A part of a window that was read from another orgtrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPiece {
    /// Its stretch.
    pub window: Window,
    /// Whether the other orgtrail has proven it.
    pub is_proven: bool,
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Another page.
    GoOn(Cursor),
    /// The same from that second on, without a cursor: the page was full and had none.
    GoOnFrom(DateTime<Utc>),
    /// Nothing: the window is proven.
    Seal,
    /// Upstream is another orgtrail: what it has proven of the window is sealed, and what it has not is passed.
    SealPieces {
        /// Both, the earliest first and without overlap.
        pieces: Vec<WindowPiece>,
        /// Whether the other orgtrail will read some of it again.
        is_settling: bool,
    },
    /// The scan starts over: the page gives no way to continue.
    StartOver,
    /// The window cannot be read and becomes a gap.
    GiveUp(GapCause),
    /// Nothing can be claimed: the window is deleted.
    Leave,
}

impl Then {
    /// Whether something is proven with the page.
    #[must_use]
    pub fn seals(&self) -> bool {
        matches!(self, Self::Seal | Self::SealPieces { .. })
    }
}

/// Unusable answers about an open window, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAnswers {
    /// How many.
    pub count: u32,
    /// How long they have come, as far as a process ran that saw them.
    pub lasted: TimeDelta,
}

/// The stretch in two columns of a row, from `at` on.
pub(super) fn as_window(row: &Row<'_>, at: usize) -> rusqlite::Result<Window> {
    let moment = |at| -> rusqlite::Result<DateTime<Utc>> {
        let seconds: i64 = row.get(at)?;
        Ok(DateTime::UNIX_EPOCH + TimeDelta::try_seconds(seconds).unwrap_or_default())
    };
    Ok(Window {
        since: moment(at)?,
        before: moment(at + 1)?,
    })
}
