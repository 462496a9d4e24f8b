//! The documents of one segment while they are gathered, term by term and set by set.
//!
//! Those of a single term need no bits: they are walked as any term's are.

use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, InvertedIndexReader, SegmentReader};

use super::bits::Bits;
use crate::engine::budget::{Budget, Steps};

/// Documents of one segment, while they are gathered.
pub(super) struct BitSetBuilder<'a> {
    pub(super) reader: &'a SegmentReader,
    pub(super) budget: &'a Budget,
    /// The only term so far, as long as there are no bits.
    one: Option<(Field, TermInfo)>,
    docs: Option<Bits>,
}

/// What was gathered.
pub(super) enum Built {
    /// No document.
    Nothing,
    /// Those of one term.
    OneTerm(Field, TermInfo),
    /// These.
    Docs(Bits),
}

impl<'a> BitSetBuilder<'a> {
    pub(super) fn new(reader: &'a SegmentReader, budget: &'a Budget) -> Self {
        Self {
            reader,
            budget,
            one: None,
            docs: None,
        }
    }

    /// Adds those of a term.
    pub(super) fn add_term(
        &mut self,
        field: Field,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> tantivy::Result<()> {
        if self.is_empty() {
            self.one = Some((field, info.clone()));
            return Ok(());
        }
        let steps = self.budget.steps();
        add(self.bits()?, inverted, info, &steps, |_| true)
    }

    /// Adds those of a set.
    pub(super) fn add_bits(&mut self, docs: Bits) -> tantivy::Result<()> {
        if self.is_empty() {
            self.docs = Some(docs);
        } else {
            self.bits()?.add(&docs);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.one.is_none() && self.docs.is_none()
    }

    /// What was found so far, as bits.
    pub(super) fn bits(&mut self) -> tantivy::Result<&mut Bits> {
        let docs = self.take_bits()?;
        Ok(self.docs.insert(docs))
    }

    /// What was found, as bits.
    pub(super) fn into_bits(mut self) -> tantivy::Result<Bits> {
        self.take_bits()
    }

    fn take_bits(&mut self) -> tantivy::Result<Bits> {
        if let Some(docs) = self.docs.take() {
            return Ok(docs);
        }
        let mut docs = Bits::new(self.reader.max_doc(), self.budget.memory())?;
        if let Some((field, info)) = self.one.take() {
            let inverted = self.reader.inverted_index(field)?;
            add(&mut docs, &inverted, &info, &self.budget.steps(), |_| true)?;
        }
        Ok(docs)
    }

    /// What was found.
    pub(super) fn into_built(self) -> Built {
        match (self.docs, self.one) {
            (Some(docs), _) => Built::Docs(docs),
            (None, Some((field, info))) => Built::OneTerm(field, info),
            (None, None) => Built::Nothing,
        }
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
