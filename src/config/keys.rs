//! Every key of the configuration with its default and its type, and the rules about several keys.
//!
//! Only this file names the keys. `reader` finds them and reports unknown ones; `kinds` parses their values.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use chrono::TimeDelta;
use toml::de::DeTable;
use url::Url;

use super::access;
use super::alerts;
use super::credential::CredentialSource;
use super::error::Place;
use super::evidence;
use super::header::Header;
use super::kinds;
use super::local;
use super::reader::{Reader, Table, TableEntry, Taken};
use super::retention;
use super::values::{
    AccountConfig, AccountsChoice, BackfillSince, Config, HttpConfig, OrganizationConfig, Overlap,
    PollConfig, UpstreamConfig,
};
use crate::access::{Auth, ForwardedHeader, PrincipalLimits};
use crate::position::Source;
use crate::span;
use crate::tls::TlsFiles;

/// The largest page that upstream serves.
const MAX_PAGE_SIZE: u32 = 1_000;

/// The most requests that can be allowed in 5 minutes, far above what upstream gives to anyone.
const MAX_REQUESTS: u32 = 1_000_000;

/// The most connections that can be allowed.
const MAX_CONNECTIONS: u32 = 10_000;

/// The most questions or streams that one principal can be allowed at once.
const MAX_AT_ONCE: u32 = 1_000;

/// The shortest time between two rounds of one source.
const SHORTEST_INTERVAL: TimeDelta = TimeDelta::seconds(1);

const NOTHING_TO_COLLECT: &str =
    "nothing to collect: add `[[organizations]]` or `[[accounts]]`, each with an `id`";

/// Reads the whole configuration; `None` when something was refused.
pub(super) fn read<'t>(reader: &mut Reader<'t>, file: &'t DeTable<'t>) -> Option<Config> {
    let top = reader.read(Header::Top, Some(Reader::top(file)), |top| {
        (
            top.take("data_dir", "data".into(), kinds::path),
            top.table("http"),
            top.table("upstream"),
            top.table("poll"),
            top.table("alerts"),
            top.table("evidence"),
            top.table("retention"),
            top.tables("organizations"),
            top.tables("accounts"),
        )
    });
    let (data_dir, http, upstream, poll, alerts, evidence, retention, organizations, accounts) =
        top;

    let (http, limits, access) = reader.read(Header::Table("http"), http, |table| {
        (
            read_http(table),
            table.table("limits"),
            table.table("access"),
        )
    });
    let limits = reader.read(Header::Table("http.limits"), limits, read_limits);
    let access = access::read(reader, access, http.as_ref().map(|http| http.auth));
    let http = http.zip(limits).zip(access);
    let http = http.map(|((http, limits), access)| HttpConfig {
        limits,
        access,
        ..http
    });
    let upstream = reader.read(Header::Table("upstream"), upstream, read_upstream);
    let poll = reader.read(Header::Table("poll"), poll, read_poll);
    let (rules, alerts) = alerts::read(reader, alerts);
    let evidence = evidence::read(reader, evidence);
    let retention = retention::read(reader, retention);
    let is_empty = organizations.as_ref().is_some_and(Vec::is_empty)
        && accounts.as_ref().is_some_and(Vec::is_empty);
    if is_empty {
        reader.object(None, NOTHING_TO_COLLECT);
    }

    let credential = upstream.as_ref().map(|upstream| &upstream.credential);
    let organizations = read_each(reader, "organizations", organizations, |table| {
        read_organization(table, credential)
    });
    let accounts = read_each(reader, "accounts", accounts, |table| {
        read_account(table, credential)
    });

    Some(Config {
        data_dir: data_dir.value?,
        http: http?,
        upstream: upstream?,
        poll: poll?,
        rules: rules?,
        alerts: alerts?,
        evidence: evidence?,
        retention: retention?,
        organizations: organizations?,
        accounts: accounts?,
    })
}

/// Reads each table of a list; `None` when something was refused in any of them.
fn read_each<'t, T>(
    reader: &mut Reader<'t>,
    name: &'static str,
    entries: Option<Vec<TableEntry<'t>>>,
    read: impl Fn(&mut Table<'_, 't>) -> Option<T>,
) -> Option<Vec<T>> {
    let entries = entries.unwrap_or_default().into_iter();
    let all: Vec<_> = entries
        .map(|entry| reader.read(Header::Each(name), Some(entry), &read))
        .collect();
    all.into_iter().collect()
}

