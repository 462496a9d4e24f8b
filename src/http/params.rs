//! A request's parameters as a question, and what its path names.
//!
//! Every name is known or an error, with the nearest name; every value is right or an error that says what is wanted.
//! Parameters are read before anything is asked.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use url::form_urlencoded;

use super::problem::Problem;
use crate::coverage::Asked;
use crate::engine::{Order, Range};
use crate::field::{Part, folded};
use crate::position::Source;
use crate::query::{self, Query, When, read_time};
use crate::search::{DEFAULT_LIMIT, MAX_LIMIT, Question, parse_zone};
use crate::wording::{nearest, quoted};
use orgtrail_cloudflare::filter::{self, Filter, PRODUCT_CATEGORY};

/// The most parameters a request may have.
const MAX_PARAMETERS: usize = 100;

/// The longest value that is looked for, in bytes.
pub(super) const MAX_VALUE_LEN: usize = 4 * 1024;

/// The filters that are ours: which events. The same on every route that has any, as are upstream's
/// ([`orgtrail_cloudflare::filter::FILTERS`]).
pub(super) const FILTERS: [&str; 9] = [
    "q", "since", "before", "tz", "actor", "action", "resource", "source", "revision",
];

/// What a route that lists takes besides.
pub(super) const PAGING: [&str; 3] = ["order", "limit", "cursor"];

/// The order, the most events, and where the page begins.
pub(super) fn paging(given: &Given) -> Result<(Order, usize, Option<String>), Problem> {
    let limit = match given.one("limit")? {
        None => DEFAULT_LIMIT,
        Some("0") => 0,
        Some(text) => number("limit", text, MAX_LIMIT).map_err(|_| {
            bad(
                "limit",
                format!("{} is not a number from 0 to {MAX_LIMIT}", quoted(text)),
            )
        })?,
    };
    let cursor = given.one("cursor")?.map(ToOwned::to_owned);
    Ok((order(given)?, limit, cursor))
}

/// Whether a flag is `true`. Default: `false`.
pub(super) fn flag(given: &Given, name: &str) -> Result<bool, Problem> {
    given
        .one(name)?
        .map_or(Ok(false), |text| is_true(name, text))
}

