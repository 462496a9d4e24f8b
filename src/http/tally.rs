//! `/v1/facets`, `/v1/histogram`, `/v1/fields`, `/v1/fields/{name}/values`.

use axum::extract::RawQuery;
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::coverage::Proven;
use super::events::IndexState;
use super::openapi::{Parameter, ParameterKind, Route, path, query};
use super::params::{FILTERS, Given, Named, asked, bad, number, question};
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::tally_params::{counted_of, facets_of, rank, scale, size, split};
use crate::coverage::Verdict;
use crate::engine::{Order, Scope, ValuesOf};
use crate::field::{FIELDS, Kind, Origin};
use crate::search::{
    self, DEFAULT_SIZE, FieldValues, LabelledValue, MAX_SIZE, SearchError, Tallied, Tally,
};

/// Default number of paths.
const DEFAULT_PATHS: usize = 1_000;

/// The most paths that are listed.
const MAX_PATHS: usize = 10_000;

/// The values of some fields.
#[derive(Serialize, ToSchema)]
#[schema(as = Facets)]
pub(super) struct FacetsAnswer {
    facets: FieldValues,
    index: IndexState,
    coverage: Verdict,
}

/// How events are spread over time.
#[derive(Serialize, ToSchema)]
#[schema(as = HistogramOfEvents)]
pub(super) struct HistogramAnswer {
    #[serde(flatten)]
    histogram: search::Histogram,
    index: IndexState,
    coverage: Verdict,
}

/// What can be searched.
#[derive(Serialize, ToSchema)]
#[schema(as = Fields)]
pub(super) struct FieldsAnswer {
    fields: Vec<FieldAnswer>,
    paths: Vec<String>,
    more_paths: bool,
    index: IndexState,
}

/// One field of the table.
#[derive(Serialize, ToSchema)]
#[schema(as = Field)]
pub(super) struct FieldAnswer {
    name: &'static str,
    kind: &'static str,
    origin: &'static str,
    words: bool,
    about: &'static str,
}

/// One field's values.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldValues)]
pub(super) struct ValuesAnswer {
    field: String,
    values: Vec<LabelledValue>,
    index: IndexState,
}

pub(super) async fn facets(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<FacetsAnswer>, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &["field", "size", "sort", "exclude_own"]].concat(),
    )?;
    let facets = facets_of(&given, "field", "size", "sort")?
        .ok_or_else(|| bad("field", "write `field=actor.email`, once for each field"))?;
    let wanted = Tally {
        facets: Some(facets),
        ..Tally::default()
    };
    let (tallied, index, coverage) = tallied(&app, given, wanted).await?;
    let facets = tallied.facets.unwrap_or(FieldValues(Vec::new()));
    let answer = FacetsAnswer {
        facets,
        index,
        coverage,
    };
    let facets = answer.facets.0.iter();
    let values = facets.map(|(_, facet)| facet.values.len());
    Ok(counted(values.sum::<usize>(), answer))
}

pub(super) async fn histogram(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<HistogramAnswer>, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &["interval", "by"]].concat(),
    )?;
    let interval = given.one("interval")?.unwrap_or("auto");
    let scale = scale(&given, interval, "interval")?;
    let wanted = Tally {
        histogram: Some(scale),
        split: split(&given, "by")?,
        ..Tally::default()
    };
    let (tallied, index, coverage) = tallied(&app, given, wanted).await?;
    let histogram = tallied.histogram.ok_or_else(Problem::internal)?;
    let answer = HistogramAnswer {
        histogram,
        index,
        coverage,
    };
    Ok(counted(answer.histogram.buckets.len(), answer))
}

/// What is wanted of a question's events, as they are now. The question is in what was `given`.
async fn tallied(
    app: &ScopedApp,
    given: Given,
    wanted: Tally,
) -> Result<(Tallied, IndexState, Verdict), Problem> {
    app.ask(move |app| {
        let question = question(&given, Order::Descending, app.clock.now())?;
        let asked = asked(&given, question.range)?;
        let proven = Proven::look(app, counted_of(asked, &wanted))?;
        let (view, caller) = app.asking();
        let upto = view.seq();
        let question = question.prepare(&app.store, &view, &caller)?;
        let tallied = search::tally(&app.store, &view, &caller, &question, upto, &wanted)?;
        let index = IndexState::of(app, &view, &caller)?;
        Ok((tallied, index, proven.of_answer(upto)))
    })
    .await
}

