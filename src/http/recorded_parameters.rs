//! The parameters of a request as the access log keeps them: credentials hidden, and every value cut by itself.
//!
//! No parameter displaces another one: the query (`q`) is kept up to a length of its own, and when there are many others, each is cut
//! shorter. Of what was cut or hidden the length remains, and the SHA-256 of all parameters as they were sent.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::event::{hex, sha256};
use crate::mask::{HIDDEN, Mask, is_secret_name};

/// How many bytes of each name and value are kept, when all together are at most [`MOST_KEPT`]; else the next one.
const KEPT: [usize; 6] = [256, 128, 64, 32, 16, 8];

/// How many bytes of parameters are kept, unless these are cut to the shortest.
const MOST_KEPT: usize = 3 * 1024;

/// The most parameters that are kept. With more no route answers.
const MAX_PAIRS: usize = 600;

/// How many bytes of the query are kept.
const QUERY_KEPT: usize = 4 * 1024;

/// How many bytes of another value are searched for credentials. Of more only the beginning could be kept.
const SEARCHED: usize = 1_024;

/// How many bytes of a name are searched.
const NAME_SEARCHED: usize = 64;

/// How many bytes of all values but the query are searched. Of what comes after them only the length is kept.
const ALL_SEARCHED: usize = 16 * 1024;

/// The parameters in a path and a query. A `path` is kept where it has parameters.
pub(super) fn recorded(path: Option<&str>, query: Option<&str>) -> String {
    let mask = Mask::default();
    let mut left = ALL_SEARCHED;
    let path = path.map(|path| SentPart::of(&mask, path, &mut left));
    let sent: Vec<&str> = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .collect();
    let kept = kept_of(&sent);
    let more = sent.len() - kept.len();
    let pairs: Vec<SentPair> = kept
        .into_iter()
        .map(|pair| SentPair::of(&mask, pair, &mut left))
        .collect();
    let values = pairs.iter().filter_map(|pair| pair.value.as_ref());
    let of_query = values.filter(|value| value.least > 0);
    let of_query: usize = of_query.map(|value| value.shown.len()).sum();
    let is_whole = |kept| {
        let mut parts = pairs.iter().flat_map(SentPair::parts).chain(&path);
        more == 0 && parts.all(|part| part.is_whole(kept))
    };
    let mut text = String::new();
    let mut kept = 0;
    for len in KEPT {
        (text, kept) = (written(path.as_ref(), &pairs, query.is_some(), len), len);
        if text.len() <= MOST_KEPT + of_query {
            break;
        }
    }
    if more > 0 {
        write!(text, "&[{more} more]").unwrap_or_default();
    }
    if !is_whole(kept) {
        let hash = hex(&sha256(query.unwrap_or_default().as_bytes()));
        write!(text, " sha256={hash}").unwrap_or_default();
    }
    text
}

/// The pairs that are kept, in their order. When there are too many, those are left out whose names are repeated most.
fn kept_of<'a>(sent: &[&'a str]) -> Vec<&'a str> {
    let name = |pair: &'a str| pair.split_once('=').map_or(pair, |(name, _)| name);
    let mut too_many = sent.len().saturating_sub(MAX_PAIRS);
    if too_many == 0 {
        return sent.to_vec();
    }
    let mut repeated: HashMap<&str, usize> = HashMap::new();
    for pair in sent {
        *repeated.entry(name(pair)).or_default() += 1;
    }
    let most = repeated.values().copied().max().unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for pair in sent.iter().rev() {
        if too_many > 0 && repeated.get(name(pair)) == Some(&most) {
            too_many -= 1;
        } else {
            kept.push(pair);
        }
    }
    kept.reverse();
    kept.truncate(MAX_PAIRS);
    kept
}

fn written(path: Option<&SentPart>, pairs: &[SentPair], has_query: bool, kept: usize) -> String {
    let mut text = path.map(|path| path.kept(kept)).unwrap_or_default();
    if has_query {
        text.push('?');
    }
    for (n, pair) in pairs.iter().enumerate() {
        if n > 0 {
            text.push('&');
        }
        text.push_str(&pair.name.kept(kept));
        if let Some(value) = &pair.value {
            text.push('=');
            text.push_str(&value.kept(kept));
        }
    }
    text
}

/// A name and its value, if there is one.
struct SentPair {
    name: SentPart,
    value: Option<SentPart>,
}

impl SentPair {
    fn of(mask: &Mask, pair: &str, left: &mut usize) -> Self {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let value = value.map(|value| {
            if is_secret_name(name) {
                SentPart {
                    shown: HIDDEN.to_owned(),
                    len: value.len(),
                    is_hidden: true,
                    least: 0,
                }
            } else if name == "q" {
                SentPart::of_query(mask, value)
            } else {
                SentPart::of(mask, value, left)
            }
        });
        let mut of_name = NAME_SEARCHED;
        let name = SentPart::of(mask, name, &mut of_name);
        Self { name, value }
    }

    fn parts(&self) -> impl Iterator<Item = &SentPart> {
        std::iter::once(&self.name).chain(&self.value)
    }
}

/// A name, a value or a path, without credentials.
struct SentPart {
    shown: String,
    /// How many bytes were sent.
    len: usize,
    is_hidden: bool,
    /// How many bytes are kept at least.
    least: usize,
}

impl SentPart {
    fn of(mask: &Mask, text: &str, left: &mut usize) -> Self {
        let searched = &text[..text.floor_char_boundary(SEARCHED.min(*left))];
        *left -= searched.len();
        Self::searched(mask, text, searched, 0)
    }

