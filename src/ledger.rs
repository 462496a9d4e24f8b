//! What sealed windows prove, and what is to be scanned again: the arithmetic of the ledger, without a database or a clock.
//!
//! # Facts and claims
//!
//! A scan of `[since, before)` that began at `B` and was sealed at `T` is a fact: whatever upstream could show at `B` of that
//! stretch is held from `T` on. Everything else is computed from such facts, moment by moment. For a moment of a source's
//! time that several scans cover,
//!
//! - it was **first sealed** when the earliest of them was,
//! - it was **last scanned** when the latest of them *began*,
//! - its last scan **waited** so long after its first seal.
//!
//! It is *settling* from its first seal, and *complete* once its last scan waited for the longest of the configured
//! sweeps. That is all there is to it: no list of things to do is kept, so a changed configuration, a crash or a month
//! of downtime need no repair. Whatever is due is seen from the same facts, and several missed sweeps are made good by one scan.
//!
//! # Merging
//!
//! A ledger of years would be long, so old windows are folded ([`fold()`]): cut where they overlap, then neighbours put together.
//! A merged stretch says three things of all its moments at once: they were first sealed *no later* than it says, last
//! scanned *no earlier*, and waited *at least* so long. Each of these bounds can only make a claim weaker, or leave it as it
//! was. `waited` is stored separately because the difference of two bounds would say less than was known.
//!
//! A stretch that was passed without a proof is folded too: of all its passes, the first and the last are kept, and nothing of
//! what was read since.
//!
//! Only neighbours that are alike are put together: settling ones when they were first sealed, and last scanned, within
//! the [`slack`] of their next sweep; complete ones within the same seven days of a source's time, when their last scans began within
//! sixteen days. So a source has about 53 merged windows for each year, and about a hundred for what is still settling.
//!
//! # Sweeps
//!
//! A moment is due for its next sweep so long after its first seal as the configuration says. Due neighbours are scanned
//! together, and to let them gather a sweep waits for the [`slack`] of its span. Of a stretch that was old when it was first
//! sealed (an outage, history), the sweeps that are shorter than its age then are left out, since entries that late were there to
//! be found; the longest is always made. What upstream keeps no more is never swept: an empty answer would prove nothing.
//!
//! A stretch whose first seal is in the future, because a clock was wrong, is swept at once, and then counts from that sweep.
//!
//! A stretch that was passed because it could not be read is asked for again at the same ages, counted from when it was passed
//! first ([`to_sweep`]). Read at last, it is proven like any other. What was proven before stays proven, as of its own scan.

//!
//! # Another orgtrail
//!
//! If upstream is another orgtrail, a stretch is complete only when that one's last sweep was made before ours. Until then, and as long as
//! it has not proven a stretch, sweeps go on: after the last of the configured ages, each time the age has grown by a quarter.

mod fold;
mod parts;
mod passed;
mod sealed;

use chrono::{DateTime, DurationRound, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::position::{SourceKind, Window};

pub use self::fold::fold;
pub use self::parts::{open_parts, parts_between, unread_parts};
pub use self::passed::{Passed, fold_passed, gaps, passed_profile};
use self::sealed::Due;
pub use self::sealed::{Counts, Sealed, profile, slack};

/// How long upstream keeps an entry.
const KEPT_MONTHS: Months = Months::new(18);

/// How much of what upstream may still keep is not claimed: where exactly it ends is not known, and the end moves on while a
/// window is scanned.
const KEPT_MARGIN: TimeDelta = TimeDelta::days(1);

/// The first day that upstream's account logs still hold: those of the beta were dropped after 30 days.
const ACCOUNT_LOGS_SINCE: (i32, u32, u32) = (2026, 3, 10);

/// The first day of organizations' logs.
const ORGANIZATION_LOGS_SINCE: (i32, u32, u32) = (2026, 4, 23);

/// The longest stretch of one sweep.
const LONGEST_SWEEP: TimeDelta = TimeDelta::days(90);

/// The shortest stretch that a sweep is cut down to because many entries are expected.
const SHORTEST_CUT: TimeDelta = TimeDelta::hours(1);

/// About the most pages of one sweep: what an interruption by a lost cursor costs.
const SWEEP_PAGES: u64 = 20;

/// How far back history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillSince {
    /// So long before the first live window.
    Span(TimeDelta),
    /// From that day on.
    Date(NaiveDate),
}

