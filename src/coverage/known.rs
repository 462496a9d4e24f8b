//! What is known of a source, and what follows from it: its proven stretches, and the reason for each gap between them.

use chrono::{DateTime, Utc};

use super::asked::{Asked, whole_seconds};
use super::erased::{self, cut};
use super::found::{Found, FoundGap};
use super::reason::Reason;
use crate::health::{Health, State};
use crate::invariant;
use crate::ledger::{self, Aims, Sealed};
use crate::position::{Window, rfc3339};
use crate::store::{GapCause, Progress, SourceRow};

/// What is known of a source.
pub(super) struct Known<'a> {
    pub(super) row: &'a SourceRow,
    pub(super) progress: &'a Progress,
    pub(super) health: Option<&'a Health>,
    pub(super) aims: Option<&'a Aims>,
    pub(super) now: DateTime<Utc>,
}

impl Known<'_> {
    /// What is to be said of what is asked about, from a moment on if one is given.
    pub(super) fn look(&self, asked: &Asked, from: Option<DateTime<Utc>>) -> Found {
        // What was read is in the past, whatever our clock says.
        let present = self.read_beyond_our_clock().unwrap_or(self.now);
        let range = whole_seconds(
            from.or(asked.since).unwrap_or_else(|| self.beginning()),
            asked.before.map_or(present, |before| before.min(present)),
        );
        let provable = Window {
            since: range.since.max(self.first_provable()),
            before: range.before,
        };
        let proven = erased::without(cut(&self.progress.proven, provable), self.row);
        let mut gaps: Vec<FoundGap> = ledger::open_parts(&proven, range)
            .into_iter()
            .flat_map(|part| self.explain(part))
            .collect();
        gaps.extend(self.beyond_the_present(asked, range, &gaps));
        for gap in &gaps {
            // They do not overlap and have the earliest first: the first that ends in the gap or after it tells.
            let at = proven.partition_point(|piece| piece.window.before <= gap.window.since);
            let is_apart = |piece: &Sealed| gap.window.before <= piece.window.since;
            invariant!(
                GapsAreNotProven,
                proven.get(at).is_none_or(is_apart),
                "{} of {} is a gap, and a part of it is proven",
                gap.window,
                self.row.source
            );
        }
        Found {
            source: self.row.source.clone(),
            proven,
            gaps,
            // No stretch is read before the sweeps are saved.
            sweeps: self
                .aims
                .map(|aims| aims.sweeps.clone())
                .unwrap_or_default(),
        }
    }

    /// Where nothing could be missing before.
    fn first_provable(&self) -> DateTime<Utc> {
        let began = ledger::began_keeping(self.row.source.kind());
        self.row
            .created_at
            .map_or(began, |created| began.max(created))
    }

    /// Where a question begins that does not say: where history was asked for from, or earlier where more is held.
    fn beginning(&self) -> DateTime<Utc> {
        let asked = self.backfill_floor();
        // Without a configured `backfill_since`, the question is about all that can be proven.
        let asked = asked.unwrap_or_else(|| self.first_provable());
        let held = self.progress.proven.first().map(|piece| piece.window.since);
        held.map_or(asked, |held| held.min(asked))
            .max(self.first_provable())
    }

    fn backfill_floor(&self) -> Option<DateTime<Utc>> {
        let start = self.progress.live_since.unwrap_or(self.row.first_seen_at);
        Some(self.aims?.backfill_since.resolve(start))
    }

    /// A part that is not proven, cut where the reason changes.
    fn explain(&self, part: Window) -> Vec<FoundGap> {
        let mut cuts: Vec<DateTime<Utc>> = [
            Some(ledger::began_keeping(self.row.source.kind())),
            self.row.created_at,
            Some(ledger::claimable_since(self.now)),
            self.backfill_floor(),
            self.row.left_at,
            erased::stretch(self.row).map(|erased| erased.since),
            erased::stretch(self.row).map(|erased| erased.before),
        ]
        .into_iter()
        .flatten()
        .map(|cut| Window::new(cut, cut).since)
        .collect();
        let passed = self.passed_within(part).iter();
        cuts.extend(passed.flat_map(|(window, _)| [window.since, window.before]));
        cuts.retain(|cut| *cut > part.since && *cut < part.before);
        cuts.extend([part.since, part.before]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut gaps: Vec<FoundGap> = Vec::new();
        for bound in cuts.windows(2) {
            let window = Window {
                since: bound[0],
                before: bound[1],
            };
            let (reason, detail) = self.reason(window);
            match gaps.last_mut() {
                Some(last) if last.reason == reason => last.window.before = window.before,
                _ => gaps.push(FoundGap {
                    window,
                    has_end: true,
                    reason,
                    detail,
                }),
            }
        }
        gaps
    }

    /// The passed stretches that overlap a part. They are in order, and do not overlap each other.
    fn passed_within(&self, part: Window) -> &[(Window, GapCause)] {
        let gaps = &self.progress.gaps;
        let rest = &gaps[gaps.partition_point(|(gap, _)| gap.before <= part.since)..];
        &rest[..rest.partition_point(|(gap, _)| gap.since < part.before)]
    }

    /// Why nothing is proven of a part that has one reason.
    pub(super) fn reason(&self, part: Window) -> (Reason, Option<String>) {
        let until = |limit: DateTime<Utc>| part.since < Window::new(limit, limit).since;
        let is_in = |window: &Window| window.since <= part.since && part.before <= window.before;
        if erased::stretch(self.row).is_some_and(|erased| is_in(&erased)) {
            return (Reason::Erased, None);
        }
        let mut passed = self.passed_within(part).iter();
        if let Some((_, cause)) = passed.find(|(window, _)| is_in(window)) {
            return (Reason::from(*cause), None);
        }
        if self.row.created_at.is_some_and(until) {
            return (Reason::BeforeTheAccountExisted, None);
        }
        if until(ledger::began_keeping(self.row.source.kind())) {
            return (Reason::BeforeUpstreamKept, None);
        }
        if until(ledger::claimable_since(self.now)) {
            return (Reason::OlderThanUpstreamKeeps, None);
        }
        if self.backfill_floor().is_some_and(until) {
            return (Reason::NotAskedFor, None);
        }
        if self.row.left_at.is_some_and(|left| !until(left)) {
            return (Reason::Left, None);
        }
        self.trouble().unwrap_or((Reason::NotYet, None))
    }

    /// What keeps the source from going on.
    fn trouble(&self) -> Option<(Reason, Option<String>)> {
        let health = self.health?;
        // A source that was only heard of, or is not configured any more, has no poller that writes its interval down.
        if health.interval.is_none() {
            return Some((Reason::NotFollowed, None));
        }
        let reason = match health.state {
            State::Refused => Reason::CredentialRefused,
            State::Clock => Reason::Clock,
            State::Failing => Reason::Failing,
            _ => return None,
        };
        let since = health.failing_since.map(rfc3339).unwrap_or_default();
        let said = health
            .last_error
            .as_ref()
            .map(|error| error.message.as_str());
        Some((
            reason,
            Some(format!("since {since}: {}", said.unwrap_or_default())),
        ))
    }
}