    /// The value of `q`.
    fn of_query(mask: &Mask, text: &str) -> Self {
        let searched = &text[..text.floor_char_boundary(QUERY_KEPT)];
        Self::searched(mask, text, searched, QUERY_KEPT)
    }

    fn searched(mask: &Mask, text: &str, searched: &str, least: usize) -> Self {
        let shown = mask.hide_in_parameter(searched);
        Self {
            is_hidden: shown != searched,
            shown,
            len: text.len(),
            least,
        }
    }

    fn is_whole(&self, kept: usize) -> bool {
        let is_shown = !self.is_hidden && self.shown.len() == self.len;
        is_shown && self.len <= kept.max(self.least)
    }

    /// The first bytes; the length, if that is not all.
    fn kept(&self, kept: usize) -> String {
        // What replaces a credential is not cut.
        let least = if self.shown.starts_with(HIDDEN) {
            HIDDEN.len()
        } else {
            0
        };
        let shown = &self.shown[..self
            .shown
            .floor_char_boundary(kept.max(self.least).max(least))];
        if self.is_whole(kept) {
            shown.to_owned()
        } else {
            format!("{shown}[{} bytes]", self.len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> String {
        recorded(None, Some(query))
    }

    #[test]
    fn short_parameters_are_kept_as_they_are() {
        assert_eq!(question("q=a&limit=3&x"), "?q=a&limit=3&x");
        assert_eq!(recorded(Some("/v1/events/7"), None), "/v1/events/7");
        assert_eq!(recorded(None, None), "");
    }

    #[test]
    fn no_parameter_displaces_another() {
        let long = format!("id.not={}&q=actor.email:ceo@example.com", "A".repeat(4_090));
        let kept = question(&long);
        assert!(kept.contains("&q=actor.email:ceo@example.com"), "{kept}");
        assert!(kept.contains("A[4090 bytes]"), "{kept}");
        assert!(kept.contains(&hex(&sha256(long.as_bytes()))), "{kept}");
        assert!(kept.len() < 500, "{kept}");
        let many: String = (0..599)
            .map(|n| format!("ignored{n}={n}{}&", "A".repeat(20)))
            .collect();
        let kept = question(&format!("{many}q=secret"));
        assert!(kept.contains("&q=secret"), "{kept}");
        assert!(kept.len() < 32 * 1024, "{}", kept.len());
        let kept = question(&"&a=b".repeat(1_000));
        assert!(kept.contains("[401 more]"), "{kept}");
        assert!(kept.len() < 32 * 1024);
        let sources = "source=accounts%2F0123456789abcdef0123456789abcdef&".repeat(1_000);
        let kept = question(&format!("{sources}since=2026-08-03&before=2026-08-04"));
        assert!(
            kept.contains("&since=") && kept.contains("&before="),
            "{kept}"
        );
    }

    #[test]
    fn the_query_is_kept_whatever_is_beside_it_or_before_it() {
        let query = format!("q=NOT+{}+actor.email:ceo@example.com", "a".repeat(3_000));
        assert_eq!(question(&query), format!("?{query}"));
        let others = format!("&id.not={}", "b".repeat(60)).repeat(99);
        let kept = question(&format!("q=actor.email:ceo@example.com{others}"));
        assert!(
            kept.starts_with("?q=actor.email:ceo@example.com&"),
            "{kept}"
        );
        for plain in ["q=-bearer+203.0.113.77", "q=NOT+bearer+zone-0123-settings"] {
            assert_eq!(question(plain), format!("?{plain}"));
        }
    }

    #[test]
    fn no_more_than_a_part_of_a_long_request_is_searched_and_its_lengths_are_kept() {
        let many = format!("a={}&", "b".repeat(1_000)).repeat(100);
        let kept = question(&format!("{many}q=c"));
        assert!(kept.contains("&q=c"), "{kept}");
        assert_eq!(kept.matches("[1000 bytes]").count(), 100, "{kept}");
        assert!(kept.contains("&a=[1000 bytes]"), "{kept}");
    }

    #[test]
    fn a_word_that_looks_like_a_credential_hides_itself_and_nothing_after_it() {
        for sent in [
            "q=NOT%20/cookie:/%20actor.email:ceo@example.com",
            "q=NOT+/cookie:/+actor.email:ceo@example.com",
            "q=NOT%20/cookie:x;/%20actor.email:ceo@example.com",
            "q=bearer+hunter2hunter2hunter2+actor.email:ceo@example.com",
            "q=(cookie:a)actor.email:ceo@example.com",
        ] {
            let kept = question(sent);
            assert!(kept.contains("actor.email:ceo@example.com"), "{kept}");
            assert!(
                kept.contains(HIDDEN) && kept.contains(" bytes] sha256="),
                "{kept}"
            );
            assert!(!kept.contains("hunter2"), "{kept}");
        }
    }

    #[test]
    fn credentials_are_hidden_by_their_form_and_by_the_name_of_their_parameter() {
        for sent in [
            "q=Cookie:%20a=hunter2;%20b=hunter2",
            "q=Cookie:+a=hunter2;+b=hunter2",
            "q=Cookie:a=hunter2;b=hunter2",
            "q=a&token=hunter2",
            "Access%5FToken=hunter2&q=b",
            "api-key=hunter2",
            "password=a=hunter2",
            "q=authorization:+bearer+hunter2hunter2hunter2",
        ] {
            let kept = question(sent);
            assert!(kept.contains(HIDDEN) && !kept.contains("hunter2"), "{kept}");
        }
        for plain in ["q=token", "token", "q=bearer+of+news"] {
            assert_eq!(question(plain), format!("?{plain}"));
        }
    }
}
