//! The parameters of a request as the access log keeps them: credentials hidden, and every value cut by itself.
//!
//! No parameter displaces another one: when there are many, each is cut shorter. Of what was cut or hidden the length remains,
//! and the SHA-256 of the query as it was sent.

use std::fmt::Write as _;

use crate::event::{hex, sha256};
use crate::mask::{HIDDEN, Mask, is_secret_name};

/// How many bytes of each name and value are kept, when all together are at most [`MOST_KEPT`]; else the next one.
const KEPT: [usize; 6] = [256, 128, 64, 32, 16, 8];

/// How many bytes of parameters are kept, unless these are cut to the shortest.
const MOST_KEPT: usize = 3 * 1024;

/// The most parameters that are kept. With more no route answers.
const MAX_PAIRS: usize = 600;

/// How many bytes of a value are searched for credentials. Of more only the beginning could be kept.
const SEARCHED: usize = 1_024;

/// The parameters in a path and a query. A `path` is kept where it has parameters.
pub(super) fn recorded(path: Option<&str>, query: Option<&str>) -> String {
    let mask = Mask::default();
    let path = path.map(|path| SentPart::of(&mask, path));
    let pairs: Vec<SentPair> = query
        .into_iter()
        .flat_map(|query| query.split('&').take(MAX_PAIRS))
        .map(|pair| SentPair::of(&mask, pair))
        .collect();
    let more = query.map_or(0, |query| query.split('&').skip(MAX_PAIRS).count());
    let is_whole = |kept| {
        let mut parts = pairs.iter().flat_map(SentPair::parts).chain(&path);
        more == 0 && parts.all(|part| part.is_whole(kept))
    };
    let mut text = String::new();
    let mut kept = 0;
    for len in KEPT {
        (text, kept) = (written(path.as_ref(), &pairs, query.is_some(), len), len);
        if text.len() <= MOST_KEPT {
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
    fn of(mask: &Mask, pair: &str) -> Self {
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
                }
            } else {
                SentPart::of(mask, value)
            }
        });
        let name = SentPart::of(mask, name);
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
}

impl SentPart {
    fn of(mask: &Mask, text: &str) -> Self {
        let searched = &text[..text.floor_char_boundary(SEARCHED)];
        let shown = mask.hide_in_parameter(searched);
        Self {
            is_hidden: shown != searched,
            shown,
            len: text.len(),
        }
    }

    fn is_whole(&self, kept: usize) -> bool {
        !self.is_hidden && self.len <= kept
    }

    /// The first bytes; the length, if that is not all.
    fn kept(&self, kept: usize) -> String {
        // What replaces a credential is not cut.
        let least = if self.shown.starts_with(HIDDEN) {
            HIDDEN.len()
        } else {
            0
        };
        let shown = &self.shown[..self.shown.floor_char_boundary(kept.max(least))];
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
    }

    #[test]
    fn a_word_that_looks_like_a_credential_hides_itself_and_nothing_after_it() {
        for sent in [
            "q=NOT%20/cookie:/%20actor.email:ceo@example.com",
            "q=NOT+/cookie:/+actor.email:ceo@example.com",
            "q=NOT%20/cookie:x;/%20actor.email:ceo@example.com",
            "q=bearer+hunter2hunter2+actor.email:ceo@example.com",
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
            "q=authorization:+bearer+hunter2hunter2",
        ] {
            let kept = question(sent);
            assert!(kept.contains(HIDDEN) && !kept.contains("hunter2"), "{kept}");
        }
        for plain in ["q=token", "token", "q=bearer+of+news"] {
            assert_eq!(question(plain), format!("?{plain}"));
        }
    }
}
