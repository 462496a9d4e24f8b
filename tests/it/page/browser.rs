//! The page in a browser: the scripts in `tests/page` use it as a person would. They say what they need of the service by lines
//! that begin with `@`, and get one line of JSON each.
//!
//! Only in the slow tests, with Chromium and the packages of `tests/page/package.json`; without them they are skipped.

mod used;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orgtrail::clock::Clock;
use orgtrail::position::{Source, SourceKind};
use orgtrail_simulator::SimConfig;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::access::command;
use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream};
use crate::{skip_slow_tests, tell};

/// The variable that names the folder in which the packages are installed.
const PACKAGES: &str = "ORGTRAIL_PAGE_PACKAGES";
/// The variable that names Chromium's program.
const CHROMIUM: &str = "ORGTRAIL_CHROMIUM";

/// What the tests of the page need of the machine.
struct Tools {
    packages: PathBuf,
    chromium: PathBuf,
}

impl Tools {
    fn find() -> Option<Self> {
        if skip_slow_tests() {
            return None;
        }
        let named = |variable: &str| {
            let path = std::env::var_os(variable);
            if path.is_none() {
                tell(format!(
                    "SKIPPED: {variable} is not set, see CONTRIBUTING.md"
                ));
            }
            Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(path?))
        };
        let (packages, chromium) = (named(PACKAGES)?, named(CHROMIUM)?);
        Some(Self { packages, chromium })
    }

    fn node(&self) -> Command {
        let mut node = Command::new("node");
        node.current_dir(env!("CARGO_MANIFEST_DIR"));
        node.env("NODE_MODULES", &self.packages);
        node.env("CHROMIUM", &self.chromium);
        node
    }

    /// Runs a script, and answers what it asks for.
    fn run(&self, script: &str, args: &[&str], mut answer: impl FnMut(&str) -> Value) {
        let mut node = self.node();
        node.arg(format!("tests/page/{script}.mjs")).args(args);
        node.stdin(Stdio::piped()).stdout(Stdio::piped());
        block_in_place(|| {
            let mut running = node.spawn().unwrap();
            let mut stdin = running.stdin.take().unwrap();
            let said = BufReader::new(running.stdout.take().unwrap());
            for line in said.lines().map(Result::unwrap) {
                match line.strip_prefix('@') {
                    Some(wish) => writeln!(stdin, "{}", answer(wish)).unwrap(),
                    None => tell(line),
                }
            }
            assert!(
                running.wait().unwrap().success(),
                "{script} failed: see above"
            );
        });
    }
}

/// A service that follows a simulated organization, and can be stopped and started again at its address.
struct World {
    upstream: Upstream,
    dir: tempfile::TempDir,
    configuration: String,
    service: Option<Service>,
    url: String,
    n_published: u32,
}

