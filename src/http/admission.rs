//! When questions, and the pieces of exports and of streams, are worked on: each among their like, in turns.
//!
//! A panic in such work ends that piece of work alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use super::fair::FairPermit;
use super::limits::{MAX_LONG_QUESTIONS, MAX_WAITING};
use super::long_turns::LongTurns;
use super::problem::Problem;
use super::state::AppState;
use super::turn::{HeldPermit, KeptTurn, Turn, principal};
use crate::clock::Cancel;
use crate::store::time_limit;
use crate::task;

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

    /// As [`AppState::ask`], for a piece of an export of a principal. The time it waits for its turn is not the export's.
    pub(super) async fn export<T: Send + 'static>(
        &self,
        principal: &Arc<str>,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.export_pieces.acquire(principal).await;
        self.piece(permit, piece).await
    }

    /// As [`AppState::export`], for a piece of a tail.
    pub(super) async fn tail<T: Send + 'static>(
        &self,
        principal: &Arc<str>,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.tail_pieces.acquire(principal).await;
        self.piece(permit, piece).await
    }

    /// Runs a piece of an export or a stream on a blocking thread, under a permit. The wait for the permit has no limit: there are
    /// only so many exports and streams, and each piece ends with its time.
    async fn piece<T: Send + 'static>(
        &self,
        permit: FairPermit,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Turn::of(HeldPermit::Fair(permit));
        let waiting = self.limits.waiting;
        tokio::time::timeout(waiting, self.work(turn, None, piece))
            .await
            .unwrap_or_else(|_| Err(Problem::too_slow(waiting)))
    }

    /// Works something out in its turn. Where there are turns for long work, one that takes long goes on in one of these; when
    /// there is none and another question waits, it is cancelled, or one of a principal that has more. So is work whose time is over or whose client is gone.
    async fn work<T: Send + 'static>(
        &self,
        turn: Turn,
        long_turns: Option<&LongTurns>,
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
            let question = AssertUnwindSafe(|| question(&state));
            match time_limit::within(state.deadline(), || catch_unwind(question)) {
                Ok(answer) => {
                    answer.map_err(|problem| problem.or_rebuilding(state.engine.is_rebuilding()))
                }
                Err(_) => Err(state.panics.count()),
            }
        }));
        let Some(long_turns) = long_turns else {
            return working.await;
        };
        let too_many = || Problem::too_many("long questions", MAX_LONG_QUESTIONS);
        let displaced = loop {
            tokio::select! {
                done = &mut working => return done,
                () = tokio::time::sleep(self.limits.quick) => {}
            }
            if let Some((long, displaced)) = long_turns.begin(&principal(), &waited_for.0) {
                turn.give_for(HeldPermit::Long(long));
                break displaced;
            }
            if self.questions.is_exhausted() && !long_turns.make_room(&principal()) {
                return Err(too_many());
            }
        };
        let done = working.await;
        if displaced.is_so() && done.is_err() {
            return Err(too_many());
        }
        done
    }
}

/// Cancels work when nothing waits for it any more.
struct WaitedFor(Cancel);

impl Drop for WaitedFor {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use chrono::TimeDelta;
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Clock;
    use crate::durable::Failpoints;
    use crate::engine::Engine;
    use crate::engine::tantivy::Index;
    use crate::health::Board;
    use crate::http::limits::{MAX_PIECES, MAX_QUESTIONS};
    use crate::http::{Access, Limits};
    use crate::store::Store;
    use crate::sync::lock;

    fn app(dir: &std::path::Path) -> AppState {
        let store = Store::open(dir, Failpoints::default()).unwrap();
        let failpoints = Failpoints::default();
        let (index, _) = Index::open(dir, store.log_id(), store.head(), failpoints).unwrap();
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

    fn greedy() -> Arc<str> {
        "greedy".into()
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
            app.export(&greedy(), panic).await.unwrap_err();
            app.tail(&greedy(), panic).await.unwrap_err();
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
        let principal = greedy();
        let mut others = Vec::new();
        for _ in 0..MAX_PIECES {
            others.push(app.export_pieces.acquire(&principal).await);
        }
        let mut piece = pin!(app.export(&principal, |app| Ok(app.store.head())));
        // Longer than a piece may take.
        let later = tokio::time::timeout(Duration::from_millis(500), &mut piece).await;
        assert!(later.is_err(), "it had no turn yet");
        drop(others);
        piece.await.unwrap();
    }

    #[tokio::test]
    async fn a_piece_does_not_wait_for_all_pieces_of_another_principal() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let (greedy, other) = (greedy(), Arc::from("other"));
        for is_tail in [true, false] {
            let turns = if is_tail {
                &app.tail_pieces
            } else {
                &app.export_pieces
            };
            let mut held = Vec::new();
            for _ in 0..MAX_PIECES {
                held.push(turns.acquire(&greedy).await);
            }
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut principals = vec![&greedy; 10];
            principals.push(&other);
            let pieces = principals.into_iter().map(|principal| {
                let (order, name) = (Arc::clone(&order), Arc::clone(principal));
                let piece = move |_: &AppState| {
                    lock(&order).push(name);
                    Ok(())
                };
                let app = &app;
                async move {
                    if is_tail {
                        app.tail(principal, piece).await
                    } else {
                        app.export(principal, piece).await
                    }
                }
            });
            // All of them wait before the first turn is free.
            let free_one = async { drop(held.pop()) };
            let (done, ()) = tokio::join!(futures_util::future::join_all(pieces), free_one);
            done.into_iter().for_each(|piece| piece.unwrap());
            assert_eq!(lock(&order)[0], other);
        }
    }
}
