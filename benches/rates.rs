//! How many alerts each built-in rule raises over simulated history: `cargo bench --bench rates -- 1000000`.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]
#![expect(clippy::print_stdout, reason = "the result")]

mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;

use std::time::Instant;

use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::detect::backtest::{Backtest, BacktestLimits, BacktestRange};
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::rules::{Rule, Rules};

use self::corpus::Corpus;
use self::keeper::Keeper;

/// More alerts than this for 1,000,000 events are marked.
const LOUD: f64 = 1_000.0;

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.replace('_', "").parse().ok());
    let events: u64 = numbers.next_back().unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&dir.path().join("pages"), events);
    let keeper = Keeper::open(dir.path(), &corpus.sources());
    let rules = Rules::built_in();
    let clock = Clock::system();
    let mut detect = Detect::new(
        keeper.store.clone(),
        rules.clone(),
        Metrics::default(),
        clock,
    );
    let mut judging = std::time::Duration::ZERO;
    while detect.turn_once().unwrap().has_more {}
    for page in corpus.pages() {
        keeper.keep(&page);
        let begun = Instant::now();
        while detect.turn_once().unwrap().has_more {}
        judging += begun.elapsed();
    }
    let stored = keeper.store.head().0;
    println!("{stored} events, judged in {judging:.1?}");
    println!("| for 1,000,000 events | level | rule |");
    println!("| --- | --- | --- |");
    let mut rows: Vec<(u64, &Rule)> = Vec::new();
    let begun = Instant::now();
    for rule in rules.iter() {
        let backtest = Backtest {
            store: &keeper.store,
            rules: &rules,
            range: BacktestRange::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            limits: BacktestLimits::default(),
            progress: &|_| {},
        };
        rows.push((backtest.run(&[rule]).unwrap().alerts, rule));
    }
    rows.sort_by_key(|(alerts, rule)| (std::cmp::Reverse(*alerts), rule.title.clone()));
    for (alerts, rule) in &rows {
        let rate = *alerts as f64 * 1e6 / stored as f64;
        let mark = if rate > LOUD { " (loud)" } else { "" };
        println!(
            "| {rate:.0}{mark} | {} | {} |",
            rule.level.as_str(),
            rule.title
        );
    }
    println!("{} backtests in {:.1?}", rows.len(), begun.elapsed());
}
