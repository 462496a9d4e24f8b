//! Many seeds, many faults, and one set of invariants at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use fastrand::Rng;
use orgtrail::attest;
use orgtrail::durable::{Failpoints, Step, StepFailure};
use orgtrail::engine::tantivy;
use orgtrail::poll::{BackfillSince, Overlap, Settings};
use orgtrail::position::{Source, SourceKind};
use orgtrail::store;
use orgtrail_simulator::{Bounds, CursorForm, Faults, SimConfig};

use crate::manual_clock::{Plan, World};
use crate::{seeds, skip_slow_tests, tell};

/// How often each step was broken, and how.
type InjectedFailures = Arc<Mutex<BTreeMap<(String, String), u32>>>;

/// The durable steps of all modules; `tidy` holds that none is left out.
pub(crate) fn all_steps() -> Vec<Step> {
    [store::steps::ALL, tantivy::steps::ALL, attest::steps::ALL].concat()
}

/// Breaks each step now and then, while `armed`.
fn failpoints(seed: u64, armed: &Arc<Mutex<bool>>, broken: &InjectedFailures) -> Failpoints {
    let chance = Mutex::new(Rng::with_seed(seed));
    let (armed, broken) = (Arc::clone(armed), Arc::clone(broken));
    Failpoints::new(move |step: Step| {
        let mut chance = chance.lock().unwrap();
        // What is rare is broken more often, so that every seed has its share of everything.
        let share = match step {
            store::steps::SAVE_DICTIONARY => 0.7,
            store::steps::RESTART_WINDOW => 0.5,
            store::steps::SAVE_QUOTA | store::steps::SAVE_SOURCES | store::steps::SAVE_MEMBERS => {
                0.25
            }
            store::steps::FOLD_LEDGER => 0.3,
            tantivy::steps::MAKE_EMPTY => 0.3,
            store::steps::BEGIN_WINDOW | tantivy::steps::COMMIT => 0.1,
            store::steps::APPEND_PAGE => 0.05,
            store::steps::SAVE_SCRUB => 0.3,
            // Nothing is imported here: see `import`. A repair comes when all is over: see `damage`.
            store::steps::APPEND_IMPORT | store::steps::REPAIR_BODY | tantivy::steps::SWAP => 0.0,
            // Nothing is restored here: see `backup`.
            store::steps::RENAME_LOG => 0.0,
            // No follower of the service keeps its checkpoint in the log yet: see `src/follow.rs`.
            store::steps::ADVANCE_FOLLOWER => 0.0,
            // No rules are used here: see `detect`.
            store::steps::USE_RULES
            | store::steps::JUDGE
            | store::steps::DROP_OLD_RULE
            | store::steps::UPDATE_ALERT => 0.0,
            // Alerts have no destination here: see `deliver`.
            store::steps::SAVE_DESTINATIONS
            | store::steps::ENQUEUE_MESSAGE
            | store::steps::BEGIN_DELIVERY
            | store::steps::SAVE_DELIVERY
            | store::steps::REPLAY
            | store::steps::FORGET_DELIVERIES => 0.0,
            // Nothing is erased here: see `retention`.
            store::steps::CREATE_HOLD
            | store::steps::RELEASE_HOLD
            | store::steps::ERASE
            | store::steps::FORGET_ERASED
            | store::steps::RECOMPRESS
            | store::steps::DROP_DICTIONARY
            | store::steps::COMPACT
            | store::steps::SHRINK
            | store::steps::REWRITE => 0.0,
            step => panic!("no share for {step:?}: say how often it is broken"),
        };
        if !*armed.lock().unwrap() || chance.f64() >= share {
            return None;
        }
        let how = if chance.bool() {
            StepFailure::Before
        } else {
            StepFailure::After
        };
        *broken
            .lock()
            .unwrap()
            .entry((format!("{step:?}"), format!("{how:?}")))
            .or_default() += 1;
        Some(how)
    })
}

fn faults(rng: &mut Rng) -> Faults {
    let mut share = |most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
    Faults {
        rate_limited: share(0.02),
        retry_after_seconds: 45,
        retry_after_as_date: 0.5,
        server_error: share(0.1),
        cut_body: share(0.1),
        expired_cursor: share(0.1),
        short_page: share(0.3),
        repeat_across_pages: share(0.3),
        success_false: share(0.05),
        cursor_loop: share(0.05),
        empty_with_cursor: share(0.5),
        list_forbidden: share(0.3),
        list_not_found: share(0.2),
        list_null: share(0.3),
        list_cut: share(0.3),
        list_shrunk: share(0.2),
        list_without_total: share(0.3),
        empty_page: share(0.3),
        no_cursor: share(0.3),
        incomplete: share(0.05),
        no_date: share(0.3),
        echo_credential: share(0.05),
        late: share(0.3),
        // Later than any overlap: for sweeps to find.
        max_lateness: TimeDelta::minutes(40),
        seed: rng.u64(..),
        ..Faults::default()
    }
}

