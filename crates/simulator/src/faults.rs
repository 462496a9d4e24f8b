//! What goes wrong, and how often: the faults of a request follow from a seed and the request's number.
//!
//! Every kind of fault is drawn apart, so that switching one on does not move the others. How a fault looks on the
//! wire is decided by the request handlers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use orgtrail_cloudflare::source::Source;

use super::chance::Seed;

/// The most empty pages in a row that [`Faults::empty_page`] sends.
pub(crate) const MAX_EMPTY_IN_A_ROW: u16 = 4;

/// The faults that are switched on. Shares are from 0, never, to 1, always; all are 0 by default.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The run of chance: the same seed and the same order of requests give the same faults.
    pub seed: u64,
    /// Requests answered with 429; every later one of that credential is too, until the wait has passed.
    pub rate_limited: f64,
    /// How long such a wait is, in seconds.
    pub retry_after_seconds: u32,
    /// How many of those answers say in `Retry-After` a date and not seconds.
    pub retry_after_as_date: f64,
    /// Requests answered with 500, 502 or 503, in JSON or in HTML.
    pub server_error: f64,
    /// Answers that end in the middle: by a length that is too short, or by a connection that breaks off.
    pub cut_body: f64,
    /// Requests with a cursor that get the error that it has expired.
    pub expired_cursor: f64,
    /// Answers that are held back for [`Faults::stall_for`].
    pub stall: f64,
    /// How long, in real time.
    pub stall_for: Duration,
    /// Pages that hold fewer entries than there is room for, though more follow.
    pub short_page: f64,
    /// Later pages that begin with the last entries of the page before.
    pub repeat_across_pages: f64,
    /// Answers with status 200 that say `"success": false`.
    pub success_false: f64,
    /// Later pages whose cursor is the one they were asked for with.
    pub cursor_loop: f64,
    /// Last pages that carry a cursor all the same; what follows them is empty.
    pub empty_with_cursor: f64,
    /// Pages in mid-scan that are empty; their cursor leads on. At most four in a row.
    pub empty_page: f64,
    /// Full pages that have no cursor, though more entries follow.
    pub no_cursor: f64,
    /// Answers with status 200 that lack what a page must have: `{}`, `[]`, or no result beside errors.
    pub incomplete: f64,
    /// Texts whose first byte is sent as one that is not UTF-8, wherever an answer has them.
    pub garbled: Vec<String>,
    /// Answers whose `Date` cannot be read.
    pub no_date: f64,
    /// Failures that repeat the credential, in one of many forms.
    pub echo_credential: f64,
    /// Logs that no token may read: every call for them, and for what belongs to their owner, is answered with 403.
    pub forbidden: Vec<Source>,
    /// Logs whose calls are answered with that status: 401 as for a credential that does not work, 5xx as a server that
    /// fails.
    pub statuses: Vec<(Source, u16)>,
    /// Logs whose calls are not answered: the connection is closed after [`Faults::stall_for`].
    pub hanging: Vec<Source>,
    /// Windows that are longer than this, asked for without a cursor, are refused with 400.
    pub longest_window: Option<TimeDelta>,
    /// Windows that begin before this are answered with 503.
    pub failing_before: Option<DateTime<Utc>>,
    /// Windows that begin before this are refused with 400.
    pub refused_before: Option<DateTime<Utc>>,
    /// Windows in which one of these moments is are answered with that status.
    pub failing_at: Vec<(DateTime<Utc>, u16)>,
    /// Requests with a cursor are answered with that status.
    pub failing_cursors: Option<u16>,
    /// Answers whose `Date` is wrong by [`Faults::date_off`].
    pub wrong_date: f64,
    /// By how much; negative for a date in the past.
    pub date_off: TimeDelta,
    /// What every 429 says in `Retry-After`, verbatim, whatever the wait is.
    pub retry_after_text: Option<String>,
    /// Requests for a list of accounts or members that are answered with 403.
    pub list_forbidden: f64,
    /// Such requests that are answered with 404.
    pub list_not_found: f64,
    /// Such requests that are answered with `result: null` and nothing wrong.
    pub list_null: f64,
    /// Pages of these lists that end in the middle and say that they are the last. Their `total_size` stays.
    pub list_cut: f64,
    /// As [`Faults::list_cut`], with a `total_size` that agrees: it looks like a list that has become shorter.
    pub list_shrunk: f64,
    /// Pages of these lists that do not say how many items there are.
    pub list_without_total: f64,
    /// Live entries that can be read only some time after they happened. Holds for what happens from then on.
    pub late: f64,
    /// The longest such time.
    pub max_lateness: TimeDelta,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            rate_limited: 0.0,
            retry_after_seconds: 30,
            retry_after_as_date: 0.0,
            server_error: 0.0,
            cut_body: 0.0,
            expired_cursor: 0.0,
            stall: 0.0,
            stall_for: Duration::from_secs(1),
            short_page: 0.0,
            repeat_across_pages: 0.0,
            success_false: 0.0,
            cursor_loop: 0.0,
            empty_with_cursor: 0.0,
            empty_page: 0.0,
            no_cursor: 0.0,
            incomplete: 0.0,
            garbled: Vec::new(),
            no_date: 0.0,
            echo_credential: 0.0,
            forbidden: Vec::new(),
            statuses: Vec::new(),
            hanging: Vec::new(),
            longest_window: None,
            failing_before: None,
            refused_before: None,
            failing_at: Vec::new(),
            failing_cursors: None,
            wrong_date: 0.0,
            date_off: TimeDelta::zero(),
            retry_after_text: None,
            list_forbidden: 0.0,
            list_not_found: 0.0,
            list_null: 0.0,
            list_cut: 0.0,
            list_shrunk: 0.0,
            list_without_total: 0.0,
            late: 0.0,
            max_lateness: TimeDelta::hours(1),
        }
    }
}

