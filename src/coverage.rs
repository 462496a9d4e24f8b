//! What is proven of each source's time, and what is not, with the reason: the ledger's claims as answers.
//!
//! Computed anew for each question, from sealed windows. A claim is never about more than the ledger proves; where
//! nothing could be proven even by an empty answer (upstream keeps no more, kept nothing yet, or the account did not exist),
//! there is a gap whatever was scanned.

mod asked;
mod beyond;
mod erased;
mod forms;
mod found;
mod known;
mod look;
mod merged;
mod reason;
mod verdict;

pub use self::asked::Asked;
pub use self::forms::{Gap, Interval, Page, Proof, SourceCoverage, Start};
pub use self::look::{page, sources};
pub use self::merged::{MergedSources, MergedState, MergedStretch, NamedSource, merged};
pub use self::reason::{Reason, Weight};
pub use self::verdict::{
    Missing, MissingTotal, Verdict, VerdictState, accounts_unknown, stretches, verdict,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_name_in_answers_and_metrics() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
            let in_answers = serde_json::to_value(reason).unwrap();
            assert_eq!(in_answers, reason.as_str());
        }
    }
}
