//! The jobs of a running service, and the order in which they stop: producers first, then followers.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a stop waits for producers. One of them answers requests: a client that has only begun to send a request, or does
/// not read its response, must not delay the others.
const PRODUCERS_WITHIN: Duration = Duration::from_secs(4);

/// Jobs that run until they are stopped. One that ends by itself ends the service.
#[derive(Default)]
pub(super) struct Jobs {
    producers: Group,
    followers: Group,
}

#[derive(Default)]
struct Group {
    jobs: JoinSet<Result<()>>,
    stop: CancellationToken,
}

impl Jobs {
    /// Starts a job that brings something in: events from upstream, requests from clients. The token stops it.
    pub(super) fn produce<F>(&mut self, job: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.producers.spawn(job);
    }

    /// Starts a job that works on what is in the log. It is stopped after the producers, so that it can finish.
    pub(super) fn follow<F>(&mut self, job: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.followers.spawn(job);
    }

    /// Waits until a job ends by itself, which none should. With its error.
    pub(super) async fn ended(&mut self) -> Result<()> {
        tokio::select! {
            Some(ended) = self.producers.jobs.join_next() => ended.context("a job panicked").flatten(),
            Some(ended) = self.followers.jobs.join_next() => ended.context("a job panicked").flatten(),
            else => Ok(()),
        }
    }

    /// Stops the producers, then the followers. With the first error.
    pub(super) async fn stop(mut self) -> Result<()> {
        let finish = self.producers.finish();
        let produced = match tokio::time::timeout(PRODUCERS_WITHIN, finish).await {
            Ok(produced) => produced,
            Err(_) => {
                warn!("Some requests are still being answered; stopping without waiting for them.");
                self.producers.jobs.shutdown().await;
                Ok(())
            }
        };
        produced.and(self.followers.finish().await)
    }
}

impl Group {
    fn spawn<F>(&mut self, job: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.jobs.spawn(job(self.stop.clone()));
    }

    /// Stops every job and waits for all of them.
    async fn finish(&mut self) -> Result<()> {
        self.stop.cancel();
        let mut first = Ok(());
        while let Some(ended) = self.jobs.join_next().await {
            first = first.and(ended.context("a job panicked").flatten());
        }
        first
    }
}
