//! The maps of words of all segments.

use std::collections::HashSet;
use std::sync::Arc;

use tantivy::SegmentReader;
use tantivy::index::SegmentId;

use super::per_segment::PerSegment;
use super::schema::IndexSchema;
use super::word_map::WordMap;
use super::word_map_builder::{MAX_WORDS, map_of};
use crate::engine::budget::Budget;

/// The most bytes that the maps of all segments take.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The maps. They are shared by the snapshots of one index.
pub(super) struct WordMaps {
    maps: PerSegment<WordMap>,
    most_words: usize,
}

impl Default for WordMaps {
    fn default() -> Self {
        Self::with_limits(MAX_BYTES, MAX_WORDS)
    }
}

impl WordMaps {
    /// With limits for all maps, in bytes, and for each, in words.
    pub(super) fn with_limits(most_bytes: usize, most_words: usize) -> Self {
        Self {
            maps: PerSegment::with_bytes(most_bytes),
            most_words,
        }
    }

    /// The map of a segment; `None` when time was up before it was made.
    pub(super) fn of(
        &self,
        reader: &SegmentReader,
        shape: &IndexSchema,
        budget: &Budget,
    ) -> tantivy::Result<Option<Arc<WordMap>>> {
        self.maps.of((reader.segment_id(), None), || {
            let map = map_of(reader, shape, budget, self.most_words)?;
            Ok(map.map(|map| {
                let bytes = map.bytes();
                (map, bytes)
            }))
        })
    }

    /// Forgets the maps of segments that are no more.
    pub(super) fn retain(&self, segments: &HashSet<SegmentId>) {
        self.maps.retain(segments);
    }

    /// How many maps there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.maps.len()
    }
}
