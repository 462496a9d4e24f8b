//! The source in the path of a request.

use crate::http::problem::Problem;
use crate::http::scoped::ScopedApp;
use crate::position::{Source, SourceKind};

/// The source that a path names, if it is known and may be seen; anything else is no route.
pub(super) fn known_source(app: &ScopedApp, kind: SourceKind, id: &str) -> Result<Source, Problem> {
    let source = match kind {
        SourceKind::Organization => Source::organization(id),
        SourceKind::Account => Source::account(id),
    };
    let source = source.map_err(|_| Problem::no_route())?;
    let is_known = app.store.sources()?.iter().any(|row| row.source == source);
    if is_known && app.scope().has_source(&source) {
        Ok(source)
    } else {
        Err(Problem::no_route())
    }
}
