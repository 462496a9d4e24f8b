//! `/v1/parse`: a query as it was understood, with the place of each part.

use axum::extract::RawQuery;
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::{Given, bad, when};
use super::problem::Problem;
use super::scoped::ScopedApp;
use crate::query::{Query, Syntax, SyntaxNode, parse_with_places};
use crate::search::{self, SearchError};

/// A query that can be asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Parsed {
    /// The same query in its plainest spelling.
    query: String,
    /// `null` for a query that asks for everything.
    tree: Option<Node>,
}

/// A part of a query. Places are characters, counted from 0.
#[derive(Serialize, ToSchema)]
struct Node {
    kind: &'static str,
    /// Its first character.
    at: usize,
    /// The first character after it.
    end: usize,
    /// The field or path of a term; `null` where a term is looked for everywhere, and for what is no term.
    field: Option<String>,
    /// What a term looks for.
    value: Option<String>,
    /// The parts of what is no term.
    #[schema(no_recursion)]
    parts: Vec<Node>,
}

impl Node {
    fn of(syntax: &Syntax) -> Self {
        let all = |parts: &[Syntax]| parts.iter().map(Self::of).collect();
        let (kind, (field, value), parts) = match &syntax.node {
            SyntaxNode::And(parts) => ("and", (None, None), all(parts)),
            SyntaxNode::Or(parts) => ("or", (None, None), all(parts)),
            SyntaxNode::Not(part) => ("not", (None, None), vec![Self::of(part)]),
            SyntaxNode::Term(query) => (kind_of(query), term(query), Vec::new()),
        };
        Self {
            kind,
            at: syntax.at,
            end: syntax.end,
            field,
            value,
            parts,
        }
    }
}

/// What a term is.
fn kind_of(query: &Query) -> &'static str {
    match query {
        Query::Words { .. } => "words",
        Query::WordsLike { .. } => "words_like",
        Query::WordMatches { .. } => "word_matches",
        Query::Equals { .. } | Query::OneOf { .. } => "equals",
        Query::Contains { .. } => "contains",
        Query::Like { .. } => "like",
        Query::Matches { .. } => "matches",
        Query::Within { .. } => "within",
        Query::Exists { .. } => "exists",
        // A number with an exponent is looked for as a text, too.
        Query::Or(ways) => ways.first().map_or("all", kind_of),
        Query::All | Query::And(_) | Query::Not(_) | Query::At(_) | Query::Latest => "all",
    }
}

/// A term's field and value.
fn term(query: &Query) -> (Option<String>, Option<String>) {
    let of = |path: &str, value: String| (Some(path.to_owned()), Some(value));
    match query {
        Query::Words { text, .. } => (None, Some(text.clone())),
        Query::WordsLike { pattern, .. } => (None, Some(pattern.to_string())),
        Query::WordMatches { regex, .. } => (None, Some(regex.clone())),
        Query::Equals { path, value, .. } => of(path, value.clone()),
        Query::Contains { path, text, .. } => of(path, text.clone()),
        Query::Like { path, pattern, .. } => of(path, pattern.to_string()),
        Query::Matches { path, regex, .. } => of(path, regex.clone()),
        Query::Within { path, interval, .. } => of(path, interval.to_string()),
        Query::Exists { path, .. } => (Some(path.clone()), None),
        Query::Or(ways) => ways.first().map_or((None, None), term),
        Query::All
        | Query::And(_)
        | Query::Not(_)
        | Query::OneOf { .. }
        | Query::At(_)
        | Query::Latest => (None, None),
    }
}

pub(super) async fn parse(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<Parsed>, Problem> {
    let given = Given::read(query.as_deref(), &["q", "tz"])?;
    let when = when(&given, app.clock.now())?;
    let text = given.one("q")?.map(ToOwned::to_owned);
    let text = text.ok_or_else(|| bad("q", "write the query: `q=action.type:delete`"))?;
    let parsed = app.ask(move |app| {
        let read = parse_with_places(&text, when);
        let (query, syntax) = read.map_err(|error| Problem::from(SearchError::Query(error)))?;
        let (view, caller) = app.asking();
        search::check_names(&query, &view, &caller)?;
        Ok(Parsed {
            query: query.to_string(),
            tree: syntax.as_ref().map(Node::of),
        })
    });
    Ok(counted(1_u64, parsed.await?))
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    let query = described_query("q", ParameterKind::Text, "The query.");
    vec![
        Route::get("/v1/parse", "parse_query", "Read a query without asking it")
            .about("A query that cannot be read is answered with 400 and the place of the mistake.")
            .with(query.required().such_as("action.type:delete"))
            .takes(&["tz"])
            .answers::<Parsed>("The query's parts, each with its place.")
            .example(
                "Two terms",
                "/v1/parse",
                &[("q", "action.type:delete -resource.product:dns")],
            ),
    ]
}
