//! The metrics that are computed for each scrape.

use std::sync::atomic::AtomicU64;

use chrono::TimeDelta;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Labels, label, seconds};
use crate::invariant::Invariant;

/// Up to so many sources, or credentials, each has a label. With more there is one sample for all of them, the worst, so that a
/// scrape has a bounded size.
const MAX_LABELLED: usize = 100;

/// What is left of a credential's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLeft {
    /// How many more calls may be made within five minutes.
    pub calls: u32,
    /// How long upstream said to wait from now on.
    pub wait: TimeDelta,
}

/// The values of one scrape. What is `None` or empty is not known, and has no sample.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// How many seconds each source that is followed is behind.
    pub source_lag: Vec<(String, f64)>,
    /// What is left of each credential's budget.
    pub quotas: Vec<(String, QuotaLeft)>,
    /// Seconds of the sources' time that are not proven, by reason.
    pub gaps: Vec<(&'static str, i64)>,
    /// How many events each follower of the log is behind.
    pub followers: Vec<(&'static str, u64)>,
    /// The size of the log's files.
    pub log_bytes: Option<u64>,
    /// The size of the index's files.
    pub index_bytes: Option<u64>,
    /// The space that is left for the log.
    pub disk_free_bytes: Option<u64>,
    /// How many events are known to be damaged.
    pub damaged_events: Option<u64>,
    /// How many seconds the message waits that has waited longest for its destination; 0 when none does.
    pub delivery_lag: Option<f64>,
    /// How many signatures of witnesses the last checkpoint lacks.
    pub missing_cosignatures: Option<u64>,
    /// How many lines of the access log wait in memory for the disk.
    pub access_lines_waiting: Option<u64>,
}

type Family64 = Family<Labels, Gauge<f64, AtomicU64>>;

impl Gauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_collecting(registry);
        self.register_keeping(registry);
        let violations: Family<Labels, Counter> = Family::default();
        for invariant in Invariant::ALL {
            let count = violations.get_or_create_owned(&label("id", invariant.id()));
            count.inc_by(invariant.violations());
        }
        registry.register(
            "invariant_violations",
            "How often something was found that must never be. Each is a bug",
            violations,
        );
    }

    /// What is said of collecting.
    fn register_collecting(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "source_lag",
            "Time since the end of what is collected without a break, up to now. With more than 100 sources: of the worst one",
            Unit::Seconds,
            labelled("source", &self.source_lag, f64::max),
        );
        let each = |value: fn(QuotaLeft) -> f64| -> Vec<(String, f64)> {
            let quotas = self.quotas.iter();
            quotas
                .map(|(name, left)| (name.clone(), value(*left)))
                .collect()
        };
        registry.register(
            "quota_remaining",
            "Calls that the budget of a credential still allows within five minutes; 0 while upstream said to wait",
            labelled("credential", &each(|left| f64::from(left.calls)), f64::min),
        );
        registry.register_with_unit(
            "quota_blocked",
            "How long a credential still waits because upstream said so; 0 when it does not",
            Unit::Seconds,
            labelled("credential", &each(|left| seconds(left.wait)), f64::max),
        );
        let gaps = self.gaps.iter();
        registry.register_with_unit(
            "coverage_gap",
            "Time of which it is not proven that every entry is held, of all sources together, by reason",
            Unit::Seconds,
            family("reason", gaps.map(|(reason, seconds)| (*reason, *seconds as f64))),
        );
    }

    /// What is said of the log and of what follows it.
    fn register_keeping(&self, registry: &mut Registry) {
        let followers = self.followers.iter();
        registry.register(
            "follower_lag_events",
            "How many events a follower of the log is behind the newest one",
            family(
                "follower",
                followers.map(|(name, lag)| (*name, *lag as f64)),
            ),
        );
        registry.register_with_unit(
            "log",
            "The size of the log's files",
            Unit::Bytes,
            counted(self.log_bytes),
        );
        registry.register_with_unit(
            "index",
            "The size of the index's files",
            Unit::Bytes,
            counted(self.index_bytes),
        );
        registry.register_with_unit(
            "disk_free",
            "The space that is left on the file system of the data directory",
            Unit::Bytes,
            counted(self.disk_free_bytes),
        );
        registry.register(
            "damaged_events",
            "Events whose stored bytes no longer match their hash",
            counted(self.damaged_events),
        );
        registry.register_with_unit(
            "delivery_lag",
            "How long the message has waited that has waited longest for its destination; 0 when none waits",
            Unit::Seconds,
            single(self.delivery_lag),
        );
        registry.register(
            "evidence_missing_cosignatures",
            "Signatures of witnesses that the last checkpoint of the transparency log lacks",
            counted(self.missing_cosignatures),
        );
        registry.register(
            "access_lines_waiting",
            "Lines of the access log that wait in memory until the disk takes them",
            counted(self.access_lines_waiting),
        );
    }
}

fn family<'a>(name: &'static str, values: impl Iterator<Item = (&'a str, f64)>) -> Family64 {
    let family = Family64::default();
    for (of, value) in values {
        family.get_or_create(&label(name, of)).set(value);
    }
    family
}

/// One sample for each of a few; one for all of many.
fn labelled(name: &'static str, values: &[(String, f64)], worst: fn(f64, f64) -> f64) -> Family64 {
    if values.len() <= MAX_LABELLED {
        return family(name, values.iter().map(|(of, value)| (of.as_str(), *value)));
    }
    let all = Family64::default();
    if let Some(worst) = values.iter().map(|(_, value)| *value).reduce(worst) {
        all.get_or_create(&Vec::new()).set(worst);
    }
    all
}

fn counted(value: Option<u64>) -> Family64 {
    single(value.map(|value| value as f64))
}

fn single(value: Option<f64>) -> Family64 {
    let family = Family64::default();
    if let Some(value) = value {
        family.get_or_create(&Vec::new()).set(value);
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn scraped(sources: usize) -> Vec<String> {
        let gauges = Gauges {
            source_lag: (0..sources)
                .map(|n| (format!("accounts/{n}"), n as f64))
                .collect(),
            ..Gauges::default()
        };
        let text = Metrics::default().open_metrics(&gauges);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("orgtrail_source_lag_seconds"));
        lines.map(ToOwned::to_owned).collect()
    }

    #[test]
    fn each_source_has_a_label_up_to_a_hundred_and_then_there_is_one_figure() {
        assert_eq!(scraped(MAX_LABELLED).len(), 100);
        assert!(
            scraped(2)
                .contains(&"orgtrail_source_lag_seconds{source=\"accounts/1\"} 1.0".to_owned())
        );
        assert_eq!(scraped(501), ["orgtrail_source_lag_seconds 500.0"]);
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        let text = Metrics::default().open_metrics(&Gauges::default());
        assert!(!text.contains("orgtrail_log_bytes"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
