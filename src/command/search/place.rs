//! Where the answers of `orgtrail search` come from: a running server, or a data directory beside one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::Asked;
use super::lines::Lines;
use super::tail;
use crate::command::reach::{Reach, get, open};
use crate::event::AuditEvent;
use crate::index::{Index, Order, Range, Snapshot};
use crate::people;
use crate::position::{Seq, rfc3339};
use crate::query::{self, QueryError};
use crate::search::{self, Export, Facets, LabelledValue, Question, SearchError, Tally};
use crate::store::Store;

/// Where to ask.
pub(super) enum Place {
    /// A running server.
    Server(Url),
    /// A data directory; a service may be using it.
    Dir(PathBuf),
}

/// An event, and the JSON that tells of it, with what is known of who acted.
pub(super) struct Found {
    pub(super) event: AuditEvent,
    pub(super) json: String,
}

impl Found {
    /// As a server said it.
    pub(super) fn read(json: &str) -> Result<Self> {
        Ok(Self {
            event: read(json)?,
            json: json.to_owned(),
        })
    }

    /// As a server would say it.
    pub(super) fn introduce(store: &Store, events: Vec<AuditEvent>) -> Result<Vec<Self>> {
        let known = people::introduce(store, events)?.into_iter();
        let found = known.map(|known| {
            Ok(Self {
                json: serde_json::to_string(&known)?,
                event: known.event,
            })
        });
        found.collect()
    }
}

/// As much of an answer as is shown.
#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    index: IndexState,
}

#[derive(Deserialize)]
struct IndexState {
    searchable: Seq,
}

/// The most frequent values of some fields, each with its field.
pub(super) type Values = Vec<(String, Vec<LabelledValue>)>;

impl Place {
    pub(super) fn open(reach: &Reach, config: &Path) -> Result<Self> {
        Ok(match &reach.server {
            Some(server) => Self::Server(server.clone()),
            None => Self::Dir(reach.data_dir(config)?),
        })
    }

    /// The first events, and how far the index had come.
    pub(super) fn page(&self, asked: &Asked) -> Result<(Vec<Found>, Seq)> {
        match self {
            Self::Server(server) => {
                let limit = asked.limit.to_string();
                let mut parameters = asked.filters();
                parameters.push(("limit", limit));
                parameters.extend(asked.order());
                let page: Page = read(&get(server, "/v1/events", &borrowed(&parameters))?)?;
                let events = page.events.iter().map(|event| Found::read(event.get()));
                Ok((events.collect::<Result<_>>()?, page.index.searchable))
            }
            Self::Dir(dir) => {
                let (store, snapshot) = look_into(dir)?;
                let question = asked.question()?;
                let page = search::page(
                    &store,
                    &snapshot,
                    &question,
                    asked.when.now,
                    None,
                    asked.limit,
                );
                let found = Found::introduce(&store, page.map_err(told)?.events)?;
                Ok((found, snapshot.seq()))
            }
        }
    }

    /// Every event, piece by piece.
    pub(super) fn all(
        &self,
        asked: &Asked,
        mut take: impl FnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Server(server) => crate::command::block_on(async {
                let mut parameters = asked.filters();
                parameters.extend(asked.order());
                let answer = open(server, "/v1/export", &borrowed(&parameters)).await?;
                let mut lines = Lines::new(answer);
                while let Some(line) = lines.next().await? {
                    take(vec![Found::read(&line)?])?;
                }
                Ok(())
            }),
            Self::Dir(dir) => {
                let (store, snapshot) = look_into(dir)?;
                let mut export =
                    Export::new(store.clone(), snapshot.into(), asked.question()?).map_err(told)?;
                loop {
                    let events = export.next_events(None).map_err(told)?;
                    if events.is_empty() {
                        return Ok(());
                    }
                    take(Found::introduce(&store, events)?)?;
                }
            }
        }
    }

    /// Each event that comes after `after`, until the process is interrupted.
    pub(super) fn follow(
        &self,
        asked: &Asked,
        after: Seq,
        take: impl FnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Server(server) => {
                crate::command::block_on(tail::of_server(server, &asked.filters(), after, take))
            }
            Self::Dir(dir) => tail::of_dir(dir, &asked.question()?, after, take),
        }
    }

    /// The most frequent values of some fields.
    pub(super) fn facets(&self, asked: &Asked, fields: &[String], size: usize) -> Result<Values> {
        match self {
            Self::Server(server) => {
                let mut parameters = asked.filters();
                parameters.push(("size", size.to_string()));
                parameters.extend(fields.iter().map(|field| ("field", field.clone())));
                let answer: Value = read(&get(server, "/v1/facets", &borrowed(&parameters))?)?;
                let values = fields.iter().map(|field| {
                    let values = Vec::deserialize(&answer["facets"][field])?;
                    Ok((field.clone(), values))
                });
                values.collect()
            }
            Self::Dir(dir) => {
                let (store, snapshot) = look_into(dir)?;
                let facets = Facets {
                    fields: fields.to_vec(),
                    size,
                    parameter: "facets",
                };
                let wanted = Tally {
                    facets: Some(facets),
                    ..Tally::default()
                };
                let question = asked.question()?;
                let tallied = search::tally(&store, &snapshot, &question, snapshot.seq(), &wanted);
                Ok(tallied
                    .map_err(told)?
                    .facets
                    .map_or(Vec::new(), |all| all.0))
            }
        }
    }
}

impl Asked {
    /// The filters, as a server takes them.
    fn filters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("q", self.query.clone())];
        parameters.extend(self.since.map(|since| ("since", rfc3339(since))));
        parameters.extend(self.before.map(|before| ("before", rfc3339(before))));
        if self.when.zone != Tz::UTC {
            parameters.push(("tz", self.when.zone.name().to_owned()));
        }
        parameters
    }

    fn order(&self) -> Option<(&'static str, String)> {
        (self.order == Order::Ascending).then(|| ("order", "asc".to_owned()))
    }

    fn question(&self) -> Result<Question> {
        let range = Range {
            since_us: self.since.map(|time| time.timestamp_micros()),
            before_us: self.before.map(|time| time.timestamp_micros()),
        };
        Ok(Question {
            query: query::parse(&self.query, self.when).map_err(with_place)?,
            range,
            order: self.order,
        })
    }
}

fn borrowed<'a>(parameters: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    let parameters = parameters.iter();
    parameters
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// What a server said, as what it should be.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).context("the server's answer cannot be read")
}

/// The log and the index as they are now.
pub(super) fn look_into(dir: &Path) -> Result<(Store, Snapshot)> {
    let store = Store::open_beside(dir)?;
    let snapshot = Index::open_beside(dir, store.log_id())?;
    Ok((store, snapshot))
}

/// An error with the place in the query that it is about.
pub(super) fn told(error: SearchError) -> anyhow::Error {
    match error {
        SearchError::Query(error) => with_place(error),
        SearchError::UnknownField {
            at: Some(at),
            message,
            ..
        } => with_place(QueryError { at, message }),
        error => error.into(),
    }
}

fn with_place(error: QueryError) -> anyhow::Error {
    anyhow!("{error} (at character {})", error.at)
}
