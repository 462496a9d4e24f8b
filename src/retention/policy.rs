//! How long the bodies of events are kept, as the configuration says.

use chrono::{DateTime, TimeDelta, Utc};

use crate::position::Source;
use crate::span::{self, BadSpan};

/// A span of time, and how the configuration spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFor {
    span: TimeDelta,
    spelling: String,
}

impl KeptFor {
    /// Reads a span.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &str) -> Result<Self, BadSpan> {
        Ok(Self {
            span: span::parse(text)?,
            spelling: text.to_owned(),
        })
    }

    /// The span.
    #[must_use]
    pub fn span(&self) -> TimeDelta {
        self.span
    }

    /// As it was configured: `30d`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.spelling
    }
}

/// How long the bodies of one source are kept; `None`: forever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePolicy {
    /// The source.
    pub source: Source,
    /// How long.
    pub events: Option<KeptFor>,
}

/// How long bodies are kept. The default keeps all of them forever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicies {
    /// Of every source without a policy of its own; `None`: forever.
    pub events: Option<KeptFor>,
    /// Of single sources. No source occurs twice.
    pub sources: Vec<SourcePolicy>,
}

/// The policy by which a body is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePolicy<'p> {
    /// The source that it is for; `None`: every source without one of its own.
    pub source: Option<&'p Source>,
    /// How long it keeps bodies.
    pub events: &'p KeptFor,
}

impl RetentionPolicies {
    /// Whether any body is erased at any time.
    #[must_use]
    pub fn erase_anything(&self) -> bool {
        let own = self.sources.iter().map(|policy| &policy.events);
        own.chain([&self.events]).any(Option::is_some)
    }

    /// The policy of a source; `None` when its bodies are kept forever.
    #[must_use]
    pub fn of(&self, source: &Source) -> Option<DuePolicy<'_>> {
        let own = self.sources.iter().find(|policy| policy.source == *source);
        match own {
            Some(own) => own.events.as_ref().map(|events| DuePolicy {
                source: Some(&own.source),
                events,
            }),
            None => self.events.as_ref().map(|events| DuePolicy {
                source: None,
                events,
            }),
        }
    }

    /// The shortest span after which bodies are erased.
    #[must_use]
    pub fn shortest(&self) -> Option<&KeptFor> {
        let own = self
            .sources
            .iter()
            .filter_map(|policy| policy.events.as_ref());
        own.chain(&self.events).min_by_key(|kept| kept.span)
    }
}

impl DuePolicy<'_> {
    /// Bodies from before this time are due.
    #[must_use]
    pub fn cutoff(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.events.span)
            .unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_with_a_policy_of_its_own_does_not_have_the_general_one() {
        let account = |id| Source::account(id).unwrap();
        let own = |id, events: Option<&str>| SourcePolicy {
            source: account(id),
            events: events.map(|text| KeptFor::read(text).unwrap()),
        };
        let policies = RetentionPolicies {
            events: Some(KeptFor::read("30d").unwrap()),
            sources: vec![own("a", Some("48h")), own("b", None)],
        };
        let of = |id| {
            let source = account(id);
            let policy = policies.of(&source);
            policy.map(|policy| (policy.source.is_some(), policy.events.as_str().to_owned()))
        };
        assert_eq!(of("a"), Some((true, "48h".to_owned())));
        assert_eq!(of("b"), None);
        assert_eq!(of("c"), Some((false, "30d".to_owned())));
        assert_eq!(policies.shortest().map(KeptFor::as_str), Some("48h"));
        assert!(policies.erase_anything());
        let forever = RetentionPolicies {
            events: None,
            sources: vec![own("b", None)],
        };
        assert!(!forever.erase_anything() && !RetentionPolicies::default().erase_anything());
    }
}
