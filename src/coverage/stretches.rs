//! The proven stretches of one source, for those who must not claim more.

use chrono::{DateTime, Utc};

use super::{Asked, look};
use crate::health::Board;
use crate::position::Window;
use crate::store::{Store, StoreError};

/// The unbroken stretches of what is asked about that are proven, the earliest first; the question names one source.
///
/// # Errors
/// What the log says.
pub fn stretches(
    store: &Store,
    board: Option<&Board>,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Vec<Window>, StoreError> {
    let mut joined: Vec<Window> = Vec::new();
    look(store, board, asked, None, now, |found| {
        for piece in &found.proven {
            match joined.last_mut() {
                Some(last) if last.before >= piece.window.since => {
                    last.before = last.before.max(piece.window.before);
                }
                _ => joined.push(piece.window),
            }
        }
        None::<()>
    })?;
    Ok(joined)
}
