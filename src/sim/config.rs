//! What is simulated: plain values, given once at the start.
//!
//! Faults are no part of it, because they change while the simulator runs.

/// What is simulated.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// All chance follows from this: same seed, same clock, same entries.
    pub seed: u64,
    /// Entries of the seeded history, in all logs together.
    pub events: u64,
    /// Organizations that there are in the beginning, from 1 to 100.
    pub organizations: u32,
    /// Accounts in each of them, at most 500. Few of them are busy, many are almost silent.
    pub accounts: u32,
    /// How many days the history reaches back, at most a century.
    pub days: u32,
    /// For how many days entries can be read, at most a century: upstream keeps 18 months.
    pub kept_days: u32,
    /// Entries that appear each minute while the simulator runs, over all logs; 0 for none.
    pub live_per_minute: f64,
    /// Requests in 300 seconds for each credential.
    pub quota: u32,
    /// Where a page carries its cursor.
    pub cursor_form: CursorForm,
    /// The most entries on a page, whatever a request asks for. (A `limit` above 1,000 is refused.)
    pub max_limit: usize,
    /// Whether `since` and `before` include entries of that very moment.
    pub bounds: Bounds,
    /// The one bearer token that is accepted; any well-formed one if `None`.
    pub token: Option<String>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 50_000,
            organizations: 1,
            accounts: 12,
            days: 90,
            kept_days: 548,
            live_per_minute: 0.0,
            quota: 1_200,
            cursor_form: CursorForm::Documented,
            max_limit: 1_000,
            bounds: Bounds::HalfOpen,
            token: None,
        }
    }
}

/// Where a page of the audit log carries its cursor: upstream's documentation and its clients disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorForm {
    /// `result_info.cursor`, missing on the last page; `count` is a text.
    Documented,
    /// `result_info.cursors.after`, missing on the last page; `count` is a number.
    After,
    /// Both, and both empty texts on the last page; `count` is a text.
    Both,
}

/// Which of a window's two bounds are part of it: upstream does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// `since` is, `before` is not.
    HalfOpen,
    /// Both are.
    Closed,
    /// Neither is.
    Open,
}
