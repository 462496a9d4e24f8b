//! Damaged events of a stretch put back: what upstream still shows with the same SHA-256.

use tracing::{info, warn};

use super::reader::{Read, Reader};
use super::{Verify, VerifyError, Waiting};
use crate::position::Seq;
use crate::task;

impl Verify {
    /// Reads the stretch, and puts back the bodies of the damaged events in it that upstream shows unchanged. Returns their
    /// places.
    ///
    /// # Errors
    /// [`VerifyError`]; what was put back before stays.
    pub async fn repair(self) -> Result<Vec<Seq>, VerifyError> {
        let mut repaired = Vec::new();
        let (store, source) = (self.hands.store.clone(), self.source.clone());
        let mut tell = |Waiting { error, wait }: Waiting<'_>| {
            warn!(error = %error, retry_in.seconds = wait.as_secs(), "A page for a repair could not be read; retrying.");
        };
        let mut reader = Reader::new(self.hands, self.source, self.window);
        while let Some(read) = reader.next(&mut tell).await? {
            match read {
                Read::Begun | Read::ResumedFrom(_) => {}
                Read::LeftOut(window, _) => {
                    info!(window.stretch = %window, "A stretch cannot be read, so nothing in it is repaired.");
                }
                Read::Page(page, _) => {
                    let (store, source) = (store.clone(), source.clone());
                    let put_back = task::blocking(move || {
                        let texts: Vec<&str> =
                            page.entries.iter().map(|entry| entry.get()).collect();
                        store.repair(&source, &texts)
                    });
                    repaired.extend(put_back.await?);
                }
            }
        }
        Ok(repaired)
    }
}
