//! Judges events: which rules match them, and what alerts follow from that. Reads the log, changes nothing.
//!
//! A new match of a correlation can change the alerts of two buckets at most. These are judged again, from the stored matches of the
//! group in these buckets and a timespan before them, with the new ones. So the work does not grow with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use tracing::warn;

use super::finding;
use super::first::FirstTimes;
use super::matched::CorrelationMatch;
use super::pairs::pairs_of;
use super::units::{RaisingRule, Unit, What};
use super::verdict::{buckets_changed_by, judge_bucket, span_of, timespan_us};
use crate::alert::AlertGroup;
use crate::event::AuditEvent;
use crate::mask::Mask;
use crate::position::Seq;
use crate::rules::{Correlation, EntryFacts, MatchedEntry, Rule, RuleKind, RuleMatcher, RulePlace};
use crate::store::alerts::{
    AlertVerdict, GroupHash, JudgedEvents, Judgement, MatchRow, NewMatch, NewPair, RuleNumber,
    SeenPair,
};
use crate::store::{Store, StoreError};
use crate::task;

/// What judging needs.
pub(super) struct Judge<'a> {
    pub(super) store: &'a Store,
    pub(super) matcher: &'a RuleMatcher,
    pub(super) key: &'a [u8; 32],
    pub(super) mask: &'a Mask,
    /// The rules by which it judges.
    pub(super) units: Vec<&'a Unit>,
    /// All rules in use.
    pub(super) all: &'a [Unit],
}

/// An event that is judged, and what rules see of it.
struct PreparedEvent<'e> {
    event: &'e AuditEvent,
    facts: EntryFacts,
    pairs: Vec<SeenPair>,
}

impl PreparedEvent<'_> {
    fn at_us(&self) -> i64 {
        self.event.ordered_at().timestamp_micros()
    }

    /// Its pairs, each with its time.
    fn timed_pairs(&self) -> impl Iterator<Item = (SeenPair, i64)> {
        self.pairs.iter().map(|pair| (*pair, self.at_us()))
    }

    /// Those of its pairs that had not occurred before it. Of the others nothing needs to be noted.
    fn first_pairs(&self, times: &FirstTimes) -> impl Iterator<Item = NewPair> {
        let (at_us, seq) = (self.at_us(), self.event.seq);
        let first = self
            .pairs
            .iter()
            .filter(move |pair| times.is_first(pair, at_us));
        first.map(move |pair| NewPair {
            pair: *pair,
            at_us,
            seq,
        })
    }

    /// With what had not been seen before it.
    fn with_first_seen(self, times: &FirstTimes) -> Self {
        let names = times.names(&self.pairs, self.at_us());
        let facts = self.facts.with_first_seen(names);
        Self { facts, ..self }
    }
}

/// The matches of one correlation in one group that are new.
struct Touched<'a> {
    number: RuleNumber,
    rule: &'a Rule,
    correlation: &'a Correlation,
    group: AlertGroup,
    hash: GroupHash,
    rows: BTreeSet<MatchRow>,
    /// Matches that are none any more, if they were.
    gone: BTreeSet<MatchRow>,
    /// Those of their events that are not history.
    live: BTreeSet<Seq>,
}

type TouchedGroups<'a> = BTreeMap<(RuleNumber, GroupHash), Touched<'a>>;

