//! The ledger against a model of what upstream showed and what is held.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::position::WindowKind;

/// Seconds after the model's beginning.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_785_000_000 + seconds, 0).unwrap_or_default()
}

fn window(since: i64, before: i64) -> Window {
    Window::new(at(since), at(before))
}

fn scan(since: i64, before: i64, began: i64, sealed: i64) -> Sealed {
    Sealed::scan(
        WindowKind::Live,
        window(since, before),
        at(began),
        at(sealed),
    )
}

fn sweeps() -> Vec<TimeDelta> {
    [15 * 60, 3_600, 24 * 3_600, 7 * 24 * 3_600]
        .map(TimeDelta::seconds)
        .to_vec()
}

fn told(pieces: &[Sealed]) -> Vec<(i64, i64, i64, i64, i64)> {
    let from = |time: DateTime<Utc>| (time - at(0)).num_seconds();
    pieces
        .iter()
        .map(|piece| {
            (
                from(piece.window.since),
                from(piece.window.before),
                from(piece.first_sealed),
                from(piece.scanned_at),
                piece.waited.num_seconds(),
            )
        })
        .collect()
}

#[test]
fn overlapping_scans_are_first_sealed_by_the_earliest_and_last_scanned_by_the_latest() {
    let scans = [
        scan(0, 100, 100, 101),
        scan(60, 160, 160, 161),
        scan(0, 50, 1_000, 1_005),
    ];
    assert_eq!(
        told(&profile(&scans)),
        [
            (0, 50, 101, 1_000, 899),
            (50, 60, 101, 100, 0),
            (60, 100, 101, 160, 59),
            (100, 160, 161, 160, 0),
        ]
    );
    assert_eq!(
        open_parts(&profile(&scans), window(-10, 200)),
        [window(-10, 0), window(160, 200)]
    );
    assert_eq!(profile(&[]), []);
}

#[test]
fn a_stretch_settles_until_its_last_sweep() {
    let week = 7 * 24 * 3_600;
    let mut scans = vec![scan(0, 60, 60, 61)];
    assert!(!profile(&scans)[0].is_complete(&sweeps()));
    assert!(profile(&scans)[0].is_complete(&[]));
    // One scan after the longest stands for all that were missed.
    scans.push(scan(0, 60, 61 + week - 1, 61 + week + 9));
    assert!(!profile(&scans)[0].is_complete(&sweeps()));
    scans.push(scan(0, 60, 61 + week, 61 + week + 9));
    let proven = profile(&scans);
    assert!(proven[0].is_complete(&sweeps()));
    assert_eq!(sweep_at(&proven, &sweeps(), at(3 * week)), None);
    // A longer sweep in the configuration, and it settles again.
    let longer = [sweeps(), vec![TimeDelta::days(30)]].concat();
    assert!(!proven[0].is_complete(&longer));
    assert_eq!(
        next_sweep(&proven, &longer, 1_000, at(6 * week)),
        Some(window(0, 60))
    );
}

#[test]
fn due_neighbours_are_swept_together_after_they_had_time_to_gather() {
    let scans: Vec<Sealed> = (0..30)
        .map(|n| scan(60 * n, 60 * n + 60, 60 * n + 60, 60 * n + 61))
        .collect();
    let proven = profile(&scans);
    let due = 61 + 15 * 60;
    let by = due + slack(TimeDelta::minutes(15)).num_seconds();
    assert_eq!(
        sweep_at(&proven, &sweeps(), at(1_800)),
        Some(at(61) + TimeDelta::minutes(15) + slack(TimeDelta::minutes(15)))
    );
    assert_eq!(next_sweep(&proven, &sweeps(), 1_000, at(due)), None);
    assert_eq!(
        next_sweep(&proven, &sweeps(), 1_000, at(by + 1)),
        Some(window(0, 120))
    );
    // After a downtime all of it is made good at once.
    assert_eq!(
        next_sweep(&proven, &sweeps(), 1_000, at(100_000)),
        Some(window(0, 1_800))
    );
}

