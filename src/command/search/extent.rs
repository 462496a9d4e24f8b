//! How much of an answer is shown, and what the answer lacks: the lines on standard error that go with every answer, so that
//! an empty table is not taken for "nothing happened".

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::HumanCount;
use serde::Serialize;

use crate::coverage::{Missing, Reason, Verdict, VerdictState};
use crate::terminal::{harmless, note};

/// How many missing stretches are listed; `orgtrail status` lists more.
const MAX_SHOWN: usize = 5;

/// A stretch that begins at most this long ago and was not scanned yet is the newest one, which is always on its way: no loss.
/// As long as the longest overlap.
const NEWEST: TimeDelta = TimeDelta::minutes(30);

/// What is shown, and of how much.
#[derive(Debug)]
pub(super) struct Extent {
    /// Such as "3 of 1,234 results", one for each thing that is shown.
    pub(super) shown: Vec<String>,
    pub(super) verdict: Verdict,
}

impl Extent {
    pub(super) fn of_events(shown: usize, total: u64, verdict: Verdict) -> Self {
        let shown = HumanCount(shown as u64);
        let shown = vec![format!("{shown} of {} results", HumanCount(total))];
        Self { shown, verdict }
    }

    /// Whether something is missing that is not merely new.
    pub(super) fn has_loss(&self, now: DateTime<Utc>) -> bool {
        self.verdict.state == VerdictState::Partial
            && !Lack::of(&self.verdict, now).is_newest_only()
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
            VerdictState::Partial => lines.extend(Lack::of(&self.verdict, now).lines()),
        }
        lines
    }
}

/// What a partial answer lacks.
struct Lack<'a> {
    /// Stretches that are on their way: not scanned yet, or not searchable yet. The earliest beginning among them.
    newest_since: Option<&'a str>,
    newest: usize,
    /// Everything else.
    losses: Vec<&'a Missing>,
    /// Stretches that the answer does not name, because there are so many.
    unnamed: usize,
}

impl<'a> Lack<'a> {
    fn of(verdict: &'a Verdict, now: DateTime<Utc>) -> Self {
        let (newest, losses): (Vec<_>, Vec<_>) =
            (verdict.missing.iter()).partition(|missing| is_newest(missing, now));
        Self {
            newest_since: newest.iter().filter_map(|one| one.since.as_deref()).min(),
            newest: newest.len(),
            losses,
            unnamed: verdict.missing_total.saturating_sub(verdict.missing.len()),
        }
    }

    fn is_newest_only(&self) -> bool {
        self.newest > 0 && self.losses.is_empty() && self.unnamed == 0
    }

    fn lines(&self) -> Vec<String> {
        let newest = match self.newest_since {
            Some(since) => format!("the newest minutes, from {since}, are still on their way"),
            None => "the newest events are still on their way".to_owned(),
        };
        if self.is_newest_only() {
            return vec![format!("Coverage: complete or settling, but {newest}.")];
        }
        if self.losses.is_empty() && self.unnamed == 0 {
            return vec!["Coverage: partial. No source is followed.".to_owned()];
        }
        let total = self.losses.len() + self.unnamed;
        let are = if total == 1 {
            "stretch of time is"
        } else {
            "stretches of time are"
        };
        let mut lines = vec![format!(
            "Coverage: partial. The answer is incomplete: {} {are} not in it.",
            HumanCount(total as u64)
        )];
        let shown = self.losses.iter().take(MAX_SHOWN);
        lines.extend(shown.map(|missing| format!("  {}", stretch(missing))));
        let more = total - self.losses.len().min(MAX_SHOWN);
        if more > 0 {
            lines.push(format!(
                "  … and {} more: `orgtrail status` lists them",
                HumanCount(more as u64)
            ));
        }
        if self.newest > 0 {
            lines.push(format!("Besides, {newest}."));
        }
        lines
    }
}

/// Whether it is only what happened a moment ago. Text order is time order: all times are RFC 3339 in UTC.
fn is_newest(missing: &Missing, now: DateTime<Utc>) -> bool {
    match missing.reason {
        Reason::NotSearchableYet => true,
        Reason::NotYet => {
            let since = missing.since.as_deref();
            let since = since.and_then(|since| since.parse::<DateTime<Utc>>().ok());
            since.is_some_and(|since| since >= now - NEWEST)
        }
        _ => false,
    }
}

fn stretch(missing: &Missing) -> String {
    let source = missing.source.as_deref().unwrap_or("all sources");
    let since = missing.since.as_deref().unwrap_or("the beginning");
    let before = missing.before.as_deref().unwrap_or("now");
    harmless(&format!(
        "{source} from {since} to {before}: {}",
        reason(missing.reason)
    ))
}

/// A reason as people say it.
fn reason(reason: impl Serialize) -> String {
    match crate::command::word(reason).as_str() {
        "not yet" => "not scanned yet".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(source: &str, since: &str, before: &str, reason: Reason) -> Missing {
        Missing {
            source: Some(source.to_owned()),
            since: Some(since.to_owned()),
            before: Some(before.to_owned()),
            reason,
        }
    }

    fn lines(state: VerdictState, missing: Vec<Missing>, unnamed: usize) -> String {
        let now = "2026-08-03T12:00:00Z".parse().unwrap();
        let missing_total = missing.len() + unnamed;
        let verdict = Verdict {
            state,
            missing,
            missing_total,
            missing_by_reason: std::collections::BTreeMap::new(),
        };
        Extent::of_events(3, 1_234, verdict).lines(now).join("\n")
    }

    #[test]
    fn the_newest_minutes_are_told_apart_from_a_loss() {
        let newest = || {
            missing(
                "accounts/a",
                "2026-08-03T11:59:00Z",
                "2026-08-03T12:00:00Z",
                Reason::NotYet,
            )
        };
        let history = || {
            missing(
                "accounts/a",
                "2025-02-09T12:00:00Z",
                "2026-07-01T00:00:00Z",
                Reason::NotYet,
            )
        };
        let failing = || {
            missing(
                "accounts/b",
                "2026-08-03T11:50:00Z",
                "2026-08-03T12:00:00Z",
                Reason::Failing,
            )
        };
        let partial = VerdictState::Partial;
        let said = [
            lines(VerdictState::Complete, vec![], 0),
            lines(VerdictState::Settling, vec![], 0),
            lines(partial, vec![], 0),
            lines(partial, vec![newest()], 0),
            lines(partial, vec![history(), newest(), failing()], 0),
            lines(partial, vec![failing()], 0),
            lines(partial, vec![failing(); 7], 100),
        ];
        insta::assert_snapshot!(said.join("\n--\n"));
    }
}
