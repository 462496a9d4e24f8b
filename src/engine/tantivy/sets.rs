//! Documents that are gathered for a whole segment at once, before the first of them is walked over.
//!
//! What stands together in a question is folded into one set as soon as it is gathered, so a question takes about one bit for
//! each document, however many wildcards it has. Once a question has more than a few such parts, all of it is folded, segment
//! by segment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tantivy::index::SegmentId;
use tantivy::postings::TermInfo;
use tantivy::query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

use super::any_path::AnyPath;
use super::bit_set_builder::{BitSetBuilder, Built};
use super::bits::{BitDocs, Bits};
use super::explained::explained;
use super::one_of::OneOf;
use super::runs::WordRun;
use super::schema::SEQ;
use super::terms::Terms;
use crate::engine::budget::Budget;
use crate::position::Seq;
use crate::query::SeqSet;
use crate::sync::lock;

/// Documents that are gathered.
#[derive(Debug)]
pub(super) enum Set {
    /// Those that have any of many terms.
    Terms(Terms),
    /// Those that have one of many values.
    OneOf(OneOf),
    /// Those of these events.
    At(Arc<SeqSet>),
    /// Those that have a value at any path of a part.
    AnyPath(AnyPath),
    /// Those that have words side by side.
    Run(WordRun),
    /// Those of any of these.
    Any(Vec<Self>),
    /// Those of all of these.
    All(Vec<Self>),
    /// All others.
    Not(Box<Self>),
    /// Those that another query walks over.
    Walked(Box<dyn Query>),
}

impl Clone for Set {
    fn clone(&self) -> Self {
        match self {
            Self::Terms(terms) => Self::Terms(terms.clone()),
            Self::OneOf(terms) => Self::OneOf(terms.clone()),
            Self::At(places) => Self::At(Arc::clone(places)),
            Self::AnyPath(path) => Self::AnyPath(path.clone()),
            Self::Run(run) => Self::Run(run.clone()),
            Self::Any(parts) => Self::Any(parts.clone()),
            Self::All(parts) => Self::All(parts.clone()),
            Self::Not(part) => Self::Not(part.clone()),
            Self::Walked(query) => Self::Walked(query.box_clone()),
        }
    }
}

/// A query whose documents are gathered.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) set: Set,
    pub(super) budget: Budget,
    /// Whether each segment is walked over several times: what was found is then kept.
    pub(super) keeps: bool,
}

impl Query for Gathered {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(GatheredWeight {
            set: self.set.weighed(scoring)?,
            budget: self.budget.clone(),
            kept: self.keeps.then(Mutex::default),
        }))
    }
}

impl Set {
    fn weighed(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Weighed> {
        let all = |parts: &[Self]| -> tantivy::Result<Vec<Weighed>> {
            parts.iter().map(|part| part.weighed(scoring)).collect()
        };
        Ok(match self {
            Self::Terms(terms) => Weighed::Terms(terms.clone()),
            Self::OneOf(terms) => Weighed::OneOf(terms.clone()),
            Self::At(places) => Weighed::At(Arc::clone(places)),
            Self::AnyPath(path) => Weighed::AnyPath(path.clone()),
            Self::Run(run) => Weighed::Run(run.clone()),
            Self::Any(parts) => Weighed::Any(all(parts)?),
            Self::All(parts) => Weighed::All(all(parts)?),
            Self::Not(part) => Weighed::Not(Box::new(part.weighed(scoring)?)),
            Self::Walked(query) => Weighed::Walked(query.weight(scoring)?),
        })
    }
}

/// A [`Set`] whose queries are ready to be walked.
enum Weighed {
    Terms(Terms),
    OneOf(OneOf),
    At(Arc<SeqSet>),
    AnyPath(AnyPath),
    Run(WordRun),
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Walked(Box<dyn Weight>),
}

impl Weighed {
    /// Adds its documents of one segment to others.
    fn gather(&self, into: &mut BitSetBuilder<'_>) -> tantivy::Result<()> {
        match self {
            Self::Terms(terms) => terms.gather(into),
            Self::OneOf(terms) => terms.gather(into),
            Self::At(places) => gather_places(places, into),
            Self::AnyPath(path) => path.gather(into),
            Self::Run(run) => match run.docs(into.reader)? {
                Some(docs) => into.add_bits(docs),
                None => Ok(()),
            },
            Self::Any(parts) => parts.iter().try_for_each(|part| part.gather(into)),
            Self::All(parts) => {
                let docs = Self::all(parts, into)?;
                into.add_bits(docs)
            }
            Self::Not(part) => {
                let mut docs = part.bits(into)?;
                docs.invert();
                into.add_bits(docs)
            }
            Self::Walked(weight) => {
                let mut scorer = weight.scorer(into.reader, 1.0)?;
                let steps = into.budget.steps();
                let docs = into.bits()?;
                let mut doc = scorer.doc();
                while doc != TERMINATED && !steps.step() {
                    docs.insert(doc);
                    doc = scorer.advance();
                }
                Ok(())
            }
        }
    }

