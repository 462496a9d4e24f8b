//! Where bodies were erased: nothing is proven there any more, whatever was scanned.

use chrono::TimeDelta;

use super::asked::whole_seconds;
use crate::ledger::Sealed;
use crate::position::Window;
use crate::store::SourceRow;

/// The stretch in which bodies of a source were erased, in whole seconds.
pub(super) fn stretch(row: &SourceRow) -> Option<Window> {
    let (first, last) = row.erased?;
    Some(whole_seconds(first, last + TimeDelta::microseconds(1)))
}

/// What is proven outside that stretch.
pub(super) fn without(proven: Vec<Sealed>, row: &SourceRow) -> Vec<Sealed> {
    let (Some(erased), Some(first), Some(last)) = (stretch(row), proven.first(), proven.last())
    else {
        return proven;
    };
    let before = Window {
        since: first.window.since.min(erased.since),
        before: erased.since,
    };
    let after = Window {
        since: erased.before,
        before: last.window.before.max(erased.before),
    };
    [cut(&proven, before), cut(&proven, after)].concat()
}

/// The proven stretches inside a range.
pub(super) fn cut(proven: &[Sealed], range: Window) -> Vec<Sealed> {
    let first = proven.partition_point(|piece| piece.window.before <= range.since);
    proven[first..]
        .iter()
        .take_while(|piece| piece.window.since < range.before)
        .map(|piece| Sealed {
            window: Window {
                since: piece.window.since.max(range.since),
                before: piece.window.before.min(range.before),
            },
            ..piece.clone()
        })
        .collect()
}
