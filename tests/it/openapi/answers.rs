//! Every example of the document is sent. Its answer fits its schema, has no member that the schema does not have, and is the
//! one that the document shows.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::documented::{Document, Operation};
use super::filled::Filled;
use super::{compare, curl};

/// The recorded answers.
const ANSWERS: &str = "src/http/openapi/answers.json";

/// The routes whose answers are not shown. A feed has the address and the id of its log in many places.
const NOT_SHOWN: [&str; 12] = [
    "read_openapi",
    "read_docs",
    "read_metrics",
    "end_session",
    // Hashes and signatures say nothing to a reader.
    "read_proof",
    "read_checkpoint",
    "read_tile",
    "read_previous_checkpoint",
    "read_statements_checkpoint",
    "read_statements_tile",
    "get_alerts_atom",
    "get_alerts_json_feed",
];

/// The id of a saved search in the examples.
const SEARCH: &str = "00000000000000000000000000000000";

/// Members whose values are other ones in each log, and what is shown instead.
const VARIABLE: [(&str, &str); 8] = [
    ("next_cursor", "MTIzNDU2Nzg5"),
    ("previous_cursor", "MTIzNDU2Nzg5"),
    ("cursor", "MTIzNDU2Nzg5"),
    ("after", "MTIzNDU2Nzg5"),
    ("next_page_token", "MTIzNDU2Nzg5"),
    ("log_id", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    ("principal", "token:5SzJb2mvKd1E"),
    ("version", "0.1.0"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_is_answered_as_the_document_says() {
    let filled = Filled::new().await;
    let document = Document::read(&filled.desk).await;
    let http = Client::new();
    let search = filled.save_search().await;
    let variables = [
        ("$ORGTRAIL", &*filled.desk.url),
        ("$TOKEN", &filled.token),
        (SEARCH, &search),
    ];
    let (mut recorded, mut by_form) = (Map::new(), Vec::new());
    for operation in document.operations() {
        let mut answers = Vec::new();
        for line in operation.samples() {
            let request = curl::request(&http, line, &variables);
            let answer = request.send().await.unwrap();
            answers.push(check(&document, &operation, line, answer).await);
        }
        match operation.question() {
            Some(question) => by_form.push((question.to_owned(), answers)),
            None => {
                recorded.insert(operation.id, answers.into());
            }
        }
    }
    assert!(by_form.len() > 10, "{} questions", by_form.len());
    for (question, answers) in by_form {
        assert_eq!(Value::from(answers), recorded[&question], "{question}");
    }
    recorded.retain(|id, _| !NOT_SHOWN.contains(&&**id));
    compare(ANSWERS, &format!("{:#}\n", Value::from(recorded)));
}

/// Compares an answer with the document; gives it as it is recorded.
async fn check(document: &Document, operation: &Operation, line: &str, answer: Response) -> Value {
    let status = answer.status();
    let content_type = answer.headers().get("content-type");
    let content_type = content_type
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let headers = answer.headers().clone();
    let body = match content_type.as_str() {
        "text/event-stream" => first_message(answer).await,
        _ => answer.text().await.unwrap(),
    };
    assert!(status.is_success(), "{line}: {status} {body}");
    let faults = document.faults(operation, status, &content_type, &body);
    assert_eq!(faults, Vec::<String>::new(), "{line}: {body}");
    for header in operation.headers(status) {
        assert!(headers.contains_key(&header), "{line}: {header} is missing");
    }
    match serde_json::from_str(&body) {
        Ok(mut value) if content_type == "application/json" => {
            shorten(&mut value, operation);
            fix(&mut value);
            value
        }
        _ => json!(body),
    }
}

/// Long lists are cut: the rest looks alike.
fn shorten(value: &mut Value, operation: &Operation) {
    if operation.id == "cloudflare_product_categories" {
        value["result"].as_array_mut().unwrap().truncate(1);
    }
}

/// The first part of a stream.
async fn first_message(mut answer: Response) -> String {
    let mut text = String::new();
    let read = async {
        while !(text.contains("data: ") && text.ends_with("\n\n")) {
            text += std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .unwrap();
    text
}

/// Replaces what is different in each log.
fn fix(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(fix),
        Value::Object(members) => {
            // A saved search.
            if members.contains_key("own") {
                members["id"] = json!(SEARCH);
            }
            let is_active = members.get("status") == Some(&json!("active")) && members.len() == 2;
            if is_active {
                members["id"] = json!("5SzJb2mvKd1E");
            }
            for (name, member) in members {
                let known = VARIABLE.iter().find(|(known, _)| known == name);
                match known {
                    // They count for the whole process, in which other tests run.
                    _ if name == "duration_ms" => *member = json!(3),
                    // A token's id.
                    _ if name == "who" && member.is_string() => {
                        *member = json!("token:5SzJb2mvKd1E");
                    }
                    _ if name == "background_panics" => *member = json!(0),
                    _ if name == "broken_invariants" => *member = json!({}),
                    Some((_, shown)) if member.as_str().is_some_and(|text| !text.is_empty()) => {
                        *member = json!(shown);
                    }
                    _ => fix(member),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_has_its_documented_form() {
    let filled = Filled::new().await;
    let document = Document::read(&filled.desk).await;
    let mut seen = Vec::new();
    let questions = document
        .operations()
        .filter(|one| one.method == "get" || one.is_form());
    for operation in questions {
        let path = operation.example_path();
        let paths = [
            format!(
                "{path}{}limit=zzz&page_size=zzz",
                if path.contains('?') { "&" } else { "?" }
            ),
            path.replace("/5d1f7a", "/ffffff")
                .replace("/0a1b2c", "/ffffff")
                .replace("/events/2", "/events/99"),
            path.split('?').next().unwrap().to_owned(),
        ];
        for path in paths {
            for token in [&*filled.token, "otr_wrong"] {
                let answer = filled.try_operation(&operation, &path, Some(token)).await;
                let status = answer.status();
                if status.is_success() {
                    continue;
                }
                let content_type = answer.headers()["content-type"]
                    .to_str()
                    .unwrap()
                    .to_owned();
                let body = answer.text().await.unwrap();
                let faults = document.faults(&operation, status, &content_type, &body);
                assert_eq!(faults, Vec::<String>::new(), "{path}: {body}");
                seen.push(status);
            }
        }
    }
    for status in [
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::NOT_FOUND,
    ] {
        assert!(seen.contains(&status), "{status}");
    }
}
