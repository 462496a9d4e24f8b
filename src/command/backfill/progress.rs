//! Shows the progress of a backfill: a bar on a terminal, otherwise a line every few seconds.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::clock::Clock;
use crate::service::{BackfillProgress, ProgressMeter, SourceHistory};
use crate::terminal::note;

/// How often the bar on a terminal is moved.
const EVERY_ON_TERMINAL: Duration = Duration::from_millis(200);

/// How often a line says elsewhere what is done.
const EVERY_ELSEWHERE: Duration = Duration::from_secs(10);

/// The length of the bar: how fine it is.
const STEPS: u64 = 10_000;

/// How far reading has come, for people.
pub(super) struct BackfillDisplay {
    bar: Option<ProgressBar>,
    clock: Clock,
    began: DateTime<Utc>,
    meter: ProgressMeter,
}

impl BackfillDisplay {
    pub(super) fn new(clock: Clock) -> Result<Self> {
        let is_terminal = io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{bar:20} {percent:>3}%  {wide_msg}")?;
        let bar = is_terminal.then(|| ProgressBar::new(STEPS).with_style(style));
        Ok(Self {
            bar,
            began: clock.steady(),
            clock,
            meter: ProgressMeter::default(),
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
        let now = self.clock.steady();
        let reach = self.meter.look(sources, now);
        let line = line(&reach, now - self.began);
        match &self.bar {
            Some(bar) => {
                bar.set_position((reach.part * STEPS as f64) as u64);
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

/// A closed standard error does not stop the backfill.
fn tell(line: &str) {
    if let Err(error) = note(line) {
        tracing::debug!(error = %error, "Standard error is closed; progress is not shown.");
    }
}

/// How far it is, how fast, and how long the rest takes.
fn line(reach: &BackfillProgress, passed: TimeDelta) -> String {
    let seconds = (passed.num_milliseconds() as f64 / 1_000.0).max(0.001);
    let mut line = format!(
        "{} new, {:.0}/s; {} of {} sources done",
        HumanCount(reach.new),
        reach.new as f64 / seconds,
        reach.done,
        reach.sources
    );
    if let Some(since) = reach.since.filter(|_| !reach.is_done()) {
        line += &format!("; back to {}", since.date_naive());
    }
    if let Some(left) = reach.left {
        line += &format!("; {} left, then indexing", HumanDuration(left));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_how_long_it_takes() {
        let reach = BackfillProgress {
            part: 0.5,
            new: 2_000,
            done: 1,
            sources: 2,
            since: Some(from_micros(1_785_000_000_000_000)),
            left: Some(Duration::from_secs(200)),
        };
        let done = BackfillProgress {
            done: 2,
            left: None,
            ..reach.clone()
        };
        let unknown = BackfillProgress {
            since: None,
            left: None,
            ..reach.clone()
        };
        let lines = [&reach, &done, &unknown].map(|reach| line(reach, TimeDelta::seconds(60)));
        insta::assert_snapshot!(lines.join("\n"), @r"
        2,000 new, 33/s; 1 of 2 sources done; back to 2026-07-25; 3 minutes left, then indexing
        2,000 new, 33/s; 2 of 2 sources done
        2,000 new, 33/s; 1 of 2 sources done
        ");
    }
}
