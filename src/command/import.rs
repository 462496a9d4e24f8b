//! `orgtrail import`: files to log, and log to index meanwhile, so that what was taken in is found at once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing::debug;

use super::print::counted;
use super::record::Recorded;
use super::reindex::catch_up;
use crate::clock::Clock;
use crate::durable::Failpoints;
use crate::follow::index::{Indexing, IndexingError, open_index};
use crate::import::{self, Report};
use crate::position::Source;
use crate::store::{Store, StoreError};
use crate::task;
use crate::terminal::{harmless, harmless_json, say};

/// How many lines that were not understood are shown to people of each file; `--json` gives more.
const MAX_SHOWN: usize = 10;

/// Which forms of file are accepted: part of the error about a file of another form.
const EXPECTED: &str = "  A file has an entry of the audit log (v2) on each line, as Cloudflare's API sends them, or a line of Logpush's\n  \
     `audit_logs_v2`, or an event of `/v1/events` or `/v1/export`; or it is a saved page of the API, `{\"result\": [\u{2026}]}`.\n";

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail import logpush-2026-08.ndjson.gz
  orgtrail import page1.json page2.json --source accounts/ID
  curl -s …/logs/audit?since=… | orgtrail import - --source accounts/ID

A file may be imported again: what is held already stays as it is.";

/// What to take in.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Files of entries, plain or compressed by gzip or zstd; `-` for standard input.
    ///
    /// A file has an entry on each line: as Cloudflare's API sends it, as Logpush's `audit_logs_v2` writes it, or as
    /// `/v1/events` and `/v1/export` give it. Or it is a saved page of the API (`{"result": […]}`) or of `/v1/events`, on
    /// one line or on many.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Log of entries that name none: `accounts/ID`, `organizations/ID`.
    #[arg(long)]
    source: Option<Source>,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// What came of all files.
#[derive(Serialize)]
struct ImportSummary {
    files: Vec<FileReport>,
    /// How many events the log holds now, all of which can be found.
    events: u64,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let store = match Store::open(&dir, Failpoints::default()) {
        Err(error @ StoreError::InUse(_)) => {
            return Err(error).context("an import needs the log to itself: stop the service first");
        }
        opened => opened?,
    };
    let clock = Clock::system();
    let names: Vec<_> = args
        .files
        .iter()
        .map(|path| path.to_string_lossy())
        .collect();
    let parameters = format!("files={}", names.join(","));
    let recorded = Recorded::begin(&dir, "import", "import", &parameters, clock.now())?;
    let held = store.head();
    let (index, _) = open_index(&dir, &store, Failpoints::default())?;
    let files = thread::scope(|scope| {
        let (kept, batches) = mpsc::sync_channel(1);
        let indexing = Indexing::in_bulk(store.clone(), index.clone(), Clock::system());
        scope.spawn(move || index_meanwhile(indexing, &batches));
        import_files(&store, args, &clock, &kept)
    })?;
    let head = store.head();
    recorded.end(head.0 - held.0)?;
    catch_up(store, &index)?;
    let summary = ImportSummary {
        files,
        events: head.0,
    };
    if args.json {
        say(harmless_json(&serde_json::to_string(&summary)?))?;
    } else {
        say(summary.for_people())?;
    }
    let not_whole = summary.files.iter().filter(|file| !file.report.is_whole());
    let not_whole = not_whole.count();
    ensure!(
        not_whole == 0,
        "{not_whole} of {} files could not be taken in wholly",
        summary.files.len()
    );
    Ok(())
}

/// Takes the files in, one after the other, and announces each batch that is kept.
fn import_files(
    store: &Store,
    args: &Args,
    clock: &Clock,
    kept: &SyncSender<()>,
) -> Result<Vec<FileReport>> {
    let mut files = Vec::new();
    for path in &args.files {
        let file = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => harmless(&path.to_string_lossy()),
        };
        let report =
            import_file(store, path, args.source.as_ref(), clock, kept).with_context(|| {
                format!(
                    "{file} could not be imported to its end; what was kept stays: import it again"
                )
            })?;
        files.push(FileReport { file, report });
    }
    Ok(files)
}

