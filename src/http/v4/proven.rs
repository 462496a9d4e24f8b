//! How far an answer is proven, for the header that says it.
//!
//! What is proven is looked at before the answer is made. What the answer lacks, because it is not searchable yet, arrived
//! after the first page, or is damaged, is taken off.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::{Covered, CoveredState};

use crate::coverage::{self, Asked, VerdictState};
use crate::http::problem::Problem;
use crate::http::scoped::ScopedApp;
use crate::position::{Seq, Source, Window};

/// Of more events that are not searchable yet, it is not looked up when they happened.
const MAX_NOT_SEARCHABLE: u64 = 100_000;

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
    pub(super) fn of_answer(self, app: &ScopedApp, searchable: Seq) -> Result<Covered, Problem> {
        let range = (self.since, self.before);
        let head = app.head()?;
        let is_far_behind = head.0.saturating_sub(searchable.0) > MAX_NOT_SEARCHABLE;
        let lacks = match is_far_behind {
            true => Some(self.since),
            false if head == searchable => None,
            false => app.store.earliest_after(&self.source, searchable, range)?,
        };
        let mut damaged = app.store.damaged_at(&self.source)?;
        damaged.retain(|at| self.since <= *at && *at < self.before);
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

/// The stretches before a moment, without the seconds of others.
fn without(
    stretches: Vec<Window>,
    end: Option<DateTime<Utc>>,
    seconds: &[DateTime<Utc>],
) -> Vec<Window> {
    let mut left = Vec::new();
    for stretch in stretches {
        let before = end.map_or(stretch.before, |end| {
            stretch.before.min(end.trunc_subsecs(0))
        });
        let mut since = stretch.since;
        for second in seconds.iter().map(|moment| moment.trunc_subsecs(0)) {
            if second < since || before <= second {
                continue;
            }
            left.push(Window {
                since,
                before: second,
            });
            since = second + TimeDelta::seconds(1);
        }
        left.push(Window { since, before });
    }
    left.retain(|window| window.since < window.before);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn cut(end: Option<i64>, seconds: &[i64]) -> Vec<(i64, i64)> {
        let stretch = |since, before| Window {
            since: at(since),
            before: at(before),
        };
        let stretches = vec![stretch(1_000, 5_000), stretch(7_000, 9_000)];
        let seconds: Vec<_> = seconds.iter().map(|millis| at(*millis)).collect();
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
