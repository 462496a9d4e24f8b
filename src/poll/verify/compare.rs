//! What upstream shows of a stretch beside what is held of it: short hashes, by identity and by body.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::comparison::{Difference, Differs, UpstreamComparison};
use super::error::{MAX_ENTRIES, VerifyError};
use crate::event::{Arrival, Identity};
use crate::position::{Seq, Source, Window};
use crate::store::{EntryKey, Held, Holding, Store};

/// How much of an id a difference repeats, in characters.
const MAX_ID_CHARS: usize = 200;

/// What has been compared so far.
pub(super) struct Compared {
    window: Window,
    /// The keys of entries that upstream shows, and those with their bodies.
    shown: HashSet<EntryKey>,
    bodies: HashSet<EntryKey>,
    /// How many equal entries without an id this scan has shown, and when they happened.
    twins: HashMap<EntryKey, (u32, Option<DateTime<Utc>>)>,
    pub(super) verdict: UpstreamComparison,
}

impl Default for Compared {
    fn default() -> Self {
        Self::new(Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH))
    }
}

impl Compared {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            shown: HashSet::new(),
            bodies: HashSet::new(),
            twins: HashMap::new(),
            verdict: UpstreamComparison::default(),
        }
    }

    /// Equal entries without an id are counted anew.
    pub(super) fn begin_scan(&mut self) {
        self.twins.clear();
    }

    /// What happened from `time` on is shown again.
    pub(super) fn resume_from(&mut self, time: DateTime<Utc>) {
        self.twins
            .retain(|_, (_, happened)| happened.is_none_or(|happened| happened < time));
    }

    /// Compares a page. What happened before `resumed` was shown by the pages before.
    pub(super) fn take(
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
            let is_nameless = matches!(arrival.identity, Identity::Content(_));
            if is_nameless && arrival.was_shown_before(resumed) {
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
    pub(super) fn finish(
        mut self,
        store: &Store,
        source: &Source,
        upto: Seq,
    ) -> Result<UpstreamComparison, VerifyError> {
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
