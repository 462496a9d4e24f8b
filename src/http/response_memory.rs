//! The memory of answers that are made and not yet read by their clients.
//!
//! An answer's bytes hold their room until the last of them is given to the operating system or the connection ends. When
//! there is no room for another answer, connections that have kept one for long are closed, the slowest first. When that
//! does not help soon, the new answer is refused with 503.
//!
//! An answer without room is counted all the same: its question keeps its turn until it is written, and then it is one of
//! the few that may wait for room.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::connection::Client;
use super::limits::{MAX_UNREAD_BYTES, ROOM_WITHIN, SLOW_AFTER};
use super::problem::Problem;
use super::turn::KeptTurn;
use crate::sync::lock;

/// An answer up to this size needs no room if it is the only one on its connection, so that `/healthz` and refusals are always
/// answered. There is one on each of at most 512 connections: 8 MiB.
const SMALL_BYTES: usize = 16 * 1024;

/// How many written answers may wait for room. Another one is refused at once.
const MAX_WAITING_ANSWERS: usize = 4;

/// The room for unread answers. A clone is the same one.
#[derive(Clone)]
pub(super) struct ResponseMemory(Arc<Inner>);

struct Inner {
    most: usize,
    slow_after: Duration,
    within: Duration,
    answers: Mutex<Answers>,
    /// Notified when room becomes free.
    freed: Notify,
    /// The places of answers that wait for room.
    waiting: Semaphore,
}

#[derive(Default)]
struct Answers {
    /// The bytes of all of them.
    bytes: usize,
    next: u64,
    /// By age, the oldest first.
    kept: BTreeMap<u64, Answer>,
}

struct Answer {
    bytes: usize,
    since: Instant,
    client: Option<Arc<Client>>,
}

impl Default for ResponseMemory {
    fn default() -> Self {
        Self::new(MAX_UNREAD_BYTES, SLOW_AFTER, ROOM_WITHIN)
    }
}

impl ResponseMemory {
    /// Room for `most` bytes, for which an answer waits `within` some time; who keeps some of it longer than `slow_after` may be
    /// closed.
    pub(super) fn new(most: usize, slow_after: Duration, within: Duration) -> Self {
        Self(Arc::new(Inner {
            most,
            slow_after,
            within,
            answers: Mutex::default(),
            freed: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING_ANSWERS),
        }))
    }

    /// Holds room for some bytes, as long as they last; `None` when there is none.
    pub(super) async fn hold(&self, bytes: Bytes, client: Option<&Arc<Client>>) -> Option<Bytes> {
        if needs_no_room(&bytes, client) {
            return Some(bytes);
        }
        let mut timeout = pin!(tokio::time::sleep(self.0.within));
        loop {
            // Registered before looking: what becomes free meanwhile wakes the next look.
            let mut freed = pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(room) = self.take(bytes.len(), client) {
                return Some(Bytes::from_owner(Held { bytes, _room: room }));
            }
            self.close_slow(bytes.len());
            tokio::select! {
                () = freed => {}
                () = &mut timeout => return None,
            }
        }
    }

    /// As [`ResponseMemory::hold`], for an answer whose question still has its turn, which is given back at the end or when the answer
    /// begins to wait for room. Few may wait.
    pub(super) async fn hold_whole(
        &self,
        bytes: Bytes,
        client: Option<&Arc<Client>>,
    ) -> Result<Bytes, Problem> {
        if bytes.len() > self.0.most {
            return Err(Problem::too_large_an_answer(bytes.len(), self.0.most));
        }
        if needs_no_room(&bytes, client) {
            return Ok(bytes);
        }
        if let Some(room) = self.take(bytes.len(), client) {
            return Ok(Bytes::from_owner(Held { bytes, _room: room }));
        }
        self.close_slow(bytes.len());
        let Ok(_waiting) = self.0.waiting.try_acquire() else {
            return Err(Problem::unread());
        };
        KeptTurn::give_back();
        self.hold(bytes, client).await.ok_or_else(Problem::unread)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        lock(&self.0.answers)
    }

    fn take(&self, bytes: usize, client: Option<&Arc<Client>>) -> Option<Room> {
        let mut answers = self.answers();
        // One that is larger than all of the room has it alone.
        if answers.bytes > 0 && answers.bytes + bytes > self.0.most {
            return None;
        }
        answers.bytes += bytes;
        let id = answers.next;
        answers.next += 1;
        let answer = Answer {
            bytes,
            since: Instant::now(),
            client: client.cloned(),
        };
        answers.kept.insert(id, answer);
        let memory = self.clone();
        Some(Room { memory, id })
    }

    /// Closes as many slow connections as it takes for an answer of so many bytes to have room.
    fn close_slow(&self, wanted: usize) {
        let answers = self.answers();
        let mut bytes = answers.bytes;
        for answer in answers.kept.values() {
            if bytes + wanted <= self.0.most || answer.since.elapsed() < self.0.slow_after {
                return;
            }
            bytes -= answer.bytes;
            if let Some(client) = &answer.client {
                client.close();
            }
        }
    }
}

/// Whether an answer is sent without room for it: a small one, beside which there is none on its connection.
fn needs_no_room(bytes: &Bytes, client: Option<&Arc<Client>>) -> bool {
    let is_alone = client.is_none_or(|client| !client.has_several_requests());
    bytes.is_empty() || (bytes.len() <= SMALL_BYTES && is_alone)
}

/// Room for one answer, or a piece of one.
struct Room {
    memory: ResponseMemory,
    id: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut answers = self.memory.answers();
        if let Some(answer) = answers.kept.remove(&self.id) {
            answers.bytes -= answer.bytes;
        }
        drop(answers);
        self.memory.0.freed.notify_waiters();
    }
}

/// Bytes with their room.
struct Held {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 100_000;
    const NEVER: Duration = Duration::from_secs(3_600);

    fn bytes() -> Bytes {
        Bytes::from(vec![b'x'; MANY])
    }

    #[tokio::test]
    async fn an_answer_has_room_again_when_the_last_of_another_is_gone() {
        let memory = ResponseMemory::new(MANY + MANY / 2, NEVER, NEVER);
        let first = memory.hold(bytes(), None).await.unwrap();
        let rest = first.slice(MANY - 1..);
        drop(first);
        assert!(memory.take(MANY, None).is_none(), "a part is left");
        let waiting = memory.hold(bytes(), None);
        let (second, ()) = tokio::join!(waiting, async { drop(rest) });
        assert_eq!(second.unwrap().len(), MANY);
        assert_eq!(memory.answers().bytes, 0, "nothing is counted twice");
    }

    #[tokio::test]
    async fn small_answers_need_no_room_and_large_ones_do_not_wait_for_ever() {
        let memory = ResponseMemory::new(MANY, NEVER, Duration::ZERO);
        let _first = memory.hold(bytes(), None).await.unwrap();
        let small = Bytes::from_static(b"{\"status\":\"ok\"}");
        assert!(memory.hold(small, None).await.is_some());
        assert!(memory.hold(bytes(), None).await.is_none());
    }
}
