//! What is outside a caller's scope does not exist for any answer: an engine that holds it answers as one that never had it.

use orgtrail::engine::{Engine, Range, Rank, RankedValues, Scope, ValueCount, ValuesOf};
use orgtrail::event::AuditEvent;
use orgtrail::field::FIELDS;
use orgtrail::position::{Seq, Source};
use orgtrail::query::{Matcher, Query, parse};
use orgtrail::search::{self, Facets, Question, SearchError, Tally};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::engine_queries::{Asked, in_memory};
use crate::engine_vs_reference::{
    EDGES, NAMES, any_entry, any_question, any_value, cases, engines, indexed, walked,
};
use crate::fixture_log::Desk;
use crate::reference::{Entry, now};

/// An entry, whether it is of the account that may be seen, and what its bodies are, if it has any.
#[derive(Debug, Clone)]
struct Given {
    body: String,
    is_visible: bool,
    hidden: Option<(&'static str, String)>,
}

fn any_given() -> impl Strategy<Value = Given> {
    let bodies = vec![
        r#""resource":{"request":VALUE}"#,
        r#""resource":{"Response":VALUE}"#,
        r#""resource":{"value":VALUE}"#,
        r#""Resource.REQUEST":VALUE"#,
        r#""resource":{"request":{"name":VALUE,"ttl":VALUE}}"#,
    ];
    let hidden = prop::option::of((prop::sample::select(bodies), any_value()));
    (any_entry(), any::<bool>(), hidden).prop_map(|(body, is_visible, hidden)| Given {
        // What is hidden stands behind.
        body: body.replace("\"request\"", "\"wanted\""),
        is_visible,
        hidden,
    })
}

fn seen() -> Source {
    Source::account("a").unwrap()
}

impl Given {
    /// The event that it becomes, with its bodies or without.
    fn event(&self, seq: u64, with_bodies: bool) -> AuditEvent {
        let mut event = Entry::new(seq, &self.body).event;
        if !self.is_visible {
            event.source = Source::account("b").unwrap();
        }
        if let Some((form, value)) = &self.hidden
            && with_bodies
            && let Some(members) = self.body.strip_suffix('}')
            && self.body.starts_with('{')
        {
            let comma = if members == "{" { "" } else { "," };
            let body = format!("{members}{comma}{}}}", form.replace("VALUE", value));
            event.entry = RawValue::from_string(body).unwrap();
        }
        event
    }
}

/// Everything that an engine says of a question, of fields and of paths.
#[derive(Debug, PartialEq)]
struct Said {
    places: Vec<u64>,
    arrivals: Vec<Seq>,
    newest: Vec<Option<Seq>>,
    count: (u64, u64),
    extent: Option<(i64, i64)>,
    over_time: Vec<u64>,
    values: Vec<ValueCount>,
    rare: RankedValues,
    with_any: u64,
    has_place: bool,
}

fn said(asked: &Asked, query: &Query, range: Range, field: &str) -> Said {
    let order = orgtrail::engine::Order::Ascending;
    let newest = Seq(u64::MAX);
    let matches = asked.matches(query, range, newest).unwrap();
    let values = matches.values(field, "", 100, None).unwrap().unwrap();
    let first = values.first();
    let rare = ValuesOf::new(field, 3).ranked(Rank::Rare).with_totals();
    Said {
        rare: matches.ranked(&rare, None).unwrap().unwrap(),
        with_any: matches.count_with(field).unwrap(),
        places: walked(asked, query, range, order, 3)
            .iter()
            .map(|hit| hit.seq.0)
            .collect(),
        arrivals: asked.arrivals(query, range, Seq(2), 7).unwrap(),
        newest: [Seq(2), Seq(5), newest]
            .map(|upto| asked.view.newest(&asked.caller, upto).unwrap())
            .to_vec(),
        count: (asked.count(query, range).unwrap(), matches.count()),
        extent: matches.extent(),
        over_time: matches.histogram(&EDGES),
        has_place: first.is_some_and(|value| {
            let seq = matches.seq_with_spelling(field, &value.value).unwrap();
            seq.is_some_and(|seq| matches.seqs().contains(&seq))
        }),
        values,
    }
}

/// What an engine says of the names of fields and paths.
fn names(asked: &Asked) -> (Vec<bool>, Vec<String>, Vec<String>) {
    let Asked { view, caller } = asked;
    let some = [
        "resource",
        "resource.wanted",
        "resource.wanted.a",
        "resource.value",
        "resource.response.a",
        "resource.scope",
        "actor",
        "action",
        "é",
    ];
    let some = some.into_iter().chain(NAMES);
    let some = some.map(|name| name.replace('\\', "").to_lowercase());
    // Those of the table are known anyway.
    let some = some.filter(|name| FIELDS.iter().all(|field| field.name != name));
    let known = some.map(|name| asked.knows_path(&name)).collect();
    let mut all = view.all_paths(caller).unwrap();
    all.retain(|path| FIELDS.iter().all(|field| field.name != path) && !path.is_empty());
    (known, all, view.paths("r", 3, caller).unwrap())
}

fn scope_of(limits_sources: bool, hides_bodies: bool) -> Scope {
    let scope = if limits_sources {
        Scope::of_sources([seen()])
    } else {
        Scope::everything()
    };
    if hides_bodies {
        scope.without_bodies()
    } else {
        scope
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn what_is_outside_the_scope_does_not_exist(
        given in prop::collection::vec(any_given(), 1..25),
        cuts in prop::collection::vec(1..15_usize, 0..3),
        questions in prop::collection::vec(any_question(), 12),
        (limits_sources, hides_bodies) in prop::sample::select(vec![(true, false), (false, true), (true, true)]),
        field in prop::sample::select(NAMES.to_vec()).prop_map(|name| name.replace('\\', "")),
    ) {
        let all: Vec<Entry> = (1..).zip(&given).map(|(seq, given)| Entry::of(given.event(seq, true))).collect();
        let visible = (1..).zip(&given).filter(|(_, given)| given.is_visible || !limits_sources);
        let visible: Vec<AuditEvent> = visible.map(|(seq, given)| given.event(seq, !hides_bodies)).collect();
        let never_had_it = Asked::everything(in_memory(&visible).view());
        let dir = tempfile::tempdir().unwrap();
        for (name, engine) in engines(dir.path(), &all, &cuts) {
            let asked = Asked::of(engine.view(), scope_of(limits_sources, hides_bodies), None);
            prop_assert_eq!(names(&asked), names(&never_had_it), "{}", name);
            for question in questions.iter().map(String::as_str).chain(["resource:*", "-resource:*", "*"]) {
                let Ok(query) = parse(question, now()) else { continue };
                let range = Range::default();
                let found = said(&asked, &query, range, &field);
                prop_assert_eq!(found, said(&never_had_it, &query, range, &field), "{}: {}", name, question);
            }
        }
    }

    #[test]
    fn a_tail_is_told_of_nothing_outside_its_scope(
        given in prop::collection::vec(any_given(), 1..25),
        questions in prop::collection::vec(any_question(), 12),
        (limits_sources, hides_bodies) in prop::sample::select(vec![(true, false), (false, true), (true, true)]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let index = indexed(dir.path(), &[], &[]);
        let following = index.recent().follow();
        let all: Vec<AuditEvent> = (1..).zip(&given).map(|(seq, given)| given.event(seq, true)).collect();
        index.add(&all).unwrap();
        index.commit().unwrap();
        let scope = scope_of(limits_sources, hides_bodies);
        let asked = Asked::of(Engine::Tantivy(index.clone()).view(), scope.clone(), None);
        for question in &questions {
            let Ok(query) = parse(question, now()) else { continue };
            let range = Range::default();
            let matcher = Matcher::of(&scope.narrowed(&query), scope.has_bodies()).unwrap();
            let upto = asked.view.seq();
            let told = index.recent().arrivals(&matcher, range, &asked.caller, Seq::ZERO, upto).unwrap();
            prop_assert_eq!(told, Some(asked.arrivals(&query, range, Seq::ZERO, 100).unwrap()), "{}", question);
        }
        drop(following);
    }
}

fn question(text: &str) -> Question {
    Question {
        query: parse(text, now()).unwrap(),
        range: Range::default(),
        order: orgtrail::engine::Order::Descending,
    }
}

fn message(error: SearchError) -> String {
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_counts_facets_and_errors_are_of_the_scope_alone() {
    let mut desk = Desk::new().await;
    let entry = |n: u32, who: &str, secret: &str| {
        format!(
            r#"{{"id":"{who}{n}","actor":{{"email":"{who}@example.com"}},"action":{{"time":"2026-08-03T08:00:0{n}Z"}},
            "{who}_only":{n},"resource":{{"id":"z","request":{{"{secret}":"{secret}"}}}}}}"#
        )
    };
    desk.keep(&seen(), &[entry(1, "ann", "open"), entry(2, "ann", "open")]);
    let other = Source::account("b").unwrap();
    desk.keep(&other, &[entry(3, "ben", "sesame")]);
    desk.search_all();
    let view = Asked::index(&desk.index).view;
    let of_one = view.caller(Scope::of_sources([seen()]), None);
    let store = &desk.store;
    let prepared = |text| question(text).prepare(store, &view, &of_one);

    let page = search::page(store, &view, &of_one, &question("*"), now(), None, 10).unwrap();
    assert_eq!(page.events.len(), 2);
    assert_eq!(
        search::count(&view, &of_one, &prepared("sesame").unwrap()).unwrap(),
        0
    );
    let wanted = Tally {
        count: true,
        facets: Some(Facets {
            fields: vec!["actor.email".to_owned(), "source".to_owned()],
            size: 10,
            rank: Rank::Frequent,
            exclude_own: false,
            parameter: "facet",
        }),
        ..Tally::default()
    };
    let tallied = search::tally(
        store,
        &view,
        &of_one,
        &prepared("*").unwrap(),
        view.seq(),
        &wanted,
    )
    .unwrap();
    assert_eq!(tallied.count, Some(2));
    let values: Vec<String> = tallied
        .facets
        .unwrap()
        .0
        .into_iter()
        .flat_map(|(_, facet)| facet.values)
        .map(|value| format!("{} {}", value.label, value.count))
        .collect();
    assert_eq!(values, ["ann@example.com 2", "accounts/a 2"]);
    let of_ben = search::completions(
        store,
        &view,
        &of_one,
        &prepared("*").unwrap(),
        &ValuesOf::new("actor.email", 10).beginning("ben"),
    );
    assert_eq!(of_ben.unwrap(), []);

    // A field of another source is told of as one that nobody has.
    let misspelt = prepared("bon_only:3").map(drop).map_err(message);
    let foreign = prepared("ben_only:3").map(drop).map_err(message);
    assert_eq!(misspelt.map_err(|text| text.replace("bon", "ben")), foreign);
    assert!(foreign.unwrap_err().contains("unknown field"));
    let everything = Asked::index(&desk.index).caller;
    let of_all = question("ben_only:3")
        .prepare(store, &view, &everything)
        .and_then(|question| search::count(&view, &everything, &question));
    assert_eq!(of_all.unwrap(), 1);

    let without = view.caller(Scope::everything().without_bodies(), None);
    for hidden in ["resource.request:*", "resource.request.open:open"] {
        let error = question(hidden)
            .prepare(store, &view, &without)
            .and_then(|question| search::count(&view, &without, &question))
            .unwrap_err();
        assert!(matches!(error, SearchError::UnknownField { .. }), "{error}");
    }
    assert_eq!(
        question("open")
            .prepare(store, &view, &without)
            .and_then(|question| search::count(&view, &without, &question))
            .unwrap(),
        0
    );
    assert_eq!(
        question("ann")
            .prepare(store, &view, &without)
            .and_then(|question| search::count(&view, &without, &question))
            .unwrap(),
        2
    );
    desk.stop().await;
}
