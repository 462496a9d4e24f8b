//! How many bytes an event takes, by field and kind of file of the index, and by table and column of the log.
//!
//! `cargo bench --bench sizes -- DATA_DIR` reads a data directory, also beside a service that uses it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has no result, and its result is what it prints"
)]

use std::path::Path;

use orgtrail::engine::tantivy::Index;
use orgtrail::store::Store;

fn main() {
    // Cargo adds `--bench` to what was given.
    let dirs = std::env::args().skip(1);
    let dirs: Vec<String> = dirs.filter(|arg| !arg.starts_with("--")).collect();
    if dirs.is_empty() {
        println!("Name a data directory: cargo bench --bench sizes -- DATA_DIR");
    }
    for dir in dirs {
        let dir = Path::new(&dir);
        let store = Store::open_beside(dir).unwrap();
        let index = Index::open_beside(dir, store.log_id()).unwrap();
        let n_events = store.head().0.max(1);
        println!("{}: {n_events} events", dir.display());
        print("index", &index.sizes().unwrap(), n_events);
        print("log", &store.sizes().unwrap(), n_events);
    }
}

/// Prints sizes. Those that begin with a space are parts of others.
fn print(what: &str, sizes: &[(String, u64)], n_events: u64) {
    let each = |bytes: u64| bytes as f64 / n_events as f64;
    let wholes = sizes.iter().filter(|(name, _)| !name.starts_with(' '));
    let total = wholes.map(|(_, bytes)| bytes).sum();
    println!("\n{what}: {:.1} bytes an event", each(total));
    for (name, bytes) in sizes.iter().filter(|(_, bytes)| each(*bytes) >= 0.05) {
        println!("{:8.1}  {name}", each(*bytes));
    }
}
