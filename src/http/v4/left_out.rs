//! What the pages of a walk left out because it is damaged. It goes along in the cursor: a later page cannot know of an event
//! that was left out and has been repaired since.

use chrono::{DateTime, TimeDelta};
use orgtrail_cloudflare::paging::Cursor;

use crate::event::AuditEvent;
use crate::position::{Source, Window};

/// A cursor names at most so many stretches. Of more, those that are nearest to each other become one.
const MAX_STRETCHES: usize = 20;

/// Between the cursor of the search and the stretches; between two stretches; between their beginning and their length. None of
/// them is in a cursor of the search.
const BEGIN: char = '~';
const NEXT: char = '.';
const LENGTH: char = '_';

/// Stretches that do not touch each other, the earliest first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct OmittedStretches(Vec<Window>);

impl OmittedStretches {
    /// What a cursor says was left out before it, and the cursor of the search in it. A text that is no cursor of ours is given
    /// to the search as it is, which refuses it.
    pub(super) fn read(cursor: &str) -> (Self, &str) {
        let read = cursor.split_once(BEGIN);
        let read = read.and_then(|(own, stretches)| Some((Self(read_stretches(stretches)?), own)));
        read.unwrap_or((Self::default(), cursor))
    }

    /// Adds the seconds of the damaged ones among a source's events. Where a row is unreadable nothing is known of its event: it is
    /// not repaired either.
    pub(super) fn add(&mut self, source: &Source, events: &[AuditEvent]) {
        let damaged = events.iter().filter(|event| event.is_damaged());
        let seconds = damaged
            .filter(|event| event.source == *source)
            .map(|event| {
                let at = event.ordered_at();
                Window::new(at, at + TimeDelta::seconds(1))
            });
        self.0.extend(seconds);
        self.0
            .sort_unstable_by_key(|stretch| (stretch.since, stretch.before));
        self.0 = joined(std::mem::take(&mut self.0));
    }

    /// The stretches.
    pub(super) fn stretches(&self) -> &[Window] {
        &self.0
    }

    /// The cursor of the next page.
    pub(super) fn cursor(&self, own: String) -> Cursor {
        let mut named = self.0.clone();
        while named.len() > MAX_STRETCHES {
            join_nearest(&mut named);
        }
        let named = named.iter().map(|stretch| {
            let seconds = (stretch.before - stretch.since).num_seconds();
            format!("{}{LENGTH}{seconds}", stretch.since.timestamp())
        });
        let named: Vec<_> = named.collect();
        match &*named {
            [] => Cursor(own),
            _ => Cursor(format!("{own}{BEGIN}{}", named.join(&NEXT.to_string()))),
        }
    }
}

/// The stretches that a cursor names; `None` if it is none of ours.
fn read_stretches(text: &str) -> Option<Vec<Window>> {
    let stretches = text.split(NEXT).map(|stretch| {
        let (since, seconds) = stretch.split_once(LENGTH)?;
        let since = DateTime::from_timestamp(since.parse().ok()?, 0)?;
        let seconds = TimeDelta::seconds(seconds.parse::<u32>().ok()?.into());
        Some(Window {
            since,
            before: since.checked_add_signed(seconds)?,
        })
    });
    let read: Vec<Window> = stretches.take(MAX_STRETCHES + 1).collect::<Option<_>>()?;
    let is_in_order = read.is_sorted_by(|one, next| one.before < next.since);
    (read.len() <= MAX_STRETCHES && is_in_order).then_some(read)
}

/// Joins the two neighbours with the least time between them.
fn join_nearest(stretches: &mut Vec<Window>) {
    let between = |at: &usize| stretches[at + 1].since - stretches[*at].before;
    if let Some(at) = (0..stretches.len() - 1).min_by_key(between) {
        let next = stretches.remove(at + 1);
        stretches[at].before = next.before;
    }
}

/// Stretches that overlap or touch each other as one. They are sorted; the earliest comes first.
pub(super) fn joined(stretches: Vec<Window>) -> Vec<Window> {
    let mut joined: Vec<Window> = Vec::new();
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if stretch.since <= last.before => {
                last.before = last.before.max(stretch.before);
            }
            _ => joined.push(stretch),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(since: i64, before: i64) -> Window {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        Window {
            since: at(since),
            before: at(before),
        }
    }

    #[test]
    fn a_cursor_carries_what_was_left_out() {
        for named in [vec![], vec![stretch(-5, -4), stretch(7, 9)]] {
            let left_out = OmittedStretches(named);
            let Cursor(text) = left_out.cursor("abc-_9".to_owned());
            assert_eq!(
                OmittedStretches::read(&text),
                (left_out, "abc-_9"),
                "{text}"
            );
        }
    }

    #[test]
    fn of_many_stretches_the_nearest_become_one() {
        let far = (0..30).map(|n| stretch(n * 100, n * 100 + 1));
        let mut all: Vec<_> = far.collect();
        all.insert(1, stretch(3, 4));
        let Cursor(text) = OmittedStretches(all.clone()).cursor("c".to_owned());
        let (read, own) = OmittedStretches::read(&text);
        assert_eq!((read.0.len(), own), (MAX_STRETCHES, "c"));
        let is_in = |one: &Window| {
            let mut read = read.0.iter();
            read.any(|named| named.since <= one.since && one.before <= named.before)
        };
        assert!(all.iter().all(is_in), "{text}");
    }

    #[test]
    fn a_cursor_that_is_none_of_ours_is_left_as_it_is() {
        let many = format!("c~{}", vec!["1_1"; 21].join("."));
        for text in [
            "",
            "~",
            "c~",
            "c~1",
            "c~1_",
            "c~_1",
            "c~1_-1",
            "c~5_1.1_1",
            "c~1_1.2_1",
            "c~9223372036854775807_1",
            "c~8210266876799_4294967295",
            &many,
        ] {
            assert_eq!(
                OmittedStretches::read(text),
                (OmittedStretches::default(), text)
            );
        }
    }
}
