//! Backup and restore, by the program itself: whole, verified, and never half.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use orgtrail::durable::Failpoints;
use orgtrail::event::AuditEvent;
use orgtrail::position::Seq;
use orgtrail::store::{FILE_NAME, Store};
use orgtrail_simulator::SimConfig;
use rusqlite::Connection;
use serde_json::Value;

use crate::backfill::Shell;
use crate::fixture_log::Desk;
use crate::harness::{Service, Upstream};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.env_remove("RUST_LOG");
    command
}

fn backup_command(data: &Path, to: &Path) -> Command {
    let mut command = program();
    command.args(["backup", "--json", "--data-dir"]);
    command.arg(data).arg(to);
    command
}

fn restore_command(data: &Path, from: &Path) -> Command {
    let mut command = program();
    command.args(["restore", "--json", "--data-dir"]);
    command.arg(data).arg(from);
    command
}

/// What a command that goes well prints.
fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command says that fails.
fn refusal(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn events(store: &Store) -> Vec<AuditEvent> {
    let limit = usize::MAX >> 1;
    store.events_after(Seq::ZERO, limit, usize::MAX).unwrap()
}

/// Everything about each event that must not change.
fn lines(events: &[AuditEvent]) -> Vec<String> {
    let lines = events.iter().map(serde_json::to_string);
    lines.map(Result::unwrap).collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// A data directory with a log, and room beside it.
struct Place {
    dir: tempfile::TempDir,
    events: u64,
}

impl Place {
    async fn with_events(events: u64) -> Self {
        let desk = Desk::of_history(events).await;
        let dir = desk.close().await;
        Self { dir, events }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn back_up(&self) -> PathBuf {
        let to = self.path("backup");
        let manifest = json(&mut backup_command(&self.data(), &to));
        assert_eq!(manifest["events"], self.events);
        to
    }

    fn database(&self) -> Connection {
        Connection::open(self.data().join(FILE_NAME)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_beside_a_service_is_one_moment_of_the_log_and_what_came_later_is_read_again() {
    let upstream = Upstream::new(SimConfig {
        events: 1_500,
        accounts: 2,
        days: 30,
        live_per_minute: 1_200.0,
        ..SimConfig::default()
    })
    .await;
    let shell = Shell::new(&upstream);
    let service = Service::start(&shell.configuration()).await;
    service.settle(3).await;

    let to = shell.dir().join("backups/one");
    let manifest = json(&mut backup_command(&shell.data_dir(), &to));
    let count = manifest["events"].as_u64().unwrap();
    service
        .until("/readyz", |ready| {
            ready["index"]["held"].as_u64().unwrap() > count + 10
        })
        .await;
    service.stop().await.unwrap();
    let original = Store::open_beside(&shell.data_dir()).unwrap();
    let original_events = events(&original);
    assert_eq!(manifest["log_id"], original.log_id().to_string());
    assert_eq!(
        (&manifest["damaged"], &manifest["problem"]),
        (&0.into(), &Value::Null)
    );
    let last = &original_events[usize::try_from(count).unwrap() - 1];
    assert_eq!(manifest["last_seq"], last.seq.0);
    assert_eq!(manifest["last_sha256"], *last.sha256.as_ref().unwrap());

    let other = tempfile::tempdir().unwrap();
    let configuration = upstream.configuration(other.path());
    let data = other.path().join("data");
    let restored = json(&mut restore_command(&data, &to));
    assert_eq!(restored["restored_from"], manifest["log_id"]);
    let store = Store::open_beside(&data).unwrap();
    assert_eq!(restored["log_id"], store.log_id().to_string());
    assert_ne!(store.log_id(), original.log_id());
    let restored_events = lines(&events(&store));
    assert_eq!(restored_events.len() as u64, count);
    assert!(restored_events[..] == lines(&original_events)[..restored_events.len()]);
    // Nothing is claimed of the time after the backup.
    let taken: chrono::DateTime<chrono::Utc> = manifest["time"].as_str().unwrap().parse().unwrap();
    for source in store.sources().unwrap() {
        let progress = store.progress(&source.source).unwrap();
        let end = progress
            .proven
            .iter()
            .map(|sealed| sealed.window.before)
            .max();
        assert!(
            end.is_some_and(|end| end <= taken + chrono::TimeDelta::seconds(10)),
            "{end:?}"
        );
    }
    drop((store, original));

    // A service goes on from it, with an index of its own.
    let service = Service::start(&configuration).await;
    let all = original_events.len() as u64;
    service
        .until("/readyz", |ready| {
            ready["index"]["state"] == "current" && ready["index"]["held"].as_u64() >= Some(all)
        })
        .await;
    service.stop().await.unwrap();
    let identity =
        |event: &AuditEvent| (event.source.to_string(), event.id.clone(), event.revision);
    let again = events(&Store::open_beside(&data).unwrap());
    let again: Vec<_> = again.iter().map(identity).collect();
    let known: BTreeSet<_> = again.iter().cloned().collect();
    assert_eq!(known.len(), again.len(), "an event is held twice");
    assert!(
        original_events
            .iter()
            .all(|event| known.contains(&identity(event)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_holds_the_log_alone_for_its_owner_alone_and_is_in_the_access_log() {
    let place = Place::with_events(300).await;
    let token = program()
        .args([
            "token",
            "create",
            "reader",
            "--scope",
            "search",
            "--data-dir",
        ])
        .arg(place.data())
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    assert!(token.starts_with("otr_"), "{token}");
    let to = place.back_up();
    assert_eq!(
        names(&to),
        [FILE_NAME, "manifest.json"].map(String::from).into()
    );
    assert!(
        !names(place.dir.path())
            .iter()
            .any(|name| name.starts_with("backup."))
    );
    for name in names(&to) {
        let bytes = fs::read(to.join(name)).unwrap();
        let hash = orgtrail::event::sha256(token.trim().as_bytes());
        for secret in [token.trim().as_bytes(), &hash] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&to), 0o700);
        assert_eq!(mode(&to.join(FILE_NAME)), 0o600);
        assert_eq!(mode(&to.join("manifest.json")), 0o600);
    }
    let said = program()
        .args(["access-log", "--json", "--data-dir"])
        .arg(place.data())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["entries"][0]["action"], "backup");
    // It is never overwritten.
    let before = fs::read(to.join("manifest.json")).unwrap();
    let refused = refusal(&mut backup_command(&place.data(), &to));
    assert!(refused.contains("already exists"), "{refused}");
    assert_eq!(fs::read(to.join("manifest.json")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_or_restore_that_is_killed_leaves_nothing_that_looks_whole_and_can_be_done_again() {
    let place = Place::with_events(4_000).await;
    let to = place.path("backup");
    let mut killed = 0;
    for round in 0..40 {
        let mut child = backup_command(&place.data(), &to)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 * round));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        if to.exists() {
            break;
        }
    }
    assert!(killed > 0, "none was killed before its end");
    if !to.exists() {
        json(&mut backup_command(&place.data(), &to));
    }
    assert_eq!(names(&to).len(), 2);

    let data = place.path("restored");
    let mut half = 0;
    for round in 0..40 {
        let mut child = restore_command(&data, &to)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        if data.join(FILE_NAME).exists() {
            break;
        }
        if data.join("restore.partial").exists() {
            half += 1;
            let refused = Store::open(&data, Failpoints::default())
                .err()
                .unwrap()
                .to_string();
            assert!(refused.contains("did not finish"), "{refused}");
        }
    }
    assert!(half > 0, "none was killed halfway");
    if !data.join(FILE_NAME).exists() {
        json(&mut restore_command(&data, &to));
    }
    let (restored, original) = (
        Store::open(&data, Failpoints::default()),
        Store::open_beside(&place.data()),
    );
    let (restored, original) = (restored.unwrap(), original.unwrap());
    assert!(lines(&events(&restored)) == lines(&events(&original)));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_and_restore_on_a_full_disk_say_so_and_leave_no_copy() {
    let place = Place::with_events(2_000).await;
    // No file may grow beyond this; a failing write tells of it.
    let limited = |command: &Command| {
        let mut limited = Command::new("sh");
        limited.args([
            "-c",
            r#"trap "" XFSZ; exec prlimit --fsize=300000 "$@""#,
            "sh",
        ]);
        limited.arg(command.get_program()).args(command.get_args());
        limited
    };
    let to = place.path("backup");
    let before = names(place.dir.path());
    let refused = refusal(&mut limited(&backup_command(&place.data(), &to)));
    assert!(refused.contains("backup.partial/orgtrail.db"), "{refused}");
    assert_eq!(names(place.dir.path()), before);

    let to = place.back_up();
    let data = place.path("restored");
    let refused = refusal(&mut limited(&restore_command(&data, &to)));
    assert!(refused.contains("restore.partial/orgtrail.db"), "{refused}");
    // That it was tried is in the access log.
    let left = ["access.db", "access.reserve", "orgtrail.lock"].map(str::to_owned);
    assert_eq!(names(&data), left.into());
    json(&mut restore_command(&data, &to));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_refuses_what_was_changed_and_a_directory_that_holds_a_log() {
    let place = Place::with_events(500).await;
    let to = place.back_up();
    let occupied = refusal(&mut restore_command(&place.data(), &to));
    assert!(occupied.contains("already holds a log"), "{occupied}");

    let data = place.path("restored");
    let manifest = fs::read_to_string(to.join("manifest.json")).unwrap();
    let database = fs::read(to.join(FILE_NAME)).unwrap();
    let refused_with = |words: &str| {
        let refused = refusal(&mut restore_command(&data, &to));
        assert!(refused.contains(words), "{words}: {refused}");
        assert!(!data.join(FILE_NAME).exists() && !data.join("restore.partial").exists());
    };
    let mut flipped = database.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(to.join(FILE_NAME), &flipped).unwrap();
    refused_with("another SHA-256");
    fs::write(to.join(FILE_NAME), &database[..database.len() / 2]).unwrap();
    refused_with("bytes, and had");
    fs::remove_file(to.join(FILE_NAME)).unwrap();
    refused_with("could not use");
    fs::write(to.join(FILE_NAME), &database).unwrap();

    let write = |text: &str| fs::write(to.join("manifest.json"), text).unwrap();
    write(&manifest.replace("\"events\": 500", "\"events\": 501"));
    refused_with("the manifest says 501");
    write(&manifest.replace("\"version\": 1", "\"version\": 2"));
    refused_with("use a newer orgtrail");
    write(&manifest.replace("\"orgtrail.db\"", "\"../data/orgtrail.db\""));
    refused_with("`file` is not");
    write(&manifest[..manifest.len() / 2]);
    refused_with("cannot be understood");
    fs::remove_file(to.join("manifest.json")).unwrap();
    refused_with("could not read `manifest.json`");
    write(&manifest);
    json(&mut restore_command(&data, &to));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_backed_up_as_it_is_and_restored_only_on_request() {
    let place = Place::with_events(200).await;
    place
        .database()
        .execute_batch("UPDATE event SET body = x'00' WHERE seq IN (7, 9)")
        .unwrap();
    let to = place.path("backup");
    let manifest = json(&mut backup_command(&place.data(), &to));
    assert_eq!(manifest["damaged"], 2);
    let data = place.path("restored");
    let refused = refusal(&mut restore_command(&data, &to));
    assert!(
        refused.contains("2 of 200 events are damaged, the first at seq 7, 9"),
        "{refused}"
    );
    let restored = json(restore_command(&data, &to).arg("--damaged"));
    assert_eq!(restored["damaged"], 2);
    let store = Store::open(&data, Failpoints::default()).unwrap();
    assert_eq!(store.scrub_state().unwrap().damaged, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_another_tool_restored_is_verified_and_gets_a_new_id() {
    let place = Place::with_events(400).await;
    let id = Store::open_beside(&place.data()).unwrap().log_id();
    let file = place.path("replica.db");
    fs::copy(place.data().join(FILE_NAME), &file).unwrap();
    let before = fs::read(&file).unwrap();
    let data = place.path("restored");
    let restored = json(&mut restore_command(&data, &file));
    assert_eq!(
        (&restored["events"], &restored["damaged"]),
        (&400.into(), &0.into())
    );
    assert_eq!(restored["restored_from"], id.to_string());
    assert_eq!(fs::read(&file).unwrap(), before, "the file was changed");

    // A hole, a foreign file, an empty one, a newer one, and one in use.
    let other = place.path("other");
    let refused_with = |words: &str| {
        let refused = refusal(&mut restore_command(&other, &file));
        assert!(refused.contains(words), "{words}: {refused}");
        assert!(!other.join(FILE_NAME).exists());
    };
    let db = Connection::open(&file).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM event WHERE seq = 5")
        .unwrap();
    drop(db);
    refused_with("the first at seq 5");
    fs::write(&file, &before).unwrap();
    let db = Connection::open(&file).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    refused_with("schema version 99");
    fs::write(&file, "").unwrap();
    refused_with("is empty");
    fs::remove_file(&file).unwrap();
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    refused_with("another program's database");
    let _service = Store::open(&place.data(), Failpoints::default()).unwrap();
    let refused = refusal(&mut restore_command(&other, &place.data().join(FILE_NAME)));
    assert!(refused.contains("orgtrail backup"), "{refused}");
}

#[test]
fn a_log_of_an_older_version_is_upgraded_by_a_restore_and_a_newer_one_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/version_1/orgtrail.db");
    let data = dir.path().join("data");
    let restored = json(&mut restore_command(&data, &kept));
    assert_eq!(restored["events"], 12);
    assert_eq!(
        restored["restored_from"],
        "6f1d8a52-3c47-4f0e-9b1a-2d5c7e9f0a31"
    );
    let store = Store::open(&data, Failpoints::default()).unwrap();
    assert_eq!(events(&store).len(), 12);
    store.check().unwrap();
}

#[test]
fn an_older_data_directory_is_upgraded_in_place_with_tokens_and_newer_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/version_1/orgtrail.db");
    fs::copy(kept, data.join(FILE_NAME)).unwrap();
    let run = |args: &[&str]| {
        let mut command = program();
        command.args(args).arg("--data-dir").arg(&data);
        command
    };
    // What only looks does not upgrade.
    let older = refusal(&mut run(&["status"]));
    assert!(older.contains("schema version 1"), "{older}");
    drop(Store::open(&data, Failpoints::default()).unwrap());
    let created = run(&["token", "create", "reader", "--scope", "search"])
        .output()
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    let manifest = json(run(&["backup", "--json"]).arg(dir.path().join("backup")));
    assert_eq!(manifest["events"], 12);

    for (file, command) in [(FILE_NAME, "status"), ("access.db", "access-log")] {
        let db = Connection::open(data.join(file)).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        let newer = refusal(&mut run(&[command]));
        assert!(newer.contains("schema version 99"), "{newer}");
        assert!(
            newer.contains(file) && newer.contains("use a newer orgtrail"),
            "{newer}"
        );
    }
}
