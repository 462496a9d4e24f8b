//! The bound of a question: what the bare engine takes to read the same postings, columns and dictionaries of the same index,
//! from the front or to the end. It keeps no order between segments, checks no limit, and gives nothing back but a number.

use std::hint::black_box;
use std::ops::Range as Stretch;
use std::path::Path;

use orgtrail::engine::Range;
use orgtrail::engine::tantivy::DIR_NAME;
use orgtrail::field::{FIELDS, Kind, Part};
use orgtrail::query::{Pattern, Piece, Query};
use tantivy::columnar::Column;
use tantivy::query::{AllQuery, BooleanQuery, EnableScoring, PhraseQuery, RegexQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema};
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, Term};

type Lowered = Box<dyn tantivy::query::Query>;

/// The index, opened by the engine alone.
pub(crate) struct Bare {
    searcher: Searcher,
    /// What each segment is sorted by.
    times: Vec<Column<u64>>,
}

/// What is to be read, with every column open.
pub(crate) struct Reading {
    query: Lowered,
    /// Which documents of each segment.
    stretches: Vec<Stretch<DocId>>,
    /// At most so many matches of each segment.
    limit: usize,
    /// The columns that are read of each match, by segment.
    columns: Vec<Vec<Column<u64>>>,
    /// Parts of dictionaries that are read with all their postings: a field, and how the terms begin.
    dictionaries: Vec<(Field, String)>,
}

impl Bare {
    pub(crate) fn open(data_dir: &Path) -> Self {
        let index = tantivy::Index::open_in_dir(data_dir.join(DIR_NAME)).unwrap();
        let searcher = index.reader().unwrap().searcher();
        let times = searcher.segment_readers().iter().map(time_column).collect();
        Self { searcher, times }
    }

    /// The first `limit` matches of each segment.
    pub(crate) fn front(&self, query: &Query, range: Range, limit: usize) -> Reading {
        let segments = self.searcher.segment_readers().iter();
        Reading {
            query: lowered(query, self.searcher.schema()),
            stretches: segments
                .zip(&self.times)
                .map(|(segment, times)| stretch(segment.max_doc(), times, range))
                .collect(),
            limit,
            columns: self.times.iter().map(|_| Vec::new()).collect(),
            dictionaries: Vec::new(),
        }
    }

    /// All matches.
    pub(crate) fn whole(&self, query: &Query, range: Range) -> Reading {
        self.front(query, range, usize::MAX)
    }

    /// All matches with the values of some fields: by their columns, and where there is none by their dictionaries.
    pub(crate) fn values(&self, query: &Query, range: Range, fields: &[String]) -> Reading {
        let mut reading = self.whole(query, range);
        let schema = self.searcher.schema();
        for name in fields {
            match schema.get_field(name) {
                Ok(field) if schema.get_field_entry(field).is_fast() => {
                    let segments = self.searcher.segment_readers().iter();
                    for (segment, columns) in segments.zip(&mut reading.columns) {
                        let column = segment.fast_fields().str(name).unwrap().unwrap();
                        columns.push(column.ords().clone());
                    }
                }
                Ok(field) => reading.dictionaries.push((field, String::new())),
                Err(_) => {
                    let of_path = (schema.get_field("_leaf").unwrap(), format!("{name}\u{1f}"));
                    reading.dictionaries.push(of_path);
                }
            }
        }
        reading
    }

    /// All matches with their times.
    pub(crate) fn times(&self, query: &Query, range: Range) -> Reading {
        let mut reading = self.whole(query, range);
        for (columns, times) in reading.columns.iter_mut().zip(&self.times) {
            columns.push(times.clone());
        }
        reading
    }

    /// Reads; says how many matches it met.
    pub(crate) fn read(&self, reading: &Reading) -> u64 {
        let scoring = EnableScoring::disabled_from_searcher(&self.searcher);
        let weight = reading.query.weight(scoring).unwrap();
        let mut matches = 0;
        let mut sum: u64 = 0;
        for (i, segment) in self.searcher.segment_readers().iter().enumerate() {
            let stretch = &reading.stretches[i];
            let mut docs = weight.scorer(segment, 1.0).unwrap();
            let mut doc = docs.doc();
            if doc < stretch.start {
                doc = docs.seek(stretch.start);
            }
            let mut left = reading.limit;
            while doc < stretch.end && left > 0 {
                for column in &reading.columns[i] {
                    sum = column.values_for_doc(doc).fold(sum, u64::wrapping_add);
                }
                doc = docs.advance();
                left -= 1;
                matches += 1;
            }
            for (field, beginning) in &reading.dictionaries {
                sum += read_postings(segment, *field, beginning);
            }
        }
        black_box(sum);
        matches
    }
}

