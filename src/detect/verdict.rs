//! What a correlation finds in the matches of one group: a pure function of the matches, in event time.
//!
//! Matches are ordered by time, ties by source, identity and content hash ([`MatchRow`]'s order), never by arrival. The verdict of a
//! match at time t looks at the matches up to it whose times are in `(t − timespan, t]`. All verdicts that fire in one bucket,
//! `floor(t / timespan)` since 1970, are one alert; before 1970 buckets are negative. The alert's events are all matches that its
//! firing verdicts looked at.

use std::collections::{BTreeSet, HashMap};

use crate::rules::{Correlation, CorrelationTest};
use crate::store::alerts::{AlertedEvent, GroupHash, MatchRow};

/// A span of event time, in microseconds since 1970: `[since, before)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: i64,
    pub(super) before: i64,
}

impl Span {
    pub(super) fn contains(self, at_us: i64) -> bool {
        self.since <= at_us && at_us < self.before
    }
}

/// The length of a correlation's window in microseconds; at least 1.
pub(super) fn timespan_us(correlation: &Correlation) -> i64 {
    correlation
        .timespan
        .num_microseconds()
        .unwrap_or(i64::MAX)
        .max(1)
}

/// The bucket of a time.
pub(super) fn bucket_of(at_us: i64, timespan_us: i64) -> i64 {
    at_us.div_euclid(timespan_us)
}

/// The buckets whose alerts a new match at a time can change: those of the verdicts whose windows it is in.
pub(super) fn buckets_changed_by(at_us: i64, timespan_us: i64) -> std::ops::RangeInclusive<i64> {
    let last = at_us.saturating_add(timespan_us - 1);
    bucket_of(at_us, timespan_us)..=bucket_of(last, timespan_us)
}

/// The times of the matches that the alerts of some buckets depend on.
pub(super) fn span_of(buckets: std::ops::RangeInclusive<i64>, timespan_us: i64) -> Span {
    let since = buckets.start().saturating_mul(timespan_us);
    let last = buckets.end().saturating_mul(timespan_us);
    Span {
        // The window of the first moment does not contain the moment a timespan before it.
        since: since.saturating_sub(timespan_us - 1),
        before: last.saturating_add(timespan_us),
    }
}

/// What the alert of a bucket is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Correlated {
    /// Its events, each once, in the order of their times.
    pub(super) events: BTreeSet<AlertedEvent>,
    /// The names of their sources.
    pub(super) sources: BTreeSet<String>,
    /// How many seconds after its time the latest of them was received.
    pub(super) late_s: i64,
    /// The time of the first verdict that fires, in microseconds since 1970.
    pub(super) fired_us: i64,
}

/// What a correlation finds in one bucket of a group; `None` when no verdict fires. `matches` are those of [`span_of`] the bucket at
/// least, in order.
pub(super) fn judge_bucket(
    correlation: &Correlation,
    matches: &[MatchRow],
    bucket: i64,
) -> Option<Correlated> {
    let timespan = timespan_us(correlation);
    let span = span_of(bucket..=bucket, timespan);
    let begin = matches.partition_point(|row| row.at_us < span.since);
    let end = matches.partition_point(|row| row.at_us < span.before);
    let matches = &matches[begin..end];
    let mut window = SlidingWindow::new(correlation, matches);
    let mut found = Correlated::default();
    // Every match before this place that a firing verdict looked at is in `found` already.
    let mut taken = 0;
    for place in 0..matches.len() {
        let fires = window.advance_to(place, timespan);
        if !fires || bucket_of(matches[place].at_us, timespan) != bucket {
            continue;
        }
        if found.events.is_empty() {
            found.fired_us = matches[place].at_us;
        }
        for row in &matches[window.first.max(taken)..=place] {
            found.add(row);
        }
        taken = place + 1;
    }
    (!found.events.is_empty()).then_some(found)
}

