//! Documents that are gathered for a whole segment at once, before the first of them is walked over.
//!
//! What stands together in a question is folded into one set as soon as it is gathered, so a question takes about one bit for
//! each document, however many wildcards it has. Once a question has more than a few such parts, all of it is folded, segment
//! by segment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::index::SegmentId;
use tantivy::postings::TermInfo;
use tantivy::query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED, TantivyError};

use super::any_path::AnyPath;
use super::bits::{BitDocs, Bits};
use super::one_of::OneOf;
use super::runs::WordRun;
use super::stopwatch::{Steps, Watch};
use super::terms::Terms;

/// Documents that are gathered.
#[derive(Debug)]
pub(super) enum Set {
    /// Those that have any of many terms.
    Terms(Terms),
    /// Those that have one of many values.
    OneOf(OneOf),
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
    pub(super) watch: Watch,
    /// Whether each segment is walked over several times: what was found is then kept.
    pub(super) keeps: bool,
}

impl Query for Gathered {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(GatheredWeight {
            set: self.set.weighed(scoring)?,
            watch: self.watch.clone(),
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
    AnyPath(AnyPath),
    Run(WordRun),
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Walked(Box<dyn Weight>),
}

impl Weighed {
    /// Adds its documents of one segment to others.
    fn gather(&self, into: &mut Gathering<'_>) -> tantivy::Result<()> {
        match self {
            Self::Terms(terms) => terms.gather(into),
            Self::OneOf(terms) => terms.gather(into),
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
                let steps = into.watch.steps();
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
    fn bits(&self, like: &Gathering<'_>) -> tantivy::Result<Bits> {
        let mut gathering = Gathering::new(like.reader, like.watch);
        self.gather(&mut gathering)?;
        gathering.into_bits()
    }

    /// The documents of all parts: two sets at a time.
    fn all(parts: &[Self], like: &Gathering<'_>) -> tantivy::Result<Bits> {
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
                let mut all = Bits::new(like.reader.max_doc(), like.watch.memory())?;
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

/// Documents of one segment, while they are gathered.
pub(super) struct Gathering<'a> {
    pub(super) reader: &'a SegmentReader,
    pub(super) watch: &'a Watch,
    found: Found,
}

/// The documents of one segment.
enum Found {
    /// None.
    Nothing,
    /// Those of one term, not gathered but walked like any term's.
    OneTerm(Field, TermInfo),
    /// These.
    Docs(Bits),
}

impl<'a> Gathering<'a> {
    fn new(reader: &'a SegmentReader, watch: &'a Watch) -> Self {
        Self {
            reader,
            watch,
            found: Found::Nothing,
        }
    }

    /// Adds those of a term.
    pub(super) fn add_term(
        &mut self,
        field: Field,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> tantivy::Result<()> {
        if matches!(self.found, Found::Nothing) {
            self.found = Found::OneTerm(field, info.clone());
            return Ok(());
        }
        let steps = self.watch.steps();
        add(self.bits()?, inverted, info, &steps, |_| true)
    }

    fn add_bits(&mut self, docs: Bits) -> tantivy::Result<()> {
        match &self.found {
            Found::Nothing => self.found = Found::Docs(docs),
            _ => self.bits()?.add(&docs),
        }
        Ok(())
    }

    /// What was found so far, as bits.
    fn bits(&mut self) -> tantivy::Result<&mut Bits> {
        let found = std::mem::replace(&mut self.found, Found::Nothing);
        let docs = match found {
            Found::Docs(docs) => docs,
            found => {
                let mut docs = Bits::new(self.reader.max_doc(), self.watch.memory())?;
                if let Found::OneTerm(field, info) = found {
                    let inverted = self.reader.inverted_index(field)?;
                    add(&mut docs, &inverted, &info, &self.watch.steps(), |_| true)?;
                }
                docs
            }
        };
        self.found = Found::Docs(docs);
        match &mut self.found {
            Found::Docs(docs) => Ok(docs),
            _ => Err(TantivyError::InternalError("no bits".to_owned())),
        }
    }

    fn into_bits(mut self) -> tantivy::Result<Bits> {
        self.bits()?;
        match self.found {
            Found::Docs(docs) => Ok(docs),
            _ => Err(TantivyError::InternalError("no bits".to_owned())),
        }
    }
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
    watch: Watch,
    /// A walk backwards asks again for each block.
    kept: Option<Mutex<HashMap<SegmentId, Kept>>>,
}

impl GatheredWeight {
    fn gather(&self, reader: &SegmentReader) -> tantivy::Result<Kept> {
        let mut gathering = Gathering::new(reader, &self.watch);
        self.set.gather(&mut gathering)?;
        Ok(match gathering.found {
            Found::Nothing => Kept::Nothing,
            Found::OneTerm(field, info) => Kept::OneTerm(field, info),
            Found::Docs(docs) => Kept::Docs(Arc::new(docs)),
        })
    }
}

impl Weight for GatheredWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let Some(kept) = &self.kept else {
            return self.gather(reader)?.scorer(reader, boost);
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Adds those of a term's documents that are asked for to a set, as long as there is time.
pub(super) fn add(
    docs: &mut Bits,
    inverted: &InvertedIndexReader,
    info: &TermInfo,
    steps: &Steps,
    is_asked: impl Fn(DocId) -> bool,
) -> tantivy::Result<()> {
    let mut postings =
        inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
    while !postings.docs().is_empty() && !steps.step() {
        for doc in postings.docs().iter().filter(|doc| is_asked(**doc)) {
            docs.insert(*doc);
        }
        postings.advance();
    }
    Ok(())
}

/// Why a document matches: it does, and there are no scores to explain.
pub(super) fn explained(mut scorer: Box<dyn Scorer>, doc: DocId) -> tantivy::Result<Explanation> {
    let is_there = scorer.doc() != TERMINATED && scorer.doc() <= doc && scorer.seek(doc) == doc;
    match is_there {
        true => Ok(Explanation::new("matches", 1.0)),
        false => Err(TantivyError::InvalidArgument(
            "the document does not match".to_owned(),
        )),
    }
}
