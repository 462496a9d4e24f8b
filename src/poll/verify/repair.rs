//! Damaged events of a stretch put back: what upstream still shows with the same SHA-256.

use tracing::{info, warn};

use super::error::{VerifyError, WaitToRetry};
use super::reader::{PageReader, ReadOutcome};
use super::run::Verify;
use crate::position::Window;
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
    pub async fn repair(self) -> Result<Repair, VerifyError> {
        let mut repair = Repair::default();
        let (store, source) = (self.context.store.clone(), self.source.clone());
        let mut tell = |WaitToRetry { error, wait }: WaitToRetry<'_>| {
            warn!(error = %error, retry_in.seconds = wait.as_secs(), "A page for a repair could not be read; retrying.");
        };
        let mut reader = PageReader::new(self.context, self.source, self.window);
        while let Some(read) = reader.next(&mut tell).await? {
            match read {
                ReadOutcome::Begun | ReadOutcome::ResumedFrom(_) => {}
                ReadOutcome::LeftOut(window, _) => {
                    info!(window.stretch = %window, "A time range cannot be read, so nothing in it is repaired.");
                    repair.unread.push(window);
                }
                ReadOutcome::Page(page, _) => {
                    let (store, source) = (store.clone(), source.clone());
                    let put_back = task::blocking(move || {
                        let texts: Vec<&str> =
                            page.entries.iter().map(|entry| entry.get()).collect();
                        store.repair(&source, &texts)
                    });
                    let put_back = put_back.await?;
                    repair.put_back.repaired.extend(put_back.repaired);
                    repair.put_back.unusable.extend(put_back.unusable);
                }
            }
        }
        Ok(repair)
    }
}
