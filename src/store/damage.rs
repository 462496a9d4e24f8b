//! What can be wrong with an event on disk, and why it is not repaired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::position::Seq;
use crate::sync::lock;

/// The most damaged events that are returned at once.
pub const MAX_DAMAGED: usize = 10_000;

/// What is wrong with an event on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// There is no row at its place.
    RowMissing,
    /// Its row, or some of its columns, cannot be read.
    RowUnreadable,
    /// The dictionary that its body needs is missing or cannot be loaded.
    DictionaryMissing,
    /// Its body cannot be read or decompressed.
    BodyUnreadable,
    /// Its body is not the one that was stored: the SHA-256 differs.
    HashMismatch,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RowMissing,
        Self::RowUnreadable,
        Self::DictionaryMissing,
        Self::BodyUnreadable,
        Self::HashMismatch,
    ];

    /// Whether its row can be read, with its source and its time.
    pub(super) fn leaves_the_row(self) -> bool {
        !matches!(self, Self::RowMissing | Self::RowUnreadable)
    }

    /// Its name in answers and in the log's file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RowMissing => "row_missing",
            Self::RowUnreadable => "row_unreadable",
            Self::DictionaryMissing => "dictionary_missing",
            Self::BodyUnreadable => "body_unreadable",
            Self::HashMismatch => "hash_mismatch",
        }
    }
}

/// Why a damaged event is not repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRepaired {
    /// Its row does not tell its source or its time, so upstream cannot be asked for it.
    SourceUnknown,
    /// Upstream keeps no entries of its time any more.
    TooOld,
    /// Upstream could not be asked, for this reason.
    NotAsked(String),
    /// What upstream shows of its time could not be read completely.
    Unreadable,
    /// Upstream shows no entry with its SHA-256.
    NotShown,
    /// Upstream shows the entry, but its place on disk cannot be written.
    PlaceUnusable,
}

impl NotRepaired {
    /// Its name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SourceUnknown => "source_unknown",
            Self::TooOld => "too_old",
            Self::NotAsked(_) => "upstream_not_asked",
            Self::Unreadable => "upstream_unreadable",
            Self::NotShown => "not_shown_by_upstream",
            Self::PlaceUnusable => "place_unusable",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn explanation(&self) -> String {
        let text = match self {
            Self::SourceUnknown => {
                "its row does not tell its source or its time, so upstream cannot be asked for it"
            }
            Self::TooOld => "upstream keeps no entries of its time any more",
            Self::NotAsked(why) => return format!("upstream could not be asked: {why}"),
            Self::Unreadable => "what upstream shows of its time could not be read completely",
            Self::NotShown => "upstream shows no entry with the SHA-256 of this event",
            Self::PlaceUnusable => {
                "upstream shows the entry, and the event's place on disk cannot be written"
            }
        };
        text.to_owned()
    }
}

/// Events that reads found damaged and that are not written down as such; at most [`MAX_DAMAGED`].
#[derive(Debug, Default)]
pub(super) struct DamageSeen(pub(super) Mutex<BTreeMap<Seq, Damage>>);

impl DamageSeen {
    pub(super) fn add(&self, seq: Seq, damage: Damage) {
        let mut seen = lock(&self.0);
        if seen.len() < MAX_DAMAGED {
            seen.insert(seq, damage);
        }
    }

    pub(super) fn has(&self, seq: Seq) -> bool {
        lock(&self.0).contains_key(&seq)
    }

    /// Their places.
    pub(super) fn places(&self) -> Vec<Seq> {
        lock(&self.0).keys().copied().collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        lock(&self.0).len() as u64
    }

    /// These events are whole, or written down.
    pub(super) fn forget_all(&self, seqs: &BTreeSet<Seq>) {
        lock(&self.0).retain(|seq, _| !seqs.contains(seq));
    }

    /// The events from `first` to `last` are whole, or written down.
    pub(super) fn forget(&self, first: Seq, last: Seq) {
        lock(&self.0).retain(|seq, _| *seq < first || *seq > last);
    }
}
