//! Which values of an entry can be searched by their path.
//!
//! In the index a value costs its path, which may be a hundred times longer than the value, and each path costs the paths above
//! it. So what all of these may come to is bounded by the entry's own length. This is decided here, from the entry's bytes
//! alone, because the entry's `problem` reports what is left out. Does not know the index.

use std::collections::HashSet;

use crate::field::{self, Kind, Origin};
use orgtrail_cloudflare::json::{self, Scalar};

/// About the most different paths of one entry that can be searched, those above them included.
pub const MAX_PATHS: usize = 10_000;

/// The paths of an entry's values, and those above them, come to about this many times the entry's bytes at most.
const PATH_BYTES_PER_BYTE: usize = 32;

/// The same, in bytes, for whatever entry.
const MIN_PATH_BYTES: usize = 16 * 1024;

/// What of an entry cannot be searched by its path.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct UnsearchableParts {
    /// How many values are found by their words alone.
    pub values: usize,
    /// Whether a path was cut: see [`json::walk`].
    pub has_cut_paths: bool,
}

/// As [`json::walk`]; says of each value whether it can be searched by its path.
pub fn walk<'a>(text: &'a str, mut visit: impl FnMut(&str, Scalar<'a>, bool)) -> UnsearchableParts {
    let mut room = PathBudget::of(text.len());
    let mut values = 0;
    let has_cut_paths = json::walk(text, |path, value| {
        let has_room = is_free(path) || room.take(path);
        values += usize::from(!has_room);
        visit(path, value, has_room);
    });
    UnsearchableParts {
        values,
        has_cut_paths,
    }
}

/// Whether the values at a path cost no path: those of the table of fields have places of their own.
fn is_free(path: &str) -> bool {
    field::by_name(path)
        .is_some_and(|field| field.kind != Kind::Any && field.origin == Origin::Entry)
}

/// The room that is left for an entry's paths.
struct PathBudget {
    bytes: usize,
    paths: usize,
    whole_bytes: usize,
    /// The paths there are so far, once it matters which of them are new. Most entries come nowhere near the limits, even if
    /// each path was new: to these nothing is remembered.
    known: Option<HashSet<String>>,
}

impl PathBudget {
    fn of(len: usize) -> Self {
        let whole_bytes = len
            .saturating_mul(PATH_BYTES_PER_BYTE)
            .saturating_add(MIN_PATH_BYTES);
        Self {
            bytes: whole_bytes,
            paths: MAX_PATHS,
            whole_bytes,
            known: None,
        }
    }

    /// Takes the room of one more value at a path; says whether there was enough.
    fn take(&mut self, path: &str) -> bool {
        let Some(known) = &mut self.known else {
            // As if each path were new.
            let n_paths = 1 + path.bytes().filter(|byte| *byte == b'.').count();
            let n_bytes = path.len() * (1 + n_paths);
            if n_paths <= self.paths && n_bytes <= self.bytes {
                self.paths -= n_paths;
                self.bytes -= n_bytes;
                return true;
            }
            // That much is taken. Now which paths are new is counted, with the same room once more.
            self.known = Some(HashSet::new());
            self.paths = MAX_PATHS;
            self.bytes = self.whole_bytes;
            return self.take(path);
        };
        let mut new: Vec<&str> = Vec::new();
        let mut next = path;
        while !next.is_empty() && !known.contains(next) {
            new.push(next);
            next = next.rsplit_once('.').map_or("", |(above, _)| above);
        }
        let n_bytes = path.len() + new.iter().map(|path| path.len()).sum::<usize>();
        if new.len() > self.paths || n_bytes > self.bytes {
            return false;
        }
        self.paths -= new.len();
        self.bytes -= n_bytes;
        known.extend(new.into_iter().map(ToOwned::to_owned));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many values of an entry can be searched by their path, and how many cannot.
    fn told(text: &str) -> (usize, usize) {
        let mut n_searchable = 0;
        let left_out = walk(text, |_, _, is_searchable| {
            n_searchable += usize::from(is_searchable);
        });
        (n_searchable, left_out.values)
    }

    #[test]
    fn a_long_list_is_searched_whole() {
        let rule =
            r#"{"id":"0a1b2c3d","expression":"ip.src eq 203.0.113.7","enabled":true,"ttl":1}"#;
        let rules = vec![rule; 50_000].join(",");
        let text = format!(r#"{{"resource":{{"request":{{"rules":[{rules}]}}}}}}"#);
        assert_eq!(told(&text), (200_000, 0));
    }

    #[test]
    fn many_paths_are_searched_up_to_a_limit_and_the_rest_is_counted() {
        let members: Vec<String> = (0..100_000).map(|n| format!(r#""k{n}":{n}"#)).collect();
        let text = format!("{{{}}}", members.join(","));
        let (searchable, left_out) = told(&text);
        assert_eq!(searchable + left_out, 100_000);
        assert!(
            (MAX_PATHS..=2 * MAX_PATHS).contains(&searchable),
            "{searchable}"
        );
    }

    #[test]
    fn known_fields_are_searched_whatever_else_the_entry_has() {
        let deep = format!("{}1{}", r#"{"a.b.c.d":"#.repeat(100), "}".repeat(100));
        let many = vec![deep; 1_000].join(",");
        let text = format!(r#"{{"x":[{many}],"actor":{{"email":"a@example.com"}}}}"#);
        let mut email = None;
        let left_out = walk(&text, |path, _, is_searchable| {
            if path == "actor.email" {
                email = Some(is_searchable);
            }
        });
        assert_eq!(email, Some(true));
        assert_eq!(left_out.values, 0, "these are few paths");
        let text = text.replace("a.b.c.d", &"a.".repeat(400));
        assert!(walk(&text, |_, _, _| {}).has_cut_paths);
    }
}
