//! Work that is done at the same time, in the thread that asks and in others beside it.
//!
//! All of it together takes no more threads than there are processors. Where none is left, the work is done one after the other.

use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many threads are at work beside those that asked for it.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// How many processors there are.
#[must_use]
pub fn processors() -> usize {
    // The system is asked once: it reads files for that.
    static FOUND: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *FOUND
}

/// A place for one more thread, until it is dropped.
struct HelperPlace;

impl HelperPlace {
    fn take() -> Option<Self> {
        let more = |n: usize| (n < processors()).then_some(n + 1);
        let taken = HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self)
    }
}

impl Drop for HelperPlace {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Does `here` in this thread, and `beside` in another one meanwhile. A panic goes on in the caller.
pub fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    let Some(place) = HelperPlace::take() else {
        return (here(), beside());
    };
    thread::scope(|scope| {
        let beside = scope.spawn(move || {
            let _place = place;
            beside()
        });
        let here = here();
        (
            here,
            beside.join().unwrap_or_else(|panic| resume_unwind(panic)),
        )
    })
}

/// What `work` makes of each part, in order: of the first one here, of the others each in another thread meanwhile. A panic goes
/// on in the caller.
pub fn side_by_side<P: Send, R: Send>(
    mut parts: Vec<P>,
    work: &(impl Fn(P) -> R + Sync),
) -> Vec<R> {
    let Some(last) = parts.pop() else {
        return Vec::new();
    };
    if parts.is_empty() {
        return vec![work(last)];
    }
    let (mut made, last) = both(|| side_by_side(parts, work), || work(last));
    made.push(last);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_made_in_order_also_where_no_thread_is_left() {
        let made = side_by_side((0..30).collect(), &|part: usize| {
            side_by_side(vec![0, 1, 2], &|inner| part * 10 + inner)
        });
        let expect = (0..30).map(|part| [0, 1, 2].map(|inner| part * 10 + inner));
        assert_eq!(made, expect.collect::<Vec<_>>());
        assert!(side_by_side(Vec::new(), &|part: u8| part).is_empty());
    }

    #[test]
    fn a_panic_beside_goes_on_in_the_caller_and_gives_its_place_back() {
        for _ in 0..100 {
            let work = || both(|| 1, || -> u8 { panic!("on purpose") });
            assert!(std::panic::catch_unwind(work).is_err());
        }
        assert_eq!(both(|| 1, || 2), (1, 2));
    }
}
