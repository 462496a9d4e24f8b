//! Pages of lists that page by token, as all of upstream's lists do but the audit log.
//!
//! Items come in the order of their keys, and a token names the last key given: an item that is added or removed between
//! two pages moves no other. The filters must be repeated with the token, as upstream asks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::paging::ListInfo;
use crate::parameters::{self, Parameters};
use crate::request::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PAGE_SIZE, PAGE_TOKEN};

/// How the text of a token begins.
const AFTER: &str = "after-";

/// One page of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// Its items, in order.
    pub items: Vec<T>,
    /// Where the next page begins, and how much there is.
    pub info: ListInfo,
}

/// Cuts the page that `parameters` ask for out of items, which come in the ascending order of their keys.
///
/// # Errors
/// Says which parameter is wrong.
pub fn page<T>(
    parameters: &Parameters,
    items: impl Iterator<Item = (String, T)>,
) -> Result<ListPage<T>, String> {
    let size = page_size(parameters)?;
    let token = parameters::last(parameters, PAGE_TOKEN);
    let after = token.map(|token| decode(token).ok_or("page_token is not valid"));
    let after = after.transpose()?;
    let mut total_size = 0;
    let mut rest = Vec::new();
    for (key, item) in items {
        total_size += 1;
        if after.as_ref().is_none_or(|after| key > *after) && rest.len() <= size {
            rest.push((key, item));
        }
    }
    let has_more = rest.len() > size;
    rest.truncate(size);
    let last = rest.last().map(|(key, _)| key.as_str());
    let next_page_token = last.filter(|_| has_more).map(encode);
    Ok(ListPage {
        items: rest.into_iter().map(|(_, item)| item).collect(),
        info: ListInfo {
            next_page_token,
            total_size: Some(total_size),
        },
    })
}

/// A number as a key: keys have the order of the numbers.
#[must_use]
pub fn number_key(number: u64) -> String {
    format!("{number:020}")
}

/// The ends of the names of a text's filters, and what each keeps; see [`TextFilter`].
pub const TEXT_FILTERS: [(&str, &str); 4] = [
    ("", "Those with this value, in any case."),
    (".contains", "Those that contain this text, in any case."),
    (
        ".startsWith",
        "Those that begin with this text, in any case.",
    ),
    (".endsWith", "Those that end with this text, in any case."),
];

/// The filters `name`, `name.contains`, `name.startsWith` and `name.endsWith` of a text, in any case. They are read once for all
/// texts of a list.
#[derive(Debug, Clone)]
pub struct TextFilter(Vec<(TextTest, String)>);

#[derive(Debug, Clone, Copy)]
enum TextTest {
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

impl TextFilter {
    /// Those among the parameters.
    #[must_use]
    pub fn of(parameters: &Parameters, name: &str) -> Self {
        let tests = parameters.iter().filter_map(|(given, value)| {
            let test = match given.strip_prefix(name)? {
                "" => TextTest::Is,
                ".contains" => TextTest::Contains,
                ".startsWith" => TextTest::StartsWith,
                ".endsWith" => TextTest::EndsWith,
                _ => return None,
            };
            Some((test, value.to_lowercase()))
        });
        Self(tests.collect())
    }

    /// Whether a text passes all of them.
    #[must_use]
    pub fn passes(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let text = text.to_lowercase();
        self.0.iter().all(|(test, value)| match test {
            TextTest::Is => text == *value,
            TextTest::Contains => text.contains(value),
            TextTest::StartsWith => text.starts_with(value),
            TextTest::EndsWith => text.ends_with(value),
        })
    }
}

fn page_size(parameters: &Parameters) -> Result<usize, String> {
    let Some(text) = parameters::last(parameters, PAGE_SIZE) else {
        return Ok(DEFAULT_PAGE_SIZE);
    };
    match text.parse() {
        // A page of nothing would lead nowhere.
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(format!(
            "page_size must be a number from 0 to {MAX_PAGE_SIZE}"
        )),
    }
}

fn encode(key: &str) -> String {
    URL_SAFE.encode(format!("{AFTER}{key}"))
}

fn decode(token: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE.decode(token).ok()?).ok()?;
    Some(text.strip_prefix(AFTER)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Vec<(String, String)> {
        parameters::parse(Some(query)).unwrap()
    }

    #[test]
    fn a_walk_is_not_moved_by_who_leaves() {
        let items = |skipped: u64| {
            (0..25)
                .filter(move |&n| n != skipped)
                .map(|n| (number_key(n), n))
        };
        let first = page(&parameters("page_size=10"), items(99)).unwrap();
        assert_eq!((first.items.len(), first.info.total_size), (10, Some(25)));
        let token = first.info.next_page_token.unwrap();
        let second = page(
            &parameters(&format!("page_size=15&page_token={token}")),
            items(9),
        )
        .unwrap();
        assert_eq!(second.items.first(), Some(&10));
        assert_eq!(
            (second.items.len(), second.info.next_page_token),
            (15, None)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let nothing = || std::iter::empty::<(String, ())>();
        for query in [
            "page_size=1001",
            "page_size=-1",
            "page_size=x",
            "page_token=x",
            "page_token=YWJj",
        ] {
            assert!(page(&parameters(query), nothing()).is_err(), "{query}");
        }
        assert!(page(&parameters("page_size=&page_token="), nothing()).is_ok());
    }

    #[test]
    fn texts_are_found_in_any_case() {
        let check = |query: &str, expect| {
            assert_eq!(
                TextFilter::of(&parameters(query), "user.email").passes("José@Example.com"),
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
