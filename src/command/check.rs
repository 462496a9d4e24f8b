//! `orgtrail check`: every problem at once.

use std::path::Path;

use anyhow::{Result, bail};

use crate::clock::Clock;
use crate::config::{Config, CredentialSource};
use crate::index;
use crate::poll::Following;
use crate::position::{Source, Window};
use crate::service;
use crate::store::{FILE_NAME, Store};
use crate::terminal::{harmless, say};

/// What upstream gives each user in five minutes, by its documentation.
const UPSTREAM_QUOTA: u32 = 1_200;

pub(super) async fn run(path: &Path) -> Result<()> {
    let config = super::load(path)?;
    let mut report = Report::default();
    report.good(format!(
        "the configuration `{}` can be read",
        path.display()
    ))?;
    if config.upstream.max_requests > UPSTREAM_QUOTA {
        report.bad(format!(
            "`max_requests` is {}: upstream gives {UPSTREAM_QUOTA} to each user and blocks who takes more",
            config.upstream.max_requests
        ))?;
    }
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

fn check_data(config: &Config, report: &mut Report) -> Result<Option<Store>> {
    let dir = &config.data_dir;
    if !dir.join(FILE_NAME).exists() {
        report.good(format!(
            "there is no log in `{}` yet; `orgtrail serve` begins one",
            dir.display()
        ))?;
        return Ok(None);
    }
    let store = match Store::open_beside(dir) {
        Ok(store) => store,
        Err(error) => {
            report.bad(error)?;
            return Ok(None);
        }
    };
    match store.check() {
        Ok(()) => report.good(format!("the log is whole: {} events", store.head()))?,
        Err(error) => report.bad(error)?,
    }
    match index::verify_beside(dir, store.log_id()) {
        Ok(seq) => report.good(format!("the index is whole: {seq} events"))?,
        Err(error) => report.bad(format!("{error}; `orgtrail serve` rebuilds it"))?,
    }
    Ok(Some(store))
}

async fn check_credential(
    config: &Config,
    credential: &CredentialSource,
    following: &Following,
    store: Option<&Store>,
    clock: &Clock,
    report: &mut Report,
) -> Result<()> {
    if let Err(error) = credential.read() {
        return report.bad(error);
    }
    let saved = store
        .map(|store| store.quota(&credential.to_string()))
        .transpose()?
        .flatten();
    let upstream = service::upstream(config, credential, saved, clock)?;
    for seen in &following.sources {
        let permit = match upstream.quota().take(clock.steady()) {
            Ok(permit) => permit,
            Err(until) => {
                let until = crate::position::rfc3339(until);
                report.bad(format!(
                    "{credential}: no call may be made before {until}, so the rest was not tried"
                ))?;
                break;
            }
        };
        let now = clock.now();
        let minute = Window::new(now - chrono::TimeDelta::minutes(1), now);
        match upstream
            .fetch_log_page(permit, &seen.source, minute, None, 1)
            .await
        {
            Ok(_) => report.good(format!(
                "{} answers with the credential {credential}",
                seen.source
            ))?,
            Err(error) => report.bad(problem_of(&seen.source, credential, &error.to_string()))?,
        }
    }
    Ok(())
}

fn problem_of(source: &Source, credential: &CredentialSource, error: &str) -> String {
    format!(
        "{source} with the credential {credential}: {}",
        harmless(error)
    )
}

#[derive(Default)]
struct Report {
    problems: usize,
}

impl Report {
    #[expect(clippy::unused_self, reason = "both kinds of line are the report's")]
    fn good(&self, line: impl std::fmt::Display) -> Result<()> {
        Ok(say(format!("ok       {line}"))?)
    }

    fn bad(&mut self, line: impl std::fmt::Display) -> Result<()> {
        self.problems += 1;
        Ok(say(format!("PROBLEM  {line}"))?)
    }
}