/// What befalls a seed's world besides broken steps and single bad answers. Each of these may cost what it befalls, and
/// nothing else; once it is over, all that upstream has published is held once and found once.
#[derive(Debug)]
struct Trouble {
    /// Bits of stored bodies are flipped on disk, while it runs and while it is down. The start, the index, pages and exports go
    /// on; a scrub puts back every body.
    damage: bool,
    /// For some time, answers have a `Date` that is wrong by so much. Nothing is claimed that upstream had not reached.
    date_off: Option<TimeDelta>,
    /// An account that two credentials follow. One of them reads its log, until the next start.
    shared: Option<Source>,
    /// A source whose calls are always answered with that status. The other sources are not called later for it.
    failing: Option<(Source, u16)>,
}

impl Trouble {
    /// Drawn apart, so that the rest of a seed's history stays. A machine whose clock is ahead cannot tell when upstream's is, too.
    fn of(seed: u64, sources: &[Source], clock_is_set: bool) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x7072_6f62);
        let damage = rng.bool();
        let off = [TimeDelta::hours(1), TimeDelta::days(18_262)][rng.usize(..2)];
        let off = if clock_is_set || rng.bool() {
            -off
        } else {
            off
        };
        let accounts: Vec<&Source> = sources
            .iter()
            .filter(|source| source.kind() == SourceKind::Account)
            .collect();
        let shared = accounts[rng.usize(..accounts.len())].clone();
        let failing = sources[rng.usize(..sources.len())].clone();
        let status = [500, 502, 503, 504][rng.usize(..4)];
        Self {
            damage,
            date_off: rng.bool().then_some(off),
            shared: rng.bool().then_some(shared),
            failing: rng.bool().then_some((failing, status)),
        }
    }

    /// What always fails, as the simulator's faults say it.
    fn statuses(&self) -> Vec<(Source, u16)> {
        self.failing.iter().cloned().collect()
    }
}

