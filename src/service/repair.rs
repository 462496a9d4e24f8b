//! Damaged events repaired from upstream, without the service.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::TimeDelta;

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
    let mut wanted: BTreeMap<Source, Vec<Window>> = BTreeMap::new();
    for (source, window) in damaged.iter().filter_map(|event| event.found_in.clone()) {
        wanted.entry(source).or_default().push(window);
    }
    let mut all = Repaired::default();
    for (source, windows) in wanted {
        for window in joined(windows) {
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

/// Windows in order, those that are near each other in one.
fn joined(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_unstable_by_key(|window| (window.since, window.before));
    let mut found: Vec<Window> = Vec::new();
    for window in windows {
        match found.last_mut() {
            Some(last) if window.since <= last.before + NEAR => {
                last.before = last.before.max(window.before);
            }
            _ => found.push(window),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn near_stretches_are_looked_through_together() {
        let at = |seconds: i64| from_micros((1_785_000_000 + seconds) * 1_000_000);
        let window = |since, before| Window::new(at(since), at(before));
        let wanted = vec![window(200, 201), window(1, 90), window(30, 31)];
        let expect = [window(1, 90), window(200, 201)];
        assert_eq!(joined(wanted), expect);
    }
}
