//! How far each follower has come, on one board. `/readyz` reads it.
//!
//! It is kept in memory: after a start it has a follower once that has made its first turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::position::Seq;

/// The board. A clone is another handle to the same one.
#[derive(Debug, Clone, Default)]
pub struct FollowerBoard(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    followers: BTreeMap<&'static str, Row>,
    /// When each follower takes its next turn at the latest, by the steady clock.
    turns: BTreeMap<&'static str, DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
struct Row {
    checkpoint: Seq,
    failure: Option<Failure>,
}

/// Turns of a follower that failed one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the last of them said.
    pub error: String,
    /// When the first of them failed.
    pub since: DateTime<Utc>,
}

/// How a follower is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerState {
    /// Its name.
    pub name: &'static str,
    /// The last event that it has finished.
    pub checkpoint: Seq,
    /// The newest event of the log.
    pub head: Seq,
    /// Why it does not go on, while its turns fail.
    pub failure: Option<Failure>,
}

impl FollowerState {
    /// How many events it is behind the head of the log.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.checkpoint.0)
    }
}

impl FollowerBoard {
    /// A turn of a follower succeeded.
    pub fn succeeded(&self, name: &'static str, checkpoint: Seq) {
        let failure = None;
        self.lock().followers.insert(
            name,
            Row {
                checkpoint,
                failure,
            },
        );
    }

    /// A turn of a follower failed.
    pub fn failed(&self, name: &'static str, checkpoint: Seq, error: String, now: DateTime<Utc>) {
        let mut rows = self.lock();
        let row = rows.followers.entry(name).or_default();
        row.checkpoint = checkpoint;
        let since = row.failure.take().map_or(now, |failure| failure.since);
        row.failure = Some(Failure { error, since });
    }

    /// A follower takes its next turn at `due` or before, by the steady clock.
    pub fn takes_turn(&self, name: &'static str, due: DateTime<Utc>) {
        self.lock().turns.insert(name, due);
    }

    /// When each follower takes its next turn at the latest, by the steady clock.
    #[must_use]
    pub fn next_turns(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        let rows = self.lock();
        rows.turns.iter().map(|(name, due)| (*name, *due)).collect()
    }

    /// Every follower, by name, beside the newest event of the log.
    #[must_use]
    pub fn states(&self, head: Seq) -> Vec<FollowerState> {
        let rows = self.lock();
        let states = rows.followers.iter().map(|(name, row)| FollowerState {
            name,
            checkpoint: row.checkpoint,
            head,
            failure: row.failure.clone(),
        });
        states.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn a_failure_lasts_from_its_first_turn_until_one_succeeds() {
        let board = FollowerBoard::default();
        let state = |head| board.states(Seq(head)).pop().unwrap();
        board.succeeded("index", Seq(5));
        assert_eq!((state(7).lag(), state(7).failure), (2, None));
        board.failed("index", Seq(5), "first".into(), from_micros(1));
        board.failed("index", Seq(6), "second".into(), from_micros(2));
        let failure = Failure {
            error: "second".into(),
            since: from_micros(1),
        };
        assert_eq!((state(7).lag(), state(7).failure), (1, Some(failure)));
        board.succeeded("index", Seq(7));
        assert_eq!((state(7).lag(), state(7).failure), (0, None));
        assert_eq!(state(6).lag(), 0, "the head was read a moment earlier");
    }
}