impl<'a> Judge<'a> {
    /// Judges some events. `history` are those that were backfilled or imported, or that were there before the rules.
    pub(super) fn judge(
        &self,
        events: &[AuditEvent],
        is_history: impl Fn(Seq) -> bool,
        progress: JudgedEvents,
        at: DateTime<Utc>,
    ) -> Result<Judgement, StoreError> {
        let mut judgement = Judgement {
            progress,
            matches: Vec::new(),
            gone: Vec::new(),
            verdicts: Vec::new(),
            skipped: BTreeSet::new(),
            pairs: Vec::new(),
            at,
        };
        let mut prepared = Vec::new();
        for event in events {
            // Of an erased body nothing is known any more; what its matches were is kept.
            if event.is_erased() {
                continue;
            }
            if event.is_damaged() {
                judgement.skipped.insert(event.seq);
                continue;
            }
            prepared.extend(self.prepared(event));
        }
        let mut times = FirstTimes::default();
        times.add(
            self.store,
            prepared.iter().flat_map(PreparedEvent::timed_pairs),
        )?;
        let mut touched = TouchedGroups::new();
        let takes_pairs = self
            .units
            .iter()
            .any(|unit| matches!(unit.what, What::Pairs));
        for one in prepared {
            let is_live = !is_history(one.event.seq);
            if takes_pairs {
                judgement.pairs.extend(one.first_pairs(&times));
            }
            let one = one.with_first_seen(&times);
            self.judge_event(&one, is_live, &mut judgement, &mut touched);
        }
        // Without a pair that is new or earlier than before, nothing else changes.
        if !judgement.pairs.is_empty() {
            self.judge_displaced(&mut times, &mut judgement, &mut touched)?;
        }
        for group in touched.values() {
            judgement.verdicts.extend(self.judge_group(group)?);
            let of_group = |row: &MatchRow| NewMatch {
                rule: group.number,
                group: group.hash,
                row: row.clone(),
            };
            judgement.matches.extend(group.rows.iter().map(of_group));
            judgement.gone.extend(group.gone.iter().map(of_group));
        }
        Ok(judgement)
    }

    /// What rules see of an event; nothing when it cannot be made.
    fn prepared<'e>(&self, event: &'e AuditEvent) -> Option<PreparedEvent<'e>> {
        let Ok(facts) = task::catch(|| EntryFacts::of(event)) else {
            warn!(seq = event.seq.0, "No rule could judge an event.");
            return None;
        };
        Some(PreparedEvent {
            event,
            pairs: pairs_of(&facts, self.key),
            facts,
        })
    }

    /// Judges those events again that had something for the first time until now: by the rules that look at it and have judged them.
    fn judge_displaced(
        &self,
        times: &mut FirstTimes,
        judgement: &mut Judgement,
        touched: &mut TouchedGroups<'a>,
    ) -> Result<(), StoreError> {
        for seq in times.displaced() {
            let event = self.store.event(seq)?;
            let Some(event) = event.filter(|event| !event.is_erased() && !event.is_damaged())
            else {
                continue;
            };
            let Some(one) = self.prepared(&event) else {
                continue;
            };
            times.add(self.store, one.timed_pairs())?;
            let one = one.with_first_seen(times);
            let mut matching = Matching::new(self.matcher, &one);
            for unit in self.all.iter().filter(|unit| unit.has_judged(seq)) {
                let What::Rule(raising) = &unit.what else {
                    continue;
                };
                let rule = &*raising.rule;
                if !rule.reads_first_seen {
                    continue;
                }
                match &rule.kind {
                    RuleKind::Event(_) => {
                        let matches = raising.asks.iter().any(|place| matching.matches(*place));
                        judgement.verdicts.push(AlertVerdict {
                            id: finding::id_of_event(rule, seq),
                            rule: unit.number,
                            finding: matches.then(|| finding::of_event(rule, &event, self.mask)),
                            is_live: false,
                        });
                    }
                    RuleKind::Correlation(correlation) => {
                        let touching = (unit.number, raising, correlation);
                        self.touch(touching, &event, &mut matching, Judging::Again, touched);
                    }
                }
            }
        }
        Ok(())
    }

    fn judge_event(
        &self,
        one: &PreparedEvent<'_>,
        is_live: bool,
        judgement: &mut Judgement,
        touched: &mut TouchedGroups<'a>,
    ) {
        let event = one.event;
        let mut matching = Matching::new(self.matcher, one);
        for unit in &self.units {
            let What::Rule(raising) = &unit.what else {
                continue;
            };
            if !raising.asks.iter().any(|place| matching.matches(*place)) {
                continue;
            }
            let rule = &*raising.rule;
            match &rule.kind {
                RuleKind::Event(_) => judgement.verdicts.push(AlertVerdict {
                    id: finding::id_of_event(rule, event.seq),
                    rule: unit.number,
                    finding: Some(finding::of_event(rule, event, self.mask)),
                    is_live,
                }),
                RuleKind::Correlation(correlation) => {
                    let touching = (unit.number, raising, correlation);
                    let judged = Judging::New { is_live };
                    self.touch(touching, event, &mut matching, judged, touched);
                }
            }
        }
    }

    /// Notes the new matches of a correlation in an event.
    fn touch(
        &self,
        (number, raising, correlation): (RuleNumber, &'a RaisingRule, &'a Correlation),
        event: &AuditEvent,
        matching: &mut Matching<'_>,
        judged: Judging,
        touched: &mut TouchedGroups<'a>,
    ) {
        let named = raising.asks.iter().zip(&correlation.rules);
        for (named, (place, base)) in (0_u32..).zip(named) {
            let matches = matching.matches(*place);
            if !matches && judged != Judging::Again {
                continue;
            }
            let facts = matching.asked.facts();
            let CorrelationMatch { group, hash, row } =
                CorrelationMatch::of(correlation, (named, base), event, facts, self.key);
            let of_group = touched.entry((number, hash)).or_insert_with(|| Touched {
                number,
                rule: &raising.rule,
                correlation,
                group,
                hash,
                rows: BTreeSet::new(),
                gone: BTreeSet::new(),
                live: BTreeSet::new(),
            });
            let rows = if matches {
                &mut of_group.rows
            } else {
                &mut of_group.gone
            };
            rows.insert(row);
            if judged == (Judging::New { is_live: true }) {
                of_group.live.insert(event.seq);
            }
        }
    }

    /// What the alerts are now that the new matches of a group can change.
    fn judge_group(&self, group: &Touched<'_>) -> Result<Vec<AlertVerdict>, StoreError> {
        let timespan = timespan_us(group.correlation);
        let changed = group.rows.iter().chain(&group.gone);
        let changed: BTreeSet<i64> = changed
            .flat_map(|row| buckets_changed_by(row.at_us, timespan))
            .collect();
        let mut verdicts = Vec::new();
        for run in runs(&changed) {
            let span = span_of(run.clone(), timespan);
            let mut matches =
                self.store
                    .matches(group.number, &group.hash, span.since, span.before)?;
            let new = group.rows.iter();
            matches.extend(new.filter(|row| span.contains(row.at_us)).cloned());
            let is_gone = |row: &MatchRow| {
                let mut gone = group.gone.iter();
                gone.any(|gone| (gone.seq, gone.named) == (row.seq, row.named))
            };
            matches.retain(|row| !is_gone(row));
            matches.sort_unstable();
            matches.dedup_by(|one, other| (one.seq, one.named) == (other.seq, other.named));
            for bucket in run {
                let judged = task::catch(|| judge_bucket(group.correlation, &matches, bucket));
                let Ok(found) = judged else {
                    warn!(rule = %group.rule.id, "A rule could not judge its matches.");
                    continue;
                };
                let events = found.as_ref().map(|found| &found.events);
                let is_live = events.is_some_and(|events| {
                    events.iter().any(|event| group.live.contains(&event.seq))
                });
                verdicts.push(AlertVerdict {
                    id: finding::id_of_bucket(group.rule, &group.group, bucket),
                    rule: group.number,
                    finding: found
                        .map(|found| finding::of_group(group.rule, &group.group, found, self.mask)),
                    is_live,
                });
            }
        }
        Ok(verdicts)
    }
}

