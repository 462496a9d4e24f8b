//! What differs between two configurations, and which of it a running service takes over.

use super::{Config, HttpConfig, PollConfig, RulesConfig, UpstreamConfig};
use crate::access::PrincipalLimits;
use crate::deliver::DeliverySettings;

/// What became of the keys that differ, each by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// They are taken over.
    pub reloaded: Vec<&'static str>,
    /// They need a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Takes over one key.
    fn take<T: Clone + PartialEq>(&mut self, name: &'static str, ours: &mut T, newer: &T) {
        if ours != newer {
            ours.clone_from(newer);
            self.reloaded.push(name);
        }
    }
}

impl Config {
    /// Takes over from `newer` what a running service can change, and says what that was and what else differs.
    ///
    /// When `auth` or `listen` differs, nothing of `[http]` is taken over: its keys are right together only.
    pub fn take_over(&mut self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        let (ours, new) = (&mut self.rules, &newer.rules);
        changes.take("alerts.rules_dir", &mut ours.dir, &new.dir);
        changes.take("alerts.disabled", &mut ours.disabled, &new.disabled);
        let (ours, new) = (&mut self.alerts, &newer.alerts);
        let history = (&mut ours.alert_on_history, &new.alert_on_history);
        changes.take("alerts.alert_on_history", history.0, history.1);
        let private = (
            &mut ours.allow_private_networks,
            &new.allow_private_networks,
        );
        changes.take("alerts.allow_private_networks", private.0, private.1);
        changes.take(
            "alerts.digest_above",
            &mut ours.digest_above,
            &new.digest_above,
        );
        let destinations = (&mut ours.destinations, &new.destinations);
        changes.take("alerts.destinations", destinations.0, destinations.1);
        let (ours, new) = (&mut self.http, &newer.http);
        if ours.auth == new.auth && ours.listen == new.listen {
            changes.take("http.public_url", &mut ours.public_url, &new.public_url);
            changes.take(
                "http.cors_origins",
                &mut ours.cors_origins,
                &new.cors_origins,
            );
            let proxies = (&mut ours.trusted_proxies, &new.trusted_proxies);
            changes.take("http.trusted_proxies", proxies.0, proxies.1);
            let header = (&mut ours.forwarded_header, &new.forwarded_header);
            changes.take("http.forwarded_header", header.0, header.1);
            // With another protocol, its clients would have to connect anew.
            if ours.tls.is_some() == new.tls.is_some() {
                changes.take("http.tls_cert or tls_key", &mut ours.tls, &new.tls);
            }
            changes.take("http.access", &mut ours.access, &new.access);
            let (limits, new) = (&mut ours.limits, &new.limits);
            let requests = (&mut limits.requests_per_minute, &new.requests_per_minute);
            changes.take("http.limits.requests_per_minute", requests.0, requests.1);
            changes.take(
                "http.limits.questions",
                &mut limits.questions,
                &new.questions,
            );
            changes.take("http.limits.streams", &mut limits.streams, &new.streams);
        }
        changes.restart = self.differences(newer);
        changes
    }

    /// The keys that differ. The patterns name every key, so that a new one cannot be forgotten here.
    fn differences(&self, newer: &Self) -> Vec<&'static str> {
        let Self {
            data_dir,
            http,
            upstream,
            poll,
            alerts,
            retention,
            rules,
            evidence,
            organizations,
            accounts,
        } = self;
        let mut differ = vec![
            ("data_dir", *data_dir != newer.data_dir),
            ("retention", *retention != newer.retention),
            ("organizations", *organizations != newer.organizations),
            ("accounts", *accounts != newer.accounts),
            ("evidence", *evidence != newer.evidence),
        ];
        differ.extend(differences_of_http(http, &newer.http));
        differ.extend(differences_of_upstream(upstream, &newer.upstream));
        differ.extend(differences_of_poll(poll, &newer.poll));
        differ.extend(differences_of_alerts(alerts, &newer.alerts));
        differ.extend(differences_of_rules(rules, &newer.rules));
        let differ = differ.into_iter().filter(|(_, is_different)| *is_different);
        differ.map(|(name, _)| name).collect()
    }
}

