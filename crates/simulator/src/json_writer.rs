//! JSON written straight into a buffer, member by member, in the order in which it is named.
//!
//! An entry is a kilobyte of JSON that is drawn, written and forgotten, ten million times: no tree is built for it.
//! It does not know what the members mean.

use serde::Serialize;

/// An object on its way into a buffer.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    /// Begins a member; the caller writes the value into the returned buffer. Its name is a plain one, with nothing in it that
    /// JSON escapes.
    pub(crate) fn member(&mut self, name: &'static str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A member of any value.
    pub(crate) fn put(&mut self, name: &'static str, given: impl Serialize) {
        value(self.member(name), given);
    }

    /// A member that is left out when there is nothing to say.
    pub(crate) fn put_some(&mut self, name: &'static str, given: Option<impl Serialize>) {
        if let Some(given) = given {
            self.put(name, given);
        }
    }

    /// A member whose value is JSON already.
    pub(crate) fn put_json(&mut self, name: &'static str, json: &[u8]) {
        self.member(name).extend_from_slice(json);
    }

    /// All members of a body.
    pub(crate) fn put_members(&mut self, body: &Body) {
        if !self.is_empty && !body.text.is_empty() {
            self.out.push(b',');
        }
        self.is_empty &= body.text.is_empty();
        self.out.extend_from_slice(&body.text);
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// The members of an object as text, without the braces, and where each of them ends: so that a request can send some
/// of them, and an answer all of them and more.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) text: Vec<u8>,
    ends: Vec<usize>,
}

impl Body {
    /// A body without members, with room for as many as most have.
    pub(crate) fn new() -> Self {
        Self {
            text: Vec::with_capacity(512),
            ends: Vec::with_capacity(8),
        }
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of `count` members, or as many as there are, after the first `skipped`.
    pub(crate) fn members(&self, skipped: usize, count: usize) -> &[u8] {
        // A comma separates two members.
        let start = match skipped.checked_sub(1) {
            None => 0,
            Some(last) => self.ends.get(last).map_or(self.text.len(), |end| end + 1),
        };
        let end = match (skipped + count).checked_sub(1) {
            None => 0,
            Some(last) => self.ends.get(last).copied().unwrap_or(self.text.len()),
        };
        let start = start.min(self.text.len());
        &self.text[start..end.max(start)]
    }

    /// Begins a member named by `"name":`, quotes and colon included.
    pub(crate) fn begin(&mut self, quoted_name: &str) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        self.text.extend_from_slice(quoted_name.as_bytes());
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Writes one value.
pub(crate) fn value(out: &mut Vec<u8>, given: impl Serialize) {
    let written = serde_json::to_writer(out, &given);
    debug_assert!(written.is_ok(), "texts, numbers and lists become JSON");
}

/// What was written, which is text.
pub(crate) fn into_text(out: Vec<u8>) -> String {
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Writes an object into a [`Body`]: as `serde_json::json!` is written, with expressions for values, and for names
/// where they are in brackets.
macro_rules! body {
    ($body:expr, { $($members:tt)* }) => {{
        let body: &mut $crate::json_writer::Body = $body;
        $crate::json_writer::body_members!(body, $($members)*);
    }};
}

macro_rules! body_members {
    ($body:ident,) => {};
    ($body:ident, $name:literal : $($rest:tt)*) => {
        $body.begin(concat!("\"", $name, "\":"));
        $crate::json_writer::body_value!($body, $($rest)*);
    };
}

macro_rules! body_value {
    ($body:ident, { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::json_writer::inner_value!(&mut $body.text, { $($inner)* });
        $body.end();
        $crate::json_writer::body_members!($body, $($($rest)*)?);
    };
    ($body:ident, [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::json_writer::inner_value!(&mut $body.text, [ $($inner)* ]);
        $body.end();
        $crate::json_writer::body_members!($body, $($($rest)*)?);
    };
    ($body:ident, $value:expr $(, $($rest:tt)*)?) => {
        $crate::json_writer::value(&mut $body.text, &$value);
        $body.end();
        $crate::json_writer::body_members!($body, $($($rest)*)?);
    };
}

macro_rules! inner_value {
    ($out:expr, {}) => { $out.extend_from_slice(b"{}") };
    ($out:expr, { $($members:tt)* }) => {{
        let out: &mut Vec<u8> = $out;
        $crate::json_writer::inner_members!(out, "{", $($members)*);
        out.push(b'}');
    }};
    ($out:expr, []) => { $out.extend_from_slice(b"[]") };
    ($out:expr, [ $($items:tt)* ]) => {{
        let out: &mut Vec<u8> = $out;
        $crate::json_writer::inner_items!(out, b'[', $($items)*);
        out.push(b']');
    }};
    ($out:expr, $value:expr) => { $crate::json_writer::value($out, &$value) };
}

macro_rules! inner_members {
    ($out:ident, $before:literal,) => {};
    ($out:ident, $before:literal, $name:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $out.extend_from_slice(concat!($before, "\"", $name, "\":").as_bytes());
        $crate::json_writer::inner_value!(&mut *$out, { $($inner)* });
        $crate::json_writer::inner_members!($out, ",", $($($rest)*)?);
    };
    ($out:ident, $before:literal, $name:literal : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $out.extend_from_slice(concat!($before, "\"", $name, "\":").as_bytes());
        $crate::json_writer::inner_value!(&mut *$out, [ $($inner)* ]);
        $crate::json_writer::inner_members!($out, ",", $($($rest)*)?);
    };
    ($out:ident, $before:literal, $name:literal : $value:expr $(, $($rest:tt)*)?) => {
        $out.extend_from_slice(concat!($before, "\"", $name, "\":").as_bytes());
        $crate::json_writer::value(&mut *$out, &$value);
        $crate::json_writer::inner_members!($out, ",", $($($rest)*)?);
    };
    ($out:ident, $before:literal, [$name:expr] : $value:expr $(, $($rest:tt)*)?) => {
        $out.extend_from_slice($before.as_bytes());
        $crate::json_writer::value(&mut *$out, &$name);
        $out.push(b':');
        $crate::json_writer::value(&mut *$out, &$value);
        $crate::json_writer::inner_members!($out, ",", $($($rest)*)?);
    };
}

macro_rules! inner_items {
    ($out:ident, $before:literal,) => {};
    ($out:ident, $before:literal, { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $out.push($before);
        $crate::json_writer::inner_value!(&mut *$out, { $($inner)* });
        $crate::json_writer::inner_items!($out, b',', $($($rest)*)?);
    };
    ($out:ident, $before:literal, $value:expr $(, $($rest:tt)*)?) => {
        $out.push($before);
        $crate::json_writer::value(&mut *$out, &$value);
        $crate::json_writer::inner_items!($out, b',', $($($rest)*)?);
    };
}

pub(crate) use {body, body_members, body_value, inner_items, inner_members, inner_value};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &[u8]) -> Value {
        serde_json::from_slice(text).unwrap()
    }

    fn whole(body: &Body, skipped: usize, count: usize) -> Value {
        read(&[b"{", body.members(skipped, count), b"}"].concat())
    }

    #[test]
    fn a_body_is_written_as_it_is_named() {
        let mut body = Body::default();
        let (name, path) = ("größe \" \\\n", "com.example.\"x\"");
        body!(&mut body, {
            "name": name,
            "empty": {},
            "none": [],
            "nested": { "list": [{ "a": 1, "b": [true, name] }, 2.5, "x"], [path]: "*", "deep": { "n": 7_000 } },
            "last": vec!["a", "b"],
        });
        let expect = json!({
            "name": name,
            "empty": {},
            "none": [],
            "nested": { "list": [{ "a": 1, "b": [true, name] }, 2.5, "x"], path: "*", "deep": { "n": 7000 } },
            "last": ["a", "b"],
        });
        assert_eq!(whole(&body, 0, body.len()), expect);
    }

    #[test]
    fn some_members_are_taken_out_whole() {
        let mut body = Body::default();
        body!(&mut body, { "a": 1, "b": { "c": [2, 3] }, "d": "," });
        assert_eq!(body.len(), 3);
        assert_eq!(whole(&body, 0, 1), json!({ "a": 1 }));
        assert_eq!(whole(&body, 1, 1), json!({ "b": { "c": [2, 3] } }));
        assert_eq!(
            whole(&body, 1, 9),
            json!({ "b": { "c": [2, 3] }, "d": "," })
        );
        assert_eq!(whole(&body, 0, 0), json!({}));
        assert_eq!(whole(&body, 3, 1), json!({}));
        assert_eq!(whole(&Body::default(), 0, 3), json!({}));
    }

    #[test]
    fn an_object_leaves_out_what_is_not_said() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.put_some("a", None::<&str>);
        object.put_some("b", Some("x"));
        object.put("c", 3);
        object.put_json("d", b"[1]");
        object.close();
        assert_eq!(into_text(out), r#"{"b":"x","c":3,"d":[1]}"#);
        let mut out = Vec::new();
        Object::open(&mut out).close();
        assert_eq!(into_text(out), "{}");
    }
}
