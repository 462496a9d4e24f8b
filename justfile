# Tasks by name: `just` lists them.

_list:
    @just --list --unsorted

# Everything that CI runs
check:
    .ci/run

# The quick tests
test *args:
    cargo test --locked {{args}}

# All tests
test-slow *args:
    ORGTRAIL_SLOW_TESTS=1 cargo test --locked {{args}}

# The whole system on this machine, with a simulated upstream
demo *args:
    cargo run --release --locked -- demo {{args}}

# The benchmarks of questions, of a page on its way in, and of judging by rules
bench:
    cargo bench --locked --bench ingest
    cargo bench --locked --bench questions
    cargo bench --locked --bench detect

# How many alerts each built-in rule raises over that many simulated events, and how long judging and backtests take
bench-rates size="1000000":
    cargo bench --locked --bench rates -- {{size}}

# How long after an event is searchable the message about its alert arrives
bench-delivered alerts="300":
    cargo bench --locked --bench delivered -- {{alerts}}

# Every part with that many entries; 10,000,000 take 25 minutes and 25 GB of disk
bench-scale *sizes="1000000":
    cargo bench --locked --bench scale -- {{sizes}}

# Backup and restore of that many events, and what the poller notices
bench-backup size="1000000":
    cargo bench --locked --bench backup -- {{size}}

# Bytes an event of a data directory by kind of term, by column and by table
sizes data_dir:
    cargo bench --locked --bench sizes -- {{data_dir}}

# One fuzz target, for so many seconds: document, query, upstream_reply, import_line
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{target}}
    cargo +nightly fuzz run --dev {{target}} fuzz/corpus/{{target}} fuzz/seeds/{{target}} -- -max_total_time={{seconds}} -timeout=60

# The Debian package, in target/debian; needs `cargo install cargo-deb`
deb:
    cargo build --release --locked
    mkdir -p target/package/completions
    target/release/orgtrail man --out target/package/man
    target/release/orgtrail completions bash > target/package/completions/orgtrail.bash
    target/release/orgtrail completions zsh > target/package/completions/_orgtrail
    target/release/orgtrail completions fish > target/package/completions/orgtrail.fish
    cargo deb --no-build

# The guide, in target/book
book:
    mdbook build docs
