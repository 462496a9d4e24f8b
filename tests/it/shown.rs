//! How answers are asked for and shown: some paths of an entry, what was found in it, a question as a form, a query as a tree, and
//! answers that are compressed or already known.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// An answer without what depends on when it was asked for.
fn timeless(answer: &[u8]) -> Value {
    let Ok(mut answer) = serde_json::from_slice::<Value>(answer) else {
        return Value::from(String::from_utf8_lossy(answer));
    };
    for name in ["coverage", "next_cursor", "merged"] {
        if let Some(member) = answer.get_mut(name) {
            *member = Value::Null;
        }
    }
    answer
}

async fn desk() -> Desk {
    let mut desk = Desk::new().await;
    let entries = [
        json!({"id": "e1", "action": {"time": "2026-08-03T08:00:01Z", "type": "create", "description": "Add Member to zone"},
            "actor": {"email": "Ann@example.com", "ip_address": "192.0.2.1"},
            "resource": {"id": "r1", "product": "members", "request": {"names": ["Über Ann", 7, "ann"], "ttl": 3e2}}}),
        json!({"id": "e2", "action": {"time": "2026-08-03T08:00:02Z", "type": "delete"}, "actor": {"email": "ben@example.com"}}),
    ];
    desk.keep(&account(), &entries.map(|entry| entry.to_string()));
    desk.search_all();
    desk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_the_wanted_paths_of_entries_only() {
    let desk = desk().await;
    let wanted = json!({"action": {"type": "create"}, "actor": {"email": "Ann@example.com", "ip_address": "192.0.2.1"},
        "resource": {"request": {"names": ["Über Ann", 7, "ann"]}}});
    let fields = "fields=action.type,ACTOR&fields=resource.request.names";
    let whole = desk.get("/v1/events?q=id:e1").await;
    for path in [
        format!("/v1/events?q=id:e1&{fields}"),
        format!("/v1/events/1/around?within=0s&{fields}"),
    ] {
        let page = desk.get(&path).await;
        let event = &page["events"][0];
        assert_eq!(event["entry"], wanted, "{path}");
        // What is beside the entry is that of the whole.
        for beside in ["summary", "sha256", "id", "seq", "actor_known"] {
            assert_eq!(
                event[beside], whole["events"][0][beside],
                "{path}: {beside}"
            );
        }
        assert!(event.get("matches").is_none());
    }
    assert_eq!(
        desk.get(&format!("/v1/events/1?{fields}")).await["entry"],
        wanted
    );
    let (_, lines) = desk.ask(&format!("/v1/export?order=asc&{fields}")).await;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["entry"], wanted);
    let mut tail = desk
        .open(&format!("/v1/events/stream?last_event_id=0&{fields}"))
        .await;
    let mut told = String::new();
    while !told.contains("id: 2\n") {
        told += std::str::from_utf8(&tail.chunk().await.unwrap().unwrap()).unwrap();
    }
    let data = told
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(data).unwrap()["entry"],
        wanted
    );
    for (wrong, parameter) in [
        ("/v1/events?fields=actor.mail", "fields"),
        ("/v1/events?fields=source", "fields"),
        ("/v1/events?fields=actor,,id", "fields"),
        ("/v1/events/1?fields=nothing", "fields"),
        ("/v1/export?fields=nothing", "fields"),
        ("/v1/export?format=csv&fields=actor", "fields"),
        ("/v1/events/stream?fields=nothing", "fields"),
        ("/v1/events?highlight=1", "highlight"),
        ("/v1/count?fields=actor", "fields"),
    ] {
        let (status, body) = desk.ask(wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["parameter"], parameter, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_found_is_marked_by_path_and_characters() {
    let desk = desk().await;
    let matches = async |asked: &str| {
        let page = desk
            .get(&format!("/v1/events?highlight=true&{asked}"))
            .await;
        page["events"][0]["matches"].clone()
    };
    let of = |path: &str, index: usize, ranges: Value| json!({"path": path, "index": index, "ranges": ranges});
    assert_eq!(
        matches("q=ann").await,
        json!([
            of("actor.email", 0, json!([[0, 3]])),
            of("resource.request.names", 0, json!([[5, 8]])),
            of("resource.request.names", 2, json!([[0, 3]])),
        ])
    );
    // Characters, not bytes.
    assert_eq!(
        matches("q=%C3%9Cb*").await,
        json!([of("resource.request.names", 0, json!([[0, 4]]))])
    );
    assert_eq!(
        matches("q=actor.email:ann@example.com+action.description:member+-zon").await,
        json!([
            of("action.description", 0, json!([[4, 10]])),
            of("actor.email", 0, json!([[0, 15]])),
        ])
    );
    // A number is marked as the entry shows it.
    assert_eq!(
        matches("q=resource.request.ttl:300").await,
        json!([of("resource.request.ttl", 0, json!([[0, 5]]))])
    );
    // By a parameter.
    assert_eq!(
        matches("actor_ip_address=192.0.2.1").await,
        json!([of("actor.ip_address", 0, json!([[0, 9]]))])
    );
    // What asks for everything, and what asks beside the entry, marks nothing.
    assert_eq!(matches("q=seq:2").await, json!([]));
    assert_eq!(matches("q=*").await, json!([]));
    // Of the paths that are shown.
    assert_eq!(
        matches("q=ann&fields=actor").await,
        json!([of("actor.email", 0, json!([[0, 3]]))])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_says_what_it_is_about_in_absolute_terms() {
    let desk = desk().await;
    let page = desk
        .get("/v1/events?limit=0&count=true&since=2026-08-03&tz=Europe/Berlin")
        .await;
    assert_eq!((&page["events"], &page["count"]), (&json!([]), &json!(2)));
    assert_eq!(
        page["range"],
        json!({"since": "2026-08-02T22:00:00Z", "before": null})
    );
    assert_eq!(page["snapshot"], 2);
    assert_eq!(desk.get("/v1/me").await["session"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_may_be_sent_as_a_form() {
    let desk = desk().await;
    let http = reqwest::Client::new();
    let send = async |path: &str, kind: &str, body: String| {
        let request = http.request(Method::POST, format!("{}{path}", desk.url));
        let request = request.header(header::CONTENT_TYPE, kind).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for (path, asked) in [
        ("/v1/events", "q=ann&highlight=true&limit=1"),
        ("/v1/count", "q=actor.email%3Aann%2A"),
        ("/v1/facets", "field=actor.email&field=action.type&q=id:*"),
        ("/v1/histogram", "interval=1d"),
        ("/v1/fields", "prefix=actor."),
        ("/v1/fields/actor.email/values", "contains=n"),
        ("/v1/parse", "q=a b"),
        ("/v1/export", "format=csv"),
        ("/v1/actors/ben@example.com", "size=2"),
        ("/v1/coverage", "merged=true"),
        ("/v1/events", "q=actor.mail:x"),
        ("/v1/events/1/around", ""),
    ] {
        let (status, posted) = send(path, form, asked.to_owned()).await;
        let (expected, got) = desk
            .ask(&format!("{path}?{}", asked.replace(' ', "+")))
            .await;
        assert_eq!(status, expected, "{path}: {posted}");
        let (posted, got) = (timeless(posted.as_bytes()), timeless(got.as_bytes()));
        assert_eq!(posted, got, "{path}");
    }
    // Parameters of the URL and of the form are one list.
    let (status, body) = send("/v1/count?q=ann", form, "q=ben".to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    // A long query, whose characters take three bytes each in a URL.
    let long = format!("q={}", "(".repeat(40_000));
    let (status, _) = send("/v1/count", form, long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // A path and a form that are no URL together.
    let path = format!("/v1/fields/{}/values", "x".repeat(10_000));
    let (status, body) = send(&path, form, format!("q={}", "a".repeat(59_000))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    let (status, body) = send("/v1/count", "application/json", "{}".to_owned()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{body}");
    let (status, _) = send("/v1/me", form, String::new()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    // What was asked is in the access log.
    let log = desk.get("/v1/access-log?limit=1000").await;
    let lines = log["entries"].as_array().unwrap().iter();
    let parameters: Vec<&str> = lines
        .map(|line| line["parameters"].as_str().unwrap())
        .collect();
    assert!(
        parameters
            .iter()
            .filter(|one| one.contains("ann&highlight=true&limit=1"))
            .count()
            == 2,
        "{parameters:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_shown_as_a_tree_with_places() {
    let desk = desk().await;
    let parsed = async |query: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        desk.get(&format!("/v1/parse?q={encoded}")).await
    };
    /// A node as `kind field:value[text of the query](parts)`.
    fn told(node: &Value, query: &str) -> String {
        let place = |name: &str| usize::try_from(node[name].as_u64().unwrap()).unwrap();
        let text: String = query
            .chars()
            .skip(place("at"))
            .take(place("end") - place("at"))
            .collect();
        let parts = node["parts"].as_array().unwrap().iter();
        let parts = parts
            .map(|part| told(part, query))
            .collect::<Vec<_>>()
            .join(" ");
        let shown = |name: &str| node[name].as_str().unwrap_or("-").to_owned();
        let (kind, field, value) = (shown("kind"), shown("field"), shown("value"));
        match parts.is_empty() {
            true => format!("{kind} {field} {value} [{text}]"),
            false => format!("{kind} [{text}] ({parts})"),
        }
    }
    for (query, expected) in [
        ("ann", "words - ann [ann]"),
        (
            "  actor.email:Ann@example.com   -action.type:(create OR \"x y\") ",
            "and [actor.email:Ann@example.com   -action.type:(create OR \"x y\")] \
             (equals actor.email Ann@example.com [actor.email:Ann@example.com] \
             not [-action.type:(create OR \"x y\")] \
             (or [action.type:(create OR \"x y\")] (equals action.type create [create] equals action.type x y [\"x y\"])))",
        ),
        (
            "ü* /x+/",
            "and [ü* /x+/] (words_like - ü* [ü*] word_matches - x+ [/x+/])",
        ),
        (
            "id:e* OR id:/e/ OR _exists_:id",
            "or [id:e* OR id:/e/ OR _exists_:id] (like id e* [id:e*] matches id e [id:/e/] exists id - [_exists_:id])",
        ),
        (
            "resource.request.ttl:>=3e2",
            "within resource.request.ttl [\"3e2\" TO *] [resource.request.ttl:>=3e2]",
        ),
        (
            "resource.request.ttl:3e2",
            "equals resource.request.ttl 3e2 [resource.request.ttl:3e2]",
        ),
        ("((a))", "words - a [((a))]"),
        (
            "NOT (a b)",
            "not [NOT (a b)] (and [(a b)] (words - a [a] words - b [b]))",
        ),
        ("- -a", ""),
        ("!-a", "words - a [a]"),
        ("*", "all - - [*]"),
    ] {
        if expected.is_empty() {
            continue;
        }
        let answer = parsed(query).await;
        assert_eq!(told(&answer["tree"], query), expected, "{query}");
        // Its plainest spelling means the same.
        let again = parsed(answer["query"].as_str().unwrap()).await;
        assert_eq!(again["query"], answer["query"], "{query}");
    }
    assert_eq!(parsed("").await, json!({"query": "*", "tree": null}));
    for (query, at) in [("a (b", 2), ("actor.mail:x", 0), ("a OR", 4)] {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/parse?q={encoded}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&problem["parameter"], &problem["at"]),
            (&json!("q"), &json!(at)),
            "{query}"
        );
    }
    let (status, _) = desk.ask("/v1/parse").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compressed_on_request_and_a_known_event_is_not_sent_again() {
    let desk = Desk::of_history(300).await;
    let http = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = async |path: &str, headers: &[(header::HeaderName, &str)]| {
        let mut request = http.get(format!("{}{path}", desk.url));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.send().await.unwrap()
    };
    let gzip = [(header::ACCEPT_ENCODING, "gzip, br")];
    for path in ["/v1/events?limit=100", "/v1/export", "/v1/events/7"] {
        let plain = get(path, &[]).await;
        assert_eq!(
            plain.headers().get(header::CONTENT_ENCODING),
            None,
            "{path}"
        );
        let plain = plain.bytes().await.unwrap();
        let packed = get(path, &gzip).await;
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
        let packed = packed.bytes().await.unwrap();
        assert!(packed.len() < plain.len(), "{path}");
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert!(timeless(&unpacked) == timeless(&plain), "{path}");
    }
    // A tail is not: its messages are sent at once.
    let tail = get("/v1/events/stream?last_event_id=0", &gzip).await;
    assert_eq!(tail.headers().get(header::CONTENT_ENCODING), None);

    let first = get("/v1/events/7", &[]).await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(first.headers()[header::CACHE_CONTROL], "private, no-cache");
    assert!(get("/v1/events/8", &[]).await.headers()[header::ETAG] != tag.as_str());
    for known in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = get("/v1/events/7", &[(header::IF_NONE_MATCH, &known)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(again.headers()[header::ETAG], tag.as_str());
        assert_eq!(again.bytes().await.unwrap().len(), 0);
    }
    let other = get("/v1/events/7", &[(header::IF_NONE_MATCH, "W/\"x\"")]).await;
    assert_eq!(other.status(), StatusCode::OK);
    // Nothing is kept of an answer to POST.
    let posted = http.post(format!("{}/v1/events/7", desk.url));
    let posted = posted.header(header::IF_NONE_MATCH, &tag).send().await;
    assert_eq!(posted.unwrap().status(), StatusCode::OK);
    // Other answers are not kept.
    let page = get("/v1/events?limit=1", &[]).await;
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
}
