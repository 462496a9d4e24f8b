//! Whose turn it is: how many questions, exports and tails there may be, and how many of each are worked on at once.
//!
//! Questions take turns, and so do the pieces of exports and of tails, each among their like. A panic in such work ends
//! that piece of work alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AppState;
use super::connection::Client;
use super::fair::FairPermit;
use super::principal::Principal;
use super::problem::Problem;
use super::response_memory::{MAX_UNREAD_BYTES, ROOM_WITHIN, SLOW_AFTER};
use crate::clock::Cancel;
use crate::sync::lock;
use crate::task;

/// How many questions are worked on at once; more wait for their turn.
pub(super) const MAX_QUESTIONS: usize = 8;

/// How long a question has a turn among the others: then it makes room for the next one, and goes on as a long one.
const QUICK: Duration = Duration::from_secs(1);

/// How many long questions are worked on beside the others. An extra one keeps its permit until another question waits for
/// one; then it is cancelled.
pub(super) const MAX_LONG_QUESTIONS: usize = 8;

/// How long a question waits for its turn, and then for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a question may wait for its turn and still have all of its time.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// How long a question's answer may be looked for: then it is cut off, and the next one has its turn.
const TIME_LIMIT: TimeDelta = TimeDelta::seconds(10);

/// How many pieces of exports are worked on at once, and how many of tails. Neither waits for the other, nor a question for
/// them.
pub(super) const MAX_PIECES: usize = 2;

/// The most exports at once.
const MAX_EXPORTS: usize = 8;

/// The most exports of one principal with a token: the others are left for other principals.
const MAX_EXPORTS_OF_ONE: usize = 4;

/// The most tails at once.
const MAX_TAILS: usize = 500;

/// The most questions that wait for their turn or have one.
pub(super) const MAX_WAITING: usize = 256;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 512;

/// How many connections neither tails nor waiting questions take.
pub(super) const SPARE_CONNECTIONS: usize = 12;

/// When all exports are taken, how long a client may have had a piece before its export is closed for another.
const SLOW_EXPORT: Duration = Duration::from_secs(60);

/// The most memory for the patterns of all tails, in KiB. A tail for whose patterns there is none searches the index instead.
pub(super) const MAX_TAIL_PATTERNS_KIB: usize = 64 * 1024;

/// Timeout for receiving a request; also closes idle connections.
const REQUEST_HEADER: Duration = Duration::from_secs(60);

/// Timeout of a write during which the client reads nothing.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long questions and clients have, and how many may stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long an answer may be looked for, or a piece of an export or a tail.
    pub looking: TimeDelta,
    /// How long a question has a turn among the others, before it is a long one.
    pub quick: Duration,
    /// How long a question waits for its turn, and then for its answer.
    pub waiting: Duration,
    /// Timeout for receiving a request, from the end of the answer before it.
    pub request_header: Duration,
    /// Timeout of a write during which the client reads nothing.
    pub write_stall: Duration,
    /// How many tails may be open.
    pub tails: usize,
    /// How many connections may be open; at the limit the one that is idle longest is closed.
    pub connections: usize,
    /// How many bytes of answers may be made and not read.
    pub unread: usize,
    /// How long an answer may be unread before its connection may be closed for another answer.
    pub slow: Duration,
    /// How long an answer waits for room among the unread ones.
    pub room_within: Duration,
    /// How long a client may have had a piece of an export before that may be closed for another export.
    pub slow_export: Duration,
    /// How many intervals and gaps a page of `/v1/coverage` has.
    pub stretches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            looking: TIME_LIMIT,
            quick: QUICK,
            waiting: ANSWER_WITHIN,
            request_header: REQUEST_HEADER,
            write_stall: WRITE_STALL,
            tails: MAX_TAILS,
            connections: MAX_CONNECTIONS,
            unread: MAX_UNREAD_BYTES,
            slow: SLOW_AFTER,
            room_within: ROOM_WITHIN,
            slow_export: SLOW_EXPORT,
            stretches: super::coverage::MAX_STRETCHES,
        }
    }
}

