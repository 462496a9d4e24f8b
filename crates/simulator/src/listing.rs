//! Lists that page by token, as all of upstream's do but the audit log.
//!
//! Items are numbered for ever, and a token names the last number given: who joins or leaves between two pages moves
//! nobody else. The filters must be repeated with the token, as upstream asks. What the items are is not known here.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use orgtrail_cloudflare::paging::ListInfo;
use orgtrail_cloudflare::request::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PAGE_SIZE, PAGE_TOKEN};
use serde_json::Value;

use super::faults::RequestFaults;
use super::parameters;
use super::refusal::Refusal;
use super::responses;

/// One page of a list.
#[derive(Debug)]
pub(crate) struct ListPage {
    pub(crate) items: Vec<Value>,
    pub(crate) info: ListInfo,
}

/// Cuts the page that `parameters` ask for out of numbered items, which come in the order of their numbers.
pub(crate) fn page(
    parameters: &[(String, String)],
    items: impl Iterator<Item = (u64, Value)>,
) -> Result<ListPage, Refusal> {
    let size = page_size(parameters)?;
    let after = match parameters::last(parameters, PAGE_TOKEN) {
        None => None,
        Some(token) => {
            let number =
                decode(token).ok_or_else(|| Refusal::invalid("page_token is not valid"))?;
            Some(number)
        }
    };
    let mut total_size = 0;
    let mut rest = Vec::new();
    for (number, item) in items {
        total_size += 1;
        if after.is_none_or(|after| number > after) && rest.len() <= size {
            rest.push((number, item));
        }
    }
    let has_more = rest.len() > size;
    rest.truncate(size);
    let last = rest.last().map(|(number, _)| *number);
    Ok(ListPage {
        items: rest.into_iter().map(|(_, item)| item).collect(),
        info: ListInfo {
            next_page_token: last.filter(|_| has_more).map(encode),
            total_size: Some(total_size),
        },
    })
}

/// A page of a list in its envelope, unless it meets with one of the faults of lists.
pub(crate) fn answer(mut page: ListPage, faults: &RequestFaults) -> Result<Response, Refusal> {
    if faults.list_forbidden {
        return Err(Refusal::forbidden());
    }
    if faults.list_not_found {
        return Err(Refusal::no_route());
    }
    if faults.list_null {
        return Ok(responses::success(Value::Null));
    }
    if faults.list_cut || faults.list_shrunk {
        page.items.truncate(page.items.len() / 2);
        page.info.next_page_token = None;
    }
    if faults.list_shrunk {
        page.info.total_size = Some(page.items.len());
    }
    if faults.list_without_total {
        page.info.total_size = None;
    }
    Ok(responses::success_list(&page.items, page.info))
}

/// Whether a text passes the filters `name`, `name.contains`, `name.startsWith` and `name.endsWith`, in any case.
pub(crate) fn text_passes(parameters: &[(String, String)], name: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    parameters.iter().all(|(given, value)| {
        let value = value.to_lowercase();
        match given.strip_prefix(name) {
            Some("") => text == value,
            Some(".contains") => text.contains(&value),
            Some(".startsWith") => text.starts_with(&value),
            Some(".endsWith") => text.ends_with(&value),
            _ => true,
        }
    })
}

fn page_size(parameters: &[(String, String)]) -> Result<usize, Refusal> {
    let Some(text) = parameters::last(parameters, PAGE_SIZE) else {
        return Ok(DEFAULT_PAGE_SIZE);
    };
    match text.parse() {
        // A page of nothing would lead nowhere.
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(Refusal::invalid(format!(
            "page_size must be a number from 0 to {MAX_PAGE_SIZE}"
        ))),
    }
}

fn encode(number: u64) -> String {
    URL_SAFE.encode(format!("after-{number}"))
}

fn decode(token: &str) -> Option<u64> {
    let text = String::from_utf8(URL_SAFE.decode(token).ok()?).ok()?;
    text.strip_prefix("after-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters(query: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    #[test]
    fn a_walk_is_not_moved_by_who_leaves() {
        let items = |skipped: u64| {
            (0..25)
                .filter(move |&n| n != skipped)
                .map(|n| (n, json!(n)))
        };
        let first = page(&parameters("page_size=10"), items(99)).unwrap();
        assert_eq!((first.items.len(), first.info.total_size), (10, Some(25)));
        let token = first.info.next_page_token.unwrap();
        let second = page(
            &parameters(&format!("page_size=15&page_token={token}")),
            items(9),
        )
        .unwrap();
        assert_eq!(second.items.first(), Some(&json!(10)));
        assert_eq!(
            (second.items.len(), second.info.next_page_token),
            (15, None)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for query in [
            "page_size=1001",
            "page_size=-1",
            "page_size=x",
            "page_token=x",
            "page_token=YWJj",
        ] {
            assert!(
                page(&parameters(query), std::iter::empty()).is_err(),
                "{query}"
            );
        }
        assert!(page(&parameters("page_size=&page_token="), std::iter::empty()).is_ok());
    }

    #[test]
    fn texts_are_found_in_any_case() {
        let check = |query: &str, expect| {
            assert_eq!(
                text_passes(&parameters(query), "user.email", "José@Example.com"),
                expect,
                "{query}"
            );
        };
        check("", true);
        check("user.email=josé@example.com", true);
        check("user.email.contains=EXAMPLE&user.email.endsWith=.com", true);
        check("user.email.startsWith=b", false);
        check("user.emailx=b", true);
    }
}
