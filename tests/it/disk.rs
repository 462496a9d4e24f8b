//! A disk that takes no more, and then does again: the program goes on by itself, with nothing lost and nothing twice.
//!
//! What is full is each file by itself: how large a process's files may grow is a limit that any user can set, and lift while
//! it runs. A write beyond it fails halfway, as on a full disk, with another word for why (`EFBIG`, which SQLite reports as
//! a failed write). That its word for a full disk is met the same way is tested in `store`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use orgtrail::position::Seq;
use orgtrail::store::Store;
use orgtrail_simulator::SimConfig;
use serde_json::Value;

use crate::backfill::{Shell, shown};
use crate::harness::{Client, Upstream, until};

/// The program serving, with little room.
struct Cramped {
    child: Child,
    client: Client,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Cramped {
    /// No file that it writes may grow beyond `bytes`.
    fn serve(shell: &Shell, bytes: u64) -> Self {
        // Told of the limit by a failing write, not killed by the signal.
        let ignoring = r#"trap "" XFSZ; exec "$@""#;
        let limit = format!("--fsize={bytes}:unlimited");
        let mut child = Command::new("sh")
            .current_dir(shell.dir())
            .env("ORGTRAIL__HTTP__LISTEN", "127.0.0.1:0")
            .env("ORGTRAIL__UPSTREAM__PAGE_SIZE", "100")
            .env("RUST_LOG", "orgtrail=info")
            .args(["-c", ignoring, "sh", "prlimit", &limit])
            .args([
                env!("CARGO_BIN_EXE_orgtrail"),
                "--log-format",
                "json",
                "serve",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (lines, log) = (Arc::clone(&told), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines() {
                let line = line.unwrap();
                let told = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(told);
            }
        });
        let mut says = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut says).unwrap();
        let url = says.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(
            url.starts_with("http://"),
            "{says}: {:#?}",
            told.lock().unwrap()
        );
        Self {
            child,
            client: Client::new(url),
            told,
        }
    }

    /// No file may grow beyond `bytes` from here on.
    fn limit(&self, bytes: &str) {
        let id = self.child.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let limit = Command::new("prlimit")
            .args(["--pid", &id, &limit])
            .status();
        assert!(limit.unwrap().success());
    }

    /// There is room again.
    fn make_room(&self) {
        self.limit("unlimited");
    }

    /// What its log says that holds `words`.
    fn told(&self, words: &str) -> Vec<String> {
        let lines = self.told.lock().unwrap();
        let lines = lines.iter().map(Value::to_string);
        lines.filter(|line| line.contains(words)).collect()
    }

    /// Stops it in order.
    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}: {:#?}", self.told.lock().unwrap());
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind.
        let _already_gone = self.child.kill();
    }
}

/// An upstream that has more than the disk takes.
async fn upstream() -> Upstream {
    let config = SimConfig {
        events: 2_500,
        accounts: 1,
        days: 20,
        ..SimConfig::default()
    };
    Upstream::new(config).await
}

fn states(sources: &Value) -> Vec<&str> {
    let sources = sources["sources"].as_array().unwrap();
    let states = sources.iter().map(|source| source["state"].as_str());
    states.map(Option::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_what_comes_in_and_nothing_else_until_there_is_room() {
    let upstream = upstream().await;
    let shell = Shell::new(&upstream);
    let cramped = Cramped::serve(&shell, 384 * 1024);
    let client = &cramped.client;
    let is_failing = |answer: &Value| states(answer).iter().all(|state| *state == "failing");
    let full = client.until("/v1/sources", is_failing).await;
    for source in full["sources"].as_array().unwrap() {
        assert!(source["failing_since"].is_string(), "{source:#}");
        let message = source["last_error"]["message"].as_str().unwrap();
        assert!(message.contains("the disk failed"), "{message}");
    }

    // What is held is whole, can be asked for, and was kept once.
    let store = Store::open_beside(&shell.data_dir()).unwrap();
    store.check().unwrap();
    let head = store.head();
    assert!((1..2_500).contains(&head.0), "{head}");
    let ready = client
        .until("/readyz", |ready| ready["index"]["state"] == "current")
        .await;
    assert_eq!(ready["index"]["held"], head.0);
    assert_eq!(ready["problems"], serde_json::json!(["disk failing"]));
    assert_eq!(client.count("").await, head.0);
    let (held, all) = (shell.held(), shown(&upstream.simulator));
    assert!(held.iter().all(|entry| all.binary_search(entry).is_ok()));
    assert!(held.is_sorted_by(|a, b| a < b), "an entry is held twice");
    // A source tells once that it fails, however often it is tried: a full disk must not be filled further.
    let errors = |answer: &Value| -> Vec<Value> {
        let sources = answer["sources"].as_array().unwrap();
        let at = sources.iter().map(|source| &source["last_error"]["at"]);
        at.cloned().collect()
    };
    let before = errors(&full);
    let is_tried = |answer: &Value| errors(answer).iter().zip(&before).all(|(a, b)| a != b);
    client.until("/v1/sources", is_tried).await;
    assert_eq!(store.head(), head, "something came in");
    // What little still fits may go in between, which is told, too. Lines come a little later than what they tell of.
    let told = |words| cramped.told(words).len();
    until("each has told once that it fails", || {
        told("Polling a source failed") == told("A source answers again") + 2
    })
    .await;

    cramped.make_room();
    client
        .until("/v1/sources", |answer| {
            states(answer).iter().all(|state| *state == "live")
        })
        .await;
    assert_eq!(client.settle(2).await, 2_500);
    until("each has told that it answers again", || {
        told("A source answers again") == told("Polling a source failed")
    })
    .await;
    cramped.stop();
    assert!(shell.held() == all, "other entries are held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_without_room_is_filled_when_there_is_some() {
    let upstream = upstream().await;
    let shell = Shell::new(&upstream);
    let (said, code) = shell.json(&["backfill", "--since", "30d"]);
    assert_eq!(
        (code, &said["events"]),
        (Some(0), &2_500.into()),
        "{said:#}"
    );
    let index = shell.data_dir().join("index");
    std::fs::remove_dir_all(&index).unwrap();

    let cramped = Cramped::serve(&shell, 64 * 1024);
    until("the index has failed twice", || {
        cramped
            .told("A follower of the log failed; retrying with backoff")
            .len()
            >= 2
    })
    .await;
    let ready = cramped.client.get("/readyz").await;
    assert_eq!(ready["index"]["state"], "rebuilding", "{ready:#}");
    assert_eq!(ready["problems"][0], "rebuild", "{ready:#}");
    assert_eq!(ready["index"]["held"], 2_500);

    // Then what little there is of it is lost, and not even an empty one can be made.
    cramped.limit("0");
    std::fs::remove_dir_all(&index).unwrap();
    until("it could not be made anew", || {
        !cramped
            .told("The index cannot be opened or created")
            .is_empty()
    })
    .await;
    let ready = cramped.client.get("/readyz").await;
    assert_eq!(ready["index"]["held"], 2_500);

    cramped.make_room();
    assert_eq!(cramped.client.settle(2).await, 2_500);
    assert_eq!(cramped.client.count("").await, 2_500);
    cramped.stop();
    let log_id = Store::open_beside(&shell.data_dir()).unwrap().log_id();
    let whole = orgtrail::engine::tantivy::verify_beside(&shell.data_dir(), log_id);
    assert_eq!(whole.unwrap(), Seq(2_500));
}
