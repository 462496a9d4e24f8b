//! A stretch of a source's log, read again now, beside what is held of it: a check of the log against upstream.
//!
//! Nothing is kept of what is read, and no window claims it. What is remembered of an entry are two short hashes, so that the
//! largest stretch needs less than a hundred megabytes. Upstream is asked for a second more at both ends; of entries with a time only
//! those within the stretch are compared. An entry without a readable time counts where upstream shows it: whoever sealed the
//! stretch was shown it too. The other way round it is not known to which stretch such an entry belongs, so one that is held is
//! never missed.
//!
//! A refused cursor cuts the stretch in two; what was read before stays compared. So do a page that is too large and an answer
//! that stays unreadable: the second that causes it is left out, and named with the cause.

mod repair;

pub use self::repair::Repair;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::Settings;
use super::paging::{Follows, Place};
use super::scan::{UNREADABLE_TRIES, foreign_owner};
use super::turn::Hands;
use crate::clock::Clock;
use crate::event::{Arrival, Identity};
use crate::health::Board;
use crate::ledger;
use crate::position::{Cursor, Seq, Source, Window};
use crate::store::{EntryKey, GapCause, Held, Holding, Store, StoreError};
use crate::task;
use crate::upstream::{LogPage, Permit, Upstream, UpstreamError};

/// The most entries that are compared in one stretch.
const MAX_ENTRIES: usize = 1_000_000;

/// The most pages that are read.
const MAX_PAGES: u64 = 100_000;

/// How many differences are described; all are counted.
const MAX_DESCRIBED: usize = 100;

/// How much of an id a difference repeats, in characters.
const MAX_ID_CHARS: usize = 200;

/// How often the same page is asked for; each wait is twice the one before, from a second: two minutes in all.
const MAX_TRIES: u32 = 8;

/// Why a stretch could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Upstream gave no page, however often it was asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The log could not be read, or the budget not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Pages were not of the log that was asked for.
    #[error("upstream answered with the entries of {0}")]
    Foreign(String),
    /// There is more than is compared at once.
    #[error("there are more than {MAX_ENTRIES} entries in it: choose a shorter stretch")]
    TooMany,
    /// Upstream's pages have no end.
    #[error("upstream's pages have no end: {MAX_PAGES} were read")]
    Endless,
}

/// In what upstream and the log differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Upstream shows it, and it is not held.
    NotHeld,
    /// It is held, and upstream does not show it any more.
    NotShown,
    /// It is held with other content only.
    OtherContent,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub differs: Differs,
    /// The entry's id upstream, if it has one; a long one is cut.
    pub id: Option<String>,
    /// When it happened, if that can be read.
    pub time: Option<DateTime<Utc>>,
    /// Where it is held.
    pub seq: Option<Seq>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Pages that were read.
    pub pages: u64,
    /// Entries that upstream shows in the stretch.
    pub shown: u64,
    /// Of those, entries without a readable time.
    pub without_time: u64,
    /// How many differ, in each way.
    pub counts: HashMap<Differs, u64>,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What could not be compared; the earliest first.
    pub left_out: Vec<LeftOut>,
}

/// A stretch that could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The stretch.
    pub window: Window,
    /// Why.
    pub cause: GapCause,
}

impl Verdict {
    /// How many entries differ in that way.
    #[must_use]
    pub fn count(&self, differs: Differs) -> u64 {
        self.counts.get(&differs).copied().unwrap_or(0)
    }

    /// How many entries differ.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Leaves out `window`, which comes after all that was left out before.
    fn leave_out(&mut self, window: Window, cause: GapCause) {
        match self.left_out.last_mut() {
            Some(last) if last.window.before == window.since && last.cause == cause => {
                last.window.before = window.before;
            }
            _ => self.left_out.push(LeftOut { window, cause }),
        }
    }

    fn note(&mut self, difference: impl FnOnce() -> Difference, differs: Differs) {
        *self.counts.entry(differs).or_default() += 1;
        if self.differences.len() < MAX_DESCRIBED {
            self.differences.push(difference());
        }
    }
}

/// A comparison of one stretch of a source.
pub struct Verify {
    hands: Hands,
    source: Source,
    window: Window,
    limit: u32,
}

