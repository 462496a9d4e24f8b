//! `/v1/alerts/feed.atom` and `feed.json`: the alerts raised last, for feed readers.
//!
//! They answer a token, and the secret in the URL of a feed that was created for a reader which sends no token.

mod atom;
mod feed;
mod json_feed;

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use url::Url;
use uuid::Builder;

use self::feed::{Feed, FeedEntry};
use super::access::Results;
use super::alerts::{filter, filter_parameters, reader};
use super::etag;
use super::guard::FEED_KEY;
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::Given;
use super::principal::Principal;
use super::problem::Problem;
use super::proxy::Requester;
use super::state::AppState;
use crate::event::sha256;
use crate::store::alerts::AlertFilter;

/// How many alerts a feed has.
const MAX_ENTRIES: usize = 100;

/// The parameters.
const PARAMETERS: [&str; 4] = ["rule", "level", "state", FEED_KEY];

/// The types of the two forms.
const ATOM: &str = "application/atom+xml; charset=utf-8";
const JSON_FEED: &str = "application/feed+json";

/// A reader may keep a feed for itself, and asks each time whether it has changed.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The two forms.
#[derive(Clone, Copy)]
enum FeedForm {
    Atom,
    Json,
}

pub(super) async fn atom(
    app: State<AppState>,
    principal: Extension<Principal>,
    client: Option<Extension<Requester>>,
    uri: Uri,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = AskedFeed::read(&app, &principal, client.as_deref(), &uri, query)?;
    asked.answer(app.0, FeedForm::Atom, &headers).await
}

pub(super) async fn json(
    app: State<AppState>,
    principal: Extension<Principal>,
    client: Option<Extension<Requester>>,
    uri: Uri,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = AskedFeed::read(&app, &principal, client.as_deref(), &uri, query)?;
    asked.answer(app.0, FeedForm::Json, &headers).await
}

/// Which feed is asked for.
struct AskedFeed {
    principal: Principal,
    filter: AlertFilter,
    url: Option<Url>,
    home: Option<Url>,
    /// What tells its id from those of other feeds of this log.
    known_by: String,
}

impl AskedFeed {
    fn read(
        app: &AppState,
        principal: &Principal,
        client: Option<&Requester>,
        uri: &Uri,
        RawQuery(query): RawQuery,
    ) -> Result<Self, Problem> {
        let query = query.as_deref();
        let (filter, known_by) = match principal.feed() {
            Some(feed) => {
                Given::read(query, &[FEED_KEY])?;
                let filter = AlertFilter {
                    rules: feed.rules.clone(),
                    levels: feed.levels.clone(),
                    states: feed.states.clone(),
                    ..AlertFilter::default()
                };
                (filter, format!("feed:{}", feed.name))
            }
            None => {
                let given = Given::read(query, &PARAMETERS)?;
                let known_by = format!("query:{}", query.unwrap_or_default());
                (filter(&given, app.clock.now())?, known_by)
            }
        };
        let home = home(app, client);
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            principal: principal.clone(),
            filter,
            url: home.as_ref().and_then(|home| home.join(path).ok()),
            home,
            known_by,
        })
    }

    async fn answer(
        self,
        app: AppState,
        form: FeedForm,
        request: &HeaderMap,
    ) -> Result<Response, Problem> {
        let feed = app.ask(move |app| self.feed(app)).await?;
        let (content_type, text) = match form {
            FeedForm::Atom => (ATOM, atom::write(&feed)),
            FeedForm::Json => (JSON_FEED, json_feed::write(&feed)?),
        };
        let tag = etag::tag_of(text.as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, PRIVATE);
        let of_tag = HeaderValue::from_str(&tag).map_err(|_| Problem::internal())?;
        headers.insert(header::ETAG, of_tag);
        let modified = last_modified(feed.updated, app.clock.now());
        let modified = httpdate::fmt_http_date(modified.into());
        let modified = HeaderValue::from_str(&modified).map_err(|_| Problem::internal())?;
        headers.insert(header::LAST_MODIFIED, modified);
        let results = Extension(Results(feed.entries.len() as u64));
        if is_known(request, &tag, feed.updated) {
            return Ok((StatusCode::NOT_MODIFIED, headers, results, Body::empty()).into_response());
        }
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        Ok((headers, results, text).into_response())
    }

    fn feed(&self, app: &AppState) -> Result<Feed, Problem> {
        let reader = reader(&self.principal);
        let (_, newest) = app.store.newest_alert_change(&reader)?;
        let alerts = app
            .store
            .alerts_with_changes(&self.filter, &reader, MAX_ENTRIES)?;
        let log_id = app.store.log_id();
        let entries = alerts.into_iter().map(|(alert, updated)| FeedEntry {
            id: urn(&format!("{log_id} alert {}", alert.id)),
            title: format!("[{}] {}", alert.rule.level, alert.rule.title),
            url: self.home.as_ref().map(|home| alert.page(home)),
            updated,
            alert,
        });
        let feed = self.principal.feed();
        let name = feed.map(|feed| Cow::Owned(format!("orgtrail alerts: {}", feed.name)));
        Ok(Feed {
            id: urn(&format!("{log_id} {}", self.known_by)),
            title: name
                .unwrap_or(Cow::Borrowed("orgtrail alerts"))
                .into_owned(),
            url: self.url.clone(),
            home: self.home.clone(),
            // Also when the alert that was changed is not in the feed any more.
            updated: crate::clock::from_micros(newest.moment_us),
            entries: entries.collect(),
        })
    }
}

