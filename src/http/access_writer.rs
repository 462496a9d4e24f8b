//! Writes the access log: one writer takes all waiting lines, and writes them in one transaction.
//!
//! A request waits until its line is written. So many requests at once cost one transaction together, and none of them waits
//! for each of the others. Lines that the disk does not take stay in memory, in order, and are tried again with the next line;
//! when many wait, requests are refused instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::problem::Problem;
use crate::store::{AccessChange, AccessEntry, AccessLine, AccessStore, StoreError};
use crate::sync::lock;
use crate::task;

/// How many changes may wait in memory for a disk that does not take them.
const MAX_WAITING: usize = 10_000;

/// How many changes are written in one transaction.
const MAX_BATCH: usize = 1_000;

/// How soon waiting lines are tried again without a new one.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The queue of the writer. A clone is the same queue.
#[derive(Clone)]
pub(super) struct AccessWriter(Arc<Inner>);

struct Inner {
    store: AccessStore,
    queue: Mutex<VecDeque<Waiting>>,
    /// Notified when something is added to the queue.
    added: Notify,
}

/// One change that is not written yet.
struct Waiting {
    change: AccessChange,
    /// Who waits for it; `None`: the request was answered although the disk did not take its line, or nothing waits.
    written: Option<oneshot::Sender<Result<(), Problem>>>,
}

impl AccessWriter {
    /// A writer to `store`. Nothing is written until [`AccessWriter::run`].
    pub(super) fn new(store: AccessStore) -> Self {
        Self(Arc::new(Inner {
            store,
            queue: Mutex::default(),
            added: Notify::new(),
        }))
    }

    /// Adds a line, and waits until it is written, or kept in memory because the disk does not take it now.
    pub(super) async fn record(&self, entry: AccessEntry) -> Result<AccessLine, Problem> {
        let line = AccessLine::default();
        let (written, outcome) = oneshot::channel();
        self.push(Waiting {
            change: AccessChange::Add(entry, line.clone()),
            written: Some(written),
        });
        // The writer is gone when the service is stopping.
        outcome
            .await
            .unwrap_or_else(|_| Err(Problem::unrecorded()))?;
        Ok(line)
    }

    /// Adds a change that nothing waits for. It is dropped when too many wait already.
    pub(super) fn add(&self, change: AccessChange) {
        if lock(&self.0.queue).len() >= MAX_WAITING {
            error!("A line of the access log was dropped, because too many wait for the disk.");
            return;
        }
        self.push(Waiting {
            change,
            written: None,
        });
    }

    fn push(&self, waiting: Waiting) {
        lock(&self.0.queue).push_back(waiting);
        self.0.added.notify_one();
    }

    /// Writes what is added, until `end`, and then what still waits.
    pub(super) async fn run(&self, end: CancellationToken) {
        while !end.is_cancelled() {
            let is_stuck = self.write_all().await.is_err();
            let retry = async {
                match is_stuck {
                    true => tokio::time::sleep(RETRY_AFTER).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end.cancelled() => break,
                () = self.0.added.notified() => {}
                () = retry => {}
            }
        }
        if let Err(error) = self.write_all().await {
            let lost = lock(&self.0.queue).len();
            error!(error = %error, lost, "The last lines of the access log could not be written.");
        }
    }

    /// Writes all that waits, in batches.
    async fn write_all(&self) -> Result<(), StoreError> {
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                return Ok(());
            }
            let inner = Arc::clone(&self.0);
            let (batch, outcome) = task::blocking(move || {
                let changes = batch.iter().map(|waiting| &waiting.change);
                let outcome = inner.store.apply_changes(changes);
                (batch, outcome)
            })
            .await;
            match outcome {
                Ok(()) => answer_all(batch),
                Err(error) => {
                    self.keep(batch, &error);
                    return Err(error);
                }
            }
        }
    }

    fn next_batch(&self) -> Vec<Waiting> {
        let mut queue = lock(&self.0.queue);
        let n = queue.len().min(MAX_BATCH);
        queue.drain(..n).collect()
    }

    /// Puts back what the disk did not take. Requests whose lines have room in memory are answered; the others are refused.
    fn keep(&self, batch: Vec<Waiting>, error: &StoreError) {
        let mut queue = lock(&self.0.queue);
        let newer = std::mem::take(&mut *queue);
        let (mut refused, may_pass) = (0_u64, error.may_pass());
        for mut waiting in batch.into_iter().chain(newer) {
            let Some(written) = waiting.written.take() else {
                queue.push_back(waiting);
                continue;
            };
            if may_pass && queue.len() < MAX_WAITING {
                queue.push_back(waiting);
                // A request that was given up meanwhile stays recorded.
                drop(written.send(Ok(())));
            } else {
                refused += 1;
                drop(written.send(Err(Problem::unrecorded())));
            }
        }
        let waiting = queue.len();
        warn!(error = %error, waiting, refused, "The access log cannot be written; its lines wait in memory.");
    }
}

fn answer_all(batch: Vec<Waiting>) {
    for written in batch.into_iter().filter_map(|waiting| waiting.written) {
        // The request may have been given up meanwhile; its line is written all the same.
        drop(written.send(Ok(())));
    }
}
