//! Each kind of question, many times over with what the log holds, searching alone and with the events' bodies.

#[path = "../corpus/kinds.rs"]
mod kinds;

use std::path::Path;
use std::time::Instant;

use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{Ask, Scope, View};
use orgtrail::search::{self, Question};
use orgtrail::store::Store;

use self::kinds::{Kind, LIMIT, Wanted, kinds, now};
use crate::{Figures, days_before_end, percentile};

pub(crate) fn ask(dir: &Path) -> Figures {
    let store = Store::open(dir, Failpoints::default()).unwrap();
    let (index, _) = Index::open(dir, store.log_id(), store.head(), Failpoints::default()).unwrap();
    let view = &View::from(index.snapshot());
    let caller = &view.caller(Scope::everything(), None);
    let upto = view.seq();
    let mut figures = Figures::new();
    for kind in &kinds(&store, days_before_end(0)) {
        let name = kind.name;
        match &kind.wanted {
            Wanted::Newest => {
                time(&mut figures, &format!("{name}: search"), kind, |question| {
                    let Question {
                        query,
                        range,
                        order,
                    } = question;
                    let ask = Ask {
                        query,
                        range: *range,
                        caller,
                    };
                    view.hits(&ask, *order, None, upto, LIMIT + 1).unwrap();
                });
                time(&mut figures, name, kind, |question| {
                    search::page(&store, view, caller, question, now(), None, LIMIT).unwrap();
                });
            }
            Wanted::Count => time(&mut figures, name, kind, |question| {
                let question = question.prepare(&store, view, caller).unwrap();
                search::count(view, caller, &question).unwrap();
            }),
            Wanted::Tally(wanted) => time(&mut figures, name, kind, |question| {
                let question = question.prepare(&store, view, caller).unwrap();
                search::tally(&store, view, caller, &question, upto, wanted).unwrap();
            }),
        }
    }
    figures
}

fn time(figures: &mut Figures, name: &str, kind: &Kind, ask: impl Fn(&Question)) {
    let mut took: Vec<f64> = kind
        .questions
        .iter()
        .map(|question| {
            let begun = Instant::now();
            ask(question);
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    figures.insert(format!("{name} p50"), percentile(&mut took, 0.5));
    figures.insert(format!("{name} p99"), percentile(&mut took, 0.99));
}
