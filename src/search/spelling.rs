//! How events spell a value that is compared in lower case.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::engine::{counted, kind_of};
use crate::event::AuditEvent;
use crate::field::{self, MAX_VALUE_LEN, Number, spelled_path};
use orgtrail_cloudflare::json::{self, Scalar};

/// How an event spells those of some values of a field or path, as [`Matches::ranked`](crate::engine::Matches::ranked) gives them: each with its place in
/// `values`. One that the event does not have, or that is too long to be kept whole, is left out.
pub(super) fn spellings(event: &AuditEvent, name: &str, values: &[&str]) -> Vec<(usize, String)> {
    let kind = kind_of(name);
    let places = values
        .iter()
        .enumerate()
        .map(|(place, value)| (*value, place));
    let mut wanted: HashMap<&str, usize> = places.collect();
    let mut found = Vec::new();
    // `text` is what is compared, `spelling` what is shown. Says whether all values are found.
    let mut look = |text: &str, spelling: &str| -> bool {
        let compared = counted(kind, field::normal(kind, text));
        if text.len() <= MAX_VALUE_LEN
            && let Some(place) = wanted.remove(compared.as_str())
        {
            found.push((place, spelling.to_owned()));
        }
        wanted.is_empty()
    };
    match name.to_ascii_lowercase().as_str() {
        "source" => {
            let source = event.source.to_string();
            look(&source, &source);
            return found;
        }
        "problem" => {
            if let Some(problem) = &event.problem {
                look(problem, problem);
            }
            return found;
        }
        _ => {}
    }
    let name = spelled_path(name);
    json::walk_until(event.entry.get(), |path, leaf| {
        if spelled_path(path) != name {
            return ControlFlow::Continue(());
        }
        let is_done = match leaf {
            Scalar::Text(text) => look(&text, &text),
            // A number in an entry is compared in plain digits, whatever the field.
            Scalar::Number(number) => {
                let plain = Number::with_exponent(number).map(|number| number.to_string());
                look(plain.as_deref().unwrap_or(number), number)
            }
            Scalar::Bool(true) => look("true", "true"),
            Scalar::Bool(false) => look("false", "false"),
            Scalar::Null => false,
        };
        if is_done {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}
