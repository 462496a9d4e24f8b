//! Damaged events of a stretch put back: what upstream still shows with the same SHA-256.

use std::collections::HashSet;

use super::super::paging::{Follows, Place};
use super::{Broken, MAX_PAGES, Verify, VerifyError};
use crate::position::{Cursor, Seq, Window};
use crate::task;

impl Verify {
    /// Reads the stretch, and puts back the bodies of the damaged events in it that upstream shows unchanged. Returns their
    /// places.
    ///
    /// # Errors
    /// [`VerifyError`]; what was put back before stays.
    pub async fn repair(mut self) -> Result<Vec<Seq>, VerifyError> {
        let mut repaired = Vec::new();
        let mut pieces = vec![self.window];
        while let Some(piece) = pieces.pop() {
            match (
                self.repair_piece(piece, &mut repaired).await,
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
                (Err(_), None) => {}
            }
        }
        Ok(repaired)
    }

    async fn repair_piece(&mut self, piece: Window, repaired: &mut Vec<Seq>) -> Result<(), Broken> {
        let mut cursors = HashSet::new();
        let (mut cursor, mut resumed, mut empty_pages) = (None::<Cursor>, None, 0);
        for _ in 0..MAX_PAGES {
            let place = Place {
                window: piece,
                resumed,
                cursor: cursor.as_ref(),
                empty_pages,
            };
            let page = self.page(place).await?;
            let follows = place.then(&page);
            empty_pages = if page.entries.is_empty() {
                empty_pages + 1
            } else {
                0
            };
            let (store, source) = (self.hands.store.clone(), self.source.clone());
            let put_back = task::blocking(move || {
                let texts: Vec<&str> = page.entries.iter().map(|entry| entry.get()).collect();
                store.repair(&source, &texts)
            });
            repaired.extend(put_back.await?);
            match follows {
                Follows::Page(next) if cursors.insert(next.0.clone()) => cursor = Some(next),
                Follows::From(time) => {
                    cursors.clear();
                    (cursor, resumed) = (None, Some(time));
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}
