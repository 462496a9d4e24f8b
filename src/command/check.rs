//! `orgtrail check`: every problem at once.

mod report;
mod upstream;

use std::path::Path;

use anyhow::{Result, bail};

use self::report::CheckReport;
use self::upstream::check_credential;
use super::setup::{self, Severity};
use crate::attest::key_file;
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver;
use crate::engine::tantivy::{IndexError, verify_beside};
use crate::follow::index::{IndexingError, open_beside};
use crate::keyring;
use crate::position::rfc3339;
use crate::private;
use crate::rules::Rules;
use crate::service;
use crate::store::{FILE_NAME, Holder, Store, StoreError};
use crate::terminal::harmless;
use crate::tls;
use crate::wording::quoted;

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
    check_rules(&config, &mut report)?;
    check_certificate(&config, &report)?;
    check_access(&config, &mut report).await?;
    check_destinations(&config, &mut report).await?;
    check_user(&config, &mut report)?;
    check_evidence(&config, &mut report)?;
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

/// Reads the key that signs the log.
fn check_evidence(config: &Config, report: &mut CheckReport) -> Result<()> {
    let Some(evidence) = &config.evidence else {
        return Ok(());
    };
    let path = &evidence.key_file;
    match key_file::read(path) {
        Err(error) => report.bad(harmless(&error.to_string())),
        Ok(_) if private::is_open_to_all(path) => report.warn(format!(
            "every user of this machine can read the key that signs the log, `{}`: `chmod 600` hides it",
            harmless(&path.display().to_string())
        )),
        Ok(_) => report.good("the key that signs the log can be read"),
    }
}

/// Parses the rules. A broken one is a problem although the others are used.
fn check_rules(config: &Config, report: &mut CheckReport) -> Result<()> {
    let (rules, errors) = Rules::load(config.rules.dir.as_deref(), &config.rules.disabled);
    for error in &errors {
        report.bad(format!(
            "a rule cannot be used: {}",
            harmless(&error.to_string())
        ))?;
    }
    for id in rules.unknown_disabled() {
        report.bad(format!(
            "`disabled` in `[alerts]` names {}, which is the id of no rule",
            harmless(&quoted(id.as_str()))
        ))?;
    }
    let raising = rules.iter().filter(|rule| !rules.is_disabled(&rule.id));
    report.good(format!("{} rules can be used", raising.count()))
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
    check_retention(config, &store, report)?;
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

/// What the policies say of sources that the log does not have may be a slip.
fn check_retention(config: &Config, store: &Store, report: &mut CheckReport) -> Result<()> {
    let policies = &config.retention;
    if !policies.erase_anything() {
        return Ok(());
    }
    let known = store.sources()?;
    for policy in &policies.sources {
        if !known.iter().any(|row| row.source == policy.source) {
            report.warn(format!(
                "`[[retention.sources]]` names `{}`, and the log has no such source",
                policy.source
            ))?;
        }
    }
    if !store.can_shrink()? {
        report.warn(
            "the log's file is of an earlier version: for retention it is rewritten once when the service starts, which needs free \
             space of twice its size",
        )?;
    }
    let holds = store.holds_in_force()?.len();
    report.good(format!(
        "bodies are erased by `[retention]`; holds in force: {holds}; `orgtrail retention plan` shows what is due"
    ))
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
