//! How much of an answer is shown, and what the answer lacks: the lines on standard error that go with every answer, so that
//! an empty table is not taken for "nothing happened".

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::HumanCount;
use serde::Deserialize;

use crate::coverage::{MissingTotal, Reason, Verdict, VerdictState, Weight};
use crate::position::Seq;
use crate::terminal::{harmless, note};

/// A stretch that begins at most this long ago and was not scanned yet is the newest one, which is always on its way: no loss.
/// As long as the longest overlap.
const NEWEST: TimeDelta = TimeDelta::minutes(30);

/// An index that is at most this many events behind lacks only what was just stored.
const MOST_BEHIND: u64 = 1_000;

/// What is shown, and of how much.
#[derive(Debug)]
pub(super) struct Extent {
    /// Such as "3 of 1,234 results", one for each thing that is shown.
    pub(super) shown: Vec<String>,
    pub(super) verdict: Verdict,
    pub(super) index: IndexExtent,
}

/// How much of the log the index held when it was asked.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct IndexExtent {
    /// As a server says it: `current`, `behind`, `rebuilding` or `unavailable`.
    #[serde(default)]
    pub(super) state: String,
    /// The newest event that can be found.
    pub(super) searchable: Seq,
    /// The newest event of the log.
    #[serde(default)]
    pub(super) held: Seq,
}

impl IndexExtent {
    /// How many events cannot be found yet.
    fn lag(&self) -> u64 {
        self.held.0.saturating_sub(self.searchable.0)
    }

    fn is_rebuilding(&self) -> bool {
        self.state == "rebuilding"
    }

    /// Whether so few events are not searchable yet that they can only be what was just stored.
    fn is_close(&self) -> bool {
        !self.is_rebuilding() && self.lag() <= MOST_BEHIND
    }

    /// What it lacks, in words.
    fn line(&self) -> String {
        let held = HumanCount(self.held.0);
        if self.is_rebuilding() {
            let searchable = HumanCount(self.searchable.0);
            format!("The index is being rebuilt: {searchable} of {held} events are searchable.")
        } else if self.is_close() {
            "The newest events are not searchable yet.".to_owned()
        } else {
            let searchable = HumanCount(self.searchable.0);
            format!("The index is behind: {searchable} of {held} events are searchable.")
        }
    }
}

impl Extent {
    pub(super) fn of_events(
        shown: usize,
        total: u64,
        verdict: Verdict,
        index: IndexExtent,
    ) -> Self {
        let shown = HumanCount(shown as u64);
        let shown = vec![format!("{shown} of {} results", HumanCount(total))];
        Self {
            shown,
            verdict,
            index,
        }
    }

    /// The same without how much is shown.
    pub(super) fn without_counts(self) -> Self {
        Self {
            shown: Vec::new(),
            ..self
        }
    }

    /// Whether something is missing that is not merely new.
    pub(super) fn has_loss(&self, now: DateTime<Utc>) -> bool {
        self.verdict.state == VerdictState::Partial
            && !Lack::of(&self.verdict, &self.index, now).is_newest_only()
    }

    /// Says it on standard error.
    pub(super) fn say(&self, now: DateTime<Utc>) -> Result<()> {
        for line in self.lines(now) {
            note(line)?;
        }
        Ok(())
    }

    fn lines(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut lines: Vec<String> = self.shown.iter().map(|shown| format!("{shown}.")).collect();
        match self.verdict.state {
            VerdictState::Complete => lines.push("Coverage: complete.".to_owned()),
            VerdictState::Settling => lines.push(
                "Coverage: settling. All of it was scanned; late entries may still be added."
                    .to_owned(),
            ),
            VerdictState::Partial => {
                lines.extend(Lack::of(&self.verdict, &self.index, now).lines())
            }
        }
        lines
    }
}