fn read_http(table: &mut Table<'_, '_>) -> Option<HttpConfig> {
    const FORWARDED: &[(&str, ForwardedHeader)] = &[
        ("x-forwarded-for", ForwardedHeader::XForwardedFor),
        ("forwarded", ForwardedHeader::Forwarded),
    ];
    const AUTH: &[(&str, Auth)] = &[("tokens", Auth::Tokens), ("none", Auth::None)];
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 7070));

    let listen = table.take("listen", loopback, kinds::address);
    let auth = table.take("auth", Auth::Tokens, kinds::one_of(AUTH));
    let max_connections = table.take("max_connections", 512, |v| {
        v.whole_number(1..=MAX_CONNECTIONS)
    });

    let public_url = table.take("public_url", None, kinds::public_url);
    let cors_origins = table.take("cors_origins", Vec::new(), kinds::origins);
    let trusted_proxies = table.take("trusted_proxies", Vec::new(), kinds::networks);
    let forwarded_header = table.take(
        "forwarded_header",
        ForwardedHeader::default(),
        kinds::one_of(FORWARDED),
    );
    let access_log = table.take(
        "access_log",
        TimeDelta::days(400),
        kinds::span_from(TimeDelta::days(1)),
    );

    let tls = read_tls(table);
    let is_behind_a_proxy = trusted_proxies.value.iter().any(|all| !all.is_empty());
    let is_public = public_url
        .value
        .iter()
        .flatten()
        .any(|url| !local::is_this_machine(url));
    if auth.value == Some(Auth::None) && (is_behind_a_proxy || is_public) {
        table.object(
            auth.place.clone(),
            "`auth` is `none`, and `public_url` or `trusted_proxies` let others in: write `auth = \"tokens\"`",
        );
    }
    if let (Some(address), Some(Auth::None)) = (listen.value, auth.value)
        && !local::is_loopback(address.ip())
    {
        table.object(
            auth.place,
            format!(
                "`auth` is `none` and `{address}` can be reached from outside: write `auth = \"tokens\"`, or listen on \
                 a loopback address"
            ),
        );
    }
    Some(HttpConfig {
        listen: listen.value?,
        auth: auth.value?,
        max_connections: max_connections.value?,
        public_url: public_url.value?,
        cors_origins: cors_origins.value?,
        trusted_proxies: trusted_proxies.value?,
        forwarded_header: forwarded_header.value?,
        tls: tls?,
        access_log: access_log.value?,
        limits: PrincipalLimits::default(),
        access: None,
    })
}

/// Reads the files of TLS: both or none. The outer `None` is a mistake.
fn read_tls(table: &mut Table<'_, '_>) -> Option<Option<TlsFiles>> {
    let certificate = table.take("tls_cert", None, kinds::path_or_nothing);
    let key = table.take("tls_key", None, kinds::path_or_nothing);
    let (there, missing, place) = match (certificate.value?, key.value?) {
        (Some(certificate), Some(key)) => return Some(Some(TlsFiles { certificate, key })),
        (None, None) => return Some(None),
        (Some(_), None) => ("tls_cert", "tls_key", certificate.place),
        (None, Some(_)) => ("tls_key", "tls_cert", key.place),
    };
    table.object(
        place,
        format!("there is `{there}` and no `{missing}`: TLS needs the certificate and its private key, each in a file"),
    );
    None
}

fn read_limits(table: &mut Table<'_, '_>) -> Option<PrincipalLimits> {
    let default = PrincipalLimits::default();
    let requests = table.take(
        "requests_per_minute",
        default.requests_per_minute.get(),
        |v| v.whole_number(1..=MAX_REQUESTS),
    );
    let questions = table.take("questions", default.questions, |v| {
        v.whole_number(1..=MAX_AT_ONCE)
    });
    let streams = table.take("streams", default.streams, |v| {
        v.whole_number(1..=MAX_AT_ONCE)
    });
    let question_time = table.take(
        "question_time",
        default.question_time,
        kinds::span_from(TimeDelta::seconds(1)),
    );
    Some(PrincipalLimits {
        requests_per_minute: NonZeroU32::new(requests.value?)?,
        questions: questions.value?,
        streams: streams.value?,
        question_time: question_time.value?,
    })
}

