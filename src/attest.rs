//! Log to transparency log: one signed leaf for each event, in the order of their places; and a second one, of what coverage claims.
//!
//! A follower of the log. It reads rows and no bodies, writes tiles below the data directory, and signs a checkpoint when it is time.
//! A checkpoint is written down in the log before it is shown, so none is ever taken back. What others see is [`PublishedLogs`].
//!
//! Where what was signed and what the log holds do not agree, nothing more is signed, and `/readyz` says why. Events are collected all
//! the same.

pub mod error;
pub mod files;
pub mod key_file;
mod published;
mod settings;
mod statements;
pub mod steps;
#[cfg(test)]
mod tests;
mod witness;
mod writer;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use self::error::AttestError;
pub use self::published::{EVIDENCE_DIR, PublishedLog, PublishedLogs, ShownCheckpoint};
pub use self::settings::{EvidenceConfig, WitnessConfig};
pub use self::witness::Witnesses;
use self::writer::TreeWriter;
use crate::clock::Clock;
use crate::event::hex;
use crate::evidence::{EventLeaf, LogKey};
use crate::follow::board::FollowerBoard;
use crate::follow::{self, Follower, Turned, Wake};
use crate::position::{LastEvent, Seq, rfc3339};
use crate::store::{DayCounts, LeafRow, ShownTree, Store};

/// The name of the follower that signs.
pub const NAME: &str = "evidence";

/// The most rows that are taken in one turn.
const MAX_ROWS: u64 = 5_000;

/// After statements were made, the next ones wait this many times as long as that took, at least.
const STATEMENTS_REST: i32 = 20;

/// How often the log is looked at without an announcement.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The follower.
pub struct Attest {
    store: Store,
    clock: Clock,
    config: EvidenceConfig,
    published: PublishedLogs,
    events: Option<TreeWriter>,
    /// How many events of each day it has taken since the last checkpoint.
    days: DayCounts,
    statements: Option<TreeWriter>,
    /// When statements are made again, by the steady clock.
    statements_due: DateTime<Utc>,
    /// When the next checkpoint may be signed, by the steady clock.
    due: DateTime<Utc>,
}

