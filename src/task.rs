//! The one door from async to blocking code, and blocking work that is done at the same time.

mod helpers;

use std::any::Any;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Span, error};

pub use self::helpers::{both, processors, side_by_side};

/// How many pieces of work have panicked.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A piece of work panicked. It was counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it panicked; this is a bug")]
pub struct Panicked;

/// How many pieces of work have panicked since the process began.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Runs `work` as [`blocking`] does. A panic ends that work only: it is counted, logged and returned.
///
/// # Errors
/// [`Panicked`].
pub async fn caught<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    blocking(move || catch(work)).await
}

/// Runs `work` here. A panic ends that work only: it is counted, logged and returned.
///
/// # Errors
/// [`Panicked`].
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    caught.map_err(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        error!(
            panic = message(&*panic),
            "A task panicked. This is a bug; please report it."
        );
        Panicked
    })
}

/// From now on counts and logs the panics of threads whose names begin with one of `names`: threads of a library, which catches
/// what happens there. Later calls have no effect.
pub fn watch_threads(names: &'static [&'static str]) {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            count_panic_of(names, info);
            before(info);
        }));
    });
}

fn count_panic_of(names: &[&str], info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    if names.iter().any(|begin| name.starts_with(begin)) {
        PANICS.fetch_add(1, Ordering::Relaxed);
        error!(
            thread = name,
            panic = message(info.payload()),
            "A thread of a library panicked and its work is lost. This is a bug; please report it."
        );
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default()
}

/// Runs `work` where it may block, inside the caller's tracing span. Dropping the future does not stop the work.
///
/// A panic in `work` goes on in the caller.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "the only call of spawn_blocking")]
    let outcome = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    match outcome {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels blocking work, and then its result is not needed.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_only_the_work_it_is_in() {
        let before = panics();
        assert_eq!(
            caught(|| -> u8 { panic!("on purpose") }).await,
            Err(Panicked)
        );
        assert!(panics() > before);
        assert_eq!(caught(|| 7).await, Ok(7));
    }
}
