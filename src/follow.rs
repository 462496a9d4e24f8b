//! Followers of the log, and the one loop that drives them all.
//!
//! A follower reads the log in order and keeps something that is made from it: the search index, alerts. Its
//! turn saves the effect and the checkpoint together, so a crash anywhere means that the same events come again. The loop
//! wakes it, retries with backoff, catches its panics, reports its lag, and stops it in order. It does not know what the
//! followers keep.
//!
//! The loop takes any [`Follower`]. This is a trait and not a value because each follower has an error of its own, after
//! which it goes back to its checkpoint in its own way.

pub mod board;
pub mod index;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::position::{LastEvent, Seq};
use crate::store::{Store, StoreError};
use crate::task::{self, Panicked};

use self::board::FollowerBoard;

/// The wait after a failed turn. It doubles with each failure that follows at once, up to [`LONGEST_RETRY`].
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a failed turn. A full disk must not fill up with log lines about it.
const LONGEST_RETRY: TimeDelta = TimeDelta::seconds(60);

/// How long a stop waits for a follower to catch up. The rest is done after the next start.
const FINISH_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// What follows the log. Its methods may block.
pub trait Follower: Send + 'static {
    /// Why a turn failed.
    type Error: Display + From<Panicked> + Send + 'static;

    /// Its name in `/readyz` and in log lines.
    fn name(&self) -> &'static str;

    /// The last event whose effect is saved.
    fn checkpoint(&self) -> Seq;

    /// Takes the next events after the checkpoint. The effect and the new checkpoint are saved in the same transaction or
    /// commit, here or in a later turn; then nothing of what was taken before counts.
    ///
    /// # Errors
    /// When it failed: [`Follower::recover`] comes next.
    fn turn_once(&mut self) -> Result<Turned, Self::Error>;

    /// A turn at the end, before it is closed: takes what came in last, and leaves other work for the next start.
    ///
    /// # Errors
    /// As [`Follower::turn_once`].
    fn last_turn(&mut self) -> Result<Turned, Self::Error> {
        self.turn_once()
    }

    /// Goes back to where the next turn can begin, after a turn that failed or panicked.
    fn recover(&mut self, error: Self::Error);

    /// Saves what was taken, at the end.
    ///
    /// # Errors
    /// When it could not be saved: it is done again after the next start.
    fn close(&mut self) -> Result<(), Self::Error>;
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// Whether the log holds more: the next turn comes at once.
    pub has_more: bool,
    /// When the next turn is due without new events; `None`: after `look_every`.
    pub next_in: Option<TimeDelta>,
}

/// What wakes a follower. Each wake-up is a hint only: a turn finds out itself whether there is something to do.
pub struct Wake {
    heads: watch::Receiver<Seq>,
    nudge: Arc<Notify>,
    look_every: Duration,
}

impl Wake {
    /// A new head of the log wakes it; it looks every `look_every` all the same, because an announcement may be missed.
    #[must_use]
    pub fn on_heads(store: &Store, look_every: Duration) -> Self {
        Self {
            heads: store.heads(),
            nudge: Arc::default(),
            look_every,
        }
    }

    /// With this for other reasons to wake it, see [`Wake::nudge`].
    #[must_use]
    pub fn nudged_by(self, nudge: Arc<Notify>) -> Self {
        Self { nudge, ..self }
    }

    /// Wakes it for another reason, also while it waits after a failure.
    #[must_use]
    pub fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    /// How long `pause` is at most.
    fn length(&self, pause: &Pause) -> Duration {
        match pause {
            Pause::Idle(next_in) => next_in.map_or(self.look_every, std_of),
            Pause::Failed(wait) => std_of(*wait),
        }
    }

