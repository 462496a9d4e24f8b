//! Imports entries from files, by the same rules as polled entries.
//!
//! A file holds a line for each entry: as the API sends it, as Logpush writes it (`audit_logs_v2`), or as `/v1/events` gives
//! it; told apart line by line. It may also hold whole pages of the API or of `/v1/events`, on one line or on many. One thread reads and takes lines apart, this one keeps them, some thousands in a
//! transaction, so that memory stays flat however long a file is.
//!
//! # What an import adds
//!
//! An entry is known by (source, id), as everywhere, so importing what was polled adds nothing, nor does importing a file
//! again: that is also how an import that was killed goes on. Of equal entries without an id, as many are kept as one file
//! showed.
//!
//! A line of Logpush is not what the API sent: it is made into an entry (`import/logpush.rs`), whose bytes are ours. The API's bytes
//! are the evidence. So a line adds nothing where an entry of the API is held under its id, whatever the line says; and an
//! entry of the API that comes after a line is kept, as the next revision. Among lines the usual rule holds: other
//! content under the same id is a revision. A line without an id cannot be known again among the API's entries.
//!
//! An entry's log is the one it names; it is never guessed. A file proves no coverage, so an import writes no window.
//!
//! It does not know which file it reads, nor who follows the log.

mod file;
mod line;
mod logpush;
mod scan;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use serde::Serialize;

use crate::clock::Clock;
use crate::position::Source;
use crate::store::{Imported, Store, StoreError};

use self::file::{Line, Lines, MAX_LINE_BYTES, Record};

/// How many lines are kept in one transaction at most.
const BATCH_LINES: u64 = 4_000;

/// About how many bytes of entries are kept in one transaction at most.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How many batches wait to be kept.
const MAX_WAITING: usize = 2;

/// How many lines that were not understood are named; the others are counted.
pub const MAX_NAMED: usize = 100;

/// How many logs the entries of one file may belong to. Upstream allows 500 accounts in an organization.
const MAX_SOURCES: usize = 10_000;

/// What came of a file. Blank lines are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Entries that were not held before, under an id or a content that was not known.
    pub new: u64,
    /// Entries that were held already.
    pub held: u64,
    /// Entries whose id was held with other content, kept as a further revision.
    pub revised: u64,
    /// Of the lines, those of Logpush that have no id, and so cannot be known among the API's entries.
    pub logpush_without_id: u64,
    /// Lines that were not understood, and not kept.
    pub not_understood: u64,
    /// The first of them, at most [`MAX_NAMED`].
    pub reasons: Vec<BadLine>,
    /// Why the file could not be read to its end, if it could not. What was read before is kept.
    pub broke_off: Option<String>,
}

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number in the file, decompressed, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Whether every line of the file is in the log now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.not_understood == 0 && self.broke_off.is_none()
    }
}

/// Keeps what a file holds. Entries that do not say which log they are from are of `fallback`. After each batch, `watch` is
/// shown how far it is.
///
/// # Errors
/// When the log cannot be written: what was kept before stays, and the file can be imported again.
pub fn import(
    store: &Store,
    input: impl Read + Send,
    fallback: Option<&Source>,
    clock: &Clock,
    mut watch: impl FnMut(&Report),
) -> Result<Report, StoreError> {
    store.begin_import()?;
    let (send, batches) = mpsc::sync_channel(MAX_WAITING);
    thread::scope(|scope| {
        // The thread ends with the file, or when its batches are no longer received.
        scope.spawn(move || read(input, fallback, &send));
        let mut report = Report::default();
        for batch in batches {
            let Batch { entries, told, .. } = batch;
            let appended = store.import(&entries, clock.now())?;
            report.new += (appended.new - appended.revisions) as u64;
            report.held += appended.held as u64;
            report.revised += appended.revisions as u64;
            report.lines += told.lines;
            report.logpush_without_id += told.logpush_without_id;
            report.not_understood += told.not_understood;
            report.reasons.extend(told.reasons);
            report.broke_off = told.broke_off;
            watch(&report);
        }
        Ok(report)
    })
}

/// Lines that are kept together, and what the reading of them came to.
#[derive(Default)]
struct Batch {
    entries: Vec<Imported>,
    bytes: usize,
    /// Without the numbers of what was kept: those are the log's to say.
    told: Report,
}

/// Reads a file to its end, and hands it on batch by batch.
fn read(input: impl Read, fallback: Option<&Source>, send: &SyncSender<Batch>) {
    let mut reading = FileImport {
        fallback,
        sources: BTreeSet::new(),
        named: 0,
        batch: Batch::default(),
    };
    let read = match file::decompressed(input) {
        Err(error) => Err(format!("it could not be read: {error}")),
        Ok(input) => {
            let mut lines = Lines::new(input);
            let all = reading.all(&mut lines, send);
            all.map_err(|error| {
                let at = lines.number();
                format!("it breaks off in line {at}, and what came before is kept: {error}")
            })
        }
    };
    reading.batch.told.broke_off = read.err();
    // If the last batch is not received, the import has failed already.
    drop(send.send(reading.batch));
}

/// A file as it is being read.
struct FileImport<'a> {
    fallback: Option<&'a Source>,
    /// The logs met so far.
    sources: BTreeSet<Source>,
    /// How many lines have been named as not understood.
    named: usize,
    batch: Batch,
}

impl FileImport<'_> {
    fn all(
        &mut self,
        lines: &mut Lines<impl Read>,
        send: &SyncSender<Batch>,
    ) -> std::io::Result<()> {
        loop {
            let Some(Record { number, line }) = lines.next()? else {
                return Ok(());
            };
            self.line(number, line);
            let is_full = self.batch.told.lines >= BATCH_LINES || self.batch.bytes >= BATCH_BYTES;
            if is_full && send.send(std::mem::take(&mut self.batch)).is_err() {
                return Ok(());
            }
        }
    }

    fn line(&mut self, number: u64, line: Line<'_>) {
        let read = match line {
            Line::Bytes(line) => line::read(line, self.fallback),
            Line::TooLong => Err(format!(
                "it has more than {} MiB",
                MAX_LINE_BYTES / 1024 / 1024
            )),
            Line::NoComma => {
                Err("not JSON: after an element of a list comes `,` or `]`".to_owned())
            }
        };
        match read.and_then(|read| self.check_source(read)) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                let batch = &mut self.batch;
                batch.told.lines += 1;
                batch.told.logpush_without_id += u64::from(entry.is_logpush_without_id());
                batch.bytes += entry.arrival.body.get().len();
                batch.entries.push(entry);
            }
            Err(reason) => self.complain(number, reason),
        }
    }

    /// A file may not fill the log with the names of made-up logs.
    fn check_source(&mut self, read: Option<Imported>) -> Result<Option<Imported>, String> {
        if let Some(entry) = &read
            && !self.sources.contains(&entry.source)
        {
            if self.sources.len() >= MAX_SOURCES {
                return Err(format!(
                    "the file holds entries of more than {MAX_SOURCES} logs"
                ));
            }
            self.sources.insert(entry.source.clone());
        }
        Ok(read)
    }

    fn complain(&mut self, line: u64, reason: String) {
        let told = &mut self.batch.told;
        told.lines += 1;
        told.not_understood += 1;
        if self.named < MAX_NAMED {
            self.named += 1;
            told.reasons.push(BadLine { line, reason });
        }
    }
}
