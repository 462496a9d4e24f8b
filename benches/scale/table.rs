//! The one table.

use std::fmt::Write as _;

use crate::Figures;

/// For now: every figure as it is.
pub(crate) fn render(columns: &[(u64, Figures)]) -> String {
    let mut out = String::new();
    let Some((_, first)) = columns.first() else {
        return out;
    };
    for name in first.keys() {
        write!(out, "{name:<50}").ok();
        for (_, figures) in columns {
            write!(
                out,
                " {:>14.3}",
                figures.get(name).copied().unwrap_or(f64::NAN)
            )
            .ok();
        }
        out.push('\n');
    }
    out
}
