//! The exports that are open: how many there may be, of all principals and of one.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::connection::Exchange;
use super::principal::Principal;
use super::problem::Problem;
use crate::sync::lock;

/// The most exports at once.
const MAX_EXPORTS: usize = 8;

/// The most exports of one principal with a token: the others are left for other principals.
const MAX_EXPORTS_OF_ONE: usize = 4;

/// The exports that are open. A clone has the same ones.
#[derive(Clone, Default)]
pub(super) struct Exports(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    places: Vec<OpenExport>,
}

struct OpenExport {
    id: u64,
    principal: Principal,
    exchange: Option<Arc<Exchange>>,
    /// Since when its client has had a piece without asking for the next; `None` while one is made.
    given: Option<Instant>,
}

impl Exports {
    /// A place for another export of a principal, which may have only some of them. When all are taken, the one whose client has
    /// been slowest is closed for it, if that has had its last piece for longer than `slow`.
    pub(super) fn begin(
        &self,
        principal: &Principal,
        exchange: Option<Arc<Exchange>>,
        slow: Duration,
    ) -> Result<ExportPlace, Problem> {
        let mut open = self.open();
        let own = open
            .places
            .iter()
            .filter(|place| place.principal.name() == principal.name());
        if principal.is_limited() && own.count() >= MAX_EXPORTS_OF_ONE {
            return Err(Problem::over_own_limit("exports", MAX_EXPORTS_OF_ONE));
        }
        if open.places.len() >= MAX_EXPORTS {
            let waits = |place: &OpenExport| place.given.map_or(Duration::ZERO, |at| at.elapsed());
            let slowest = (0..open.places.len()).max_by_key(|i| waits(&open.places[*i]));
            match slowest {
                Some(i) if waits(&open.places[i]) > slow => {
                    if let Some(exchange) = open.places.swap_remove(i).exchange {
                        exchange.end();
                    }
                }
                _ => return Err(Problem::too_many("exports", MAX_EXPORTS)),
            }
        }
        let id = open.next;
        open.next += 1;
        open.places.push(OpenExport {
            id,
            principal: principal.clone(),
            exchange,
            given: None,
        });
        Ok(ExportPlace {
            exports: self.clone(),
            id,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.0)
    }
}

/// The place of one export, given back when it ends.
pub(super) struct ExportPlace {
    exports: Exports,
    id: u64,
}

impl ExportPlace {
    /// Notes that a piece was given to the client, or that the client asks for the next one.
    pub(super) fn note(&self, is_given: bool) {
        let mut open = self.exports.open();
        if let Some(place) = open.places.iter_mut().find(|place| place.id == self.id) {
            place.given = is_given.then(Instant::now);
        }
    }
}

impl Drop for ExportPlace {
    fn drop(&mut self) {
        self.exports
            .open()
            .places
            .retain(|place| place.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a client may have had a piece.
    const SLOW_EXPORT: Duration = Duration::from_secs(60);

    #[test]
    fn one_principal_leaves_exports_for_the_others() {
        let exports = Exports::default();
        let (greedy, other) = (Principal::with_token("a"), Principal::with_token("b"));
        let begin = |principal| exports.begin(principal, None, SLOW_EXPORT);
        let places: Vec<_> = (0..MAX_EXPORTS_OF_ONE)
            .map(|_| begin(&greedy).unwrap())
            .collect();
        assert!(begin(&greedy).is_err());
        let _other = begin(&other).unwrap();
        drop(places);
        assert!(begin(&greedy).is_ok());
    }

    #[test]
    fn a_slow_export_keeps_its_place_until_another_needs_it() {
        let exports = Exports::default();
        let slow = Duration::from_millis(1);
        let principal = Principal::local();
        let begin = || exports.begin(&principal, None, slow);
        let places: Vec<_> = (0..MAX_EXPORTS).map(|_| begin().unwrap()).collect();
        assert!(begin().is_err(), "all are being made");
        places[3].note(true);
        std::thread::sleep(slow * 2);
        let another = begin().unwrap();
        assert!(begin().is_err(), "only one was slow");
        drop(places);
        assert_eq!(exports.open().places.len(), 1);
        drop(another);
        assert_eq!(exports.open().places.len(), 0);
    }
}
