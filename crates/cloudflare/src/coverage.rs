//! The header by which an orgtrail that serves this API says how far its answer is proven. Cloudflare does not send it.
//!
//! `complete|settling|partial; until=TIME`, and with `partial`, for each proven stretch that follows a gap, `; next=TIME/TIME`.
//! `; settling` with `partial`: some of what is proven will be read again. `; more`: more stretches follow that are not named.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// The header's name.
pub const HEADER: &str = "orgtrail-coverage";

/// The most stretches after gaps that one header names, so that it stays below the limits of clients and proxies.
pub const MAX_NEXT: usize = 64;

/// A stretch of time: its begin, and where it ends.
pub type ProvenRange = (DateTime<Utc>, DateTime<Utc>);

/// How far an answer is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Of all that was asked for.
    pub state: CoveredState,
    /// The end of the unbroken proven stretch that begins where the question does.
    pub until: DateTime<Utc>,
    /// The proven stretches after gaps, the earliest first; at most [`MAX_NEXT`].
    pub next: Vec<ProvenRange>,
    /// Whether some of what is proven will be read again.
    pub is_settling: bool,
    /// Whether proven stretches follow that are not named.
    pub has_more: bool,
}

/// How far all that was asked for is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoveredState {
    /// For the last time.
    Complete,
    /// It will be read again.
    Settling,
    /// Not all of it.
    Partial,
}

impl CoveredState {
    const ALL: [Self; 3] = [Self::Complete, Self::Settling, Self::Partial];

    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Settling => "settling",
            Self::Partial => "partial",
        }
    }
}

impl Covered {
    /// What is said of a question about `asked`, of which `proven` is proven: stretches without overlap, the earliest first.
    #[must_use]
    pub fn of(
        state: CoveredState,
        is_settling: bool,
        asked: ProvenRange,
        proven: &[ProvenRange],
    ) -> Self {
        let (since, before) = asked;
        let inside = proven
            .iter()
            .filter(|stretch| stretch.0 < before && since < stretch.1);
        let mut inside = inside.map(|stretch| (stretch.0.max(since), stretch.1.min(before)));
        let mut inside = inside.by_ref().peekable();
        let first = inside.next_if(|stretch| stretch.0 == since);
        let next: Vec<ProvenRange> = inside.by_ref().take(MAX_NEXT).collect();
        Self {
            state,
            until: first.map_or(since, |stretch| stretch.1),
            next,
            is_settling,
            has_more: inside.next().is_some(),
        }
    }

    /// Reads the header's value; `None` for what is no such value.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let word = parts.next()?;
        let mut states = CoveredState::ALL.into_iter();
        let state = states.find(|state| state.as_str() == word)?;
        let (mut until, mut next) = (None, Vec::new());
        let (mut is_settling, mut has_more) = (state == CoveredState::Settling, false);
        for part in parts {
            match part.split_once('=') {
                Some(("until", value)) => until = Some(moment(value)?),
                Some(("next", value)) => {
                    let (since, before) = value.split_once('/')?;
                    next.push((moment(since)?, moment(before)?));
                }
                None => {
                    is_settling |= part == CoveredState::Settling.as_str();
                    has_more |= part == MORE;
                }
                Some(_) => {}
            }
        }
        Some(Self {
            state,
            until: until?,
            next,
            is_settling,
            has_more,
        })
    }

    /// What of a stretch is proven, the earliest first and without overlap, whatever the header says.
    #[must_use]
    pub fn within(&self, since: DateTime<Utc>, before: DateTime<Utc>) -> Vec<ProvenRange> {
        let named = std::iter::once((since, self.until)).chain(self.next.iter().copied());
        let mut from = since;
        let mut found = Vec::new();
        for (begin, end) in named {
            let stretch = (begin.max(from), end.min(before));
            if stretch.0 < stretch.1 {
                from = stretch.1;
                found.push(stretch);
            }
        }
        found
    }

    /// Up to where it is said what is proven; nothing if that is all that was asked for.
    #[must_use]
    pub fn said_to(&self) -> Option<DateTime<Utc>> {
        let last = self.next.last().map_or(self.until, |last| last.1);
        self.has_more.then_some(last)
    }
}

/// Says that proven stretches follow that are not named.
const MORE: &str = "more";

fn moment(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{}; until={}", self.state.as_str(), text(self.until))?;
        for (since, before) in &self.next {
            write!(f, "; next={}/{}", text(*since), text(*before))?;
        }
        if self.is_settling && self.state == CoveredState::Partial {
            write!(f, "; {}", CoveredState::Settling.as_str())?;
        }
        if self.has_more {
            write!(f, "; {MORE}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> DateTime<Utc> {
        format!("2026-08-03T08:00:{second:02}Z").parse().unwrap()
    }

    #[test]
    fn coverage_is_read_as_it_is_written() {
        for state in CoveredState::ALL {
            for next in [
                vec![],
                vec![(at(5), at(9))],
                vec![(at(5), at(9)), (at(11), at(12))],
            ] {
                for (is_settling, has_more) in [(true, true), (false, false)] {
                    let covered = Covered {
                        state,
                        until: at(3),
                        next: next.clone(),
                        is_settling: match state {
                            CoveredState::Settling => true,
                            CoveredState::Complete => false,
                            CoveredState::Partial => is_settling,
                        },
                        has_more,
                    };
                    assert_eq!(Covered::read(&covered.to_string()), Some(covered));
                }
            }
        }
        for text in [
            "",
            "complete",
            "good; until=2026-08-03T08:00:00Z",
            "partial; until=soon",
            "partial; until=2026-08-03T08:00:00Z; next=x",
        ] {
            assert_eq!(Covered::read(text), None, "{text}");
        }
    }

    #[test]
    fn every_proven_stretch_of_what_was_asked_for_is_named_up_to_a_limit() {
        let partial = |proven: &[ProvenRange], asked| {
            let covered = Covered::of(CoveredState::Partial, false, asked, proven);
            assert_eq!(Covered::read(&covered.to_string()).as_ref(), Some(&covered));
            covered
        };
        let proven = [(at(0), at(3)), (at(5), at(9)), (at(20), at(30))];
        let covered = partial(&proven, (at(1), at(25)));
        assert_eq!(
            covered.within(at(0), at(50)),
            [(at(0), at(3)), proven[1], (at(20), at(25))]
        );
        assert_eq!(
            covered.within(at(2), at(22)),
            [(at(2), at(3)), proven[1], (at(20), at(22))]
        );
        assert_eq!(covered.within(at(3), at(22)), [proven[1], (at(20), at(22))]);
        assert_eq!(covered.within(at(6), at(7)), [(at(6), at(7))]);
        assert_eq!(covered.within(at(10), at(20)), []);
        assert_eq!(covered.said_to(), None);
        // From a gap on.
        let covered = partial(&proven, (at(4), at(25)));
        assert_eq!(covered.within(at(4), at(25)), [proven[1], (at(20), at(25))]);
        let many: Vec<ProvenRange> = (0..200)
            .map(|n| at(0) + chrono::TimeDelta::seconds(n * 2))
            .map(|begin| (begin, begin + chrono::TimeDelta::seconds(1)))
            .collect();
        let covered = partial(&many, (at(0), many[199].1));
        assert_eq!(covered.within(at(0), many[199].1), many[..=MAX_NEXT]);
        assert_eq!(covered.said_to(), Some(many[MAX_NEXT].1));
    }
}
