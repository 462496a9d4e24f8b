//! Damaged events repaired from upstream, without the service.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::history::verify;
use crate::clock::Clock;
use crate::config::Config;
use crate::poll::Repair;
use crate::position::{Seq, Source, Window};
use crate::store::{DamagedEvent, NotRepaired, PutBack, Store};

/// Damaged events that are no further apart are looked for in one stretch.
const NEAR: TimeDelta = TimeDelta::seconds(60);

/// A damaged event, with the stretch in which upstream may show it.
type RepairTarget = (Window, Seq);

/// What a repair came to.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The events whose bodies were put back, in order.
    pub seqs: Vec<Seq>,
    /// Why the others were not repaired.
    pub not_repaired: BTreeMap<Seq, NotRepaired>,
    /// Why upstream could not be asked, a line for each source.
    pub troubles: Vec<String>,
}

/// Puts back the bodies of damaged events that upstream still shows with the same SHA-256. The log must be open for writing,
/// and know that they are damaged.
///
/// # Errors
/// What the log says.
pub async fn repair(
    store: &Store,
    config: &Config,
    damaged: &[DamagedEvent],
    clock: &Clock,
) -> Result<Repaired> {
    let (mut all, now) = (Repaired::default(), clock.now());
    let mut by_source: BTreeMap<&Source, Vec<RepairTarget>> = BTreeMap::new();
    for event in damaged {
        match (event.beyond_repair(now), &event.found_in) {
            (Some(why), _) => {
                all.not_repaired.insert(event.seq, why);
            }
            (None, Some((source, stretch))) => {
                let wanted = by_source.entry(source).or_default();
                wanted.push((*stretch, event.seq));
            }
            (None, None) => {}
        }
    }
    for (source, wanted) in by_source {
        let mut trouble = None;
        for (window, wanted) in stretches(wanted) {
            if trouble.is_none() {
                match repair_stretch(store, config, source, window, clock).await {
                    Ok(repair) => all.take_in(&repair, &wanted),
                    Err(error) => trouble = Some(format!("{error:#}")),
                }
            }
            // Its other stretches would fare no better.
            if let Some(why) = &trouble {
                all.not_asked(why, wanted.iter().map(|(_, seq)| *seq));
            }
        }
        all.troubles
            .extend(trouble.map(|why| format!("{source}: {why}")));
    }
    all.seqs.sort_unstable();
    all.seqs.dedup();
    Ok(all)
}

impl Repaired {
    /// That nothing was repaired, because upstream was not asked, for this reason.
    #[must_use]
    pub fn nothing(why: &str, damaged: &[DamagedEvent], now: DateTime<Utc>) -> Self {
        let mut all = Self::default();
        for event in damaged {
            match event.beyond_repair(now) {
                Some(why) => drop(all.not_repaired.insert(event.seq, why)),
                None => all.not_asked(why, std::iter::once(event.seq)),
            }
        }
        all
    }

    fn not_asked(&mut self, why: &str, seqs: impl Iterator<Item = Seq>) {
        self.not_repaired
            .extend(seqs.map(|seq| (seq, NotRepaired::NotAsked(why.to_owned()))));
    }

    /// What came of the events `wanted` in a stretch.
    fn take_in(&mut self, repair: &Repair, wanted: &[RepairTarget]) {
        let PutBack { repaired, unusable } = &repair.put_back;
        self.seqs.extend(repaired);
        for (stretch, seq) in wanted {
            let overlaps =
                |unread: &Window| unread.since < stretch.before && stretch.since < unread.before;
            let is_unread = || repair.unread.iter().any(overlaps);
            let why = match () {
                () if repaired.contains(seq) => continue,
                () if unusable.contains(seq) => NotRepaired::PlaceUnusable,
                () if is_unread() => NotRepaired::Unreadable,
                () => NotRepaired::NotShown,
            };
            self.not_repaired.insert(*seq, why);
        }
    }
}

async fn repair_stretch(
    store: &Store,
    config: &Config,
    source: &Source,
    window: Window,
    clock: &Clock,
) -> Result<Repair> {
    let verify = verify(store.clone(), config, source.clone(), window, false, clock)?;
    if verify.window().is_empty() {
        return Ok(Repair::default());
    }
    Ok(verify.repair().await?)
}

/// The stretches of some events, those that are near each other in one, each with its events.
fn stretches(mut wanted: Vec<RepairTarget>) -> Vec<(Window, Vec<RepairTarget>)> {
    wanted.sort_unstable_by_key(|(stretch, seq)| (stretch.since, stretch.before, *seq));
    let mut found: Vec<(Window, Vec<RepairTarget>)> = Vec::new();
    for one in wanted {
        let Window { since, before } = one.0;
        match found.last_mut() {
            Some((window, of_window)) if since <= window.before + NEAR => {
                window.before = window.before.max(before);
                of_window.push(one);
            }
            _ => found.push((Window::new(since, before), vec![one])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    fn second(time: DateTime<Utc>) -> Window {
        Window::new(time, time + TimeDelta::seconds(1))
    }

    #[test]
    fn each_event_that_is_not_repaired_has_its_reason() {
        let now = from_micros(1_785_000_000_000_000);
        let at = |days: i64| now - TimeDelta::days(days);
        let event = |seq: u64, days: Option<i64>| DamagedEvent {
            seq: Seq(seq),
            damage: crate::store::Damage::HashMismatch,
            found_in: days.map(|days| (Source::account("a").unwrap(), second(at(days)))),
        };
        let damaged = [event(1, None), event(2, Some(700)), event(3, Some(7))];
        let all = Repaired::nothing("no way", &damaged, now);
        let reasons: Vec<NotRepaired> = all.not_repaired.into_values().collect();
        let not_asked = NotRepaired::NotAsked("no way".to_owned());
        let expect = [NotRepaired::SourceUnknown, NotRepaired::TooOld, not_asked];
        assert_eq!(reasons, expect);

        let repair = Repair {
            put_back: PutBack {
                repaired: vec![Seq(4)],
                unusable: vec![Seq(5)],
            },
            unread: vec![Window::new(at(6), at(5))],
        };
        let mut all = Repaired::default();
        let wanted = [
            (second(at(4)), Seq(4)),
            (second(at(4)), Seq(5)),
            (second(at(6)), Seq(6)),
            (second(at(4)), Seq(7)),
        ];
        all.take_in(&repair, &wanted);
        let reasons: Vec<(Seq, NotRepaired)> = all.not_repaired.into_iter().collect();
        let expect = [
            (Seq(5), NotRepaired::PlaceUnusable),
            (Seq(6), NotRepaired::Unreadable),
            (Seq(7), NotRepaired::NotShown),
        ];
        assert_eq!((all.seqs, reasons), (vec![Seq(4)], expect.to_vec()));
    }

    #[test]
    fn near_times_are_looked_for_together() {
        let at = |ms: i64| from_micros(1_785_000_000_000_000 + ms * 1_000);
        let wanted = |ms: i64| (second(at(ms)), Seq(ms.unsigned_abs()));
        let found = stretches(vec![wanted(200_500), wanted(1_500), wanted(30_000)]);
        let expect = [
            (
                Window::new(at(1_000), at(31_000)),
                vec![wanted(1_500), wanted(30_000)],
            ),
            (Window::new(at(200_000), at(201_000)), vec![wanted(200_500)]),
        ];
        assert_eq!(found, expect);
    }
}
