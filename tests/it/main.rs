//! The whole program against the simulated upstream: real files, real sockets, one test binary.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot be unwrapped is a failure"
)]

mod access;
mod answers;
mod asked;
mod backfill;
mod backup;
mod beside;
mod cli;
#[cfg(target_os = "linux")]
mod clients;
mod cloudflare_access;
mod completeness;
mod crash;
mod damage;
mod deploy;
mod desk;
mod diffs;
#[cfg(target_os = "linux")]
mod disk;
mod drive;
mod erased;
mod examples;
mod freshness;
mod guard;
mod guide;
mod harness;
mod hostile;
mod import;
mod isolation;
mod junction;
mod lists;
mod meaning;
mod mended;
mod metrics;
mod motion;
mod newcomer;
mod official;
mod openapi;
mod operator;
mod page;
mod pages;
mod paging;
mod people;
mod quota;
mod recovery;
mod reference;
mod reload;
mod restart;
mod rows;
mod samples;
mod saved;
mod scheduling;
mod scoped;
mod scopes;
mod search;
mod shell;
mod shown;
mod sidebar;
mod sigma;
mod simulation;
mod strip;
mod tails;
mod tidy;
mod unstuck;
mod v4;
mod verify;
mod view;
mod walks;
mod words;
mod worst;

/// Tells whoever runs the tests something that a failure would need.
#[expect(clippy::print_stdout, reason = "shown with a test's failure")]
fn tell(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Whether the tests that take long are left out: unless `ORGTRAIL_SLOW_TESTS` is set.
fn skip_slow_tests() -> bool {
    std::env::var_os("ORGTRAIL_SLOW_TESTS").is_none()
}

/// The seeds of a test: the first `few`, in the slow tests `all`; or the one that `ORGTRAIL_SEED` names.
fn seeds(few: u64, all: u64) -> Vec<u64> {
    match std::env::var("ORGTRAIL_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) if skip_slow_tests() => (1..=few).collect(),
        Err(_) => (1..=all).collect(),
    }
}
