//! How much of the history is read, how fast, and how long the rest takes: arithmetic over what was seen from time to time.
//!
//! # What the estimate is made of
//!
//! Reading costs calls, and calls come from entries: a page has up to a thousand, and a stretch without entries costs one call.
//! So work is counted in entries, and not in days: an account where nothing happens has as many days as a busy one, and is read
//! in a few calls. What is left of a source is its days that are left, with as many entries a day as it had so far. The speed
//! is that of the last minute, because sources that end and quotas that fill change it. Making events searchable comes after
//! the reading and is not part of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::history::SourceHistory;
use crate::position::Source;

/// The speed is measured over this long.
const RECENT: TimeDelta = TimeDelta::seconds(60);

/// How often is measured.
const MEASURE_EVERY: TimeDelta = TimeDelta::seconds(1);

/// What was seen for less time than this says nothing of the speed.
const LEAST_SEEN: TimeDelta = TimeDelta::seconds(3);

/// What a call without entries costs, in entries: with a quota, as much as a call for a full page.
const EMPTY_CALL: f64 = 1_000.0;

/// History without entries is asked for in windows of this many days.
const DAYS_OF_EMPTY_CALL: f64 = 90.0;

/// How far reading has come, as it was seen from time to time.
#[derive(Debug, Default)]
pub struct ProgressMeter {
    /// From where on each source was read when it was first seen.
    began: BTreeMap<Source, DateTime<Utc>>,
    /// The work that was done by then, the oldest first.
    measured: VecDeque<(DateTime<Utc>, f64)>,
}

/// How far reading has come.
#[derive(Debug, Clone, PartialEq)]
pub struct BackfillProgress {
    /// The part of the work that is done, from 0 to 1.
    pub part: f64,
    /// Events that are new.
    pub new: u64,
    /// Sources that are read as far back as was asked for.
    pub done: usize,
    /// All sources.
    pub sources: usize,
    /// All sources that are begun are read from here on.
    pub since: Option<DateTime<Utc>>,
    /// How long the rest of the reading takes, if it goes on as in the last minute; `None` when that is not known yet.
    pub left: Option<Duration>,
}

impl BackfillProgress {
    /// Whether all is read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == self.sources
    }
}

impl ProgressMeter {
    /// Looks at how each source fares at `now`, by a clock that nobody sets.
    pub fn look(&mut self, sources: &[SourceHistory], now: DateTime<Utc>) -> BackfillProgress {
        let (mut done, mut left, mut span_read, mut span_left) = (0.0, 0.0, 0.0, 0.0);
        let mut without_rate = 0.0;
        let mut begun = 0;
        for source in sources {
            let Some(reached) = source.reached else {
                continue;
            };
            begun += 1;
            let began = *self
                .began
                .entry(source.source.clone())
                .or_insert(reached.since);
            let read = days(began - reached.since);
            let rest = days(reached.since - reached.wanted.since);
            let work = source.new as f64 + read / DAYS_OF_EMPTY_CALL * EMPTY_CALL;
            done += work;
            span_read += read;
            span_left += rest;
            if read > 0.0 {
                left += work / read * rest;
            } else {
                without_rate += rest;
            }
        }
        // What is not known of a source is taken to be as with the others.
        if span_read > 0.0 {
            left += done / span_read * without_rate;
        }
        let unbegun = sources.len() - begun;
        let whole = if begun > 0 {
            (done + left) / begun as f64
        } else {
            0.0
        };
        left += whole * unbegun as f64;
        let n_done = sources.iter().filter(|source| source.is_done()).count();
        let is_done = n_done == sources.len();
        self.measure(done, now);
        let is_known = span_read > 0.0 || (span_left == 0.0 && unbegun == 0);
        BackfillProgress {
            part: match (is_done, done + left > 0.0) {
                (true, _) => f64::from(u8::from(!sources.is_empty())),
                // Not all of it, whatever rounding says.
                (false, true) => (done / (done + left)).clamp(0.0, 0.999),
                (false, false) => 0.0,
            },
            new: sources.iter().map(|source| source.new).sum(),
            done: n_done,
            sources: sources.len(),
            since: (sources.iter())
                .filter_map(|source| source.reached)
                .map(|reached| reached.since)
                .max(),
            left: (is_known && !is_done)
                .then(|| self.time_for(left))
                .flatten(),
        }
    }

    fn measure(&mut self, done: f64, now: DateTime<Utc>) {
        let last = self.measured.back();
        if last.is_some_and(|(at, _)| now - *at < MEASURE_EVERY) {
            return;
        }
        self.measured.push_back((now, done));
        // The oldest that is kept is at least as old as the speed looks back.
        while self
            .measured
            .get(1)
            .is_some_and(|(at, _)| now - *at >= RECENT)
        {
            self.measured.pop_front();
        }
    }

