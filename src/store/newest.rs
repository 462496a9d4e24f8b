//! The newest event of some sources.

use std::collections::BTreeSet;

use super::error::StoreError;
use super::handle::Store;
use super::sources::names;
use crate::position::{Seq, Source};

impl Store {
    /// The newest event of some sources; 0 when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub fn newest_of(&self, sources: &BTreeSet<Source>) -> Result<Seq, StoreError> {
        let names = names(sources);
        self.ask(|db| {
            // What is not counted is looked up among the source's own events alone.
            let mut ask = db.prepare_cached(
                "SELECT max(coalesce(newest_seq, iif(events > 0, (SELECT max(event.seq) FROM event WHERE event.source = source.id), 0)))
                 FROM source WHERE name IN (SELECT value FROM json_each(?1))",
            )?;
            let newest: Option<u64> = ask.query_row([&names], |row| row.get(0))?;
            Ok(Seq(newest.unwrap_or_default()))
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::durable::Failpoints;
    use crate::store::FILE_NAME;
    use crate::store::schema::APPLICATION_ID;

    #[test]
    fn the_newest_event_of_each_source_is_counted_when_an_older_log_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        db.execute_batch(include_str!("../../tests/data/schema/version_1.sql"))
            .unwrap();
        db.execute_batch(
            "INSERT INTO meta (name, value) VALUES ('log_id', '00000000-0000-4000-8000-000000000000');
             INSERT INTO source (id, name, first_seen_us, events) VALUES
                 (1, 'accounts/a', 0, 1), (2, 'accounts/b', 0, 2), (3, 'accounts/c', 0, 0);
             INSERT INTO event VALUES
                 (1, 1, x'00', 0, NULL, 0, NULL, 0, x'00', 0, x'00'),
                 (2, 2, x'01', 0, NULL, 0, NULL, 0, x'00', 0, x'00'),
                 (3, 2, x'00', 0, NULL, 0, NULL, 0, x'00', 0, x'00');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        db.pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        drop(db);
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let newest = |names: &[&str]| {
            let sources = names.iter().map(|name| Source::account(name).unwrap());
            store.newest_of(&sources.collect()).unwrap()
        };
        assert_eq!(newest(&["a"]), Seq(1));
        assert_eq!(newest(&["a", "b"]), Seq(3));
        assert_eq!(newest(&["c"]), Seq::ZERO);
        let uncounted: u64 = store
            .ask(|db| {
                let sql = "SELECT count(*) FROM source WHERE events > 0 AND newest_seq IS NULL";
                Ok(db.query_row(sql, [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(uncounted, 0);
    }
}
