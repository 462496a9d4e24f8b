//! A question about entries, as a tree, and the language people write it in: Lucene's, over the entry's own dotted names.
//!
//! ```text
//! query      = [ any ]                                  nothing asks for everything
//! any        = all { ( "OR" | "||" ) all }
//! all        = one { [ "AND" | "&&" ] one }             side by side means AND, which binds tighter than OR
//! one        = { "NOT" | "!" | "-" | "+" } ( group | named | text | regex | "*" | "*:*" )
//! group      = "(" any ")"
//! named      = name ":" ( group | value ) | "_exists_:" name
//! value      = "*" | range | comparison | regex | text
//! range      = ( "[" | "{" ) bound "TO" bound ( "]" | "}" )     [ ] with its ends, { } without
//! comparison = ( ">" | ">=" | "<" | "<=" ) bound
//! bound      = "*" | text                               without wildcards
//! regex      = "/" any text, "\/" for a slash "/"       only where the next slash ends the term: /zones/* is a path
//! text       = { "*" | "?" | quoted | character }       "*" is any text, "?" any one character
//! quoted     = "\"" any text "\""                       wildcards and white space stand for themselves
//! character  = anything but white space, parentheses, "&&", "||"; "\" takes the next character as it is
//! name       = letters with their marks, digits, "_", "-", ".", "@"; "\" takes the next character as it is
//! ```
//!
//! A name before a group is the name of every text in it: `action.type:(create OR delete)`. An IP address needs no quotes for
//! its colons. `~` and `^` at the end of a term (likeness and weight, in Lucene) are refused.
//!
//! # What matches
//!
//! An entry is its *values*: the texts, numbers and `true` or `false` at the ends of its JSON, each under the keys that lead
//! there, joined with dots; an array's items are values of the array's name. `null` and an empty text are no values.
//! Everything is compared *folded*: in lower case, character by character (`İ` becomes an `i` and a dot above, U+0307, which belongs
//! to its word). A value is compared as a whole, in its *normal form*
//! ([`crate::field::normal`]): an address, a time, a status code in its one spelling, a JSON number in plain digits, anything
//! else as it stands. A number of any length and exponent has one spelling too: more than forty zeros beside its own digits, or more
//! than a thousand of these, are written as an exponent, `1.25e+400`.
//!
//! A value of more than 2,048 bytes is its first 2,048 for wildcards, expressions and ranges, and a word of more than 256 bytes its
//! first 256; of such a number the last digits are left out and its exponent is kept. Otherwise the whole counts. Facets list such a
//! value by its beginning and its hash, and what they list finds it.
//!
//! | asked | an entry matches when |
//! | --- | --- |
//! | `text` | its words stand side by side, in order, in one value. A word is a run of letters and digits; a UUID is one word. `action.time` has no words |
//! | `te*t` | one word matches as a whole; or, cut at what is neither letter, digit nor wildcard, its pieces match words side by side. A lone `*` at an end says nothing |
//! | `/regex/` | one word matches as a whole |
//! | `name:text` | some value of that name is the text; where the table of fields does not say what it is, or the same number: `ttl:300` finds `"0300"` and the number `3e2`, `n:1e400` finds `10e399` |
//! | `name:"text"` | the same, and nothing else that the text may mean without quotes: a date is no day, a network no addresses, `now-7d` no time, `3e2` no number but where the table says that the field is one. A bound of a range is a text then, but in fields of times, addresses and numbers |
//! | `name:text` without quotes, where the table says that a field has words | the same, or, if the text is one word, one word of a value is the text |
//! | `name:te*t`, `name:/regex/` | some value's normal form matches as a whole; `te*t`, in a field that has words, also one word as a whole |
//! | `name:[a TO b]` and the like | some value is between the bounds. A bound that is a number is compared with values that are numbers, another with all values as text, by code point |
//! | `name:*`, `_exists_:name` | there is a value of that name, or of one that goes on after it with a dot |
//! | `name:""` | there is an empty text of that name |
//! | `NOT x` | `x` does not match: entries without the name included |
//!
//! For addresses, `name:203.0.113.0/24` and ranges match the addresses between; IPv4 and IPv6 are never between one another.
//! For times, a bound is an RFC 3339 time, a date, or `now` with steps and rounding (`now-7d`, `now-1d/d`; `s m h d w M y`).
//! A date and a rounded time stand for their whole day (or hour, month…): `[` begins with its beginning, `]` ends with its end, `}`
//! before its beginning, `{` after its end; `action.time:2026-08-03` is that day. In other fields `now…` as a bound stands for
//! its RFC 3339 text. A span such as `7d`, as a bound, is that long before now. Dates, rounding, and steps of days and more
//! are of the time zone of the question ([`When`]).
//!
//! A value that cannot occur in its field is an error: an address, a time, a number or a source that is none, and a range
//! that is empty. Entries can have such values all the same, when upstream is wrong: quotes, wildcards, expressions and `name:*`
//! find them.
//!
//! The words of a field are those of its folded value.
//!
//! Expressions are those of the `regex` crate without word boundaries; `.` is any character, a line's end too.
//!
//! The tree knows nothing of the index it is asked of.

pub(crate) mod automaton;
pub mod entry;
mod escape;
mod glob;
mod highlight;
mod matcher;
mod moment;
mod parse;
mod pattern;
mod print;
mod seq_set;
mod tester;
mod tree;
mod value;
pub(crate) mod value_test;
pub(crate) mod words;

pub use self::entry::{Entry, EntryBuilder};
pub use self::highlight::{CharRange, ShownValue};
pub use self::matcher::{Matcher, matches};
pub use self::moment::{When, read_time};
pub use self::parse::{MAX_QUERY_LEN, Syntax, SyntaxNode, parse, parse_with_places};
pub use self::pattern::{Pattern, Piece};
pub use self::seq_set::SeqSet;
pub use self::tester::ValueTester;
pub use self::tree::{Bound, Interval, Query, QueryError};
pub use self::value::check_value;
