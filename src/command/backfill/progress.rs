//! What somebody sees who waits for history: a bar on a terminal, elsewhere a line now and then.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::clock::Clock;
use crate::service::SourceHistory;
use crate::terminal::note;

/// How often the bar on a terminal is moved.
const EVERY_ON_TERMINAL: Duration = Duration::from_millis(200);

/// How often a line says elsewhere what is done.
const EVERY_ELSEWHERE: Duration = Duration::from_secs(10);

/// The length of the bar: how fine it is.
const STEPS: u64 = 10_000;

/// Less than this part of the way says nothing of how long the rest takes.
const LEAST_PART: f64 = 0.002;

/// How far reading has come, for people.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    clock: Clock,
    began: DateTime<Utc>,
    /// The part of the way that was behind us in the beginning.
    part_before: Option<f64>,
}

impl Progress {
    pub(super) fn new(clock: Clock) -> Result<Self> {
        let is_terminal = io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{bar:20} {percent:>3}%  {wide_msg}")?;
        let bar = is_terminal.then(|| ProgressBar::new(STEPS).with_style(style));
        Ok(Self {
            bar,
            began: clock.steady(),
            clock,
            part_before: None,
        })
    }

    /// How often it wants to be told.
    pub(super) fn every(&self) -> Duration {
        match self.bar {
            Some(_) => EVERY_ON_TERMINAL,
            None => EVERY_ELSEWHERE,
        }
    }

    pub(super) fn show(&mut self, sources: &[SourceHistory]) {
        let way = Way::of(sources);
        // Accounts that are found later make the way longer; what is behind us then was read before.
        let before = *self.part_before.get_or_insert(way.part);
        let line = way.line(before, self.clock.steady() - self.began);
        match &self.bar {
            Some(bar) => {
                bar.set_position((way.part * STEPS as f64) as u64);
                bar.set_message(line);
            }
            None => tell(&line),
        }
    }

    pub(super) fn finish(&mut self, sources: &[SourceHistory]) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => self.show(sources),
        }
    }
}

/// That nobody reads it any more is no reason to stop.
fn tell(line: &str) {
    if let Err(error) = note(line) {
        tracing::debug!(error = %error, "Nobody reads what is done.");
    }
}

/// How much of the way is behind us.
#[derive(Debug, PartialEq)]
struct Way {
    /// From 0 to 1, by the time that history spans.
    part: f64,
    new: u64,
    done: usize,
    sources: usize,
    /// All sources that are begun are read from here on.
    reached: Option<DateTime<Utc>>,
}

impl Way {
    fn of(sources: &[SourceHistory]) -> Self {
        let reached = || sources.iter().filter_map(|source| source.reached);
        let seconds = |span: TimeDelta| span.num_seconds() as f64;
        let wanted: f64 = reached().map(|one| seconds(one.wanted.span())).sum();
        let read: f64 = reached()
            .map(|one| seconds(one.wanted.before - one.since))
            .sum();
        let done = sources.iter().filter(|source| source.is_done()).count();
        let part = match (wanted > 0.0, done == sources.len()) {
            (true, _) => (read / wanted).clamp(0.0, 1.0),
            (false, is_done) => f64::from(u8::from(is_done && done > 0)),
        };
        Self {
            // Sources that are not begun have a way of their own before them.
            part: part * reached().count() as f64 / sources.len().max(1) as f64,
            new: sources.iter().map(|source| source.new).sum(),
            done,
            sources: sources.len(),
            reached: reached().map(|one| one.since).max(),
        }
    }

    fn line(&self, part_before: f64, passed: TimeDelta) -> String {
        let seconds = (passed.num_milliseconds() as f64 / 1_000.0).max(0.001);
        let mut line = format!(
            "{} new, {:.0}/s; {} of {} sources done",
            HumanCount(self.new),
            self.new as f64 / seconds,
            self.done,
            self.sources
        );
        if let Some(reached) = self.reached.filter(|_| self.done < self.sources) {
            line += &format!("; back to {}", reached.date_naive());
        }
        if let Some(left) = self.time_left(part_before, seconds) {
            line += &format!("; {} left", HumanDuration(left));
        }
        line
    }

    /// How long the rest takes, if it goes on as it did.
    fn time_left(&self, part_before: f64, seconds: f64) -> Option<Duration> {
        let part = self.part - part_before;
        let is_known = part >= LEAST_PART && self.done < self.sources;
        let left = seconds * (1.0 - self.part) / part;
        is_known.then(|| Duration::try_from_secs_f64(left).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::poll::Reached;
    use crate::position::{Source, Window};

    /// A source with a hundred days of history, of which so many are read.
    fn source(days: Option<i64>) -> SourceHistory {
        let before = from_micros(1_785_000_000_000_000);
        let since = before - TimeDelta::days(100);
        SourceHistory {
            source: Source::account("a").unwrap(),
            reached: days.map(|days| Reached {
                wanted: Window { since, before },
                since: before - TimeDelta::days(days),
                is_all: days == 100,
            }),
            new: 1_000,
            trouble: None,
        }
    }

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_how_long_it_takes() {
        let line = |sources: &[Option<i64>], part_before, seconds| {
            let sources: Vec<_> = sources.iter().map(|days| source(*days)).collect();
            Way::of(&sources).line(part_before, TimeDelta::seconds(seconds))
        };
        let lines = [
            line(&[], 0.0, 0),
            line(&[None, None], 0.0, 1),
            line(&[Some(0), None], 0.0, 1),
            line(&[Some(100), Some(50)], 0.0, 60),
            line(&[Some(100), Some(50)], 0.5, 60),
            line(&[Some(100), Some(100)], 0.5, 600),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        0 new, 0/s; 0 of 0 sources done
        2,000 new, 2000/s; 0 of 2 sources done
        2,000 new, 2000/s; 0 of 2 sources done; back to 2026-07-25
        2,000 new, 33/s; 1 of 2 sources done; back to 2026-06-05; 20 seconds left
        2,000 new, 33/s; 1 of 2 sources done; back to 2026-06-05; 60 seconds left
        2,000 new, 3/s; 2 of 2 sources done
        ");
    }
}
