//! Damaged events repaired from upstream, without the service.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::history::verify;
use crate::clock::Clock;
use crate::config::Config;
use crate::position::{Seq, Source, Window};
use crate::store::{DamagedEvent, Store};

/// Damaged events that are no further apart are looked for in one stretch.
const NEAR: TimeDelta = TimeDelta::seconds(60);

/// What a repair came to.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The events whose bodies were put back.
    pub seqs: Vec<Seq>,
    /// What was in the way, a line for each source.
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
    let mut times: BTreeMap<Source, Vec<DateTime<Utc>>> = BTreeMap::new();
    for (source, time) in damaged.iter().filter_map(|event| event.found_at.clone()) {
        times.entry(source).or_default().push(time);
    }
    let mut all = Repaired::default();
    for (source, times) in times {
        for window in stretches(times) {
            match repair_stretch(store, config, &source, window, clock).await {
                Ok(seqs) => all.seqs.extend(seqs),
                // Its other stretches would fare no better.
                Err(error) => {
                    all.troubles.push(format!("{source}: {error:#}"));
                    break;
                }
            }
        }
    }
    all.seqs.sort_unstable();
    all.seqs.dedup();
    Ok(all)
}

async fn repair_stretch(
    store: &Store,
    config: &Config,
    source: &Source,
    window: Window,
    clock: &Clock,
) -> Result<Vec<Seq>> {
    let verify = verify(store.clone(), config, source.clone(), window, false, clock)?;
    if verify.window().is_empty() {
        return Ok(Vec::new());
    }
    Ok(verify.repair().await?)
}

/// Whole seconds around some times, those that are near each other in one.
fn stretches(mut times: Vec<DateTime<Utc>>) -> Vec<Window> {
    times.sort_unstable();
    let mut found: Vec<Window> = Vec::new();
    for time in times {
        let since = DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time);
        let before = since + TimeDelta::seconds(1);
        match found.last_mut() {
            Some(last) if since <= last.before + NEAR => last.before = before,
            _ => found.push(Window::new(since, before)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn near_times_are_looked_for_together() {
        let at = |ms: i64| from_micros(1_785_000_000_000_000 + ms * 1_000);
        let found = stretches(vec![at(200_500), at(1_500), at(30_000)]);
        let expect = [
            Window::new(at(1_000), at(31_000)),
            Window::new(at(200_000), at(201_000)),
        ];
        assert_eq!(found, expect);
    }
}