type KeyChange = (&'static str, bool);

fn differences_of_http(http: &HttpConfig, newer: &HttpConfig) -> Vec<KeyChange> {
    let HttpConfig {
        listen,
        auth,
        max_connections,
        public_url,
        cors_origins,
        trusted_proxies,
        forwarded_header,
        tls,
        access_log,
        limits,
        access,
    } = http;
    let PrincipalLimits {
        requests_per_minute,
        questions,
        streams,
        question_time,
    } = limits;
    vec![
        ("http.listen", *listen != newer.listen),
        ("http.auth", *auth != newer.auth),
        (
            "http.max_connections",
            *max_connections != newer.max_connections,
        ),
        ("http.public_url", *public_url != newer.public_url),
        ("http.cors_origins", *cors_origins != newer.cors_origins),
        (
            "http.trusted_proxies",
            *trusted_proxies != newer.trusted_proxies,
        ),
        (
            "http.forwarded_header",
            *forwarded_header != newer.forwarded_header,
        ),
        ("http.tls_cert or tls_key", *tls != newer.tls),
        ("http.access_log", *access_log != newer.access_log),
        ("http.access", *access != newer.access),
        (
            "http.limits.requests_per_minute",
            *requests_per_minute != newer.limits.requests_per_minute,
        ),
        (
            "http.limits.questions",
            *questions != newer.limits.questions,
        ),
        ("http.limits.streams", *streams != newer.limits.streams),
        (
            "http.limits.question_time",
            *question_time != newer.limits.question_time,
        ),
    ]
}

fn differences_of_upstream(upstream: &UpstreamConfig, newer: &UpstreamConfig) -> [KeyChange; 4] {
    let UpstreamConfig {
        base_url,
        credential,
        max_requests,
        page_size,
    } = upstream;
    [
        ("upstream.base_url", *base_url != newer.base_url),
        (
            "upstream.token_env or token_file",
            *credential != newer.credential,
        ),
        ("upstream.max_requests", *max_requests != newer.max_requests),
        ("upstream.page_size", *page_size != newer.page_size),
    ]
}

fn differences_of_poll(poll: &PollConfig, newer: &PollConfig) -> [KeyChange; 6] {
    let PollConfig {
        interval,
        max_interval,
        overlap,
        sweeps,
        backfill_since,
        heartbeat,
    } = poll;
    [
        ("poll.interval", *interval != newer.interval),
        ("poll.max_interval", *max_interval != newer.max_interval),
        ("poll.overlap", *overlap != newer.overlap),
        ("poll.sweeps", *sweeps != newer.sweeps),
        (
            "poll.backfill_since",
            *backfill_since != newer.backfill_since,
        ),
        ("poll.heartbeat_url_env", *heartbeat != newer.heartbeat),
    ]
}

fn differences_of_alerts(alerts: &DeliverySettings, newer: &DeliverySettings) -> [KeyChange; 4] {
    let DeliverySettings {
        alert_on_history,
        allow_private_networks,
        digest_above,
        destinations,
    } = alerts;
    [
        (
            "alerts.alert_on_history",
            *alert_on_history != newer.alert_on_history,
        ),
        (
            "alerts.allow_private_networks",
            *allow_private_networks != newer.allow_private_networks,
        ),
        ("alerts.digest_above", *digest_above != newer.digest_above),
        ("alerts.destinations", *destinations != newer.destinations),
    ]
}

fn differences_of_rules(rules: &RulesConfig, newer: &RulesConfig) -> [KeyChange; 2] {
    let RulesConfig { dir, disabled } = rules;
    [
        ("alerts.rules_dir", *dir != newer.dir),
        ("alerts.disabled", *disabled != newer.disabled),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        let text = format!("{text}\n[[accounts]]\nid = \"a\"");
        Config::parse(&text, "orgtrail.toml", std::iter::empty()).unwrap()
    }

    #[test]
    fn what_can_be_changed_is_taken_over_and_the_rest_needs_a_restart_each_time() {
        let mut running = parse("");
        let newer = parse(
            "data_dir = \"other\"\n[http]\ncors_origins = [\"https://a.example\"]\n[http.limits]\nstreams = 1\n\
             question_time = \"5s\"\n[poll]\ninterval = \"2s\"",
        );
        let restart = vec!["data_dir", "http.limits.question_time", "poll.interval"];
        let first = running.take_over(&newer);
        assert_eq!(first.reloaded, ["http.cors_origins", "http.limits.streams"]);
        assert_eq!(first.restart, restart);
        let second = running.take_over(&newer);
        assert_eq!((second.reloaded, second.restart), (vec![], restart));
        assert_eq!(running.http.limits.streams, 1);
        assert_eq!(running.data_dir, parse("").data_dir);
    }

    #[test]
    fn another_certificate_is_taken_over_and_tls_begins_with_a_restart() {
        let tls = |name: &str| parse(&format!("[http]\ntls_cert = \"{name}\"\ntls_key = \"key\""));
        let mut running = tls("a");
        let changes = running.take_over(&tls("b"));
        assert_eq!(changes.reloaded, ["http.tls_cert or tls_key"]);
        assert_eq!(running.http.tls, tls("b").http.tls);
        let changes = running.take_over(&parse(""));
        assert_eq!(
            (changes.reloaded.len(), changes.restart),
            (0, vec!["http.tls_cert or tls_key"])
        );
        assert!(running.http.tls.is_some());
    }

    #[test]
    fn with_another_auth_nothing_of_http_is_taken_over() {
        let mut running = parse("[http]\nauth = \"none\"");
        let newer = parse("[http]\npublic_url = \"https://audit.example.com\"");
        let changes = running.take_over(&newer);
        assert_eq!(changes.reloaded, [""; 0]);
        assert_eq!(changes.restart, ["http.auth", "http.public_url"]);
        assert!(running.http.public_url.is_none());
    }
}
