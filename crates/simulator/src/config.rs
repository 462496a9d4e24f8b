//! What is simulated: plain values, given once at the start.
//!
//! Faults are no part of it, because they change while the simulator runs.

use chrono::TimeDelta;
use orgtrail_cloudflare::paging::CursorForm;

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
    /// How long after they happened live entries become visible.
    pub lag: Lag,
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
            lag: Lag::NONE,
            quota: 1_200,
            cursor_form: CursorForm::Documented,
            max_limit: 1_000,
            bounds: Bounds::HalfOpen,
            token: None,
        }
    }
}

/// How long after they happened entries become visible.
///
/// In the only public measurement of the real log it took 167 to 450 s, half of the entries 289 s and 95 in 100 at most 402 s.
/// Other lags are spread alike between their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The shortest.
    pub shortest: TimeDelta,
    /// The longest.
    pub longest: TimeDelta,
}

impl Lag {
    /// Entries are visible at once.
    pub const NONE: Self = Self::always(TimeDelta::zero());

    /// What was measured.
    pub const MEASURED: Self = Self {
        shortest: TimeDelta::seconds(167),
        longest: TimeDelta::seconds(450),
    };

    /// Of the way from the shortest to the longest, how much is passed by which part of the entries, as measured.
    const SPREAD: [(f64, f64); 4] = [
        (0.0, 0.0),
        (0.5, (289.0 - 167.0) / (450.0 - 167.0)),
        (0.95, (402.0 - 167.0) / (450.0 - 167.0)),
        (1.0, 1.0),
    ];

    /// All entries take as long as this.
    #[must_use]
    pub const fn always(lag: TimeDelta) -> Self {
        Self {
            shortest: lag,
            longest: lag,
        }
    }

    /// The lag that a part of all entries, from 0 to 1, does not exceed.
    pub(crate) fn of_part(self, part: f64) -> TimeDelta {
        let passed = Self::SPREAD
            .windows(2)
            .find(|ends| part <= ends[1].0)
            .map_or(1.0, |ends| {
                let ((from, low), (to, high)) = (ends[0], ends[1]);
                low + (part - from) / (to - from) * (high - low)
            });
        let range = (self.longest - self.shortest).num_milliseconds().max(0) as f64;
        self.shortest + TimeDelta::milliseconds((range * passed) as i64)
    }
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