impl Limits {
    /// With questions that may take as long as `time`.
    #[must_use]
    pub fn for_questions_of(time: TimeDelta) -> Self {
        let looking = time.to_std().unwrap_or(ANSWER_WITHIN);
        Self {
            looking: time,
            // A question that uses all of its time may have waited for its turn before.
            waiting: ANSWER_WITHIN.max(looking + TURN_WITHIN),
            ..Self::default()
        }
    }
}

impl AppState {
    /// Works a question out where it may block, in its turn. The request keeps the turn until its answer has room among the
    /// unread ones.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _place = Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_| Problem::too_many("questions", MAX_WAITING))?;
        // A request that asks twice has one turn after the other.
        KeptTurn::give_back();
        let waiting = self.limits.waiting;
        let work = async {
            let permit = self.questions.acquire(&principal()).await;
            let turn = Turn::of(HeldPermit::Fair(permit));
            let answer = self
                .work(turn.clone(), Some(&self.long_questions), question)
                .await;
            KeptTurn::keep(turn);
            answer
        };
        tokio::time::timeout(waiting, work)
            .await
            .unwrap_or_else(|_| Err(Problem::too_slow(waiting)))
    }

    /// As [`AppState::ask`], for a piece of an export. The time it waits for its turn is not the export's.
    pub(super) async fn export<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.piece(&self.export_pieces, piece).await
    }

    /// As [`AppState::export`], for a piece of a tail.
    pub(super) async fn tail<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.piece(&self.tail_pieces, piece).await
    }

    /// Waits for one of some turns, as long as it takes: there are only so many exports and tails, and each piece ends with its
    /// time.
    async fn piece<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(turns).acquire_owned().await;
        // The semaphore is never closed.
        let turn = Turn::of(HeldPermit::Plain(permit.map_err(|_| Problem::internal())?));
        let waiting = self.limits.waiting;
        tokio::time::timeout(waiting, self.work(turn, None, piece))
            .await
            .unwrap_or_else(|_| Err(Problem::too_slow(waiting)))
    }

    /// Works something out in its turn. Where there are turns for long work, one that takes long goes on in one of these; when
    /// there is none and another question waits, it is cancelled. So is work whose time is over or whose client is gone.
    async fn work<T: Send + 'static>(
        &self,
        turn: Turn,
        long_turns: Option<&Arc<Semaphore>>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let waited_for = WaitedFor(Cancel::default());
        let state = Self {
            cancel: waited_for.0.clone(),
            ..self.clone()
        };
        let held = turn.clone();
        let mut working = pin!(task::blocking(move || {
            // Held until the work is done, also when nothing waits for it any more.
            let _held = held;
            // What is in the log and the index is guarded by their own locks, and goes on after a panic.
            match catch_unwind(AssertUnwindSafe(|| question(&state))) {
                Ok(answer) => {
                    answer.map_err(|problem| problem.or_rebuilding(state.engine.is_rebuilding()))
                }
                Err(_) => Err(state.panics.count()),
            }
        }));
        while let Some(long_turns) = long_turns {
            tokio::select! {
                done = &mut working => return done,
                () = tokio::time::sleep(self.limits.quick) => {}
            }
            if let Ok(long) = Arc::clone(long_turns).try_acquire_owned() {
                turn.give_for(HeldPermit::Plain(long));
                break;
            }
            if self.questions.is_exhausted() {
                return Err(Problem::too_many("long questions", MAX_LONG_QUESTIONS));
            }
        }
        working.await
    }
}

/// A turn, shared by the work and by the request that waits for it.
#[derive(Clone)]
struct Turn(Arc<Mutex<HeldPermit>>);