/// Why a scan did not come to its end.
enum Broken {
    /// Its cursor leads nowhere.
    Cursor(UpstreamError),
    /// A page has too many bytes; the next scan asks for half as many entries.
    TooLarge,
    /// An answer stays unreadable, or there is no way to read all of it.
    Unreadable,
    /// Nothing helps.
    Off(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Off(error.into())
    }
}

impl Verify {
    /// A comparison of `window` of `source`, as far as it is past and upstream keeps it, with `credential`, which is its name in
    /// the configuration. The log may be written by another process meanwhile.
    #[must_use]
    pub fn new(
        store: Store,
        upstream: Upstream,
        credential: String,
        settings: Settings,
        clock: Clock,
        (source, window): (Source, Window),
    ) -> Self {
        let now = clock.now();
        let since = window.since.max(ledger::claimable_since(now));
        Self {
            limit: settings.page_size,
            hands: Hands {
                store,
                upstream,
                credential,
                settings,
                board: Board::default(),
                clock,
            },
            source,
            window: Window::new(since, window.before.min(now)),
        }
    }

    /// The stretch that is compared.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Reads the stretch and compares it. `tell` is called after each page.
    ///
    /// # Errors
    /// [`VerifyError`]: then nothing is known.
    pub async fn run(mut self, mut tell: impl FnMut(&Verdict)) -> Result<Verdict, VerifyError> {
        // What comes in from here on may have been shown behind our back.
        let upto = self.hands.store.head();
        let mut compared = Compared::new(self.window);
        let mut pieces = vec![self.window];
        let mut failures = 0;
        while let Some(piece) = pieces.pop() {
            let broken = match self.scan(piece, &mut compared, &mut tell).await {
                Ok(()) => {
                    failures = 0;
                    self.ask_for_more();
                    continue;
                }
                Err(Broken::Off(error)) => return Err(error),
                Err(broken) => broken,
            };
            match (broken, piece.middle()) {
                (broken, Some(middle)) => {
                    if matches!(broken, Broken::TooLarge) {
                        self.ask_for_less();
                    }
                    let (since, before) = (piece.since, piece.before);
                    // The earlier half first.
                    pieces.push(Window::new(middle, before));
                    pieces.push(Window::new(since, middle));
                }
                (Broken::Cursor(error), None) => {
                    failures += 1;
                    self.wait_after(failures, error.into()).await?;
                    pieces.push(piece);
                }
                (Broken::TooLarge, None) if self.limit > 1 => {
                    self.ask_for_less();
                    pieces.push(piece);
                }
                (Broken::TooLarge, None) => compared.verdict.leave_out(piece, GapCause::TooLarge),
                (_, None) => compared.verdict.leave_out(piece, GapCause::Unreadable),
            }
        }
        let (store, source) = (self.hands.store.clone(), self.source);
        task::blocking(move || compared.finish(&store, &source, upto)).await
    }

    /// The next scan asks for twice as many entries at a time: the last one came to its end.
    fn ask_for_more(&mut self) {
        let most = self.hands.settings.page_size;
        self.limit = self.limit.saturating_mul(2).min(most);
    }

    /// The next scan asks for half as many entries at a time.
    fn ask_for_less(&mut self) {
        self.limit = (self.limit / 2).max(1);
    }