/// An entry of any sort at the present, as hostile as upstream may be.
fn publish(world: &World, rng: &mut Rng, without_ids: bool) {
    let sources = world.simulator.sources();
    let source = &sources[rng.usize(..sources.len())];
    // Some happened before, by more than any overlap, and others can be read only later: both are late.
    let mut some_time = |share| {
        let seconds = if rng.u8(..4) < share {
            rng.i64(0..2_400)
        } else {
            0
        };
        TimeDelta::seconds(seconds)
    };
    let now = world.clock.now();
    let (happened, visible_at) = match some_time(2) {
        ago if ago.is_zero() => (now, now + some_time(1)),
        ago => (now - ago, now),
    };
    let time = happened.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (id, n) = (rng.u64(..), rng.u8(..));
    let texts = match rng.u8(..6) {
        0 => vec![format!(
            r#"{{"id":"{id:x}","action":{{"time":"{time}","type":"create"}},"n":{n}}}"#
        )],
        1 => [1, 2]
            .map(|n| format!(r#"{{"id":"{id:x}", "action":{{"time":"{time}"}},"n":{n}.0}}"#))
            .to_vec(),
        2 => vec![format!(
            r#"{{"id":"{id:x}","action":"create","deep":{}{}}}"#,
            "[".repeat(300),
            "]".repeat(300)
        )],
        3 => vec![format!(
            r#"{{"id":"{id:x}","id":"{id:x}","action":{{"time":"soon\u0007"}},"t":"\ud800"}}"#
        )],
        4 if without_ids => {
            vec![format!(r#"{{"action":{{"time":"{time}"}},"n":{n}}}"#); usize::from(n % 3) + 1]
        }
        5 if without_ids => vec![format!(r#"["not an object", {id}, "株式会社"]"#)],
        _ => vec![format!(
            r#"{{"id":"{id:x}","action":{{"time":"{time}"}},"text":"{}"}}"#,
            "é".repeat(usize::from(n) * 20)
        )],
    };
    for text in texts {
        world.simulator.publish(source, &text, happened, visible_at);
    }
}

/// Gives the statuses that upstream answered with.
async fn run(seed: u64, broken: &InjectedFailures) -> BTreeSet<u16> {
    tell(format!("seed {seed}; again with ORGTRAIL_SEED={seed}"));
    let told = |world: &mut World, step| tell(format!("{} {step}", world.clock.now()));
    let mut world = live(seed, broken, told).await;
    world.invariants();
    world.claims_hold(&mut Rng::with_seed(seed));
    world
        .simulator
        .requests()
        .into_iter()
        .map(|request| request.status)
        .collect()
}

/// A world after everything that follows from a seed, settled. `watch` is shown it after each step, with the step's name.
async fn live(
    seed: u64,
    broken: &InjectedFailures,
    mut watch: impl FnMut(&mut World, String),
) -> World {
    let mut rng = Rng::with_seed(seed);
    let armed = Arc::new(Mutex::new(true));
    let events = rng.u64(100..900);
    // Some have enough for a dictionary to be trained while steps break.
    let events = if seed.is_multiple_of(10) {
        6_000
    } else {
        events
    };
    let config = SimConfig {
        seed,
        events,
        organizations: rng.u32(1..3),
        accounts: rng.u32(1..3),
        days: 3,
        live_per_minute: 0.2,
        max_limit: rng.usize(10..200),
        cursor_form: [CursorForm::Documented, CursorForm::After, CursorForm::Both][rng.usize(..3)],
        bounds: [Bounds::HalfOpen, Bounds::Closed, Bounds::Open][rng.usize(..3)],
        ..SimConfig::default()
    };
    let mut plan = Plan {
        settings: Settings {
            overlap: match rng.i64(0..10) {
                0 => Overlap::Auto,
                minutes => Overlap::Span(TimeDelta::minutes(minutes - 1)),
            },
            sweeps: [TimeDelta::minutes(rng.i64(1..20)), TimeDelta::minutes(45)].into(),
            backfill_since: BackfillSince::Span(TimeDelta::days(4)),
            page_size: rng.u32(10..400),
            ..Plan::default().settings
        },
        failpoints: failpoints(rng.u64(..), &armed, broken),
        ..Plan::default()
    };
    let faults = faults(&mut rng);
    // An entry without an id that a page repeats cannot be told from its twin.
    let without_ids = faults.repeat_across_pages == 0.0;
    let mut world = World::new(config, plan.clone()).await;
    let sources = world.simulator.sources();
    // In every second world one log can never be read, until the faults end.
    let forbidden = &sources[rng.usize(..sources.len())];
    let forbidden = if rng.bool() {
        vec![forbidden.clone()]
    } else {
        Vec::new()
    };
    // The machine's clock is set now and then, forward and back.
    let clock_is_set = rng.bool();
    let trouble = Trouble::of(seed, &sources, clock_is_set);
    tell(format!("{trouble:?}"));
    plan.second = trouble.shared.iter().cloned().collect();
    // The first credential finds it in a list or is told of it.
    plan.also = plan.second.clone();
    plan.also.truncate(usize::from(seed.is_multiple_of(2)));
    world.plan = plan;
    let faults = Faults {
        forbidden,
        statuses: trouble.statuses(),
        ..faults
    };
    world.simulator.set_faults(faults.clone());
    let mut chance = Rng::with_seed(!seed);
    let mut ahead = TimeDelta::zero();
    for _ in 0..rng.u32(150..400) {
        let turn = world.poll().await;
        watch(&mut world, format!("{turn:?}"));
        // Scans take time.
        world
            .clock
            .advance(TimeDelta::milliseconds(rng.i64(0..3_000)));
        if rng.u8(..10) < 3 {
            publish(&world, &mut rng, without_ids);
        }
        if rng.bool() {
            let has_more = world.follow();
            watch(&mut world, format!("followed, has_more={has_more}"));
        }
        if rng.u8(..30) == 0 {
            world.crash();
            watch(&mut world, "crashed".to_owned());
        }
        if clock_is_set && rng.u8(..40) == 0 {
            let next = if rng.bool() {
                TimeDelta::zero()
            } else {
                TimeDelta::seconds(rng.i64(-20_000..20_000))
            };
            world.local_clock.jump(next - ahead);
            ahead = next;
            watch(&mut world, format!("the clock is {ahead} ahead"));
        }
        if let Some(step) = befall(&mut world, &trouble, &faults, &mut chance) {
            watch(&mut world, step);
        }
        if rng.u8(..60) == 0 {
            world.claims_hold(&mut rng);
        }
    }
    *armed.lock().unwrap() = false;
    world.simulator.set_faults(Faults::default());
    world.local_clock.jump(-ahead);
    // The repair has a credential of its own.
    if let Some(shared) = &trouble.shared {
        world.one_credential_reads(shared);
    }
    if trouble.damage {
        world.repair().await;
    }
    world.settle().await;
    if let Some((failing, _)) = &trouble.failing {
        world.simulator.set_faults(Faults {
            statuses: trouble.statuses(),
            ..Faults::default()
        });
        world.others_are_called(failing).await;
        world.simulator.set_faults(Faults::default());
        world.settle().await;
    }
    world
}

/// One step of a seed's trouble, now and then; gives its name.
fn befall(
    world: &mut World,
    trouble: &Trouble,
    faults: &Faults,
    chance: &mut Rng,
) -> Option<String> {
    match (chance.u8(..40), trouble.date_off) {
        (0 | 1, Some(date_off)) => {
            // None, some or all.
            let wrong_date = [0.0, 0.3, 1.0][chance.usize(..3)];
            world.simulator.set_faults(Faults {
                wrong_date,
                date_off,
                ..faults.clone()
            });
            Some(format!("of all dates, {wrong_date} are wrong"))
        }
        (2..=4, _) if trouble.damage => {
            if chance.bool() {
                world.crash();
            }
            let damaged = world.damage(chance);
            Some(format!("damaged {damaged:?}"))
        }
        (5, _) if trouble.damage => {
            let damaged = world.reads_everything();
            Some(format!("read, {damaged} damaged"))
        }
        (6 | 7, _) => {
            world.scrub();
            Some("scrubbed".to_owned())
        }
        // Few sources of a seed have so many windows that their polling folds them.
        (8 | 9, _) => Some(format!("folded {:?}", world.fold_ledger(chance))),
        _ => None,
    }
}

/// Two runs of one seed, compared line by line: each step with the time and how far log and index were, each request that
/// upstream saw, each row of the log, the ledger, and answers.
#[tokio::test]
async fn one_seed_run_twice_gives_the_same_history_to_the_byte() {
    for seed in seeds(2, 20) {
        tell(format!("seed {seed}; again with ORGTRAIL_SEED={seed}"));
        let mut histories = Vec::new();
        for _ in 0..2 {
            let mut steps = String::new();
            let mut world = live(seed, &InjectedFailures::default(), |world, step| {
                let (head, searchable) = world.reached();
                let now = world.clock.now();
                steps += &format!("{now} {step}: head {head}, searchable {searchable}\n");
            })
            .await;
            histories.push(steps + &world.history());
        }
        let [first, second] = [&histories[0], &histories[1]];
        assert!(first.lines().count() > 500, "there is nothing to compare");
        let differs = first.lines().zip(second.lines()).enumerate();
        let differs = differs.into_iter().find(|(_, (a, b))| a != b);
        if let Some((line, (a, b))) = differs {
            panic!("seed {seed}, line {line}: the first run has\n  {a}\nand the second\n  {b}");
        }
        assert_eq!(
            first.len(),
            second.len(),
            "seed {seed}: one history goes on"
        );
    }
}

#[tokio::test]
async fn every_entry_is_held_exactly_once_whatever_breaks() {
    let broken = InjectedFailures::default();
    let seeds = seeds(8, 200);
    let mut statuses = BTreeSet::new();
    for seed in &seeds {
        statuses.extend(run(*seed, &broken).await);
    }
    // With fewer seeds it is chance whether the rare steps are broken both ways.
    if !skip_slow_tests() && seeds.len() > 1 {
        let broken = broken.lock().unwrap();
        tell(format!("steps broken over all seeds: {broken:#?}"));
        for status in [200, 400, 429, 500, 502, 503] {
            assert!(
                statuses.contains(&status),
                "no seed saw a {status}: the test does not test it"
            );
        }
        let elsewhere = [
            store::steps::APPEND_IMPORT,
            store::steps::REPAIR_BODY,
            store::steps::RENAME_LOG,
            store::steps::ADVANCE_FOLLOWER,
            store::steps::USE_RULES,
            store::steps::JUDGE,
            store::steps::DROP_OLD_RULE,
            store::steps::UPDATE_ALERT,
            store::steps::SAVE_DESTINATIONS,
            store::steps::ENQUEUE_MESSAGE,
            store::steps::BEGIN_DELIVERY,
            store::steps::SAVE_DELIVERY,
            store::steps::REPLAY,
            store::steps::FORGET_DELIVERIES,
            store::steps::SHOW_CHECKPOINT,
            store::steps::SAVE_COSIGNED,
            store::steps::ADD_STATEMENTS,
            store::steps::SAVE_NOTICES,
            store::steps::CREATE_HOLD,
            store::steps::RELEASE_HOLD,
            store::steps::ERASE,
            store::steps::FORGET_ERASED,
            store::steps::RECOMPRESS,
            store::steps::DROP_DICTIONARY,
            store::steps::COMPACT,
            store::steps::SHRINK,
            store::steps::REWRITE,
            tantivy::steps::SWAP,
        ];
        let is_elsewhere =
            |step: &Step| elsewhere.contains(step) || attest::steps::ALL.contains(step);
        let steps = all_steps().into_iter();
        for step in steps.filter(|step| !is_elsewhere(step)) {
            for how in [StepFailure::Before, StepFailure::After] {
                let key = (format!("{step:?}"), format!("{how:?}"));
                assert!(
                    broken.contains_key(&key),
                    "no seed broke {key:?}: the test does not test it"
                );
            }
        }
    }
}