/// Whether an event is judged for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judging {
    /// It is; and whether it is no history.
    New { is_live: bool },
    /// It was judged before, and may match less now.
    Again,
}

/// Which rules match one event.
struct Matching<'a> {
    seq: Seq,
    asked: MatchedEntry<'a>,
}

impl<'a> Matching<'a> {
    fn new(matcher: &'a RuleMatcher, one: &'a PreparedEvent<'_>) -> Self {
        Self {
            seq: one.event.seq,
            asked: matcher.ask(&one.facts),
        }
    }

    fn matches(&mut self, place: RulePlace) -> bool {
        // A panic in one rule on one event stops only that.
        let matches = task::catch(|| self.asked.matches(place));
        matches.unwrap_or_else(|_| {
            let rule = self.asked.id_of(place);
            warn!(rule = %rule, seq = self.seq.0, "A rule could not judge an event.");
            false
        })
    }
}

/// Buckets that follow each other, together.
fn runs(buckets: &BTreeSet<i64>) -> Vec<RangeInclusive<i64>> {
    let mut runs: Vec<RangeInclusive<i64>> = Vec::new();
    for bucket in buckets {
        match runs.last_mut() {
            Some(run) if run.end().checked_add(1) == Some(*bucket) => {
                *run = *run.start()..=*bucket;
            }
            _ => runs.push(*bucket..=*bucket),
        }
    }
    runs
}
