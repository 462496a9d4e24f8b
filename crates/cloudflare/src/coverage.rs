//! The header by which an orgtrail that serves this API says how far its answer is proven. Cloudflare does not send it.
//!
//! `complete|settling|partial; until=TIME`, and with `partial`, where another proven stretch follows, `; next=TIME/TIME`.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// The header's name.
pub const HEADER: &str = "orgtrail-coverage";

/// How far an answer is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Of all that was asked for.
    pub state: CoveredState,
    /// The end of the unbroken proven stretch that begins where the question does.
    pub until: DateTime<Utc>,
    /// The next proven stretch after a gap: its begin and its end.
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
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
    /// Reads the header's value; `None` for what is no such value.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let word = parts.next()?;
        let state = CoveredState::ALL.into_iter();
        let mut state = state.filter(|state| state.as_str() == word);
        let (mut until, mut next) = (None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("until", value)) => until = Some(moment(value)?),
                Some(("next", value)) => {
                    let (since, before) = value.split_once('/')?;
                    next = Some((moment(since)?, moment(before)?));
                }
                _ => {}
            }
        }
        Some(Self {
            state: state.next()?,
            until: until?,
            next,
        })
    }

    /// What of a stretch is proven without a break, from its begin or, if that is not proven, from the next proven moment on;
    /// empty if nothing is.
    #[must_use]
    pub fn within(
        &self,
        since: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        match self.next {
            Some((next, end)) if self.until <= since => (since.max(next), before.min(end)),
            _ => (since, before.min(self.until)),
        }
    }
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{}; until={}", self.state.as_str(), text(self.until))?;
        match self.next {
            Some((since, before)) => write!(f, "; next={}/{}", text(since), text(before)),
            None => Ok(()),
        }
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
            for next in [None, Some((at(5), at(9)))] {
                let covered = Covered {
                    state,
                    until: at(3),
                    next,
                };
                assert_eq!(Covered::read(&covered.to_string()), Some(covered));
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
    fn a_stretch_is_proven_to_until_or_from_the_next_proven_moment_on() {
        let covered = Covered {
            state: CoveredState::Partial,
            until: at(3),
            next: Some((at(5), at(9))),
        };
        assert_eq!(covered.within(at(1), at(20)), (at(1), at(3)));
        assert_eq!(covered.within(at(3), at(20)), (at(5), at(9)));
        assert_eq!(covered.within(at(6), at(7)), (at(6), at(7)));
        let (since, before) = covered.within(at(10), at(20));
        assert!(since >= before);
    }
}
