//! Each kind of question, many times over with what the log holds, searching alone and with the events' bodies.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use orgtrail::durable::Breaker;
use orgtrail::index::{Index, Order, Range, Snapshot};
use orgtrail::position::Seq;
use orgtrail::query::parse;
use orgtrail::search::{self, Facets, Question, Scale, Tally, parse_zone};
use orgtrail::store::Store;
use serde_json::Value;

use crate::{Figures, days_before_end, percentile};

/// How often each kind is asked.
const TIMES: usize = 100;

/// How many events a page has.
const LIMIT: usize = 50;

/// Values as they occur in the log, some at random and the most common ones.
struct Sample {
    emails: Vec<String>,
    words: Vec<String>,
    common_email: String,
    rng: Rng,
}

impl Sample {
    fn take(store: &Store) -> Self {
        let mut rng = Rng::with_seed(1);
        let seqs: Vec<Seq> = (0..2_000)
            .map(|_| Seq(rng.u64(1..=store.head().0)))
            .collect();
        let mut emails: HashMap<String, usize> = HashMap::new();
        let mut words = Vec::new();
        for event in store.events(&seqs, usize::MAX).unwrap() {
            let entry: Value = serde_json::from_str(event.entry.get()).unwrap();
            if let Some(email) = entry["actor"]["email"].as_str()
                && !email.is_empty()
            {
                *emails.entry(email.to_owned()).or_default() += 1;
            }
            words.extend(
                entry["resource"]["id"]
                    .as_str()
                    .filter(|id| id.chars().all(char::is_alphanumeric) && !id.is_empty())
                    .map(ToOwned::to_owned),
            );
        }
        let common_email = emails
            .iter()
            .max_by_key(|(email, count)| (**count, email.as_str()))
            .map(|(email, _)| email.clone())
            .unwrap();
        let mut emails: Vec<String> = emails.into_keys().collect();
        emails.sort();
        Self {
            emails,
            words,
            common_email,
            rng,
        }
    }

    fn email(&mut self) -> String {
        self.rng.choice(&self.emails).unwrap().clone()
    }

    fn id(&mut self) -> String {
        self.rng.choice(&self.words).unwrap().clone()
    }
}

struct Asking {
    store: Store,
    index: Index,
    figures: Figures,
}

pub(crate) fn ask(dir: &Path) -> Figures {
    let store = Store::open(dir, Breaker::default()).unwrap();
    let (index, _) = Index::open(dir, store.log_id(), store.head(), Breaker::default()).unwrap();
    let mut sample = Sample::take(&store);
    let mut asking = Asking {
        store,
        index,
        figures: Figures::new(),
    };
    let week = |rng: &mut Rng| {
        let days = rng.i64(8..500);
        Range {
            since_us: Some(days_before_end(days).timestamp_micros()),
            before_us: Some(days_before_end(days - 7).timestamp_micros()),
        }
    };
    let whole = Range::default();
    let common = format!("actor.email:{}", sample.common_email);
    asking.list("actor", |_| {
        (format!("actor.email:{}", sample.email()), whole)
    });
    asking.list("common actor", |_| (common.clone(), whole));
    let mut rng = Rng::with_seed(2);
    asking.list("actor, 7 days", |_| (common.clone(), week(&mut rng)));
    asking.list("action and result", |i| {
        let action = ["create", "update", "delete"][i % 3];
        (format!("action.type:{action} action.result:success"), whole)
    });
    asking.list("rare word", |_| (sample.id(), whole));
    asking.list("common word", |i| {
        (["zones", "dns", "record", "true"][i % 4].into(), whole)
    });
    asking.list("phrase of common words", |i| {
        (
            ["\"dns records\"", "\"update dns\"", "\"example com\""][i % 3].into(),
            whole,
        )
    });
    asking.list("everything", |_| (String::new(), whole));
    asking.list("everything, 7 days", |_| (String::new(), week(&mut rng)));
    asking.list("two common, never together", |_| {
        ("action.type:delete action.description:login".into(), whole)
    });
    asking.list("phrase that never stands", |_| {
        ("\"records dns zones\"".into(), whole)
    });
    asking.count("count of an actor", |_| (common.clone(), whole));
    asking.count("count of two words", |_| ("dns record".into(), whole));
    asking.count("count of two fields", |_| {
        ("action.type:create action.result:success".into(), whole)
    });
    let four = [
        "actor.email",
        "action.type",
        "resource.product",
        "actor.ip_address",
    ];
    let rare = |sample: &mut Sample| format!("actor.email:{}", sample.email());
    let created = "action.type:create action.result:success";
    asking.facets("four facets of everything", &four, |_| {
        (String::new(), whole)
    });
    asking.facets("four facets, 7 days", &four, |_| {
        (String::new(), week(&mut rng))
    });
    asking.facets("four facets of an actor", &four, |_| {
        (rare(&mut sample), whole)
    });
    asking.facets("four facets of a common actor", &four, |_| {
        (common.clone(), whole)
    });
    asking.facets("four facets of two fields", &four, |_| {
        (created.into(), whole)
    });
    asking.facets("resources of an actor", &["resource.id"], |_| {
        (rare(&mut sample), whole)
    });
    asking.facets("resources of two fields", &["resource.id"], |_| {
        (created.into(), whole)
    });
    asking.facets(
        "values of a nested path",
        &["resource.request.name"],
        |_| (common.clone(), whole),
    );
    asking.histogram("histogram of everything", |_| (String::new(), whole));
    asking.histogram("histogram of a common actor", |_| (common.clone(), whole));
    asking.histogram("histogram of two fields", |_| (created.into(), whole));
    asking.figures
}

