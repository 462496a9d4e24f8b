//! The configuration as a whole: the example, the environment, and the reports that people see.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::header::Header;
use super::reader::Reader;
use super::*;
use crate::access::{AccessGrant, Auth, CloudflareAccess, ForwardedHeader, Grant, PrincipalLimits};
use crate::deliver::DeliverySettings;
use crate::position::Source;
use crate::retention::RetentionPolicies;

/// The least that is a configuration.
const LEAST: &str = "[[organizations]]\nid = \"00000000000000000000000000000000\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, &[])
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::parse(text, "orgtrail.toml", variables.iter().map(owned))
}

/// The report on a text that must not be accepted.
fn report(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn report_with(text: &str, variables: &[(&str, &str)]) -> String {
    parse_with(text, variables).unwrap_err().to_string()
}

/// The report on one line under a header, in a configuration that is right otherwise.
fn report_on(header: &str, line: &str) -> String {
    report(&format!("{header}\n{line}\n{LEAST}"))
}

/// The example with every key that is turned off turned on.
fn example_with_everything() -> String {
    let turned_on = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
        _ => line,
    };
    let lines: Vec<&str> = Config::example().lines().map(turned_on).collect();
    lines.join("\n")
}

/// Every `header key` that a text holds.
fn keys_in(text: &str) -> BTreeSet<String> {
    let mut header = Header::Top.to_string();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']);
            keys.insert(match name.rsplit_once('.') {
                Some((outer, inner)) => format!("in `[{outer}]` {inner}"),
                None => format!("{} {name}", Header::Top),
            });
            header = format!("in `{line}`");
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            keys.insert(format!("{header} {key}"));
        }
    }
    keys
}

#[test]
fn the_example_shows_the_defaults() {
    assert_eq!(parse(Config::example()), parse(LEAST));
    assert!(parse(LEAST).is_ok());
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let everything = example_with_everything();
    let file = DeTable::parse(&everything).unwrap();
    let mut reader = Reader::new(&everything, std::iter::empty());
    keys::read(&mut reader, file.get_ref());

    assert_eq!(keys_in(&everything), reader.known_keys());
}

#[test]
fn without_tokens_nothing_lets_other_machines_in() {
    for line in [
        "public_url = \"https://audit.example.com\"",
        "trusted_proxies = [\"10.0.0.0/8\"]",
    ] {
        let told = report_on("[http]", &format!("auth = \"none\"\n{line}"));
        assert!(
            told.contains("let others in: write `auth = \"tokens\"`"),
            "{told}"
        );
    }
    let local = "[http]\nauth = \"none\"\npublic_url = \"http://localhost:7070\"\n";
    assert!(parse(&format!("{local}{LEAST}")).is_ok());
}

