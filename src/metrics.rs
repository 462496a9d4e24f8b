//! What the service measures of itself, in `OpenMetrics` text: the one place that names the metrics.
//!
//! Counters and histograms are counted where something happens, through a handle ([`Metrics`]). Gauges are computed for each
//! scrape by the caller, who hands them in as [`Gauges`]. Every family has a sample from the first scrape on, so that an alert
//! rule never waits for a name.
//!
//! Not here yet, because their parts do not exist: `alerts` and
//! `evidence_missing_cosignatures`. Each is added with its part.

mod gauges;
mod labels;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use self::gauges::{Gauges, QuotaLeft};
use self::labels::{Labels, label, seconds};
use crate::alert::Level;
use crate::position::WindowKind;
use crate::sync::lock;

/// The start of every metric's name.
const PREFIX: &str = "orgtrail";

/// The upper bounds of `question_seconds`.
const QUESTION_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The upper bounds of `upstream_visibility_lag_seconds`. Most entries become visible after 150 to 450 s.
const VISIBILITY_SECONDS: [f64; 15] = [
    30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 600.0, 900.0, 1_800.0, 3_600.0,
    21_600.0, 86_400.0,
];

/// The route that `question_seconds` has before the first question. Others are added with their first question.
const FIRST_ROUTE: &str = "/v1/events";

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// How a call to upstream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With what was requested.
    Ok,
    /// With a 429.
    RateLimited,
    /// Without a response, or with a server error.
    Failed,
    /// With a response that cannot be read, or is larger than the limit.
    Unreadable,
    /// The credential was refused.
    CredentialRefused,
    /// The credential may not read this.
    Forbidden,
    /// The cursor or the window was refused.
    Rejected,
    /// With another error.
    Unexpected,
}

impl RequestOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::RateLimited,
        Self::Failed,
        Self::Unreadable,
        Self::CredentialRefused,
        Self::Forbidden,
        Self::Rejected,
        Self::Unexpected,
    ];

    /// The value of its label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::CredentialRefused => "credential_refused",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::Unexpected => "unexpected",
        }
    }
}

/// How a message to a destination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The destination accepted it.
    Accepted,
    /// An attempt failed; it is made again.
    Failed,
    /// It was given up.
    GivenUp,
    /// It was not sent, because an alert of its rule and group was sent lately.
    Suppressed,
    /// It was not sent, because it is in a digest.
    InDigest,
    /// It was not sent, because its alert was retracted first.
    Retracted,
}

impl DeliveryOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Failed,
        Self::GivenUp,
        Self::Suppressed,
        Self::InDigest,
        Self::Retracted,
    ];

    /// The value of its label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Suppressed => "suppressed",
            Self::InDigest => "in_digest",
            Self::Retracted => "retracted",
        }
    }
}

/// Why a question was refused, by the end of its problem's `type`. Others may be added by a problem that is not in this list.
const REFUSALS: [&str; 9] = [
    "unauthorized",
    "forbidden",
    "over-limit",
    "too-many",
    "too-slow",
    "unread",
    "rebuilding",
    "index-unavailable",
    "unrecorded",
];

/// Reads what is left of a credential's budget at a moment of the steady clock.
type ReadQuota = Box<dyn Fn(DateTime<Utc>) -> QuotaLeft + Send + Sync>;