#[test]
fn history_that_was_old_when_it_was_sealed_is_swept_once() {
    let day = 24 * 3_600;
    let old = profile(&[scan(-30 * day, -29 * day, 0, 10)]);
    assert_eq!(old[0].next_sweep(&sweeps()), Some(TimeDelta::days(7)));
    let yesterday = profile(&[scan(-2 * day, -day / 2, 0, 10)]);
    assert_eq!(
        yesterday[0].next_sweep(&sweeps()),
        Some(TimeDelta::hours(24))
    );
}

#[test]
fn what_was_sealed_in_the_future_is_swept_at_once_and_then_as_usual() {
    let years = 50 * 365 * 24 * 3_600;
    let mut scans = vec![scan(0, 60, 60, 61 + years), scan(60, 120, 120, 121)];
    let due = |scans: &[Sealed], now| next_sweep(&profile(scans), &sweeps(), 1_000, at(now));
    assert_eq!(
        sweep_at(&profile(&scans), &sweeps(), at(200)),
        Some(at(200))
    );
    assert_eq!(due(&scans, 200), Some(window(0, 60)));
    let sweep = |began, sealed| {
        let (began, sealed) = (at(began), at(sealed));
        Sealed::scan(WindowKind::Sweep, window(0, 60), began, sealed)
    };
    scans.push(sweep(200, 210));
    let piece = &profile(&scans)[0];
    assert_eq!(
        (piece.kind, piece.first_sealed),
        (WindowKind::Live, at(210))
    );
    assert_eq!(due(&scans, 211), None);
    for age in [15 * 60, 3_600, 24 * 3_600, 7 * 24 * 3_600] {
        assert!(!profile(&scans)[0].is_complete(&sweeps()));
        assert!(due(&scans, 210 + 2 * age).is_some(), "{age}");
        scans.push(sweep(210 + age, 220 + age));
    }
    assert!(profile(&scans)[0].is_complete(&sweeps()));
    // A clock that was set back by less only makes sweeps late.
    assert_eq!(due(&[scan(0, 60, 60, 3_661)], 61), None);
}

#[test]
fn a_sweep_is_cut_where_many_entries_are_expected_and_where_upstream_keeps_no_more() {
    let day = 24 * 3_600;
    let mut crowded = scan(-40 * day, -10 * day, 0, 10);
    crowded.counts.entries = 60_000;
    let found = next_sweep(&profile(&[crowded]), &sweeps(), 1_000, at(30 * day)).unwrap();
    assert_eq!(found, window(-40 * day, -30 * day));

    let long = profile(&[scan(-400 * day, -10 * day, 0, 10)]);
    let found = next_sweep(&long, &sweeps(), 1_000, at(30 * day)).unwrap();
    assert_eq!(found.span(), TimeDelta::days(90));
    let now = at(400 * day);
    let found = next_sweep(&long, &sweeps(), 1_000, now).unwrap();
    assert_eq!(found.since, claimable_since(now));
    assert_eq!(next_sweep(&long, &sweeps(), 1_000, at(1_000 * day)), None);
    assert_eq!(sweep_at(&long, &sweeps(), at(1_000 * day)), None);
}