/// What a partial answer lacks.
struct Lack<'a> {
    /// The earliest moment of what is on its way: not scanned yet, or not searchable yet.
    newest: Option<Option<&'a str>>,
    /// Everything else, by reason.
    losses: Vec<(Reason, &'a MissingTotal)>,
    index: &'a IndexExtent,
}

impl<'a> Lack<'a> {
    fn of(verdict: &'a Verdict, index: &'a IndexExtent, now: DateTime<Utc>) -> Self {
        let all = verdict.missing_by_reason.iter();
        let (newest, losses): (Vec<_>, Vec<_>) =
            all.partition(|(reason, total)| is_newest(**reason, total, index, now));
        let newest = newest.iter().map(|(_, total)| total.since.as_deref()).min();
        let losses = losses.into_iter();
        Self {
            newest,
            losses: losses.map(|(reason, total)| (*reason, total)).collect(),
            index,
        }
    }

    fn is_newest_only(&self) -> bool {
        self.newest.is_some() && self.losses.is_empty()
    }

    fn lines(&self) -> Vec<String> {
        let newest = self.newest.map(|since| match since {
            Some(since) => format!("What happened after {since} has not been read yet."),
            None => self.index.line(),
        });
        let upto = self.newest.flatten().map(|since| format!(" up to {since}"));
        let upto = upto.unwrap_or_default();
        match (newest, self.losses.as_slice()) {
            (None, []) => vec!["Coverage: partial. No source is followed.".to_owned()],
            (Some(newest), []) => vec![format!("Coverage: all of it was scanned{upto}. {newest}")],
            (newest, losses) => {
                let is_held = |reason: Reason| matches!(reason.weight(), Weight::Held);
                let is_behind = losses.iter().any(|(reason, _)| is_held(*reason));
                let searchable = is_behind.then(|| self.index.line());
                let losses = losses.iter().filter(|(reason, _)| !is_held(*reason));
                let losses: Vec<String> = losses
                    .map(|(reason, total)| format!("  {}", loss(*reason, total)))
                    .collect();
                if losses.is_empty() {
                    let searchable = searchable.unwrap_or_default();
                    let mut lines = vec![format!("Coverage: partial. {searchable}")];
                    lines.extend(newest);
                    return lines;
                }
                let mut lines = vec!["Coverage: partial. The answer is incomplete:".to_owned()];
                lines.extend(losses);
                lines.extend(searchable);
                lines.extend(newest);
                lines.push("`orgtrail status --all` shows all of it.".to_owned());
                lines
            }
        }
    }
}

/// Whether all that is missing for a reason is only what happened a moment ago.
fn is_newest(
    reason: Reason,
    total: &MissingTotal,
    index: &IndexExtent,
    now: DateTime<Utc>,
) -> bool {
    match reason.weight() {
        // Farther behind, what cannot be found may be of any age: history is stored late, and a rebuild begins with nothing.
        Weight::Held => index.is_close(),
        Weight::OnItsWay => {
            let since = total.since.as_deref();
            let since = since.and_then(|since| since.parse::<DateTime<Utc>>().ok());
            since.is_some_and(|since| since >= now - NEWEST)
        }
        Weight::ByDesign | Weight::Loss => false,
    }
}

