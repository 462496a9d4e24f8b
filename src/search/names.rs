//! The names in a question: whether the caller knows the fields and paths.

use super::error::SearchError;
use super::known;
use crate::engine::{Caller, EngineError, Scope, View};
use crate::field::{self, Origin};
use crate::query::Query;
use crate::query::entry::leads_to;
use crate::wording::{nearest, quoted};

/// A path that no entry has is a mistake, not an empty answer.
///
/// # Errors
/// [`SearchError::UnknownField`] with the first such path; what the index says.
pub fn check_names(query: &Query, view: &View, caller: &Caller) -> Result<(), SearchError> {
    let mut paths = Vec::new();
    query.paths(&mut |path, at| paths.push((path, at)));
    for (path, at) in paths {
        if known::is_member(path) || is_known_field(path, view, caller)? {
            continue;
        }
        return Err(unknown_field(view, caller, path, "q", Some(at)));
    }
    Ok(())
}

/// As [`check_names`], for paths of entries that a parameter names. Fields that orgtrail adds are not paths of entries.
///
/// # Errors
/// [`SearchError::UnknownField`] with the first that is unknown; what the index says.
pub fn check_paths<'p>(
    paths: impl IntoIterator<Item = &'p str>,
    parameter: &'static str,
    view: &View,
    caller: &Caller,
) -> Result<(), SearchError> {
    for path in paths {
        let of_entries = field::FIELDS
            .iter()
            .filter(|field| field.origin == Origin::Entry);
        let mut above = of_entries.filter(|field| leads_to(path, field.name));
        let is_above = above.any(|field| !is_hidden(&caller.scope, field.name));
        if !is_above && !view.knows_path(path, caller)? {
            return Err(unknown_field(view, caller, path, parameter, None));
        }
    }
    Ok(())
}

/// As [`check_names`], for a field that a parameter names.
pub(super) fn known_field(
    view: &View,
    caller: &Caller,
    name: &str,
    parameter: &'static str,
) -> Result<(), SearchError> {
    if is_known_field(name, view, caller)? {
        Ok(())
    } else {
        Err(unknown_field(view, caller, name, parameter, None))
    }
}

/// Whether a field is unknown to a scope. The stored reasons why an entry cannot be understood are about its bodies too.
#[must_use]
pub fn is_hidden(scope: &Scope, name: &str) -> bool {
    scope.hides(name) || (!scope.has_bodies() && name.eq_ignore_ascii_case("problem"))
}

/// Whether the table of fields or an entry has a field, as far as the caller may see.
fn is_known_field(name: &str, view: &View, caller: &Caller) -> Result<bool, EngineError> {
    let is_in_table = field::by_name(name).is_some() && !is_hidden(&caller.scope, name);
    Ok(is_in_table || view.knows_path(name, caller)?)
}

fn unknown_field(
    view: &View,
    caller: &Caller,
    path: &str,
    parameter: &'static str,
    at: Option<usize>,
) -> SearchError {
    if path.is_empty() {
        return SearchError::UnknownField {
            parameter,
            at,
            message: "a field has no name: write it as in `action.type`".to_owned(),
        };
    }
    let known = match view.all_paths(caller) {
        Ok(known) => known,
        Err(error) => return error.into(),
    };
    let names = field::FIELDS.iter().map(|field| field.name);
    let names = names.chain(known.iter().map(String::as_str));
    let visible = names.filter(|name| !is_hidden(&caller.scope, name));
    let hint = match nearest(path, visible) {
        Some(name) => format!("did you mean {}?", quoted(name)),
        None => "no entry has it either".to_owned(),
    };
    SearchError::UnknownField {
        parameter,
        at,
        message: format!("unknown field {}: {hint}", quoted(path)),
    }
}