    /// Its documents alone.
    fn bits(&self, like: &BitSetBuilder<'_>) -> tantivy::Result<Bits> {
        let mut found = BitSetBuilder::new(like.reader, like.budget);
        self.gather(&mut found)?;
        found.into_bits()
    }

    /// The documents of all parts: two sets at a time.
    fn all(parts: &[Self], like: &BitSetBuilder<'_>) -> tantivy::Result<Bits> {
        let (excluded, included): (Vec<&Self>, Vec<&Self>) =
            parts.iter().partition(|part| matches!(part, Self::Not(_)));
        let mut docs: Option<Bits> = None;
        for part in included {
            let found = part.bits(like)?;
            match &mut docs {
                Some(docs) => docs.keep(&found),
                None => docs = Some(found),
            }
            if docs.as_ref().is_some_and(|docs| docs.len() == 0) {
                break;
            }
        }
        let mut docs = match docs {
            Some(docs) => docs,
            None => {
                let mut all = Bits::new(like.reader.max_doc(), like.budget.memory())?;
                all.invert();
                all
            }
        };
        for part in excluded {
            if let Self::Not(part) = part
                && docs.len() > 0
            {
                docs.take_away(&part.bits(like)?);
            }
        }
        Ok(docs)
    }
}

/// Adds the documents of some events.
fn gather_places(places: &SeqSet, into: &mut BitSetBuilder<'_>) -> tantivy::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let column = into.reader.fast_fields().u64(SEQ)?.values;
    let (steps, len) = (into.budget.steps(), into.reader.max_doc());
    let docs = into.bits()?;
    for doc in 0..len {
        if steps.step() {
            break;
        }
        if places.contains(Seq(column.get_val(doc))) {
            docs.insert(doc);
        }
    }
    Ok(())
}

/// The documents of one segment, for walks over them.
#[derive(Clone)]
enum Kept {
    Nothing,
    OneTerm(Field, TermInfo),
    Docs(Arc<Bits>),
}

impl Kept {
    fn scorer(self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self {
            Self::Nothing => Box::new(EmptyScorer),
            Self::OneTerm(field, info) => {
                let inverted = reader.inverted_index(field)?;
                let postings =
                    inverted.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                Box::new(ConstScorer::new(postings, boost))
            }
            Self::Docs(docs) => Box::new(ConstScorer::new(BitDocs::new(docs), boost)),
        })
    }
}

struct GatheredWeight {
    set: Weighed,
    budget: Budget,
    /// A walk backwards asks again for each block.
    kept: Option<Mutex<HashMap<SegmentId, Kept>>>,
}

impl GatheredWeight {
    fn gather(&self, reader: &SegmentReader) -> tantivy::Result<Kept> {
        let mut found = BitSetBuilder::new(reader, &self.budget);
        self.set.gather(&mut found)?;
        Ok(match found.into_built() {
            Built::Nothing => Kept::Nothing,
            Built::OneTerm(field, info) => Kept::OneTerm(field, info),
            Built::Docs(docs) => Kept::Docs(Arc::new(docs)),
        })
    }
}

impl Weight for GatheredWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let Some(kept) = &self.kept else {
            return self.gather(reader)?.scorer(reader, boost);
        };
        let mut kept = lock(kept);
        let found = match kept.get(&reader.segment_id()) {
            Some(found) => found.clone(),
            None => {
                let found = self.gather(reader)?;
                kept.insert(reader.segment_id(), found.clone());
                found
            }
        };
        found.scorer(reader, boost)
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}
