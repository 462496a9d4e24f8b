//! Where the answers of `orgtrail search` come from: a running server, or a data directory beside one.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::asked::SearchRequest;
use super::extent::{Extent, IndexExtent};
use super::found::{FoundEvent, open_index, read, told};
use super::lines::Lines;
use super::tail;
use crate::command::reach::{Answerer, Server, TargetArgs, get, open};
use crate::coverage::{self, Verdict};
use crate::engine::{Rank, Scope, View};
use crate::position::Seq;
use crate::search::{self, Export, Facet, Facets, LabelledValue, MAX_SIZE, Tally};
use crate::store::Store;
use crate::terminal::harmless;

/// A running server, or a data directory.
pub(super) struct SearchTarget(Answerer);

/// The parts of a server's page that are used.
#[derive(Deserialize)]
struct ServerPage {
    events: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
    count: Option<u64>,
    index: IndexExtent,
    coverage: Verdict,
}

/// The most frequent values of some fields, each with its field.
pub(super) type Values = Vec<(String, Vec<LabelledValue>)>;

/// The first events of an answer.
pub(super) struct FirstPage {
    pub(super) events: Vec<FoundEvent>,
    /// How far the index had come.
    pub(super) searchable: Seq,
    pub(super) extent: Extent,
}

impl SearchTarget {
    pub(super) fn open(reach: &TargetArgs, config: &Path) -> Result<Self> {
        reach.answerer(config).map(Self)
    }

    /// The data directory, if no service answers.
    pub(super) fn dir(&self) -> Option<&Path> {
        match &self.0 {
            Answerer::Server(_) => None,
            Answerer::Dir(dir) => Some(dir),
        }
    }

    /// The first events, how many there are in all, and what is not among them.
    pub(super) fn page(&self, asked: &SearchRequest) -> Result<FirstPage> {
        match &self.0 {
            Answerer::Server(server) => {
                let mut parameters = asked.filters();
                parameters.extend(asked.order());
                let page = ask_page(server, &parameters, &[("limit", asked.limit.to_string())])?;
                let events = page
                    .events
                    .iter()
                    .map(|event| FoundEvent::read(event.get()));
                let events: Vec<FoundEvent> = events.collect::<Result<_>>()?;
                // Of the same snapshot. It costs more than a page, so only an answer that goes on is counted.
                let total = match page.next_cursor {
                    None => events.len() as u64,
                    Some(cursor) => {
                        let counted = [
                            ("cursor", cursor),
                            ("limit", "1".to_owned()),
                            ("count", "true".to_owned()),
                        ];
                        let count = ask_page(server, &parameters, &counted)?.count;
                        count.context("the server's answer has no `count`")?
                    }
                };
                Ok(FirstPage {
                    searchable: page.index.searchable,
                    extent: Extent::of_events(events.len(), total, page.coverage, page.index),
                    events,
                })
            }
            Answerer::Dir(dir) => {
                let look = OpenDir::into(dir, asked)?;
                let (store, view) = (&look.store, &look.view);
                let caller = view.caller(Scope::everything(), None);
                let question = asked.question()?;
                let now = asked.when.now;
                let page = search::page(store, view, &caller, &question, now, None, asked.limit);
                let page = page.map_err(told)?;
                let shown = page.events.len();
                let total = match page.next_cursor {
                    None => shown as u64,
                    Some(_) => search::count(view, &caller, &page.question).map_err(told)?,
                };
                Ok(FirstPage {
                    events: FoundEvent::from_store(store, page.events)?,
                    searchable: view.seq(),
                    extent: Extent::of_events(shown, total, look.verdict, look.index),
                })
            }
        }
    }

    /// Every event, piece by piece; how many there were, and what is not among them.
    pub(super) fn all(
        &self,
        asked: &SearchRequest,
        mut take: impl FnMut(Vec<FoundEvent>) -> Result<()>,
    ) -> Result<Extent> {
        let mut total = 0;
        let (verdict, index) = match &self.0 {
            Answerer::Server(server) => {
                let mut parameters = asked.filters();
                // Before the events, so that these have at least what it says.
                let page = ask_page(server, &parameters, &[("limit", "1".to_owned())])?;
                parameters.extend(asked.order());
                crate::command::start::block_on(async {
                    let answer = open(server, "/v1/export", &borrowed(&parameters)).await?;
                    let mut lines = Lines::new(answer);
                    while let Some(line) = lines.next().await? {
                        total += 1;
                        take(vec![FoundEvent::read(&line)?])?;
                    }
                    Ok((page.coverage, page.index))
                })?
            }
            Answerer::Dir(dir) => {
                let OpenDir {
                    store,
                    view,
                    verdict,
                    index,
                } = OpenDir::into(dir, asked)?;
                let (scope, question) = (Scope::everything(), asked.question()?);
                let mut export = Export::new(store.clone(), view, scope, question).map_err(told)?;
                loop {
                    let events = export.next_events(None).map_err(told)?;
                    if events.is_empty() {
                        break (verdict, index);
                    }
                    total += events.len();
                    take(FoundEvent::from_store(&store, events)?)?;
                }
            }
        };
        Ok(Extent::of_events(total, total as u64, verdict, index))
    }