impl Correlated {
    fn add(&mut self, row: &MatchRow) {
        self.late_s = if self.events.is_empty() {
            row.late_s
        } else {
            self.late_s.max(row.late_s)
        };
        self.events.insert(AlertedEvent {
            at_us: row.at_us,
            seq: row.seq,
        });
        self.sources.insert(row.source());
    }
}

/// The matches that a verdict looks at, and what is counted in them.
struct SlidingWindow<'a> {
    correlation: &'a Correlation,
    matches: &'a [MatchRow],
    /// The place of its first match.
    first: usize,
    /// How many matches each named rule has in it.
    of_rule: Vec<u64>,
    /// How many matches each counted value has in it.
    of_value: HashMap<GroupHash, u64>,
    chain: RuleChain,
}

impl<'a> SlidingWindow<'a> {
    fn new(correlation: &'a Correlation, matches: &'a [MatchRow]) -> Self {
        Self {
            correlation,
            matches,
            first: 0,
            of_rule: vec![0; correlation.rules.len()],
            of_value: HashMap::new(),
            chain: RuleChain::new(correlation.rules.len()),
        }
    }

    /// Moves to the verdict of the next match. Says whether it fires.
    fn advance_to(&mut self, place: usize, timespan_us: i64) -> bool {
        let row = &self.matches[place];
        let oldest = row.at_us.saturating_sub(timespan_us);
        while self.matches[self.first].at_us <= oldest {
            let left = &self.matches[self.first];
            if let Some(count) = self.of_rule.get_mut(left.named as usize) {
                *count -= 1;
            }
            if let Some(value) = left.value
                && let Some(count) = self.of_value.get_mut(&value)
            {
                *count -= 1;
                if *count == 0 {
                    self.of_value.remove(&value);
                }
            }
            self.first += 1;
        }
        if let Some(count) = self.of_rule.get_mut(row.named as usize) {
            *count += 1;
        }
        if let Some(value) = row.value {
            *self.of_value.entry(value).or_default() += 1;
        }
        match &self.correlation.test {
            CorrelationTest::EventCount(threshold) => {
                threshold.is_met_by((place + 1 - self.first) as u64)
            }
            CorrelationTest::ValueCount(_, threshold) => {
                threshold.is_met_by(self.of_value.len() as u64)
            }
            CorrelationTest::Temporal => self.of_rule.iter().all(|count| *count > 0),
            CorrelationTest::TemporalOrdered => {
                let begun = self.chain.advance(row.at_us, row.named as usize);
                begun.is_some_and(|begun| begun > oldest)
            }
        }
    }
}

/// Finds chains: a match of each named rule in their order, with times that do not decrease.
struct RuleChain {
    /// For each length of a chain without its last rules, the latest time at which one can begin whose matches are all before `now`.
    begun: Vec<Option<i64>>,
    /// The time of the last match.
    now: Option<i64>,
    /// How many matches each rule has at that time.
    at_once: Vec<u64>,
}

impl RuleChain {
    fn new(rules: usize) -> Self {
        Self {
            begun: vec![None; rules],
            now: None,
            at_once: vec![0; rules],
        }
    }

    /// Takes the next match; gives the latest time at which a whole chain up to it begins.
    fn advance(&mut self, at_us: i64, named: usize) -> Option<i64> {
        if self.now != Some(at_us) {
            if let Some(now) = self.now {
                self.begun = self.with_ties(now);
            }
            self.now = Some(at_us);
            self.at_once.fill(0);
        }
        if let Some(count) = self.at_once.get_mut(named) {
            *count += 1;
        }
        self.with_ties(at_us).last().copied().flatten()
    }

    /// `begun` with the matches at `now`, which go on in any order because their times are equal.
    fn with_ties(&self, now: i64) -> Vec<Option<i64>> {
        let mut begun = self.begun.clone();
        for from in 0..begun.len() {
            let start = match from.checked_sub(1) {
                None => Some(now),
                Some(before) => self.begun[before],
            };
            for (place, begun) in begun.iter_mut().enumerate().skip(from) {
                if self.at_once[place] == 0 {
                    break;
                }
                *begun = start.max(*begun);
            }
        }
        begun
    }
}
