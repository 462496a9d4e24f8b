//! Alerts in the log's file: the rules and what they have judged, the matches of correlations, alerts with their events and changes,
//! and which pairs were seen before.
//!
//! What rules find is decided in `detect`; here it is kept. Everything that one step of `detect` finds is one transaction with how
//! far it has come ([`Judgement`]), so the same events never take effect twice.

mod changes;
mod codec;
pub(super) mod erased;
mod finding;
mod first_seen;
mod history;
mod judgement;
mod known;
mod matches;
mod reading;
mod verdicts;
mod work;

pub use self::changes::{ChangePlace, LoggedChange, LoggedChanges};
pub use self::finding::{AlertVerdict, AlertedEvent, Finding, Judged};
pub use self::first_seen::{FirstSeen, NewPair, SeenPair};
pub use self::judgement::{JudgedEvents, Judgement, NewMatch};
pub use self::known::{DETECT, KnownRule, KnownRules, PAIRS_ID, RuleNumber, RuleVersion};
pub use self::matches::{GroupHash, MatchRow};
pub use self::reading::{AlertCursor, AlertFilter, AlertReader};
pub use self::work::{AlertUpdate, AlertUpdateError};