impl Attest {
    /// Signs the events of `store`.
    #[must_use]
    pub fn new(
        store: Store,
        config: EvidenceConfig,
        published: PublishedLogs,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            config,
            published,
            events: None,
            days: DayCounts::new(),
            statements: None,
            statements_due: clock.steady(),
            due: clock.steady(),
            clock,
        }
    }

    /// Those who are asked to sign the checkpoints of a log, if there are any.
    #[must_use]
    pub fn witnesses(&self, log: PublishedLog) -> Option<Witnesses> {
        Witnesses::new(&self.config, log, self.store.clone(), self.clock.clone())
    }

    /// Follows until told to stop.
    ///
    /// # Errors
    /// At the end, when what came in last could not be taken.
    pub async fn run(
        self,
        board: FollowerBoard,
        stop: CancellationToken,
    ) -> Result<(), AttestError> {
        let wake = Wake::on_heads(&self.store, LOOK_EVERY);
        let clock = self.clock.clone();
        follow::run(self, wake, board, clock, stop).await
    }

    /// Takes the next rows. Says whether there are more.
    fn take_events(&mut self) -> Result<bool, AttestError> {
        let mut writer = match self.events.take() {
            Some(writer) => writer,
            None => self.open()?,
        };
        // It is put back only when nothing failed: otherwise the next turn opens it again.
        let limit = writer.room().min(MAX_ROWS) as usize;
        for row in self.store.leaf_rows_after(Seq(writer.size()), limit)? {
            if writer.is_growing() {
                self.count(&row);
            }
            writer.push(&leaf_of(&row).to_bytes())?;
        }
        writer.settle()?;
        let has_more = writer.size() < self.store.head().0;
        self.events = Some(writer);
        Ok(has_more)
    }

    /// Counts an event to its day. One whose row cannot be read is of no day.
    fn count(&mut self, row: &LeafRow) {
        if let Some((source, at)) = row.source.clone().zip(row.time.or(row.received_at)) {
            *self
                .days
                .entry((source, statements::day_of(at)))
                .or_default() += 1;
        }
    }

    /// Goes on where the last checkpoint ends, if the log still is what it speaks for.
    fn open(&mut self) -> Result<TreeWriter, AttestError> {
        self.days.clear();
        let log = &self.published.events;
        let rows = self.store.evidence_logs()?;
        let row = rows.into_iter().find(|row| *row.origin == *log.origin);
        let writer = TreeWriter::open(&self.store, log)?;
        let Some(tree) = row.map(|row| row.tree) else {
            return Ok(writer);
        };
        let contradiction = |why| AttestError::Contradiction {
            origin: log.origin.to_string(),
            why,
        };
        let (seq, head) = (Seq(tree.leaves), self.store.head());
        if seq > head {
            return Err(contradiction(format!(
                "a checkpoint of {seq} events was shown, and the log has {head}"
            )));
        }
        let last = LastEvent {
            sha256: tree.sha256,
            run: tree.run,
        };
        match follow::other_history(&self.store, seq, &last)? {
            None => Ok(writer),
            Some(_) => Err(contradiction(format!(
                "event {seq} is not the one that was signed: this is another state of the log"
            ))),
        }
    }

    /// Signs what was taken, if it is time. Says when it is time, if it is not.
    fn sign(&mut self) -> Result<Option<TimeDelta>, AttestError> {
        let now = self.clock.steady();
        let Some(mut writer) = self.events.take_if(|writer| writer.has_new()) else {
            return Ok(None);
        };
        if now < self.due {
            self.events = Some(writer);
            return Ok(Some(self.due - now));
        }
        // Read each time: it may be made, or replaced by its owner, while the service runs.
        let key = self.key()?;
        let tree = self.tree(writer.size())?;
        writer.checkpoint(&self.store, &key, &tree, Some(&self.days))?;
        self.days.clear();
        self.events = Some(writer);
        self.due = now + self.config.checkpoint_every;
        Ok(None)
    }

    /// Makes statements about what coverage claims, and signs those that are new, if it is time. Says when it is time again.
    fn sign_statements(&mut self) -> Result<TimeDelta, AttestError> {
        let now = self.clock.steady();
        if now < self.statements_due {
            return Ok(self.statements_due - now);
        }
        let every = self.config.checkpoint_every;
        statements::state(&self.store, every, self.clock.now())?;
        let mut writer = match self.statements.take() {
            Some(writer) => writer,
            None => TreeWriter::open(&self.store, &self.published.statements)?,
        };
        loop {
            let limit = writer.room().min(MAX_ROWS);
            let leaves = self.store.statements_after(writer.size(), limit)?;
            if leaves.is_empty() {
                break;
            }
            for leaf in leaves {
                writer.push(&leaf)?;
            }
            writer.settle()?;
        }
        if writer.has_new() {
            let tree = ShownTree {
                leaves: writer.size(),
                ..ShownTree::default()
            };
            writer.checkpoint(&self.store, &self.key()?, &tree, None)?;
        }
        self.statements = Some(writer);
        let took = self.clock.steady() - now;
        let rest = every.max(took * STATEMENTS_REST);
        self.statements_due = now + rest;
        Ok(rest)
    }

    fn key(&self) -> Result<LogKey, AttestError> {
        key_file::read(&self.config.key_file)
    }

    /// What a checkpoint of the first `leaves` events speaks for.
    fn tree(&self, leaves: u64) -> Result<ShownTree, AttestError> {
        let last = Seq(leaves);
        Ok(ShownTree {
            leaves,
            sha256: self.store.hash_at(last)?,
            run: self.store.run_at(last)?,
        })
    }
}

impl Follower for Attest {
    type Error = AttestError;

    fn name(&self) -> &'static str {
        NAME
    }

    fn checkpoint(&self) -> Seq {
        let newest = self.published.events.newest();
        Seq(newest.map_or(0, |newest| newest.head.size))
    }

    fn turn_once(&mut self) -> Result<Turned, AttestError> {
        let has_more = self.take_events()?;
        let mut next_in = self.sign()?;
        // They speak of what is signed.
        if !has_more && next_in.is_none() {
            next_in = Some(self.sign_statements()?);
        }
        Ok(Turned { has_more, next_in })
    }

    fn recover(&mut self, _: AttestError) {
        // The next turn begins at the last checkpoint, as the log knows it.
        self.events = None;
        self.statements = None;
    }

    fn close(&mut self) -> Result<(), AttestError> {
        Ok(())
    }
}

/// The leaf of an event.
#[must_use]
pub fn leaf_of(row: &LeafRow) -> EventLeaf {
    EventLeaf {
        received_at: row.received_at.map(rfc3339),
        revision: row.revision,
        seq: row.seq.0,
        sha256: row.sha256.map(|hash| hex(&hash)),
        source: row.source.clone(),
        time: row.time.map(rfc3339),
    }
}
