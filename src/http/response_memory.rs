//! The memory of answers that are made and not yet read by their clients.
//!
//! An answer's bytes hold their room until the last of them is taken or the answer ends. When there is no room for another
//! answer, some that wait for their clients are ended: first those of the principal or address with the most bytes, after a short time,
//! then any that is old. None of these has more than half of the room while another one waits for some. When that does not help soon, the new answer is refused with 503.
//!
//! An answer without room is counted all the same: its question keeps its turn until it is written, and then it is one of
//! the few that may wait for room.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::Notify;

use super::connection::Exchange;
use super::limits::{MAX_UNREAD_BYTES, ROOM_WITHIN, SLOW_AFTER};
use super::problem::Problem;
use super::turn::KeptTurn;
use crate::sync::lock;

/// An answer up to this size needs no room if it is the only one on its connection, so that `/healthz` and refusals are always
/// answered. There is one on each of at most 512 connections: 8 MiB.
const SMALL_BYTES: usize = 16 * 1024;

/// How many written answers may wait for room. Another one is refused at once.
const MAX_WAITING_ANSWERS: usize = 4;

/// How many more may wait of those who have none waiting.
const MAX_WAITING_FIRST: usize = 2;

/// How long the answers of the one with the most bytes may be unread when another one needs room.
const GREEDY_AFTER: Duration = Duration::from_secs(1);

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
}

#[derive(Default)]
struct Answers {
    /// The bytes of all of them.
    bytes: usize,
    next: u64,
    /// By age, the oldest first.
    kept: BTreeMap<u64, Answer>,
    /// How many wait for room, by whose they are.
    waiting: BTreeMap<Arc<str>, usize>,
    /// How many of these are written as a whole.
    written: BTreeMap<Arc<str>, usize>,
}

struct Answer {
    bytes: usize,
    since: Instant,
    holder: Arc<str>,
    exchange: Option<Arc<Exchange>>,
}

impl Default for ResponseMemory {
    fn default() -> Self {
        Self::new(MAX_UNREAD_BYTES, SLOW_AFTER, ROOM_WITHIN)
    }
}

