//! What is worked out of a segment's dictionaries and kept in memory: made when a question first needs it, and forgotten with its
//! segment, or when there is no room for it any more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tantivy::index::SegmentId;
use tantivy::schema::Field;

use crate::sync::lock;

/// What it was made of: a segment, and a field where there is one for each.
pub(super) type PartOrigin = (SegmentId, Option<Field>);

/// The parts of one kind that are kept. They are shared by the snapshots of one index.
pub(super) struct PerSegment<T> {
    known: Mutex<KeptParts<T>>,
    /// The most bytes they take together. Those that were not used for the longest time are forgotten first.
    most_bytes: usize,
}

struct KeptParts<T> {
    parts: HashMap<PartOrigin, KeptPart<T>>,
    /// Counts uses.
    uses: u64,
}

struct KeptPart<T> {
    slot: Slot<T>,
    bytes: usize,
    last_use: u64,
}

/// Locked while a part is made, so that it is made once.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

impl<T> PerSegment<T> {
    pub(super) fn with_bytes(most_bytes: usize) -> Self {
        let known = KeptParts {
            parts: HashMap::new(),
            uses: 0,
        };
        Self {
            known: Mutex::new(known),
            most_bytes,
        }
    }

    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// The part of an origin. `make` makes it, with its size in bytes; `None` when time was up before it was whole.
    pub(super) fn of(
        &self,
        origin: PartOrigin,
        make: impl FnOnce() -> tantivy::Result<Option<(T, usize)>>,
    ) -> tantivy::Result<Option<Arc<T>>> {
        let slot = self.lock().slot(origin);
        let mut part = lock(&slot);
        if part.is_none()
            && let Some((made, bytes)) = make()?
        {
            *part = Some(Arc::new(made));
            self.lock().keep(origin, bytes, self.most_bytes);
        }
        Ok(part.clone())
    }

    /// Forgets the parts of segments that are no more.
    pub(super) fn retain(&self, segments: &HashSet<SegmentId>) {
        self.lock()
            .parts
            .retain(|(segment, _), _| segments.contains(segment));
    }

    /// How many parts there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().parts.len()
    }

    fn lock(&self) -> MutexGuard<'_, KeptParts<T>> {
        lock(&self.known)
    }
}

impl<T> KeptParts<T> {
    fn slot(&mut self, origin: PartOrigin) -> Slot<T> {
        self.uses += 1;
        let part = self.parts.entry(origin).or_insert_with(|| KeptPart {
            slot: Slot::default(),
            bytes: 0,
            last_use: 0,
        });
        part.last_use = self.uses;
        Arc::clone(&part.slot)
    }

    /// Notes how large a part is, and forgets others until all of them fit.
    fn keep(&mut self, origin: PartOrigin, bytes: usize, most: usize) {
        if let Some(part) = self.parts.get_mut(&origin) {
            part.bytes = bytes;
        }
        while self.parts.values().map(|part| part.bytes).sum::<usize>() > most {
            let others = self.parts.iter().filter(|(other, _)| **other != origin);
            let oldest = others.min_by_key(|(_, part)| part.last_use);
            let Some(oldest) = oldest.map(|(oldest, _)| *oldest) else {
                return;
            };
            self.parts.remove(&oldest);
        }
    }
}
