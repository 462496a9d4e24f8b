//! Words, numbers and tables as commands print them.

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::style::TemplateError;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

/// A name from JSON in words: `too_large` is "too large".
pub(super) fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value
        .and_then(|value| Some(value.as_str()?.replace('_', " ")))
        .unwrap_or_default()
}

/// A number of things with their name: "1 event", "1,234 events".
pub(super) fn counted(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", HumanCount(n))
}

/// A length of time in its two largest units: "1h05m".
pub(super) fn span_text(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}

/// A progress bar over the events of the log. It is shown on a terminal only.
pub(super) fn event_bar(events: u64) -> Result<ProgressBar, TemplateError> {
    let style = "{bar:30} {human_pos} of {human_len} events  {per_sec}  {eta} left";
    Ok(ProgressBar::new(events).with_style(ProgressStyle::with_template(style)?))
}

/// A table without lines, as wide as the terminal.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_their_two_largest_units() {
        let spans = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 900_000].map(span_text);
        assert_eq!(
            spans,
            [
                "0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "10d10h"
            ]
        );
    }
}