/// What a turn is held by. It is returned when it is dropped.
enum HeldPermit {
    Fair(#[expect(dead_code, reason = "held")] FairPermit),
    Plain(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit),
}

impl Turn {
    fn of(permit: HeldPermit) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// Gives the turn to the next in the row, having another instead.
    fn give_for(&self, other: HeldPermit) {
        let previous = std::mem::replace(&mut *lock(&self.0), other);
        drop(previous);
    }
}

tokio::task_local! {
    /// The turn of the question of the request that this task answers.
    static KEPT_TURN: Mutex<Option<Turn>>;

    /// The name of the principal whose request this task answers.
    static PRINCIPAL: Arc<str>;
}

/// Runs a request of a principal: its questions wait for their turns under this name.
pub(super) async fn of_principal<T>(name: &str, request: impl Future<Output = T>) -> T {
    PRINCIPAL.scope(name.into(), request).await
}

/// The name of the principal whose request this task answers; empty outside of one.
fn principal() -> Arc<str> {
    PRINCIPAL
        .try_with(Arc::clone)
        .unwrap_or_else(|_| Arc::default())
}

/// The turn of a request's question, kept after the question is worked out: until its answer is written and counted.
pub(super) struct KeptTurn;

impl KeptTurn {
    /// Runs a request and what counts its answer. At the end the turn is given back.
    pub(super) async fn scope<T>(request: impl Future<Output = T>) -> T {
        KEPT_TURN.scope(Mutex::default(), request).await
    }

    /// Gives the turn back now.
    pub(super) fn give_back() {
        Self::replace(None);
    }

    fn keep(turn: Turn) {
        Self::replace(Some(turn));
    }

