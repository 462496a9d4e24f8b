//! How far an answer is proven, for the header that says it.
//!
//! What is proven is looked at before the answer is made. What the answer lacks, because it is not searchable yet, arrived
//! after the first page, or is damaged, is taken off.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::{Covered, CoveredState};

use super::left_out::{OmittedStretches, joined};
use crate::clock::from_micros;
use crate::coverage::{self, Asked, VerdictState};
use crate::engine::{Ask, Order, Range, Scope, View};
use crate::http::problem::Problem;
use crate::http::scoped::ScopedApp;
use crate::position::{Seq, Source, Window};
use crate::query::Query;
use crate::store;

/// Of more events that are not searchable yet, it is not looked up when they happened.
const MAX_NOT_SEARCHABLE: u64 = 100_000;

/// Of so many events whose rows cannot be read it is looked up when they happened.
const MAX_UNREADABLE: usize = 100;

/// An event may have a time so long after it was received: upstream's clock was ahead of ours.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// What is proven before an answer is made.
pub(super) struct ProvenStretches {
    source: Source,
    since: DateTime<Utc>,
    before: DateTime<Utc>,
    state: VerdictState,
    stretches: Vec<Window>,
    is_settling: bool,
}

impl ProvenStretches {
    pub(super) fn look(
        app: &ScopedApp,
        source: &Source,
        (since, before): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Self, Problem> {
        let now = app.clock.now();
        let asked = Asked {
            since: Some(since),
            before: Some(before),
            sources: vec![source.clone()],
        };
        let board = Some(&app.board);
        let (stretches, is_settling) =
            coverage::stretches(&app.store, board, app.scope(), &asked, now)?;
        let verdict = coverage::verdict(&app.store, board, app.scope(), &asked, now)?;
        Ok(Self {
            source: source.clone(),
            since,
            before,
            state: verdict.state,
            stretches,
            is_settling,
        })
    }

    /// What can be said of an answer that has the events up to `searchable`, but for those that it left out.
    pub(super) fn of_answer(
        self,
        app: &ScopedApp,
        view: &View,
        searchable: Seq,
        left_out: &OmittedStretches,
    ) -> Result<Covered, Problem> {
        let range = (self.since, self.before);
        let head = app.head()?;
        let is_far_behind = head.0.saturating_sub(searchable.0) > MAX_NOT_SEARCHABLE;
        let lacks = match is_far_behind {
            true => Some(self.since),
            false if head == searchable => None,
            false => app.store.earliest_after(&self.source, searchable, range)?,
        };
        let (mut damaged, unreadable) = app.store.damaged_in(&self.source, range)?;
        damaged.extend(self.unreadable_in(app, view, &unreadable)?);
        damaged.extend(left_out.stretches());
        damaged.retain(|damage| self.since < damage.before && damage.since < self.before);
        damaged.sort_unstable_by_key(|stretch| (stretch.since, stretch.before));
        let damaged = joined(damaged);
        let state = match (lacks, &*damaged, self.state) {
            (None, [], VerdictState::Complete) => CoveredState::Complete,
            (None, [], VerdictState::Settling) => CoveredState::Settling,
            _ => CoveredState::Partial,
        };
        let stretches = without(self.stretches, lacks, &damaged).into_iter();
        let stretches: Vec<_> = stretches.map(|one| (one.since, one.before)).collect();
        let asked = (self.since, self.before);
        Ok(Covered::of(state, self.is_settling, asked, &stretches))
    }

    /// The stretches that may have events of the source whose rows cannot be read: as the index has them, or else between the
    /// rows beside them. An event of which neither tells the source and the time happened before it was received.
    fn unreadable_in(
        &self,
        app: &ScopedApp,
        view: &View,
        places: &[Seq],
    ) -> Result<Vec<Window>, Problem> {
        let before_all = |received: Option<DateTime<Utc>>| Window {
            since: self.since,
            before: received.map_or(self.before, |received| received + AHEAD),
        };
        // Whether another source has an event is not said: it only changes nothing.
        let caller = view.caller(Scope::everything(), Some(app.deadline()));
        let find = |query: Query| {
            let ask = Ask {
                query: &query,
                range: Range::default(),
                caller: &caller,
            };
            view.hits(&ask, Order::Ascending, None, view.seq(), 1)
        };
        let (earlier, latest) = places.split_at(places.len().saturating_sub(MAX_UNREADABLE));
        let mut stretches = Vec::new();
        // The latest are looked up; what is before them is known by the last of the others.
        if let Some(last) = earlier.last() {
            stretches.push(before_all(app.store.received_after(*last)?));
        }
        let source = self.source.to_string();
        for place in latest {
            let at_place = || Query::equals("seq", &place.to_string());
            let of_source =
                |name: &str| Query::and(vec![Query::equals("source", name), at_place()]);
            if let Some(hit) = find(of_source(&source))?.first() {
                let at = from_micros(hit.at_us);
                stretches.push(Window::new(at, at + TimeDelta::seconds(1)));
                continue;
            }
            let unknown = store::unreadable(*place)?.source.to_string();
            let is_indexed = !find(at_place())?.is_empty() && find(of_source(&unknown))?.is_empty();
            if is_indexed {
                continue;
            }
            match app.store.between_neighbours(*place)? {
                Some((owner, stretch)) if owner == source => stretches.push(stretch),
                Some(_) => {}
                None => stretches.push(before_all(app.store.received_after(*place)?)),
            }
        }
        Ok(stretches)
    }
}

/// The stretches before a moment, without others, which do not overlap and have the earliest first.
fn without(stretches: Vec<Window>, end: Option<DateTime<Utc>>, others: &[Window]) -> Vec<Window> {
    let mut left = Vec::new();
    for stretch in stretches {
        let before = end.map_or(stretch.before, |end| {
            stretch.before.min(end.trunc_subsecs(0))
        });
        let mut since = stretch.since;
        let from = others.partition_point(|other| other.before <= since);
        for other in others[from..]
            .iter()
            .take_while(|other| other.since < before)
        {
            left.push(Window {
                since,
                before: other.since,
            });
            since = other.before;
        }
        left.push(Window { since, before });
    }
    left.retain(|window| window.since < window.before);
    left
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn stretch_of(since: DateTime<Utc>, before: DateTime<Utc>) -> Window {
        Window { since, before }
    }

    fn cut(end: Option<i64>, seconds: &[i64]) -> Vec<(i64, i64)> {
        let stretch = |since, before| Window {
            since: at(since),
            before: at(before),
        };
        let stretches = vec![stretch(1_000, 5_000), stretch(7_000, 9_000)];
        let seconds = seconds.iter().map(|millis| {
            let second = at(*millis).trunc_subsecs(0);
            stretch_of(second, second + TimeDelta::seconds(1))
        });
        let seconds: Vec<_> = seconds.collect();
        let left = without(stretches, end.map(at), &seconds).into_iter();
        left.map(|window| {
            let millis = |moment: DateTime<Utc>| moment.timestamp_millis();
            (millis(window.since), millis(window.before))
        })
        .collect()
    }

    #[test]
    fn what_an_answer_lacks_is_not_proven_by_it() {
        assert_eq!(cut(None, &[]), [(1_000, 5_000), (7_000, 9_000)]);
        assert_eq!(cut(Some(3_700), &[]), [(1_000, 3_000)]);
        assert_eq!(cut(Some(1_000), &[]), []);
        let around = [(1_000, 2_000), (3_000, 5_000), (8_000, 9_000)];
        assert_eq!(cut(None, &[2_500, 2_600, 7_000]), around);
    }
}
