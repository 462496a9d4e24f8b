//! Where history and the live windows meet: no stretch is left out between them.

use chrono::TimeDelta;
use orgtrail::poll::Settings;
use orgtrail_simulator::{Faults, SimConfig};

use crate::manual_clock::{Plan, World, start};

/// Found by seed 11 of the simulation. History is read back from the first live window as soon as that has begun; when upstream's
/// `Date` then makes it a window of the future, it is given up, and the next one began at its own present.
#[tokio::test]
async fn a_first_live_window_that_is_given_up_leaves_no_hole_before_the_next() {
    let config = SimConfig {
        events: 0,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    };
    let settings = Settings {
        page_size: 1,
        ..Plan::default().settings
    };
    let plan = Plan {
        settings,
        ..Plan::default()
    };
    let mut world = World::new(config, plan).await;
    let account = world.simulator.sources().remove(1);
    let happened = start() - TimeDelta::seconds(119);
    for id in ["one", "two"] {
        let entry = format!(r#"{{"id":"{id}","action":{{"time":"2026-08-03T07:58:01Z"}}}}"#);
        world
            .simulator
            .publish(&account, &entry, happened, happened);
    }
    // Its second page cannot be read, and it stays open; history is read back from where it begins.
    world.simulator.set_faults(Faults {
        garbled: vec![r#""two""#.to_owned()],
        ..Faults::default()
    });
    // Not known until the list of accounts has come.
    let progress = |world: &mut World| world.store().progress(&account).unwrap_or_default();
    while progress(&mut world).backfilled_to.is_none() {
        world.poll().await;
    }
    assert_eq!(progress(&mut world).live_before, None, "it is still open");
    // It is given up.
    world.simulator.set_faults(Faults {
        wrong_date: 1.0,
        date_off: -TimeDelta::hours(1),
        ..Faults::default()
    });
    while progress(&mut world).live_since.is_some() {
        world.poll().await;
    }
    world.clock.advance(TimeDelta::minutes(3));
    world.simulator.set_faults(Faults::default());
    world.settle().await;
    world.invariants();
}
