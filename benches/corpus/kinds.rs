//! Each kind of question that people ask, many times over with what the log holds.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use orgtrail::engine::{Order, Range, Rank};
use orgtrail::position::Seq;
use orgtrail::query::parse;
use orgtrail::search::{Facets, Question, Scale, Tally, parse_zone};
use orgtrail::store::Store;
use serde_json::Value;

/// How many questions there are of each kind.
const TIMES: usize = 100;

/// How many events a page has.
pub(crate) const LIMIT: usize = 50;

/// Questions of one kind.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) wanted: Wanted,
    pub(crate) questions: Vec<Question>,
}

/// What is wanted of the events that a question finds.
pub(crate) enum Wanted {
    /// The newest of them.
    Newest,
    /// Their number.
    Count,
    /// How they are spread over values, or over time.
    Tally(Tally),
}

/// Every kind of question, about a log whose time ends at `end`.
pub(crate) fn kinds(store: &Store, end: DateTime<Utc>) -> Vec<Kind> {
    let mut sample = Sample::take(store, end);
    let whole = Range::default();
    let common_email = sample.common_email.clone();
    let common = format!("actor.email:{common_email}");
    let created = "action.type:create action.result:success";
    let four = [
        "actor.email",
        "action.type",
        "resource.product",
        "actor.ip_address",
    ];
    let mut kinds = Vec::new();
    let mut ask =
        |name, wanted, question: &mut dyn FnMut(&mut Sample, usize) -> (String, Range)| {
            let questions = (0..TIMES).map(|i| read(question(&mut sample, i)));
            kinds.push(Kind {
                name,
                wanted,
                questions: questions.collect(),
            });
        };

    ask("actor", Wanted::Newest, &mut |sample, _| {
        (format!("actor.email:{}", sample.email()), whole)
    });
    ask("common actor", Wanted::Newest, &mut |_, _| {
        (common.clone(), whole)
    });
    ask("actor, 7 days", Wanted::Newest, &mut |sample, _| {
        (common.clone(), sample.week())
    });
    ask("action and result", Wanted::Newest, &mut |_, i| {
        let action = ["create", "update", "delete"][i % 3];
        (format!("action.type:{action} action.result:success"), whole)
    });
    ask("rare word", Wanted::Newest, &mut |sample, _| {
        (sample.id(), whole)
    });
    ask("common word", Wanted::Newest, &mut |_, i| {
        (["zones", "dns", "record", "true"][i % 4].into(), whole)
    });
    ask("phrase of common words", Wanted::Newest, &mut |_, i| {
        let phrases = ["\"dns records\"", "\"update dns\"", "\"example com\""];
        (phrases[i % 3].into(), whole)
    });
    ask("everything", Wanted::Newest, &mut |_, _| {
        (String::new(), whole)
    });
    ask("everything, 7 days", Wanted::Newest, &mut |sample, _| {
        (String::new(), sample.week())
    });
    ask(
        "beginning of an e-mail",
        Wanted::Newest,
        &mut |sample, _| {
            let beginning: String = sample.email().chars().take(3).collect();
            (format!("actor.email:{beginning}*"), whole)
        },
    );
    ask("middle of an e-mail", Wanted::Newest, &mut |sample, _| {
        let middle: String = sample.email().chars().skip(2).take(4).collect();
        (format!("actor.email:*{middle}*"), whole)
    });
    ask("two common, never together", Wanted::Newest, &mut |_, _| {
        ("action.type:delete action.description:login".into(), whole)
    });
    ask("phrase that never stands", Wanted::Newest, &mut |_, _| {
        ("\"records dns zones\"".into(), whole)
    });

    ask("count of an actor", Wanted::Count, &mut |_, _| {
        (common.clone(), whole)
    });
    ask("count of two words", Wanted::Count, &mut |_, _| {
        ("dns record".into(), whole)
    });
    ask("count of two fields", Wanted::Count, &mut |_, _| {
        (created.into(), whole)
    });

    ask("four facets of everything", facets(&four), &mut |_, _| {
        (String::new(), whole)
    });
    ask("four facets, 7 days", facets(&four), &mut |sample, _| {
        (String::new(), sample.week())
    });
    ask(
        "four facets of an actor",
        facets(&four),
        &mut |sample, _| (format!("actor.email:{}", sample.email()), whole),
    );
    ask(
        "four facets of a common actor",
        facets(&four),
        &mut |_, _| (common.clone(), whole),
    );
    ask("four facets of two fields", facets(&four), &mut |_, _| {
        (created.into(), whole)
    });
    let resources = ["resource.id"];
    ask(
        "resources of an actor",
        facets(&resources),
        &mut |sample, _| (format!("actor.email:{}", sample.email()), whole),
    );
    ask(
        "resources of two fields",
        facets(&resources),
        &mut |_, _| (created.into(), whole),
    );
    let nested = ["resource.request.name"];
    ask("values of a nested path", facets(&nested), &mut |_, _| {
        (common.clone(), whole)
    });

    ask("histogram of everything", histogram(), &mut |_, _| {
        (String::new(), whole)
    });
    ask("histogram of a common actor", histogram(), &mut |_, _| {
        (common.clone(), whole)
    });
    ask("histogram of two fields", histogram(), &mut |_, _| {
        (created.into(), whole)
    });
    kinds
}

/// The moment for which questions are read: none of them asks for it.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn read((text, range): (String, Range)) -> Question {
    Question {
        query: parse(&text, now()).unwrap(),
        range,
        order: Order::Descending,
    }
}

fn facets(fields: &[&str]) -> Wanted {
    Wanted::Tally(Tally {
        facets: Some(Facets {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            size: 10,
            rank: Rank::Frequent,
            exclude_own: false,
            parameter: "field",
        }),
        ..Tally::default()
    })
}

fn histogram() -> Wanted {
    let scale = Scale::parse("auto", parse_zone("Europe/Berlin").unwrap(), "interval");
    Wanted::Tally(Tally {
        histogram: Some(scale.unwrap()),
        ..Tally::default()
    })
}

/// Values as they occur in the log, some at random and the most common ones.
struct Sample {
    emails: Vec<String>,
    words: Vec<String>,
    common_email: String,
    end: DateTime<Utc>,
    rng: Rng,
}

impl Sample {
    fn take(store: &Store, end: DateTime<Utc>) -> Self {
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
            end,
            rng,
        }
    }

    fn email(&mut self) -> String {
        self.rng.choice(&self.emails).unwrap().clone()
    }

    fn id(&mut self) -> String {
        self.rng.choice(&self.words).unwrap().clone()
    }

    /// Seven days of the log's time.
    fn week(&mut self) -> Range {
        let since = self.end - TimeDelta::days(self.rng.i64(8..500));
        Range {
            since_us: Some(since.timestamp_micros()),
            before_us: Some((since + TimeDelta::days(7)).timestamp_micros()),
        }
    }
}
