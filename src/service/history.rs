//! History in the foreground, and a stretch compared with upstream: what the commands need of the service, without the service.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::credentials::{self, credentials, settings, upstream};
use crate::clock::Clock;
use crate::config::{BackfillSince, Config, CredentialSource};
use crate::health::{Board, State};
use crate::poll::{HistoryEnd, Poller, Reached, Settings, Verify};
use crate::position::{Source, Window};
use crate::store::{SourceRow, Store};
use crate::task;

/// Beside a running service, a comparison takes one in so many of the credential's requests.
const PART_BESIDE: u32 = 10;

/// The history of the configured sources, to be read without a service.
pub struct History {
    look: HistoryReader,
    pollers: Vec<Poller>,
    only: HashSet<Source>,
}

/// What is needed to see how far it has come.
#[derive(Clone)]
pub(super) struct HistoryReader {
    store: Store,
    board: Board,
    settings: Settings,
    clock: Clock,
    /// How many events were held of each source in the beginning.
    held: HashMap<Source, u64>,
}

/// How one source's history has fared.
#[derive(Debug, Clone)]
pub struct SourceHistory {
    /// Which source.
    pub source: Source,
    /// How far back it is read; `None` when its first live window has not begun.
    pub reached: Option<Reached>,
    /// Whether any of its windows was read to its end.
    pub is_begun: bool,
    /// Events that are new since the beginning.
    pub new: u64,
    /// What was in the way last.
    pub trouble: Option<String>,
    /// Whether upstream refuses it to its credential.
    pub is_refused: bool,
}

impl SourceHistory {
    /// Whether all of it is read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.reached.is_some_and(|reached| reached.is_all)
    }
}

impl History {
    /// The history of all sources that `config` follows, or only of those named, back to `since`, or as far as the configuration
    /// says.
    ///
    /// # Errors
    /// When a named source is not followed, and what the log says.
    pub fn open(
        store: Store,
        config: &Config,
        since: Option<BackfillSince>,
        only: HashSet<Source>,
        clock: &Clock,
    ) -> Result<Self> {
        let mut asked = settings(&config.poll, config.upstream.page_size);
        let board = Board::default();
        let held = held(&store)?;
        let mut pollers = Vec::new();
        for (credential, mut following) in credentials(config) {
            following.members_of.clear();
            let saved = store.quota(&credential.to_string())?;
            let poller = Poller::new(
                store.clone(),
                upstream(config, &credential, saved, clock)?,
                credential.to_string(),
                following,
                asked.clone(),
                board.clone(),
                clock.clone(),
            )?;
            let only = Some(only.clone()).filter(|only| !only.is_empty());
            pollers.push(poller.for_history(since.map(credentials::since), only)?);
        }
        if let Some(since) = since {
            asked.backfill_since = credentials::since(since);
        }
        let history = Self {
            look: HistoryReader {
                store,
                board,
                settings: asked,
                clock: clock.clone(),
                held,
            },
            pollers,
            only,
        };
        history.without_needless_lists()
    }

    /// When all named sources are known, no organization need list its accounts; when one is not and none does, it is
    /// followed by nobody.
    fn without_needless_lists(mut self) -> Result<Self> {
        let is_known = !self.only.is_empty() && self.unknown().is_none();
        if is_known {
            let pollers = self.pollers.into_iter();
            self.pollers = pollers.map(Poller::without_lists).collect();
        }
        if !self.pollers.iter().any(Poller::has_lists) {
            self.check_known()?;
        }
        Ok(self)
    }

    fn unknown(&self) -> Option<&Source> {
        let followed = self.look.board.followed();
        let is_followed = |source: &Source| followed.iter().any(|(one, _)| one == source);
        self.only.iter().find(|source| !is_followed(source))
    }

    fn check_known(&self) -> Result<()> {
        let unknown = self.unknown();
        let unknown = unknown.map(ToString::to_string).unwrap_or_default();
        ensure!(
            unknown.is_empty(),
            "the configuration does not follow {unknown}: add it, or name another source"
        );
        Ok(())
    }

