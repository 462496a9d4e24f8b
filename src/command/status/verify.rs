//! `orgtrail status --verify`: a stretch of a source's log, read again now, and in what it differs from what is held.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{DateTime, Utc};
use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;

use super::super::moment::MomentArg;
use crate::clock::Clock;
use crate::command::print::plain_table;
use crate::command::print::word;
use crate::command::record::Recorded;
use crate::command::start::{block_on, load};
use crate::coverage::Gap;
use crate::durable::Failpoints;
use crate::poll::{Difference, Differs, LeftOut, UpstreamComparison, VerifyEvent, WaitToRetry};
use crate::position::{Source, Window, rfc3339};
use crate::service;
use crate::store::{FILE_NAME, Store, StoreError};
use crate::terminal::{harmless, note, say};

/// How many differences are listed; `--json` has more.
const MAX_SHOWN: usize = 20;

/// What came of it.
#[derive(Serialize)]
struct VerifyReport {
    source: String,
    since: String,
    before: String,
    /// When the scan began.
    scanned_at: String,
    pages: u64,
    /// Entries that upstream shows in the stretch.
    shown: u64,
    /// Of those, entries without a readable time.
    without_time: u64,
    not_held: u64,
    not_shown: u64,
    other_content: u64,
    /// All of the last three.
    differences_total: u64,
    /// The first hundred.
    differences: Vec<DifferenceReport>,
    /// What could not be compared, and why.
    left_out: Vec<LeftOutReport>,
}

#[derive(Serialize)]
struct LeftOutReport {
    #[serde(flatten)]
    gap: Gap,
    #[serde(skip)]
    why: &'static str,
}

#[derive(Serialize)]
struct DifferenceReport {
    differs: DiffersReport,
    id: Option<String>,
    time: Option<String>,
    /// Where it is held.
    seq: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum DiffersReport {
    NotHeld,
    NotShown,
    OtherContent,
}

/// What to compare, and how to print the result.
pub(super) struct Request<'a> {
    pub(super) source: &'a Source,
    pub(super) since: Option<&'a MomentArg>,
    pub(super) before: Option<&'a MomentArg>,
    pub(super) data_dir: Option<&'a Path>,
    pub(super) is_json: bool,
}

pub(super) fn run(request: &Request<'_>, path: &Path) -> Result<()> {
    let source = request.source;
    let config = load(path).context("upstream is asked as the configuration says")?;
    let dir = request.data_dir.unwrap_or(&config.data_dir);
    let clock = Clock::system();
    let now = clock.now();
    let (store, is_beside) = open(dir)?;
    let read_before = read_before(&store, source)?;
    let wanted = stretch(request, now, read_before)?;
    let verify = service::verify(store, &config, source.clone(), wanted, is_beside, &clock)?;
    let window = verify.window();
    ensure!(
        !window.is_empty(),
        "there is nothing to compare in {wanted}: choose whole seconds in the past that upstream still keeps"
    );
    let parameters = format!(
        "source={source}&since={}&before={}",
        rfc3339(window.since),
        rfc3339(window.before)
    );
    let recorded = Recorded::begin(dir, "verify", "status --verify", &parameters, now)?;
    // Shown on a terminal only.
    let bar = ProgressBar::new_spinner();
    let verdict = block_on(async {
        let verdict = verify.run(|told| show(&bar, told));
        verdict.await.context("the range could not be compared")
    })?;
    bar.finish_and_clear();
    recorded.end(verdict.shown)?;
    let report = VerifyReport::of(source, window, now, &verdict);
    if request.is_json {
        say(serde_json::to_string(&report)?)?;
    } else {
        report.say()?;
    }
    let total = verdict.total();
    let entries = if total == 1 { "entry" } else { "entries" };
    ensure!(
        total == 0,
        "upstream and the log differ in {total} {entries}"
    );
    ensure!(
        verdict.left_out.is_empty(),
        "not all of the range could be compared"
    );
    Ok(())
}

/// Shows how far it has come, and what it waits for.
fn show(bar: &ProgressBar, told: VerifyEvent<'_>) {
    match told {
        VerifyEvent::Page(verdict) => {
            bar.set_message(format!(
                "{} pages, {} entries, {} differences",
                HumanCount(verdict.pages),
                HumanCount(verdict.shown),
                HumanCount(verdict.total())
            ));
            bar.tick();
        }
        VerifyEvent::WaitToRetry(WaitToRetry { error, wait }) => bar.suspend(|| {
            let said = harmless(&error.to_string());
            let seconds = wait.as_secs();
            // When standard error is closed, the comparison goes on without the message.
            note(format!("{said}; asking again in {seconds} s")).ok();
        }),
    }
}

/// The stretch that was named. Without an end, it ends where the source is read to: what upstream shows of a later time is not
/// held yet, which is no difference.
fn stretch(
    request: &Request<'_>,
    now: DateTime<Utc>,
    read_before: Option<DateTime<Utc>>,
) -> Result<Window> {
    let end = |moment: Option<&MomentArg>| match moment {
        Some(moment) => moment.seen_from(now).map_err(|message| anyhow!(message)),
        None => Ok(read_before.map_or(now, |read| read.min(now))),
    };
    Ok(Window::new(end(request.since)?, end(request.before)?))
}