#[test]
fn each_mistake_in_cloudflare_access_is_reported_with_its_line() {
    let access = r#"[http]
auth = "none"
[http.access]
team_domain = "https://example.cloudflareaccess.com"
keys_url = "http://example.com/certs"
[[http.access.grants]]
emails = ["*", "*@example.com"]
scopes = ["read"]
[[http.access.grants]]
scopes = []
bodies = "no"
[[http.access.grants]]
groups = [""]
sources = ["zones/1"]
"#;
    let told = report(&format!("{access}{LEAST}"));
    for (line, what) in [
        (4, "`auth` is `none`, and Cloudflare Access lets others in"),
        (4, "is not a domain"),
        (3, "`audience` is missing in `[http.access]`"),
        (5, "is not an address of keys"),
        (7, "`*` is not an email address"),
        (8, "unknown scope `read`"),
        (9, "this grant is for nobody"),
        (10, "`scopes` is empty"),
        (11, "`bodies` wants `true` or `false`"),
        (12, "`scopes` is missing in `[[http.access.grants]]`"),
        (13, "is not the name of a group"),
        (14, "is not a source"),
    ] {
        let place = format!("orgtrail.toml:{line}:");
        let mut lines = told.lines();
        let is_told = lines.any(|told| told.starts_with(&place) && told.contains(what));
        assert!(is_told, "{line} {what}\n{told}");
    }
    let from_environment = parse_with(
        LEAST,
        &[
            ("ORGTRAIL__HTTP__ACCESS__TEAM_DOMAIN", "a.example.com"),
            ("ORGTRAIL__HTTP__ACCESS__AUDIENCE", "x"),
        ],
    );
    assert!(from_environment.unwrap().http.access.is_some());
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = r#"
        data_dir = "/var/lib/orgtrail"
        [http]
        listen = "[::1]:0"
        auth = "tokens"
        max_connections = 40
        public_url = "https://audit.example.com/"
        cors_origins = ["https://search.example.com"]
        trusted_proxies = ["10.1.2.3/8", "::1"]
        forwarded_header = "forwarded"
        access_log = "30d"
        [http.limits]
        requests_per_minute = 60
        questions = 2
        streams = 3
        question_time = "5s"
        [http.access]
        team_domain = "example.cloudflareaccess.com"
        audience = "97e2aae1"
        [[http.access.grants]]
        emails = ["*@Example.com"]
        common_names = ["E367.access"]
        scopes = ["search", "export"]
        sources = ["accounts/a"]
        bodies = false
        [upstream]
        base_url = "http://127.0.0.1:8080/client/v4/"
        token_file = "/run/secrets/cloudflare"
        max_requests = 1_200
        page_size = 0x10
        [poll]
        interval = "1s"
        max_interval = "1s"
        overlap = "0s"
        sweeps = []
        backfill_since = 2026-01-01
        heartbeat_url_env = "HEARTBEAT_URL"
        [alerts]
        rules_dir = "/etc/orgtrail/rules"
        disabled = ["token-created"]
        [[organizations]]
        id = "org"
        accounts = ["a", "b"]
        [[organizations]]
        id = "a"
        accounts = "none"
        token_env = "OTHER"
        [[accounts]]
        id = "c"
    "#;
    let account = |id| Source::account(id).unwrap();
    let organization = |id| Source::organization(id).unwrap();
    let file = CredentialSource::File("/run/secrets/cloudflare".into());
    let expect = Config {
        data_dir: "/var/lib/orgtrail".into(),
        http: HttpConfig {
            listen: "[::1]:0".parse().unwrap(),
            auth: Auth::Tokens,
            max_connections: 40,
            public_url: Some("https://audit.example.com".parse().unwrap()),
            cors_origins: vec!["https://search.example.com".into()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            forwarded_header: ForwardedHeader::Forwarded,
            tls: None,
            access_log: TimeDelta::days(30),
            limits: PrincipalLimits {
                requests_per_minute: 60.try_into().unwrap(),
                questions: 2,
                streams: 3,
                question_time: TimeDelta::seconds(5),
            },
            access: Some(CloudflareAccess {
                team_domain: "example.cloudflareaccess.com".to_owned(),
                audience: "97e2aae1".to_owned(),
                keys_url: "https://example.cloudflareaccess.com/cdn-cgi/access/certs"
                    .parse()
                    .unwrap(),
                grants: vec![AccessGrant {
                    emails: vec!["*@example.com".to_owned()],
                    groups: Vec::new(),
                    common_names: vec!["e367.access".to_owned()],
                    grant: Grant {
                        permissions: "search,export".parse().unwrap(),
                        sources: vec![account("a")],
                        bodies: false,
                    },
                }],
            }),
        },
        upstream: UpstreamConfig {
            base_url: "http://127.0.0.1:8080/client/v4".parse().unwrap(),
            credential: file.clone(),
            max_requests: 1_200,
            page_size: 16,
        },
        poll: PollConfig {
            interval: TimeDelta::seconds(1),
            max_interval: TimeDelta::seconds(1),
            overlap: Overlap::Span(TimeDelta::zero()),
            sweeps: vec![],
            backfill_since: BackfillSince::Date("2026-01-01".parse().unwrap()),
            heartbeat: Some(HeartbeatSource::new("HEARTBEAT_URL")),
        },
        rules: RulesConfig {
            dir: Some("/etc/orgtrail/rules".into()),
            disabled: vec!["token-created".to_owned()],
        },
        alerts: DeliverySettings::default(),
        evidence: None,
        retention: RetentionPolicies::default(),
        organizations: vec![
            OrganizationConfig {
                source: organization("org"),
                accounts: AccountsChoice::Only(vec![account("a"), account("b")]),
                credential: file.clone(),
            },
            OrganizationConfig {
                source: organization("a"),
                accounts: AccountsChoice::None,
                credential: CredentialSource::Env("OTHER".to_owned()),
            },
        ],
        accounts: vec![AccountConfig {
            source: account("c"),
            credential: file,
        }],
    };
    assert_eq!(parse(text), Ok(expect));
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = format!("[upstream]\ntoken_env = \"FROM_FILE\"\npage_size = 5\n{LEAST}");
    let config = parse_with(
        &text,
        &[
            ("ORGTRAIL__DATA_DIR", "/data"),
            ("ORGTRAIL__HTTP__LISTEN", "127.0.0.1:1"),
            ("ORGTRAIL__UPSTREAM__PAGE_SIZE", "7"),
            ("ORGTRAIL__UPSTREAM__TOKEN_FILE", "/token"),
            ("ORGTRAIL__POLL__SWEEPS", r#"["1h"]"#),
            ("ORGTRAIL__POLL__BACKFILL_SINCE", "2026-01-01"),
            ("ORGTRAIL_CONFIG", "not ours: a single underscore"),
        ],
    )
    .unwrap();
    assert_eq!(config.data_dir, Path::new("/data"));
    assert_eq!(config.http.listen.port(), 1);
    assert_eq!(config.upstream.page_size, 7);
    let file = CredentialSource::File("/token".into());
    assert_eq!(config.upstream.credential, file);
    assert_eq!(config.organizations[0].credential, file);
    assert_eq!(config.poll.sweeps, [TimeDelta::hours(1)]);
    let day = BackfillSince::Date("2026-01-01".parse().unwrap());
    assert_eq!(config.poll.backfill_since, day);
}

#[test]
fn many_mistakes_are_one_report() {
    let text = r#"
dat_dir = "data"

[http]
listen = "0.0.0.0:7070"
auth = "none"

[upstream]
base_url = "http://api.cloudflare.com/client/v4"
token_env = "CLOUDFLARE_API_TOKEN"
token_file = "/run/secrets/cloudflare"
max_requests = 0
page_size = "1000"

[poll]
interval = 60
max_interval = "1h30m"
sweeps = ["15m", "1 hour", "10m", 7]
backfill_since = "last year"
page_size = 100

[[organizations]]
id = "organizations/0123"
accounts = "some"

[[organization]]
id = "0123"

[[accounts]]
name = "production"
"#;
    assert_snapshot!(report_with(text, &[("ORGTRAIL__HTTP__LISTENS", "1"), ("ORGTRAIL__POLL__OVERLAP", "-2m")]), @r#"
    19 mistakes in the configuration:
    orgtrail.toml:2:1: unknown key `dat_dir` at the top of the file, did you mean `data_dir`?
    orgtrail.toml:6:8: `auth` is `none` and `0.0.0.0:7070` can be reached from outside: write `auth = "tokens"`, or listen on a loopback address
    orgtrail.toml:9:12: `http://api.cloudflare.com/client/v4` would send the token in clear: write `https://` (`http://` is for this machine only)
    orgtrail.toml:11:14: `token_env` and `token_file` both name a token: keep one of the two
    orgtrail.toml:12:16: `max_requests` is `0`: it goes from 1 to 1000000
    orgtrail.toml:13:13: `page_size` wants a whole number without quotes, not text
    orgtrail.toml:16:12: `interval` wants a span in quotes, such as `"60s"`, not a whole number
    orgtrail.toml:17:16: `1h30m` is not a span: a span is a whole number and one unit, such as `500ms`, `5s`, `10m`, `24h` or `7d`
    orgtrail.toml:18:18: `1 hour` is not a span: a span is a whole number and one unit, such as `500ms`, `5s`, `10m`, `24h` or `7d`
    orgtrail.toml:18:35: `sweeps` wants a span in quotes, such as `"60s"`, not a whole number
    orgtrail.toml:19:18: `last year` is neither a span nor a date: write, for example, `540d` or `2026-01-01`
    orgtrail.toml:20:1: unknown key `page_size` in `[poll]`: it belongs in `[upstream]`
    orgtrail.toml:23:6: `organizations/0123` is not an id: write the 1 to 64 letters, digits, `-` and `_` of it alone
    orgtrail.toml:24:12: `accounts` is `"all"`, `"none"` or a list of ids, not `some`
    orgtrail.toml:26:3: unknown table `[[organization]]`, did you mean `organizations`?
    orgtrail.toml:29:1: `id` is missing in `[[accounts]]`: add it
    orgtrail.toml:30:1: unknown key `name` in `[[accounts]]`: there are `id`, `token_env`, `token_file`
    ORGTRAIL__HTTP__LISTENS: no key has this variable, did you mean `ORGTRAIL__HTTP__LISTEN`?
    ORGTRAIL__POLL__OVERLAP: `-2m` is neither `auto` nor a span: a span is a whole number and one unit, such as `500ms`, `5s`, `10m`, `24h` or `7d`
    "#);
}

#[test]
fn a_source_is_configured_once() {
    let text = r#"
        [[organizations]]
        id = "org"
        accounts = ["a", "b", "a"]
        [[organizations]]
        id = "org"
        [[accounts]]
        id = "b"
    "#;
    assert_snapshot!(report(text), @r#"
    3 mistakes in the configuration:
    orgtrail.toml:4:31: `accounts/a` is configured already on line 4: keep one of the two
    orgtrail.toml:6:14: `organizations/org` is configured already on line 3: keep one of the two
    orgtrail.toml:8:14: `accounts/b` is configured already on line 4: keep one of the two
    "#);
}

#[test]
fn nothing_to_collect_is_a_mistake() {
    assert_snapshot!(report(""), @r#"orgtrail.toml: nothing to collect: add `[[organizations]]` or `[[accounts]]`, each with an `id`"#);
    assert_snapshot!(report("organizations = []"), @r#"orgtrail.toml: nothing to collect: add `[[organizations]]` or `[[accounts]]`, each with an `id`"#);
}

#[test]
fn a_table_in_the_wrong_brackets_is_recognised() {
    assert_snapshot!(report("http = 1\n[organizations]\nid = \"a\"\n[[upstream]]\n[accounts]\n"), @r#"
    4 mistakes in the configuration:
    orgtrail.toml:1:8: `http` is a table, not a whole number: write `[http]` on a line of its own and its keys below
    orgtrail.toml:2:1: `organizations` is a list of tables: write `[[organizations]]` with two brackets, and its keys below it
    orgtrail.toml:4:1: `upstream` is a table, not a list: write `[upstream]` on a line of its own and its keys below
    orgtrail.toml:5:1: `accounts` is a list of tables: write `[[accounts]]` with two brackets, and its keys below it
    "#);
}

#[test]
fn a_syntax_error_hides_only_what_comes_after_it() {
    let text = "[http]\nport = 80\n[poll]\ninterval = 60s\noverlap = \"never\"\n[[organizations]\nid = 7\n";
    assert_snapshot!(report(text), @r#"
    3 mistakes in the configuration:
    orgtrail.toml:2:1: unknown key `port` in `[http]`: there are `access`, `access_log`, `auth`, `cors_origins`, `forwarded_header`, `limits`, `listen`, `max_connections`, `public_url`, `tls_cert`, `tls_key`, `trusted_proxies`
    orgtrail.toml:4:12: not TOML: string values must be quoted, expected literal string
    orgtrail.toml:6:17: not TOML: unclosed array table, expected `]`
    "#);
    assert_snapshot!(report("[http]\n[http]\n"), @r#"orgtrail.toml:2:2: not TOML: duplicate key"#);
    assert_snapshot!(report("data_dir = \"data"), @r#"orgtrail.toml:1:17: not TOML: invalid basic string, expected `"`"#);
}

#[test]
fn values_of_the_wrong_kind_or_meaning_say_what_to_write() {
    assert_snapshot!(report_on("[http]", "listen = \"localhost:7070\""), @r#"orgtrail.toml:2:10: `localhost:7070` is not an address to listen on: write an IP address and a port, such as `127.0.0.1:7070` or `[::1]:7070`"#);
    assert_snapshot!(report_on("[http]", "listen = 7070"), @r#"orgtrail.toml:2:10: `listen` wants an address in quotes, such as `"127.0.0.1:7070"`, not a whole number"#);
    assert_snapshot!(report_on("[http]", "auth = \"token\""), @r#"orgtrail.toml:2:8: `auth` is `"tokens"` or `"none"`, not `token`"#);
    assert_snapshot!(report_on("[http]", "auth = false"), @r#"orgtrail.toml:2:8: `auth` wants `"tokens"` or `"none"`, not `true` or `false`"#);
    assert_snapshot!(report_on("", "data_dir = \"~/orgtrail\""), @r#"orgtrail.toml:2:12: `~` and `$` are not expanded in `~/orgtrail`: write the full path"#);
    assert_snapshot!(report_on("", "data_dir = \"\""), @r#"orgtrail.toml:2:12: `data_dir` is empty: write a path"#);
    assert_snapshot!(report_on("[upstream]", "base_url = \"api.cloudflare.com\""), @r#"orgtrail.toml:2:12: `api.cloudflare.com` is not an address of the web: write it whole, such as `https://api.cloudflare.com/client/v4`"#);
    assert_snapshot!(report_on("[upstream]", "base_url = \"ftp://api.cloudflare.com\""), @r#"orgtrail.toml:2:12: `ftp://api.cloudflare.com` is not an address of the web: write `https://`"#);
    assert_snapshot!(report_on("[upstream]", "base_url = \"https://api.cloudflare.com/?a=b\""), @r#"orgtrail.toml:2:12: `https://api.cloudflare.com/?a=b` has a `?` or `#` part: leave it out"#);
    assert_snapshot!(report_on("[upstream]", "page_size = 1001"), @r#"orgtrail.toml:2:13: `page_size` is `1001`: it goes from 1 to 1000"#);
    assert_snapshot!(report_on("[upstream]", "max_requests = -1"), @r#"orgtrail.toml:2:16: `max_requests` is `-1`: it goes from 1 to 1000000"#);
    assert_snapshot!(report_on("[upstream]", "max_requests = 1e3"), @r#"orgtrail.toml:2:16: `max_requests` wants a whole number without quotes, not a number with a fraction"#);
    assert_snapshot!(report_on("[poll]", "interval = \"60\""), @r#"orgtrail.toml:2:12: `60` is not a span: a span needs a unit after its number: `ms`, `s`, `m`, `h` or `d`"#);
    assert_snapshot!(report_on("[poll]", "overlap = \"never\""), @r#"orgtrail.toml:2:11: `never` is neither `auto` nor a span: a span is a whole number and one unit, such as `500ms`, `5s`, `10m`, `24h` or `7d`"#);
    assert_snapshot!(report_on("[poll]", "overlap = true"), @r#"orgtrail.toml:2:11: `overlap` wants `"auto"` or a span in quotes, such as `"15m"`, not `true` or `false`"#);
    assert_snapshot!(report_on("[poll]", "interval = \"500ms\""), @r#"orgtrail.toml:2:12: `interval` is `500ms`: it is at least `1s`"#);
    assert_snapshot!(report_on("[poll]", "interval = \"20m\""), @r#"orgtrail.toml:2:12: `max_interval` is `10m`: it must be at least `interval`, which is `20m`"#);
    assert_snapshot!(report_on("[poll]", "sweeps = \"1h\""), @r#"orgtrail.toml:2:10: `sweeps` wants a list of spans, such as `["15m", "1h"]`, not text"#);
    assert_snapshot!(report_on("[poll]", "sweeps = [\"0s\", \"1h\", \"1h\"]"), @r#"orgtrail.toml:2:11: `sweeps` is `0s`: it is at least `1s`"#);
    assert_snapshot!(report_on("[poll]", "backfill_since = 2026-01-01T00:00:00Z"), @r#"orgtrail.toml:2:18: `backfill_since` wants a span or a date, such as `"540d"` or `"2026-01-01"`, not a time of day"#);
    assert_snapshot!(report_on("[poll]", "backfill_since = \"2026-02-30\""), @r#"orgtrail.toml:2:18: `2026-02-30` is neither a span nor a date: write, for example, `540d` or `2026-01-01`"#);
    assert_snapshot!(report_on("[poll]", "colour = \"red\""), @r#"orgtrail.toml:2:1: unknown key `colour` in `[poll]`: there are `backfill_since`, `heartbeat_url_env`, `interval`, `max_interval`, `overlap`, `sweeps`"#);
    assert_snapshot!(report("[[accounts]]\n[[organizations]]\nid = \"a\"\naccounts = []"), @r#"
    2 mistakes in the configuration:
    orgtrail.toml:1:1: `id` is missing in `[[accounts]]`: add it
    orgtrail.toml:4:12: the list of accounts is empty: write `"none"`, `"all"` or their ids
    "#);
}

#[test]
fn the_environment_is_held_to_the_same_rules() {
    let variables = [
        ("ORGTRAIL__HTTP__AUTH", ""),
        ("ORGTRAIL__HTTP", "{}"),
        ("ORGTRAIL__ORGANIZATIONS__ID", "a"),
        ("ORGTRAIL__POLL__SWEEPS", "1h"),
        ("ORGTRAIL__POLL__INTERVAL", "1h"),
        ("ORGTRAIL__UPSTREAM__PAGE_SIZE", "many"),
        ("ORGTRAIL__UPSTREAM__TOKEN_ENV", "A"),
        ("ORGTRAIL__UPSTREAM__TOKEN_FILE", "/a"),
    ];
    assert_snapshot!(report_with(LEAST, &variables), @r#"
    7 mistakes in the configuration:
    ORGTRAIL__HTTP: no key has this variable: it is `ORGTRAIL__TABLE__KEY`, as in `ORGTRAIL__HTTP__LISTEN`, and `[[organizations]]` and `[[accounts]]` are in the file only
    ORGTRAIL__HTTP__AUTH: `auth` is `"tokens"` or `"none"`, not an empty text
    ORGTRAIL__ORGANIZATIONS__ID: no key has this variable: it is `ORGTRAIL__TABLE__KEY`, as in `ORGTRAIL__HTTP__LISTEN`, and `[[organizations]]` and `[[accounts]]` are in the file only
    ORGTRAIL__POLL__INTERVAL: `max_interval` is `10m`: it must be at least `interval`, which is `1h`
    ORGTRAIL__POLL__SWEEPS: `sweeps` wants a list of spans, such as `["15m", "1h"]`, not `1h`
    ORGTRAIL__UPSTREAM__PAGE_SIZE: `page_size` wants a whole number, not `many`
    ORGTRAIL__UPSTREAM__TOKEN_FILE: `token_env` and `token_file` both name a token: keep one of the two
    "#);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let secret = "Abc123-hunter2_Abc123-hunter2_Abc123-hunter2";
    for line in [
        format!("token = \"{secret}\""),
        format!("token_env = \"{secret}\""),
        format!("token_file = \"{secret}\""),
        format!("token_env = {secret}"),
        format!("token_env = [\"{secret}\"]"),
        format!("base_url = \"https://me:{secret}@api.cloudflare.com\""),
    ] {
        let report = report_on("[upstream]", &line);
        assert!(!report.contains("hunter2"), "{report}");
    }
    assert_snapshot!(report_on("[upstream]", "token = \"hunter2\""), @r#"orgtrail.toml:2:1: unknown key `token`: secrets are not allowed in this file; name an environment variable in `token_env` or a file in `token_file`"#);
    assert_snapshot!(report_on("[upstream]", &format!("token_env = \"{secret}\"")), @r#"orgtrail.toml:2:13: `token_env` is the name of an environment variable that holds the token, in capitals, digits and `_`, such as `CLOUDFLARE_API_TOKEN`"#);
    assert_snapshot!(report_on("[upstream]", &format!("token_file = \"{secret}\"")), @r#"orgtrail.toml:2:14: `token_file` looks like the token itself: write the path of a file that holds it"#);
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Config::load(&path, std::iter::empty())
    };
    let message = |result: Result<Config, ConfigError>| {
        let error = result.unwrap_err();
        error.mistakes()[0].message.clone()
    };

    assert_eq!(load("least.toml", LEAST.as_bytes()), parse(LEAST));
    assert_eq!(
        load("bom.toml", format!("\u{feff}{LEAST}").as_bytes()),
        parse(LEAST)
    );
    assert_snapshot!(message(load("latin1.toml", b"data_dir = \"\xe4\"")), @r#"could not read the configuration: stream did not contain valid UTF-8"#);
    assert_snapshot!(message(load("large.toml", &vec![b'#'; 2 << 20])), @r#"could not read the configuration: it is larger than 1048576 bytes"#);
    assert_snapshot!(message(Config::load(&dir.path().join("none"), std::iter::empty())), @r#"could not read the configuration: No such file or directory (os error 2); `orgtrail config` prints an example to start from"#);
}

proptest! {
    #[test]
    fn any_text_is_accepted_or_reported(text in ".*", value in ".*") {
        let variables = [("ORGTRAIL__POLL__SWEEPS", &*value), ("ORGTRAIL__HTTP__LISTEN", &*value), (&*text, "")];
        if let Err(error) = parse_with(&text, &variables) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    /// Texts that are nearly right go deeper than texts of any characters.
    #[test]
    fn any_small_change_of_the_example_is_accepted_or_reported(
        at in 0..Config::example().len(),
        dropped in 0usize..40,
        added in "[\\[\\]{}\"'#=,.\\\\0-9a-z \n\u{e9}]{0,10}",
    ) {
        let text = example_with_everything();
        let at = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((at + dropped).min(text.len()));
        let changed = format!("{}{added}{}", &text[..at], &text[end..]);
        if let Err(error) = parse(&changed) {
            prop_assert!(!error.mistakes().is_empty());
            for mistake in error.mistakes() {
                prop_assert!(!mistake.message.contains('\n'), "{mistake}");
            }
        }
    }
}

#[test]
fn a_certificate_needs_its_key_and_a_key_its_certificate() {
    let parse = |http: &str| {
        let text = format!("[http]\n{http}\n[[accounts]]\nid = \"a\"");
        Config::parse(&text, "f", std::iter::empty()).map(|config| config.http.tls)
    };
    let both = parse("tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"").unwrap();
    let both = both.unwrap();
    assert_eq!(
        (both.certificate, both.key),
        ("cert.pem".into(), "key.pem".into())
    );
    assert_eq!(parse("tls_cert = \"\"\ntls_key = \"\""), Ok(None));
    for (one, said) in [
        (
            "tls_cert = \"cert.pem\"",
            "f:2:12: there is `tls_cert` and no `tls_key`",
        ),
        (
            "tls_key = \"key.pem\"",
            "f:2:11: there is `tls_key` and no `tls_cert`",
        ),
        (
            "tls_cert = \"~/cert.pem\"",
            "f:2:12: `~` and `$` are not expanded in `~/cert.pem`",
        ),
        ("tls_cert = 1", "f:2:12: `tls_cert` wants a path in quotes"),
    ] {
        let error = parse(one).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
