//! Questions and their answers: what to ask of the index, in which order, and where a page goes on.
//!
//! A question is answered from one snapshot of the index, which gives places; the log gives the events at those places.
//! A cursor remembers the newest event of the first page's snapshot, so that later pages show what was held then,
//! whatever has arrived meanwhile.
//!
//! Does not depend on HTTP. The current time is an argument.

mod counting;
pub mod csv;
mod cursor;
mod diff;
mod error;
mod facets;
mod fingerprint;
mod first;
mod first_values;
mod highlight;
mod histogram;
mod history;
mod known;
mod known_values;
mod main_part;
mod names;
mod page;
mod pivot;
mod question;
mod spelling;
mod split;
mod tally;
mod visible;
mod walk;

pub use self::counting::LabelledValue;
pub use self::cursor::asked_at;
pub use self::diff::{Against, Diff, Difference, MAX_DIFFERENCES, Shown};
pub use self::error::SearchError;
pub use self::facets::{DEFAULT_SIZE, Facet, Facets, FieldValues, MAX_FACETS, MAX_SIZE};
pub use self::fingerprint::Fingerprint;
pub use self::highlight::{Highlighter, Match};
pub use self::histogram::{Bucket, Histogram, MAX_BUCKETS, Scale, parse_zone};
pub use self::history::{Change, FoundBy, History, Which, diff, history, same_resource};
pub use self::names::{check_names, check_paths, is_hidden};
pub use self::page::{Answer, DEFAULT_LIMIT, MAX_LIMIT, count, newest, page, report_not_indexed};
pub use self::pivot::{Pivot, Profile, around, profile};
pub use self::question::{Prepared, Question};
pub use self::split::{MAX_SPLIT, Split};
pub use self::tally::{Tallied, Tally, completions, tally};
pub use self::visible::{event, newest_held};
pub use self::walk::{Export, Tail};
