//! The alerts of a correlation: one for each group and bucket with a verdict that fires. The matches of a part of event time are in memory
//! at once; the parts are chosen so that they fit, each by one reading of the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::judged::JudgedRule;
use super::reading::{BacktestError, LogReading, ReadEvent};
use super::tally::AlertTally;
use crate::alert::AlertGroup;
use crate::detect::matched::CorrelationMatch;
use crate::detect::verdict::{Span, bucket_of, judge_bucket, span_of, timespan_us};
use crate::rules::Correlation;
use crate::store::alerts::{GroupHash, MatchRow};
use crate::task;

/// Counts the alerts of a correlation.
pub(super) fn count(
    reading: &LogReading<'_>,
    judged: &JudgedRule<'_>,
    correlation: &Correlation,
    tally: &mut AlertTally,
) -> Result<(), BacktestError> {
    let timespan_us = timespan_us(correlation);
    let range = tally.range();
    let mut parts = vec![BucketRange {
        first: bucket_of(range.since_us.unwrap_or(i64::MIN), timespan_us),
        last: bucket_of(range.before_us.unwrap_or(i64::MAX), timespan_us),
    }];
    while let Some(buckets) = parts.pop() {
        let mut matches = MatchesInMemory {
            timespan_us,
            max: reading.limits().matches,
            buckets,
            left: Vec::new(),
            groups: HashMap::new(),
            len: 0,
        };
        let span = buckets.span(timespan_us);
        let find = |events: &[ReadEvent]| judged.correlated(correlation, events, span);
        reading.run(find, |found| matches.add(found))?;
        parts.append(&mut matches.left);
        matches.judge(correlation, tally)?;
    }
    Ok(())
}

/// Buckets from one to another, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BucketRange {
    first: i64,
    last: i64,
}

impl BucketRange {
    /// The times of the matches on which their alerts depend.
    fn span(self, timespan_us: i64) -> Span {
        span_of(self.first..=self.last, timespan_us)
    }
}

/// The matches of a part of event time.
struct MatchesInMemory {
    timespan_us: i64,
    max: usize,
    /// The buckets whose alerts are judged.
    buckets: BucketRange,
    /// The buckets that were taken out since there were too many matches.
    left: Vec<BucketRange>,
    groups: HashMap<GroupHash, (AlertGroup, Vec<MatchRow>)>,
    len: usize,
}

impl MatchesInMemory {
    fn add(&mut self, found: Vec<CorrelationMatch>) -> Result<(), BacktestError> {
        let span = self.buckets.span(self.timespan_us);
        for one in found {
            if !span.contains(one.row.at_us) {
                continue;
            }
            self.len += 1;
            match self.groups.entry(one.hash) {
                Entry::Occupied(mut group) => group.get_mut().1.push(one.row),
                Entry::Vacant(group) => {
                    group.insert((one.group, vec![one.row]));
                }
            }
        }
        while self.len > self.max {
            if !self.halve() {
                break;
            }
        }
        if self.len > self.max.saturating_mul(4) {
            return Err(BacktestError::TooManyMatches(self.len));
        }
        Ok(())
    }

    /// Leaves the later half of the buckets for another reading. Says whether there was more than one.
    fn halve(&mut self) -> bool {
        let rows = self.groups.values().flat_map(|(_, rows)| rows);
        let mut buckets: Vec<i64> = rows
            .map(|row| bucket_of(row.at_us, self.timespan_us))
            .collect();
        let middle = buckets.len() / 2;
        let (_, median, _) = buckets.select_nth_unstable(middle);
        let first_left = (*median).max(self.buckets.first.saturating_add(1));
        if first_left > self.buckets.last || buckets.iter().all(|bucket| *bucket < first_left) {
            return false;
        }
        self.left.push(BucketRange {
            first: first_left,
            last: self.buckets.last,
        });
        self.buckets.last = first_left - 1;
        let span = self.buckets.span(self.timespan_us);
        for (_, rows) in self.groups.values_mut() {
            rows.retain(|row| span.contains(row.at_us));
        }
        self.groups.retain(|_, (_, rows)| !rows.is_empty());
        self.len = self.groups.values().map(|(_, rows)| rows.len()).sum();
        true
    }

    /// Judges each bucket that has matches, and counts the alerts.
    fn judge(self, correlation: &Correlation, tally: &mut AlertTally) -> Result<(), BacktestError> {
        for (group, mut rows) in self.groups.into_values() {
            rows.sort_unstable();
            let mut buckets: Vec<i64> = rows
                .iter()
                .map(|row| bucket_of(row.at_us, self.timespan_us))
                .collect();
            buckets.dedup();
            let is_judged =
                |bucket: &i64| (self.buckets.first..=self.buckets.last).contains(bucket);
            for bucket in buckets.into_iter().filter(is_judged) {
                let judged = task::catch(|| judge_bucket(correlation, &rows, bucket));
                if let Some(found) = judged.ok().flatten() {
                    tally.add(&group, found.fired_us, 1)?;
                }
            }
        }
        Ok(())
    }
}
