//! Gaps in what is proven: stretches that were passed because they cannot be read, and organizations whose accounts are not known.
//!
//! A gap that grows, shrinks or falls apart is the same gap. One that can be read at last has ended.

use chrono::{DateTime, TimeDelta, Utc};

use super::Noticing;
use super::facts::{facts, has_lasted, since_of, time};
use crate::coverage::Reason;
use crate::position::{Window, rfc3339};
use crate::store::{GapCause, LastingNotice, NewNotice, NoticeKind, StoreError};

/// How long after the start a list of accounts that was never read completely is a gap.
const LIST_WITHIN: TimeDelta = TimeDelta::hours(1);

/// How old the last complete reading of a list of accounts can be before it is a gap: an hour more than it is good for.
const LIST_GOOD_FOR: TimeDelta = TimeDelta::hours(25);

/// What changes about the gaps of one source.
#[derive(Debug, Default)]
pub(super) struct GapChanges {
    pub(super) begun: Vec<NewNotice>,
    pub(super) ended: Vec<u64>,
}

/// What changes, with the passed stretches of a source as they are now and the notices about its gaps that last.
pub(super) fn gap_changes(
    source: &str,
    gaps: &[(Window, GapCause)],
    lasting: &[&LastingNotice],
) -> GapChanges {
    let is_about = |notice: &LastingNotice, (window, cause): &(Window, GapCause)| {
        let text = |name| notice.facts.get(name).and_then(|value| value.as_str());
        let noticed = since_of(&notice.facts).zip(text("before").and_then(time));
        let touches =
            noticed.is_some_and(|(since, before)| since <= window.before && window.since <= before);
        touches && text("reason") == Some(Reason::from(*cause).as_str())
    };
    let of_ranges = lasting
        .iter()
        .filter(|notice| notice.facts.get("before").is_some() && !notice.is_of_more());
    let ended = of_ranges
        .filter(|notice| !gaps.iter().any(|gap| is_about(notice, gap)))
        .map(|notice| notice.number);
    let new = gaps
        .iter()
        .filter(|gap| !lasting.iter().any(|notice| is_about(notice, gap)));
    GapChanges {
        ended: ended.collect(),
        begun: new
            .map(|(window, cause)| passed(source, *window, *cause))
            .collect(),
    }
}

fn passed(source: &str, window: Window, cause: GapCause) -> NewNotice {
    let reason = Reason::from(cause).as_str();
    let (since, before) = (rfc3339(window.since), rfc3339(window.before));
    NewNotice {
        kind: NoticeKind::CoverageGap,
        source: source.to_owned(),
        subject: format!("{reason} {since}"),
        summary: format!("{source} from {since} to {before} ({reason})"),
        facts: facts([
            ("since", since.into()),
            ("before", before.into()),
            ("reason", reason.into()),
        ]),
    }
}

impl Noticing {
    /// Looks at organizations' lists of accounts: they may have accounts that are not followed.
    pub(super) fn look_at_lists(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let reason = Reason::AccountsUnknown.as_str();
        let has_run = has_lasted(self.began, self.clock.steady(), LIST_WITHIN);
        let lasting = self.store.lasting_notices(NoticeKind::CoverageGap)?;
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for (organization, read_at) in self.store.account_lists()? {
            let is_unknown = match read_at {
                Some(read_at) => now - read_at > LIST_GOOD_FOR,
                None => has_run,
            };
            let source = organization.to_string();
            if is_unknown {
                begun.push(NewNotice {
                    kind: NoticeKind::CoverageGap,
                    subject: reason.to_owned(),
                    summary: format!("the accounts of {source} are not all known ({reason})"),
                    facts: facts([
                        ("since", read_at.map(rfc3339).into()),
                        ("reason", reason.into()),
                    ]),
                    source,
                });
            } else if read_at.is_some() {
                let is_about =
                    |notice: &&LastingNotice| notice.subject == reason && notice.source == source;
                ended.extend(lasting.iter().filter(is_about).map(|notice| notice.number));
            }
        }
        self.store.save_notices(&begun, &ended, now)
    }
}