impl Asking {
    fn facets(
        &mut self,
        name: &str,
        fields: &[&str],
        question: impl FnMut(usize) -> (String, Range),
    ) {
        let wanted = Tally {
            facets: Some(Facets {
                fields: fields.iter().map(|field| (*field).to_owned()).collect(),
                size: 10,
                parameter: "field",
            }),
            ..Tally::default()
        };
        self.tally(name, &wanted, question);
    }

    fn histogram(&mut self, name: &str, question: impl FnMut(usize) -> (String, Range)) {
        let scale = Scale::parse("auto", parse_zone("Europe/Berlin").unwrap(), "interval");
        let wanted = Tally {
            histogram: Some(scale.unwrap()),
            ..Tally::default()
        };
        self.tally(name, &wanted, question);
    }

    fn tally(
        &mut self,
        name: &str,
        wanted: &Tally,
        mut question: impl FnMut(usize) -> (String, Range),
    ) {
        let snapshot: &Snapshot = &self.index.snapshot();
        let questions: Vec<Question> = (0..TIMES).map(|i| read(question(i))).collect();
        self.time(name, &questions, |store, question| {
            search::tally(store, snapshot, question, snapshot.seq(), wanted).unwrap();
        });
    }

    fn list(&mut self, name: &str, mut question: impl FnMut(usize) -> (String, Range)) {
        let snapshot = self.index.snapshot();
        let questions: Vec<Question> = (0..TIMES).map(|i| read(question(i))).collect();
        self.time(&format!("{name}: search"), &questions, |_, question| {
            let upto = snapshot.seq();
            snapshot
                .hits(
                    &question.query,
                    question.range,
                    question.order,
                    None,
                    upto,
                    LIMIT + 1,
                )
                .unwrap();
        });
        self.time(name, &questions, |store, question| {
            search::page(store, &snapshot, question, now(), None, LIMIT).unwrap();
        });
    }

    fn count(&mut self, name: &str, mut question: impl FnMut(usize) -> (String, Range)) {
        let snapshot: &Snapshot = &self.index.snapshot();
        let questions: Vec<Question> = (0..TIMES).map(|i| read(question(i))).collect();
        self.time(name, &questions, |_, question| {
            search::count(snapshot, question).unwrap();
        });
    }

    fn time(&mut self, name: &str, questions: &[Question], ask: impl Fn(&Store, &Question)) {
        let mut took: Vec<f64> = questions
            .iter()
            .map(|question| {
                let begun = Instant::now();
                ask(&self.store, question);
                begun.elapsed().as_secs_f64() * 1_000.0
            })
            .collect();
        self.figures
            .insert(format!("{name} p50"), percentile(&mut took, 0.5));
        self.figures
            .insert(format!("{name} p99"), percentile(&mut took, 0.99));
    }
}

fn read((text, range): (String, Range)) -> Question {
    Question {
        query: parse(&text, now()).unwrap(),
        range,
        order: Order::Descending,
    }
}

/// The moment for which questions are read: none of them asks for it.
fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}
