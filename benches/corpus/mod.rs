//! Pages of audit log entries as upstream sends them, in a file: made once by the simulator, read by every measurement.
//!
//! They are written source by source and read newest first over all sources, which is the order of a backfill. Reading
//! them costs a copy from the page cache and no memory, so what is measured beside it is not disturbed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use orgtrail::clock::Clock;
use orgtrail::event::Arrival;
use orgtrail::position::Source;
use orgtrail_simulator::{SimConfig, Simulator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Entries on a page: as many as upstream gives at most.
pub(crate) const PAGE_LEN: usize = 1_000;

/// The moment at which all histories end.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-08-03T08:00:00Z".parse().unwrap()
}

/// A file of pages, and where each of them is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Corpus {
    path: PathBuf,
    pages: Vec<Place>,
    pub(crate) entries: u64,
    /// The bytes of the entries alone.
    pub(crate) raw_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Place {
    source: String,
    at: u64,
    len: usize,
    /// How far back in its source it lies, from 0 for the newest to 1.
    age: f64,
}

/// One page.
pub(crate) struct RawPage {
    pub(crate) source: Source,
    pub(crate) body: Vec<u8>,
}

impl Corpus {
    /// Writes `events` entries of an organization and its accounts over 540 days.
    pub(crate) fn write(path: &Path, events: u64) -> Self {
        let config = SimConfig {
            seed: 7,
            events,
            accounts: 40,
            days: 540,
            ..SimConfig::default()
        };
        let simulator = Simulator::new(config, Clock::manual(now()).reader());
        let mut file = BufWriter::new(File::create(path).unwrap());
        let mut corpus = Self {
            path: path.to_owned(),
            pages: Vec::new(),
            entries: 0,
            raw_bytes: 0,
        };
        let mut at = 0;
        for source in simulator.sources() {
            let first_page = corpus.pages.len();
            let mut entries = simulator.walk(&source, now());
            loop {
                let page: Vec<String> = entries.by_ref().take(PAGE_LEN).collect();
                if page.is_empty() {
                    break;
                }
                let body = format!(
                    r#"{{"errors":[],"result":[{}],"result_info":{{"count":"{}"}},"success":true}}"#,
                    page.join(","),
                    page.len()
                );
                file.write_all(body.as_bytes()).unwrap();
                corpus.pages.push(Place {
                    source: source.to_string(),
                    at,
                    len: body.len(),
                    age: 0.0,
                });
                at += body.len() as u64;
                corpus.entries += page.len() as u64;
                corpus.raw_bytes += page.iter().map(|entry| entry.len() as u64).sum::<u64>();
            }
            let own = &mut corpus.pages[first_page..];
            let len = own.len();
            for (i, place) in own.iter_mut().enumerate() {
                place.age = (len - i) as f64 / len as f64;
            }
        }
        file.flush().unwrap();
        corpus.pages.sort_by(|a, b| a.age.total_cmp(&b.age));
        corpus
    }

    /// Every page, the newest first.
    pub(crate) fn pages(&self) -> impl Iterator<Item = RawPage> + use<'_> {
        let file = File::open(&self.path).unwrap();
        self.pages.iter().map(move |place| {
            let mut body = vec![0; place.len];
            file.read_exact_at(&mut body, place.at).unwrap();
            RawPage {
                source: place.source.parse().unwrap(),
                body,
            }
        })
    }

    /// The names of all sources.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let mut names: Vec<&str> = self.pages.iter().map(|page| page.source.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .map(|name| name.parse().unwrap())
            .collect()
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: Vec<&'a RawValue>,
}

impl RawPage {
    /// The entries on it, each the bytes that came.
    pub(crate) fn entries(&self) -> Vec<&RawValue> {
        serde_json::from_slice::<Envelope<'_>>(&self.body)
            .unwrap()
            .result
    }

    /// The entries on it, read as far as the log wants to know them.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.entries()
            .into_iter()
            .map(|entry| Arrival::read(entry.to_owned()))
            .collect()
    }
}