/// Indexes batches while the files are read. Failures are retried at the end.
fn index_meanwhile(mut indexing: Indexing, batches: &Receiver<()>) {
    let mut has_more = false;
    loop {
        let announced = if has_more {
            batches.try_recv()
        } else {
            batches.recv().map_err(TryRecvError::from)
        };
        if announced == Err(TryRecvError::Disconnected) {
            return;
        }
        let turned = task::catch(|| indexing.index_once()).map_err(IndexingError::from);
        match turned.flatten() {
            Ok(turned) => has_more = turned.has_more,
            Err(error) => {
                debug!(error = %error, "Indexing beside the import failed.");
                return;
            }
        }
    }
}

/// Takes one file in. That it cannot be read is a part of its report, and no reason to leave the others out.
fn import_file(
    store: &Store,
    path: &Path,
    fallback: Option<&Source>,
    clock: &Clock,
    kept: &SyncSender<()>,
) -> Result<Report> {
    let opened = open(path);
    let (input, len) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Ok(Report {
                broke_off: Some(format!("it could not be opened: {error}")),
                ..Report::default()
            });
        }
    };
    // Shown on a terminal only.
    let (bar, template) = match len {
        Some(len) => (
            ProgressBar::new(len),
            "{bar:30} {bytes} of {total_bytes}  {msg}  {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}"),
    };
    let bar = bar.with_style(ProgressStyle::with_template(template)?);
    let input = bar.wrap_read(input);
    let report = import::import(store, input, fallback, clock, |report| {
        // One announcement that waits stands for all.
        kept.try_send(()).ok();
        let seconds = bar.elapsed().as_secs_f64().max(0.001);
        bar.set_message(format!(
            "{} lines, {:.0}/s",
            HumanCount(report.lines),
            report.lines as f64 / seconds
        ));
    })?;
    bar.finish_and_clear();
    Ok(report)
}

/// The file's bytes, and how many there are, if that is known.
fn open(path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    let len = found.is_file().then_some(found.len());
    Ok((Box::new(file), len))
}

impl ImportSummary {
    fn for_people(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            text.push_str(&file.for_people());
        }
        text + &format!(
            "Events in the log: {}, all of them searchable.",
            HumanCount(self.events)
        )
    }
}

impl FileReport {
    fn for_people(&self) -> String {
        let Report {
            lines,
            new,
            held,
            revised,
            logpush_without_id,
            not_understood,
            reasons,
            broke_off,
        } = &self.report;
        let mut text = format!(
            "{}: {}: {} new, {} held already, {} revised, {} not understood\n",
            self.file,
            counted(*lines, "line"),
            HumanCount(*new),
            HumanCount(*held),
            HumanCount(*revised),
            HumanCount(*not_understood),
        );
        if *logpush_without_id > 0 {
            text += &format!(
                "  {} lines of Logpush have no `AuditLogID`: they cannot be known among entries of the API\n",
                HumanCount(*logpush_without_id)
            );
        }
        // Of a file of another form, each line is wrong in the same way.
        let mut pairs = reasons.windows(2);
        let are_alike = pairs.all(|pair| pair[0].reason == pair[1].reason);
        let most = if are_alike && not_understood == lines {
            1
        } else {
            MAX_SHOWN
        };
        for bad in reasons.iter().take(most) {
            text += &format!("  line {}: {}\n", bad.line, harmless(&bad.reason));
        }
        let more = not_understood - reasons.len().min(most) as u64;
        if more > 0 {
            text += &format!("  and {} more\n", HumanCount(more));
        }
        if not_understood == lines && *lines > 0 {
            text += EXPECTED;
        }
        if let Some(why) = broke_off {
            text += &format!("  {}\n", harmless(why));
        }
        text
    }
}
