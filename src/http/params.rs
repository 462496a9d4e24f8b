//! A request's parameters as a question.
//!
//! Every name is known or an error, with the nearest name; every value is right or an error that says what is wanted.
//! Parameters are read before anything is asked.

use url::form_urlencoded;

use super::problem::Problem;
use super::tally::{self, TALLY};
use crate::field::Part;
use crate::index::{Order, Range};
use crate::position::Source;
use crate::query::{self, Query};
use crate::search::{DEFAULT_LIMIT, MAX_LIMIT, Question, Tally, parse_moment};
use crate::wording::{nearest, quoted};

/// The most parameters a request may have.
const MAX_PARAMETERS: usize = 100;

/// The longest value that is looked for, in bytes.
pub(super) const MAX_VALUE_LEN: usize = 4 * 1024;

/// The filters: which events. The same on every route that has any.
pub(super) const FILTERS: [&str; 7] = [
    "q", "since", "before", "actor", "action", "resource", "source",
];

/// What a route that lists takes besides.
pub(super) const PAGING: [&str; 3] = ["order", "limit", "cursor"];

/// What a request for a list asks.
#[derive(Debug)]
pub(super) struct ListParams {
    pub(super) question: Question,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    pub(super) tally: Tally,
}

impl ListParams {
    /// Reads the part of a URL after its `?`.
    pub(super) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let given = Given::read(query, &[&FILTERS[..], &PAGING[..], &TALLY[..]].concat())?;
        let (order, limit, cursor) = paging(&given)?;
        Ok(Self {
            question: question(&given, order)?,
            limit,
            cursor,
            tally: tally::beside_a_page(&given)?,
        })
    }
}

/// The order, the most events, and where the page begins.
pub(super) fn paging(given: &Given) -> Result<(Order, usize, Option<String>), Problem> {
    let limit = match given.one("limit")? {
        None => DEFAULT_LIMIT,
        Some(text) => number("limit", text, MAX_LIMIT)?,
    };
    let cursor = given.one("cursor")?.map(ToOwned::to_owned);
    Ok((order(given)?, limit, cursor))
}

pub(super) fn order(given: &Given) -> Result<Order, Problem> {
    match given.one("order")? {
        None | Some("desc") => Ok(Order::Descending),
        Some("asc") => Ok(Order::Ascending),
        Some(other) => Err(bad(
            "order",
            format!("{} is neither `desc` nor `asc`", quoted(other)),
        )),
    }
}

/// What a request for a number asks.
pub(super) fn read_filters(query: Option<&str>) -> Result<Question, Problem> {
    let given = Given::read(query, &FILTERS)?;
    question(&given, Order::Descending)
}

pub(super) fn question(given: &Given, order: Order) -> Result<Question, Problem> {
    let mut parts = Vec::new();
    if let Some(text) = given.one("q")? {
        let query = query::parse(text)
            .map_err(|error| Problem::from(crate::search::SearchError::Query(error)))?;
        parts.push(query);
    }
    for (name, part) in [
        ("actor", Part::Actor),
        ("action", Part::Action),
        ("resource", Part::Resource),
    ] {
        let texts = given
            .all(name)
            .map(|text| looked_for(name, part, text))
            .collect::<Result<Vec<_>, _>>()?;
        if !texts.is_empty() {
            parts.push(Query::or(texts));
        }
    }
    let sources = given
        .all("source")
        .map(of_source)
        .collect::<Result<Vec<_>, _>>()?;
    if !sources.is_empty() {
        parts.push(Query::or(sources));
    }
    Ok(Question {
        query: Query::and(parts),
        range: range(given)?,
        order,
    })
}

fn looked_for(name: &str, part: Part, text: &str) -> Result<Query, Problem> {
    if !text.chars().any(char::is_alphanumeric) {
        return Err(bad(
            name,
            format!("{} holds no letter or digit to look for", quoted(text)),
        ));
    }
    if text.len() > MAX_VALUE_LEN {
        return Err(bad(
            name,
            format!("longer than the {MAX_VALUE_LEN} bytes that are looked for"),
        ));
    }
    Ok(Query::Words {
        part: Some(part),
        text: text.to_owned(),
    })
}

fn of_source(name: &str) -> Result<Query, Problem> {
    let source: Source = name.parse().map_err(|_| {
        bad(
            "source",
            format!(
                "{} names no source: write `organizations/ID` or `accounts/ID`",
                quoted(name)
            ),
        )
    })?;
    Ok(Query::Equals {
        path: "source".into(),
        value: source.to_string(),
        at: 0,
    })
}

fn range(given: &Given) -> Result<Range, Problem> {
    let moment = |name| -> Result<Option<i64>, Problem> {
        let Some(text) = given.one(name)? else {
            return Ok(None);
        };
        let wanted = "write `2026-08-03` or `2026-08-03T08:00:00Z`";
        let time = parse_moment(text)
            .ok_or_else(|| bad(name, format!("{} is no time: {wanted}", quoted(text))))?;
        Ok(Some(time.timestamp_micros()))
    };
    let range = Range {
        since_us: moment("since")?,
        before_us: moment("before")?,
    };
    match (range.since_us, range.before_us) {
        (Some(since), Some(before)) if since >= before => {
            Err(bad("before", "`before` is not after `since`"))
        }
        _ => Ok(range),
    }
}

pub(super) fn number(name: &str, text: &str, most: usize) -> Result<usize, Problem> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(bad(
            name,
            format!("{} is not a number from 1 to {most}", quoted(text)),
        )),
    }
}

pub(super) fn bad(name: &str, detail: impl Into<String>) -> Problem {
    Problem::parameter(name, detail)
}

/// The parameters a request gave, all of them known.
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    pub(super) fn read(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut given = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let hint = match nearest(&name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here are {}", known.join(", ")),
                };
                return Err(bad(
                    &name,
                    format!("unknown parameter {}: {hint}", quoted(&name)),
                ));
            }
            if given.len() == MAX_PARAMETERS {
                return Err(bad(&name, format!("more than {MAX_PARAMETERS} parameters")));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(given))
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(bad(name, format!("`{name}` is given more than once"))),
        }
    }
}