    fn replace(turn: Option<Turn>) {
        // Outside of a request there is nothing to keep it for.
        let _previous = KEPT_TURN.try_with(|kept| std::mem::replace(&mut *lock(kept), turn));
    }
}

/// Cancels work when nothing waits for it any more.
struct WaitedFor(Cancel);

impl Drop for WaitedFor {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The exports that are open. A clone has the same ones.
#[derive(Clone, Default)]
pub(super) struct Exports(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    places: Vec<Place>,
}

struct Place {
    id: u64,
    principal: Principal,
    client: Option<Arc<Client>>,
    /// Since when its client has had a piece without asking for the next; `None` while one is made.
    given: Option<Instant>,
}

impl Exports {
    /// A place for another export of a principal, which may have only some of them. When all are taken, the one whose client has been slowest is closed for it, if that has had
    /// its last piece for longer than `slow`.
    pub(super) fn begin(
        &self,
        principal: &Principal,
        client: Option<Arc<Client>>,
        slow: Duration,
    ) -> Result<ExportPlace, Problem> {
        let mut open = self.open();
        let own = open
            .places
            .iter()
            .filter(|place| place.principal.name() == principal.name());
        if principal.is_limited() && own.count() >= MAX_EXPORTS_OF_ONE {
            return Err(Problem::over_own_limit("exports", MAX_EXPORTS_OF_ONE));
        }
        if open.places.len() >= MAX_EXPORTS {
            let waits = |place: &Place| place.given.map_or(Duration::ZERO, |at| at.elapsed());
            let slowest = (0..open.places.len()).max_by_key(|i| waits(&open.places[*i]));
            match slowest {
                Some(i) if waits(&open.places[i]) > slow => {
                    if let Some(client) = open.places.swap_remove(i).client {
                        client.close();
                    }
                }
                _ => return Err(Problem::too_many("exports", MAX_EXPORTS)),
            }
        }
        let id = open.next;
        open.next += 1;
        open.places.push(Place {
            id,
            principal: principal.clone(),
            client,
            given: None,
        });
        Ok(ExportPlace {
            exports: self.clone(),
            id,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.0)
    }
}

/// The place of one export, given back when it ends.
pub(super) struct ExportPlace {
    exports: Exports,
    id: u64,
}

impl ExportPlace {
    /// Notes that a piece was given to the client, or that the client asks for the next one.
    pub(super) fn note(&self, is_given: bool) {
        let mut open = self.exports.open();
        if let Some(place) = open.places.iter_mut().find(|place| place.id == self.id) {
            place.given = is_given.then(Instant::now);
        }
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        self.exports
            .open()
            .places
            .retain(|place| place.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Clock;
    use crate::durable::Breaker;
    use crate::engine::Engine;
    use crate::engine::tantivy::Index;
    use crate::health::Board;
    use crate::http::Access;
    use crate::store::Store;

    fn app(dir: &std::path::Path) -> AppState {
        let store = Store::open(dir, Breaker::default()).unwrap();
        let breaker = Breaker::default();
        let (index, _) = Index::open(dir, store.log_id(), store.head(), breaker).unwrap();
        let clock = Clock::system();
        AppState::new(
            store,
            Engine::Tantivy(index),
            Board::default(),
            clock,
            Access::open_to_this_machine(dir).unwrap(),
        )
        .with_limits(Limits {
            looking: TimeDelta::days(1),
            waiting: Duration::from_secs(60),
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn what_is_asked_is_called_off_when_the_client_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let asked = app.ask(move |app| {
            let deadline = app.deadline();
            begin.send(()).unwrap();
            while !deadline.has_passed() {
                std::thread::yield_now();
            }
            end.send(()).unwrap();
            Ok(())
        });
        tokio::select! {
            _ = asked => panic!("nothing ends it yet"),
            begun = begun => begun.unwrap(),
        }
        ended.await.unwrap();
        // The next one has all of its time.
        let next = app.ask(|app| Ok(app.deadline().has_passed()));
        assert!(!next.await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_ends_one_piece_of_work_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let panic = |_: &AppState| -> Result<(), Problem> { panic!("a test's doing") };
        // More often than there are turns: each is given back.
        for _ in 0..=MAX_QUESTIONS {
            app.ask(panic).await.unwrap_err();
            app.export(panic).await.unwrap_err();
            app.tail(panic).await.unwrap_err();
        }
        assert_eq!(app.panics.so_far(), 3 * (MAX_QUESTIONS as u64 + 1));
        app.ask(|app| Ok(app.store.head())).await.unwrap();
    }

    #[tokio::test]
    async fn a_piece_of_an_export_waits_for_its_turn_as_long_as_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path()).with_limits(Limits {
            waiting: Duration::from_millis(300),
            ..Limits::default()
        });
        let turns = Arc::clone(&app.export_pieces);
        let all = u32::try_from(MAX_PIECES).unwrap();
        let others = turns.acquire_many_owned(all).await.unwrap();
        let mut piece = pin!(app.export(|app| Ok(app.store.head())));
        // Longer than a piece may take.
        let later = tokio::time::timeout(Duration::from_millis(500), &mut piece).await;
        assert!(later.is_err(), "it had no turn yet");
        drop(others);
        piece.await.unwrap();
    }

    #[test]
    fn one_principal_leaves_exports_for_the_others() {
        let exports = Exports::default();
        let (greedy, other) = (Principal::with_token("a"), Principal::with_token("b"));
        let begin = |principal| exports.begin(principal, None, SLOW_EXPORT);
        let places: Vec<_> = (0..MAX_EXPORTS_OF_ONE)
            .map(|_| begin(&greedy).unwrap())
            .collect();
        assert!(begin(&greedy).is_err());
        let _other = begin(&other).unwrap();
        drop(places);
        assert!(begin(&greedy).is_ok());
    }

    #[test]
    fn a_slow_export_keeps_its_place_until_another_needs_it() {
        let exports = Exports::default();
        let slow = Duration::from_millis(1);
        let principal = Principal::local();
        let begin = || exports.begin(&principal, None, slow);
        let places: Vec<_> = (0..MAX_EXPORTS).map(|_| begin().unwrap()).collect();
        assert!(begin().is_err(), "all are being made");
        places[3].note(true);
        std::thread::sleep(slow * 2);
        let another = begin().unwrap();
        assert!(begin().is_err(), "only one was slow");
        drop(places);
        assert_eq!(exports.open().places.len(), 1);
        drop(another);
        assert_eq!(exports.open().places.len(), 0);
    }
}
