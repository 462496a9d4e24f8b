//! Judges events: which rules match them, and what alerts follow from that. Reads the log, changes nothing.
//!
//! A new match of a correlation can change the alerts of two buckets at most. These are judged again, from the stored matches of the
//! group in these buckets and a timespan before them, with the new ones. So the work does not grow with the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use tracing::warn;

use super::finding;
use super::first::FirstTimes;
use super::pairs::{beginning, pairs_of};
use super::units::{Unit, What};
use super::verdict::{buckets_changed_by, judge_bucket, span_of, timespan_us};
use crate::alert::AlertGroup;
use crate::event::{AuditEvent, sha256};
use crate::mask::Mask;
use crate::position::Seq;
use crate::rules::{Correlation, CorrelationTest, EntryFacts, Rule, RuleId, RuleKind, Rules};
use crate::store::alerts::{
    AlertVerdict, GroupHash, JudgedEvents, Judgement, MatchRow, NewMatch, NewPair, RuleNumber,
    SeenPair,
};
use crate::store::{Store, StoreError};
use crate::task;

/// What judging needs.
pub(super) struct Judge<'a> {
    pub(super) store: &'a Store,
    pub(super) rules: &'a Rules,
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
        let pairs: Vec<_> = prepared
            .iter()
            .flat_map(PreparedEvent::timed_pairs)
            .collect();
        times.add(self.store, &pairs)?;
        let mut touched = TouchedGroups::new();
        for one in prepared {
            let is_live = !is_history(one.event.seq);
            let one = one.with_first_seen(&times);
            self.judge_event(&one, is_live, &mut judgement, &mut touched);
        }
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
            let pairs: Vec<_> = one.timed_pairs().collect();
            times.add(self.store, &pairs)?;
            let one = one.with_first_seen(times);
            let mut matching = Matching::new(self.rules, &one);
            for unit in self.all.iter().filter(|unit| unit.has_judged(seq)) {
                let What::Rule(rule) = &unit.what else {
                    continue;
                };
                if !rule.reads_first_seen {
                    continue;
                }
                match &rule.kind {
                    RuleKind::Event(_) => {
                        let matches = matching.matches(&rule.id);
                        judgement.verdicts.push(AlertVerdict {
                            id: finding::id_of_event(rule, seq),
                            rule: unit.number,
                            finding: matches.then(|| finding::of_event(rule, &event, self.mask)),
                            is_live: false,
                        });
                    }
                    RuleKind::Correlation(correlation) => {
                        let touching = (unit.number, &**rule, correlation);
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
        let mut matching = Matching::new(self.rules, one);
        for unit in &self.units {
            match &unit.what {
                What::Pairs => {
                    let pairs = one.timed_pairs().map(|(pair, at_us)| NewPair {
                        pair,
                        at_us,
                        seq: event.seq,
                    });
                    judgement.pairs.extend(pairs);
                }
                What::Rule(rule) => match &rule.kind {
                    RuleKind::Event(_) if matching.matches(&rule.id) => {
                        judgement.verdicts.push(AlertVerdict {
                            id: finding::id_of_event(rule, event.seq),
                            rule: unit.number,
                            finding: Some(finding::of_event(rule, event, self.mask)),
                            is_live,
                        });
                    }
                    RuleKind::Event(_) => {}
                    RuleKind::Correlation(correlation) => {
                        let touching = (unit.number, &**rule, correlation);
                        let judged = Judging::New { is_live };
                        self.touch(touching, event, &mut matching, judged, touched);
                    }
                },
            }
        }
    }

    /// Notes the new matches of a correlation in an event.
    fn touch(
        &self,
        (number, rule, correlation): (RuleNumber, &'a Rule, &'a Correlation),
        event: &AuditEvent,
        matching: &mut Matching<'_>,
        judged: Judging,
        touched: &mut TouchedGroups<'a>,
    ) {
        for (named, base) in (0_u32..).zip(&correlation.rules) {
            let matches = matching.matches(base);
            if !matches && judged != Judging::Again {
                continue;
            }
            let value_of = |name: &str| {
                let field = correlation.field_of(name, base)?;
                matching.facts.group_value(field)
            };
            let names = correlation.group_by.iter();
            let group: AlertGroup = names.map(|name| (name.clone(), value_of(name))).collect();
            let counted = match &correlation.test {
                CorrelationTest::ValueCount(name, _) => value_of(name),
                _ => None,
            };
            let hash = self.hash_of_group(&group);
            let of_group = touched.entry((number, hash)).or_insert_with(|| Touched {
                number,
                rule,
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
            rows.insert(MatchRow {
                at_us: event.ordered_at().timestamp_micros(),
                tie: tie(event),
                seq: event.seq,
                named,
                value: counted.map(|value| self.hash(&[b"value\0", value.as_bytes()])),
                late_s: finding::lateness(event),
            });
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
            matches.extend(
                new.filter(|row| span.since <= row.at_us && row.at_us < span.before)
                    .cloned(),
            );
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

    fn hash_of_group(&self, group: &AlertGroup) -> GroupHash {
        let text = serde_json::to_string(group).unwrap_or_default();
        self.hash(&[b"group\0", text.as_bytes()])
    }

    fn hash(&self, parts: &[&[u8]]) -> GroupHash {
        beginning(&sha256(&[&self.key[..], &parts.concat()].concat()))
    }
}

/// What orders matches of one time.
fn tie(event: &AuditEvent) -> Vec<u8> {
    let (id, sha256) = (event.id.as_deref(), event.sha256.as_deref());
    MatchRow::tie(
        &event.source.to_string(),
        id.unwrap_or_default(),
        sha256.unwrap_or_default(),
    )
}

/// Whether an event is judged for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judging {
    /// It is; and whether it is no history.
    New { is_live: bool },
    /// It was judged before, and may match less now.
    Again,
}

/// Which rules match one event; each is asked once.
struct Matching<'a> {
    rules: &'a Rules,
    seq: Seq,
    facts: &'a EntryFacts,
    known: HashMap<RuleId, bool>,
}

impl<'a> Matching<'a> {
    fn new(rules: &'a Rules, one: &'a PreparedEvent<'_>) -> Self {
        Self {
            rules,
            seq: one.event.seq,
            facts: &one.facts,
            known: HashMap::new(),
        }
    }

    fn matches(&mut self, id: &RuleId) -> bool {
        if let Some(known) = self.known.get(id) {
            return *known;
        }
        let matches = match self.rules.get(id).map(|rule| &rule.kind) {
            Some(RuleKind::Event(detection)) => {
                // A panic in one rule on one event stops only that.
                task::catch(|| detection.matches(self.facts)).unwrap_or_else(|_| {
                    warn!(rule = %id, seq = self.seq.0, "A rule could not judge an event.");
                    false
                })
            }
            _ => false,
        };
        self.known.insert(id.clone(), matches);
        matches
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
