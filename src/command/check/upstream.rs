//! Whether each log and each list can be read with its credential: one call for each, within the quota.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::report::CheckReport;
use crate::clock::Clock;
use crate::command::setup;
use crate::config::{Config, CredentialSource};
use crate::poll::Following;
use crate::position::{Source, Window, rfc3339};
use crate::service;
use crate::store::{QuotaRow, SourceSeen, Store};
use crate::terminal::harmless;
use crate::upstream::{Permit, Upstream};

/// How long the pace of the budget is waited for. What is longer is a wait that upstream asked for.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);

/// How long the logs of listed accounts are tried in all.
const PATIENCE_FOR_ACCOUNTS: TimeDelta = TimeDelta::seconds(30);

/// Asks for one entry of each log that a credential is for, and for the lists of accounts.
pub(super) async fn check_credential(
    config: &Config,
    credential: &CredentialSource,
    following: &Following,
    store: Option<&Store>,
    clock: &Clock,
    report: &mut CheckReport,
) -> Result<()> {
    // That it cannot be read was said before.
    if credential.read().is_err() {
        return Ok(());
    }
    let saved = store
        .map(|store| store.quota(&credential.to_string()))
        .transpose()?
        .flatten();
    let upstream = service::upstream(config, credential, saved, clock)?;
    let is_real = |seen: &&SourceSeen| !setup::is_placeholder(&seen.source);
    for seen in following.sources.iter().filter(is_real) {
        let Some(permit) = permit(&upstream, credential, clock, report).await? else {
            break;
        };
        let now = clock.now();
        let minute = Window::new(now - TimeDelta::minutes(1), now);
        let page = upstream.fetch_log_page(permit, &seen.source, minute, None, 1);
        report.answer(&seen.source, credential, page.await)?;
    }
    let is_real = |id: &&String| {
        let source = Source::organization(id);
        !source.is_ok_and(|source| setup::is_placeholder(&source))
    };
    for organization in following.listed.iter().filter(is_real) {
        let Some(permit) = permit(&upstream, credential, clock, report).await? else {
            break;
        };
        let page = upstream.fetch_accounts_page(permit, organization, None);
        let list = format!("the list of accounts of organizations/{organization}");
        let page = page.await;
        let listed = page.as_ref().ok().map(|page| page.accounts.clone());
        report.answer(list, credential, page)?;
        if let Some(listed) = listed {
            let accounts = AccountLogs {
                upstream: &upstream,
                credential,
                clock,
            };
            let ids = listed.iter().map(|account| account.id.as_str());
            accounts.check(organization, ids, report).await?;
        }
    }
    // What was spent and how long was told to wait count for the service as well.
    if let Some(store) = store {
        let (spent, now) = (upstream.quota().spent(), clock.steady());
        let row = QuotaRow {
            saved_at: clock.now(),
            spent_for: spent.spent_until - now,
            wait: spent.blocked_until - now,
        };
        store.save_quota(&credential.to_string(), row)?;
    }
    Ok(())
}

/// The logs of the accounts that an organization lists.
struct AccountLogs<'a> {
    upstream: &'a Upstream,
    credential: &'a CredentialSource,
    clock: &'a Clock,
}

impl AccountLogs<'_> {
    /// Asks for one entry of each log as the quota allows, and says how many logs were not tried.
    async fn check<'i>(
        &self,
        organization: &str,
        ids: impl ExactSizeIterator<Item = &'i str>,
        report: &mut CheckReport,
    ) -> Result<()> {
        let give_up = self.clock.steady() + PATIENCE_FOR_ACCOUNTS;
        let (listed, mut answered, mut untried) = (ids.len(), 0_usize, 0_usize);
        let mut refused: BTreeMap<String, Vec<Source>> = BTreeMap::new();
        for id in ids {
            let Ok(source) = Source::account(id) else {
                continue;
            };
            let Some(permit) = self.permit(give_up).await else {
                untried += 1;
                continue;
            };
            let now = self.clock.now();
            let minute = Window::new(now - TimeDelta::minutes(1), now);
            let page = self
                .upstream
                .fetch_log_page(permit, &source, minute, None, 1);
            match page.await {
                Ok(_) => answered += 1,
                Err(error) => refused.entry(error.to_string()).or_default().push(source),
            }
        }
        let credential = self.credential;
        if answered > 0 {
            report.good(format!(
                "the logs of {answered} of the {listed} accounts that organizations/{organization} lists first answer with the credential {credential}"
            ))?;
        }
        if untried > 0 {
            report.warn(format!(
                "{untried} of the {listed} listed accounts were not tried, because the quota allowed no more calls within {} seconds",
                PATIENCE_FOR_ACCOUNTS.num_seconds()
            ))?;
        }
        for (error, sources) in refused {
            let more = match sources.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            report.bad(format!(
                "the log of {}{more} with the credential {credential}: {}",
                sources[0],
                harmless(&error)
            ))?;
        }
        Ok(())
    }

    /// Leave to make a call before `give_up`.
    async fn permit(&self, give_up: DateTime<Utc>) -> Option<Permit> {
        loop {
            let until = match self.upstream.quota().take(self.clock.steady()) {
                Ok(permit) => return Some(permit),
                Err(until) => until,
            };
            if until > give_up {
                return None;
            }
            let wait = until - self.clock.steady();
            tokio::time::sleep(wait.to_std().unwrap_or_default()).await;
        }
    }
}

/// Leave to make a call; `None` when it would take too long to come, which is then a problem.
async fn permit(
    upstream: &Upstream,
    credential: &CredentialSource,
    clock: &Clock,
    report: &mut CheckReport,
) -> Result<Option<Permit>> {
    let give_up = clock.steady() + PATIENCE;
    loop {
        let until = match upstream.quota().take(clock.steady()) {
            Ok(permit) => return Ok(Some(permit)),
            Err(until) => until,
        };
        if until > give_up {
            let until = rfc3339(until);
            report.bad(format!(
                "{credential}: no call may be made before {until}, so the rest was not tried"
            ))?;
            return Ok(None);
        }
        let wait = until - clock.steady();
        tokio::time::sleep(wait.to_std().unwrap_or_default()).await;
    }
}