fn read_upstream(table: &mut Table<'_, '_>) -> Option<UpstreamConfig> {
    let cloudflare = Url::parse("https://api.cloudflare.com/client/v4")
        .expect("a constant that the tests have parsed");
    let default_credential = CredentialSource::Env("CLOUDFLARE_API_TOKEN".to_owned());

    let base_url = table.take("base_url", cloudflare, kinds::base_url);
    let credential = take_credential(table, Some(&default_credential));
    let max_requests = table.take("max_requests", 600, |v| v.whole_number(1..=MAX_REQUESTS));
    let page_size = table.take("page_size", 1_000, |v| v.whole_number(1..=MAX_PAGE_SIZE));
    Some(UpstreamConfig {
        base_url: base_url.value?,
        credential: credential?,
        max_requests: max_requests.value?,
        page_size: page_size.value?,
    })
}

fn read_poll(table: &mut Table<'_, '_>) -> Option<PollConfig> {
    let at_least_shortest = || kinds::span_from(SHORTEST_INTERVAL);
    let default_sweeps = vec![
        TimeDelta::minutes(15),
        TimeDelta::hours(1),
        TimeDelta::hours(24),
        TimeDelta::days(7),
    ];
    let default_backfill = BackfillSince::Span(TimeDelta::days(540));

    let interval = table.take("interval", TimeDelta::seconds(60), at_least_shortest());
    let max_interval = table.take("max_interval", TimeDelta::minutes(10), at_least_shortest());
    let overlap = table.take("overlap", Overlap::Auto, kinds::overlap);
    let sweeps = table.take("sweeps", default_sweeps, kinds::sweeps);
    let backfill_since = table.take("backfill_since", default_backfill, kinds::backfill_since);
    let heartbeat = table.take("heartbeat_url_env", None, kinds::heartbeat_variable);

    if let (Some(shorter), Some(longer)) = (interval.value, max_interval.value)
        && shorter > longer
    {
        table.object(
            max_interval.place.or(interval.place),
            format!(
                "`max_interval` is `{}`: it must be at least `interval`, which is `{}`",
                span::format(longer),
                span::format(shorter)
            ),
        );
    }
    Some(PollConfig {
        interval: interval.value?,
        max_interval: max_interval.value?,
        overlap: overlap.value?,
        sweeps: sweeps.value?,
        backfill_since: backfill_since.value?,
        heartbeat: heartbeat.value?,
    })
}

fn read_organization(
    table: &mut Table<'_, '_>,
    upstream: Option<&CredentialSource>,
) -> Option<OrganizationConfig> {
    let id = table.require("id", kinds::source(Source::organization));
    let everything = (AccountsChoice::All, Vec::new());
    let accounts = table.take("accounts", everything, kinds::accounts_choice);
    let credential = take_credential(table, upstream);

    claim(table, &id);
    let (accounts, places) = accounts.value?;
    if let AccountsChoice::Only(named) = &accounts {
        for (source, place) in named.iter().zip(&places) {
            table.claim(source, place);
        }
    }
    Some(OrganizationConfig {
        source: id.value?,
        accounts,
        credential: credential?,
    })
}

fn read_account(
    table: &mut Table<'_, '_>,
    upstream: Option<&CredentialSource>,
) -> Option<AccountConfig> {
    let id = table.require("id", kinds::source(Source::account));
    let credential = take_credential(table, upstream);

    claim(table, &id);
    Some(AccountConfig {
        source: id.value?,
        credential: credential?,
    })
}

fn claim(table: &mut Table<'_, '_>, id: &Taken<Source>) {
    if let (Some(source), Some(place)) = (&id.value, &id.place) {
        table.claim(source, place);
    }
}

/// Takes `token_env` or `token_file`. One from the environment replaces the other from the file.
fn take_credential(
    table: &mut Table<'_, '_>,
    default: Option<&CredentialSource>,
) -> Option<CredentialSource> {
    let env = table.find("token_env", kinds::variable_name);
    let file = table.find("token_file", kinds::credential_path);

    let from_env = env.value.clone().map(CredentialSource::Env);
    let from_file = file.value.clone().map(CredentialSource::File);
    match (&env.place, &file.place) {
        (None, None) => default.cloned(),
        (Some(_), None) => from_env,
        (None, Some(_)) => from_file,
        (Some(_), Some(_)) if env.is_from_environment() && !file.is_from_environment() => from_env,
        (Some(_), Some(_)) if file.is_from_environment() && !env.is_from_environment() => from_file,
        (Some(first), Some(second)) => {
            let later: &Place = first.max(second);
            table.object(
                Some(later.clone()),
                "`token_env` and `token_file` both name a token: keep one of the two",
            );
            None
        }
    }
}