pub(super) async fn fields(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<FieldsAnswer>, Problem> {
    let given = Given::read(query.as_deref(), &["prefix", "limit"])?;
    let prefix = given.one("prefix")?.unwrap_or_default().to_owned();
    let limit = match given.one("limit")? {
        None => DEFAULT_PATHS,
        Some(text) => number("limit", text, MAX_PATHS)?,
    };
    let answer = app.ask(move |app| {
        let (view, caller) = app.asking();
        // One more than asked for tells whether there are more; one may be a field that is hidden.
        let mut paths = view.paths(&prefix, limit + 2, &caller)?;
        paths.retain(|path| !search::is_hidden(&caller.scope, path));
        let more_paths = paths.len() > limit;
        paths.truncate(limit);
        Ok(FieldsAnswer {
            fields: known_fields(&prefix, &caller.scope),
            paths,
            more_paths,
            index: IndexState::of(app, &view, &caller)?,
        })
    });
    let answer = answer.await?;
    Ok(counted(answer.fields.len() + answer.paths.len(), answer))
}

pub(super) async fn values(
    app: ScopedApp,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<ValuesAnswer>, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &["prefix", "contains", "sort", "size"]].concat(),
    )?;
    let prefix = given.one("prefix")?.unwrap_or_default().to_owned();
    let part = given.one("contains")?.unwrap_or_default().to_owned();
    let (size, rank) = (size(&given, "size")?, rank(&given, "sort")?);
    let answer = app.ask(move |app| {
        let question = question(&given, Order::Descending, app.clock.now())?;
        let (view, caller) = app.asking();
        let store = &app.store;
        let wanted = ValuesOf::new(&name, size).ranked(rank);
        let wanted = wanted.beginning(&prefix).containing(&part);
        let question = question.prepare(store, &view, &caller)?;
        let values = search::completions(store, &view, &caller, &question, &wanted);
        // Here the field is a part of the path: a wrong one is a place where there is nothing.
        let values = values.map_err(|error| match error {
            SearchError::UnknownField {
                parameter: "name",
                message,
                ..
            } => Problem::not_found(message).of_unknown_field(),
            error => error.into(),
        })?;
        Ok(ValuesAnswer {
            field: name,
            values,
            index: IndexState::of(app, &view, &caller)?,
        })
    });
    let answer = answer.await?;
    Ok(counted(answer.values.len(), answer))
}

fn known_fields(prefix: &str, scope: &Scope) -> Vec<FieldAnswer> {
    let prefix = prefix.to_lowercase();
    let fields = FIELDS
        .iter()
        .filter(|field| field.name.starts_with(&prefix) && !search::is_hidden(scope, field.name));
    fields
        .map(|field| FieldAnswer {
            name: field.name,
            kind: match field.kind {
                Kind::Id => "id",
                Kind::Text => "text",
                Kind::Address => "address",
                Kind::Number => "number",
                Kind::Time => "time",
                Kind::Any => "any",
            },
            origin: match field.origin {
                Origin::Entry => "entry",
                Origin::Event => "event",
                Origin::List => "list",
            },
            words: field.words,
            about: field.about,
        })
        .collect()
}

/// The parameter that says how many values are wanted.
pub(super) fn described_size() -> Parameter {
    let size = ParameterKind::Number {
        least: 1,
        most: MAX_SIZE as u64,
        default: DEFAULT_SIZE as u64,
    };
    query("size", size, "The most values of each list.")
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    let paths = ParameterKind::Number {
        least: 1,
        most: MAX_PATHS as u64,
        default: DEFAULT_PATHS as u64,
    };
    let field =
        "A field of the table, or any path of an entry. Repeated for more fields, up to 20.";
    vec![
        Route::get("/v1/facets", "count_values", "Count the values of fields exactly")
            .about("The most frequent values come first. An event counts once for each different value it has.")
            .filtered(&FILTERS)
            .with(query("field", ParameterKind::Texts, field).required().such_as(serde_json::json!(["action.type"])))
            .with(described_size())
            .with(query("sort", ParameterKind::Word(&["frequent", "rare"]), "Which values come first: the most frequent, or the rarest."))
            .takes(&["exclude_own"])
            .answers::<FacetsAnswer>("The values of each field.")
            .example(
                "What was done, and by whom",
                "/v1/facets",
                &[("field", "action.type"), ("field", "actor.email"), ("size", "3")],
            ),
        Route::get("/v1/histogram", "count_over_time", "Count events over time exactly")
            .filtered(&FILTERS)
            .with(query("interval", ParameterKind::Text, "`auto` (default), or a span that divides a day or is made of whole days: `1m`, `6h`, `1d`."))
            .with(query("by", ParameterKind::Text, "A field by whose ten most frequent values each bucket is split."))
            .answers::<HistogramAnswer>("The buckets, in order and without a hole.")
            .example(
                "Three days in Berlin",
                "/v1/histogram",
                &[("interval", "1d"), ("tz", "Europe/Berlin"), ("since", "2026-08-01"), ("before", "2026-08-04")],
            ),
        Route::get("/v1/fields", "list_fields", "List what can be searched")
            .with(query("prefix", ParameterKind::Text, "How the names begin."))
            .with(query("limit", paths, "The most paths."))
            .answers::<FieldsAnswer>("The fields of the table, and the paths that entries have besides.")
            .example("Fields of the actor's token", "/v1/fields", &[("prefix", "actor.token")]),
        Route::get("/v1/fields/{name}/values", "list_values", "List a field's values for completion")
            .filtered(&FILTERS)
            .with(path("name", ParameterKind::Name("actor.email"), "A field, or a path of an entry."))
            .with(query("prefix", ParameterKind::Text, "How the values begin."))
            .with(query("contains", ParameterKind::Text, "What is somewhere in the values."))
            .with(query("sort", ParameterKind::Word(&["frequent", "rare"]), "Which values come first: the most frequent, or the rarest."))
            .with(described_size())
            .answers::<ValuesAnswer>("The values, the most frequent first.")
            .refuses(&[404])
            .example(
                "E-mail addresses that begin with `a`",
                "/v1/fields/actor.email/values",
                &[("prefix", "a")],
            ),
    ]
}
