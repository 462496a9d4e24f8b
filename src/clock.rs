//! The time of day, as a value that is handed around.
//!
//! Loops read it once a turn and pass `now` down; nothing below them asks for the time. A test hands out
//! [`Clock::manual`] and moves it, so that months pass without a sleep.
//!
//! It does not know how to wait: that is the loops' own business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Where `now` comes from. A clone reads the same clock and costs a reference count.
#[derive(Clone, Debug)]
pub struct Clock(Face);

#[derive(Clone, Debug)]
enum Face {
    System {
        started: DateTime<Utc>,
        ticking: Instant,
    },
    /// Moved by hand.
    Manual {
        /// Microseconds since 1970 by the steady clock; every clock made from this one has the same.
        steady: Arc<AtomicI64>,
        /// How many microseconds the clock on the wall is ahead of that.
        ahead: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Face::System {
            started: system_now(),
            ticking: Instant::now(),
        })
    }

    /// A clock that shows `start` until it is moved.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Face::Manual {
            steady: Arc::new(AtomicI64::new(start.timestamp_micros())),
            ahead: Arc::default(),
        })
    }

    /// Another clock that passes as this one does, and is set by itself: for another machine. (Of the machine's own clock
    /// there is only one.)
    #[must_use]
    pub fn beside(&self) -> Self {
        match &self.0 {
            Face::System { .. } => self.clone(),
            Face::Manual { steady, .. } => Self(Face::Manual {
                steady: Arc::clone(steady),
                ahead: Arc::default(),
            }),
        }
    }

    /// The current time, to the microsecond. It jumps when the machine's clock is set.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Face::System { .. } => system_now(),
            Face::Manual { steady, ahead } => {
                from_micros(steady.load(Ordering::SeqCst) + ahead.load(Ordering::SeqCst))
            }
        }
    }

    /// Reads the present moment, for code that does not know this type: the simulated upstream.
    pub fn reader(&self) -> impl Fn() -> DateTime<Utc> + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    /// The time that a clock would show that was never set since this one was made. Use it to measure waits.
    #[must_use]
    pub fn steady(&self) -> DateTime<Utc> {
        match &self.0 {
            Face::System { started, ticking } => {
                let passed = i64::try_from(ticking.elapsed().as_micros()).unwrap_or(i64::MAX);
                from_micros(started.timestamp_micros().saturating_add(passed))
            }
            Face::Manual { steady, .. } => from_micros(steady.load(Ordering::SeqCst)),
        }
    }

    /// Lets time pass on a manual clock, and on those beside it. The machine's own clock does not move for us, and stays.
    pub fn advance(&self, by: TimeDelta) {
        if let Face::Manual { steady, .. } = &self.0 {
            steady.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock forward or back; no time passes.
    pub fn jump(&self, by: TimeDelta) {
        if let Face::Manual { ahead, .. } = &self.0 {
            ahead.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// Cancels work from another thread when its result is no longer needed. A clone cancels the same work.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A moment by which something must be done, with the clock that says whether it has come.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: Clock,
    at: DateTime<Utc>,
    allowed: TimeDelta,
    cancel: Cancel,
}

impl Deadline {
    /// The moment when `allowed` has passed from now on.
    #[must_use]
    pub fn after(clock: &Clock, allowed: TimeDelta) -> Self {
        let at = clock.steady();
        Self {
            clock: clock.clone(),
            at: at.checked_add_signed(allowed).unwrap_or(at),
            allowed,
            cancel: Cancel::default(),
        }
    }

    /// The same deadline, which also passes as soon as the work is cancelled.
    #[must_use]
    pub fn or(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Whether it has come.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.cancel.0.load(Ordering::Relaxed) || self.clock.steady() >= self.at
    }

    /// How much time there was.
    #[must_use]
    pub fn allowed(&self) -> TimeDelta {
        self.allowed
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn system_now() -> DateTime<Utc> {
    from_micros(Utc::now().timestamp_micros())
}

/// The instant that is `micros` microseconds after 1970; beyond what chrono can say, its nearest end.
#[must_use]
pub fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}