    /// One scan of a piece of the stretch, oldest first.
    async fn scan(
        &mut self,
        piece: Window,
        compared: &mut Compared,
        tell: &mut impl FnMut(&Verdict),
    ) -> Result<(), Broken> {
        let mut cursors = HashSet::new();
        let (mut cursor, mut resumed, mut empty_pages) = (None::<Cursor>, None, 0);
        compared.begin_scan();
        loop {
            let place = Place {
                window: piece,
                resumed,
                cursor: cursor.as_ref(),
                empty_pages,
                has_nameless: compared.has_nameless(),
            };
            let page = self.page(place).await?;
            let follows = place.then(&page);
            let is_empty = page.entries.is_empty();
            empty_pages = if is_empty { empty_pages + 1 } else { 0 };
            let (store, source) = (self.hands.store.clone(), self.source.clone());
            let mut taken = std::mem::take(compared);
            let (taken, result) = task::blocking(move || {
                let result = taken.take(&store, &source, page.entries, resumed);
                (taken, result)
            })
            .await;
            *compared = taken;
            result?;
            tell(&compared.verdict);
            if compared.verdict.pages >= MAX_PAGES && follows != Follows::End {
                return Err(VerifyError::Endless.into());
            }
            let lost = |why: &str| Err(Broken::Cursor(UpstreamError::CursorRefused(why.into())));
            match follows {
                Follows::End => return Ok(()),
                Follows::NoWay => return Err(Broken::Unreadable),
                Follows::Unknown(why) => return lost(why),
                Follows::From(time) => {
                    cursors.clear();
                    compared.resume_from(time);
                    (cursor, resumed) = (None, Some(time));
                }
                Follows::Page(next) => {
                    let is_same = is_empty && cursor.as_ref() == Some(&next);
                    if !cursors.insert(next.0.clone()) && !is_same {
                        return lost("it came again, and leads in a circle");
                    }
                    cursor = Some(next);
                }
            }
        }
    }

    /// One page, asked for until it comes.
    async fn page(&mut self, place: Place<'_>) -> Result<LogPage, Broken> {
        let (mut failures, mut unreadable) = (0, 0);
        // A part of a stretch that could not be read is cut further at once.
        let is_cut = place.window != self.window && place.window.middle().is_some();
        loop {
            let permit = self.permit().await?;
            let upstream = &self.hands.upstream;
            let page = upstream
                .fetch_log_page(
                    permit,
                    &self.source,
                    place.asked(),
                    place.cursor,
                    self.limit,
                )
                .await;
            self.hands.save_wait().await?;
            let error = match page {
                Ok(page) => match foreign_owner(&self.source, &page) {
                    None => return Ok(page),
                    Some(owner) => VerifyError::Foreign(upstream.hide_credentials(&owner)),
                },
                Err(
                    error @ (UpstreamError::CursorRefused(_) | UpstreamError::WindowRefused(_)),
                ) => {
                    return Err(Broken::Cursor(error));
                }
                Err(UpstreamError::PageTooLarge) => return Err(Broken::TooLarge),
                Err(error @ UpstreamError::Unreadable(_)) => {
                    unreadable += 1;
                    if is_cut || unreadable >= UNREADABLE_TRIES {
                        return Err(Broken::Unreadable);
                    }
                    error.into()
                }
                Err(error @ (UpstreamError::Transient(_) | UpstreamError::RateLimited { .. })) => {
                    error.into()
                }
                Err(error) => return Err(error.into()),
            };
            failures += 1;
            self.wait_after(failures, error).await?;
        }
    }

    /// Waits after a failure; gives it back when there were too many.
    async fn wait_after(&self, failures: u32, error: VerifyError) -> Result<(), VerifyError> {
        if failures >= MAX_TRIES {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_secs(1 << (failures - 1))).await;
        Ok(())
    }

    /// Leave to make a call, when there is some; the budget is written down before it is spent. What a service beside us was
    /// told to wait holds for us too.
    async fn permit(&self) -> Result<Permit, StoreError> {
        let quota = self.hands.upstream.quota();
        loop {
            let hands = self.hands.clone();
            task::blocking(move || hands.heed_others()).await?;
            let now = self.hands.clock.steady();
            match quota.take(now) {
                Ok(permit) => {
                    self.hands.save(permit.to_save).await?;
                    return Ok(permit);
                }
                Err(until) => {
                    tokio::time::sleep((until - now).to_std().unwrap_or_default()).await;
                }
            }
        }
    }
}

/// What has been compared so far.
struct Compared {
    window: Window,
    /// The keys of entries that upstream shows, and those with their bodies.
    shown: HashSet<EntryKey>,
    bodies: HashSet<EntryKey>,
    /// How many equal entries without an id this scan has shown, and when they happened.
    twins: HashMap<EntryKey, (u32, Option<DateTime<Utc>>)>,
    verdict: Verdict,
}

impl Default for Compared {
    fn default() -> Self {
        Self::new(Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH))
    }
}

