//! The version of the log's file: a new file gets `schema.sql`, an older one gets every upgrade that it lacks.
//!
//! Upgrades are appended to [`UPGRADES`] and never changed or reordered. A test holds that version 1 and all upgrades give
//! the same tables, columns and indexes as `schema.sql`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::error::StoreError;

/// Marks our files (`PRAGMA application_id`): "`OrgT`".
const APPLICATION_ID: i64 = 0x4f72_6754;

/// The schema of a new file, at [`VERSION`].
const SCHEMA: &str = include_str!("../../schema.sql");

/// What brings version 1 to 2, 2 to 3 and so on.
const UPGRADES: &[&str] = &[include_str!("upgrades/2.sql")];

/// The tables that upgrades make anew, and those that refer to them. Only their references are checked after an upgrade:
/// `event` is large, and damage in it must not keep a log from being opened.
const REMADE: [&str; 3] = ["window", "scan_twin", "scan_cursor"];

/// The version this program reads and writes.
pub(super) const VERSION: i64 = 1 + UPGRADES.len() as i64;

/// The version of a file, if it is a log of ours that this program can read; 0 when it is empty.
pub(super) fn version(db: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    let has_tables = || {
        db.query_row("SELECT count(*) > 0 FROM sqlite_master", [], |row| {
            row.get(0)
        })
    };
    let is_foreign = if found == 0 {
        application != 0 || has_tables()?
    } else {
        application != APPLICATION_ID
    };
    if is_foreign {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    Ok(found)
}

/// Brings the file to [`VERSION`] in one transaction: from nothing, or from any older version.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // Nothing to write, which a full disk would not take: what is held can be asked for all the same.
    let found = version(db, path)?;
    if found == VERSION {
        return Ok(());
    }
    if found == 0 {
        // Works only before the first table, and not inside a transaction. An older file keeps what it has: changing it
        // would rewrite the whole file.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    // An upgrade may make a table anew that others refer to. This has no effect inside a transaction.
    db.pragma_update(None, "foreign_keys", false)?;
    let upgraded = upgrade(db, path);
    db.pragma_update(None, "foreign_keys", true)?;
    upgraded
}

fn upgrade(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let found = version(&transaction, path)?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let log_id = Uuid::new_v4().to_string();
        transaction.execute(
            "INSERT INTO meta (name, value) VALUES ('log_id', ?1)",
            [log_id],
        )?;
    }
    let done = usize::try_from(found - 1).unwrap_or(UPGRADES.len());
    for upgrade in UPGRADES.iter().skip(done) {
        transaction.execute_batch(upgrade)?;
    }
    for table in REMADE {
        let broken: i64 = transaction.query_row(
            "SELECT count(*) FROM pragma_foreign_key_check(?1)",
            [table],
            |row| row.get(0),
        )?;
        if broken > 0 {
            return Err(StoreError::Damaged(format!(
                "{broken} rows of `{table}` refer to rows that do not exist; the upgrade was not made"
            )));
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    if (1..VERSION).contains(&found) {
        tracing::info!(from = found, to = VERSION, "The log was upgraded.");
    }
    Ok(())
}

/// Makes the index of identities again from the rows of `event`. A damaged index can be neither emptied nor dropped, so its
/// row is taken out of the schema; its pages stay in the file, unused, until the file is vacuumed.
pub(super) fn rebuild_identities(db: &mut Connection) -> Result<(), StoreError> {
    let rebuilt = remake_index(db, "event_identity");
    // Takes what is in memory of the schema from the file again, and forbids such changes.
    db.execute_batch("PRAGMA writable_schema = RESET")?;
    rebuilt
}

fn remake_index(db: &mut Connection, name: &str) -> Result<(), StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let text: String = transaction.query_row(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?1",
        [name],
        |row| row.get(0),
    )?;
    transaction.execute_batch("PRAGMA writable_schema = ON")?;
    transaction.execute("DELETE FROM sqlite_master WHERE name = ?1", [name])?;
    transaction.execute_batch("PRAGMA writable_schema = RESET")?;
    transaction.execute_batch(&text)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of the first version.
    const VERSION_1: &str = include_str!("../../tests/data/schema/version_1.sql");

    /// Each table with its columns and each index with its text, in no order of their own.
    fn described(db: &Connection) -> Vec<String> {
        let lines = |sql: &str| -> Vec<String> {
            let mut statement = db.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let mut all = lines(
            "SELECT format('%s.%s %s notnull=%d default=%Q key=%d', t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk)
             FROM sqlite_master t JOIN pragma_table_xinfo(t.name) c WHERE t.type = 'table'",
        );
        all.extend(lines(
            "SELECT name || ' ' || sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        ));
        all.sort();
        all
    }

    #[test]
    fn an_upgraded_log_has_the_schema_of_a_new_one() {
        let new = Connection::open_in_memory().unwrap();
        new.execute_batch(SCHEMA).unwrap();
        let upgraded = Connection::open_in_memory().unwrap();
        upgraded.execute_batch(VERSION_1).unwrap();
        for upgrade in UPGRADES {
            upgraded.execute_batch(upgrade).unwrap();
        }
        assert_eq!(described(&upgraded), described(&new));
    }

    #[test]
    fn an_older_log_is_upgraded_in_place_with_its_open_scans_although_an_event_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        let mut db = Connection::open(&path).unwrap();
        db.execute_batch(VERSION_1).unwrap();
        db.execute_batch(
            "INSERT INTO source (id, name, first_seen_us) VALUES (1, 'accounts/a', 0);
             INSERT INTO window (id, source, kind, since_s, before_s, cursor, began_us) VALUES (7, 1, 'live', 10, 20, 'next', 5);
             INSERT INTO scan_cursor (window, cursor) VALUES (7, x'01');
             PRAGMA foreign_keys = OFF;
             INSERT INTO event VALUES (1, 99, x'00', 0, NULL, 0, NULL, 0, x'00', 0, x'00');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        db.pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        db.pragma_update(None, "foreign_keys", true).unwrap();
        migrate(&mut db, &path).unwrap();
        assert_eq!(version(&db, &path).unwrap(), VERSION);
        let kept: (i64, String, i64) = db
            .query_row(
                "SELECT w.id, w.cursor, (SELECT count(*) FROM scan_cursor c WHERE c.window = w.id) FROM window w",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(kept, (7, "next".to_owned(), 1));
        // Rows still have to refer to rows that exist.
        assert!(
            db.execute(
                "INSERT INTO scan_cursor (window, cursor) VALUES (8, x'02')",
                []
            )
            .is_err()
        );
    }

    #[test]
    fn every_table_and_column_that_is_not_obvious_is_explained() {
        for statement in SCHEMA.split("\n\n").filter(|part| part.contains("CREATE ")) {
            assert!(
                statement.starts_with("--"),
                "no comment before: {statement}"
            );
        }
    }
}