/// The counters and histograms. A clone is another handle to the same ones.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    alerts: Family<Labels, Counter>,
    entries: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    questions: Histograms,
    visibility: Histogram,
    deliveries: Family<Labels, Counter>,
    quotas: Mutex<Vec<(String, ReadQuota)>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let inner = Inner {
            alerts: Family::default(),
            entries: Family::default(),
            requests: Family::default(),
            refused: Family::default(),
            questions: Family::new_with_constructor(|| Histogram::new(QUESTION_SECONDS)),
            visibility: Histogram::new(VISIBILITY_SECONDS),
            deliveries: Family::default(),
            quotas: Mutex::default(),
        };
        for level in Level::ALL {
            exists(&inner.alerts, label("level", level.as_str()));
        }
        for kind in WindowKind::ALL {
            exists(&inner.entries, label("kind", kind.as_str()));
        }
        for outcome in RequestOutcome::ALL {
            exists(&inner.requests, label("outcome", outcome.as_str()));
        }
        for reason in REFUSALS {
            exists(&inner.refused, refusal(reason));
        }
        exists(&inner.questions, label("route", FIRST_ROUTE));
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// An alert of that level was raised.
    pub fn alerted(&self, level: Level) {
        let alerts = &self.0.alerts;
        alerts.get_or_create(&label("level", level.as_str())).inc();
    }

    /// A page of such a window stored so many new entries.
    pub fn stored(&self, kind: WindowKind, new: usize) {
        let entries = &self.0.entries;
        let kind = label("kind", kind.as_str());
        entries.get_or_create(&kind).inc_by(new as u64);
    }

    /// So many entries became visible upstream so long after their time.
    pub fn became_visible(&self, lag: TimeDelta, entries: u64) {
        for _ in 0..entries {
            self.0.visibility.observe(seconds(lag));
        }
    }

    /// A call to upstream ended.
    pub fn requested(&self, outcome: RequestOutcome) {
        let outcome = label("outcome", outcome.as_str());
        self.0.requests.get_or_create(&outcome).inc();
    }

    /// A question was answered, with success or not. `route` is the pattern of its route.
    pub fn answered(&self, route: &str, took: Duration) {
        let questions = &self.0.questions;
        let route = label("route", route);
        questions.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// A question was refused. `reason` is the end of the problem's `type`.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&refusal(reason)).inc();
    }

    /// So many messages to a destination ended like this.
    pub fn delivered(&self, destination: &str, outcome: DeliveryOutcome, messages: u64) {
        let deliveries = &self.0.deliveries;
        let labels = delivery(destination, outcome);
        deliveries.get_or_create(&labels).inc_by(messages);
    }

    /// Makes the samples of a destination exist before anything is sent to it.
    pub fn expect_deliveries_to(&self, destination: &str) {
        for outcome in DeliveryOutcome::ALL {
            exists(&self.0.deliveries, delivery(destination, outcome));
        }
    }

    /// From now on reports the budget of `credential`, which is its name in the configuration.
    pub fn watch_quota(
        &self,
        credential: &str,
        read: impl Fn(DateTime<Utc>) -> QuotaLeft + Send + Sync + 'static,
    ) {
        let mut quotas = lock(&self.0.quotas);
        quotas.retain(|(name, _)| name != credential);
        quotas.push((credential.to_owned(), Box::new(read)));
    }

    /// What is left of each credential's budget, by the steady clock.
    #[must_use]
    pub fn quotas(&self, now: DateTime<Utc>) -> Vec<(String, QuotaLeft)> {
        let quotas = lock(&self.0.quotas);
        let left = quotas.iter().map(|(name, read)| (name.clone(), read(now)));
        left.collect()
    }

    /// All metrics, in `OpenMetrics` text.
    #[must_use]
    pub fn open_metrics(&self, gauges: &Gauges) -> String {
        let mut out = String::new();
        // Writing into a `String` cannot fail.
        let _written = text::encode(&mut out, &self.registry(gauges)).is_ok();
        out
    }

    /// All metrics, in the older text format of Prometheus.
    #[must_use]
    pub fn prometheus_text(&self, gauges: &Gauges) -> String {
        let mut out = String::new();
        let _written = prometheus_text::encode(&mut out, &self.registry(gauges)).is_ok();
        out
    }

    fn registry(&self, gauges: &Gauges) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        gauges.register(&mut registry);
        registry.register_with_unit(
            "upstream_visibility_lag",
            "Time from an entry's own time to the scan that first showed it",
            Unit::Seconds,
            self.0.visibility.clone(),
        );
        registry.register(
            "alerts",
            "Alerts that were raised, by their level",
            self.0.alerts.clone(),
        );
        registry.register(
            "entries",
            "New entries that were stored, by the kind of scan that found them",
            self.0.entries.clone(),
        );
        registry.register(
            "requests",
            "Calls to upstream, by how they ended",
            self.0.requests.clone(),
        );
        registry.register(
            "deliveries",
            "Messages about alerts, by destination and by how they or their attempts ended",
            self.0.deliveries.clone(),
        );
        registry.register_with_unit(
            "question",
            "Time until the response to a question begins",
            Unit::Seconds,
            self.0.questions.clone(),
        );
        registry.register(
            "questions_refused",
            "Questions that were refused with 401, 403, 429 or 503",
            self.0.refused.clone(),
        );
        registry
    }
}

/// Makes a sample exist before anything is counted.
fn exists<M: Clone, C: MetricConstructor<M>>(family: &Family<Labels, M, C>, labels: Labels) {
    drop(family.get_or_create_owned(&labels));
}

fn delivery(destination: &str, outcome: DeliveryOutcome) -> Labels {
    vec![
        ("destination", destination.to_owned()),
        ("outcome", outcome.as_str().to_owned()),
    ]
}

fn refusal(reason: &str) -> Labels {
    label("reason", &reason.replace('-', "_"))
}
