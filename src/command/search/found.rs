//! Events that a server or a data directory gave, and what can go wrong on the way.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::command::exit::WrongUsage;
use crate::command::reach::Misread;
use crate::engine::tantivy::IndexError;
use crate::engine::{Scope, View};
use crate::event::AuditEvent;
use crate::follow::index::{self as indexing, IndexingError};
use crate::people;
use crate::query::QueryError;
use crate::search::SearchError;
use crate::store::Store;

/// An event and its JSON, with what is known about its actor.
pub(super) struct FoundEvent {
    pub(super) event: AuditEvent,
    pub(super) json: String,
}

impl FoundEvent {
    /// Reads an event from a server's answer.
    pub(super) fn read(json: &str) -> Result<Self> {
        Ok(Self {
            event: read(json)?,
            json: json.to_owned(),
        })
    }

    /// Makes the JSON that a server would answer.
    pub(super) fn from_store(store: &Store, events: Vec<AuditEvent>) -> Result<Vec<Self>> {
        let known = people::with_known_people(store, &Scope::everything(), events)?.into_iter();
        let found = known.map(|known| {
            Ok(Self {
                json: serde_json::to_string(&known)?,
                event: known.event,
            })
        });
        found.collect()
    }
}

/// Reads a server's answer.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).context("the server's answer cannot be read")
}

/// Opens the log and the index of a data directory.
pub(super) fn look_into(dir: &Path) -> Result<(Store, View)> {
    let store = Store::open_beside(dir)?;
    let view = open_index(dir, &store)?;
    Ok((store, view))
}

pub(super) fn open_index(dir: &Path, store: &Store) -> Result<View> {
    indexing::open_beside(dir, store).map_err(|error| match error {
        IndexingError::Index(IndexError::Unusable(_)) => anyhow!(
            "{error}: `orgtrail reindex` builds it from the log, and `orgtrail serve` does when it starts"
        ),
        error => error.into(),
    })
}

/// Adds the position in the query to an error.
pub(super) fn told(error: SearchError) -> anyhow::Error {
    match error {
        SearchError::Query(error) => with_place(error),
        SearchError::UnknownField {
            at: Some(at),
            message,
            ..
        } => with_place(QueryError { at, message }),
        error @ (SearchError::UnknownField { .. } | SearchError::Counting { .. }) => {
            WrongUsage(error.to_string()).into()
        }
        error => error.into(),
    }
}

pub(super) fn with_place(error: QueryError) -> anyhow::Error {
    let at = error.at;
    Misread::new(error, at).into()
}