impl World {
    async fn new() -> Self {
        let upstream = Upstream::new(SimConfig {
            events: 2_000,
            accounts: 3,
            days: 40,
            ..SimConfig::default()
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let configuration = upstream.configuration(dir.path());
        let service = Service::start(&configuration).await;
        service.settle(upstream.simulator.sources().len()).await;
        Self {
            url: service.url.clone(),
            service: Some(service),
            upstream,
            dir,
            configuration,
            n_published: 0,
        }
    }

    /// The same, for those who have a token.
    async fn guarded() -> Self {
        let mut world = Self::new().await;
        world.stop().await;
        world.configuration = world.configuration.replace("\"none\"", "\"tokens\"");
        world.start().await;
        world
    }

    async fn stop(&mut self) {
        self.service.take().unwrap().stop().await.unwrap();
    }

    async fn start(&mut self) {
        let address: SocketAddr = self.url.trim_start_matches("http://").parse().unwrap();
        self.service = Some(Service::start_at(&self.configuration, address).await);
    }

    fn command(&self, args: &[&str]) -> String {
        command(&self.dir.path().join("data"), args)
    }

    fn account(&self) -> Source {
        let sources = self.upstream.simulator.sources();
        let mut accounts = sources.into_iter();
        accounts
            .find(|source| source.kind() == SourceKind::Account)
            .unwrap()
    }

    /// So many new entries upstream, of one actor.
    fn publish(&mut self, n: u32) {
        let now = Clock::system().now();
        for _ in 0..n {
            self.n_published += 1;
            let entry = json!({
                "id": format!("published-{}", self.n_published),
                "action": {"time": now.to_rfc3339(), "type": "create", "result": "success"},
                "actor": {"email": "live@example.com", "type": "user"},
            });
            let source = self.account();
            self.upstream
                .simulator
                .publish(&source, &entry.to_string(), now, now);
        }
    }

    /// Does what a script asks for.
    fn answer(&mut self, wish: &str) -> Value {
        let (verb, rest) = wish.split_once(' ').unwrap_or((wish, ""));
        let runtime = Handle::current();
        match verb {
            "publish" => self.publish(rest.parse().unwrap()),
            "stop" => runtime.block_on(self.stop()),
            "start" => runtime.block_on(self.start()),
            "token" => {
                let args = [
                    "token",
                    "create",
                    "Ann's browser",
                    "--scope",
                    rest,
                    "--json",
                ];
                return serde_json::from_str(&self.command(&args)).unwrap();
            }
            "revoke" => drop(self.command(&["token", "revoke", rest])),
            _ => panic!("what is `{wish}`?"),
        }
        json!("done")
    }

    /// The e-mail address that acted most often.
    async fn actor(&self) -> String {
        let service = self.service.as_ref().unwrap();
        let facets = service.get("/v1/facets?field=actor.email&size=1").await;
        let value = &facets["facets"]["actor.email"]["values"][0]["label"];
        value.as_str().unwrap().to_owned()
    }

    fn run(mut self, tools: &Tools, script: &str, args: &[&str]) {
        let url = self.url.clone();
        tools.run(script, &[&[url.as_str()], args].concat(), |wish| {
            self.answer(wish)
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_person_uses_every_part_of_the_page() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "parts", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_shows_its_bytes_changes_and_surroundings_and_every_value_can_be_pivoted() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "event", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_whole_way_from_a_query_to_a_copied_link_goes_by_keyboard_alone() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "keyboard", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_view_is_accessible_in_both_themes_and_on_narrow_screens() {
    let Some(tools) = Tools::find() else { return };
    let world = World::new().await;
    let actor = format!("actors/{}", world.actor().await);
    world.run(&tools, "accessible", &[&actor]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn alerts_are_found_filtered_opened_and_worked_on() {
    let Some(tools) = Tools::find() else { return };
    World::guarded().await.run(&tools, "alerts", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_load_asks_two_questions_and_is_small() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "first_load", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_page_goes_on_after_lost_connections_and_restarts_and_its_tail_loses_nothing() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "mishaps", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_signs_in_and_a_session_that_ends_is_asked_for_again() {
    let Some(tools) = Tools::find() else { return };
    World::guarded().await.run(&tools, "session", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hostile_text_stays_text() {
    let Some(tools) = Tools::find() else { return };
    let mut desk = Desk::new().await;
    desk.keep(&account(), &hostile_entries());
    desk.search_all();
    tools.run("hostile", &[&desk.url], |wish| panic!("what is `{wish}`?"));
}

/// Texts that would do something if they were taken for anything but text.
const HOSTILE: [&str; 8] = [
    "<img src=x onerror=\"window.hit=1\">",
    "<script>window.hit=1</script>",
    "\"><svg onload=window.hit=1>",
    "javascript:window.hit=1",
    "{{constructor.constructor('window.hit=1')()}}${window.hit=1}",
    "\u{202e}moc.elpmaxe@nna\u{2066}\u{200f}",
    "nul\u{0}nul",
    "__proto__",
];

/// One entry for each hostile text, which is in every field that upstream fills; and one with words of a million letters.
fn hostile_entries() -> Vec<String> {
    let entry = |n: usize, text: &str| {
        json!({
            "id": format!("hostile-{n}"),
            "account": {"id": text, "name": text},
            "action": {"time": format!("2026-08-03T08:00:{n:02}Z"), "type": text, "result": text, "description": text},
            "actor": {"id": text, "email": text, "ip_address": text, "token_id": text, "token_name": text, "context": text, "type": text},
            "raw": {"method": text, "uri": text, "user_agent": text, "cf_ray_id": text, "status_code": 200},
            "resource": {"id": text, "product": text, "type": text, "scope": text, "request": {"name": text}, "response": {"name": text}},
            "zone": {"id": text, "name": text},
        })
    };
    let texts = HOSTILE.iter().enumerate();
    let mut entries: Vec<Value> = texts.map(|(n, text)| entry(n, text)).collect();
    let mut long = entry(HOSTILE.len(), "long");
    let million = "A".repeat(1_000_000);
    for path in ["/actor/email", "/resource/request/name"] {
        *long.pointer_mut(path).unwrap() = json!(million);
    }
    entries.push(long);
    entries.iter().map(Value::to_string).collect()
}

#[test]
fn a_query_is_changed_part_by_part_and_the_others_stay_as_typed() {
    let Some(tools) = Tools::find() else { return };
    let done = tools.node().arg("tests/page/query.mjs").output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Whether the pictures of the guide are taken again.
const TAKE_PICTURES: &str = "ORGTRAIL_SCREENSHOTS";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_pictures_of_the_guide_are_taken_where_that_is_wanted() {
    let Some(tools) = Tools::find() else { return };
    if std::env::var_os(TAKE_PICTURES).is_none() {
        tell(format!("SKIPPED: {TAKE_PICTURES} is not set"));
        return;
    }
    let mut world = World::new().await;
    // Fresh entries, of which it is known how late they came.
    world.publish(20);
    let service = world.service.as_ref().unwrap();
    let all_came = "/v1/count?q=actor.email:live@example.com";
    service
        .until(all_came, |answer| answer["count"] == 20)
        .await;
    let actor = format!("actors/{}", world.actor().await);
    world.run(&tools, "screenshots", &[&actor]);
}

#[test]
fn the_types_of_the_modules_are_right_and_their_format_is_prettiers() {
    let Some(tools) = Tools::find() else { return };
    let run = |program: &str, args: &[&str]| {
        let mut check = tools.node();
        check.arg(tools.packages.join("node_modules").join(program));
        let done = check.args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{program}: {said}");
    };
    run(
        "typescript/bin/tsc",
        &["--project", "tests/page/tsconfig.json"],
    );
    let files = ["ui/*.js", "ui/*.css", "tests/page/*.mjs"];
    let options = ["--config", "tests/page/prettier.json", "--list-different"];
    run(
        "prettier/bin/prettier.cjs",
        &[&options[..], &files].concat(),
    );
}
