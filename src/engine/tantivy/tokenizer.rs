//! The rule by which texts are cut into words, as the index calls it.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use super::faults::{Faults, Work};
use crate::query::words::Cutter;

/// The name under which the rule is registered with the index.
/// It changes with the rule: an index that was cut up by another one is made again.
pub(super) const NAME: &str = "words_2";

/// The rule.
#[derive(Clone, Default)]
pub(super) struct Words {
    token: Token,
    faults: Faults,
}

impl Words {
    /// The rule, with what a test makes fail.
    pub(super) fn with_faults(faults: Faults) -> Self {
        Self {
            faults,
            ..Self::default()
        }
    }
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        // Words cannot fail, so a test can only panic here.
        self.faults.check(Work::CutWords, text).unwrap_or_default();
        self.token.reset();
        WordStream {
            cutter: Cutter::new(text),
            token: &mut self.token,
        }
    }
}

/// The words of one text, in order.
pub(super) struct WordStream<'a> {
    cutter: Cutter<'a>,
    token: &'a mut Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let token = &mut *self.token;
        let Some((start, end)) = self.cutter.next_into(&mut token.text) else {
            return false;
        };
        token.offset_from = start;
        token.offset_to = end;
        token.position = token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