    /// Waits for the next head, a nudge, or the end of `pause`.
    async fn after(&mut self, pause: Pause) {
        let (wait, heeds_heads) = (self.length(&pause), matches!(pause, Pause::Idle(_)));
        tokio::select! {
            Ok(()) = self.heads.changed(), if heeds_heads => {}
            () = self.nudge.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Why a follower waits.
enum Pause {
    /// Nothing to do, or nothing to do yet.
    Idle(Option<TimeDelta>),
    /// It failed: new events do not make it try sooner.
    Failed(TimeDelta),
}

fn std_of(wait: TimeDelta) -> Duration {
    wait.to_std().unwrap_or_default()
}

/// Runs a follower until told to stop; then it catches up, for a few seconds at most, and is closed.
///
/// # Errors
/// At the end, when what came in last could not be saved.
pub async fn run<F: Follower>(
    mut follower: F,
    mut wake: Wake,
    board: FollowerBoard,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(), F::Error> {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    while !stop.is_cancelled() {
        // Registered before looking: a head that is announced during the turn wakes the next one.
        wake.heads.mark_unchanged();
        board.takes_turn(follower.name(), clock.steady());
        let turned;
        (follower, turned) = turn_blocking(follower).await;
        let pause = match turned {
            Ok(turned) => {
                board.succeeded(follower.name(), follower.checkpoint());
                if turned.has_more {
                    continue;
                }
                backoff.reset();
                Pause::Idle(turned.next_in)
            }
            Err(error) => {
                let wait = backoff.fail();
                report(&follower, &error, wait, &board, &clock);
                follower = recover_blocking(follower, error).await;
                Pause::Failed(wait)
            }
        };
        let due = TimeDelta::from_std(wake.length(&pause)).unwrap_or_default();
        board.takes_turn(follower.name(), clock.steady() + due);
        tokio::select! {
            () = stop.cancelled() => break,
            () = wake.after(pause) => {}
        }
    }
    task::caught(move || finish(&mut follower, &clock)).await?
}

/// A turn, where it may block. A panic ends this turn only.
async fn turn_blocking<F: Follower>(mut follower: F) -> (F, Result<Turned, F::Error>) {
    task::blocking(move || {
        let turned = task::catch(|| follower.turn_once());
        (
            follower,
            turned.unwrap_or_else(|panicked| Err(panicked.into())),
        )
    })
    .await
}

async fn recover_blocking<F: Follower>(mut follower: F, error: F::Error) -> F {
    task::blocking(move || {
        if task::catch(|| follower.recover(error)).is_err() {
            warn!(
                follower = follower.name(),
                "A follower of the log could not recover; its next turn begins where it is."
            );
        }
        follower
    })
    .await
}

fn report<F: Follower>(
    follower: &F,
    error: &F::Error,
    wait: TimeDelta,
    board: &FollowerBoard,
    clock: &Clock,
) {
    let (name, checkpoint) = (follower.name(), follower.checkpoint());
    warn!(
        follower = name,
        follower.checkpoint = checkpoint.0,
        error = %error,
        retry_in.seconds = wait.num_seconds(),
        "A follower of the log failed; retrying with backoff."
    );
    board.failed(name, checkpoint, error.to_string(), clock.now());
}

/// Takes what came in last, as far as there is time, and closes the follower.
fn finish<F: Follower>(follower: &mut F, clock: &Clock) -> Result<(), F::Error> {
    let until = clock.steady() + FINISH_WITHIN;
    while follower.last_turn()?.has_more && clock.steady() < until {}
    follower.close()
}

/// Why what was made up to event `seq`, of which `last` is known, is not of this state of the log: the log has another event
/// there, or another run of the program added it, because it is an older copy that has grown since in another way. `None` when it
/// is.
///
/// # Errors
/// What the log says.
pub fn other_history(
    store: &Store,
    seq: Seq,
    last: &LastEvent,
) -> Result<Option<String>, StoreError> {
    let differs = |stored: Option<String>, known: &Option<String>| {
        let both = stored.zip(known.as_ref());
        both.is_some_and(|(stored, known)| stored != *known)
    };
    if differs(store.hash_at(seq)?, &last.sha256) {
        return Ok(Some(format!(
            "of another state of this log: event {seq} is not the one that was indexed"
        )));
    }
    if differs(store.run_at(seq)?, &last.run) {
        return Ok(Some(format!(
            "of another state of this log: event {seq} was added again, and those before it may be others"
        )));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;
    use crate::durable::{Failpoints, StepFailure};
    use crate::event::Arrival;
    use crate::position::Source;
    use crate::store::{Checkpoint, Imported, steps};

    /// Keeps a list of the events that it was given. The list and its checkpoint are tables of the log's file.
    struct Listing {
        store: Store,
        checkpoint: Checkpoint,
        panics_at: Option<Seq>,
        /// The errors that it recovered from.
        errors: Arc<Mutex<Vec<String>>>,
    }

    #[derive(Debug, thiserror::Error)]
    enum ListError {
        #[error(transparent)]
        Store(#[from] StoreError),
        #[error(transparent)]
        Panicked(#[from] Panicked),
    }

    impl Listing {
        fn open(store: &Store) -> Self {
            let checkpoint = store.checkpoint("list").unwrap();
            Self {
                store: store.clone(),
                checkpoint,
                panics_at: None,
                errors: Arc::default(),
            }
        }
    }

    impl Follower for Listing {
        type Error = ListError;

        fn name(&self) -> &'static str {
            "list"
        }

        fn checkpoint(&self) -> Seq {
            self.checkpoint.seq
        }

        fn turn_once(&mut self) -> Result<Turned, ListError> {
            let from = self.checkpoint.seq;
            let events = self.store.events_after(from, 3, usize::MAX)?;
            if let Some(last) = events.last() {
                let to = Checkpoint::after(last);
                self.store.append_to_list(&events, from, &to)?;
                assert!(self.panics_at.take_if(|at| *at <= to.seq).is_none());
                self.checkpoint = to;
            }
            Ok(Turned {
                has_more: self.checkpoint.seq < self.store.head(),
                next_in: None,
            })
        }

        fn recover(&mut self, error: ListError) {
            self.errors.lock().unwrap().push(error.to_string());
            if let Ok(checkpoint) = self.store.checkpoint("list") {
                self.checkpoint = checkpoint;
            }
        }

        fn close(&mut self) -> Result<(), ListError> {
            Ok(())
        }
    }

    fn add(store: &Store, n: std::ops::Range<u32>) {
        let entries: Vec<Imported> = n
            .map(|n| Imported {
                source: Source::account("a").unwrap(),
                label: None,
                arrival: Arrival::read(
                    RawValue::from_string(format!(r#"{{"id":"{n}"}}"#)).unwrap(),
                ),
            })
            .collect();
        store.begin_import().unwrap();
        store.import(&entries, from_micros(7)).unwrap();
    }

    /// A log of ten events.
    fn log(dir: &Path) -> Store {
        let store = Store::open(dir, Failpoints::default()).unwrap();
        store.begin_list();
        add(&store, 0..10);
        store
    }

    #[test]
    fn after_a_kill_at_any_step_each_event_takes_effect_once() {
        for how in [StepFailure::Before, StepFailure::After] {
            for at in 0..4 {
                let dir = tempfile::tempdir().unwrap();
                log(dir.path()).close().unwrap();
                let met = AtomicU32::new(0);
                let failpoints = Failpoints::new(move |step| {
                    let is_it = step == steps::ADVANCE_FOLLOWER;
                    (is_it && met.fetch_add(1, Ordering::SeqCst) == at).then_some(how)
                });
                let store = Store::open(dir.path(), failpoints).unwrap();
                let mut follower = Listing::open(&store);
                let killed = (0..4).find_map(|_| follower.turn_once().err());
                assert!(killed.unwrap().to_string().contains("on purpose"));
                store.close().unwrap();
                drop((follower, store));

                let store = Store::open(dir.path(), Failpoints::default()).unwrap();
                let mut follower = Listing::open(&store);
                while follower.turn_once().unwrap().has_more {}
                assert_eq!(store.list(), (1..=10).collect::<Vec<_>>(), "{how:?} {at}");
                let last = store.event(Seq(10)).unwrap().unwrap();
                assert_eq!(store.checkpoint("list").unwrap(), Checkpoint::after(&last));
                let known = LastEvent {
                    sha256: last.sha256,
                    run: store.run_at(Seq(10)).unwrap(),
                };
                let history = other_history(&store, Seq(10), &known);
                assert_eq!(history.unwrap(), None);
            }
        }
    }

    #[test]
    fn a_second_process_with_the_same_follower_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = log(dir.path());
        let (mut first, mut second) = (Listing::open(&store), Listing::open(&store));
        first.turn_once().unwrap();
        let refused = second.turn_once().unwrap_err();
        assert!(matches!(
            refused,
            ListError::Store(StoreError::Overtaken(_))
        ));
        second.recover(refused);
        while second.turn_once().unwrap().has_more {}
        assert_eq!(store.list(), (1..=10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_loop_goes_on_after_failures_and_panics_and_reports_its_lag() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).close().unwrap();
        let failures = AtomicU32::new(0);
        let failpoints = Failpoints::new(move |step| {
            let is_it = step == steps::ADVANCE_FOLLOWER;
            (is_it && failures.fetch_add(1, Ordering::SeqCst) < 2).then_some(StepFailure::Before)
        });
        let store = Store::open(dir.path(), failpoints).unwrap();
        let mut follower = Listing::open(&store);
        follower.panics_at = Some(Seq(5));
        let errors = Arc::clone(&follower.errors);
        let (board, stop) = (FollowerBoard::default(), CancellationToken::new());
        let wake = Wake::on_heads(&store, Duration::from_secs(10));
        let nudge = wake.nudge();
        let clock = Clock::manual(from_micros(9));
        let panics = task::panics();
        let following = run(follower, wake, board.clone(), clock, stop.clone());
        let looking = async {
            // The first one is seen for certain: only then is the wait after it ended.
            let mut first = None;
            let caught_up = loop {
                let states = board.states(store.head());
                if let Some(failure) = states.first().and_then(|state| state.failure.clone()) {
                    first.get_or_insert(failure);
                    // Ends the wait after it.
                    nudge.notify_one();
                }
                if states.iter().any(|state| state.lag() == 0) {
                    break states;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(caught_up[0].failure, None);
            assert!(first.unwrap().error.contains("on purpose"));
            // The last events come together with the stop.
            add(&store, 10..12);
            stop.cancel();
        };
        let (followed, ()) = tokio::join!(following, looking);
        followed.unwrap();
        assert!(task::panics() > panics);
        let errors = errors.lock().unwrap();
        assert!(
            errors.iter().any(|error| error.contains("panicked")),
            "{errors:?}"
        );
        assert_eq!(store.list(), (1..=12).collect::<Vec<_>>());
    }
}
