//! The credentials of a configuration: what each follows, how, and its client.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use crate::clock::Clock;
use crate::config::{self, AccountsChoice, Config, CredentialSource};
use crate::poll::{BackfillSince, Following, Overlap, Settings};
use crate::position::Source;
use crate::store::{QuotaRow, SourceSeen};
use crate::upstream::{Quota, ReadToken, Saved, Timeouts, Upstream};

/// The sources and lists that each credential follows.
#[must_use]
pub fn credentials(config: &Config) -> BTreeMap<CredentialSource, Following> {
    let mut credentials: BTreeMap<CredentialSource, Following> = BTreeMap::new();
    for organization in &config.organizations {
        let following = credentials
            .entry(organization.credential.clone())
            .or_default();
        let id = organization.source.id().to_owned();
        following.sources.push(alone(&organization.source));
        following.members_of.push(id.clone());
        match &organization.accounts {
            AccountsChoice::None => {}
            AccountsChoice::All => following.listed.push(id),
            AccountsChoice::Only(accounts) => following.sources.extend(accounts.iter().map(alone)),
        }
    }
    for account in &config.accounts {
        credentials
            .entry(account.credential.clone())
            .or_default()
            .sources
            .push(alone(&account.source));
    }
    // An account that is configured on its own is not followed a second time as an account of an organization.
    let listed: Vec<String> = credentials
        .values()
        .flat_map(|following| following.listed.clone())
        .collect();
    for following in credentials.values_mut() {
        following.listed_by_all = Some(listed.clone());
        following.by_themselves = config
            .accounts
            .iter()
            .map(|account| account.source.clone())
            .collect();
    }
    credentials
}

fn alone(source: &Source) -> SourceSeen {
    SourceSeen {
        source: source.clone(),
        organization: None,
        label: None,
        created_at: None,
    }
}

/// The client of one credential, with what is left of its budget.
///
/// # Errors
/// When the machine's TLS roots cannot be read.
pub fn upstream(
    config: &Config,
    credential: &CredentialSource,
    saved: Option<QuotaRow>,
    clock: &Clock,
) -> Result<Upstream> {
    let saved = saved.map(|row| {
        let left = row.as_of(clock.now());
        Saved {
            mark: (row.saved_at, row.wait),
            spent_for: left.spent_for,
            wait: left.wait,
        }
    });
    let quota = Quota::new(config.upstream.max_requests, saved, clock.steady());
    let source = credential.clone();
    let token: ReadToken = Arc::new(move || source.read().map_err(|error| error.to_string()));
    let base_url = config.upstream.base_url.clone();
    Ok(Upstream::new(
        base_url,
        token,
        quota,
        clock.clone(),
        Timeouts::default(),
    )?)
}

/// How the sources of a configuration are polled.
pub(super) fn settings(poll: &config::PollConfig, page_size: u32) -> Settings {
    Settings {
        interval: poll.interval,
        max_interval: poll.max_interval,
        overlap: match poll.overlap {
            config::Overlap::Auto => Overlap::Auto,
            config::Overlap::Span(span) => Overlap::Span(span),
        },
        sweeps: poll.sweeps.clone(),
        backfill_since: since(poll.backfill_since),
        page_size,
    }
}

pub(super) fn since(since: config::BackfillSince) -> BackfillSince {
    match since {
        config::BackfillSince::Span(span) => BackfillSince::Span(span),
        config::BackfillSince::Date(date) => BackfillSince::Date(date),
    }
}
