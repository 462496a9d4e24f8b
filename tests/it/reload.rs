//! SIGHUP: what a running service takes over from its configuration, and what it says of the rest.
#![cfg(unix)]

use std::path::Path;

use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::Upstream;
use crate::operator::Served;

/// What a service answers to its owner's token when a page of an origin asks: the status, and which origin may read it.
async fn ask(url: &str, token: &str, origin: &str) -> (StatusCode, Option<String>, String) {
    let request = reqwest::Client::new().get(format!("{url}/v1/count"));
    let answer = request.bearer_auth(token).header("origin", origin);
    let answer = answer.send().await.unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    (
        answer.status(),
        header("access-control-allow-origin"),
        header("ratelimit-policy").unwrap_or_default(),
    )
}

fn token(data: &Path) -> String {
    let created = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args([
            "token",
            "create",
            "test",
            "--scope",
            "search",
            "--json",
            "--data-dir",
        ])
        .arg(data)
        .output()
        .unwrap();
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    created["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_takes_over_what_it_can_and_names_the_rest() {
    const ORIGIN: &str = "https://search.example.com";
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let config = upstream.configuration(dir.path());
    let config = config.replace("auth = \"none\"", "listen = \"127.0.0.1:0\"");
    let served = Served::start(dir.path(), &config);
    let token = token(&dir.path().join("data"));
    let (status, allowed, policy) = ask(&served.url, &token, ORIGIN).await;
    assert_eq!((status, allowed), (StatusCode::OK, None));
    assert!(policy.contains("q=1200"), "{policy}");

    let path = dir.path().join("orgtrail.toml");
    let newer = config
        .replace(
            "[upstream]",
            "cors_origins = [\"https://search.example.com\"]\n[http.limits]\nrequests_per_minute = 60\n\
             question_time = \"5s\"\n[http.access]\nteam_domain = \"example.cloudflareaccess.com\"\n\
             audience = \"a\"\nkeys_url = \"http://127.0.0.1:1/certs\"\n[upstream]",
        )
        .replace("backfill_since = \"40d\"", "backfill_since = \"50d\"");
    std::fs::write(&path, &newer).unwrap();
    served.signal("-HUP");
    let line = served.until("Restart the service to use it.");
    let reloaded = "http.cors_origins, http.access, http.limits.requests_per_minute";
    assert!(line.contains(reloaded), "{line}");
    let restart = "http.limits.question_time, poll.backfill_since";
    assert!(line.contains(restart), "{line}");
    let (status, allowed, policy) = ask(&served.url, &token, ORIGIN).await;
    assert_eq!((status, allowed.as_deref()), (StatusCode::OK, Some(ORIGIN)));
    assert!(policy.contains("q=60"), "{policy}");
    // The keys of Access are wanted from now on.
    served.until("The keys of Cloudflare Access could not be fetched");

    // A file with mistakes changes nothing, and all of them are reported.
    let broken = newer
        .replace("60\n", "0\n")
        .replace("\"50d\"", "\"long ago\"");
    std::fs::write(&path, broken).unwrap();
    served.signal("-HUP");
    served.until("The service continues with the old one.");
    served.until("long ago");
    served.until("requests_per_minute");
    let (status, allowed, _) = ask(&served.url, &token, ORIGIN).await;
    assert_eq!((status, allowed.as_deref()), (StatusCode::OK, Some(ORIGIN)));
    served.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_a_directory_are_used_after_a_signal_and_their_mistakes_are_listed() {
    let rule = |id: &str| {
        format!(
            "title: Zones deleted\nid: {id}\nlevel: high\nlogsource: {{product: cloudflare, service: audit}}\n\
             detection: {{s: {{action.type: delete}}, condition: s}}\n"
        )
    };
    let upstream = Upstream::new(SimConfig {
        events: 200,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("first.yml"), rule("first")).unwrap();
    let config = upstream.configuration(dir.path());
    let config = config.replace(
        "auth = \"none\"",
        "auth = \"none\"\nlisten = \"127.0.0.1:0\"",
    ) + &format!("\n[alerts]\nrules_dir = {:?}\n", rules.to_str().unwrap());
    let served = Served::start(dir.path(), &config);
    let list = async || -> Value {
        let answer = reqwest::get(format!("{}/v1/rules", served.url)).await;
        serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap()
    };
    let before = list().await;
    assert_eq!(before["errors"], serde_json::json!([]));
    let named = |list: &Value, id: &str| -> Option<Value> {
        let rules = list["rules"].as_array().unwrap().iter();
        rules.clone().find(|rule| rule["id"] == id).cloned()
    };
    let first = named(&before, "first").unwrap();
    assert_eq!(
        (&first["level"], &first["built_in"]),
        (&"high".into(), &false.into())
    );
    assert!(before["rules"].as_array().unwrap().len() > 40);

    std::fs::write(rules.join("second.yml"), rule("second")).unwrap();
    std::fs::write(rules.join("third.yml"), "title: Broken\nid: third\n").unwrap();
    served.signal("-HUP");
    served.until("SIGHUP: the configuration is unchanged. The rules were read again.");
    let after = list().await;
    assert!(named(&after, "second").is_some());
    let errors = after["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["file"], "third.yml");
    // What it finds in events that were there before is counted, too.
    loop {
        let now = list().await;
        if named(&now, "second").unwrap()["recent_alerts"].as_u64() > Some(0) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
