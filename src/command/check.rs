//! `orgtrail check`: every problem at once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};

use super::setup::{self, Severity};
use crate::clock::Clock;
use crate::config::{Config, CredentialSource};
use crate::deliver;
use crate::engine::tantivy::{IndexError, verify_beside};
use crate::follow::index::{IndexingError, open_beside};
use crate::keyring;
use crate::poll::Following;
use crate::position::{Source, Window, rfc3339};
use crate::service;
use crate::store::{FILE_NAME, Holder, QuotaRow, SourceSeen, Store, StoreError};
use crate::terminal::{harmless, say};
use crate::tls;
use crate::upstream::{Permit, Upstream, UpstreamError};

/// How long the pace of the budget is waited for. What is longer is a wait that upstream asked for.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);

/// How long the logs of listed accounts are tried in all.
const PATIENCE_FOR_ACCOUNTS: TimeDelta = TimeDelta::seconds(30);

pub(super) async fn run(path: &Path) -> Result<()> {
    let config = super::start::load(path)?;
    let mut report = CheckReport::default();
    report.good(format!(
        "the configuration `{}` can be read",
        path.display()
    ))?;
    for finding in setup::look(&config) {
        match finding.severity {
            Severity::Never | Severity::Problem => report.bad(finding.message)?,
            Severity::Warning => report.warn(finding.message)?,
        }
    }
    check_certificate(&config, &report)?;
    check_access(&config, &mut report).await?;
    check_destinations(&config, &mut report).await?;
    check_user(&config, &mut report)?;
    let store = check_data(&config, &mut report)?;
    let clock = Clock::system();
    for (credential, following) in service::credentials(&config) {
        check_credential(
            &config,
            &credential,
            &following,
            store.as_ref(),
            &clock,
            &mut report,
        )
        .await?;
    }
    match report.problems {
        0 => Ok(()),
        1 => bail!("there is 1 problem"),
        problems => bail!("there are {problems} problems"),
    }
}

/// Says for which servers the certificate is, and how long. What is wrong with it was said before.
fn check_certificate(config: &Config, report: &CheckReport) -> Result<()> {
    let files = config.http.tls.as_ref();
    let Some(Ok(loaded)) = files.map(tls::load) else {
        return Ok(());
    };
    report.good(format!(
        "the certificate belongs to its key; it is for {}, until {}",
        harmless(&loaded.certificate.names.join(", ")),
        rfc3339(loaded.certificate.not_after)
    ))
}

/// Fetches the keys of Cloudflare Access. A domain that is no team's has none.
async fn check_access(config: &Config, report: &mut CheckReport) -> Result<()> {
    let Some(access) = &config.http.access else {
        return Ok(());
    };
    let url = &access.keys_url;
    match keyring::key_names(url).await {
        Ok(names) => report.good(format!(
            "the keys of Cloudflare Access for {} are at {url}: {}",
            access.team_domain,
            harmless(&names.join(", "))
        )),
        Err(error) => report.bad(format!(
            "the keys of Cloudflare Access could not be fetched from {url}: {}; is `team_domain` right?",
            harmless(&error.to_string())
        )),
    }
}

/// Reads the secrets of each destination of alerts and resolves its name. Nothing is sent.
async fn check_destinations(config: &Config, report: &mut CheckReport) -> Result<()> {
    for (name, wrong) in deliver::check(&config.alerts).await {
        if wrong.is_empty() {
            report.good(format!(
                "the destination `{name}` can be used; nothing was sent: `orgtrail alerts test {name}` does"
            ))?;
        }
        for message in wrong {
            report.bad(format!("the destination `{name}`: {}", harmless(&message)))?;
        }
    }
    Ok(())
}

/// Says who uses the data directory, if a process does.
fn check_user(config: &Config, report: &mut CheckReport) -> Result<()> {
    match Holder::of(&config.data_dir) {
        Some(holder) => report.good(format!(
            "{holder}; its log and index are checked as they are now"
        )),
        None => Ok(()),
    }
}

fn check_data(config: &Config, report: &mut CheckReport) -> Result<Option<Store>> {
    let dir = &config.data_dir;
    if !dir.join(FILE_NAME).exists() {
        // A problem before this may be that the directory cannot be made.
        let begins = match report.problems {
            0 => "; `orgtrail serve` begins one",
            _ => "",
        };
        report.good(format!(
            "there is no log in `{}` yet{begins}",
            dir.display()
        ))?;
        return Ok(None);
    }
    let store = match Store::open_beside(dir) {
        Ok(store) => store,
        Err(error @ StoreError::Older { .. }) => {
            report.warn(error)?;
            return Ok(None);
        }
        Err(error) => {
            report.bad(error)?;
            return Ok(None);
        }
    };
    check_log(&store, report)?;
    check_index(dir, &store, report)?;
    Ok(Some(store))
}

fn check_log(store: &Store, report: &mut CheckReport) -> Result<()> {
    match store.check() {
        Ok(()) => report.good(format!(
            "the structure of the log is whole: {} events (SQLite's quick_check; bodies were not read)",
            store.head()
        ))?,
        Err(error) => report.bad(format!(
            "{error}; `orgtrail scrub` lists the events that cannot be read, then restore a backup"
        ))?,
    }
    let state = match store.scrub_state() {
        Ok(state) => state,
        Err(error) => return report.bad(error),
    };
    match state.full_at {
        Some(at) => report.good(format!(
            "every body was last compared with its hash at {}",
            rfc3339(at)
        ))?,
        None => report.good(
            "not every event has been compared with its hash yet; `orgtrail serve` does so in the background, \
             `orgtrail scrub` at once",
        )?,
    }
    match state.damaged {
        0 => Ok(()),
        damaged => report.bad(format!(
            "events that are damaged in the log: {damaged}; `orgtrail scrub` lists them, and repairs what upstream still has"
        )),
    }
}

fn check_index(dir: &Path, store: &Store, report: &mut CheckReport) -> Result<()> {
    let checked = open_beside(dir, store).and_then(|_| Ok(verify_beside(dir, store.log_id())?));
    match checked {
        Ok(seq) => report.good(format!(
            "the files of the index match their checksums: {seq} events"
        )),
        Err(IndexingError::Index(error @ IndexError::Unusable(_))) => {
            report.bad(format!("{error}; `orgtrail reindex` builds it from the log, and `orgtrail serve` does when it starts"))
        }
        Err(error) => report.bad(error),
    }
}

async fn check_credential(
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

#[derive(Default)]
struct CheckReport {
    problems: usize,
}

impl CheckReport {
    #[expect(clippy::unused_self, reason = "all kinds of line are the report's")]
    fn good(&self, line: impl std::fmt::Display) -> Result<()> {
        Ok(say(format!("ok       {line}"))?)
    }

    /// What upstream answered to a call for `what`.
    fn answer<T>(
        &mut self,
        what: impl std::fmt::Display,
        credential: &CredentialSource,
        answer: Result<T, UpstreamError>,
    ) -> Result<()> {
        match answer {
            Ok(_) => self.good(format!("{what} answers with the credential {credential}")),
            Err(error) => self.bad(format!(
                "{what} with the credential {credential}: {}",
                harmless(&error.to_string())
            )),
        }
    }

    #[expect(clippy::unused_self, reason = "all kinds of line are the report's")]
    fn warn(&self, line: impl std::fmt::Display) -> Result<()> {
        Ok(say(format!("WARNING  {}", harmless(&line.to_string())))?)
    }

    fn bad(&mut self, line: impl std::fmt::Display) -> Result<()> {
        self.problems += 1;
        Ok(say(format!("PROBLEM  {line}"))?)
    }
}
