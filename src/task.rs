//! The one door from async to blocking code.

use tracing::Span;

/// Runs `work` where it may block, inside the caller's tracing span. Dropping the future does not stop the work.
///
/// A panic in `work` goes on in the caller.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let outcome = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    match outcome {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is going away cancels blocking work, and then nobody waits for it.
            Err(_) => std::future::pending().await,
        },
    }
}
