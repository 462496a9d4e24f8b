//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock, even after a panic elsewhere: every critical section leaves its value whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