    /// Each event that comes after `after`, until the process is interrupted.
    pub(super) fn follow(
        &self,
        asked: &SearchRequest,
        after: Seq,
        take: impl FnMut(Vec<FoundEvent>) -> Result<()>,
    ) -> Result<()> {
        match &self.0 {
            Answerer::Server(server) => crate::command::start::block_on(tail::of_server(
                server,
                &asked.filters(),
                after,
                take,
            )),
            Answerer::Dir(dir) => tail::of_dir(dir, &asked.question()?, after, take),
        }
    }

    /// The most frequent values of some fields, at most `size` of each.
    pub(super) fn facets(
        &self,
        asked: &SearchRequest,
        fields: &[String],
        size: usize,
    ) -> Result<(Values, Extent)> {
        // All are counted anyway; more of them say how many there are.
        let (mut all, verdict, index) = self.all_facets(asked, fields, MAX_SIZE)?;
        let mut shown = Vec::new();
        for (field, values) in &mut all {
            let found = values.len();
            values.truncate(size);
            let or_more = if found == MAX_SIZE { " or more" } else { "" };
            shown.push(format!(
                "{} of {found}{or_more} values of {}",
                values.len(),
                harmless(field)
            ));
        }
        let extent = Extent {
            shown,
            verdict,
            index,
        };
        Ok((all, extent))
    }

    fn all_facets(
        &self,
        asked: &SearchRequest,
        fields: &[String],
        size: usize,
    ) -> Result<(Values, Verdict, IndexExtent)> {
        match &self.0 {
            Answerer::Server(server) => {
                let mut parameters = asked.filters();
                parameters.push(("size", size.to_string()));
                parameters.extend(fields.iter().map(|field| ("field", field.clone())));
                let answer: Value = read(&get(server, "/v1/facets", &borrowed(&parameters))?)?;
                let values = fields.iter().map(|field| {
                    let facet = Facet::deserialize(&answer["facets"][field])?;
                    Ok((field.clone(), facet.values))
                });
                let verdict = Verdict::deserialize(&answer["coverage"]);
                let verdict = verdict.context("the server's answer cannot be read")?;
                let index = IndexExtent::deserialize(&answer["index"]);
                let index = index.context("the server's answer cannot be read")?;
                Ok((values.collect::<Result<_>>()?, verdict, index))
            }
            Answerer::Dir(dir) => {
                let look = OpenDir::into(dir, asked)?;
                let facets = Facets {
                    fields: fields.to_vec(),
                    size,
                    rank: Rank::Frequent,
                    exclude_own: false,
                    parameter: "facets",
                };
                let wanted = Tally {
                    facets: Some(facets),
                    ..Tally::default()
                };
                let (store, view) = (&look.store, &look.view);
                let caller = view.caller(Scope::everything(), None);
                let question = asked.question()?.prepare(store, view, &caller);
                let question = question.map_err(told)?;
                let tallied = search::tally(store, view, &caller, &question, view.seq(), &wanted);
                let facets = tallied.map_err(told)?.facets;
                let facets = facets.map_or(Vec::new(), |all| all.0).into_iter();
                let values = facets.map(|(field, facet)| (field, facet.values));
                Ok((values.collect(), look.verdict, look.index))
            }
        }
    }
}

/// A page of a server's events.
fn ask_page(
    server: &Server,
    filters: &[(&'static str, String)],
    more: &[(&'static str, String)],
) -> Result<ServerPage> {
    let parameters = [filters, more].concat();
    read(&get(server, "/v1/events", &borrowed(&parameters))?)
}

/// An opened data directory, and the coverage of the question.
struct OpenDir {
    store: Store,
    view: View,
    verdict: Verdict,
    index: IndexExtent,
}

impl OpenDir {
    fn into(dir: &Path, asked: &SearchRequest) -> Result<Self> {
        let store = Store::open_beside(dir)?;
        let about = coverage::Asked {
            since: asked.since,
            before: asked.before,
            sources: asked.sources.clone(),
        };
        // Before the index is opened, so that the answer has at least what it says.
        let verdict =
            coverage::verdict(&store, None, &Scope::everything(), &about, asked.when.now)?;
        let head = store.head();
        let view = open_index(dir, &store)?;
        let verdict = if view.seq() < head {
            verdict.from_an_index_behind(&about)
        } else {
            verdict
        };
        let index = IndexExtent {
            state: String::new(),
            searchable: view.seq(),
            held: head,
        };
        Ok(Self {
            store,
            view,
            verdict,
            index,
        })
    }
}

fn borrowed<'a>(parameters: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    let parameters = parameters.iter();
    parameters
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
