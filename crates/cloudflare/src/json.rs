//! Reads JSON text token by token, for entries without a fixed schema.
//!
//! [`serde_json`] has already said that a text is JSON; this reads what it says without losing anything: numbers and
//! duplicate keys as they were written, strings with broken surrogates, nesting to any depth (nothing here recurses
//! without a limit). It knows nothing of audit logs. Given text that is not JSON it returns less, and never panics.

mod canonical;
mod tokens;

use std::borrow::Cow;
use std::ops::ControlFlow;

pub use self::canonical::canonical;
pub use self::tokens::{JsonToken, MAX_DEPTH, Tokens, meaning, unescape};

/// The members of a JSON object, in order: each name as it is meant, and the value's own text. Of anything else, none.
pub fn members(text: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut tokens = Tokens::new(text);
    let is_object = tokens.next() == Some(JsonToken::BeginObject);
    std::iter::from_fn(move || {
        let JsonToken::Key(name) = tokens.next().filter(|_| is_object)? else {
            return None;
        };
        let value = tokens.value()?;
        Some((meaning(name), value))
    })
}

/// What a value says, if it is a string.
#[must_use]
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    let raw = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(meaning(raw))
}

/// The text of an object's last member of that name, unless it is empty.
#[must_use]
pub fn text_of(object: &str, name: &str) -> Option<String> {
    let (_, value) = members(object).filter(|(found, _)| found == name).last()?;
    let text = text(value)?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// A value without members, as [`walk`] meets it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// A string, its escapes resolved as far as they can be.
    Text(Cow<'a, str>),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

/// The longest path that [`walk`] gives, in bytes: a longer one is cut. One huge name may stand above a million values, and
/// the callback gets the path each time.
pub const MAX_PATH_LEN: usize = 1_000;

/// Calls `visit` with the dotted path and the value of each leaf of a JSON text, in order.
///
/// An array's items have the path of the array. Objects and arrays without members are not visited. Below
/// [`MAX_DEPTH`] a leaf has the path of its ancestor there, so that hostile nesting costs no more than its length.
///
/// Says whether any path was cut: for its depth, or because it is longer than [`MAX_PATH_LEN`].
pub fn walk<'a>(text: &'a str, mut visit: impl FnMut(&str, Scalar<'a>)) -> bool {
    walk_until(text, |path, value| {
        visit(path, value);
        ControlFlow::Continue(())
    })
}

/// As [`walk`], and ends when `visit` breaks: what follows is not read.
pub fn walk_until<'a>(
    text: &'a str,
    mut visit: impl FnMut(&str, Scalar<'a>) -> ControlFlow<()>,
) -> bool {
    let mut path = String::with_capacity(64);
    let mut has_cut = false;
    // For each open object or array: how long the path was outside it.
    let mut outer_lens: Vec<usize> = Vec::new();
    for token in Tokens::new(text) {
        match token {
            JsonToken::BeginObject | JsonToken::BeginArray => outer_lens.push(path.len()),
            JsonToken::EndObject | JsonToken::EndArray => {
                path.truncate(outer_lens.pop().unwrap_or(0))
            }
            JsonToken::Key(key) => {
                let outer = outer_lens.last().copied().unwrap_or(0);
                path.truncate(outer);
                if outer_lens.len() <= MAX_DEPTH {
                    if outer > 0 {
                        path.push('.');
                    }
                    path.push_str(&meaning(key));
                    has_cut |= path.len() > MAX_PATH_LEN;
                    path.truncate(path.floor_char_boundary(MAX_PATH_LEN));
                } else {
                    has_cut = true;
                }
            }
            JsonToken::Text(_) | JsonToken::Number(_) | JsonToken::Bool(_) | JsonToken::Null => {
                let value = match token {
                    JsonToken::Text(raw) => Scalar::Text(meaning(raw)),
                    JsonToken::Number(number) => Scalar::Number(number),
                    JsonToken::Bool(value) => Scalar::Bool(value),
                    _ => Scalar::Null,
                };
                if visit(&path, value).is_break() {
                    break;
                }
            }
        }
    }
    has_cut
}

/// The text of the member at a path of names, one name a step; of duplicate members the last. `None` when there is none.
#[must_use]
pub fn member<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |object, name| {
        let named = members(object).filter(|(found, _)| found == name);
        Some(named.last()?.1)
    })
}

