//! orgtrail keeps a Cloudflare organization's audit trail.
//!
//! It is one durable log in SQLite, followers that read the log in order (one keeps the search index, one judges by alert rules), and an HTTP API in
//! front. This page is a tour: it names the modules in the order in which they are easiest to read. `ARCHITECTURE.md` has
//! the picture, what each module may import, and what must always be true. The guide in `docs/src` is for users, and its
//! glossary defines the words.
//!
//! # 1. The words
//!
//! Start with the values that everything else is about. They do no input or output.
//!
//! - [`orgtrail_cloudflare`], a crate of its own: the wire forms, which the simulated upstream writes and [`upstream`] reads.
//! - [`position`]: a source, a window of its time, the `seq` of an event in the log, a cursor.
//! - [`event`]: an entry as Cloudflare sent it, and the event that is stored of it. Identity, time and problem are read here.
//! - [`field`] and [`orgtrail_cloudflare::filter`]: two tables. Which fields can be searched, and which filters Cloudflare has.
//! - [`clock`]: the time as a value. Only this module reads the clock, so a test can move it.
//! - [`mod@invariant`] and [`durable`]: what must always be true, and the steps to disk, each by name so that a test can break it.
//!
//! # 2. One event in
//!
//! Follow one page from Cloudflare to the search index.
//!
//! 1. [`upstream`] makes one call within the quota and returns a page.
//! 2. [`poll`] chooses which call is next, and stores its page. Begin with [`poll::Poller::next_turn`].
//! 3. [`store`] is the log. A page and its window's cursor are one transaction. It is the only user of SQLite.
//! 4. [`follow`] has the followers. [`follow::index`] reads new events from the log and adds them to the index, [`detect`] judges them by rules.
//! 5. [`engine`] finds events. What is asked goes through one view, and [`engine::tantivy`] is the only user of Tantivy.
//!
//! # 3. What is proven
//!
//! - [`ledger`]: arithmetic over sealed windows. What they prove, and what is to be scanned again.
//! - [`coverage`]: the same as answers, with a reason for each gap.
//! - [`health`] and [`status`]: how each source is doing now. [`metrics`] has the numbers, [`heartbeat`] calls a monitor.
//!
//! # 4. One question out
//!
//! - [`query`]: the query language. Its grammar and meaning are in the module's documentation.
//! - [`search`]: a question, the index, the log, an answer. Pages, counts, histories, diffs, exports and streams.
//! - [`people`] and [`orgtrail_cloudflare::member`]: what Cloudflare's lists say about actors and accounts.
//! - [`mod@summary`]: one plain sentence about an entry.
//! - [`access`]: who may ask: the form of tokens, assertions of Cloudflare Access, permissions, grants. [`keyring`] has the keys.
//! - [`http`]: the routes. A handler reads the request, calls one function and wraps the result.
//! - [`rules`]: Sigma rules, built in and from files. [`alert`] is what they raise.
//! - [`tls`]: the certificate that clients see, its check and its renewal.
//!
//! # 5. The program around it
//!
//! - [`config`]: the configuration, with all mistakes reported together.
//! - [`service`]: opens everything, starts every task, stops in order.
//! - [`command`]: the command line.
//! - [`alert`] and [`deliver`]: an alert, and how it is sent to its destinations. The messages to send are in [`store`].
//! - [`retention`]: how long bodies are kept, and what holds keep longer.
//! - [`import`], [`scrub`] and [`backup`]: entries from files, the log compared with its hashes, and copied and restored.
//! - [`orgtrail_simulator`]: the simulated upstream, a crate of its own. Almost every test of the whole program runs against it.
//!
//! # Small tools
//!
//! [`orgtrail_cloudflare::json`], [`span`], [`wording`], [`terminal`], [`task`], [`backoff`], [`sync`], [`mask`], [`private`], [`disk`], [`owner`], [`supervisor`] and [`handles`] do one small thing each.
//! Read them when you meet them.

pub mod access;
pub mod alert;
pub mod backoff;
pub mod backup;
pub mod clock;
pub mod command;
pub mod config;
pub mod coverage;
pub mod deliver;
pub mod detect;
pub mod disk;
pub mod durable;
pub mod engine;
pub mod event;
pub mod field;
pub mod follow;
pub mod handles;
pub mod health;
pub mod heartbeat;
pub mod http;
pub mod import;
pub mod invariant;
pub mod keyring;
pub mod ledger;
pub mod mask;
pub mod metrics;
pub mod owner;
pub mod people;
pub mod poll;
pub mod position;
pub mod private;
pub mod query;
pub mod retention;
pub mod rules;
pub mod scrub;
pub mod search;
pub mod service;
pub mod span;
pub mod status;
pub mod store;
pub mod summary;
pub mod supervisor;
pub mod sync;
pub mod task;
pub mod terminal;
pub mod tls;
pub mod upstream;
pub mod wording;
