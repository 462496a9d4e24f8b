//! Pages of another log than the one that was asked for.

use crate::event;
use crate::position::{MAX_SOURCE_ID_LEN, Source};
use crate::upstream::LogPage;

/// Whose entries a page holds, when they are not the asked source's: none of them names it, and at least one names
/// another. Cloudflare's caches, or somebody's proxy, have mixed up two answers. To keep such a page would show one organization
/// what another did, and to seal its window would lose our own entries of that time; so it is refused, loudly, and asked
/// for again. A page that holds one strange entry among our own is upstream's business, and is kept.
pub(super) fn foreign_owner(source: &Source, page: &LogPage) -> Option<String> {
    let mut other = None;
    for entry in &page.entries {
        match event::owner(entry.get(), source.kind()) {
            Some(owner) if owner == source.id() => return None,
            Some(owner) => other = other.or(Some(owner)),
            None => {}
        }
    }
    let owner: String = other?.chars().take(MAX_SOURCE_ID_LEN).collect();
    Some(format!("{}/{owner}", source.kind().as_str()))
}
