//! Says to the service manager that all is well, as long as every poller and every follower of the log takes its turns. If one
//! does not, nothing is said, and the service manager starts the service again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::clock::Clock;
use crate::follow::board::FollowerBoard;
use crate::health::Board;
use crate::store::Store;
use crate::supervisor::Supervisor;

/// How long a job may be late for its next turn. A turn waits for the disk, which may be slow.
const LATE_AFTER: TimeDelta = TimeDelta::minutes(5);

/// How often the status is sent if the service manager has no watchdog.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// How often in the time of the watchdog it hears from us.
const OFTEN: u32 = 3;

/// What is watched.
pub(super) struct Watchdog {
    pub(super) supervisor: Supervisor,
    pub(super) store: Store,
    pub(super) board: Board,
    pub(super) followers: FollowerBoard,
    pub(super) clock: Clock,
}

impl Watchdog {
    /// Says that the service answers, and then how it is doing until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        self.supervisor.ready(&self.status());
        let every = self.supervisor.watchdog().map(|within| within / OFTEN);
        let every = every.unwrap_or(STATUS_EVERY);
        let mut was_late = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(every) => {}
            }
            let late = self.late(self.clock.steady());
            match &late {
                None => self.supervisor.alive(&self.status()),
                Some(job) => {
                    self.supervisor.status(&format!("{job} takes no turns"));
                    if late != was_late {
                        error!(
                            job,
                            "A job is stuck; keep-alives to the service manager stop."
                        );
                    }
                }
            }
            was_late = late;
        }
        self.supervisor.stopping();
    }

    /// A job that should have taken a turn long ago.
    fn late(&self, now: DateTime<Utc>) -> Option<String> {
        let due = self.board.next_turns().into_iter();
        let due = due.map(|(credential, due)| (format!("the poller of {credential}"), due));
        let followers = self.followers.next_turns().into_iter();
        let followers = followers.map(|(name, due)| (format!("the follower `{name}`"), due));
        let mut all = due.chain(followers);
        all.find_map(|(job, due)| (now - due > LATE_AFTER).then_some(job))
    }

    fn status(&self) -> String {
        let head = self.store.head();
        let behind = self.followers.states(head);
        let behind = behind.iter().map(|follower| follower.lag()).max();
        match behind.unwrap_or(0) {
            0 => format!("{head} events"),
            behind => format!("{head} events, {behind} of them not searchable yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Failpoints;
    use crate::position::Seq;

    #[test]
    fn a_job_is_late_when_it_takes_no_turn_after_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let watchdog = Watchdog {
            supervisor: Supervisor::default(),
            store: Store::open(dir.path(), Failpoints::default()).unwrap(),
            board: Board::default(),
            followers: FollowerBoard::default(),
            clock: clock.clone(),
        };
        let now = clock.steady();
        let minutes = TimeDelta::minutes;
        assert_eq!(watchdog.late(now), None);
        watchdog.board.takes_turn("`A`", now);
        watchdog.followers.takes_turn("index", now + minutes(10));
        assert_eq!(watchdog.late(now + minutes(5)), None);
        let late = watchdog.late(now + minutes(6));
        assert_eq!(late.unwrap(), "the poller of `A`");
        watchdog.board.takes_turn("`A`", now + minutes(16));
        assert_eq!(watchdog.late(now + minutes(15)), None);
        let late = watchdog.late(now + minutes(16));
        assert_eq!(late.unwrap(), "the follower `index`");
        assert_eq!(watchdog.status(), "0 events");
        watchdog.followers.succeeded("index", Seq::ZERO);
        assert_eq!(watchdog.status(), "0 events");
    }
}