impl BackfillSince {
    /// The moment that is meant, for a source whose first live window began at `start`. Days before it begin with an hour:
    /// by its overlap the next window may begin a moment before the first, and no history should be asked for because of that.
    #[must_use]
    pub fn resolve(self, start: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Span(span) => {
                let exactly = start
                    .checked_sub_signed(span)
                    .unwrap_or(DateTime::UNIX_EPOCH);
                let hour = exactly.duration_trunc(TimeDelta::hours(1));
                hour.ok()
                    .filter(|_| span >= TimeDelta::days(1))
                    .unwrap_or(exactly)
            }
            Self::Date(date) => midnight(date),
        }
    }
}

/// What an operator wants of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aims {
    /// How long after its first seal a stretch is scanned again, from the shortest to the longest; may be empty.
    pub sweeps: Vec<TimeDelta>,
    /// How far back history is read.
    pub backfill_since: BackfillSince,
}

impl Aims {
    /// How long after its first seal the last scan of a moment must begin for the moment to be complete.
    #[must_use]
    pub fn patience(&self) -> TimeDelta {
        self.sweeps.last().copied().unwrap_or_default()
    }
}

/// The earliest moment of which upstream still keeps entries at `now`.
#[must_use]
pub fn kept_since(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_sub_months(KEPT_MONTHS)
        .unwrap_or(DateTime::UNIX_EPOCH)
}

/// The earliest moment of which an answer at `now` proves anything: a day after the earliest that upstream still keeps.
#[must_use]
pub fn claimable_since(now: DateTime<Utc>) -> DateTime<Utc> {
    kept_since(now) + KEPT_MARGIN
}