/// Reads `true` or `false`.
fn is_true(name: &str, text: &str) -> Result<bool, Problem> {
    match text {
        "false" => Ok(false),
        "true" => Ok(true),
        other => Err(bad(
            name,
            format!("{} is neither `true` nor `false`", quoted(other)),
        )),
    }
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

pub(super) fn question(
    given: &Given,
    order: Order,
    now: DateTime<Utc>,
) -> Result<Question, Problem> {
    let when = when(given, now)?;
    let mut parts = Vec::new();
    if let Some(text) = given.one("q")? {
        let query = query::parse(text, when)
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
    let sources = sources(given)?;
    if !sources.is_empty() {
        parts.push(Query::or(sources.iter().map(of_source).collect()));
    }
    parts.extend(upstream_filters(given)?);
    match given.one("revision")? {
        None | Some("all") => {}
        Some("latest") => parts.push(Query::Latest),
        Some(other) => {
            let message = format!("{} is neither `latest` nor `all`", quoted(other));
            return Err(bad("revision", message));
        }
    }
    Ok(Question {
        query: Query::and(parts),
        range: range(given, when)?,
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

/// Upstream's own filters, by their names: values of one are alternatives, a `.not` drops what it matches, missing values
/// included in what stays.
fn upstream_filters(given: &Given) -> Result<Vec<Query>, Problem> {
    let mut parts = Vec::new();
    for filter in filter::FILTERS {
        for name in [filter.name.to_owned(), format!("{}.not", filter.name)] {
            let values = given
                .all(&name)
                .map(|value| {
                    no_category(&name, filter).and_then(|()| filtered(&name, filter.path, value))
                })
                .collect::<Result<Vec<_>, _>>()?;
            if values.is_empty() {
                continue;
            }
            let any = Query::or(values);
            parts.push(if name.ends_with(".not") {
                any.negated()
            } else {
                any
            });
        }
    }
    Ok(parts)
}

/// Refuses a filter for categories of products.
fn no_category(name: &str, filter: &Filter) -> Result<(), Problem> {
    if filter.name == PRODUCT_CATEGORY {
        let message = "which products a category has is known to Cloudflare alone: name them with `resource_product`";
        return Err(bad(name, message));
    }
    Ok(())
}

/// The events with a value at one of upstream's paths, as the parameter `name` asks for them.
pub(super) fn filtered(name: &str, path: &str, value: &str) -> Result<Query, Problem> {
    if value.is_empty() || value.len() > MAX_VALUE_LEN {
        return Err(bad(
            name,
            format!(
                "a value has 1 to {MAX_VALUE_LEN} bytes; `q=NOT _exists_:{}` finds entries without one",
                path
            ),
        ));
    }
    query::check_value(path, value).map_err(|message| bad(name, message))?;
    Ok(Query::Equals {
        path: path.to_owned(),
        value: value.to_owned(),
        at: 0,
    })
}

/// The sources that are named.
pub(super) fn sources(given: &Given) -> Result<Vec<Source>, Problem> {
    let source = |name: &str| -> Result<Source, Problem> {
        folded(name).parse().map_err(|_| {
            let wanted = "write `organizations/ID` or `accounts/ID`";
            bad(
                "source",
                format!("{} names no source: {wanted}", quoted(name)),
            )
        })
    };
    given.all("source").map(source).collect()
}

fn of_source(source: &Source) -> Query {
    Query::Equals {
        path: "source".into(),
        value: source.to_string(),
        at: 0,
    }
}

/// What the coverage of an answer is about: the question's own stretch of time and sources.
pub(super) fn asked(given: &Given, range: Range) -> Result<Asked, Problem> {
    let moment = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    Ok(Asked {
        since: moment(range.since_us),
        before: moment(range.before_us),
        sources: sources(given)?,
    })
}

/// What `now` is, and in which time zone dates are.
pub(super) fn when(given: &Given, now: DateTime<Utc>) -> Result<When, Problem> {
    Ok(When {
        now,
        zone: zone(given)?,
    })
}

/// The time zone of dates, of rounding, and of a histogram.
pub(super) fn zone(given: &Given) -> Result<Tz, Problem> {
    match given.one("tz")? {
        None => Ok(Tz::UTC),
        Some(name) => parse_zone(name).map_err(|message| bad("tz", message)),
    }
}

/// The stretch of time that is asked about.
pub(super) fn range(given: &Given, when: When) -> Result<Range, Problem> {
    let moment = |name| -> Result<Option<i64>, Problem> {
        let Some(text) = given.one(name)? else {
            return Ok(None);
        };
        let time = read_time(text, when).map_err(|message| bad(name, message))?;
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

/// The parameter that was probably meant, or what there is.
fn hint(name: &str, known: &[&'static str], takes_filters: bool) -> String {
    let (plain, not) = match name.strip_suffix(".not") {
        Some(plain) => (plain, ".not"),
        None => (name, ""),
    };
    let upstream = filter::FILTERS.iter().filter(|_| takes_filters);
    let names = known.iter().copied();
    match nearest(plain, names.chain(upstream.map(|filter| filter.name))) {
        Some(near) if filter::by_name(&format!("{near}{not}")).is_some() => {
            format!("did you mean `{near}{not}`?")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none here".to_owned(),
        None => {
            let and_more = if takes_filters {
                ", and upstream's filters"
            } else {
                ""
            };
            format!("known here are {}{and_more}", known.join(", "))
        }
    }
}

/// The one part of a route's path that is not fixed, decoded.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // axum's own rejection is plain text.
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => {
                let detail = format!("{} is not UTF-8 when decoded", quoted(parts.uri.path()));
                Err(bad("path", detail))
            }
        }
    }
}

/// The parameters a request gave, all of them known.
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    /// Reads the part of a URL after its `?`. Where ours are `known`, upstream's filters are too.
    pub(super) fn read(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        Self::read_up_to(MAX_PARAMETERS, query, known)
    }

    /// The same, for a route that takes another number of parameters.
    pub(super) fn read_up_to(
        most: usize,
        query: Option<&str>,
        known: &[&'static str],
    ) -> Result<Self, Problem> {
        let takes_filters = FILTERS.iter().all(|name| known.contains(name));
        let mut given = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let is_filter = takes_filters && filter::by_name(&name).is_some();
            if !is_filter && !known.contains(&&*name) {
                let message = match &*name {
                    "" => "a parameter has no name: write `name=value`".to_owned(),
                    _ => format!(
                        "unknown parameter {}: {}",
                        quoted(&name),
                        hint(&name, known, takes_filters)
                    ),
                };
                return Err(bad(&name, message));
            }
            if given.len() == most {
                return Err(bad(&name, format!("more than {most} parameters")));
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