impl Compared {
    fn new(window: Window) -> Self {
        Self {
            window,
            shown: HashSet::new(),
            bodies: HashSet::new(),
            twins: HashMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// Equal entries without an id are counted anew.
    fn begin_scan(&mut self) {
        self.twins.clear();
    }

    /// Whether this scan has shown an entry with neither id nor time.
    fn has_nameless(&self) -> bool {
        self.twins.values().any(|(_, time)| time.is_none())
    }

    /// What happened from `time` on is shown again.
    fn resume_from(&mut self, time: DateTime<Utc>) {
        self.twins
            .retain(|_, (_, happened)| happened.is_none_or(|happened| happened < time));
    }

    /// Compares a page. What happened before `resumed` was shown by the pages before.
    fn take(
        &mut self,
        store: &Store,
        source: &Source,
        entries: Vec<Box<RawValue>>,
        resumed: Option<DateTime<Utc>>,
    ) -> Result<(), VerifyError> {
        self.verdict.pages += 1;
        let arrivals: Vec<Arrival> = entries.into_iter().map(Arrival::read).collect();
        let mut fresh = Vec::new();
        for arrival in &arrivals {
            if arrival.time.is_some_and(|time| !self.window.contains(time)) {
                continue;
            }
            let was_shown = arrival
                .time
                .zip(resumed)
                .is_some_and(|(time, from)| time < from);
            if was_shown && matches!(arrival.identity, Identity::Content(_)) {
                continue;
            }
            let twin = self.twin(arrival);
            let key = EntryKey::of(&arrival.identity, twin);
            let is_first = self.shown.insert(key);
            self.verdict.shown += u64::from(is_first);
            self.verdict.without_time += u64::from(is_first && arrival.time.is_none());
            // What was shown twice is compared once.
            if self.bodies.insert(key.with_body(arrival.body.get())) {
                fresh.push((arrival, twin));
            }
        }
        if self.bodies.len() > MAX_ENTRIES {
            return Err(VerifyError::TooMany);
        }
        let holdings = store.holdings(source, &fresh)?;
        for ((arrival, _), holding) in fresh.into_iter().zip(holdings) {
            let (differs, seq) = match holding {
                Holding::Same => continue,
                Holding::Nothing => (Differs::NotHeld, None),
                Holding::Other(seq) => (Differs::OtherContent, Some(seq)),
            };
            let difference = || Difference {
                differs,
                id: match &arrival.identity {
                    Identity::Id(id) => Some(id.chars().take(MAX_ID_CHARS).collect()),
                    Identity::Content(_) => None,
                },
                time: arrival.time,
                seq,
            };
            self.verdict.note(difference, differs);
        }
        Ok(())
    }

    /// Which of the equal entries without an id this one is; one with an id is the only one.
    fn twin(&mut self, arrival: &Arrival) -> u32 {
        match &arrival.identity {
            Identity::Id(_) => 1,
            identity @ Identity::Content(_) => {
                let key = EntryKey::of(identity, 1);
                let (shown, _) = self.twins.entry(key).or_insert((0, arrival.time));
                *shown += 1;
                *shown
            }
        }
    }

    /// Looks for what is held and was not shown.
    fn finish(mut self, store: &Store, source: &Source, upto: Seq) -> Result<Verdict, VerifyError> {
        let (shown, verdict) = (&self.shown, &mut self.verdict);
        store.held_within(source, self.window, upto, |held: Held| {
            let is_left_out = verdict
                .left_out
                .iter()
                .any(|part| part.window.contains(held.time));
            if !is_left_out && !shown.contains(&held.key) {
                let difference = || Difference {
                    differs: Differs::NotShown,
                    id: None,
                    time: Some(held.time),
                    seq: Some(held.seq),
                };
                verdict.note(difference, Differs::NotShown);
            }
        })?;
        for difference in &mut self.verdict.differences {
            if let (Differs::NotShown, Some(seq)) = (difference.differs, difference.seq) {
                let id = store.event(seq)?.and_then(|event| event.id);
                difference.id = id.map(|id| id.chars().take(MAX_ID_CHARS).collect());
            }
        }
        Ok(self.verdict)
    }
}