/// What is missing for one reason.
fn loss(reason: Reason, total: &MissingTotal) -> String {
    let mut said = reason.words().to_owned();
    said += &match total.stretches {
        1 => ": 1 gap".to_owned(),
        gaps => format!(": {} gaps", HumanCount(gaps as u64)),
    };
    said += &match total.sources {
        0 => String::new(),
        1 => " in 1 source".to_owned(),
        sources => format!(" in {} sources", HumanCount(sources as u64)),
    };
    // The sum over several sources would be no span that anybody knows.
    if let (Some(seconds), 1) = (total.seconds, total.sources) {
        said += &format!(", {} in all", crate::command::print::span_text(seconds));
    }
    if let (Some(since), Some(before)) = (&total.since, &total.before) {
        said += &format!(", between {since} and {before}");
    }
    harmless(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(stretches: usize, sources: usize, since: &str, before: &str) -> MissingTotal {
        let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        MissingTotal {
            stretches,
            sources,
            seconds: Some((moment(before) - moment(since)).num_seconds()),
            longest_seconds: None,
            since: Some(since.to_owned()),
            before: Some(before.to_owned()),
        }
    }

    fn index(state: &str, searchable: u64) -> IndexExtent {
        IndexExtent {
            state: state.to_owned(),
            searchable: Seq(searchable),
            held: Seq(20_286),
        }
    }

    fn lines(state: VerdictState, missing: &[(Reason, MissingTotal)]) -> String {
        lines_of(state, missing, index("behind", 20_280))
    }

    fn lines_of(
        state: VerdictState,
        missing: &[(Reason, MissingTotal)],
        index: IndexExtent,
    ) -> String {
        let now = "2026-08-03T12:00:00Z".parse().unwrap();
        let verdict = Verdict {
            state,
            missing: Vec::new(),
            missing_total: missing.iter().map(|(_, total)| total.stretches).sum(),
            missing_by_reason: missing.iter().cloned().collect(),
        };
        Extent::of_events(3, 1_234, verdict, index)
            .lines(now)
            .join("\n")
    }

    #[test]
    fn the_newest_minutes_are_told_apart_from_a_loss() {
        let (newest, now) = ("2026-08-03T11:59:00Z", "2026-08-03T12:00:00Z");
        // Of very many sources, more than an answer names one by one.
        let on_its_way = (Reason::NotYet, total(501, 501, newest, now));
        let history = (Reason::NotYet, total(2, 1, "2025-02-09T12:00:00Z", now));
        let failing = (Reason::Failing, total(1, 1, "2026-08-03T11:50:00Z", now));
        let behind = (
            Reason::NotSearchableYet,
            MissingTotal {
                stretches: 1,
                ..MissingTotal::default()
            },
        );
        let partial = VerdictState::Partial;
        let said = [
            lines(VerdictState::Complete, &[]),
            lines(VerdictState::Settling, &[]),
            lines(partial, &[]),
            lines(partial, std::slice::from_ref(&on_its_way)),
            lines(partial, std::slice::from_ref(&behind)),
            lines(partial, &[history, failing.clone()]),
            lines(partial, &[on_its_way, failing, behind]),
        ];
        insta::assert_snapshot!(said.join("\n--\n"));
    }

    #[test]
    fn an_index_that_is_far_behind_or_rebuilt_makes_an_answer_partial() {
        let missing = || {
            let total = MissingTotal {
                stretches: 1,
                ..MissingTotal::default()
            };
            [(Reason::NotSearchableYet, total)]
        };
        let said = |index| lines_of(VerdictState::Partial, &missing(), index);
        let rebuilt = said(index("rebuilding", 20_280));
        let expected = "Coverage: partial. The index is being rebuilt: 20,280 of 20,286 events are searchable.";
        assert!(rebuilt.contains(expected), "{rebuilt}");
        let behind = said(index("behind", 2_000));
        let expected =
            "Coverage: partial. The index is behind: 2,000 of 20,286 events are searchable.";
        assert!(behind.contains(expected), "{behind}");
        let close = said(index("behind", 20_280));
        assert!(close.contains("all of it was scanned."), "{close}");
        let verdict = |index| Extent {
            shown: Vec::new(),
            verdict: Verdict {
                state: VerdictState::Partial,
                missing: Vec::new(),
                missing_total: 1,
                missing_by_reason: missing().into_iter().collect(),
            },
            index,
        };
        let now = "2026-08-03T12:00:00Z".parse().unwrap();
        assert!(verdict(index("behind", 2_000)).has_loss(now));
        assert!(!verdict(index("behind", 20_280)).has_loss(now));
    }
}
