//! What follows a page of a scan: another page, the same stretch from its last time on, or the end.
//!
//! Upstream does not say how its last page looks. So an empty page that has a cursor is not the end, and neither is a full
//! page that has none. Both are followed until upstream shows an end that cannot mean anything else. A pure function, shared
//! by scans and by comparisons.

use chrono::{DateTime, SubsecRound, Utc};

use crate::event::Reading;
use crate::position::{Cursor, Window};
use crate::upstream::{Fullness, LogPage};

/// So many empty pages in a row, the last of which leads to itself, are the end of the log: nothing else can be learned.
const EMPTY_PAGES_AT_END: u32 = 3;

/// The most empty pages in a row that are followed, when each has another cursor.
const MAX_EMPTY_PAGES: u32 = 20;

/// Where a scan is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The stretch that is scanned.
    pub(super) window: Window,
    /// From when on it was asked for, if not from its beginning.
    pub(super) resumed: Option<DateTime<Utc>>,
    /// The cursor it was asked with.
    pub(super) cursor: Option<&'a Cursor>,
    /// Empty pages in a row before this one.
    pub(super) empty_pages: u32,
    /// Whether a page before this one had an entry with neither id nor time.
    pub(super) has_nameless: bool,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The page at that cursor.
    Page(Cursor),
    /// The same question from that second on, without a cursor.
    From(DateTime<Utc>),
    /// Nothing: all was shown.
    End,
    /// It cannot be known; the scan must start over with a shorter window.
    Unknown(&'static str),
    /// There is no way on without a cursor: more entries are in a second than fit on a page, it is not known when they
    /// happened, or they are not in the order of time.
    NoWay,
}

impl Place<'_> {
    /// What upstream is asked for.
    pub(super) fn asked(&self) -> Window {
        let since = self.resumed.unwrap_or(self.window.since);
        Window {
            since,
            before: self.window.before,
        }
        .widened()
    }

    /// What follows `page`, which came from here.
    pub(super) fn then(&self, page: &LogPage) -> Follows {
        match &page.next {
            Some(next) if page.entries.is_empty() => self.after_an_empty_page(next),
            Some(next) => Follows::Page(next.clone()),
            // The entry that it was resumed at has to be there again.
            None if page.entries.is_empty() && self.resumed.is_some() && self.cursor.is_none() => {
                Follows::Unknown("entries that were shown are not shown again")
            }
            None if page.fullness == Fullness::NotFull => Follows::End,
            None => match self.after_a_full_page(page) {
                from @ Follows::From(_) => from,
                // Not known to be full: worth another call, and no reason to doubt the page if that cannot be made.
                _ if page.fullness == Fullness::Perhaps => Follows::End,
                follows => follows,
            },
        }
    }

    /// As `then`, but continues by time where possible; the cursor is the fallback.
    pub(super) fn then_by_time(&self, page: &LogPage) -> Follows {
        match (self.after_a_full_page(page), self.then(page)) {
            (from @ Follows::From(_), Follows::Page(_)) => from,
            (_, follows) => follows,
        }
    }

    fn after_an_empty_page(&self, next: &Cursor) -> Follows {
        let empty_pages = self.empty_pages.saturating_add(1);
        if self.cursor == Some(next) && empty_pages >= EMPTY_PAGES_AT_END {
            return Follows::End;
        }
        if empty_pages > MAX_EMPTY_PAGES {
            return Follows::Unknown("upstream sends empty pages, each with another cursor");
        }
        Follows::Page(next.clone())
    }

    /// A page that is full and has no cursor may be the last one, or its cursor is missing: the same question from its last
    /// time on shows which.
    fn after_a_full_page(&self, page: &LogPage) -> Follows {
        let readings: Vec<Reading> = (page.entries.iter())
            .map(|entry| Reading::of(entry.get()))
            .collect();
        // If it is shown again, it could not be distinguished from an equal entry.
        if self.has_nameless || readings.iter().any(is_nameless) {
            return Follows::NoWay;
        }
        let asked = self.asked();
        // An entry may state a time that was not asked for, and such a time says nothing of where the page ends.
        let times = readings.iter().filter_map(|reading| reading.time);
        let seconds: Vec<DateTime<Utc>> = (times.filter(|time| *time <= asked.before))
            .map(|time| time.trunc_subsecs(0))
            .collect();
        let Some(last) = seconds.last().copied() else {
            return Follows::NoWay;
        };
        if last < asked.since {
            return Follows::Unknown(
                "a full page has no cursor, and ends with an entry from before what was asked for",
            );
        }
        // Where times are not in order, the last of them does not show that all before it were shown.
        if !seconds.is_sorted() {
            return Follows::NoWay;
        }
        if last >= self.window.before {
            return Follows::End;
        }
        // What is asked for from a second on begins a second before it.
        if last <= self.resumed.unwrap_or(asked.since) {
            return Follows::NoWay;
        }
        Follows::From(last)
    }
}

