//! The whole program against the simulated upstream: real files, real sockets, one test binary.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot be unwrapped is a failure"
)]

mod access;
mod alert_kills;
mod alert_stream;
mod answer_forms;
mod answers;
mod backfill;
mod backtest;
mod backup;
mod chain;
mod cli;
#[cfg(target_os = "linux")]
mod clients;
mod cloudflare_access;
mod commands_beside_service;
mod completeness;
mod costly_questions;
mod crash;
mod credentials;
mod damage;
mod deliver;
mod delivery_changes;
mod deploy;
mod detect;
mod diffs;
#[cfg(target_os = "linux")]
mod disk;
mod engine_queries;
mod engine_vs_reference;
mod erased;
mod evidence;
mod evidence_judges;
mod evidence_witness;
mod examples;
mod facet_values_are_searchable;
mod feeds;
mod first_seen;
mod fixture_log;
mod freshness;
mod guard;
mod guide;
mod guide_commands;
mod guide_tables;
mod harness;
mod history_meets_live;
mod hostile;
mod hostile_access;
mod hostile_routes;
mod import;
mod index_while_writing;
mod isolation;
mod ledger;
mod lists;
mod manual_clock;
mod masking;
mod metrics;
mod notices;
mod official;
mod once_stuck;
mod openapi;
mod operator;
mod page;
mod pages;
mod paging;
mod people;
mod prefilter;
mod quota;
mod receiver;
mod recovery;
mod reference;
mod reload;
mod repaired_events;
mod restart;
mod retention;
mod rules;
mod samples;
mod saved;
mod scheduling;
mod scoped;
mod scopes;
mod search;
mod search_command;
mod shell_users;
mod shown;
mod sidebar;
mod sigma;
mod simulation;
mod small_mistakes;
mod strip;
mod tails;
mod tidy;
mod tls;
mod unreadable;
mod v4;
mod v4_damage;
mod verify;
mod walks;
mod words;

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
