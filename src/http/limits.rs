//! How many questions, streams, connections and unread answers there may be, and how long each may take.

use std::time::Duration;

use chrono::TimeDelta;

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

/// Timeout of a handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Timeout for receiving a request; also closes idle connections.
const REQUEST_HEADER: Duration = Duration::from_secs(60);

/// Timeout of a write during which the client reads nothing.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// The most bytes of unread answers: 64 MiB in all, less what small answers may take.
pub(super) const MAX_UNREAD_BYTES: usize = 56 * 1024 * 1024;

/// How long an answer may be unread before its connection may be closed for another answer.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(10);

/// How long an answer waits for room.
pub(super) const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// The most intervals and gaps on a page.
pub(super) const MAX_STRETCHES: usize = 50_000;

/// How long questions and clients have, and how many may stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long an answer may be looked for, or a piece of an export or a tail.
    pub looking: TimeDelta,
    /// How long a question has a turn among the others, before it is a long one.
    pub quick: Duration,
    /// How long a question waits for its turn, and then for its answer.
    pub waiting: Duration,
    /// Timeout of a handshake of TLS.
    pub handshake: Duration,
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
            handshake: HANDSHAKE,
            request_header: REQUEST_HEADER,
            write_stall: WRITE_STALL,
            tails: MAX_TAILS,
            connections: MAX_CONNECTIONS,
            unread: MAX_UNREAD_BYTES,
            slow: SLOW_AFTER,
            room_within: ROOM_WITHIN,
            slow_export: SLOW_EXPORT,
            stretches: MAX_STRETCHES,
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