impl ResponseMemory {
    /// Room for `most` bytes, for which an answer waits `within` some time; one that keeps some of it longer than `slow_after` may be
    /// ended.
    pub(super) fn new(most: usize, slow_after: Duration, within: Duration) -> Self {
        Self(Arc::new(Inner {
            most,
            slow_after,
            within,
            answers: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Holds room for some bytes, as long as they last; `None` when there is none.
    pub(super) async fn hold(
        &self,
        bytes: Bytes,
        exchange: Option<&Arc<Exchange>>,
    ) -> Option<Bytes> {
        if needs_no_room(&bytes, exchange) {
            return Some(bytes);
        }
        if let Some(room) = self.take(bytes.len(), exchange) {
            return Some(Bytes::from_owner(CountedBytes { bytes, _room: room }));
        }
        let holder = holder_of(exchange);
        let _waiting = WaitsForRoom::begin(self, &holder, |answers| &mut answers.waiting);
        let mut timeout = pin!(tokio::time::sleep(self.0.within));
        loop {
            // Registered before looking: what becomes free meanwhile wakes the next look.
            let mut freed = pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(room) = self.take(bytes.len(), exchange) {
                return Some(Bytes::from_owner(CountedBytes { bytes, _room: room }));
            }
            self.end_slow(bytes.len(), &holder);
            tokio::select! {
                () = freed => {}
                // Some answers have become old meanwhile.
                () = tokio::time::sleep(GREEDY_AFTER) => {}
                () = &mut timeout => return None,
            }
        }
    }

    /// As [`ResponseMemory::hold`], for an answer whose question still has its turn, which is given back at the end or when the answer
    /// begins to wait for room. Few may wait.
    pub(super) async fn hold_whole(
        &self,
        bytes: Bytes,
        exchange: Option<&Arc<Exchange>>,
    ) -> Result<Bytes, Problem> {
        if needs_no_room(&bytes, exchange) {
            return Ok(bytes);
        }
        if let Some(room) = self.take(bytes.len(), exchange) {
            return Ok(Bytes::from_owner(CountedBytes { bytes, _room: room }));
        }
        let holder = holder_of(exchange);
        self.end_slow(bytes.len(), &holder);
        let Some(_waiting) = self.wait_whole(&holder) else {
            return Err(Problem::unread());
        };
        KeptTurn::give_back();
        self.hold(bytes, exchange).await.ok_or_else(Problem::unread)
    }

    /// Fails for an answer of more bytes than there is room for, before it is compressed.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), Problem> {
        if bytes > self.0.most {
            return Err(Problem::too_large_an_answer(bytes, self.0.most));
        }
        Ok(())
    }

    /// A place among the written answers that wait.
    fn wait_whole(&self, holder: &Arc<str>) -> Option<WaitsForRoom> {
        let answers = self.answers();
        let all: usize = answers.written.values().sum();
        let own = answers.written.get(holder).copied().unwrap_or(0);
        drop(answers);
        let is_first = own == 0 && all < MAX_WAITING_ANSWERS + MAX_WAITING_FIRST;
        let is_place = all < MAX_WAITING_ANSWERS || is_first;
        is_place.then(|| WaitsForRoom::begin(self, holder, |answers| &mut answers.written))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        lock(&self.0.answers)
    }

    fn take(&self, bytes: usize, exchange: Option<&Arc<Exchange>>) -> Option<Room> {
        let holder = holder_of(exchange);
        let mut answers = self.answers();
        // One that is larger than all of the room has it alone.
        if answers.bytes > 0 && answers.bytes + bytes > self.0.most {
            return None;
        }
        let do_others_wait = answers.waiting.keys().any(|waiting| *waiting != holder);
        if do_others_wait && answers.of(&holder) + bytes > self.0.most / 2 {
            return None;
        }
        answers.bytes += bytes;
        let id = answers.next;
        answers.next += 1;
        let answer = Answer {
            bytes,
            since: Instant::now(),
            holder,
            exchange: exchange.cloned(),
        };
        answers.kept.insert(id, answer);
        let memory = self.clone();
        Some(Room { memory, id })
    }

    /// Ends as many answers as it takes for another one of so many bytes to have room: those of the one with the most bytes, if that
    /// is another one; then those that are old.
    fn end_slow(&self, wanted: usize, asking: &Arc<str>) {
        let answers = self.answers();
        let greediest = answers.greediest().filter(|holder| holder != asking);
        let is_greedy = |answer: &Answer| Some(&answer.holder) == greediest.as_ref();
        let is_older = |answer: &Answer, than| answer.since.elapsed() >= than;
        let greedy = answers.kept.values().filter(|answer| is_greedy(answer));
        let greedy = greedy.filter(|answer| is_older(answer, GREEDY_AFTER.min(self.0.slow_after)));
        let old = answers.kept.values().filter(|answer| !is_greedy(answer));
        let old = old.filter(|answer| is_older(answer, self.0.slow_after));
        let mut bytes = answers.bytes;
        let mut ended = Vec::new();
        for answer in greedy.chain(old) {
            if bytes + wanted <= self.0.most {
                break;
            }
            bytes -= answer.bytes;
            ended.extend(answer.exchange.clone());
        }
        drop(answers);
        ended.iter().for_each(|exchange| exchange.end());
    }
}

impl Answers {
    /// The bytes of one holder.
    fn of(&self, holder: &Arc<str>) -> usize {
        let own = self.kept.values().filter(|answer| answer.holder == *holder);
        own.map(|answer| answer.bytes).sum()
    }

    /// The one with the most bytes.
    fn greediest(&self) -> Option<Arc<str>> {
        let mut bytes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for answer in self.kept.values() {
            *bytes.entry(&answer.holder).or_default() += answer.bytes;
        }
        let most = bytes.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        Some(Arc::clone(most.0))
    }
}

/// Whose an answer is.
fn holder_of(exchange: Option<&Arc<Exchange>>) -> Arc<str> {
    exchange.map_or_else(Arc::default, |exchange| exchange.holder())
}

/// Whether an answer is sent without room for it: a small one, beside which there is none on its connection.
fn needs_no_room(bytes: &Bytes, exchange: Option<&Arc<Exchange>>) -> bool {
    let is_alone = exchange.is_none_or(|exchange| !exchange.client().has_several_requests());
    bytes.is_empty() || (bytes.len() <= SMALL_BYTES && is_alone)
}

/// An answer that waits for room.
struct WaitsForRoom {
    memory: ResponseMemory,
    holder: Arc<str>,
    counts: CountsOf,
}

/// Which of the counts of waiting answers.
type CountsOf = fn(&mut Answers) -> &mut BTreeMap<Arc<str>, usize>;

impl WaitsForRoom {
    fn begin(memory: &ResponseMemory, holder: &Arc<str>, counts: CountsOf) -> Self {
        let mut answers = memory.answers();
        *counts(&mut answers).entry(Arc::clone(holder)).or_default() += 1;
        Self {
            memory: memory.clone(),
            holder: Arc::clone(holder),
            counts,
        }
    }
}

impl Drop for WaitsForRoom {
    fn drop(&mut self) {
        let mut answers = self.memory.answers();
        let counts = (self.counts)(&mut answers);
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
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
struct CountedBytes {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for CountedBytes {
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
