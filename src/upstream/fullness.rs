//! Whether a page was cut because no more entries fit on it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A page with fewer entries than this is not taken for a full one only because no other had more, or because one of that
/// length had a cursor: it would cost quiet logs a call each time.
const LEAST_FULL_LEN: usize = 50;

/// Whether a page has as many entries as fit on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fullness {
    /// It has room for more.
    NotFull,
    /// No page was longer so far: upstream may send fewer entries than it is asked for.
    Perhaps,
    /// It has as many entries as it was asked for, or as the longest page that upstream cut shorter than that.
    Full,
}

/// The longest pages so far of one kind of log.
#[derive(Default)]
pub(super) struct Longest {
    /// The most entries that a page had: upstream may send fewer than it is asked for.
    page: AtomicUsize,
    /// The most entries of a page that had a cursor and fewer entries than it was asked for: perhaps the most that upstream
    /// sends. A collector reports that no page ever had more than 100, whatever it asked for.
    cut_page: AtomicUsize,
}

impl Longest {
    /// Whether a page of so many entries may have been cut because no more fit.
    pub(super) fn fullness(&self, len: usize, limit: u32, has_cursor: bool) -> Fullness {
        let longest = self.page.fetch_max(len, Ordering::Relaxed);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if has_cursor && len < limit {
            self.cut_page.fetch_max(len, Ordering::Relaxed);
        }
        let is_longest = len >= LEAST_FULL_LEN && len >= longest;
        // Only upstream itself shows that it sends fewer entries than it is asked for.
        let is_cut = len == self.cut_page.load(Ordering::Relaxed);
        if len > 0 && (len >= limit || is_longest && is_cut) {
            Fullness::Full
        } else if is_longest {
            Fullness::Perhaps
        } else {
            Fullness::NotFull
        }
    }
}
