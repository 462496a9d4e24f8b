//! How far an answer is proven, for the header that says it.
//!
//! What is proven is looked at before the answer is made. What the answer lacks, because it is not searchable yet, arrived
//! after the first page, or is damaged, is taken off.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::{Covered, CoveredState};

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

/// Of more events whose rows cannot be read, it is not looked up when they happened.
const MAX_UNREADABLE: usize = 100;

/// What is proven before an answer is made.
pub(super) struct ProvenStretches {
    source: Source,
    since: DateTime<Utc>,
    before: DateTime<Utc>,
    state: VerdictState,
    stretches: Vec<Window>,
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
        let stretches = coverage::stretches(&app.store, board, app.scope(), &asked, now)?;
        let verdict = coverage::verdict(&app.store, board, app.scope(), &asked, now)?;
        Ok(Self {
            source: source.clone(),
            since,
            before,
            state: verdict.state,
            stretches,
        })
    }

    /// What can be said of an answer that has the events up to `searchable`.
    pub(super) fn of_answer(
        self,
        app: &ScopedApp,
        view: &View,
        searchable: Seq,
    ) -> Result<Covered, Problem> {
        let range = (self.since, self.before);
        let head = app.head()?;
        let is_far_behind = head.0.saturating_sub(searchable.0) > MAX_NOT_SEARCHABLE;
        let lacks = match is_far_behind {
            true => Some(self.since),
            false if head == searchable => None,
            false => app.store.earliest_after(&self.source, searchable, range)?,
        };
        let (mut damaged, unreadable) = app.store.damaged_in(&self.source)?;
        let lacks = match unreadable_in(app, view, &self.source, &unreadable)? {
            Some(stretches) => {
                damaged.extend(stretches);
                lacks
            }
            // An event that can be of any source and time may be missing from every answer.
            None => Some(self.since),
        };
        damaged.sort_unstable_by_key(|stretch| (stretch.since, stretch.before));
        damaged.retain(|damage| self.since < damage.before && damage.since < self.before);
        let state = match (lacks, &*damaged, self.state) {
            (None, [], VerdictState::Complete) => CoveredState::Complete,
            (None, [], VerdictState::Settling) => CoveredState::Settling,
            _ => CoveredState::Partial,
        };
        let stretches = without(self.stretches, lacks, &damaged);
        let cut = |moment: DateTime<Utc>| moment.clamp(self.since, self.before);
        let begins = stretches.first().filter(|first| first.since <= self.since);
        let until = begins.map_or(self.since, |first| cut(first.before));
        let next = stretches.iter().find(|piece| piece.since > until);
        Ok(Covered {
            state,
            until,
            next: next.map(|piece| (cut(piece.since), cut(piece.before))),
        })
    }
}

/// The stretches that have a source's events whose rows cannot be read: as the index has them, or else between the rows beside
/// them. `None` if neither tells the source and the time of one.
fn unreadable_in(
    app: &ScopedApp,
    view: &View,
    source: &Source,
    places: &[Seq],
) -> Result<Option<Vec<Window>>, Problem> {
    if places.len() > MAX_UNREADABLE {
        return Ok(None);
    }
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
    let mut stretches = Vec::new();
    for place in places {
        let at_place = || Query::equals("seq", &place.to_string());
        let of_source = |name: &str| Query::and(vec![Query::equals("source", name), at_place()]);
        if let Some(hit) = find(of_source(&source.to_string()))?.first() {
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
            Some((owner, stretch)) if owner == source.to_string() => stretches.push(stretch),
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(stretches))
}

/// The stretches before a moment, without others, which have the earliest first.
fn without(stretches: Vec<Window>, end: Option<DateTime<Utc>>, others: &[Window]) -> Vec<Window> {
    let mut left = Vec::new();
    for stretch in stretches {
        let before = end.map_or(stretch.before, |end| {
            stretch.before.min(end.trunc_subsecs(0))
        });
        let mut since = stretch.since;
        for other in others {
            if other.before <= since || before <= other.since {
                continue;
            }
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
