//! Damaged events of a stretch put back: what upstream still shows with the same SHA-256.

use std::collections::HashSet;

use super::super::paging::{Follows, Place};
use super::{Broken, MAX_PAGES, Verify, VerifyError};
use crate::position::{Cursor, Window};
use crate::store::PutBack;
use crate::task;

/// What a repair of a stretch came to.
#[derive(Debug, Default)]
pub struct Repair {
    /// Which events were put back, and which could not be written.
    pub put_back: PutBack,
    /// What could not be read completely.
    pub unread: Vec<Window>,
}

impl Verify {
    /// Reads the stretch, and puts back the bodies of the damaged events in it that upstream shows unchanged.
    ///
    /// # Errors
    /// [`VerifyError`]; what was put back before stays.
    pub async fn repair(mut self) -> Result<Repair, VerifyError> {
        let mut repair = Repair::default();
        let mut pieces = vec![self.window];
        while let Some(piece) = pieces.pop() {
            match (
                self.repair_piece(piece, &mut repair.put_back).await,
                piece.middle(),
            ) {
                (Ok(()), _) => self.ask_for_more(),
                (Err(Broken::Off(error)), _) => return Err(error),
                (Err(Broken::TooLarge), None) if self.limit > 1 => {
                    self.ask_for_less();
                    pieces.push(piece);
                }
                // A refused cursor, or an answer that is too large or unreadable: the other half may be readable.
                (Err(broken), Some(middle)) => {
                    if matches!(broken, Broken::TooLarge) {
                        self.ask_for_less();
                    }
                    pieces.push(Window::new(middle, piece.before));
                    pieces.push(Window::new(piece.since, middle));
                }
                (Err(_), None) => repair.unread.push(piece),
            }
        }
        Ok(repair)
    }

    async fn repair_piece(&mut self, piece: Window, all: &mut PutBack) -> Result<(), Broken> {
        let mut cursors = HashSet::new();
        let (mut cursor, mut resumed, mut empty_pages) = (None::<Cursor>, None, 0);
        for _ in 0..MAX_PAGES {
            let place = Place {
                window: piece,
                resumed,
                cursor: cursor.as_ref(),
                empty_pages,
                // Nothing is counted here.
                has_nameless: false,
            };
            let page = self.page(place).await?;
            let follows = place.then(&page);
            let is_empty = page.entries.is_empty();
            empty_pages = if is_empty { empty_pages + 1 } else { 0 };
            let (store, source) = (self.hands.store.clone(), self.source.clone());
            let put_back = task::blocking(move || {
                let texts: Vec<&str> = page.entries.iter().map(|entry| entry.get()).collect();
                store.repair(&source, &texts)
            });
            let put_back = put_back.await?;
            all.repaired.extend(put_back.repaired);
            all.unusable.extend(put_back.unusable);
            match follows {
                Follows::End => return Ok(()),
                // An empty page may lead to itself for a while.
                Follows::Page(next)
                    if cursors.insert(next.0.clone())
                        || (is_empty && cursor.as_ref() == Some(&next)) =>
                {
                    cursor = Some(next);
                }
                Follows::From(time) => {
                    cursors.clear();
                    (cursor, resumed) = (None, Some(time));
                }
                _ => break,
            }
        }
        Err(Broken::Unreadable)
    }
}