/// What always befalls the calls for a log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceFault {
    /// They are answered with this status.
    Status(u16),
    /// They are not answered; the connection is closed after this time.
    Hang(Duration),
}

/// What befalls one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestFaults {
    /// Chance for how exactly.
    pub(crate) seed: Seed,
    /// Wait this many seconds.
    pub(crate) rate_limited: Option<u32>,
    pub(crate) retry_after_as_date: bool,
    pub(crate) server_error: bool,
    pub(crate) cut_body: bool,
    pub(crate) expired_cursor: bool,
    pub(crate) stall: Option<Duration>,
    pub(crate) short_page: bool,
    pub(crate) repeat_across_pages: bool,
    pub(crate) success_false: bool,
    pub(crate) cursor_loop: bool,
    pub(crate) empty_with_cursor: bool,
    /// By how much its `Date` is wrong.
    pub(crate) date_off: Option<TimeDelta>,
    pub(crate) retry_after_text: Option<String>,
    pub(crate) longest_window: Option<TimeDelta>,
    pub(crate) failing_before: Option<DateTime<Utc>>,
    pub(crate) refused_before: Option<DateTime<Utc>>,
    pub(crate) failing_at: Vec<(DateTime<Utc>, u16)>,
    pub(crate) failing_cursors: Option<u16>,
    pub(crate) empty_page: bool,
    pub(crate) no_cursor: bool,
    pub(crate) incomplete: bool,
    pub(crate) garbled: Vec<String>,
    pub(crate) no_date: bool,
    pub(crate) echo_credential: bool,
    pub(crate) list_forbidden: bool,
    pub(crate) list_not_found: bool,
    pub(crate) list_null: bool,
    pub(crate) list_cut: bool,
    pub(crate) list_shrunk: bool,
    pub(crate) list_without_total: bool,
}

impl Faults {
    /// What befalls request `number`.
    pub(crate) fn draw(&self, number: u64) -> RequestFaults {
        let seed = Seed(self.seed).named("request").child(number);
        let happens = |name, share| seed.named(name).happens(share);
        RequestFaults {
            seed,
            rate_limited: happens("rate_limited", self.rate_limited)
                .then_some(self.retry_after_seconds),
            retry_after_as_date: happens("as_date", self.retry_after_as_date),
            server_error: happens("server_error", self.server_error),
            cut_body: happens("cut_body", self.cut_body),
            expired_cursor: happens("expired_cursor", self.expired_cursor),
            stall: happens("stall", self.stall).then_some(self.stall_for),
            short_page: happens("short_page", self.short_page),
            repeat_across_pages: happens("repeat_across_pages", self.repeat_across_pages),
            success_false: happens("success_false", self.success_false),
            cursor_loop: happens("cursor_loop", self.cursor_loop),
            empty_with_cursor: happens("empty_with_cursor", self.empty_with_cursor),
            date_off: happens("wrong_date", self.wrong_date).then_some(self.date_off),
            retry_after_text: self.retry_after_text.clone(),
            longest_window: self.longest_window,
            failing_before: self.failing_before,
            refused_before: self.refused_before,
            failing_at: self.failing_at.clone(),
            failing_cursors: self.failing_cursors,
            empty_page: happens("empty_page", self.empty_page),
            no_cursor: happens("no_cursor", self.no_cursor),
            incomplete: happens("incomplete", self.incomplete),
            garbled: self.garbled.clone(),
            no_date: happens("no_date", self.no_date),
            echo_credential: happens("echo_credential", self.echo_credential),
            list_forbidden: happens("list_forbidden", self.list_forbidden),
            list_not_found: happens("list_not_found", self.list_not_found),
            list_null: happens("list_null", self.list_null),
            list_cut: happens("list_cut", self.list_cut),
            list_shrunk: happens("list_shrunk", self.list_shrunk),
            list_without_total: happens("list_without_total", self.list_without_total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switching_one_fault_on_leaves_the_others_where_they_were() {
        let one = Faults {
            server_error: 0.3,
            ..Faults::default()
        };
        let two = Faults {
            stall: 0.5,
            ..one.clone()
        };
        for number in 0..500 {
            let (first, second) = (one.draw(number), two.draw(number));
            assert_eq!(first.server_error, second.server_error, "request {number}");
        }
    }
}