    /// Reads until all is read that can be, or until told to stop. `tell` is called every so often, and at the end.
    ///
    /// # Errors
    /// When the log cannot be written for a reason that does not pass by itself, or a named source turned out not to be
    /// followed.
    pub async fn read(
        &mut self,
        stop: &CancellationToken,
        every: Duration,
        mut tell: impl FnMut(&[SourceHistory]),
    ) -> Result<HistoryEnd> {
        let mut reading: FuturesUnordered<_> = std::mem::take(&mut self.pollers)
            .into_iter()
            .map(|poller| poller.read_history(stop.clone()))
            .collect();
        let mut ticks = tokio::time::interval(every);
        let mut all = HistoryEnd::default();
        loop {
            tokio::select! {
                ended = reading.next() => match ended {
                    None => break,
                    Some(ended) => {
                        let ended = ended.context("reading history stopped")?;
                        all.refused.extend(ended.refused);
                        all.unlisted.extend(ended.unlisted);
                    }
                },
                _ = ticks.tick() => {
                    let look = self.look.clone();
                    tell(&task::blocking(move || look.look()).await?);
                }
            }
        }
        if !stop.is_cancelled() && all.unlisted.is_empty() && all.refused.is_empty() {
            self.check_known()?;
        }
        Ok(all)
    }

    /// How each source has fared, in the order of their names.
    ///
    /// # Errors
    /// What the log says.
    pub fn sources(&self) -> Result<Vec<SourceHistory>> {
        self.look.look()
    }
}

fn held(store: &Store) -> Result<HashMap<Source, u64>> {
    let rows = store.sources()?.into_iter();
    Ok(rows.map(|row| (row.source, row.events)).collect())
}

impl HistoryReader {
    /// From here on, what a service reads that writes on `board`.
    pub(super) fn new(
        store: Store,
        board: Board,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self> {
        Ok(Self {
            held: held(&store)?,
            store,
            board,
            settings,
            clock,
        })
    }

    /// The present by the clock that nobody sets.
    pub(super) fn steady(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.steady()
    }

    /// Whether the pollers say that all history is read, which costs nothing to ask.
    pub(super) fn is_done(&self) -> bool {
        let followed = self.board.followed();
        followed.iter().all(|(_, health)| health.backfill_done)
    }

    pub(super) fn look(&self) -> Result<Vec<SourceHistory>> {
        let now = self.clock.now();
        let rows = self.store.sources()?.into_iter();
        let events: HashMap<Source, u64> = rows.map(|row| (row.source, row.events)).collect();
        let followed = self.board.followed().into_iter();
        let look = followed.map(|(source, health)| {
            let progress = self.store.progress(&source)?;
            let count = |events: &HashMap<Source, u64>| events.get(&source).copied().unwrap_or(0);
            Ok(SourceHistory {
                reached: Reached::of(&progress, &self.settings, now),
                is_begun: progress.last_live.is_some() || progress.backfilled_to.is_some(),
                new: count(&events).saturating_sub(count(&self.held)),
                is_refused: health.state == State::Refused,
                trouble: health.last_error.map(|error| error.message),
                source,
            })
        });
        look.collect()
    }
}

/// A comparison of a stretch of `source` with upstream. Beside a service that uses the same log, and which does not know
/// of it, only a tenth of the credential's requests are taken.
///
/// # Errors
/// When the configuration does not follow the source, and what the log says.
pub fn verify(
    store: Store,
    config: &Config,
    source: Source,
    window: Window,
    is_beside: bool,
    clock: &Clock,
) -> Result<Verify> {
    let credential = credential_of(config, &source, &store.sources()?).with_context(|| {
        format!("no credential is known for {source}: the configuration does not follow it, or it was never seen")
    })?;
    let mut config = config.clone();
    if is_beside {
        config.upstream.max_requests = (config.upstream.max_requests / PART_BESIDE).max(1);
    }
    let saved = store.quota(&credential.to_string())?;
    let upstream = upstream(&config, &credential, saved, clock)?;
    let settings = settings(&config.poll, config.upstream.page_size);
    let credential = credential.to_string();
    let stretch = (source, window);
    Ok(Verify::new(
        store,
        upstream,
        credential,
        settings,
        clock.clone(),
        stretch,
    ))
}

/// The credential that follows a source: its own, or that of the organization which lists it. `rows` are all sources that were
/// ever seen.
fn credential_of(config: &Config, source: &Source, rows: &[SourceRow]) -> Option<CredentialSource> {
    let row = rows.iter().find(|row| row.source == *source)?;
    let all = credentials(config);
    let itself = all
        .iter()
        .find(|(_, following)| following.sources.iter().any(|seen| seen.source == *source));
    let listed = || {
        let organization = row.organization.as_ref()?;
        let mut all = all.iter();
        all.find(|(_, following)| following.listed.contains(organization))
    };
    itself
        .or_else(listed)
        .map(|(credential, _)| credential.clone())
}
