//! What the handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::encoding::MAX_ENCODERS;
use super::exports::Exports;
use super::fair::FairPermits;
use super::limits::{
    Limits, MAX_LONG_QUESTIONS, MAX_PIECES, MAX_QUESTIONS, MAX_TAIL_PATTERNS_KIB, MAX_WAITING,
    SPARE_CONNECTIONS,
};
use super::log_facts::Scrapes;
use super::long_turns::LongTurns;
use super::panics::Panics;
use super::readiness::Readiness;
use super::response_memory::ResponseMemory;
use crate::attest::PublishedLogs;
use crate::clock::{Cancel, Clock, Deadline};
use crate::engine::Engine;
use crate::follow::board::FollowerBoard;
use crate::health::Board;
use crate::metrics::Metrics;
use crate::rules::RulesInUse;
use crate::store::Store;
use crate::tls::Tls;

/// What the handlers need. A clone costs a few reference counts.
#[derive(Clone)]
pub struct AppState {
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) board: Board,
    pub(super) followers: FollowerBoard,
    pub(super) metrics: Metrics,
    /// The rules of alerts.
    pub(super) rules: RulesInUse,
    /// The transparency logs; `None` when nothing is signed.
    pub(super) evidence: Option<PublishedLogs>,
    pub(super) scrapes: Scrapes,
    pub(super) readiness: Readiness,
    pub(super) clock: Clock,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) questions: FairPermits,
    pub(super) long_questions: LongTurns,
    /// The questions that wait for their turn or have one.
    pub(super) waiting: Arc<Semaphore>,
    pub(super) export_pieces: FairPermits,
    pub(super) tail_pieces: FairPermits,
    pub(super) exports: Exports,
    pub(super) tails: Arc<Semaphore>,
    /// The memory for the patterns of all tails, in KiB.
    pub(super) tail_patterns: Arc<Semaphore>,
    pub(super) response_memory: ResponseMemory,
    /// The encoders for streams that are compressed.
    pub(super) encoders: Arc<Semaphore>,
    pub(super) panics: Panics,
    /// The certificate; without one, HTTP is spoken in clear.
    pub(super) tls: Option<Tls>,
    /// Cancelled when the service stops: exports and tails then end.
    pub(super) stopping: CancellationToken,
    /// Cancels the work for one request when its client is gone.
    pub(super) cancel: Cancel,
}

impl AppState {
    /// What is asked is answered from `store` and `engine`; how the sources are doing, from `board`.
    #[must_use]
    pub fn new(store: Store, engine: Engine, board: Board, clock: Clock, access: Access) -> Self {
        let at_once = |n| Arc::new(Semaphore::new(n));
        Self {
            store,
            engine,
            board,
            followers: FollowerBoard::default(),
            metrics: Metrics::default(),
            rules: RulesInUse::default(),
            evidence: None,
            scrapes: Scrapes::default(),
            readiness: Readiness::default(),
            clock,
            access,
            limits: Limits::default(),
            questions: FairPermits::new(MAX_QUESTIONS),
            long_questions: LongTurns::new(MAX_LONG_QUESTIONS),
            waiting: at_once(MAX_WAITING),
            export_pieces: FairPermits::new(MAX_PIECES),
            tail_pieces: FairPermits::new(MAX_PIECES),
            exports: Exports::default(),
            tails: at_once(Limits::default().tails),
            tail_patterns: at_once(MAX_TAIL_PATTERNS_KIB),
            response_memory: ResponseMemory::default(),
            encoders: at_once(MAX_ENCODERS),
            panics: Panics::default(),
            tls: None,
            stopping: CancellationToken::new(),
            cancel: Cancel::default(),
        }
    }

    /// With the board on which the followers of the log report.
    #[must_use]
    pub fn with_followers(self, followers: FollowerBoard) -> Self {
        Self { followers, ..self }
    }

    /// With TLS by this certificate.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// With the metrics that `/metrics` reports, to which the routes add theirs.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// With the rules of alerts.
    #[must_use]
    pub fn with_rules(self, rules: RulesInUse) -> Self {
        Self { rules, ..self }
    }

    /// With the transparency logs.
    #[must_use]
    pub fn with_evidence(self, evidence: Option<PublishedLogs>) -> Self {
        Self { evidence, ..self }
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        // Some connections are left for those who ask something else.
        let spare = limits.connections.saturating_sub(SPARE_CONNECTIONS).max(1);
        let limits = Limits {
            tails: limits.tails.min(spare),
            ..limits
        };
        Self {
            limits,
            waiting: Arc::new(Semaphore::new(MAX_WAITING.min(spare))),
            tails: Arc::new(Semaphore::new(limits.tails)),
            response_memory: ResponseMemory::new(limits.unread, limits.slow, limits.room_within),
            ..self
        }
    }

    /// When what is begun now is cut off.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(&self.clock, self.limits.looking).or(self.cancel.clone())
    }
}
