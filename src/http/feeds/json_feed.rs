//! A feed as JSON Feed 1.1.

use serde::Serialize;

use super::feed::{Feed, FeedEntry};
use crate::alert::{AlertId, AlertState, Level};
use crate::position::rfc3339;

/// The version of the form, a URL by definition.
const VERSION: &str = "https://jsonfeed.org/version/1.1";

#[derive(Serialize)]
struct FeedDocument<'f> {
    version: &'static str,
    title: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    home_page_url: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feed_url: Option<&'f str>,
    authors: [Author; 1],
    items: Vec<FeedItem<'f>>,
}

#[derive(Serialize)]
struct Author {
    name: &'static str,
}

#[derive(Serialize)]
struct FeedItem<'f> {
    id: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'f str>,
    title: &'f str,
    summary: &'f str,
    content_text: String,
    date_published: String,
    date_modified: String,
    tags: Vec<&'f str>,
    /// For programs. A name of ours begins with `_` in this form.
    _orgtrail: AlertFacts<'f>,
}

/// What a program wants to know of an alert.
#[derive(Serialize)]
struct AlertFacts<'f> {
    alert: &'f AlertId,
    rule: &'f str,
    level: Level,
    state: AlertState,
}

/// The feed as JSON.
pub(super) fn write(feed: &Feed) -> Result<String, serde_json::Error> {
    serde_json::to_string(&FeedDocument {
        version: VERSION,
        title: &feed.title,
        home_page_url: feed.home.as_ref().map(url::Url::as_str),
        feed_url: feed.url.as_ref().map(url::Url::as_str),
        authors: [Author { name: "orgtrail" }],
        items: feed.entries.iter().map(item).collect(),
    })
}

fn item(entry: &FeedEntry) -> FeedItem<'_> {
    let rule = &entry.alert.rule;
    let tags = rule.tags.iter().map(String::as_str);
    FeedItem {
        id: &entry.id,
        url: entry.url.as_ref().map(url::Url::as_str),
        title: &entry.title,
        summary: &entry.alert.summary,
        content_text: entry.text(),
        date_published: rfc3339(entry.alert.raised_at),
        date_modified: rfc3339(entry.updated),
        tags: [rule.level.as_str()].into_iter().chain(tags).collect(),
        _orgtrail: AlertFacts {
            alert: &entry.alert.id,
            rule: &rule.id,
            level: rule.level,
            state: entry.alert.state,
        },
    }
}