/// Puts JSON on one line, in place. Line breaks can only be between tokens: within a string they are escaped.
pub fn keep_on_one_line(json: &mut [u8]) {
    for byte in json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// The same JSON on one line. Line breaks can only be between tokens: within a string they are escaped.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        Cow::Owned(text.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn leaves(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(text, |path, value| found.push(format!("{path}={value:?}")));
        found
    }

    #[test]
    fn members_are_told_apart_whatever_their_values_hold() {
        let text = r#"{ "a" : {"}": "]}\\", "b": [[1, {}], "\"{" ]} ,"c":[], "d":"}" , "e" :-1}"#;
        let found: Vec<_> = members(text)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expect = [
            r#"a={"}": "]}\\", "b": [[1, {}], "\"{" ]}"#,
            "c=[]",
            r#"d="}""#,
            "e=-1",
        ];
        assert_eq!(found, expect);
        // Text that ends early has the first of them; the last may be cut.
        let whole: Vec<_> = members(text).collect();
        for len in 0..text.len() {
            let cut: Vec<_> = members(&text[..len]).collect();
            let Some(((name, value), before)) = cut.split_last() else {
                continue;
            };
            assert_eq!(before, &whole[..before.len()], "{len}");
            let (whole_name, whole_value) = &whole[before.len()];
            assert_eq!(name, whole_name, "{len}");
            assert!(whole_value.starts_with(value), "{len}: {value}");
        }
    }

    #[test]
    fn leaves_have_dotted_paths_and_arrays_share_theirs() {
        let text = r#" {"a": {"b": [1, {"c": "x"}, true], "d": {}}, "e": null, "f": "\u0065\t"} "#;
        assert_eq!(
            leaves(text),
            [
                "a.b=Number(\"1\")",
                "a.b.c=Text(\"x\")",
                "a.b=Bool(true)",
                "e=Null",
                "f=Text(\"e\\t\")",
            ]
        );
    }

    #[test]
    fn no_name_is_so_long_that_each_value_below_it_costs_its_length() {
        let long = "é".repeat(MAX_PATH_LEN);
        let text = format!(r#"{{"a":{{"{long}":{{"b":[1,2]}},"c":3}},"{long}":4,"d":5}}"#);
        let mut seen = Vec::new();
        walk(&text, |path, _| seen.push(path.to_owned()));
        assert!(seen.iter().all(|path| path.len() <= MAX_PATH_LEN));
        let cut = |path: &str| path.starts_with("a.é") || path.starts_with("éé");
        let told: Vec<&str> = seen
            .iter()
            .map(|path| if cut(path) { "cut" } else { path })
            .collect();
        assert_eq!(told, ["cut", "cut", "a.c", "cut", "d"]);
    }

    #[test]
    fn members_are_found_by_their_names_and_the_last_of_them_counts() {
        let text = r#" {"a" : {"b": [1, {"c": "x"}], "\u0062\u0062":{ } }, "c":7, "a ": null, "c" : "\ud800"} "#;
        let check = |path: &[&str], expect| assert_eq!(member(text, path), expect, "{path:?}");
        check(&["a", "b"], Some(r#"[1, {"c": "x"}]"#));
        check(&["a", "bb"], Some("{ }"));
        check(&["c"], Some(r#""\ud800""#));
        check(&["a", "b", "c"], None);
        check(&["b"], None);
        assert_eq!(member("7", &["a"]), None);
        assert_eq!(one_line("{\n\r\t\"a\":1}"), "{  \t\"a\":1}");
    }

    #[test]
    fn members_are_given_with_the_text_of_their_values() {
        let found = |text| {
            members(text)
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found(r#" { "a" : {"b": [1, {}]} , "\u0062":"x\"}", "a":null,"c":[ ],"d" : -1e5}"#),
            [
                r#"a={"b": [1, {}]}"#,
                r#"b="x\"}""#,
                "a=null",
                "c=[ ]",
                "d=-1e5"
            ]
        );
        for text in ["{}", "[1]", "\"a\"", "7", "", "{\"a\"", "{\"a\":"] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn broken_surrogates_are_read_as_far_as_they_go() {
        assert_eq!(
            unescape(r"a\ud83d\ude00b"),
            Ok(Cow::Owned("a\u{1f600}b".to_owned()))
        );
        assert_eq!(unescape(r"a\ud83db"), Err("a\u{fffd}b".to_owned()));
        assert_eq!(
            unescape(r"\udc00\ud83dx"),
            Err("\u{fffd}\u{fffd}x".to_owned())
        );
    }

    #[test]
    fn canonical_forms_are_equal_exactly_when_the_content_is() {
        let same = |a: &str, b: &str| assert_eq!(canonical(a), canonical(b), "{a} and {b}");
        let other = |a: &str, b: &str| assert_ne!(canonical(a), canonical(b), "{a} and {b}");
        same(r#"{"b":1,"a":[1, 2]}"#, " { \"a\" : [1,2], \"b\" : 1 } ");
        same(r#""Jos\u00e9""#, "\"Jos\u{e9}\"");
        same(r#""a\/b""#, r#""a/b""#);
        other("1", "1.0");
        other(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#);
        other(r#""\ud800""#, r#""\ud801""#);
        other("[1,2]", "[2,1]");
        other("[12]", "[1,2]");
    }

    #[test]
    fn hostile_nesting_costs_its_length_and_no_stack() {
        let deep = "[".repeat(200_000) + "7" + &"]".repeat(200_000);
        assert_eq!(leaves(&deep), ["=Number(\"7\")"]);
        assert_eq!(canonical(&deep), deep);
        let objects = "{\"k\": ".repeat(100_000) + "7" + &"}".repeat(100_000);
        assert_eq!(leaves(&objects).len(), 1);
        assert_eq!(canonical(&objects), objects.replace(' ', ""));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        scalar.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\ .]{0,4}", inner, 0..5)
                    .prop_map(|members| json!(members)),
            ]
        })
    }

    fn leaf_count(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(leaf_count).sum(),
            Value::Object(members) => members.values().map(leaf_count).sum(),
            _ => 1,
        }
    }

    proptest! {
        #[test]
        fn canonical_is_json_of_the_same_meaning_and_stays(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let form = canonical(&pretty);
            prop_assert_eq!(&canonical(&form), &form);
            prop_assert_eq!(&canonical(&value.to_string()), &form);
            prop_assert_eq!(leaves(&pretty).len(), leaf_count(&value));
            for (name, inner) in value.as_object().into_iter().flatten() {
                let found = member(&pretty, &[name]).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Value>(found).unwrap(), inner);
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&form).unwrap(), value);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}", cut in "[\\[{\"\\\\u0-9a:,]{0,60}") {
            for text in [text, cut] {
                leaves(&text);
                std::hint::black_box((canonical(&text), member(&text, &["a", "b"])));
            }
        }
    }
}