fn time_column(segment: &SegmentReader) -> Column<u64> {
    segment.fast_fields().u64("_at").unwrap()
}

/// The documents of a stretch of time, in a segment that is sorted newest first.
fn stretch(max_doc: DocId, times: &Column<u64>, range: Range) -> Stretch<DocId> {
    let docs: Vec<DocId> = (0..max_doc).collect();
    // A time is a number that keeps its order without a sign.
    let key = |micros: i64| micros.cast_unsigned() ^ (1 << 63);
    let first_before = |micros: i64| {
        docs.partition_point(|doc| times.first(*doc).unwrap() >= key(micros)) as DocId
    };
    Stretch {
        start: range.before_us.map_or(0, first_before),
        end: range.since_us.map_or(max_doc, first_before),
    }
}

/// Reads the postings of all terms of a field that begin so; says how many there are.
fn read_postings(segment: &SegmentReader, field: Field, beginning: &str) -> u64 {
    let inverted = segment.inverted_index(field).unwrap();
    let terms = inverted.terms().range().ge(beginning.as_bytes());
    let mut terms = terms.into_stream().unwrap();
    let mut read = 0;
    while terms.advance() && terms.key().starts_with(beginning.as_bytes()) {
        let postings =
            inverted.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic);
        let mut postings = postings.unwrap();
        while postings.doc() != TERMINATED {
            postings.advance();
            read += 1;
        }
    }
    read
}

/// A question, as plainly as the engine's own queries say it.
fn lowered(query: &Query, schema: &Schema) -> Lowered {
    match query {
        Query::All => Box::new(AllQuery),
        Query::And(parts) => {
            let parts = parts.iter().map(|part| lowered(part, schema));
            Box::new(BooleanQuery::intersection(parts.collect()))
        }
        Query::Words { text, .. } => words(text, schema),
        Query::Equals { path, value, .. } => term(schema.get_field(path).unwrap(), value),
        Query::Like { path, pattern, .. } => {
            let field = schema.get_field(path).unwrap();
            Box::new(RegexQuery::from_pattern(&regex_of(pattern), field).unwrap())
        }
        other => panic!("no kind of question asks {other:?}"),
    }
}

/// Words side by side, in the texts of any part; one alone may be an id, too.
fn words(text: &str, schema: &Schema) -> Lowered {
    let field = |name: &str| schema.get_field(name).unwrap();
    let texts = Part::ALL.map(|part| {
        let part = format!("{part:?}").to_lowercase();
        field(&format!("_words_{part}"))
    });
    let words: Vec<&str> = text.split_whitespace().collect();
    let ways: Vec<Lowered> = match words.as_slice() {
        [word] => {
            // No shorter word is looked for among ids.
            let ids = FIELDS
                .iter()
                .filter(|field| field.kind == Kind::Id && word.len() >= 16);
            let ids = ids.map(|id| field(id.name));
            texts
                .into_iter()
                .chain(ids)
                .map(|field| term(field, word))
                .collect()
        }
        words => texts
            .into_iter()
            .map(|field| -> Lowered {
                let terms = words.iter().map(|word| Term::from_field_text(field, word));
                Box::new(PhraseQuery::new(terms.collect()))
            })
            .collect(),
    };
    Box::new(BooleanQuery::union(ways))
}

fn term(field: Field, text: &str) -> Lowered {
    let term = Term::from_field_text(field, &text.to_lowercase());
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn regex_of(pattern: &Pattern) -> String {
    let pieces = pattern.pieces().iter().map(|piece| match piece {
        Piece::Text(text) => regex_syntax::escape(&text.to_lowercase()),
        Piece::AnyText => ".*".into(),
        Piece::AnyCharacter => ".".into(),
    });
    pieces.collect()
}