/// Where a source is read to; `None` of one that was never read or seen.
fn read_before(store: &Store, source: &Source) -> Result<Option<DateTime<Utc>>> {
    let mut rows = store.sources()?.into_iter();
    if rows.any(|row| row.source == *source) {
        Ok(store.progress(source)?.live_before)
    } else {
        Ok(None)
    }
}

/// The log, to itself if no service uses it; whether one does.
fn open(dir: &Path) -> Result<(Store, bool)> {
    // Where there is no log none is begun.
    if dir.join(FILE_NAME).exists() {
        match Store::open(dir, Failpoints::default()) {
            Err(StoreError::InUse(_)) => {}
            opened => return Ok((opened?, false)),
        }
    }
    Ok((Store::open_beside(dir)?, true))
}

impl VerifyReport {
    fn of(
        source: &Source,
        window: Window,
        scanned_at: DateTime<Utc>,
        verdict: &UpstreamComparison,
    ) -> Self {
        Self {
            source: source.to_string(),
            since: rfc3339(window.since),
            before: rfc3339(window.before),
            scanned_at: rfc3339(scanned_at),
            pages: verdict.pages,
            shown: verdict.shown,
            without_time: verdict.without_time,
            not_held: verdict.count(Differs::NotHeld),
            not_shown: verdict.count(Differs::NotShown),
            other_content: verdict.count(Differs::OtherContent),
            differences_total: verdict.total(),
            differences: verdict.differences.iter().map(Into::into).collect(),
            left_out: verdict.left_out.iter().map(Into::into).collect(),
        }
    }

    fn say(&self) -> Result<()> {
        say(format!(
            "{} from {} to {}, as upstream shows it at {}: {} entries",
            self.source,
            self.since,
            self.before,
            self.scanned_at,
            HumanCount(self.shown)
        ))?;
        if !self.left_out.is_empty() {
            say("Not compared, because upstream's answer cannot be read:")?;
            for LeftOutReport { gap, why } in self.left_out.iter().take(MAX_SHOWN) {
                say(format!("  {}: {why}", gap.stretch()))?;
            }
            let more = self.left_out.len().saturating_sub(MAX_SHOWN);
            if more > 0 {
                say(format!("  … and {more} more: see --json"))?;
            }
        }
        if self.differences.is_empty() {
            let all = if self.left_out.is_empty() {
                "All of them"
            } else {
                "Elsewhere all of them"
            };
            return Ok(say(format!("{all} are held, and nothing else."))?);
        }
        say(format!(
            "{} not held, {} not shown any more, {} with other content",
            HumanCount(self.not_held),
            HumanCount(self.not_shown),
            HumanCount(self.other_content)
        ))?;
        let mut table = plain_table();
        table.set_header(["DIFFERENCE", "TIME", "SEQ", "ID"]);
        for one in self.differences.iter().take(MAX_SHOWN) {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
            table.add_row([
                word(one.differs),
                or_dash(one.time.clone()),
                or_dash(one.seq.map(|seq| seq.to_string())),
                or_dash(one.id.as_deref().map(harmless)),
            ]);
        }
        say(table)?;
        let more = self.differences_total - self.differences.len().min(MAX_SHOWN) as u64;
        if more > 0 {
            say(format!("… and {more} more: see --json"))?;
        }
        Ok(())
    }
}

impl From<&LeftOut> for LeftOutReport {
    fn from(left_out: &LeftOut) -> Self {
        let gap = Gap {
            since: rfc3339(left_out.window.since),
            before: Some(rfc3339(left_out.window.before)),
            reason: left_out.cause.into(),
            detail: None,
        };
        let why = left_out.cause.explanation();
        Self { gap, why }
    }
}

impl From<&Difference> for DifferenceReport {
    fn from(one: &Difference) -> Self {
        Self {
            differs: match one.differs {
                Differs::NotHeld => DiffersReport::NotHeld,
                Differs::NotShown => DiffersReport::NotShown,
                Differs::OtherContent => DiffersReport::OtherContent,
            },
            id: one.id.clone(),
            time: one.time.map(rfc3339),
            seq: one.seq.map(|seq| seq.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::from_micros;
    use crate::store::GapCause;

    #[test]
    fn what_was_left_out_is_named_with_its_reason() {
        let at = |second: i64| from_micros(1_785_000_000_000_000 + second * 1_000_000);
        let verdict = UpstreamComparison {
            left_out: vec![
                LeftOut {
                    window: Window::new(at(60), at(61)),
                    cause: GapCause::TooLarge,
                },
                LeftOut {
                    window: Window::new(at(70), at(71)),
                    cause: GapCause::Unreadable,
                },
            ],
            ..UpstreamComparison::default()
        };
        let source = Source::account("a").unwrap();
        let report = VerifyReport::of(&source, Window::new(at(0), at(3_600)), at(7_200), &verdict);
        let told = serde_json::to_value(&report).unwrap();
        let second = json!([{
            "since": "2026-07-25T17:21:00Z", "before": "2026-07-25T17:21:01Z",
            "reason": "entry_too_large", "detail": null,
        }, {
            "since": "2026-07-25T17:21:10Z", "before": "2026-07-25T17:21:11Z",
            "reason": "unreadable", "detail": null,
        }]);
        assert_eq!(told["left_out"], second);
    }
}