/// Whether a page has an entry with neither id nor time.
pub(super) fn has_nameless(page: &LogPage) -> bool {
    let entries = page.entries.iter();
    let mut readings = entries.map(|entry| Reading::of(entry.get()));
    readings.any(|reading| is_nameless(&reading))
}

fn is_nameless(reading: &Reading) -> bool {
    reading.id.is_none() && reading.time.is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;

    fn at(second: i64) -> DateTime<Utc> {
        from_micros(1_785_000_000_000_000 + second * 1_000_000)
    }

    fn page(times: &[i64], next: Option<&str>, is_full: bool) -> LogPage {
        let entry = |second: &i64| {
            let time = at(*second).to_rfc3339();
            RawValue::from_string(format!(r#"{{"action":{{"time":"{time}"}}}}"#)).unwrap()
        };
        LogPage {
            entries: times.iter().map(entry).collect(),
            next: next.map(|next| Cursor(next.to_owned())),
            fullness: if is_full {
                Fullness::Full
            } else {
                Fullness::NotFull
            },
            date: None,
            covered: None,
        }
    }

    fn place(cursor: Option<&Cursor>) -> Place<'_> {
        Place {
            window: Window::new(at(0), at(60)),
            resumed: None,
            cursor,
            empty_pages: 0,
            has_nameless: false,
        }
    }

    #[test]
    fn empty_pages_are_followed_to_a_bound_and_one_that_leads_to_itself_is_the_end() {
        let quiet = page(&[], None, false);
        assert_eq!(place(None).then(&quiet), Follows::End);
        let cursor = Cursor("c".to_owned());
        let same = page(&[], Some("c"), false);
        let after = |empty_pages| {
            let place = Place {
                empty_pages,
                ..place(Some(&cursor))
            };
            (place.then(&same), place.then(&page(&[], Some("d"), false)))
        };
        let on = |next: &str| Follows::Page(Cursor(next.to_owned()));
        assert_eq!(after(0), (on("c"), on("d")));
        assert_eq!(after(1), (on("c"), on("d")));
        assert_eq!(after(2), (Follows::End, on("d")));
        let (_, last) = after(MAX_EMPTY_PAGES - 1);
        assert_eq!(last, on("d"));
        let (_, beyond) = after(MAX_EMPTY_PAGES);
        assert!(matches!(beyond, Follows::Unknown(_)), "{beyond:?}");
    }

    #[test]
    fn a_full_page_without_a_cursor_is_followed_from_its_last_time() {
        let start = place(None);
        assert_eq!(start.then(&page(&[1, 2], None, false)), Follows::End);
        assert_eq!(
            start.then(&page(&[1, 20], None, true)),
            Follows::From(at(20))
        );
        assert_eq!(start.then(&page(&[1, 60], None, true)), Follows::End);
        // A time far beyond what was asked for does not show the end.
        let odd = start.then(&page(&[1, 20, 900], None, true));
        assert_eq!(odd, Follows::From(at(20)));
        assert_eq!(start.then(&page(&[900], None, true)), Follows::NoWay);
        let resumed = Place {
            resumed: Some(at(20)),
            ..start
        };
        assert_eq!(resumed.asked().since, at(19));
        assert_eq!(resumed.then(&page(&[20, 20], None, true)), Follows::NoWay);
        assert_eq!(
            resumed.then(&page(&[20, 21], None, true)),
            Follows::From(at(21))
        );
        assert_eq!(resumed.then(&page(&[20], None, false)), Follows::End);
        let perhaps = |times: &[i64]| LogPage {
            fullness: Fullness::Perhaps,
            ..page(times, None, false)
        };
        assert_eq!(start.then(&perhaps(&[1, 20])), Follows::From(at(20)));
        // Many entries of one second are no reason to doubt a page that was only longer than all before.
        assert_eq!(resumed.then(&perhaps(&[20, 20])), Follows::End);
        let mut nameless = page(&[21, 22], None, true);
        nameless.entries[0] = RawValue::from_string("[7]".to_owned()).unwrap();
        assert_eq!(resumed.then(&nameless), Follows::NoWay);
        let after_a_nameless = Place {
            has_nameless: true,
            ..resumed
        };
        let full = page(&[20, 21], None, true);
        assert_eq!(after_a_nameless.then(&full), Follows::NoWay);
        let with_cursor = page(&[20, 21], Some("next"), true);
        let by_cursor = Follows::Page(Cursor("next".to_owned()));
        assert_eq!(after_a_nameless.then_by_time(&with_cursor), by_cursor);
        for strange in [page(&[], None, false), page(&[20, -900], None, true)] {
            let follows = resumed.then(&strange);
            assert!(matches!(follows, Follows::Unknown(_)), "{follows:?}");
        }
    }

    #[test]
    fn where_times_are_not_in_order_no_scan_goes_on_by_time() {
        let start = place(None);
        for odd in [
            &[30, 1, 20][..],
            &[1, 40, 20],
            &[1, 60, 20, 60],
            &[30, 1, 20, 60],
        ] {
            let full = page(odd, None, true);
            assert_eq!(start.then(&full), Follows::NoWay, "{odd:?}");
            let perhaps = LogPage {
                fullness: Fullness::Perhaps,
                ..page(odd, None, false)
            };
            assert_eq!(start.then(&perhaps), Follows::End, "{odd:?}");
            let with_cursor = page(odd, Some("next"), true);
            let by_cursor = Follows::Page(Cursor("next".to_owned()));
            assert_eq!(start.then_by_time(&with_cursor), by_cursor, "{odd:?}");
        }
        // Within a second any order will do: all of the second is asked for again.
        let mut in_one_second = page(&[1, 20, 20], None, true);
        for (n, entry) in in_one_second.entries.iter_mut().enumerate().skip(1) {
            let time = (at(20) + chrono::TimeDelta::milliseconds(900 / n as i64)).to_rfc3339();
            let text = format!(r#"{{"action":{{"time":"{time}"}}}}"#);
            *entry = RawValue::from_string(text).unwrap();
        }
        assert_eq!(start.then(&in_one_second), Follows::From(at(20)));
    }

    /// An upstream that misleads: `lies` says of each answer whether it is an empty page in mid-scan, or lacks its cursor.
    struct Misleading {
        times: Vec<i64>,
        limit: usize,
        lies: Vec<u8>,
        answered: usize,
    }

    impl Misleading {
        /// The answer, and which entries it has.
        fn answer(&mut self, place: Place<'_>) -> (LogPage, Vec<usize>) {
            let lie = self.lies.get(self.answered).copied().unwrap_or(255);
            self.answered += 1;
            let asked = place.asked();
            let inside = |n: &usize| {
                let time = at(self.times[*n]);
                asked.since <= time && time < asked.before
            };
            let all: Vec<usize> = (0..self.times.len()).filter(inside).collect();
            let from: usize = place.cursor.map_or(0, |Cursor(text)| {
                text.split('/').next().unwrap().parse().unwrap()
            });
            let cursor = |from: usize| format!("{from}/{}", self.answered);
            if lie < 60 {
                return (page(&[], Some(&cursor(from)), false), Vec::new());
            }
            let end = all.len().min(from + self.limit);
            let shown = all[from..end].to_vec();
            let is_full = shown.len() >= self.limit;
            let has_cursor = end < all.len() && !(is_full && lie < 120);
            let times: Vec<i64> = shown.iter().map(|n| self.times[*n]).collect();
            let next = has_cursor.then(|| cursor(end));
            (page(&times, next.as_deref(), is_full), shown)
        }
    }

    proptest! {
        #[test]
        fn a_scan_that_comes_to_its_end_was_shown_everything(
            mut times in prop::collection::vec(0_i64..60, 0..80),
            limit in 1_usize..12,
            lies in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            times.sort_unstable();
            let n_entries = times.len();
            let mut upstream = Misleading { times, limit, lies, answered: 0 };
            let (mut cursor, mut resumed, mut empty_pages) = (None, None, 0);
            let mut seen = BTreeSet::new();
            // Every step shows an entry, moves on in time, or counts an empty page.
            for _ in 0..10_000 {
                let here = Place {
                    resumed,
                    empty_pages,
                    ..place(cursor.as_ref())
                };
                let (page, shown) = upstream.answer(here);
                let follows = here.then(&page);
                seen.extend(shown);
                empty_pages = if page.entries.is_empty() { empty_pages + 1 } else { 0 };
                match follows {
                    Follows::Page(next) => cursor = Some(next),
                    Follows::From(time) => (cursor, resumed) = (None, Some(time)),
                    Follows::End => {
                        prop_assert_eq!(seen.len(), n_entries);
                        return Ok(());
                    }
                    // Nothing is claimed.
                    Follows::Unknown(_) | Follows::NoWay => return Ok(()),
                }
            }
            prop_assert!(false, "the scan does not end");
        }
    }
}
