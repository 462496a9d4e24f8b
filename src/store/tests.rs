//! Tests of the handle: opening, locking, closing, and files that are not usable.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::schema::VERSION;
use super::*;
use crate::durable::Failpoints;
use crate::position::Seq;
use crate::position::Source;
use crate::private;
use crate::sync::lock;

#[test]
fn a_log_keeps_its_id_and_is_opened_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), Failpoints::default()).unwrap();
    let id = first.log_id();
    assert!(matches!(
        Store::open(dir.path(), Failpoints::default()),
        Err(StoreError::InUse(_))
    ));
    assert_eq!(Store::open_beside(dir.path()).unwrap().log_id(), id);
    // A closed handle can still read, and another process can open the log.
    first.close().unwrap();
    assert!(matches!(
        first.save_sources(&[], crate::clock::from_micros(0)),
        Err(StoreError::Closed)
    ));
    let again = Store::open(dir.path(), Failpoints::default()).unwrap();
    assert_eq!(again.log_id(), id);
    again.check().unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    store
        .save_sources(&[], crate::clock::from_micros(0))
        .unwrap();
    let mut files = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert!(files >= 4, "the log, its two companions and the lock");
}

#[test]
fn a_log_that_needs_no_upgrade_is_opened_without_writing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), Failpoints::default()).unwrap());
    let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = Store::open(dir.path(), Failpoints::default());
    assert_eq!(store.unwrap().head(), Seq::ZERO);
}

#[test]
fn a_full_disk_is_known_as_one_and_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let room = |pages: i64| {
        let writer = lock(&store.0.writer);
        writer
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    let seen: Vec<_> = (0..500)
        .map(|n| SourceSeen {
            source: Source::account(&format!("account-{n}")).unwrap(),
            organization: None,
            label: Some("a name".repeat(20)),
            created_at: None,
        })
        .collect();
    let save = || store.save_sources(&seen, crate::clock::from_micros(0));
    // As many pages as there are: SQLite then says what it says of a full disk.
    room(1);
    let full = save().unwrap_err();
    assert!(
        matches!(full, StoreError::Full) && full.may_pass(),
        "{full}"
    );
    assert_eq!(store.disk_problem(), Some(DiskProblem::Full));
    assert!(store.sources().unwrap().is_empty());
    store.check().unwrap();
    room(1_000_000);
    save().unwrap();
    assert_eq!(store.sources().unwrap().len(), seen.len());
    assert_eq!(store.disk_problem(), None);
}

#[test]
fn a_file_system_that_became_read_only_is_a_problem_of_the_disk_until_a_write_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let read_only = |is_on: bool| {
        let writer = lock(&store.0.writer);
        writer.pragma_update(None, "query_only", is_on).unwrap();
    };
    let seen = [SourceSeen {
        source: Source::account("a").unwrap(),
        organization: None,
        label: None,
        created_at: None,
    }];
    let save = || store.save_sources(&seen, crate::clock::from_micros(0));
    read_only(true);
    let refused = save().unwrap_err();
    assert!(
        matches!(refused, StoreError::Disk(_)) && refused.may_pass(),
        "{refused}"
    );
    assert_eq!(store.disk_problem(), Some(DiskProblem::Failing));
    // Another error of the same step does not mean that the disk is well.
    let busy: Result<(), _> = store.change(steps::SAVE_SOURCES, |_| Err(StoreError::Busy));
    assert!(busy.is_err());
    assert_eq!(store.disk_problem(), Some(DiskProblem::Failing));
    read_only(false);
    save().unwrap();
    assert_eq!(store.disk_problem(), None);
    for code in [
        rusqlite::ffi::SQLITE_READONLY,
        rusqlite::ffi::SQLITE_CANTOPEN,
        rusqlite::ffi::SQLITE_PERM,
    ] {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(matches!(StoreError::from(error), StoreError::Disk(_)));
    }
}

#[test]
fn a_database_that_is_not_ours_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    let refused = Store::open(dir.path(), Failpoints::default())
        .err()
        .unwrap();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn where_there_is_no_log_or_an_older_one_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |dir: &Path| Store::open_beside(dir).err().unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Missing(_)));
    // As a crash leaves it that comes before the first transaction.
    private::open_file(&dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Older { .. }));
    drop(Store::open(dir.path(), Failpoints::default()).unwrap());
    assert!(Store::open_beside(dir.path()).is_ok());
}

#[test]
fn a_newer_log_or_a_foreign_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), Failpoints::default()).unwrap());
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.pragma_update(None, "user_version", VERSION + 1).unwrap();
    drop(db);
    let refused = Store::open(dir.path(), Failpoints::default())
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("use a newer orgtrail"), "{refused}");

    fs::write(
        dir.path().join(FILE_NAME),
        "this is not a database, but long enough to be looked at",
    )
    .unwrap();
    assert!(matches!(
        Store::open(dir.path(), Failpoints::default()),
        Err(StoreError::Damaged(_))
    ));
}
