//! The values of `first_seen` among a question's events.

use super::counting::{Counting, ListedValues};
use super::error::SearchError;
use super::first::FirstIn;
use super::known_values::ShownValues;
use crate::engine::ValuesOf;
use crate::field::FIRST_SEEN_NAMES;

impl Counting<'_> {
    /// The wanted values of `first_seen`.
    pub(super) fn values_of_first_seen(
        &self,
        wanted: &ValuesOf<'_>,
    ) -> Result<ListedValues, SearchError> {
        let first = self.first_in();
        first.wait_until_known()?;
        let mut shown = ShownValues::default();
        for name in FIRST_SEEN_NAMES
            .into_iter()
            .filter(|name| wanted.passes(name))
        {
            let count = self.count_among(first.events(&[name])?)?;
            if count > 0 {
                shown.add(name.to_owned(), name.to_owned(), count);
            }
        }
        Ok(shown.listed(wanted))
    }

    /// How many events had anything for the first time.
    pub(super) fn count_with_first_seen(&self) -> Result<u64, SearchError> {
        let first = self.first_in();
        first.wait_until_known()?;
        self.count_among(first.events(&FIRST_SEEN_NAMES)?)
    }

    fn first_in(&self) -> FirstIn<'_> {
        FirstIn {
            store: self.store,
            caller: self.caller,
            upto: self.upto,
            range: self.question.range,
        }
    }
}