    fn time_for(&self, work: f64) -> Option<Duration> {
        let (first, last) = (self.measured.front()?, self.measured.back()?);
        let passed = last.0 - first.0;
        let speed = (last.1 - first.1) / seconds(passed);
        let is_known = passed >= LEAST_SEEN && speed > 0.0;
        is_known
            .then(|| Duration::try_from_secs_f64(work / speed).ok())
            .flatten()
    }
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 1_000.0
}

fn days(span: TimeDelta) -> f64 {
    seconds(span.max(TimeDelta::zero())) / 86_400.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::poll::Reached;
    use crate::position::Window;

    const DAYS: i64 = 500;

    /// A source with 500 days of history, of which so many are read, with so many entries each.
    fn source(id: &str, read: f64, a_day: f64) -> SourceHistory {
        let before = from_micros(1_785_000_000_000_000);
        let since = before - TimeDelta::days(DAYS);
        SourceHistory {
            source: Source::account(id).unwrap(),
            reached: Some(Reached {
                wanted: Window { since, before },
                since: before - TimeDelta::seconds((read * 86_400.0) as i64),
                is_all: read >= DAYS as f64,
            }),
            new: (read * a_day) as u64,
            trouble: None,
            is_begun: true,
            is_refused: false,
        }
    }

    /// One source has ten million entries and twelve have hardly any. They are read in turn, one call each, and a call has at
    /// most a thousand entries: the twelve are done at once.
    #[test]
    fn the_time_left_is_right_with_one_busy_source_among_many_quiet_ones() {
        let start = from_micros(1_785_000_000_000_000);
        let mut meter = ProgressMeter::default();
        let a_day = 20_000.0;
        let whole = 500.0 * a_day / 50_000.0;
        for second in 0..=(whole as i64) {
            // 50,000 entries a second: two and a half days of the busy one.
            let busy = source("busy", second as f64 * 2.5, a_day);
            let quiet = (0..12).map(|n| {
                source(
                    &format!("quiet{n}"),
                    if second < 2 { 0.0 } else { 500.0 },
                    0.1,
                )
            });
            let sources: Vec<_> = quiet.chain([busy]).collect();
            let reach = meter.look(&sources, start + TimeDelta::seconds(second));
            let Some(left) = reach.left else {
                assert!(second < 5 || reach.is_done(), "at {second}");
                continue;
            };
            let truth = whole - second as f64;
            // While the speed is still that of the quiet ones it is less exact.
            let (least, most) = if second > 70 { (0.9, 1.1) } else { (0.5, 1.5) };
            let said = left.as_secs_f64();
            assert!(
                (truth * least - 2.0..=truth * most + 2.0).contains(&said),
                "at {second} s: {said} s, and it takes {truth} s"
            );
            assert!(
                (reach.part - second as f64 / whole).abs() < 0.1,
                "at {second}: {}",
                reach.part
            );
        }
    }

    #[test]
    fn a_speed_that_changes_is_noticed_within_a_minute() {
        let start = from_micros(1_785_000_000_000_000);
        let mut meter = ProgressMeter::default();
        let at = |meter: &mut ProgressMeter, second: i64, read: f64| {
            meter
                .look(
                    &[source("a", read, 1_000.0)],
                    start + TimeDelta::seconds(second),
                )
                .left
        };
        for second in 0..=100 {
            at(&mut meter, second, second as f64);
        }
        // A tenth as fast from here on: 4,000 seconds are left.
        let mut left = None;
        for second in 101..=165 {
            left = at(&mut meter, second, 100.0 + (second - 100) as f64 / 10.0);
        }
        let said = left.unwrap().as_secs_f64();
        assert!((3_700.0..4_100.0).contains(&said), "{said}");
        // And a wait makes it unknown, not zero.
        for second in 166..=230 {
            left = at(&mut meter, second, 106.5);
        }
        assert_eq!(left, None);
    }

    #[test]
    fn nothing_is_known_of_sources_that_are_not_begun() {
        let start = from_micros(1_785_000_000_000_000);
        let mut meter = ProgressMeter::default();
        let unbegun = SourceHistory {
            reached: None,
            ..source("b", 0.0, 0.0)
        };
        for second in 0..10 {
            let reach = meter.look(
                std::slice::from_ref(&unbegun),
                start + TimeDelta::seconds(second),
            );
            assert_eq!(
                (reach.left, reach.part, reach.is_done()),
                (None, 0.0, false)
            );
        }
        assert_eq!(meter.look(&[], start).part, 0.0);
    }
}