/// The earliest moment of which upstream ever kept entries for good.
#[must_use]
pub fn began_keeping(kind: SourceKind) -> DateTime<Utc> {
    let (year, month, day) = match kind {
        SourceKind::Account => ACCOUNT_LOGS_SINCE,
        SourceKind::Organization => ORGANIZATION_LOGS_SINCE,
    };
    NaiveDate::from_ymd_opt(year, month, day).map_or(DateTime::UNIX_EPOCH, midnight)
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// When the next sweep of a source should begin, if it is to be swept again at all. `proven` is what [`to_sweep`] gives.
#[must_use]
pub fn sweep_at(
    proven: &[Sealed],
    sweeps: &[TimeDelta],
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let kept = claimable_since(now);
    proven
        .iter()
        .filter(|piece| piece.window.before > kept)
        .filter_map(|piece| piece.due(sweeps, now))
        .map(|due| due.by)
        .min()
}

/// The stretch to sweep now, if a sweep should begin: what has waited longest, with all that is due beside it, as far as
/// one scan of pages of `page_size` should reach.
#[must_use]
pub fn next_sweep(
    proven: &[Sealed],
    sweeps: &[TimeDelta],
    page_size: u32,
    now: DateTime<Utc>,
) -> Option<Window> {
    let due = due_pieces(proven, sweeps, now);
    let overdue = overdue(&due, now);
    let (first, _) = overdue.min_by_key(|(_, due)| due.by)?;
    let mut reach = Reach::new(&proven[first], page_size, claimable_since(now));
    for at in (0..first).rev() {
        if due[at].is_none() || !reach.takes(&proven[at]) {
            break;
        }
    }
    reach.take_later(proven, &due, first);
    Some(reach.window)
}

/// The same for a source whose sweeps cannot be sealed, and so stay due: the first stretch that is due after `swept_to`, where
/// its last sweep ended, and the earliest of all when there is none.
#[must_use]
pub fn next_sweep_after(
    proven: &[Sealed],
    sweeps: &[TimeDelta],
    page_size: u32,
    swept_to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Window> {
    let due = due_pieces(proven, sweeps, now);
    let is_swept = |at: usize| proven[at].window.before <= swept_to;
    let (first, _) = overdue(&due, now).min_by_key(|(at, _)| (is_swept(*at), *at))?;
    let since = if is_swept(first) {
        claimable_since(now)
    } else {
        swept_to.max(claimable_since(now))
    };
    let mut reach = Reach::new(&proven[first], page_size, since);
    reach.take_later(proven, &due, first);
    Some(reach.window)
}

/// For each piece when it is due, if it is and upstream still keeps it.
fn due_pieces(proven: &[Sealed], sweeps: &[TimeDelta], now: DateTime<Utc>) -> Vec<Option<Due>> {
    let kept = claimable_since(now);
    let due = |piece: &Sealed| {
        piece
            .due(sweeps, now)
            .filter(|due| due.at <= now && piece.window.before > kept)
    };
    proven.iter().map(due).collect()
}

/// The pieces that have waited for their neighbours, by their places.
fn overdue(due: &[Option<Due>], now: DateTime<Utc>) -> impl Iterator<Item = (usize, Due)> {
    let all = due.iter().enumerate();
    all.filter_map(move |(at, due)| Some((at, (*due)?)).filter(|(_, due)| due.by <= now))
}

/// How far one sweep reaches.
struct Reach {
    window: Window,
    entries: u64,
    most: u64,
}

impl Reach {
    /// A sweep of a piece, from `since` on if that is later than its beginning.
    fn new(piece: &Sealed, page_size: u32, since: DateTime<Utc>) -> Self {
        let most = SWEEP_PAGES * u64::from(page_size.max(1));
        let whole = Window::new(piece.window.since.max(since), piece.window.before);
        let mut span = whole.span().min(LONGEST_SWEEP);
        if piece.counts.entries > most {
            let part = most as f64 / piece.counts.entries as f64;
            let cut = (piece.window.span().num_seconds() as f64 * part) as i64;
            span = span.min(TimeDelta::seconds(cut).max(SHORTEST_CUT));
        }
        Self {
            window: Window {
                since: whole.since,
                before: whole.before.min(whole.since + span),
            },
            entries: piece.counts.entries,
            most,
        }
    }

    /// Takes in what is due behind the piece at `first`, as far as there is room.
    fn take_later(&mut self, proven: &[Sealed], due: &[Option<Due>], first: usize) {
        for at in first + 1..proven.len() {
            if due[at].is_none() || !self.takes(&proven[at]) {
                break;
            }
        }
    }

    /// Takes a neighbour in, if there is room for all of it.
    fn takes(&mut self, piece: &Sealed) -> bool {
        let wider = Window {
            since: self.window.since.min(piece.window.since),
            before: self.window.before.max(piece.window.before),
        };
        let touches =
            piece.window.before == self.window.since || piece.window.since == self.window.before;
        let fits =
            wider.span() <= LONGEST_SWEEP && self.entries + piece.counts.entries <= self.most;
        if !touches || !fits {
            return false;
        }
        self.window = wider;
        self.entries += piece.counts.entries;
        true
    }
}

/// What is to be swept again: what is proven, and what was passed without a proof, each as of when it was asked for last. Both
/// are profiles. What was passed is asked for after its last sweep too if its cause `settles`.
#[must_use]
pub fn to_sweep<C: Copy>(
    proven: &[Sealed],
    passed: &[Passed<C>],
    settles: impl Fn(C) -> bool,
) -> Vec<Sealed> {
    profile(&passed::tried(proven, passed, settles))
}

#[cfg(test)]
mod tests;
