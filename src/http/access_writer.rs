//! Writes the access log: one writer takes all waiting lines, and writes them in one transaction.
//!
//! A request waits until its line is written. So many requests at once cost one transaction together, and none of them waits
//! for each of the others: 64 clients get 2 to 5 times as many lines a second as with a transaction each (measured by the
//! slow test below). Lines that the disk does not take stay in memory, in order, and are tried again with the next line;
//! when many wait, requests are refused instead.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
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
    queue: Mutex<VecDeque<UnwrittenChange>>,
    /// Notified when something is added to the queue.
    added: Notify,
    /// Whether the disk did not take the last lines.
    is_stuck: AtomicBool,
}

/// One change that is not written yet.
struct UnwrittenChange {
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
            is_stuck: AtomicBool::new(false),
        }))
    }

    /// Adds a line, and waits until it is written, or kept in memory because the disk is full or fails.
    pub(super) async fn record(&self, entry: AccessEntry) -> Result<AccessLine, Problem> {
        let line = AccessLine::default();
        let (written, outcome) = oneshot::channel();
        self.push(UnwrittenChange {
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
        self.push(UnwrittenChange {
            change,
            written: None,
        });
    }

    /// How many lines and completions wait in memory.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0.queue).len()
    }

    /// Whether they wait because the disk does not take them.
    pub(super) fn is_stuck(&self) -> bool {
        self.0.is_stuck.load(Ordering::Relaxed)
    }

    fn push(&self, waiting: UnwrittenChange) {
        lock(&self.0.queue).push_back(waiting);
        self.0.added.notify_one();
    }

    /// Writes what is added, until `end`, and then what still waits.
    pub(super) async fn run(&self, end: CancellationToken) {
        while !end.is_cancelled() {
            let is_stuck = self.write_all().await.is_err();
            let retry = async {
                if is_stuck {
                    tokio::time::sleep(RETRY_AFTER).await
                } else {
                    std::future::pending().await
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
                Ok(()) => {
                    self.0.is_stuck.store(false, Ordering::Relaxed);
                    answer_all(batch);
                }
                Err(error) => {
                    self.0.is_stuck.store(true, Ordering::Relaxed);
                    self.keep(batch, &error);
                    return Err(error);
                }
            }
        }
    }

    fn next_batch(&self) -> Vec<UnwrittenChange> {
        let mut queue = lock(&self.0.queue);
        let n = queue.len().min(MAX_BATCH);
        queue.drain(..n).collect()
    }

    /// Puts back what the disk did not take. Requests whose lines have room in memory are answered; the others are refused.
    fn keep(&self, batch: Vec<UnwrittenChange>, error: &StoreError) {
        let mut queue = lock(&self.0.queue);
        let newer = std::mem::take(&mut *queue);
        // Another process's lock is no reason to answer without a line: the writer has waited for it.
        let (mut refused, has_to_wait) = (0_u64, error.is_of_the_disk());
        for mut waiting in batch.into_iter().chain(newer) {
            let Some(written) = waiting.written.take() else {
                queue.push_back(waiting);
                continue;
            };
            if has_to_wait && queue.len() < MAX_WAITING {
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

fn answer_all(batch: Vec<UnwrittenChange>) {
    for written in batch.into_iter().filter_map(|waiting| waiting.written) {
        // The request may have been given up meanwhile; its line is written all the same.
        drop(written.send(Ok(())));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::future::join_all;

    use super::*;
    use crate::clock::from_micros;

    fn entry(n: usize) -> AccessEntry {
        AccessEntry {
            time: from_micros(0),
            principal: "token:0123456789ab".into(),
            address: Some("192.0.2.1".into()),
            action: "search".into(),
            route: "/v1/events".into(),
            parameters: format!("?q={n}"),
            results: Some(1),
            duration_ms: Some(1),
            status: Some(200),
        }
    }

    /// Runs `work` while a writer to a new access log runs; gives what is in the log after an orderly end.
    async fn written(work: impl AsyncFnOnce(&AccessWriter)) -> Vec<AccessEntry> {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let writer = AccessWriter::new(store.clone());
        let end = CancellationToken::new();
        let working = async {
            work(&writer).await;
            end.cancel();
        };
        tokio::join!(writer.run(end.clone()), working);
        store.access_entries(None, 100_000).unwrap().entries
    }

    #[tokio::test]
    async fn lines_are_written_in_order_and_a_stream_is_completed_at_its_end() {
        let lines = written(async |writer| {
            let records = (0..100).map(|n| writer.record(entry(n)));
            for line in join_all(records).await {
                line.unwrap();
            }
            let streamed = AccessEntry {
                results: None,
                duration_ms: None,
                ..entry(100)
            };
            let line = writer.record(streamed).await.unwrap();
            writer.add(AccessChange::Complete {
                line,
                results: 7,
                duration_ms: 8,
            });
        })
        .await;
        let parameters = lines.iter().rev().map(|line| line.parameters.clone());
        let expected = (0..=100).map(|n| format!("?q={n}"));
        assert!(parameters.eq(expected));
        assert_eq!((lines[0].results, lines[0].duration_ms), (Some(7), Some(8)));
    }

    #[tokio::test]
    async fn only_a_full_or_failing_disk_lets_a_line_wait_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let writer = AccessWriter::new(AccessStore::open(dir.path()).unwrap());
        for (error, waiting) in [(StoreError::Busy, 0), (StoreError::Full, 1)] {
            let (written, outcome) = oneshot::channel();
            let change = AccessChange::Add(entry(1), AccessLine::default());
            let change = UnwrittenChange {
                change,
                written: Some(written),
            };
            writer.keep(vec![change], &error);
            assert_eq!(outcome.await.unwrap().is_ok(), waiting == 1, "{error}");
            assert_eq!(writer.waiting(), waiting, "{error}");
        }
    }

    /// A measurement, not a check: lines a second of 64 clients, each written by itself and by the writer.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_clients_write_faster_together() {
        if std::env::var_os("ORGTRAIL_SLOW_TESTS").is_none() {
            return;
        }
        const EACH: usize = 200;
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let one_by_one = Arc::new(Mutex::new(store));
        let begun = Instant::now();
        let clients = (0..64).map(|_| async {
            for n in 0..EACH {
                let store = Arc::clone(&one_by_one);
                task::blocking(move || lock(&store).record(&entry(n)).unwrap()).await;
            }
        });
        join_all(clients).await;
        let alone = 64.0 * EACH as f64 / begun.elapsed().as_secs_f64();

        let begun = Instant::now();
        let lines = written(async |writer| {
            let clients = (0..64).map(|_| async {
                for n in 0..EACH {
                    writer.record(entry(n)).await.unwrap();
                }
            });
            join_all(clients).await;
        })
        .await;
        let together = 64.0 * EACH as f64 / begun.elapsed().as_secs_f64();
        assert_eq!(lines.len(), 64 * EACH);
        println!("{alone:.0} lines a second one by one, {together:.0} together");
    }
}