#[test]
fn a_passed_stretch_is_asked_for_again_at_the_ages_of_the_sweeps_until_it_is_read() {
    let (minute, hour, day) = (60, 3_600, 24 * 3_600);
    // Within a scan, between two scans, and before them: in history, long ago.
    let beside = window(-40 * day, 1 - 40 * day);
    for gap in [window(40, 41), window(100, 110), beside] {
        let mut scans = vec![scan(0, 100, 100, 101), scan(110, 200, 200, 201)];
        let mut passed = vec![pass(gap, 300)];
        let mut asked_at = Vec::new();
        for now in (300..20 * day).step_by(60) {
            let proven = profile(&scans);
            // As the service does now and then.
            passed = fold_passed(&proven, &passed_profile(&passed), |_, _| false);
            let tried = to_sweep(&proven, &passed, |_| false);
            let Some(due) = next_sweep(&tried, &sweeps(), 1_000, at(now)) else {
                continue;
            };
            // All but the gap can be read.
            let hole = Sealed::scan(WindowKind::Live, gap, at(now), at(now));
            for part in open_parts(&[hole], due) {
                scans.push(Sealed::scan(WindowKind::Sweep, part, at(now), at(now + 1)));
            }
            if due.contains(gap.since) {
                asked_at.push(now);
                passed.push(pass(gap, now));
            }
        }
        let ages = [15 * minute, hour, day, 7 * day];
        assert_eq!(asked_at.len(), ages.len(), "{gap}: {asked_at:?}");
        for (at, age) in asked_at.iter().zip(ages) {
            let slack = slack(TimeDelta::seconds(age)).num_seconds();
            let late = at - 300 - age;
            assert!(
                (-200..=slack + minute).contains(&late),
                "{gap}: {asked_at:?}"
            );
        }
    }
}

fn pass(window: Window, second: i64) -> Passed<char> {
    Passed {
        times: Sealed::scan(WindowKind::Sweep, window, at(second), at(second)),
        cause: 'x',
    }
}

#[test]
fn passes_of_a_stretch_become_one_and_what_was_read_since_is_dropped() {
    let caused = |window, second, cause| Passed {
        cause,
        ..pass(window, second)
    };
    // Three seconds that one entry spoils, passed twice; then the reason of one of them changes.
    let mut passes = vec![caused(window(41, 42), 5_000, 'y')];
    for second in 40..43 {
        passes.extend([100, 2_000].map(|at| pass(window(second, second + 1), at + second)));
    }
    let profile_of = |passes: &[Passed<char>]| passed_profile(passes);
    let fold = |proven: &[Sealed], passes: &[Passed<char>]| {
        fold_passed(proven, &profile_of(passes), |_, _| false)
    };
    let folded = fold(&[], &passes);
    let said = folded.iter().map(|one| (one.times.window, one.cause));
    let said: Vec<_> = said.collect();
    let apart = [
        (window(40, 41), 'x'),
        (window(41, 42), 'y'),
        (window(42, 43), 'x'),
    ];
    assert_eq!(said, apart);
    // The first and the last pass of each are kept.
    assert_eq!(folded[0].times.first_sealed, at(140));
    assert_eq!(folded[0].times.scanned_at, at(2_040));
    assert_eq!(folded[0].times.waited, TimeDelta::seconds(1_900));
    assert_eq!(fold(&[], &folded), folded, "nothing changes any more");
    passes.remove(0);
    let folded = fold(&[], &passes);
    assert_eq!(folded.len(), 1);
    assert_eq!(folded[0].times.window, window(40, 43));
    assert_eq!(gaps(&[], &folded), [(window(40, 43), 'x')]);
    // A scan from before the last pass has not read it; one from after it has.
    let scanned = |since, before, began| profile(&[scan(since, before, began, began + 1)]);
    assert_eq!(fold(&scanned(0, 100, 2_000), &passes), folded);
    let read = scanned(0, 42, 2_050);
    let left = fold(&read, &passes);
    assert_eq!(gaps(&read, &left), [(window(42, 43), 'x')]);
    assert_eq!(left.len(), 1);
    assert_eq!(fold(&scanned(0, 100, 2_050), &passes), []);
    let kept = fold_passed(&scanned(0, 100, 2_050), &profile_of(&passes), |_, _| true);
    assert_eq!(kept.len(), 1);
}

