//! Locks of the standard library, taken although a panic happened under them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. What it guards must be whole between any two statements that change it, because a panic in one of them
/// does not keep others out.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
