//! Counts alerts: by day, and by group.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;

use super::reading::BacktestError;
use crate::alert::AlertGroup;
use crate::clock::from_micros;
use crate::detect::finding::shown_group;
use crate::mask::Mask;

/// How many groups are given.
const LOUDEST: usize = 10;

/// The most groups that are counted.
const MAX_GROUPS: usize = 1_000_000;

/// A range of event time, in microseconds since 1970: `[since, before)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BacktestRange {
    /// Alerts from this moment on.
    pub since_us: Option<i64>,
    /// Alerts before this moment.
    pub before_us: Option<i64>,
}

impl BacktestRange {
    pub(super) fn contains(&self, at_us: i64) -> bool {
        self.since_us.is_none_or(|since| since <= at_us)
            && self.before_us.is_none_or(|before| at_us < before)
    }
}

/// Alerts that were counted.
pub(super) struct AlertTally {
    range: BacktestRange,
    days: BTreeMap<NaiveDate, u64>,
    groups: HashMap<AlertGroup, u64>,
}

impl AlertTally {
    pub(super) fn new(range: BacktestRange) -> Self {
        Self {
            range,
            days: BTreeMap::new(),
            groups: HashMap::new(),
        }
    }

    pub(super) fn range(&self) -> BacktestRange {
        self.range
    }

    /// Counts alerts of a group that would have been raised at a moment, if they are in the range.
    pub(super) fn add(
        &mut self,
        group: &AlertGroup,
        raised_us: i64,
        alerts: u64,
    ) -> Result<(), BacktestError> {
        if !self.range.contains(raised_us) {
            return Ok(());
        }
        *self.days.entry(day_of(raised_us)).or_default() += alerts;
        if let Some(count) = self.groups.get_mut(group) {
            *count += alerts;
            return Ok(());
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(BacktestError::TooManyGroups(MAX_GROUPS));
        }
        self.groups.insert(group.clone(), alerts);
        Ok(())
    }

    pub(super) fn alerts(&self) -> u64 {
        self.days.values().sum()
    }

    pub(super) fn days(&self) -> Vec<(NaiveDate, u64)> {
        self.days
            .iter()
            .map(|(day, alerts)| (*day, *alerts))
            .collect()
    }

    /// The groups with the most alerts, as alerts show them.
    pub(super) fn loudest(&self, mask: &Mask) -> Vec<(AlertGroup, u64)> {
        let mut groups: Vec<(&AlertGroup, u64)> = self
            .groups
            .iter()
            .map(|(group, alerts)| (group, *alerts))
            .collect();
        groups.sort_unstable_by_key(|(group, alerts)| (Reverse(*alerts), *group));
        let loudest = groups.into_iter().take(LOUDEST);
        loudest
            .map(|(group, alerts)| (shown_group(group, mask), alerts))
            .collect()
    }
}

fn day_of(at_us: i64) -> NaiveDate {
    from_micros(at_us).date_naive()
}