#[test]
fn a_ledger_with_very_many_passed_stretches_is_read_in_linear_time() {
    let begun = std::time::Instant::now();
    let (mut scans, mut passed) = (Vec::new(), Vec::new());
    for n in 0..30_000 {
        let since = n * 100;
        scans.push(scan(since, since + 99, since + 100, since + 101));
        passed.push(pass(window(since + 99, since + 100), since + 102));
    }
    let (proven, passed) = (profile(&scans), passed_profile(&passed));
    assert_eq!(gaps(&proven, &passed).len(), 30_000);
    assert_eq!(fold_passed(&proven, &passed, |_, _| false).len(), 30_000);
    assert_eq!(to_sweep(&proven, &passed, |_| false).len(), 60_000);
    // Each against each would take minutes.
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_was_proven_before_a_stretch_was_passed_stays_proven_and_is_no_more_complete() {
    let week = 7 * 24 * 3_600;
    let proven = profile(&[scan(0, 100, 100, 101)]);
    let passed = [pass(window(40, 41), 101 + 2 * week)];
    let tried = to_sweep(&proven, &passed, |_| false);
    assert_eq!(open_parts(&proven, window(0, 100)), []);
    assert!(!proven[0].is_complete(&sweeps()));
    // Nothing is due of the second, and the sweep of what is beside it.
    let due = next_sweep(&tried, &sweeps(), 1_000, at(101 + 3 * week)).unwrap();
    assert!(!due.contains(at(40)), "{due}");
    // Read at last, it has its own sweeps from then on.
    let read = 101 + 3 * week;
    let healed = profile(&[scan(0, 40, 100, 101), scan(40, 41, read, read + 1)]);
    let tried = to_sweep(&healed, &passed, |_| false);
    let due = next_sweep(&tried, &sweeps(), 1_000, at(read + 2 * week)).unwrap();
    assert!(due.contains(at(40)), "{due}");
}

/// Years of live windows and sweeps, folded as the service does, and the longest ledger met.
#[test]
fn the_ledger_stays_short_over_years() {
    const HOUR: i64 = 3_600;
    let (sweeps, years) = (sweeps(), 2);
    let mut ledger: Vec<Sealed> = Vec::new();
    let mut longest_settling = 0;
    for hour in (3..years * 365 * 24).step_by(3) {
        let now = hour * HOUR;
        ledger.push(scan(now - 3 * HOUR - 120, now, now, now + 1));
        let mut proven = profile(&ledger);
        while let Some(due) = next_sweep(&proven, &sweeps, 1_000, at(now + 2)) {
            ledger.push(Sealed::scan(
                WindowKind::Sweep,
                due,
                at(now + 2),
                at(now + 3),
            ));
            proven = profile(&ledger);
        }
        if ledger.len() > 200 || hour % 1_000 == 0 {
            let settled_before = at(now) - TimeDelta::days(8);
            ledger = fold(&ledger, &sweeps);
            let settling = ledger
                .iter()
                .filter(|one| one.window.before > settled_before)
                .count();
            longest_settling = longest_settling.max(settling);
        }
    }
    let folded = fold(&ledger, &sweeps);
    let complete = folded.iter().filter(|one| one.is_complete(&sweeps)).count();
    assert!(
        complete <= 53 * years as usize,
        "{complete} merged windows in {years} years"
    );
    assert!(
        longest_settling <= 100,
        "{longest_settling} settling windows"
    );
    // Nothing was lost on the way, and nothing is due that was done.
    let proven = profile(&folded);
    let end = years * 365 * 24 * HOUR - 3 * HOUR;
    assert_eq!(open_parts(&proven, window(-120, end)), []);
    assert!(proven[0].is_complete(&sweeps));
}

/// What happens in the model.
#[derive(Debug, Clone)]
enum Step {
    /// An entry of that second can be read from so much later on.
    Entry { back: i64, late: i64 },
    /// A scan of a stretch, which a crash may end before its seal; the entries it has read until then are held.
    Scan {
        back: i64,
        span: i64,
        lasts: i64,
        read: u8,
        is_sealed: bool,
    },
    /// Old windows are merged, those of the last so many scans excepted.
    Fold { apart: usize },
    /// Time passes.
    Wait { seconds: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entry = (0..400_i64, prop_oneof![Just(0), 0..30_i64, 0..3_000_i64])
        .prop_map(|(back, late)| Step::Entry { back, late });
    let scan = (
        0..400_i64,
        1..400_i64,
        0..20_i64,
        any::<u8>(),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(back, span, lasts, read, is_sealed)| Step::Scan {
            back,
            span,
            lasts,
            read,
            is_sealed,
        });
    let fold = (0..5_usize).prop_map(|apart| Step::Fold { apart });
    let wait = prop_oneof![0..60_i64, 0..1_500_i64].prop_map(|seconds| Step::Wait { seconds });
    prop::collection::vec(
        prop_oneof![3 => entry, 4 => scan, 2 => fold, 3 => wait],
        1..120,
    )
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    /// When each entry happened, and from when on it can be read.
    entries: Vec<(i64, i64)>,
    held: BTreeSet<usize>,
    ledger: Vec<Sealed>,
    /// Every scan that was sealed, as it was: what the ledger began with.
    facts: Vec<Sealed>,
}

impl Model {
    fn step(&mut self, step: &Step, sweeps: &[TimeDelta]) {
        match *step {
            Step::Entry { back, late } => self.entries.push((self.now - back, self.now + late)),
            Step::Wait { seconds } => self.now += seconds,
            Step::Fold { apart } => {
                let recent = self
                    .ledger
                    .split_off(self.ledger.len().saturating_sub(apart));
                self.ledger = fold(&self.ledger, sweeps);
                self.ledger.extend(recent);
            }
            Step::Scan {
                back,
                span,
                lasts,
                read,
                is_sealed,
            } => {
                let (since, before) = (self.now - back - span, self.now - back);
                let began = self.now;
                // A page may be read at any moment of the scan, and shows at least what could be read at its beginning.
                let shown: Vec<usize> = (0..self.entries.len())
                    .filter(|n| {
                        (since..before).contains(&self.entries[*n].0) && self.entries[*n].1 <= began
                    })
                    .collect();
                // Later than anything that could be read when it began.
                self.now += lasts + 1;
                let taken = if is_sealed {
                    shown.len()
                } else {
                    shown.len() * usize::from(read) / 256
                };
                self.held.extend(&shown[..taken]);
                if is_sealed {
                    let fact = Sealed::scan(
                        WindowKind::Live,
                        window(since, before),
                        at(began),
                        at(self.now),
                    );
                    self.ledger.push(fact.clone());
                    self.facts.push(fact);
                }
            }
        }
    }

    /// The claims hold: what could be read at `scanned_at` is held, and no claim is stronger than the facts are.
    fn check(&self, sweeps: &[TimeDelta]) -> Result<(), TestCaseError> {
        let truth = profile(&self.facts);
        for piece in profile(&self.ledger) {
            for (n, (happened, readable)) in self.entries.iter().enumerate() {
                let is_in =
                    piece.window.since <= at(*happened) && at(*happened) < piece.window.before;
                let is_claimed = is_in && at(*readable) <= piece.scanned_at;
                prop_assert!(
                    !is_claimed || self.held.contains(&n),
                    "entry {n} is not held, and {piece:?} claims it"
                );
            }
            prop_assert_eq!(open_parts(&truth, piece.window), []);
            let facts = truth.iter().filter(|fact| {
                fact.window.since < piece.window.before && fact.window.before > piece.window.since
            });
            for fact in facts {
                prop_assert!(piece.scanned_at <= fact.scanned_at);
                prop_assert!(piece.first_sealed >= fact.first_sealed);
                prop_assert!(piece.waited <= fact.waited);
                prop_assert!(!piece.is_complete(sweeps) || fact.is_complete(sweeps));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nothing_is_claimed_that_is_not_held(steps in steps()) {
        let sweeps = [60, 600].map(TimeDelta::seconds);
        let mut model = Model::default();
        for step in &steps {
            model.step(step, &sweeps);
            model.check(&sweeps)?;
        }
        // And nothing that was proven is forgotten.
        let (proven, truth) = (profile(&model.ledger), profile(&model.facts));
        for piece in truth {
            prop_assert_eq!(open_parts(&proven, piece.window), []);
        }
    }
}
