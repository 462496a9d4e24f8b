//! Permits that are shared fairly among principals.
//!
//! While permits are free, everyone gets one at once. When all are taken, the next free one goes to the waiting principal that
//! has the fewest; among equals, to the one that has waited longest. So a principal with many requests does not make others
//! wait behind all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::sync::lock;

/// The permits. A clone shares them.
#[derive(Clone)]
pub(super) struct FairPermits(Arc<Mutex<FairState>>);

struct FairState {
    free: usize,
    /// How many permits each principal has; only those that have some.
    taken: HashMap<Arc<str>, usize>,
    /// In the order of arrival. Its length is bounded by the callers: each is a request or a stream.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    principal: Arc<str>,
    permit: oneshot::Sender<FairPermit>,
}

/// One permit, returned when it is dropped.
pub(super) struct FairPermit {
    permits: FairPermits,
    principal: Arc<str>,
}

impl FairPermits {
    /// `n` permits.
    pub(super) fn new(n: usize) -> Self {
        Self(Arc::new(Mutex::new(FairState {
            free: n,
            taken: HashMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    /// Waits for a permit for `principal`. Dropping the future gives up the place in the queue.
    pub(super) async fn acquire(&self, principal: &Arc<str>) -> FairPermit {
        let granted = {
            let mut state = lock(&self.0);
            if state.free > 0 {
                return self.grant(&mut state, Arc::clone(principal));
            }
            let (permit, granted) = oneshot::channel();
            let principal = Arc::clone(principal);
            state.waiting.push_back(Waiter { principal, permit });
            granted
        };
        match granted.await {
            Ok(permit) => permit,
            // A waiter leaves the queue only when it gets a permit or its future is dropped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether all permits are taken.
    pub(super) fn is_exhausted(&self) -> bool {
        lock(&self.0).free == 0
    }

    fn grant(&self, state: &mut FairState, principal: Arc<str>) -> FairPermit {
        state.free -= 1;
        *state.taken.entry(Arc::clone(&principal)).or_default() += 1;
        FairPermit {
            permits: self.clone(),
            principal,
        }
    }

    /// Takes a permit back, and gives it to the next waiter.
    fn release(&self, principal: &Arc<str>) {
        // Permits that could not be delivered: dropping one locks the state again.
        let mut undelivered = None;
        {
            let mut state = lock(&self.0);
            state.free += 1;
            if let Some(taken) = state.taken.get_mut(principal) {
                *taken -= 1;
                if *taken == 0 {
                    state.taken.remove(principal);
                }
            }
            state.waiting.retain(|waiter| !waiter.permit.is_closed());
            if let Some(waiter) = state.next_waiter() {
                let permit = self.grant(&mut state, waiter.principal);
                undelivered = waiter.permit.send(permit).err();
            }
        }
        // Its waiter has just gone: the next one gets it.
        drop(undelivered);
    }
}

impl FairState {
    /// Removes the waiter that gets the next permit from the queue.
    fn next_waiter(&mut self) -> Option<Waiter> {
        let taken = |waiter: &Waiter| self.taken.get(&waiter.principal).copied().unwrap_or(0);
        let at = (0..self.waiting.len()).min_by_key(|at| taken(&self.waiting[*at]))?;
        self.waiting.remove(at)
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        self.permits.release(&self.principal);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[tokio::test]
    async fn the_next_permit_goes_to_the_principal_with_the_fewest() {
        let permits = FairPermits::new(2);
        let (greedy, modest) = (name("greedy"), name("modest"));
        let first = permits.acquire(&greedy).await;
        let _second = permits.acquire(&greedy).await;
        assert!(permits.is_exhausted());
        let mut third = Box::pin(permits.acquire(&greedy));
        let mut other = Box::pin(permits.acquire(&modest));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        let _other = other.now_or_never().expect("although it came later");
        assert!(third.as_mut().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_waiter_that_gave_up_gets_no_permit() {
        let permits = FairPermits::new(1);
        let name = name("one");
        let first = permits.acquire(&name).await;
        let mut gone = Box::pin(permits.acquire(&name));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(permits.acquire(&name));
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        let last = next.now_or_never().unwrap();
        drop(last);
        assert!(!permits.is_exhausted());
        // A permit that was sent and not received comes back.
        let first = permits.acquire(&name).await;
        let mut gone = Box::pin(permits.acquire(&name));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(first);
        drop(gone);
        assert!(!permits.is_exhausted());
    }
}
