//! Logs how reading history goes while the service runs: that it begins, how far it has come, and that it has ended.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::backfill_progress::{BackfillProgress, ProgressMeter};
use super::history::{HistoryReader, SourceHistory};
use crate::task;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often the log says how far it has come, if it has come any further.
const LOG_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Looks and logs until `stop`.
pub(super) async fn watch(look: HistoryReader, stop: CancellationToken) {
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if watch.is_over() && look.is_done() {
            continue;
        }
        let now = look.steady();
        let looked = look.clone();
        match task::blocking(move || looked.look()).await {
            Ok(sources) => {
                if let Some(news) = watch.notice(&sources, now) {
                    news.log();
                }
            }
            Err(error) => warn!(error = %error, "Reading backfill progress failed."),
        }
    }
}

/// What was noticed so far.
#[derive(Debug, Default)]
struct Watch {
    meter: ProgressMeter,
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    began: DateTime<Utc>,
    logged: DateTime<Utc>,
    /// What was logged last.
    reach: BackfillProgress,
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq)]
enum News {
    Began(BackfillProgress),
    Progress(BackfillProgress),
    Ended {
        reach: BackfillProgress,
        took: TimeDelta,
    },
}

impl Watch {
    fn is_over(&self) -> bool {
        self.reading.is_none()
    }

    fn notice(&mut self, sources: &[SourceHistory], now: DateTime<Utc>) -> Option<News> {
        let reach = self.meter.look(sources, now);
        let Some(reading) = &mut self.reading else {
            if reach.is_done() {
                return None;
            }
            self.reading = Some(Reading {
                began: now,
                logged: now,
                reach: reach.clone(),
            });
            return Some(News::Began(reach));
        };
        if reach.is_done() {
            let took = now - reading.began;
            self.reading = None;
            return Some(News::Ended { reach, took });
        }
        let last = &reading.reach;
        let is_further = (reach.new, reach.done, reach.since) != (last.new, last.done, last.since);
        if now - reading.logged < LOG_EVERY || !is_further {
            return None;
        }
        (reading.logged, reading.reach) = (now, reach.clone());
        Some(News::Progress(reach))
    }
}

impl News {
    fn log(self) {
        match self {
            Self::Began(reach) => info!(
                sources = reach.sources,
                sources.done = reach.done,
                "Reading history."
            ),
            Self::Progress(reach) => info!(
                percent = (reach.part * 100.0) as u64,
                sources = reach.sources,
                sources.done = reach.done,
                events.new = reach.new,
                back.to = reach.since.map(|since| since.date_naive().to_string()),
                left.seconds = reach.left.map(|left| left.as_secs()),
                "Reading history: progress."
            ),
            Self::Ended { reach, took } => info!(
                sources = reach.sources,
                events.new = reach.new,
                back.to = reach.since.map(|since| since.date_naive().to_string()),
                took.seconds = took.num_seconds(),
                "All history is read."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::poll::Reached;
    use crate::position::{Source, Window};

    fn source(days: i64) -> SourceHistory {
        let before = from_micros(1_785_000_000_000_000);
        let since = before - TimeDelta::days(100);
        SourceHistory {
            source: Source::account("a").unwrap(),
            reached: Some(Reached {
                wanted: Window { since, before },
                since: before - TimeDelta::days(days),
                is_all: days == 100,
            }),
            new: days as u64,
            trouble: None,
            is_begun: true,
            is_refused: false,
        }
    }

    #[test]
    fn the_beginning_the_progress_and_the_end_are_logged_once_each() {
        let start = from_micros(1_785_000_000_000_000);
        let mut watch = Watch::default();
        let mut said = Vec::new();
        let mut look = |second: i64, days| {
            let news = watch.notice(&[source(days)], start + TimeDelta::seconds(second));
            said.extend(news.map(|news| match news {
                News::Began(_) => format!("{second}: began"),
                News::Progress(reach) => format!("{second}: {} new", reach.new),
                News::Ended { took, .. } => format!("{second}: ended after {}", took.num_seconds()),
            }));
        };
        for second in (0..200).step_by(5) {
            look(second, second / 5);
        }
        // A source that does not get on fills no log.
        for second in (200..400).step_by(5) {
            look(second, 40);
        }
        for second in (400..500).step_by(5) {
            look(second, 100);
        }
        assert_eq!(
            said,
            [
                "0: began",
                "60: 12 new",
                "120: 24 new",
                "180: 36 new",
                "240: 40 new",
                "400: ended after 400"
            ]
        );
    }

    #[test]
    fn a_start_with_all_history_read_logs_nothing() {
        let start = from_micros(1_785_000_000_000_000);
        let mut watch = Watch::default();
        assert_eq!(watch.notice(&[source(100)], start), None);
        assert_eq!(watch.notice(&[], start), None);
        assert!(watch.is_over());
    }
}