/// Where people reach the service: its `public_url`, or as this client does.
fn home(app: &AppState, client: Option<&Requester>) -> Option<Url> {
    let settings = app.access.settings();
    if let Some(url) = &settings.public_url {
        return Some(url.clone());
    }
    let client = client?;
    let scheme = if client.is_https { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{}/", client.host.as_deref()?)).ok()
}

/// A URN that is always the same for the same text.
fn urn(text: &str) -> String {
    let hash = sha256(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_random_bytes(bytes)
        .into_uuid()
        .urn()
        .to_string()
}

/// The second by which a change was made: its end, unless that is still to come.
///
/// HTTP knows whole seconds. What is changed after an answer is changed after the second that the answer names, or the answer is not
/// taken as known.
fn last_modified(changed: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let end = second_after(changed);
    if end <= now {
        end
    } else {
        end - TimeDelta::seconds(1)
    }
}

/// The first whole second at a time or after it.
fn second_after(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::seconds(1))
        .map_or(time, |second| {
            if second == time {
                second
            } else {
                second + TimeDelta::seconds(1)
            }
        })
}

/// Whether the client has the answer: by its tag, or else by its time.
fn is_known(request: &HeaderMap, tag: &str, changed: DateTime<Utc>) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        return etag::is_among(request, tag);
    }
    let since = request.get(header::IF_MODIFIED_SINCE);
    let since = since
        .and_then(|value| value.to_str().ok())
        .and_then(|value| httpdate::parse_http_date(value).ok());
    since.is_some_and(|since| second_after(changed) <= DateTime::<Utc>::from(since))
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    let key = "The secret of a feed of `orgtrail alerts feed create`, instead of a token. The feed has filters of its own, and no other parameter is taken.";
    let route = |path, id, summary| {
        filter_parameters(Route::get(path, id, summary))
            .with(described_query(FEED_KEY, ParameterKind::Text, key))
            .about("The 100 alerts raised last, the newest first, for feed readers.")
            .not_modified()
    };
    vec![
        route(
            "/v1/alerts/feed.atom",
            "get_alerts_atom",
            "Read alerts as an Atom feed",
        )
        .answers_text(ATOM, "The feed (RFC 4287).")
        .example(
            "Critical alerts",
            "/v1/alerts/feed.atom",
            &[("level", "critical")],
        ),
        route(
            "/v1/alerts/feed.json",
            "get_alerts_json_feed",
            "Read alerts as a JSON Feed",
        )
        .answers_object_as(JSON_FEED, "The feed (JSON Feed 1.1).")
        .example("Open alerts", "/v1/alerts/feed.json", &[("state", "open")]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn a_change_within_the_second_of_an_answer_is_never_taken_as_known() {
        let asks = |last: DateTime<Utc>, changed: i64| {
            let mut request = HeaderMap::new();
            let value = httpdate::fmt_http_date(last.into());
            request.insert(header::IF_MODIFIED_SINCE, value.parse().unwrap());
            is_known(&request, "W/\"x\"", from_micros(changed))
        };
        let changed = 10_300_000;
        for answered in [10_300_000, 10_999_999, 11_000_000, 60_000_000] {
            let last = last_modified(from_micros(changed), from_micros(answered));
            assert!(last <= from_micros(answered));
            assert!(!asks(last, answered + 1), "{answered}");
            // It is known when the second of the change was over.
            assert_eq!(asks(last, changed), answered >= 11_000_000, "{answered}");
        }
        assert_eq!(
            last_modified(from_micros(0), from_micros(5)),
            from_micros(0)
        );
    }
}
